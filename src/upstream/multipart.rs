//! Uploads that clients send in parts: upload ids are the upstream's own, so a part may go through any node.
//!
//! What the upstream does not tell again (owner, ACL, headers, announced checksum) lies in a sealed record beside.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm as UpstreamAlgorithm, ChecksumType as UpstreamType, CompletedMultipartUpload, CompletedPart, Part,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::base::checksum::{Checksum, ChecksumAlgorithm, ChecksumType};
use crate::base::encryption::{CustomerKey, Encryption, needs_customer_key};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::fields::Fields;
use crate::base::names::{BucketName, ObjectKey, UploadId, no_such_upload};
use crate::base::object::{ObjectInfo, SharedObject, Upload, UploadedPart};
use crate::base::object_ref::{VersionId, VersionSelector};
use crate::ingest::{Content, Received};
use crate::origin::{CompleteUpload, Quota, other_checksum};
use crate::upstream::client;
use crate::upstream::conditions::{self, LOOKS};
use crate::upstream::counting::Watch;
use crate::upstream::fault;
use crate::upstream::info::{self, checksum_of, seal_place, with_checksum, with_headers, with_keeping, with_lock};
use crate::upstream::known::Known;
use crate::upstream::open::Inner;
use crate::upstream::place::Place;
use crate::upstream::records::Over;
use crate::upstream::sse::{told, with_key};
use crate::upstream::stored::{self, Recorded};
use crate::upstream::sweep::{FOLDER, is_mark};
use crate::upstream::write::{Made, busy, insert_raw, part_of_file, written};

/// Of parts, by S3.
const MAX_LISTED: usize = 1000;
/// Before an id that the upstream made in characters which ours do not have.
const ENCODED: &str = "~";

/// The id that clients know.
pub fn public_id(upstream: &str) -> Result<UploadId> {
    match UploadId::parse(upstream) {
        Ok(id) if !upstream.starts_with(ENCODED) => Ok(id),
        _ => UploadId::parse(&format!("{ENCODED}{}", URL_SAFE_NO_PAD.encode(upstream))),
    }
}

pub fn upstream_id(id: &UploadId) -> Result<String> {
    match id.as_str().strip_prefix(ENCODED) {
        None => Ok(id.as_str().to_owned()),
        Some(encoded) => URL_SAFE_NO_PAD.decode(encoded).ok().and_then(|b| String::from_utf8(b).ok()).ok_or_else(no_such_upload),
    }
}

/// Any id and key, as the name of a record.
fn record_path(bucket: &BucketName, key: &ObjectKey, id: &UploadId) -> String {
    format!("{FOLDER}{}", hex::encode(Sha256::digest(format!("{bucket}\n{key}\n{id}"))))
}

impl Inner {
    /// Whether the upstream verifies checksums of this algorithm.
    pub fn takes(&self, algorithm: ChecksumAlgorithm) -> bool {
        let abilities = self.abilities();
        abilities.checksums && (algorithm.is_of_the_first_five() || abilities.all_checksums)
    }

    pub async fn create_upload(&self, mut upload: Upload) -> Result<Upload> {
        if let Some((algorithm, _)) = upload.checksum.filter(|(a, _)| !a.is_of_the_first_five() && !self.takes(*a)) {
            let text = format!(
                "The storage behind this gateway keeps no {} checksums of parts. Known there are CRC32, CRC32C, CRC64NVME, SHA1, SHA256.",
                algorithm.name()
            );
            return Err(Error::new(ErrorKind::NotImplemented, text).detail("Header", "x-amz-checksum-algorithm"));
        }
        self.require_sendable(upload.encryption.as_ref())?;
        let (place, key) = self.writable(&upload.bucket, &upload.key).await?;
        let tagging = self.tagging(&upload.tags)?;
        let known = Known::new(upload.owner.clone(), upload.acl.clone(), &upload.headers);
        let sealed = self.sealed(&known, &seal_place(&place.bucket, &key, None))?;
        let create = self.client.create_multipart_upload().bucket(&*place.bucket).key(&key);
        let create = with_headers!(create, &upload.headers).set_metadata(Some(info::metadata(&upload.headers, &sealed)));
        let (algorithm, kind) = upload.checksum.unwrap_or((ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject));
        let given = self.abilities().checksums;
        let create = with_keeping!(create, &self.settings, &upload.headers, upload.encryption.as_ref())
            .set_checksum_algorithm(given.then(|| UpstreamAlgorithm::from(algorithm.name())))
            .set_checksum_type(given.then(|| UpstreamType::from(kind.name())))
            .set_tagging(tagging);
        let create = with_lock!(create, &upload.lock);
        let raw = info::raw_headers(&upload.headers);
        let created = create.customize().mutate_request(move |r| insert_raw(r, &raw)).send().await.map_err(fault::of_lock)?;
        let id = created.upload_id().unwrap_or_default().to_owned();
        upload.id = public_id(&id)?;
        // No key of a client's is kept.
        upload.encryption = upload.encryption.map(|of| of.without_key()).or_else(|| told!(&created));
        let recorded = Recorded { upload: upload.clone(), known, sealed, unknown: Fields::default() };
        let text = stored::write_upload(&recorded)?;
        let path = record_path(&upload.bucket, &upload.key, &upload.id);
        if let Err(e) = self.put_record(&path, &text, Over::Anything).await {
            // Without its record nobody could complete it.
            let _ = self.client.abort_multipart_upload().bucket(&*place.bucket).key(&key).upload_id(id).send().await;
            return Err(e);
        }
        self.uploads.insert(path, Arc::new(recorded));
        Ok(upload)
    }

    pub async fn recorded_upload(&self, bucket: &BucketName, key: &ObjectKey, id: &UploadId) -> Result<Arc<Recorded>> {
        let path = record_path(bucket, key, id);
        if let Some(known) = self.uploads.get(&path) {
            return Ok(known);
        }
        let Some(record) = self.record(&path).await? else { return Err(no_such_upload()) };
        let recorded = Arc::new(stored::read_upload(&record.text, is_mark)?.0);
        self.uploads.insert(path, recorded.clone());
        Ok(recorded)
    }

    pub async fn upload(&self, bucket: &BucketName, key: &ObjectKey, id: &UploadId) -> Result<Upload> {
        self.place(bucket).await?;
        Ok(self.recorded_upload(bucket, key, id).await?.upload.clone())
    }

    pub async fn put_part(&self, upload: &Upload, number: u16, received: Received) -> Result<UploadedPart> {
        let (place, key) = self.writable(&upload.bucket, &upload.key).await?;
        let body = match &received.content {
            Content::Memory(bytes) => ByteStream::from(bytes.clone()),
            Content::File(file) => part_of_file(file.path(), 0, file.len()).await?,
        };
        let send = self.client.upload_part().bucket(&*place.bucket).key(key).upload_id(upstream_id(&upload.id)?);
        let send = send.part_number(i32::from(number)).body(body);
        self.require_sendable(upload.encryption.as_ref())?;
        let unlock = upload.encryption.as_ref().and_then(Encryption::customer_key);
        let send = with_key!(send, unlock.map(|key| &**key));
        // In the algorithm of the upload: another one is refused upstream, and with none some refuse the part.
        let algorithm = upload.checksum.map_or(ChecksumAlgorithm::Crc64Nvme, |(a, _)| a);
        // None: its MD5 vouches.
        let checksum = if self.takes(algorithm) { received.checksum_of(algorithm).await? } else { None };
        let send = match &checksum {
            Some(checksum) => with_checksum!(send, checksum),
            None => send.set_content_md5(received.md5.map(|md5| STANDARD.encode(md5.0))),
        };
        let sent = send.customize().config_override(client::sending(received.size)).disable_payload_signing().send().await;
        let sent = sent.map_err(|e| match fault::status(&e) {
            Some(400 | 403) if unlock.is_some() => other_key().caused_by(fault::of(e)),
            _ => fault::of(e),
        })?;
        Ok(UploadedPart {
            number,
            size: received.size,
            etag: info::etag(sent.e_tag())?,
            modified: crate::base::timestamp::Timestamp::now(),
            checksum: received.checksum,
        })
    }

    /// The checksums of the parts as the upstream keeps them, for one that wants to hear them again.
    async fn repeat_checksums(&self, complete: &mut CompleteUpload, bucket: &str, key: &str, id: &str) -> Result<()> {
        if self.abilities().bare_completes || !self.abilities().checksums || complete.parts.iter().all(|p| p.checksum.is_some()) {
            return Ok(());
        }
        let (mut after, mut known) = (None, BTreeMap::new());
        loop {
            let list = self.reader.list_parts().bucket(bucket).key(key).upload_id(id).set_part_number_marker(after.take());
            let page = list.send().await.map_err(fault::of)?;
            known.extend(page.parts().iter().map(|p| (p.part_number(), checksum_of!(p))));
            after = page.next_part_number_marker().map(str::to_owned).filter(|_| page.is_truncated() == Some(true));
            if after.is_none() || page.parts().is_empty() {
                break;
            }
        }
        for part in complete.parts.iter_mut().filter(|p| p.checksum.is_none()) {
            part.checksum = known.remove(&Some(i32::from(part.number))).flatten();
        }
        Ok(())
    }

    pub async fn parts(&self, upload: &Upload, after: u16, max: usize) -> Result<(Vec<UploadedPart>, bool)> {
        let (place, key) = self.writable(&upload.bucket, &upload.key).await?;
        // With none asked for, S3 still says whether there are any.
        let asked = i32::try_from(max.clamp(1, 1000)).unwrap_or(1000);
        let list = self.reader.list_parts().bucket(&*place.bucket).key(key).upload_id(upstream_id(&upload.id)?).max_parts(asked);
        let list = list.set_part_number_marker((after > 0).then(|| after.to_string()));
        let page = list.send().await.map_err(fault::of)?;
        let mut parts: Vec<UploadedPart> = page.parts().iter().filter_map(|p| uploaded_part(p).transpose()).collect::<Result<_>>()?;
        // Some forget about the marker.
        parts.retain(|p| p.number > after);
        let more = page.is_truncated() == Some(true) || parts.len() > max;
        parts.truncate(max);
        Ok((parts, more))
    }

    pub async fn complete_upload(&self, mut complete: CompleteUpload, quota: Quota) -> Result<SharedObject> {
        let (place, key) = self.writable(&complete.bucket, &complete.key).await?;
        if complete.parts.windows(2).any(|pair| matches!(pair, [a, b] if a.number >= b.number)) {
            let text = "The list of parts was not in ascending order. The parts list must be specified in order by part number.";
            return Err(Error::new(ErrorKind::InvalidPartOrder, text));
        }
        let recorded = self.recorded_upload(&complete.bucket, &complete.key, &complete.upload).await?;
        let id = upstream_id(&complete.upload)?;
        match self.repeat_checksums(&mut complete, &place.bucket, &key, &id).await {
            // Completed already, it may be: the same request again.
            Err(e) if e.kind() == ErrorKind::NoSuchUpload => {}
            other => other?,
        }
        let list = completed_parts(&complete, &recorded.upload, self.abilities().checksums)?;
        let unlock = customer_key_of(&complete, &recorded.upload)?;
        let abilities = self.abilities();
        let watch = Watch {
            bucket: &complete.bucket,
            key: &complete.key,
            place: &place,
            full: &key,
            owner: &recorded.upload.owner,
            size: self.size_to_count(&complete, &recorded.upload).await,
            unlock,
            conditions: &complete.conditions,
            quota,
            sealed: Some(&recorded.sealed),
            is_conditional: abilities.conditional_writes && abilities.conditional_completes,
        };
        for _ in 0..LOOKS {
            let (held, ticket) = self.watched(&watch).await?;
            self.can_complete(&held)?;
            let request =
                self.client.complete_multipart_upload().bucket(&*place.bucket).key(&key).upload_id(&id).multipart_upload(list.clone());
            let request = with_key!(request, unlock)
                .set_if_match(held.if_match.clone())
                .set_if_none_match(held.if_none_match.clone())
                .set_mpu_object_size(complete.size.and_then(|n| i64::try_from(n).ok()))
                .set_checksum_type(complete.checksum_type.map(|t| UpstreamType::from(t.name())));
            let request = match &complete.checksum {
                Some(checksum) => with_checksum!(request, checksum),
                None => request,
            };
            let done = match request.send().await {
                Ok(done) => Made::of(done.e_tag(), done.version_id()),
                // The same request again, by the client or because an answer was lost.
                Err(e) if matches!(fault::status(&e), Some(404 | 409 | 412)) => {
                    let failed = conditions::of_answer(&held, &e).unwrap_or_else(|| fault::of(e));
                    self.was_it_this(&place, &key, &recorded.sealed, unlock).await.and_then(|made| made.ok_or(failed))
                }
                Err(e) if promises(&complete) && fault::code(&e) == Some("BadDigest") => Err(broken_promise(ErrorKind::BadDigest)),
                Err(e) if promises(&complete) && fault::code(&e) == Some("InvalidRequest") => {
                    Err(broken_promise(ErrorKind::InvalidRequest))
                }
                Err(e) => Err(fault::of(e)),
            };
            match done {
                Err(e) if held.is_outdated(&e) => drop(ticket.end::<()>(Err(e))),
                Err(e) => return ticket.end(Err(e)),
                Ok(made) => {
                    let object = self.completed(&place, &key, &recorded, made, unlock).await;
                    let size = object.as_ref().ok().map(|object| object.size).filter(|_| watch.size.is_none());
                    ticket.end_as(Ok(()), size)?;
                    return object;
                }
            }
        }
        Err(busy())
    }

    /// What the parts come to. None: nobody asks, or it can't be told before.
    async fn size_to_count(&self, complete: &CompleteUpload, upload: &Upload) -> Option<u64> {
        self.counter()?;
        let (mut after, mut sizes) = (0, BTreeMap::new());
        loop {
            let (parts, more) = self.parts(upload, after, MAX_LISTED).await.ok()?;
            sizes.extend(parts.iter().map(|part| (part.number, part.size)));
            match parts.last() {
                Some(last) if more => after = last.number,
                _ => break,
            }
        }
        complete.parts.iter().map(|part| sizes.get(&part.number).copied()).sum()
    }

    async fn completed(
        &self,
        place: &Place,
        key: &str,
        recorded: &Recorded,
        made: Made,
        unlock: Option<&CustomerKey>,
    ) -> Result<SharedObject> {
        let upload = &recorded.upload;
        let of = if made.version == VersionId::Null { VersionSelector::Current } else { VersionSelector::Exact(&made.version) };
        if let Some(head) = self.look_at_under(&place.bucket, key, of, unlock).await?.object() {
            let info = self.info(&place.bucket, key, &upload.owner, &head)?;
            if info.etag == made.etag {
                return Ok(Arc::new(info));
            }
        }
        // Written over, or deleted, at once: what is answered is what was made. Its size nobody can tell any more.
        let object = written(made.etag, 0, &recorded.known, upload.headers.clone(), None, None);
        Ok(Arc::new(ObjectInfo { version: made.version, ..object }))
    }

    pub async fn abort_upload(&self, bucket: &BucketName, key: &ObjectKey, id: &UploadId) -> Result<()> {
        let (place, full) = self.writable(bucket, key).await?;
        let abort = self.client.abort_multipart_upload().bucket(&*place.bucket).key(full).upload_id(upstream_id(id)?);
        abort.send().await.map_err(fault::of)?;
        let path = record_path(bucket, key, id);
        self.uploads.remove(&path);
        self.delete_record(&path).await
    }

    /// Before a bucket goes: nobody could abort them afterwards.
    pub async fn abort_all_uploads(&self, place: &Place) -> Result<()> {
        loop {
            let list = self.client.list_multipart_uploads().bucket(&*place.bucket).prefix(&*place.prefix);
            let page = match list.send().await.map_err(fault::of) {
                Ok(page) => page,
                Err(e) if e.kind() == ErrorKind::NotImplemented => {
                    tracing::warn!(
                        prefix = &*place.prefix,
                        "the upstream can't list uploads: those that go on in a deleted bucket stay there"
                    );
                    return Ok(());
                }
                Err(e) => return Err(e),
            };
            for upload in page.uploads() {
                let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
                match self.client.abort_multipart_upload().bucket(&*place.bucket).key(key).upload_id(id).send().await {
                    Ok(_) => {}
                    Err(e) if fault::status(&e) == Some(404) => {}
                    Err(e) => return Err(fault::of(e)),
                }
            }
            if page.uploads().is_empty() || page.is_truncated() != Some(true) {
                return Ok(());
            }
        }
    }
}

fn other_key() -> Error {
    Error::new(ErrorKind::InvalidRequest, "The provided encryption parameters did not match the ones used originally.")
}

/// As on S3: an upload under a client's key is completed with it.
fn customer_key_of<'c>(complete: &'c CompleteUpload, upload: &Upload) -> Result<Option<&'c CustomerKey>> {
    let is_customers = upload.encryption.as_ref().is_some_and(Encryption::is_customers);
    match complete.customer_key.as_deref() {
        None if is_customers => Err(needs_customer_key()),
        key => Ok(key.filter(|_| is_customers)),
    }
}

fn uploaded_part(part: &Part) -> Result<Option<UploadedPart>> {
    let Some(number) = part.part_number().and_then(|n| u16::try_from(n).ok()) else { return Ok(None) };
    Ok(Some(UploadedPart {
        number,
        size: part.size().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
        etag: info::etag(part.e_tag())?,
        modified: info::timestamp(part.last_modified()),
        checksum: checksum_of!(part),
    }))
}

/// Whether the client said how the object must come out.
fn promises(complete: &CompleteUpload) -> bool {
    complete.checksum.is_some() || complete.checksum_type.is_some() || complete.size.is_some()
}

fn broken_promise(kind: ErrorKind) -> Error {
    Error::new(kind, "The checksum or size that you specified did not match the parts.")
}

/// As the client listed them. What it said of their checksums is for the upstream to compare.
fn completed_parts(complete: &CompleteUpload, upload: &Upload, checksums: bool) -> Result<CompletedMultipartUpload> {
    if complete.parts.is_empty() {
        return Err(Error::new(ErrorKind::MalformedXml, "You must specify at least one part."));
    }
    let algorithm = upload.checksum.map_or(ChecksumAlgorithm::Crc64Nvme, |(a, _)| a);
    let mut list = Vec::with_capacity(complete.parts.len());
    for part in &complete.parts {
        let Some(etag) = part.etag else {
            let text = "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified \
                        entity tag may not match the part's entity tag.";
            return Err(Error::new(ErrorKind::InvalidPart, text).detail("PartNumber", part.number.to_string()));
        };
        if let (Some(said), Some((announced, _))) = (&part.checksum, upload.checksum)
            && said.algorithm != announced
        {
            return Err(other_checksum(part.number, said.algorithm));
        }
        let built = CompletedPart::builder().part_number(i32::from(part.number)).e_tag(etag.quoted());
        let checksum: Option<&Checksum> = part.checksum.as_ref().filter(|c| checksums && c.algorithm == algorithm);
        list.push(match checksum {
            Some(checksum) => with_checksum!(built, checksum).build(),
            None => built.build(),
        });
    }
    Ok(CompletedMultipartUpload::builder().set_parts(Some(list)).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_any_upstream_go_through() {
        for id in ["2~abc.d-e_f", "VXBsb2FkIElE", "a/b+c==", "~x", &"i".repeat(600)] {
            assert_eq!(upstream_id(&public_id(id).unwrap()).unwrap(), id);
        }
        assert!(upstream_id(&UploadId::parse("~.").unwrap()).is_err());
    }
}
