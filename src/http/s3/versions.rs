//! Versions of objects on the S3 door: how a bucket keeps them (`?versioning`), and the headers that name one.
//!
//! Not here: listings of them (`list`), what is told of a delete marker (`http::absence`).
//! MFA delete is refused: nobody here has a second factor.

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::BucketName;
use crate::base::object::{Bucket, ObjectInfo};
use crate::base::object_ref::VersionId;
use crate::base::versions::Versioning;
use crate::http::absence::{DELETE_MARKER, VERSION_ID};
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer, value};
use crate::http::xml::{Element, Writer};
use crate::origin::Deleted;

const ROOT: &str = "VersioningConfiguration";
const SOURCE_VERSION: HeaderName = HeaderName::from_static("x-amz-copy-source-version-id");

pub async fn get_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketVersioning, name).await?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let state = exchange.existing(bucket, name)?.versioning();
    Ok(respond::xml(document(state)))
}

pub async fn put_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketVersioning, name).await?;
    let enabled = parse(&exchange.document().await?)?;
    exchange.gateway.ops.set_versioning(&grant, enabled).await?;
    Ok(respond::empty(StatusCode::OK))
}

/// Of a bucket where it was never turned on it is empty, as on S3.
fn document(state: Versioning) -> String {
    let mut w = Writer::document(ROOT);
    w.leaf_if("Status", state.name());
    w.finish(ROOT)
}

/// Whether versions are kept from now on.
fn parse(document: &[u8]) -> Result<bool> {
    let root = Element::parse(document, ROOT)?;
    match root.text_of("MfaDelete").or_else(|| root.text_of("MFADelete")) {
        None | Some("Disabled") => {}
        Some("Enabled") => {
            let text = "MFA delete is not implemented by this gateway: nobody here has a second factor. Object Lock keeps versions from being deleted.";
            return Err(Error::new(ErrorKind::NotImplemented, text));
        }
        Some(_) => return Err(malformed()),
    }
    match root.text_of("Status") {
        Some("Enabled") => Ok(true),
        Some("Suspended") => Ok(false),
        Some(_) => Err(malformed()),
        None => Err(Error::new(ErrorKind::IllegalVersioningConfiguration, "The Versioning element must be specified")),
    }
}

fn malformed() -> Error {
    Error::new(ErrorKind::MalformedXml, "The XML you provided was not well-formed or did not validate against our published schema")
}

/// The version that an answer names: none where none were ever kept.
pub fn shown<'o>(bucket: &Bucket, object: &'o ObjectInfo) -> Option<&'o VersionId> {
    let version = &object.version;
    (*version != VersionId::Null || bucket.versioning() != Versioning::Never).then_some(version)
}

/// Of what was read.
pub fn tell_read(headers: &mut HeaderMap, bucket: &Bucket, object: &ObjectInfo) {
    shown(bucket, object).into_iter().for_each(|version| tell(headers, VERSION_ID, version));
}

/// Of what was written. Where versions are no longer kept S3 does not say that it is called `null`.
pub fn tell_written(headers: &mut HeaderMap, object: &ObjectInfo) {
    if object.version != VersionId::Null {
        tell(headers, VERSION_ID, &object.version);
    }
}

/// Of what was copied from.
pub fn tell_source(headers: &mut HeaderMap, version: Option<&VersionId>) {
    if let Some(v) = version.and_then(|version| value(version.as_str())) {
        headers.insert(SOURCE_VERSION, v);
    }
}

/// `asked`: the version that was to be deleted.
pub fn tell_deleted(headers: &mut HeaderMap, asked: Option<&VersionId>, deleted: &Deleted) {
    if let Some(version) = deleted.version.as_ref().or(asked) {
        tell(headers, VERSION_ID, version);
    }
    if deleted.marker {
        headers.insert(DELETE_MARKER, HeaderValue::from_static("true"));
    }
}

fn tell(headers: &mut HeaderMap, name: &'static str, version: &VersionId) {
    if let Some(v) = value(version.as_str()) {
        headers.insert(HeaderName::from_static(name), v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked() {
        let parsed =
            |inner: &str| parse(format!("<VersioningConfiguration>{inner}</VersioningConfiguration>").as_bytes()).map_err(|e| e.kind());
        assert_eq!(parsed("<Status> Enabled </Status><MfaDelete>Disabled</MfaDelete>"), Ok(true));
        assert_eq!(parsed("<Status>Suspended</Status>"), Ok(false));
        assert_eq!(parsed("<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>"), Err(ErrorKind::NotImplemented));
        assert_eq!(parsed(""), Err(ErrorKind::IllegalVersioningConfiguration));
        for bad in [
            "<Status>enabled</Status>",
            "<Status></Status>",
            "<Status>Disabled</Status>",
            "<Status>Enabled</Status><MfaDelete>x</MfaDelete>",
        ] {
            assert_eq!(parsed(bad), Err(ErrorKind::MalformedXml), "{bad}");
        }
        for (state, again) in [(Versioning::Enabled, Ok(true)), (Versioning::Suspended, Ok(false))] {
            assert_eq!(parse(document(state).as_bytes()).map_err(|e| e.kind()), again);
        }
    }
}
