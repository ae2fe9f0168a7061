//! Brings a body from elsewhere under a tenant's key: taken in, looked at, and stored like any upload, by the tenant's right at this moment.
//!
//! Called by the kinds of work that fetch and that generate.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

use crate::auth::for_jobs::Asker;
use crate::auth::grant::Grant;
use crate::auth::{Action, Auth, Target};
use crate::base::checksum::ChecksumAlgorithm;
use crate::base::conditions::WriteConditions;
use crate::base::digest::Sha256;
use crate::base::error::{Error, Side};
use crate::base::media_type::{self, MediaType, SNIFF_BYTES};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{ObjectHeaders, SharedBucket, SharedObject};
use crate::base::object_ref::VersionSelector;
use crate::ingest::{Expect, Received, Staging, receive};
use crate::jobs::refused;
use crate::ops::Ops;
use crate::ops::encryption::Asked;
use crate::ops::write::NewObject;
use crate::queue::Fault;

/// Said by sources that do not know.
const SAYS_NOTHING: [&str; 4] = ["application/octet-stream", "binary/octet-stream", "application/unknown", "application/binary"];

/// A place that the tenant may write to.
pub struct Landing<'l> {
    pub ops: &'l Ops,
    pub grant: Grant,
}

/// What the bytes must be, where that was told.
#[derive(Default)]
pub struct Told {
    pub content_type: Option<String>,
    pub sha256: Option<Sha256>,
    pub bytes: Option<u64>,
}

impl<'l> Landing<'l> {
    pub fn at(ops: &'l Ops, auth: &Auth, asker: &Asker, bucket: &SharedBucket, key: &ObjectKey) -> Result<Self, Fault> {
        let target = Target::Object { bucket, key, version: VersionSelector::Current, object: None };
        let grant = auth.grant_for_job(asker, Action::PutObject, target).map_err(refused)?;
        Ok(Landing { ops, grant })
    }

    /// Where a body is staged of which so much is known: if it can be kept.
    pub async fn staging(&self, new: &NewObject, length: Option<u64>, max: u64) -> Result<Staging, Fault> {
        let expect = Expect { length, ..expect(max) };
        self.ops.staging_for(&self.grant, new, &WriteConditions::default(), &expect).await.map_err(fault)
    }

    /// An object with these headers; the type may come later.
    pub async fn new_object(&self, headers: ObjectHeaders) -> Result<NewObject, Fault> {
        let acl = self.grant.acl_asked(None).map_err(fault)?;
        let encryption = self.ops.encryption_of_new(&self.grant, Asked::Nothing).await.map_err(fault)?;
        Ok(NewObject { acl, headers, encryption, ..NewObject::default() })
    }

    pub async fn store(&self, new: NewObject, received: Received) -> Result<SharedObject, Fault> {
        Ok(self.ops.put(&self.grant, new, WriteConditions::default(), received).await.map_err(fault)?.object)
    }
}

/// The bucket as it is now.
pub async fn bucket(ops: &Ops, name: &BucketName) -> Result<SharedBucket, Fault> {
    ops.bucket_for_decision(name).await.map_err(fault)?.ok_or_else(|| Fault::dead(format!("refused: the bucket {name} is gone")))
}

fn expect(max: u64) -> Expect {
    Expect { max, compute: Some(ChecksumAlgorithm::Crc64Nvme), ..Expect::default() }
}

/// Takes all of it in. The error is the body's own where the body failed.
pub async fn take_in<B>(body: B, max: u64, staging: &Staging) -> Result<Received, Error>
where
    B: http_body::Body<Data = Bytes, Error = Error>,
{
    receive(pin!(body), None, &expect(max), staging).await
}

/// Of a source's answer: the headers that say something of the bytes themselves.
pub fn headers_of(answer: &HeaderMap) -> ObjectHeaders {
    let text = |name: HeaderName| answer.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let content_type = text(CONTENT_TYPE).filter(|said| is_said(said)).unwrap_or_default();
    let content_encoding = text(CONTENT_ENCODING).filter(|said| said != "identity");
    ObjectHeaders { content_type, content_encoding, ..ObjectHeaders::default() }
}

fn is_said(content_type: &str) -> bool {
    MediaType::parse(content_type.as_bytes()).is_some() && !SAYS_NOTHING.iter().any(|vague| content_type.eq_ignore_ascii_case(vague))
}

/// Err: how they are something else than what was told. Else what they are stored as: `told`, or what the source `said`, or what name and
/// first bytes look like.
pub fn content_type(received: &Received, told: &Told, said: &str, key: &str) -> Result<String, String> {
    if let Some(bytes) = told.bytes.filter(|bytes| *bytes != received.size) {
        return Err(format!("the source gave {} bytes, not {bytes}", received.size));
    }
    if let Some(sha256) = told.sha256.filter(|sha256| sha256 != received.sha256.digest()) {
        return Err(format!("the source gave bytes with the SHA-256 {}, not {}", received.sha256.digest().hex(), sha256.hex()));
    }
    let first = received.first_bytes(SNIFF_BYTES);
    let Some(wanted) = &told.content_type else {
        return Ok(if said.is_empty() { media_type::guess(key, &first).to_owned() } else { said.to_owned() });
    };
    if received.size == 0 && is_media(wanted) {
        return Err("the source gave no bytes".into());
    }
    if let Some(found) = media_type::by_content(&first).filter(|found| !is_alike(found, wanted)) {
        return Err(format!("the source gave {found}, not {wanted}"));
    }
    // Errors that are answered with success are pages and documents.
    let is_text = first.trim_ascii_start().first().is_some_and(|b| matches!(b, b'<' | b'{'));
    if is_text && is_media(wanted) && !wanted.contains("xml") && !wanted.contains("json") {
        return Err(format!("the source gave a page or a document, not {wanted}"));
    }
    Ok(wanted.clone())
}

fn is_media(content_type: &str) -> bool {
    ["image/", "video/", "audio/", "model/", "font/"].iter().any(|kind| content_type.starts_with(kind))
}

/// Whether bytes that look like `found` may be what is called `wanted`: containers have several names.
fn is_alike(found: &str, wanted: &str) -> bool {
    let essence = wanted.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if found == essence || SAYS_NOTHING.contains(&essence.as_str()) || SAYS_NOTHING.contains(&found) {
        return true;
    }
    let (found_kind, wanted_kind) = (found.split('/').next(), essence.split('/').next());
    match found {
        // A zip, and what is packed in one.
        "application/zip" | "application/gzip" => !["image", "video", "audio"].contains(&wanted_kind.unwrap_or_default()),
        "video/webm" | "video/mp4" | "video/quicktime" | "audio/mp4" | "audio/ogg" => matches!(wanted_kind, Some("video" | "audio")),
        // Of pictures and models each has one name, or an older one beside it.
        "image/jpeg" => essence == "image/jpg" || essence == "image/pjpeg",
        "image/vnd.radiance" => essence.contains("hdr") || essence.contains("radiance"),
        "image/x-exr" => essence.contains("exr"),
        "image/avif" | "image/png" | "image/webp" | "image/gif" | "image/ktx" | "image/ktx2" => false,
        "model/gltf-binary" => false,
        _ => found_kind == wanted_kind,
    }
}

/// Of what the store says.
pub fn fault(e: Error) -> Fault {
    match e.side() {
        Side::Caller if !e.retryable() => Fault::dead(e.message().to_owned()),
        _ => Fault::retry(format!("{:?}: {}", e.kind(), e.message())),
    }
}

/// Of the same tenant's, with that very content.
pub fn is_there(found: Option<&SharedObject>, owner: &crate::base::names::TenantId, sha256: &Sha256) -> bool {
    found.is_some_and(|found| found.owner == *owner && found.sha256.is_some_and(|known| known.digest() == sha256))
}

/// What `ops` and `auth` share with all attempts of a kind.
#[derive(Clone)]
pub struct Hands {
    pub ops: Ops,
    pub auth: Arc<Auth>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_type() {
        for (found, wanted) in [
            ("image/png", "image/png"),
            ("image/jpeg", "image/jpg"),
            ("video/mp4", "audio/mp4"),
            ("audio/ogg", "video/ogg"),
            ("application/zip", "model/vnd.usdz+zip"),
            ("image/vnd.radiance", "image/x-hdr"),
            ("image/png", "application/octet-stream"),
        ] {
            assert!(is_alike(found, wanted), "{found} {wanted}");
        }
        for (found, wanted) in [("image/png", "image/jpeg"), ("image/png", "model/gltf-binary"), ("application/zip", "image/png")] {
            assert!(!is_alike(found, wanted), "{found} {wanted}");
        }
    }

    #[test]
    fn what_sources_say() {
        assert!(is_said("image/png") && !is_said("binary/octet-stream") && !is_said("nonsense"));
    }
}
