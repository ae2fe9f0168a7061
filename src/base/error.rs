//! The one error of the crate: what went wrong in S3's terms, a text that helps the caller, and a private cause.
//!
//! `kind` decides the answer (see `http::respond`, the only place that turns it into a response).
//! `message` is shown to the client and must never hold a path, a secret or another tenant's name.
//! `cause` goes to the log only.

use std::borrow::Cow;
use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. The names are S3's error codes where S3 has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    // The caller may not, or could not show who it is.
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    CorsForbidden,
    InvalidAccessKeyId,
    InvalidToken,
    RequestTimeTooSkewed,
    SignatureDoesNotMatch,
    // The request is not what S3 allows.
    /// The bucket's ownership says that ACLs do not count.
    AccessControlListNotSupported,
    BadDigest,
    BadRequest,
    EntityTooLarge,
    EntityTooSmall,
    IncompleteBody,
    InvalidArgument,
    InvalidBucketAclWithObjectOwnership,
    InvalidBucketName,
    InvalidDigest,
    InvalidLocationConstraint,
    /// Archived: it can't be read before it is restored.
    InvalidObjectState,
    InvalidPart,
    InvalidPartOrder,
    InvalidRange,
    InvalidRedirectLocation,
    InvalidRequest,
    InvalidStorageClass,
    InvalidUri,
    KeyTooLong,
    MalformedAcl,
    MalformedPolicy,
    MalformedXml,
    MetadataTooLarge,
    MethodNotAllowed,
    MissingContentLength,
    MissingSecurityHeader,
    NotImplemented,
    PreconditionFailed,
    RequestTimeout,
    ContentSha256Mismatch,
    MalformedTrailer,
    /// A body beside a header that says it all.
    UnexpectedContent,
    // The thing is not there, or is there already.
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchBucketPolicy,
    NoSuchCorsConfiguration,
    NoSuchKey,
    NoSuchUpload,
    NoSuchVersion,
    NotFound,
    OperationAborted,
    QuotaExceeded,
    RestoreAlreadyInProgress,
    TooManyBuckets,
    // Our side, or what stands behind us.
    InternalError,
    ServiceUnavailable,
    SlowDown,
    StorageFull,
    BadGateway,
    GatewayTimeout,
}

impl ErrorKind {
    /// True where the fault is ours and not the caller's: logged at `warn`, counted apart, never cacheable.
    pub fn is_our_fault(self) -> bool {
        use ErrorKind::*;
        matches!(self, InternalError | ServiceUnavailable | StorageFull | BadGateway | GatewayTimeout)
    }
}

/// Boxed so that `Result<T>` stays small on the path where nothing goes wrong.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    details: Vec<(&'static str, String)>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), details: Vec::new(), cause: None }))
    }

    /// A fault of ours: the client learns nothing but that it may try again; the cause goes to the log.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::new(ErrorKind::InternalError, "We encountered an internal error. Please try again.").caused_by(cause)
    }

    /// A fault of the disk: told apart from a fault of ours so that the caller can act (or wait) on it.
    pub fn storage(fault: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match fault.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Error::new(
                ErrorKind::StorageFull,
                "The storage of this gateway is full. Nothing was stored; try again when space has been made.",
            ),
            _ => Error::new(ErrorKind::ServiceUnavailable, "The storage of this gateway could not be written or read. Please try again."),
        }
        .caused_by(fault)
    }

    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// An element of the error document beside Code and Message, such as `StringToSign`.
    pub fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.details.push((name, value.into()));
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn details(&self) -> &[(&'static str, String)] {
        &self.0.details
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)?;
        let mut cause: Option<&(dyn std::error::Error + 'static)> = self.0.cause.as_deref().map(|c| c as _);
        while let Some(c) = cause {
            write!(f, ": {c}")?;
            cause = c.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|c| c as _)
    }
}
