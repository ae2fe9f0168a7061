//! The only place where an `Error` becomes a response: its S3 code, its status, its headers, its document (XML, or JSON).
//!
//! Errors are `private, no-store` so that no CDN keeps them; a fault of ours carries Retry-After and is never a 4xx.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::base::error::{Error, ErrorKind, Result, Side};
use crate::http::body::ResponseBody;
use crate::http::xml::Writer;
use crate::telemetry::redact::redact;

pub type Answer = Response<ResponseBody>;

/// S3's code and status of each kind.
pub fn code_and_status(kind: ErrorKind) -> (&'static str, u16) {
    use ErrorKind::*;
    match kind {
        AccessDenied => ("AccessDenied", 403),
        AuthorizationHeaderMalformed => ("AuthorizationHeaderMalformed", 400),
        AuthorizationQueryParametersError => ("AuthorizationQueryParametersError", 400),
        CorsForbidden => ("AccessForbidden", 403),
        ExpiredToken => ("ExpiredToken", 400),
        InvalidAccessKeyId => ("InvalidAccessKeyId", 403),
        InvalidIdentityToken => ("InvalidIdentityToken", 400),
        InvalidToken => ("InvalidToken", 400),
        MissingAuthenticationToken => ("MissingAuthenticationToken", 403),
        RequestTimeTooSkewed => ("RequestTimeTooSkewed", 403),
        SignatureDoesNotMatch => ("SignatureDoesNotMatch", 403),
        AccessControlListNotSupported => ("AccessControlListNotSupported", 400),
        BadDigest => ("BadDigest", 400),
        BadRequest => ("BadRequest", 400),
        EntityTooLarge => ("EntityTooLarge", 400),
        EntityTooSmall => ("EntityTooSmall", 400),
        IllegalVersioningConfiguration => ("IllegalVersioningConfigurationException", 400),
        IncompleteBody => ("IncompleteBody", 400),
        InvalidArgument => ("InvalidArgument", 400),
        InvalidBucketAclWithObjectOwnership => ("InvalidBucketAclWithObjectOwnership", 400),
        InvalidBucketName => ("InvalidBucketName", 400),
        InvalidDigest => ("InvalidDigest", 400),
        InvalidLocationConstraint => ("InvalidLocationConstraint", 400),
        InvalidObjectState => ("InvalidObjectState", 403),
        InvalidPart => ("InvalidPart", 400),
        InvalidPartNumber => ("InvalidPartNumber", 416),
        InvalidPartOrder => ("InvalidPartOrder", 400),
        InvalidPolicyDocument => ("InvalidPolicyDocument", 400),
        InvalidRange => ("InvalidRange", 416),
        InvalidRedirectLocation => ("InvalidRedirectLocation", 400),
        InvalidRequest => ("InvalidRequest", 400),
        InvalidRetentionPeriod => ("InvalidRetentionPeriod", 400),
        InvalidAction => ("InvalidAction", 400),
        MissingAction => ("MissingAction", 400),
        PackedPolicyTooLarge => ("PackedPolicyTooLarge", 400),
        ValidationError => ("ValidationError", 400),
        InvalidStorageClass => ("InvalidStorageClass", 400),
        InvalidTag => ("InvalidTag", 400),
        InvalidUri => ("InvalidURI", 400),
        KeyTooLong => ("KeyTooLongError", 400),
        KmsDisabled => ("KMS.DisabledException", 400),
        KmsNotFound => ("KMS.NotFoundException", 400),
        MalformedAcl => ("MalformedACLError", 400),
        MalformedPolicy => ("MalformedPolicy", 400),
        MalformedPostRequest => ("MalformedPOSTRequest", 400),
        MalformedXml => ("MalformedXML", 400),
        MaxPostPreDataLengthExceeded => ("MaxPostPreDataLengthExceededError", 400),
        MetadataTooLarge => ("MetadataTooLarge", 400),
        MethodNotAllowed => ("MethodNotAllowed", 405),
        MissingContentLength => ("MissingContentLength", 411),
        MissingSecurityHeader => ("MissingSecurityHeader", 400),
        NotImplemented => ("NotImplemented", 501),
        PreconditionFailed => ("PreconditionFailed", 412),
        RequestTimeout => ("RequestTimeout", 400),
        ContentSha256Mismatch => ("XAmzContentSHA256Mismatch", 400),
        MalformedTrailer => ("MalformedTrailerError", 400),
        UnresolvableGrantByEmailAddress => ("UnresolvableGrantByEmailAddress", 400),
        UnexpectedContent => ("UnexpectedContent", 400),
        BucketAlreadyExists => ("BucketAlreadyExists", 409),
        BucketAlreadyOwnedByYou => ("BucketAlreadyOwnedByYou", 409),
        BucketNotEmpty => ("BucketNotEmpty", 409),
        InvalidBucketState => ("InvalidBucketState", 409),
        NoSuchBucket => ("NoSuchBucket", 404),
        NoSuchBucketPolicy => ("NoSuchBucketPolicy", 404),
        NoSuchConfiguration => ("NoSuchConfiguration", 404),
        NoSuchCorsConfiguration => ("NoSuchCORSConfiguration", 404),
        NoSuchKey => ("NoSuchKey", 404),
        NoSuchObjectLockConfiguration => ("NoSuchObjectLockConfiguration", 404),
        NoSuchTagSet => ("NoSuchTagSet", 404),
        NoSuchLifecycleConfiguration => ("NoSuchLifecycleConfiguration", 404),
        NoSuchPublicAccessBlock => ("NoSuchPublicAccessBlockConfiguration", 404),
        NoSuchUpload => ("NoSuchUpload", 404),
        NoSuchVersion => ("NoSuchVersion", 404),
        NoSuchWebsite => ("NoSuchWebsiteConfiguration", 404),
        NotFound => ("NotFound", 404),
        ObjectLockConfigurationNotFound => ("ObjectLockConfigurationNotFoundError", 404),
        OperationAborted => ("OperationAborted", 409),
        OwnershipControlsNotFound => ("OwnershipControlsNotFoundError", 404),
        ReplicationConfigurationNotFound => ("ReplicationConfigurationNotFoundError", 404),
        ServerSideEncryptionConfigurationNotFound => ("ServerSideEncryptionConfigurationNotFoundError", 404),
        TooManyBuckets => ("TooManyBuckets", 400),
        RestoreAlreadyInProgress => ("RestoreAlreadyInProgress", 409),
        QuotaExceeded => ("QuotaExceeded", 403),
        InternalError => ("InternalError", 500),
        LocalUnavailable | UpstreamUnavailable => ("ServiceUnavailable", 503),
        // A fault of the provider, which S3 lets its callers try again.
        IdpCommunicationError => ("IDPCommunicationError", 400),
        SlowDown | UpstreamSlowDown => ("SlowDown", 503),
        StorageFull => ("InsufficientStorage", 507),
        BadGateway => ("BadGateway", 502),
        GatewayTimeout => ("GatewayTimeout", 504),
    }
}

const fn retry_after_seconds(side: Side) -> &'static str {
    match side {
        // A tenant's requests are counted by the second; our own fault may not come again.
        Side::Caller | Side::Us => "1",
        // Some probes of a breaker.
        Side::Upstream => "5",
        // A disk is freed or mended, an index is rebuilt.
        Side::Here => "10",
    }
}

/// The answer that tells of `error`. `resource` is the path as it was asked for.
/// `host_id` is the id under which a proven CDN knows the request, or our own.
pub fn error(error: &Error, resource: &str, request_id: &str, host_id: &str, head: bool) -> Answer {
    let (code, status) = code_and_status(error.kind());
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if status.is_server_error() && error.retryable() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(retry_after_seconds(error.side())));
    }
    for (name, value) in error.details() {
        let header = match *name {
            // RFC 9110 15.5.17: a 416 tells the current length.
            "ActualObjectSize" => (CONTENT_RANGE, format!("bytes */{value}")),
            "AllowedMethods" => (ALLOW, value.clone()),
            name if is_header(name) => (HeaderName::from_static(name), value.clone()),
            _ => continue,
        };
        if let Ok(value) = HeaderValue::try_from(header.1) {
            headers.insert(header.0, value);
        }
    }
    let mut w = Writer::bare("Error");
    w.leaf("Code", code).leaf("Message", redact(error.message()));
    for (name, value) in error.details().iter().filter(|(name, _)| !is_header(name)) {
        w.leaf(name, redact(value));
    }
    w.leaf("Resource", redact(resource)).leaf("RequestId", request_id).leaf("HostId", redact(host_id));
    let document = w.finish("Error");
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
    // A HEAD is told what a GET would get, without the document.
    if !head {
        *response.body_mut() = ResponseBody::text(document);
    }
    response
}

/// What is told of an error in a header alone has the header's name, in lower case. Elements begin with a capital.
fn is_header(detail: &str) -> bool {
    detail.starts_with(|c: char| c.is_ascii_lowercase())
}

/// The same for the tenants' API, whose language is JSON.
pub fn json_error(error: &Error, request_id: &str, head: bool) -> Answer {
    let (code, _) = code_and_status(error.kind());
    let mut document = serde_json::json!({ "code": code, "message": redact(error.message()), "request_id": request_id });
    for (name, value) in error.details().iter().filter(|(name, _)| !is_header(name)) {
        document[*name] = redact(value).into();
    }
    // Status and the other headers are those of any error.
    let mut response = self::error(error, "", request_id, request_id, true);
    let text = format!("{document}\n");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    if !head {
        *response.body_mut() = ResponseBody::text(text);
    }
    response
}

/// The same for STS, which has words of its own for some of them.
pub fn sts_error(error: &Error, request_id: &str) -> Answer {
    let code = match error.kind() {
        ErrorKind::ExpiredToken => "ExpiredTokenException",
        ErrorKind::InvalidAccessKeyId | ErrorKind::InvalidToken => "InvalidClientTokenId",
        ErrorKind::MalformedPolicy => "MalformedPolicyDocument",
        ErrorKind::InvalidArgument | ErrorKind::InvalidRequest => "ValidationError",
        kind => code_and_status(kind).0,
    };
    let mut response = self::error(error, "", request_id, request_id, true);
    let kind = if error.side() == Side::Caller { "Sender" } else { "Receiver" };
    let mut w = Writer::of("ErrorResponse", "https://sts.amazonaws.com/doc/2011-06-15/");
    w.open("Error").leaf("Type", kind).leaf("Code", code).leaf("Message", redact(error.message())).close("Error");
    w.leaf("RequestId", request_id);
    let document = w.finish("ErrorResponse");
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
    *response.body_mut() = ResponseBody::text(document);
    response
}

/// 200 with a JSON document that no cache keeps.
pub fn json(value: &impl serde::Serialize) -> Result<Answer> {
    let mut text = serde_json::to_string_pretty(value).map_err(Error::internal)?;
    text.push('\n');
    Ok(json_text(text))
}

/// The same of what is JSON already.
pub fn json_text(text: impl Into<Bytes>) -> Answer {
    let text = text.into();
    let mut response = Response::new(ResponseBody::Empty);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    *response.body_mut() = ResponseBody::Full(text);
    response
}

/// 200 with an XML document.
pub fn xml(document: String) -> Answer {
    let mut response = Response::new(ResponseBody::Empty);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
    *response.body_mut() = ResponseBody::text(document);
    response
}

pub fn empty(status: StatusCode) -> Answer {
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = status;
    response
}

/// A header value from text that came from a client or a record. What can't stand in a header is left out.
pub fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code, status and Retry-After.
    fn told(kind: ErrorKind) -> (&'static str, u16, Option<String>) {
        let answer = error(&Error::new(kind, ""), "/", "", "", false);
        let after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).map(str::to_owned);
        (code_and_status(kind).0, answer.status().as_u16(), after)
    }

    #[test]
    fn each_side_says_when_to_come_back() {
        use ErrorKind::*;
        let after = |seconds: &str| Some(seconds.to_owned());
        assert_eq!(told(SlowDown), ("SlowDown", 503, after("1")));
        assert_eq!(told(UpstreamSlowDown), ("SlowDown", 503, after("5")));
        assert_eq!(told(UpstreamUnavailable), ("ServiceUnavailable", 503, after("5")));
        assert_eq!(told(BadGateway), ("BadGateway", 502, after("5")));
        assert_eq!(told(LocalUnavailable), ("ServiceUnavailable", 503, after("10")));
        assert_eq!(told(StorageFull), ("InsufficientStorage", 507, after("10")));
        assert_eq!(told(InternalError), ("InternalError", 500, after("1")));
        assert_eq!(told(NotImplemented), ("NotImplemented", 501, None));
        assert_eq!(told(NoSuchKey), ("NoSuchKey", 404, None));
    }
}
