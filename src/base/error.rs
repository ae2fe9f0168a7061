//! The one error of the crate: what went wrong in S3's terms, a text that helps the caller, and a private cause.
//!
//! `kind` decides the answer (see `http::respond`, the only place that turns it into a response), whose fault it is, and whether
//! trying again helps. S3 has one ServiceUnavailable and one SlowDown; here each side has its own, so that whoever makes such an
//! error says which.
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
    /// A session, or a token of another provider, has ended.
    ExpiredToken,
    InvalidAccessKeyId,
    /// A token of another provider is none that is taken here.
    InvalidIdentityToken,
    InvalidToken,
    MissingAuthenticationToken,
    RequestTimeTooSkewed,
    SignatureDoesNotMatch,
    // The request is not what S3 allows.
    /// The bucket's ownership says that ACLs do not count.
    AccessControlListNotSupported,
    BadDigest,
    BadRequest,
    EntityTooLarge,
    EntityTooSmall,
    IllegalVersioningConfiguration,
    IncompleteBody,
    InvalidArgument,
    InvalidBucketAclWithObjectOwnership,
    InvalidBucketName,
    InvalidDigest,
    InvalidLocationConstraint,
    /// Archived: it can't be read before it is restored.
    InvalidObjectState,
    InvalidPart,
    /// Of an object that has fewer parts.
    InvalidPartNumber,
    InvalidPartOrder,
    /// Of a form.
    InvalidPolicyDocument,
    InvalidRange,
    InvalidRedirectLocation,
    InvalidRequest,
    InvalidRetentionPeriod,
    InvalidStorageClass,
    /// STS's, as the next ones.
    InvalidAction,
    MissingAction,
    PackedPolicyTooLarge,
    ValidationError,
    InvalidTag,
    InvalidUri,
    KeyTooLong,
    /// No such key of encryption, or none for this tenant.
    KmsNotFound,
    MalformedAcl,
    MalformedPolicy,
    MalformedPostRequest,
    MalformedXml,
    MaxPostPreDataLengthExceeded,
    MetadataTooLarge,
    MethodNotAllowed,
    MissingContentLength,
    MissingSecurityHeader,
    NotImplemented,
    PreconditionFailed,
    RequestTimeout,
    ContentSha256Mismatch,
    MalformedTrailer,
    UnresolvableGrantByEmailAddress,
    /// A body beside a header that says it all.
    UnexpectedContent,
    // The thing is not there, or is there already.
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    /// What is asked does not go together with how the bucket keeps versions.
    InvalidBucketState,
    NoSuchBucket,
    NoSuchBucketPolicy,
    NoSuchConfiguration,
    NoSuchCorsConfiguration,
    NoSuchKey,
    NoSuchLifecycleConfiguration,
    /// Of an object.
    NoSuchObjectLockConfiguration,
    NoSuchTagSet,
    NoSuchPublicAccessBlock,
    NoSuchUpload,
    NoSuchVersion,
    NoSuchWebsite,
    NotFound,
    /// Of a bucket.
    ObjectLockConfigurationNotFound,
    OperationAborted,
    OwnershipControlsNotFound,
    QuotaExceeded,
    ReplicationConfigurationNotFound,
    RestoreAlreadyInProgress,
    ServerSideEncryptionConfigurationNotFound,
    TooManyBuckets,
    /// A limit of this gateway's, which the caller is over.
    SlowDown,
    // This machine: its disk, its memory, a part that is being rebuilt.
    /// S3's ServiceUnavailable.
    LocalUnavailable,
    /// A key that something is encrypted with is not there.
    KmsDisabled,
    StorageFull,
    // What stands behind this gateway.
    /// S3's ServiceUnavailable.
    UpstreamUnavailable,
    /// S3's SlowDown, said by the other side or for its sake.
    UpstreamSlowDown,
    /// An identity provider does not answer.
    IdpCommunicationError,
    BadGateway,
    GatewayTimeout,
    // Us.
    InternalError,
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Caller,
    /// This machine.
    Here,
    /// A store behind this gateway.
    Upstream,
    /// This program.
    Us,
}

impl Side {
    pub const ALL: [Side; 4] = [Side::Caller, Side::Here, Side::Upstream, Side::Us];

    /// In logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Side::Caller => "caller",
            Side::Here => "here",
            Side::Upstream => "upstream",
            Side::Us => "us",
        }
    }
}

impl ErrorKind {
    pub const fn on_side(self) -> Side {
        use ErrorKind::*;
        match self {
            KmsDisabled | LocalUnavailable | StorageFull => Side::Here,
            UpstreamUnavailable | UpstreamSlowDown | BadGateway | GatewayTimeout | IdpCommunicationError => Side::Upstream,
            InternalError => Side::Us,
            AccessDenied
            | AuthorizationHeaderMalformed
            | AuthorizationQueryParametersError
            | CorsForbidden
            | InvalidAccessKeyId
            | InvalidToken
            | RequestTimeTooSkewed
            | SignatureDoesNotMatch
            | AccessControlListNotSupported
            | BadDigest
            | BadRequest
            | EntityTooLarge
            | EntityTooSmall
            | IllegalVersioningConfiguration
            | IncompleteBody
            | InvalidArgument
            | InvalidBucketAclWithObjectOwnership
            | InvalidBucketName
            | InvalidDigest
            | InvalidLocationConstraint
            | InvalidObjectState
            | InvalidPart
            | InvalidPartNumber
            | InvalidPartOrder
            | InvalidRange
            | InvalidRedirectLocation
            | InvalidRequest
            | InvalidRetentionPeriod
            | InvalidStorageClass
            | ExpiredToken
            | InvalidIdentityToken
            | MissingAuthenticationToken
            | InvalidAction
            | MissingAction
            | PackedPolicyTooLarge
            | ValidationError
            | InvalidPolicyDocument
            | InvalidTag
            | MalformedPostRequest
            | MaxPostPreDataLengthExceeded
            | InvalidUri
            | KeyTooLong
            | KmsNotFound
            | MalformedAcl
            | MalformedPolicy
            | MalformedXml
            | MetadataTooLarge
            | MethodNotAllowed
            | MissingContentLength
            | MissingSecurityHeader
            | NotImplemented
            | PreconditionFailed
            | RequestTimeout
            | ContentSha256Mismatch
            | MalformedTrailer
            | UnresolvableGrantByEmailAddress
            | UnexpectedContent
            | BucketAlreadyExists
            | BucketAlreadyOwnedByYou
            | BucketNotEmpty
            | InvalidBucketState
            | NoSuchBucket
            | NoSuchBucketPolicy
            | NoSuchConfiguration
            | NoSuchCorsConfiguration
            | NoSuchLifecycleConfiguration
            | NoSuchKey
            | NoSuchObjectLockConfiguration
            | NoSuchTagSet
            | NoSuchPublicAccessBlock
            | NoSuchUpload
            | NoSuchVersion
            | NoSuchWebsite
            | NotFound
            | ObjectLockConfigurationNotFound
            | OperationAborted
            | OwnershipControlsNotFound
            | QuotaExceeded
            | ReplicationConfigurationNotFound
            | RestoreAlreadyInProgress
            | ServerSideEncryptionConfigurationNotFound
            | TooManyBuckets
            | SlowDown => Side::Caller,
        }
    }

    /// The same question or write, asked again later, may do better. Of what is not the caller's fault that is always so.
    pub const fn retryable(self) -> bool {
        use ErrorKind::*;
        !matches!(self.on_side(), Side::Caller) || matches!(self, SlowDown | OperationAborted | RequestTimeout | IncompleteBody)
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
            _ => Error::new(ErrorKind::LocalUnavailable, "The storage of this gateway could not be written or read. Please try again."),
        }
        .caused_by(fault)
    }

    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// An element of the error document beside Code and Message, such as `StringToSign`; or, by a name in lower case, a header of the
    /// answer.
    pub fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.details.push((name, value.into()));
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub fn side(&self) -> Side {
        self.0.kind.on_side()
    }

    pub fn retryable(&self) -> bool {
        self.0.kind.retryable()
    }

    /// Whoever was asked could not answer: of what was asked after, nothing is known.
    pub fn is_away(&self) -> bool {
        self.side() != Side::Caller
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_the_disk_is_not_one_of_the_upstream() {
        let disk = Error::storage(std::io::Error::other("EIO"));
        let full = Error::storage(std::io::ErrorKind::StorageFull.into());
        let away = Error::new(ErrorKind::UpstreamUnavailable, "away");
        assert_eq!([disk.side(), full.side(), away.side()], [Side::Here, Side::Here, Side::Upstream]);
        assert_eq!(Error::internal("bug").side(), Side::Us);
        assert!(disk.is_away() && full.is_away() && away.is_away() && Error::internal("bug").is_away());
    }

    #[test]
    fn an_answer_is_no_absence() {
        use ErrorKind::*;
        for kind in [AccessDenied, NoSuchKey, NoSuchBucket, PreconditionFailed, SlowDown, NotImplemented, OperationAborted] {
            let e = Error::new(kind, "");
            assert!(!e.is_away() && e.side() == Side::Caller, "{e}");
        }
    }

    #[test]
    fn trying_again_helps_or_not() {
        use ErrorKind::*;
        for kind in [SlowDown, UpstreamSlowDown, LocalUnavailable, UpstreamUnavailable, StorageFull, OperationAborted, InternalError] {
            assert!(kind.retryable(), "{kind:?}");
        }
        for kind in [AccessDenied, BadDigest, EntityTooLarge, NoSuchKey, NotImplemented, PreconditionFailed, QuotaExceeded] {
            assert!(!kind.retryable(), "{kind:?}");
        }
    }
}
