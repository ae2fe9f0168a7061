//! What is told of a key or a version that is not there: nothing to who may not know even that, and of a delete marker that it is one.
//!
//! Called where a look-up found nothing. Not here: who may know (`auth`).
//! Invariant: the door for browsers tells of no marker; there every key that is not there is alike.

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::ObjectKey;
use crate::base::object::SharedBucket;
use crate::base::object_ref::{ObjectRef, VersionSelector, no_such_version};
use crate::base::versions::{Marker, Versioning};
use crate::http::exchange::Exchange;

// Of answers and of errors; there they are details that are told in headers.
pub const DELETE_MARKER: &str = "x-amz-delete-marker";
pub const VERSION_ID: &str = "x-amz-version-id";

impl Exchange<'_> {
    /// The answer where `of` was not found.
    pub async fn absent(&self, bucket: &SharedBucket, of: ObjectRef<'_>) -> Result<Error> {
        self.record.saw_bucket(bucket.clone());
        if !self.may_know_absence(bucket, of) {
            return Ok(Error::new(ErrorKind::AccessDenied, "Access Denied"));
        }
        self.metered(&bucket.name, ())?;
        let keeps_versions = bucket.versioning() != Versioning::Never;
        let marker = match self.tells_markers && keeps_versions {
            true => self.gateway.ops.marker_for_decision(of).await?,
            false => None,
        };
        Ok(match (of.version, marker) {
            (VersionSelector::Current, None) => no_such_key(of.key),
            (VersionSelector::Current, Some(marker)) => with_marker(no_such_key(of.key), &marker),
            (VersionSelector::Exact(_), None) => no_such_version(of),
            (VersionSelector::Exact(_), Some(marker)) => is_a_marker(&marker).detail("last-modified", marker.modified.http_date()),
        })
    }
}

fn no_such_key(key: &ObjectKey) -> Error {
    Error::new(ErrorKind::NoSuchKey, "The specified key does not exist.").detail("Key", key.as_str())
}

/// Nothing but a delete is done with it.
fn is_a_marker(marker: &Marker) -> Error {
    let error = Error::new(ErrorKind::MethodNotAllowed, "The specified method is not allowed against this resource.");
    with_marker(error.detail("ResourceType", "DeleteMarker").detail("AllowedMethods", "DELETE"), marker)
}

fn with_marker(error: Error, marker: &Marker) -> Error {
    error.detail(DELETE_MARKER, "true").detail(VERSION_ID, marker.version.as_str())
}

/// Whether what was not found is hidden by a delete marker, or is one.
pub fn speaks_of_a_marker(error: &Error) -> bool {
    error.details().iter().any(|(name, _)| *name == DELETE_MARKER)
}

/// For calls that a marker can't take, also where it is the current version and was not named.
pub fn not_on_a_marker(error: Error) -> Error {
    if error.kind() != ErrorKind::NoSuchKey || !speaks_of_a_marker(&error) {
        return error;
    }
    let refused = Error::new(ErrorKind::MethodNotAllowed, "The specified method is not allowed against this resource.");
    let refused = refused.detail("ResourceType", "DeleteMarker").detail("AllowedMethods", "DELETE");
    let headers = error.details().iter().filter(|(name, _)| matches!(*name, DELETE_MARKER | VERSION_ID));
    headers.fold(refused, |refused, (name, value)| refused.detail(name, value.clone()))
}
