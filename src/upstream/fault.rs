//! What the SDK says went wrong, in our own words. Trouble upstream is never the client's fault: 502, 503 or 504, and never a
//! 403 or 404, which a CDN would keep. What the reason is stands in the log.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::base::error::{Error, ErrorKind};
use crate::origin::no_lock_configuration;

/// An error answer of the upstream, as far as callers decide by it.
pub fn status<E>(e: &SdkError<E, HttpResponse>) -> Option<u16> {
    match e {
        SdkError::ServiceError(service) => Some(service.raw().status().as_u16()),
        _ => None,
    }
}

pub fn code<E: ProvideErrorMetadata>(e: &SdkError<E, HttpResponse>) -> Option<&str> {
    e.as_service_error().and_then(ProvideErrorMetadata::code)
}

pub fn message<E: ProvideErrorMetadata>(e: &SdkError<E, HttpResponse>) -> Option<&str> {
    e.as_service_error().and_then(ProvideErrorMetadata::message)
}

/// There is no such object. A bucket that is not there is another thing: somebody took it away under us.
pub fn is_no_such_key<E: ProvideErrorMetadata>(e: &SdkError<E, HttpResponse>) -> bool {
    status(e) == Some(404) && code(e).is_none_or(|c| matches!(c, "NoSuchKey" | "NotFound"))
}

/// The key has no version of that name.
pub fn is_no_such_version<E: ProvideErrorMetadata>(e: &SdkError<E, HttpResponse>) -> bool {
    is_no_such_key(e) || status(e) == Some(404) && code(e) == Some("NoSuchVersion")
}

/// It does not know what was asked for, or does not tell these credentials. Not where these are of no use for anything just now.
pub fn is_not_told<E: ProvideErrorMetadata>(e: &SdkError<E, HttpResponse>) -> bool {
    let useless =
        ["ExpiredToken", "TokenRefreshRequired", "RequestTimeTooSkewed", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"];
    match status(e) {
        Some(404 | 405 | 501) => true,
        Some(400 | 403) => !code(e).is_some_and(|code| useless.contains(&code)),
        _ => false,
    }
}

/// A header of an answer that is an error.
pub fn header<'e, E>(e: &'e SdkError<E, HttpResponse>, name: &'static str) -> Option<&'e str> {
    match e {
        SdkError::ServiceError(service) => service.raw().headers().get(name),
        _ => None,
    }
}

pub fn is_precondition_failed<E>(e: &SdkError<E, HttpResponse>) -> bool {
    status(e) == Some(412)
}

/// S3: another conditional write of the key was under way. Nothing was written.
pub fn is_conflict<E: ProvideErrorMetadata>(e: &SdkError<E, HttpResponse>) -> bool {
    status(e) == Some(409) && matches!(code(e), Some("ConditionalRequestConflict" | "OperationAborted") | None)
}

pub fn of<E>(e: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let (kind, text) = judge(&e);
    let error = Error::new(kind, text);
    // What the upstream said is only told to the client where it is about the client's request.
    error.caused_by(Cause::of(&e))
}

/// An upstream that was asked to lock something, and can't.
pub fn of_lock<E>(e: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let about_locks = e.as_service_error().and_then(|e| e.message()).is_some_and(|m| m.contains("Object Lock") || m.contains("ObjectLock"));
    match status(&e) {
        Some(400) if about_locks => no_lock_configuration().caused_by(of(e)),
        _ => of(e),
    }
}

pub fn is_locked() -> Error {
    Error::new(ErrorKind::AccessDenied, "Access Denied because object protected by object lock.")
}

/// All of it in one line: the SDK's own text names only the outermost cause.
#[derive(Debug)]
struct Cause(String);

impl Cause {
    fn of<E: ProvideErrorMetadata + StdError + 'static>(e: &SdkError<E, HttpResponse>) -> Self {
        let mut text = String::from("upstream: ");
        if let (Some(status), Some(service)) = (status(e), e.as_service_error()) {
            let (code, message) = (service.code().unwrap_or("no code"), service.message().unwrap_or_default());
            text.push_str(&format!("{status} {code}: {message}"));
            return Cause(text);
        }
        text.push_str(&e.to_string());
        let mut cause = e.source();
        while let Some(inner) = cause {
            text.push_str(&format!(": {inner}"));
            cause = inner.source();
        }
        Cause(text)
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Cause {}

const UNREACHABLE: &str = "The storage behind this gateway can't be reached. Please try again.";
const FAILED: &str = "The storage behind this gateway could not answer. Please try again.";
const SLOW: &str = "The storage behind this gateway took too long. Please try again.";
const EXPIRED: &str = "The gateway's credentials for the storage behind it have expired. Please try again later.";
const CLOCK: &str = "The clocks of the gateway and of the storage behind it differ too much. Please try again later.";
const CREDENTIALS: &str = "The storage behind this gateway does not take the gateway's credentials. Please try again later.";

fn judge<E: ProvideErrorMetadata + StdError + 'static>(e: &SdkError<E, HttpResponse>) -> (ErrorKind, &'static str) {
    match e {
        SdkError::ConstructionFailure(_) if has_credentials_fault(e) => (ErrorKind::UpstreamUnavailable, CREDENTIALS),
        // A header value that the SDK can't send, and the like: ours to prevent.
        SdkError::ConstructionFailure(_) => (ErrorKind::InternalError, "We encountered an internal error. Please try again."),
        SdkError::TimeoutError(_) => (ErrorKind::GatewayTimeout, SLOW),
        SdkError::DispatchFailure(_) if has_credentials_fault(e) => (ErrorKind::UpstreamUnavailable, CREDENTIALS),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => (ErrorKind::GatewayTimeout, SLOW),
        SdkError::DispatchFailure(_) => (ErrorKind::BadGateway, UNREACHABLE),
        SdkError::ResponseError(_) => (ErrorKind::BadGateway, FAILED),
        _ => judge_answer(status(e).unwrap_or(500), code(e).unwrap_or_default()),
    }
}

fn has_credentials_fault(e: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(e);
    while let Some(inner) = cause {
        if inner.is::<CredentialsError>() {
            return true;
        }
        cause = inner.source();
    }
    false
}

fn judge_answer(status: u16, code: &str) -> (ErrorKind, &'static str) {
    use ErrorKind::*;
    match code {
        "PreconditionFailed" => return (PreconditionFailed, "At least one of the pre-conditions you specified did not hold"),
        "ConditionalRequestConflict" | "OperationAborted" => {
            return (OperationAborted, "The key is being written by somebody else. Please try again.");
        }
        "InvalidObjectState" => {
            return (ErrorKind::InvalidObjectState, "The operation is not valid for the object's storage class: restore it first.");
        }
        "RestoreAlreadyInProgress" => return (ErrorKind::RestoreAlreadyInProgress, "Object restore is already in progress"),
        "NoSuchUpload" => {
            return (
                NoSuchUpload,
                "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
            );
        }
        "InvalidPart" => return (InvalidPart, "One or more of the specified parts could not be found, or has another ETag or checksum."),
        "InvalidPartOrder" => return (InvalidPartOrder, "The list of parts was not in ascending order."),
        "EntityTooSmall" => return (EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size"),
        "EntityTooLarge" => return (EntityTooLarge, "Your proposed upload exceeds the maximum allowed size."),
        "KeyTooLongError" | "KeyTooLong" => return (KeyTooLong, "Your key is too long for the storage behind this gateway."),
        "MetadataTooLarge" => {
            return (
                MetadataTooLarge,
                "Your metadata headers exceed the maximum allowed metadata size. This gateway adds about 300 bytes of its own.",
            );
        }
        "InvalidStorageClass" => return (InvalidStorageClass, "The storage behind this gateway does not know that storage class."),
        "KMS.NotFoundException" => return (KmsNotFound, "The storage behind this gateway has no key of that name."),
        "KMS.DisabledException" => return (KmsDisabled, "The key that the object is encrypted with is not available at the moment."),
        "InvalidTag" => return (InvalidTag, "The storage behind this gateway does not take one of the tags."),
        "NotImplemented" => return (NotImplemented, "The storage behind this gateway does not implement this."),
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests" => return (UpstreamSlowDown, "Please reduce your request rate."),
        // S3 calls some of them a bad request.
        "ExpiredToken" | "TokenRefreshRequired" => return (UpstreamUnavailable, EXPIRED),
        "RequestTimeTooSkewed" => return (UpstreamUnavailable, CLOCK),
        "InvalidAccessKeyId" | "InvalidToken" | "SignatureDoesNotMatch" | "AccessDenied" => return (UpstreamUnavailable, CREDENTIALS),
        "RequestTimeout" | "GatewayTimeout" => return (GatewayTimeout, SLOW),
        _ => {}
    }
    match status {
        // Ours is the signature, ours the clock, ours the right: nothing that a client could mend.
        401 | 403 => (UpstreamUnavailable, CREDENTIALS),
        // Its bucket is gone, or lives in another region.
        301 | 307 | 404 => (UpstreamUnavailable, "The storage behind this bucket is not where this gateway looks for it."),
        412 => (PreconditionFailed, "At least one of the pre-conditions you specified did not hold"),
        409 => (OperationAborted, "The key is being written by somebody else. Please try again."),
        408 | 504 => (GatewayTimeout, SLOW),
        429 | 503 => (UpstreamSlowDown, "Please reduce your request rate."),
        501 => (NotImplemented, "The storage behind this gateway does not implement this."),
        _ => (BadGateway, FAILED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Side;

    #[test]
    fn trouble_upstream_is_never_a_refusal() {
        for status in [301, 307, 400, 401, 403, 404, 405, 408, 411, 429, 500, 502, 503, 504] {
            for code in
                ["", "AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket", "InvalidRequest"]
            {
                let (kind, _) = judge_answer(status, code);
                assert_eq!(kind.on_side(), Side::Upstream, "{status} {code} became {kind:?}");
            }
        }
    }

    #[test]
    fn what_the_client_can_mend_is_told() {
        for (status, code, kind) in [
            (412, "PreconditionFailed", ErrorKind::PreconditionFailed),
            (409, "ConditionalRequestConflict", ErrorKind::OperationAborted),
            (403, "InvalidObjectState", ErrorKind::InvalidObjectState),
            (404, "NoSuchUpload", ErrorKind::NoSuchUpload),
            (400, "EntityTooSmall", ErrorKind::EntityTooSmall),
            (503, "SlowDown", ErrorKind::UpstreamSlowDown),
        ] {
            assert_eq!(judge_answer(status, code).0, kind);
        }
    }
}
