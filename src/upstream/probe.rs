//! What the upstream can do, found out at the start by trying: many stores take a condition and then ignore it.
//!
//! Every request here would do harm nowhere: it is about an object of the probe's own, with a name that nobody else has.

use std::fmt;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, EncodingType, MetadataDirective,
    ObjectAttributes,
};
use percent_encoding::utf8_percent_encode;

use crate::base;
use crate::base::error::{Error, Result};
use crate::ingest::hasher::ChecksumHasher;
use crate::upstream::fault;
use crate::upstream::open::Inner;
use crate::upstream::write::PATH;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// If-Match and If-None-Match on PUT.
    pub conditional_writes: bool,
    pub conditional_deletes: bool,
    /// If-None-Match when an upload in parts is completed.
    pub conditional_completes: bool,
    /// x-amz-copy-source-if-match: the copy is of the version that was meant. Without it no content is spared its upload.
    pub conditional_copies: bool,
    /// If-Match on GET. Without it the ETag of each answer is compared.
    pub conditional_reads: bool,
    /// A wrong CRC64NVME is refused. Without that, bodies carry their MD5.
    pub checksums: bool,
    /// It verifies XXHASH3, one of the five that S3 learned last, and so it is taken to know all ten.
    pub all_checksums: bool,
    /// A copy gets the checksum that is asked for. Without that, its source is read and hashed here.
    pub copied_checksums: bool,
    /// CompleteMultipartUpload takes parts without their checksums. Without that, those it knows itself are repeated to it.
    pub bare_completes: bool,
    /// GetObjectAttributes. Some send the object instead, however large it is.
    pub attributes: bool,
    /// Listings encode names where they say so. Without that, names are taken as they are.
    pub encoded_names: bool,
    /// Objects have tags, and are made with them.
    pub tags: bool,
    /// A HEAD says how many.
    pub tag_counts: bool,
    /// It says whether a bucket keeps versions, and so can be told to.
    pub versioning: bool,
    /// What is overwritten or deleted in home is kept as an older version.
    pub versions: bool,
}

impl fmt::Display for Abilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("conditional writes", self.conditional_writes),
            ("conditional deletes", self.conditional_deletes),
            ("conditional completion", self.conditional_completes),
            ("conditional copies", self.conditional_copies),
            ("conditional reads", self.conditional_reads),
            ("checksums", self.checksums),
            ("all checksums", self.all_checksums),
            ("checksums of copies", self.copied_checksums),
            ("parts without checksums", self.bare_completes),
            ("attributes", self.attributes),
            ("encoded names", self.encoded_names),
            ("tags", self.tags),
            ("counts of tags", self.tag_counts),
            ("versioning", self.versioning),
            ("versions", self.versions),
        ];
        let names: Vec<&str> = all.iter().filter(|(_, can)| *can).map(|(name, _)| *name).collect();
        f.write_str(&names.join(", "))
    }
}

const BODY: &[u8] = b"tidegate looks what this store can do\n";
/// Not the body's.
const WRONG_CRC64: &str = "AAAAAAAAAAE=";
const WRONG_ETAG: &str = "\"00000000000000000000000000000001\"";

/// A refusal that shows that the condition (or checksum) was looked at. Anything but an answer is a fault.
fn refused<T, E>(answer: Result<T, SdkError<E, HttpResponse>>, by: &[u16]) -> Result<bool>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(_) => Ok(false),
        Err(e) if fault::status(&e).is_some_and(|s| by.contains(&s)) => Ok(true),
        // What it does not know it refuses altogether, or stumbles over: that is not what was asked for, and no outage.
        Err(e) if fault::status(&e).is_some_and(|s| matches!(s, 400 | 405 | 409 | 411 | 412 | 500 | 501)) => Ok(false),
        Err(e) => Err(fault::of(e)),
    }
}

impl Inner {
    pub async fn probe(&self) -> Result<Abilities> {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).map_err(|e| Error::internal(e.to_string()))?;
        // The last characters mean something else where a listing is encoded.
        let key = format!("{}probe/{}+%41", self.map.state(), hex::encode(random));
        let found = self.probe_with(&key).await;
        // What is left of it is hidden and does no harm.
        let _ = self.client.delete_object().bucket(self.map.home()).key(&key).send().await;
        if found.as_ref().is_ok_and(|found| found.versions) {
            self.forget_versions(&key).await;
        }
        let found = found?;
        found.warn();
        Ok(found)
    }

    async fn probe_with(&self, key: &str) -> Result<Abilities> {
        let home = self.map.home();
        let put = || self.client.put_object().bucket(home).key(key).body(ByteStream::from_static(BODY));
        put().send().await.map_err(fault::of)?;
        let (tags, tag_counts) = self.probe_tags(key).await;
        // An id of a version proves nothing: some give one and keep none.
        let versioning = self.client.get_bucket_versioning().bucket(home).send().await;
        let versions = versioning.as_ref().is_ok_and(|v| v.status() == Some(&BucketVersioningStatus::Enabled));
        let versioning = versioning.is_ok();
        let attributes = self.client.get_object_attributes().bucket(home).key(key).object_attributes(ObjectAttributes::ObjectSize);
        let attributes = attributes.send().await.is_ok_and(|got| got.object_size() == i64::try_from(BODY.len()).ok());
        let mut checksums = refused(put().checksum_crc64_nvme(WRONG_CRC64).send().await, &[400])?;
        let conditional_writes =
            refused(put().if_none_match("*").send().await, &[412])? && refused(put().if_match(WRONG_ETAG).send().await, &[412])?;
        let get = self.client.get_object().bucket(home).key(key).if_match(WRONG_ETAG);
        let conditional_reads = refused(get.send().await, &[412])?;
        let copy = self.client.copy_object().bucket(home).key(key).metadata_directive(MetadataDirective::Replace);
        let copy = copy.copy_source(utf8_percent_encode(&format!("{home}/{key}"), PATH).to_string()).copy_source_if_match(WRONG_ETAG);
        // Only an economy depends on it: whatever goes wrong is no reason not to start.
        let conditional_copies = refused(copy.send().await, &[412]).unwrap_or(false);
        let copied_checksums = checksums && self.probe_checksum_of_copy(key).await;
        let delete = self.client.delete_object().bucket(home).key(key).if_match(WRONG_ETAG);
        let conditional_deletes = refused(delete.send().await, &[412])?;
        // It may just have gone.
        put().send().await.map_err(fault::of)?;
        let xxhash = ChecksumHasher::digest(base::checksum::ChecksumAlgorithm::Xxhash3, BODY).map(|c| c.to_string());
        let all_checksums = checksums
            && refused(put().checksum_xxhash3(WRONG_CRC64).send().await, &[400]).unwrap_or(false)
            && put().set_checksum_xxhash3(xxhash).send().await.is_ok();
        let encoded_names = self.probe_names(key).await?;
        let parts = match self.probe_parts(key, checksums).await {
            // It may know checksums of whole bodies only.
            Err(e) if checksums => {
                tracing::info!(error = %e, "the upstream takes no CRC64NVME of parts");
                checksums = false;
                self.probe_parts(key, false).await?
            }
            other => other?,
        };
        let (conditional_completes, bare_completes) = parts;
        Ok(Abilities {
            conditional_writes,
            conditional_deletes,
            conditional_completes,
            conditional_copies,
            conditional_reads,
            checksums,
            all_checksums: all_checksums && checksums,
            copied_checksums: copied_checksums && checksums,
            bare_completes,
            attributes,
            encoded_names,
            tags,
            tag_counts,
            versioning,
            versions,
        })
    }

    /// Whatever goes wrong is no reason not to start.
    async fn probe_checksum_of_copy(&self, key: &str) -> bool {
        let home = self.map.home();
        let copy = self.client.copy_object().bucket(home).key(key).metadata_directive(MetadataDirective::Replace);
        let copy = copy.copy_source(utf8_percent_encode(&format!("{home}/{key}"), PATH).to_string());
        let copied = copy.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await;
        let expected = ChecksumHasher::digest(base::checksum::ChecksumAlgorithm::Sha256, BODY).map(|c| c.to_string());
        copied.is_ok_and(|done| done.copy_object_result().and_then(|r| r.checksum_sha256()) == expected.as_deref())
    }

    async fn forget_versions(&self, key: &str) {
        let home = self.map.home();
        let Ok(listed) = self.client.list_object_versions().bucket(home).prefix(key).send().await else { return };
        let objects = listed.versions().iter().map(|v| v.version_id());
        let all = objects.chain(listed.delete_markers().iter().map(|m| m.version_id()));
        // Owned: a start may be spawned, and what borrows across an await could not be.
        let ids: Vec<String> = all.flatten().map(str::to_owned).collect();
        for id in ids {
            let _ = self.client.delete_object().bucket(home).key(key).version_id(id).send().await;
        }
    }

    /// Whether tags that a PUT gives are there, and told by a HEAD. Who may not set them can't: that is no reason not to start.
    async fn probe_tags(&self, key: &str) -> (bool, bool) {
        const PROBE: (&str, &str) = ("tidegate", "probe");
        let home = self.map.home();
        let put = self.client.put_object().bucket(home).key(key).body(ByteStream::from_static(BODY));
        if let Err(e) = put.tagging(format!("{}={}", PROBE.0, PROBE.1)).send().await {
            tracing::debug!(error = %fault::of(e), "the upstream takes no tags");
            return (false, false);
        }
        let told = self.client.get_object_tagging().bucket(home).key(key).send().await;
        let tags = told.is_ok_and(|told| told.tag_set().iter().any(|tag| (tag.key(), tag.value()) == PROBE));
        let head = self.client.head_object().bucket(home).key(key).send().await;
        (tags, tags && head.is_ok_and(|head| head.tag_count() == Some(1)))
    }

    async fn probe_names(&self, key: &str) -> Result<bool> {
        let prefix = key.trim_end_matches("+%41");
        let list = self.client.list_objects_v2().bucket(self.map.home()).prefix(prefix).encoding_type(EncodingType::Url);
        let listed = list.send().await.map_err(fault::of)?;
        let named = listed.contents().iter().filter_map(|o| o.key()).next();
        // One that lists late is taken by its word.
        Ok(named != Some(key))
    }

    /// Whether a condition of a completion is decided, and whether one without the checksums of its parts is taken.
    async fn probe_parts(&self, key: &str, checksums: bool) -> Result<(bool, bool)> {
        let home = self.map.home();
        let create = self.client.create_multipart_upload().bucket(home).key(key);
        let create = create
            .set_checksum_algorithm(checksums.then_some(ChecksumAlgorithm::Crc64Nvme))
            .set_checksum_type(checksums.then_some(ChecksumType::FullObject));
        let created = create.send().await.map_err(fault::of)?;
        let id = created.upload_id().unwrap_or_default();
        let found = self.probe_completion(key, id, checksums).await;
        let _ = self.client.abort_multipart_upload().bucket(home).key(key).upload_id(id).send().await;
        found
    }

    async fn probe_completion(&self, key: &str, id: &str, checksums: bool) -> Result<(bool, bool)> {
        let home = self.map.home();
        let crc = ChecksumHasher::digest(base::checksum::ChecksumAlgorithm::Crc64Nvme, BODY).filter(|_| checksums).map(|c| c.to_string());
        let part = self.client.upload_part().bucket(home).key(key).upload_id(id).part_number(1);
        let part = part.set_checksum_crc64_nvme(crc.clone()).body(ByteStream::from_static(BODY)).send().await.map_err(fault::of)?;
        let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag().map(str::to_owned));
        let complete = |part: CompletedPart| {
            let list = CompletedMultipartUpload::builder().parts(part).build();
            self.client.complete_multipart_upload().bucket(home).key(key).upload_id(id).multipart_upload(list)
        };
        let full = part.clone().set_checksum_crc64_nvme(crc).build();
        let conditional = refused(complete(full).if_none_match("*").send().await, &[412])?;
        // Where it ignored the condition, the upload is complete: then the safe way is taken.
        let bare = conditional && !refused(complete(part.build()).send().await, &[400, 404])?;
        Ok((conditional, bare))
    }
}

impl Abilities {
    fn warn(&self) {
        let lacks = [
            (
                self.conditional_writes,
                "it ignores If-Match or If-None-Match on PUT: conditional writes are answered 501, and the gateway's own state is safe with one node only",
            ),
            (self.conditional_deletes, "it ignores If-Match on DELETE: conditional deletes are answered 501"),
            (self.conditional_completes, "it ignores If-None-Match on CompleteMultipartUpload: conditions there are answered 501"),
            (self.conditional_copies, "it ignores x-amz-copy-source-if-match: content that it has already is sent again"),
            (self.conditional_reads, "it ignores If-Match on GET: the ETag of each answer is compared instead"),
            (self.encoded_names, "it says that names in listings are encoded, and does not encode them: they are taken as they are"),
            (self.tags, "it keeps no tags of objects, or the gateway's credentials may not set and read them: tags are answered 501"),
            (self.checksums, "it does not verify CRC64NVME: bodies carry Content-MD5 instead"),
            (
                self.all_checksums || !self.checksums,
                "it does not verify MD5, SHA512 and xxHash checksums: of whole objects the gateway keeps them, uploads in parts get none",
            ),
        ];
        if !self.versioning {
            tracing::info!("the upstream keeps no versions, or does not tell these credentials: PutBucketVersioning is answered 501");
        } else if !self.versions {
            tracing::info!("the bucket upstream keeps no versions: what is overwritten or deleted is gone");
        }
        lacks.iter().filter(|(can, _)| !can).for_each(|(_, text)| tracing::warn!("the upstream lacks something: {text}"));
    }
}
