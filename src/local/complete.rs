//! CompleteMultipartUpload: one record that lists the parts' files. No byte is copied, every error is decided before anything changes.
//!
//! The order of the checks is S3's: upload, order of parts, each part, sizes, checksum, preconditions.
//! https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html

use std::sync::Arc;

use sha2::Digest as _;

use crate::base::checksum::{Checksum, ChecksumAlgorithm, ChecksumType};
use crate::base::crypt::{Place, Ring};
use crate::base::digest::Sha256;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::etag::ETag;
use crate::base::fields::Fields;
use crate::base::limits::MIN_PART_BYTES;
use crate::base::lock::Lock;
use crate::base::names::{UploadId, no_such_upload};
use crate::base::object::{CannedAcl, ObjectHeaders, PartInfo, SharedObject, Upload};
use crate::base::tags::Tags;
use crate::ingest::hasher::{ChecksumHasher, crc_algorithm};
use crate::ingest::md5::Md5Hasher;
use crate::local::encrypt;
use crate::local::objects::check;
use crate::local::rows::{
    BodyPlace, CompletedRow, DropKind, Manifest, ObjectHead, ObjectRow, ObjectTail, PartFile, PartRow, PartsRef, RehashRow, Standing,
    Table, UploadRow, key,
};
use crate::local::scope::KeyId;
use crate::local::shared::Shared;
use crate::local::txn::Txn;
use crate::local::{uploads, versions};
use crate::origin::{CompleteUpload, CompletedPart, Quota, other_checksum};

impl Shared {
    pub async fn complete_upload(&self, complete: CompleteUpload, quota: Quota) -> Result<SharedObject> {
        let ring = self.ring.load_full();
        let object = self.queue.submit(move |txn| decide(txn, &ring, &complete, &quota)).await?;
        self.signal.wake();
        Ok(object)
    }
}

fn decide(txn: &mut Txn<'_>, ring: &Ring, complete: &CompleteUpload, quota: &Quota) -> Result<SharedObject> {
    let bucket = txn.require_bucket(&complete.bucket)?;
    let upload_key = key::upload(&complete.bucket, &complete.key, complete.upload.as_str());
    let Some(row) = txn.get_row::<UploadRow>(Table::Uploads, &upload_key)? else {
        return completed_before(txn, complete)?.ok_or_else(no_such_upload);
    };
    let under = encrypt::upload_key(ring, &row, complete.customer_key.as_ref())?;
    let UploadRow { upload, key: of_key, envelope: _ } = row;
    if complete.parts.windows(2).any(|pair| matches!(pair, [a, b] if a.number >= b.number)) {
        let text = "The list of parts was not in ascending order. The parts list must be specified in order by part number.";
        return Err(Error::new(ErrorKind::InvalidPartOrder, text));
    }
    let there = uploads::all_parts(txn, &complete.upload)?;
    let chosen = choose(&complete.parts, &there)?;
    let size = check_sizes(&chosen, complete.size)?;
    let checksum = whole_checksum(&upload, complete, &chosen)?;
    let current = txn.object(&complete.bucket, &complete.key)?;
    check(&complete.conditions, current.as_deref())?;
    let replaced = versions::replaced(txn, &bucket, &complete.key, current.as_ref())?;
    let makes_room = replaced.as_ref().map_or(0, |row| i128::from(row.head.size));
    txn.check_bucket_limit(&complete.bucket, i128::from(size) - makes_room, i128::from(replaced.is_none()))?;
    let replaced = replaced.filter(|row| row.head.owner == upload.owner);
    // The parts' bytes are counted already.
    txn.check_quota(&upload.owner, quota, 0, if replaced.is_some() { 0 } else { 1 })?;

    let manifest = txn.new_id();
    let parts: Vec<PartInfo> =
        chosen.iter().map(|r| PartInfo { number: r.part.number, size: r.part.size, checksum: r.part.checksum.clone() }).collect();
    let keys = chosen.iter().filter_map(|r| r.part_key.clone()).collect();
    let files = chosen.iter().map(|r| PartFile { id: r.file, size: r.part.size }).collect();
    let generation = txn.next_generation();
    let at = Place::of_version(&complete.bucket, &complete.key, generation, size);
    let of = upload.encryption.map(|of| match complete.customer_key.clone() {
        Some(key) if of.is_customers() => Encryption::Customer(Some(key)),
        _ => of,
    });
    let row = Arc::new(ObjectRow {
        head: ObjectHead { size, etag: whole_etag(&chosen), modified: txn.now(), owner: upload.owner.clone(), checksum },
        tail: ObjectTail {
            generation,
            standing: versions::standing(&bucket),
            key: of_key,
            envelope: encrypt::envelope(ring, of.as_ref(), under.as_ref(), &at)?,
            acl: upload.acl,
            headers: upload.headers.clone(),
            lock: Lock { retention: upload.lock.retention.or(complete.default_retention), ..upload.lock },
            tags: upload.tags.clone(),
            sha256: None,
            place: BodyPlace::Parts { manifest },
            parts: Some(PartsRef { manifest, count: parts.len() as u16 }),
            inspection: None,
            unknown: Fields::default(),
        },
    });
    forget_parts(txn, &complete.upload, &there, &chosen)?;
    txn.del_row(Table::Uploads, upload_key)?;
    txn.set_row(Table::Manifests, key::id(manifest), &Manifest { parts: parts.clone(), files, keys })?;
    versions::make_current(txn, &bucket, &complete.key, row.clone())?;
    remember(txn, complete, &row)?;
    // What lies under a customer's key can't be read without him, and is shared with nobody.
    if !of.is_some_and(|of| of.is_customers()) {
        let todo = RehashRow { bucket: complete.bucket.clone(), key: complete.key.clone() };
        txn.set_row(Table::Rehash, key::id(generation), &todo)?;
    }
    Ok(Arc::new(row.info(parts)))
}

/// The rows of all parts go, and the files of those that are no part of the object.
fn forget_parts(txn: &mut Txn<'_>, upload: &UploadId, there: &[PartRow], chosen: &[&PartRow]) -> Result<()> {
    for part in there {
        // Both are in order of number.
        if chosen.binary_search_by_key(&part.part.number, |c| c.part.number).is_err() {
            txn.drop_later(&part.scope(), DropKind::Part, part.file)?;
        }
        txn.del_row(Table::Parts, key::part(upload.as_str(), part.part.number))?;
    }
    Ok(())
}

/// For the same request again.
fn remember(txn: &mut Txn<'_>, complete: &CompleteUpload, row: &ObjectRow) -> Result<()> {
    let done = CompletedRow {
        bucket: complete.bucket.clone(),
        key: complete.key.clone(),
        generation: row.tail.generation,
        named: row.tail.standing.named,
        at: txn.now(),
        request: request_digest(&complete.parts),
        head: Some(row.head.clone()),
    };
    txn.set_row(Table::Completed, complete.upload.as_str().as_bytes().to_vec(), &done)
}

/// The answer to the same request again: a client that lost the first answer must not think that its object is lost, also
/// where that was replaced or deleted since.
fn completed_before(txn: &Txn<'_>, complete: &CompleteUpload) -> Result<Option<SharedObject>> {
    let row: Option<CompletedRow> = txn.get_row(Table::Completed, complete.upload.as_str().as_bytes())?;
    let same = |r: &CompletedRow| r.bucket == complete.bucket && r.key == complete.key && r.request == request_digest(&complete.parts);
    let Some(row) = row.filter(same) else { return Ok(None) };
    let Some(head) = row.head else {
        let object = versions::of_generation(txn, &row.bucket, &row.key, row.generation)?;
        return Ok(object.map(|o| Arc::new(o.info(Vec::new()))));
    };
    // The answer speaks of nothing but the head.
    let tail = ObjectTail {
        generation: row.generation,
        standing: Standing { named: row.named, noncurrent_since: None },
        key: KeyId::None,
        envelope: None,
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        lock: Lock::default(),
        tags: Tags::default(),
        sha256: None,
        place: BodyPlace::Empty,
        parts: None,
        inspection: None,
        unknown: Fields::default(),
    };
    Ok(Some(Arc::new(ObjectRow { head, tail }.info(Vec::new()))))
}

fn request_digest(parts: &[CompletedPart]) -> Sha256 {
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update(part.number.to_le_bytes());
        hash.update(part.etag.and_then(|etag| etag.md5().copied()).map_or([0; 16], |md5| md5.0));
    }
    Sha256(hash.finalize().into())
}

fn choose<'p>(wanted: &[CompletedPart], there: &'p [PartRow]) -> Result<Vec<&'p PartRow>> {
    let invalid = |number: u16| {
        let text = "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified \
                    entity tag may not match the part's entity tag.";
        Error::new(ErrorKind::InvalidPart, text).detail("PartNumber", number.to_string())
    };
    if wanted.is_empty() {
        return Err(Error::new(ErrorKind::MalformedXml, "You must specify at least one part."));
    }
    wanted
        .iter()
        .map(|part| {
            let row = there.binary_search_by_key(&part.number, |r| r.part.number).ok().and_then(|i| there.get(i));
            let row = row.filter(|r| Some(r.part.etag) == part.etag).ok_or_else(|| invalid(part.number))?;
            // A checksum that is repeated must be right; one that is left out is known here.
            match &part.checksum {
                Some(said) if row.part.checksum.as_ref().is_some_and(|its| its.algorithm != said.algorithm) => {
                    Err(other_checksum(part.number, said.algorithm))
                }
                Some(said) if row.part.checksum.as_ref() != Some(said) => Err(invalid(part.number)),
                _ => Ok(row),
            }
        })
        .collect()
}

fn check_sizes(chosen: &[&PartRow], said: Option<u64>) -> Result<u64> {
    let all_but_last = chosen.split_last().map(|(_, rest)| rest).unwrap_or_default();
    if let Some(small) = all_but_last.iter().find(|r| r.part.size < MIN_PART_BYTES) {
        return Err(Error::new(ErrorKind::EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size")
            .detail("ProposedSize", small.part.size.to_string())
            .detail("MinSizeAllowed", MIN_PART_BYTES.to_string())
            .detail("PartNumber", small.part.number.to_string())
            .detail("ETag", small.part.etag.to_string()));
    }
    let size = chosen.iter().map(|r| r.part.size).sum();
    if said.is_some_and(|s| s != size) {
        let text = "The provided 'x-amz-mp-object-size' header does not match what was computed.";
        return Err(Error::new(ErrorKind::InvalidRequest, text));
    }
    Ok(size)
}

fn whole_etag(chosen: &[&PartRow]) -> ETag {
    let mut md5 = Md5Hasher::new();
    for row in chosen {
        md5.update(row.part.etag.md5().map_or(&[][..], |md5| &md5.0));
    }
    ETag::multipart(md5.finish(), chosen.len() as u16)
}

/// What the object's checksum is: as the upload announced, else what its parts allow.
fn whole_checksum(upload: &Upload, complete: &CompleteUpload, chosen: &[&PartRow]) -> Result<Option<Checksum>> {
    let first = chosen.first().and_then(|r| r.part.checksum.as_ref()).map(|c| c.algorithm);
    let (algorithm, kind) = match upload.checksum {
        Some((algorithm, kind)) => (algorithm, kind),
        None => match first {
            Some(a) if a.is_crc() => (a, ChecksumType::FullObject),
            Some(a) => (a, ChecksumType::Composite),
            None => return unknown_checksum(complete),
        },
    };
    if complete.checksum_type.is_some_and(|t| t != kind) {
        let said = complete.checksum_type.map_or("", ChecksumType::name);
        let text =
            format!("The upload was created using the {} checksum mode. The complete request must use the same, not {said}.", kind.name());
        return Err(Error::new(ErrorKind::InvalidRequest, text));
    }
    let parts: Option<Vec<(&Checksum, u64)>> =
        chosen.iter().map(|r| r.part.checksum.as_ref().filter(|c| c.algorithm == algorithm).map(|c| (c, r.part.size))).collect();
    let Some(parts) = parts else { return unknown_checksum(complete) };
    let computed = match kind {
        ChecksumType::Composite => composite(algorithm, &parts),
        ChecksumType::FullObject => full_object(algorithm, &parts),
    };
    if let (Some(said), Some(computed)) = (&complete.checksum, &computed) {
        // A client may leave out the `-N`.
        if said.algorithm != computed.algorithm || said.bytes() != computed.bytes() || (said.parts > 0 && said.parts != computed.parts) {
            let text = format!("The {} you specified did not match the calculated checksum.", said.algorithm.name());
            return Err(Error::new(ErrorKind::BadDigest, text));
        }
    }
    Ok(computed)
}

/// Parts without a common checksum: what the client says of the whole can't be checked, so it is not taken either.
fn unknown_checksum(complete: &CompleteUpload) -> Result<Option<Checksum>> {
    match complete.checksum {
        Some(_) => {
            Err(Error::new(ErrorKind::InvalidRequest, "The upload's parts have no checksum that the given one could be compared with."))
        }
        None => Ok(None),
    }
}

fn composite(algorithm: ChecksumAlgorithm, parts: &[(&Checksum, u64)]) -> Option<Checksum> {
    let mut hash = ChecksumHasher::new(algorithm);
    parts.iter().for_each(|(checksum, _)| hash.update(checksum.bytes()));
    hash.finish().map(|c| c.composite(parts.len() as u16))
}

/// CRCs are linear: that of the whole follows from those of the parts and their lengths. None for what is no CRC.
fn full_object(algorithm: ChecksumAlgorithm, parts: &[(&Checksum, u64)]) -> Option<Checksum> {
    let crc = crc_algorithm(algorithm)?;
    let number = |c: &Checksum| c.bytes().iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let (first, rest) = parts.split_first()?;
    let whole = rest.iter().fold(number(first.0), |whole, (c, len)| crc_fast::checksum_combine(crc, whole, number(c), *len));
    let bytes = whole.to_be_bytes();
    Checksum::new(algorithm, bytes.get(bytes.len() - algorithm.value_len()..)?)
}
