//! An object upstream and what the gateway knows of it: a HEAD's answer becomes an `ObjectInfo`, an `ObjectInfo` becomes headers.
//!
//! What S3 can't hold (owner, ACL, proven hash, a checksum that the upstream does not keep) rides in one sealed metadata value,
//! bound to bucket, key and size. Where it does not open, the object is somebody else's plain object: the bucket owner's, private.
//! The hash counts only where the MD5 that was sealed with it is the object's ETag: a direct writer may keep the value and
//! change the bytes.

use std::collections::BTreeMap;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ObjectLockLegalHoldStatus, StorageClass};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::base::checksum::{ChecksumAlgorithm, ChecksumType};
use crate::base::digest::VerifiedSha256;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::etag::ETag;
use crate::base::lock::{Lock, Retention, RetentionMode};
use crate::base::names::TenantId;
use crate::base::object::{Acl, Layer, ObjectHeaders, ObjectInfo};
use crate::base::object_ref::VersionId;
use crate::base::storable::{ENCODED, SEALED, is_plain};
use crate::base::timestamp::Timestamp;
use crate::upstream::known::Known;
use crate::upstream::open::Inner;
use crate::upstream::sse::told;
use crate::upstream::stored;

/// Where a value belongs. An object that goes up in parts has no size yet when its metadata are sent.
pub fn seal_place(bucket: &str, key: &str, size: Option<u64>) -> String {
    match size {
        Some(size) => format!("object\n{bucket}\n{key}\n{size}"),
        None => format!("upload\n{bucket}\n{key}"),
    }
}

/// User metadata as they are sent, with the sealed value: in place of one of that name that an older store let through.
pub fn metadata(headers: &ObjectHeaders, sealed: &str) -> std::collections::HashMap<String, String> {
    let mut all: std::collections::HashMap<String, String> = headers
        .user
        .iter()
        .map(|(name, value)| {
            let text = match std::str::from_utf8(value) {
                Ok(text) if is_plain(value) => text.to_owned(),
                _ => format!("{}{}{}", ENCODED.0, STANDARD.encode(value), ENCODED.1),
            };
            (name.clone(), text)
        })
        .collect();
    all.insert(SEALED.into(), sealed.into());
    all
}

fn decoded(text: &str) -> Vec<u8> {
    let inner = text.strip_prefix(ENCODED.0).and_then(|t| t.strip_suffix(ENCODED.1));
    inner.and_then(|t| STANDARD.decode(t).ok()).unwrap_or_else(|| text.as_bytes().to_vec())
}

/// The version that an answer tells of. None: the bucket keeps none.
pub fn version(text: Option<&str>) -> VersionId {
    let id = text.map(VersionId::parse).transpose();
    id.inspect_err(|e| tracing::debug!(error = %e, "the upstream names a version in a way that can't be passed on"))
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// What keeps the version from being deleted, as HEAD tells it.
pub fn lock(head: &HeadObjectOutput) -> Lock {
    let mode = head.object_lock_mode().and_then(|mode| RetentionMode::parse(mode.as_str()));
    let until = head.object_lock_retain_until_date().map(|until| timestamp(Some(until)));
    let retention = mode.zip(until).map(|(mode, until)| Retention { mode, until });
    Lock { retention, legal_hold: head.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On) }
}

/// Names a version and no other: nobody else's bytes are ever taken for it.
pub fn generation(bucket: &str, key: &str, etag: &str, modified: Timestamp, version: Option<&str>) -> u64 {
    let digest = Sha256::digest(format!("{bucket}\n{key}\n{etag}\n{}\n{}", modified.millis(), version.unwrap_or_default()));
    // 63 bits: copies in replicas carry such numbers, so they stay as they are.
    digest.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b)) >> 1
}

pub fn timestamp(time: Option<&aws_smithy_types::DateTime>) -> Timestamp {
    let millis = time.and_then(|t| t.to_millis().ok()).and_then(|ms| u64::try_from(ms).ok());
    Timestamp::from_millis(millis.unwrap_or_default())
}

pub fn etag(text: Option<&str>) -> Result<ETag> {
    text.and_then(ETag::of_upstream).ok_or_else(|| {
        Error::new(ErrorKind::BadGateway, "The storage behind this gateway gave the object no ETag that can be worked with.")
            .caused_by(format!("upstream: ETag {text:?}"))
    })
}

/// The checksum of the whole, where the upstream keeps one.
macro_rules! checksum_of {
    ($answer:expr) => {{
        use $crate::base::checksum::{Checksum, ChecksumAlgorithm::*};
        let answer = $answer;
        [
            (Crc32, answer.checksum_crc32()),
            (Crc32c, answer.checksum_crc32_c()),
            (Crc64Nvme, answer.checksum_crc64_nvme()),
            (Sha1, answer.checksum_sha1()),
            (Sha256, answer.checksum_sha256()),
            (Md5, answer.checksum_md5()),
            (Sha512, answer.checksum_sha512()),
            (Xxhash64, answer.checksum_xxhash64()),
            (Xxhash3, answer.checksum_xxhash3()),
            (Xxhash128, answer.checksum_xxhash128()),
        ]
        .into_iter()
        .find_map(|(algorithm, text)| Checksum::parse(algorithm, text?))
    }};
}

/// The checksum for the upstream to verify, on a request.
macro_rules! with_checksum {
    ($request:expr, $checksum:expr) => {{
        use $crate::base::checksum::ChecksumAlgorithm::*;
        let (request, checksum): (_, &$crate::base::checksum::Checksum) = ($request, $checksum);
        match checksum.algorithm {
            Crc32 => request.checksum_crc32(checksum.to_string()),
            Crc32c => request.checksum_crc32_c(checksum.to_string()),
            Crc64Nvme => request.checksum_crc64_nvme(checksum.to_string()),
            Sha1 => request.checksum_sha1(checksum.to_string()),
            Sha256 => request.checksum_sha256(checksum.to_string()),
            Md5 => request.checksum_md5(checksum.to_string()),
            Sha512 => request.checksum_sha512(checksum.to_string()),
            Xxhash64 => request.checksum_xxhash64(checksum.to_string()),
            Xxhash3 => request.checksum_xxhash3(checksum.to_string()),
            Xxhash128 => request.checksum_xxhash128(checksum.to_string()),
        }
    }};
}

/// The stored headers, on a request that writes an object.
macro_rules! with_headers {
    ($request:expr, $headers:expr) => {{
        let headers: &$crate::base::object::ObjectHeaders = $headers;
        let plain = |text: &Option<String>| text.clone().filter(|t| t.is_ascii());
        $request
            .set_content_type(Some(headers.content_type.clone()).filter(|t| t.is_ascii() && !t.is_empty()))
            .set_cache_control(plain(&headers.cache_control))
            .set_content_disposition(plain(&headers.content_disposition))
            .set_content_encoding(plain(&headers.content_encoding))
            .set_content_language(plain(&headers.content_language))
            .set_website_redirect_location(plain(&headers.website_redirect))
    }};
}

/// How objects are kept, on a request that writes one.
macro_rules! with_keeping {
    ($request:expr, $settings:expr, $headers:expr, $encryption:expr) => {{
        let settings: &$crate::upstream::settings::Settings = $settings;
        let headers: &$crate::base::object::ObjectHeaders = $headers;
        let class = headers.storage_class.as_deref().or(settings.storage_class.as_deref());
        let asked: Option<&$crate::base::encryption::Encryption> = $encryption;
        let by_setting = settings.kms_key.clone().filter(|_| asked.is_none());
        let kms = asked.and_then(|asked| asked.kms());
        let named = kms.filter(|kms| !kms.key.is_of_store()).map(|kms| kms.key.to_string());
        let request = $request
            .set_server_side_encryption($crate::upstream::sse::algorithm(asked, by_setting.is_some()))
            .set_ssekms_key_id(by_setting.or(named))
            .set_ssekms_encryption_context(kms.and_then(|kms| kms.context.clone()))
            .set_bucket_key_enabled(kms.filter(|kms| kms.bucket_key).map(|_| true));
        $crate::upstream::sse::with_key!(request, asked.and_then(|asked| asked.customer_key()).map(|key| &**key))
            .set_storage_class(class.map(aws_sdk_s3::types::StorageClass::from))
    }};
}

/// What is to keep the version from being deleted, on a request that makes one.
macro_rules! with_lock {
    ($request:expr, $lock:expr) => {{
        let lock: &$crate::base::lock::Lock = $lock;
        let until = lock.retention.map(|r| $crate::upstream::info::date_time(r.until));
        $request
            .set_object_lock_mode(lock.retention.map(|r| aws_sdk_s3::types::ObjectLockMode::from(r.mode.name())))
            .set_object_lock_retain_until_date(until)
            .set_object_lock_legal_hold_status(lock.legal_hold.then_some(aws_sdk_s3::types::ObjectLockLegalHoldStatus::On))
    }};
}

pub(crate) use {checksum_of, with_checksum, with_headers, with_keeping, with_lock};

pub fn date_time(time: Timestamp) -> aws_smithy_types::DateTime {
    aws_smithy_types::DateTime::from_millis(i64::try_from(time.millis()).unwrap_or(i64::MAX))
}

/// Headers that the SDK has no way to send: text that is not ASCII, and an `Expires` that need not be a date.
pub fn raw_headers(headers: &ObjectHeaders) -> Vec<(&'static str, String)> {
    let all = [
        ("content-type", Some(&headers.content_type)),
        ("cache-control", headers.cache_control.as_ref()),
        ("content-disposition", headers.content_disposition.as_ref()),
        ("content-encoding", headers.content_encoding.as_ref()),
        ("content-language", headers.content_language.as_ref()),
        ("x-amz-website-redirect-location", headers.website_redirect.as_ref()),
    ];
    let raw = all.into_iter().filter_map(|(name, text)| Some((name, text.filter(|t| !t.is_ascii())?.clone())));
    raw.chain(headers.expires.clone().map(|t| ("expires", t))).collect()
}

impl Inner {
    pub fn sealed(&self, known: &Known, place: &str) -> Result<String> {
        Ok(URL_SAFE_NO_PAD.encode(self.sealer.seal(place, &stored::write_seal(known)?)?))
    }

    /// What was sealed with the object at its place. None: a plain object.
    pub fn known(&self, bucket: &str, key: &str, size: u64, sealed: &str) -> Option<Known> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let open = |size| self.sealer.open(&seal_place(bucket, key, size), &sealed);
        let text = open(Some(size)).or_else(|| open(None))?;
        stored::read_seal(&text).inspect_err(|e| tracing::warn!(error = %e, key, "what was sealed with an object can't be read")).ok()
    }

    /// `owner`: of the bucket.
    pub fn info(&self, bucket: &str, key: &str, owner: &TenantId, head: &HeadObjectOutput) -> Result<ObjectInfo> {
        let etag = etag(head.e_tag())?;
        let size = head
            .content_length()
            .and_then(|n| u64::try_from(n).ok())
            .ok_or_else(|| Error::new(ErrorKind::BadGateway, "The storage behind this gateway did not tell the object's size."))?;
        let modified = timestamp(head.last_modified());
        let sent = head.metadata();
        let known = sent.and_then(|m| m.get(SEALED)).and_then(|s| self.known(bucket, key, size, s));
        known.as_ref().map_or(Ok(()), |k| k.unknown.fields.require_known())?;
        let encoded = known.as_ref().map(|k| k.encoded.as_slice()).unwrap_or_default();
        let user: BTreeMap<String, Vec<u8>> = sent
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != SEALED)
            .map(|(name, text)| (name.clone(), if encoded.contains(name) { decoded(text) } else { text.as_bytes().to_vec() }))
            .collect();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let headers = ObjectHeaders {
            content_type: owned(head.content_type()).unwrap_or_default(),
            cache_control: owned(head.cache_control()),
            content_disposition: owned(head.content_disposition()),
            content_encoding: owned(head.content_encoding()),
            content_language: owned(head.content_language()),
            expires: owned(head.expires_string()),
            website_redirect: owned(head.website_redirect_location()),
            storage_class: head.storage_class().filter(|c| **c != StorageClass::Standard).map(|c| c.as_str().to_owned()),
            user,
        };
        let encryption = told!(head);
        let same_bytes = |k: &&Known| {
            Encryption::shows_md5(encryption.as_ref()) && k.md5.is_some() && etag.parts().is_none() && k.md5.as_ref() == etag.md5()
        };
        let proven = known.as_ref().filter(same_bytes);
        let upstreams = checksum_of!(head);
        // One of the whole that the upstream itself computed and kept.
        let vouched = upstreams.as_ref().filter(|c| c.algorithm == ChecksumAlgorithm::Sha256 && c.kind() == ChecksumType::FullObject);
        let vouched = vouched.and_then(|c| <[u8; 32]>::try_from(c.bytes()).ok());
        Ok(ObjectInfo {
            size,
            etag,
            modified,
            generation: generation(bucket, key, &etag.to_string(), modified, head.version_id()),
            owner: known.as_ref().map_or_else(|| owner.clone(), |k| k.owner.clone()),
            acl: known.as_ref().map_or_else(Acl::default, |k| k.acl.clone()),
            headers,
            sha256: proven.and_then(|k| k.sha256).or_else(|| {
                let digest = vouched.filter(|_| etag.parts().is_none())?;
                Some(VerifiedSha256::proven(crate::base::digest::Sha256(digest)))
            }),
            // What was asked for comes before what the upstream keeps of itself, where it did not know that.
            checksum: proven.and_then(|k| k.checksum.clone()).or(upstreams),
            parts: Vec::new(),
            restore: owned(head.restore()),
            version: version(head.version_id()),
            lock: lock(head),
            tag_count: self.tag_count(head.tag_count()),
            encryption,
            inspection: None,
            unknown: known.map(|k| k.unknown).unwrap_or_default(),
            layer: Layer::Store,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::checksum::Checksum;
    use crate::base::digest::Md5;
    use crate::upstream::known::SourceVersion;

    /// What the door leaves room for.
    #[test]
    fn the_sealed_value_at_its_longest() {
        use crate::base::storable::SEALED_BYTES;
        let owner = TenantId::parse(&"t".repeat(64)).unwrap();
        let checksum = Checksum::new(ChecksumAlgorithm::Sha256, &[255; 32]).unwrap().composite(10_000);
        let (md5, sha256) = (Md5([255; 16]), VerifiedSha256::proven(crate::base::digest::Sha256([255; 32])));
        let etag = ETag::of_upstream(&"f".repeat(64)).unwrap();
        let source = Some(SourceVersion { etag, modified: Timestamp::from_millis(u64::MAX >> 1), generation: u64::MAX });
        let known = Known {
            sha256: Some(sha256),
            md5: Some(md5),
            checksum: Some(checksum),
            source,
            ..Known::new(owner, Acl::default(), &ObjectHeaders::default())
        };
        let text = stored::write_seal(&known).unwrap();
        // A nonce before it, a tag behind it.
        let sealed = SEALED.len() + URL_SAFE_NO_PAD.encode(vec![0; 12 + text.len() + 16]).len();
        assert!((SEALED_BYTES - 8..=SEALED_BYTES).contains(&sealed), "{sealed}");
    }

    #[test]
    fn names_of_versions() {
        let of = |n: u64, version| generation("home", "k", &format!("etag {n}"), Timestamp::from_millis(n), version);
        let all: std::collections::HashSet<u64> = (0..200).flat_map(|n| [of(n, None), of(n, Some("v1"))]).collect();
        assert_eq!(all.len(), 400);
        assert_eq!(of(7, Some("v1")), 8_994_479_040_749_358_988, "replicas hold such numbers");
    }
}
