//! Conditions of a write, as the upstream decides them: one header where S3 has one, else what was looked at becomes the condition.
//!
//! Invariant: the decision is the upstream's own and atomic with its write. Without that (see `probe`) the write is refused.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::base::conditions::{ETagMatch, WriteConditions};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::upstream::fault;
use crate::upstream::open::Inner;

/// What the upstream is asked to hold the write to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    pub if_match: Option<String>,
    /// `*`
    pub if_none_match: Option<String>,
    /// Made from what was looked at: where it fails, look again.
    pub looked: bool,
}

impl Held {
    /// Whether somebody changed what was looked at: a delete is answered 404 where there was an object.
    pub fn is_outdated(&self, e: &Error) -> bool {
        self.looked && matches!(e.kind(), ErrorKind::PreconditionFailed | ErrorKind::NoSuchKey)
    }
}

/// How often a condition that S3 has no header for is looked at anew while others write.
pub const LOOKS: usize = 8;

impl Held {
    pub fn is_any(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some()
    }

    /// None: S3 has no such header.
    fn native(conditions: &WriteConditions) -> Option<Self> {
        match conditions {
            WriteConditions { if_none_match: None, if_match: None, if_match_size: None, if_match_modified: None } => Some(Held::default()),
            WriteConditions { if_none_match: Some(ETagMatch::Any), if_match: None, if_match_size: None, if_match_modified: None } => {
                Some(Held { if_none_match: Some("*".into()), ..Held::default() })
            }
            WriteConditions {
                if_none_match: None,
                if_match: Some(ETagMatch::OneOf(tags)),
                if_match_size: None,
                if_match_modified: None,
            } => match tags.as_slice() {
                [one] => Some(Held { if_match: Some(one.quoted()), ..Held::default() }),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Inner {
    /// `bucket` and `key` upstream.
    pub async fn held(&self, conditions: &WriteConditions, bucket: &str, key: &str) -> Result<Held> {
        let native = Held::native(conditions);
        if native.as_ref().is_some_and(|h| !h.is_any()) {
            return Ok(Held::default());
        }
        if !self.abilities().conditional_writes {
            let text = "The storage behind this gateway does not decide conditions of writes, so the gateway takes none.";
            return Err(Error::new(ErrorKind::NotImplemented, text));
        }
        if let Some(native) = native {
            return Ok(native);
        }
        let head = self.head(bucket, key).await?;
        // Who owns it plays no part in conditions.
        let current = head.as_ref().map(|head| self.info(bucket, key, &TenantId::operator(), head)).transpose()?;
        conditions.check(current.as_ref())?;
        Ok(match current {
            Some(current) => Held { if_match: Some(current.etag.quoted()), if_none_match: None, looked: true },
            None => Held { if_match: None, if_none_match: Some("*".into()), looked: true },
        })
    }
}

/// What the upstream's refusal of a write says of its condition. None: nothing.
pub fn of_answer<E: ProvideErrorMetadata>(held: &Held, e: &SdkError<E, HttpResponse>) -> Option<Error> {
    if held.if_match.is_some() && fault::is_no_such_key(e) {
        return Some(no_such_key());
    }
    (held.is_any() && fault::is_precondition_failed(e)).then(|| failed(held))
}

pub fn no_such_key() -> Error {
    Error::new(ErrorKind::NoSuchKey, "The specified key does not exist.")
}

pub fn failed(held: &Held) -> Error {
    let condition = if held.if_match.is_some() { "If-Match" } else { "If-None-Match" };
    Error::new(ErrorKind::PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
        .detail("Condition", condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_s3_has_a_header_for() {
        let tag = "d41d8cd98f00b204e9800998ecf8427e";
        let match_one = WriteConditions { if_match: Some(ETagMatch::parse_strong(tag)), ..WriteConditions::default() };
        assert_eq!(Held::native(&match_one).unwrap().if_match.unwrap(), format!("\"{tag}\""));
        assert_eq!(Held::native(&WriteConditions::absent()).unwrap().if_none_match.unwrap(), "*");
        assert!(!Held::native(&WriteConditions::default()).unwrap().is_any());
        for other in [
            WriteConditions { if_match: Some(ETagMatch::Any), ..WriteConditions::default() },
            WriteConditions { if_match: Some(ETagMatch::parse(&format!("{tag}, {tag}-1"))), ..WriteConditions::default() },
            // S3 has `*` only.
            WriteConditions { if_none_match: Some(ETagMatch::parse_strong(tag)), ..WriteConditions::default() },
            WriteConditions { if_none_match: Some(ETagMatch::Any), ..match_one.clone() },
            WriteConditions { if_match_size: Some(1), ..match_one },
        ] {
            assert_eq!(Held::native(&other), None);
        }
    }
}
