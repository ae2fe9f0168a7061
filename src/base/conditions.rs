//! Conditional requests as values: what a read may be conditioned on, what a write may be. Pure, table-tested.
//!
//! Evaluation order is RFC 9110 section 13.2.2; what S3 does otherwise is said where it matters.

use super::error::{Error, ErrorKind};
use super::etag::ETag;
use super::header::trim;
use super::object::ObjectInfo;
use super::timestamp::Timestamp;

/// An `If-Match` or `If-None-Match` list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ETagMatch {
    Any,
    /// Weak tags (`W/"…"`) are compared by their value: a CDN weakens ours when it compresses.
    /// A tag that can't be one of ours stays in no list and so matches nothing.
    OneOf(Vec<ETag>),
}

impl ETagMatch {
    pub fn parse(value: &str) -> Self {
        if trim(value) == "*" {
            return ETagMatch::Any;
        }
        ETagMatch::OneOf(value.split(',').filter_map(|t| ETag::parse(trim(t).trim_start_matches("W/"))).collect())
    }

    /// As `parse`, where a weak tag matches nothing: `If-Match` (RFC 9110 13.1.1).
    pub fn parse_strong(value: &str) -> Self {
        if trim(value) == "*" {
            return ETagMatch::Any;
        }
        ETagMatch::OneOf(value.split(',').filter_map(|t| ETag::parse(trim(t))).collect())
    }

    /// What a write, or the source of a copy, is conditioned on: `*`, or one tag, with quotes or (as some clients send it) without.
    /// None: anything else. A weak tag can't say that nothing changed.
    pub fn parse_one(value: &str) -> Option<Self> {
        if value == "*" {
            return Some(ETagMatch::Any);
        }
        let (tag, quoted) = match value.strip_prefix('"') {
            Some(rest) => (rest.strip_suffix('"')?, true),
            None => (value, false),
        };
        let legal = |c: u8| c.is_ascii_graphic() && c != b'"' && (quoted || c != b',');
        let well_formed = !tag.is_empty() && tag.bytes().all(legal);
        well_formed.then(|| ETagMatch::OneOf(ETag::parse(tag).into_iter().collect()))
    }

    pub fn matches(&self, etag: &ETag) -> bool {
        match self {
            ETagMatch::Any => true,
            ETagMatch::OneOf(tags) => tags.contains(etag),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadConditions {
    pub if_match: Option<ETagMatch>,
    pub if_none_match: Option<ETagMatch>,
    pub if_modified_since: Option<Timestamp>,
    pub if_unmodified_since: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Proceed,
    NotModified,
    /// The name of the condition that failed, for the error document.
    Failed(&'static str),
}

impl ReadConditions {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn evaluate(&self, object: &ObjectInfo) -> Verdict {
        // Headers carry whole seconds.
        let modified = object.modified.secs();
        if let Some(m) = &self.if_match {
            if !m.matches(&object.etag) {
                return Verdict::Failed("If-Match");
            }
        } else if self.if_unmodified_since.is_some_and(|t| modified > t.secs()) {
            return Verdict::Failed("If-Unmodified-Since");
        }
        if let Some(m) = &self.if_none_match {
            if m.matches(&object.etag) {
                return Verdict::NotModified;
            }
        } else if self.if_modified_since.is_some_and(|t| modified <= t.secs()) {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }
}

/// What must hold of the object that a write or delete replaces. Decided atomically with the write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteConditions {
    /// `If-None-Match: *`, the only form of it that a write may have: only if there is nothing.
    pub if_absent: bool,
    pub if_match: Option<ETagMatch>,
    /// DeleteObject only.
    pub if_match_size: Option<u64>,
    pub if_match_modified: Option<Timestamp>,
}

impl WriteConditions {
    pub fn check(&self, current: Option<&ObjectInfo>) -> Result<(), Error> {
        let failed = |condition| {
            Err(Error::new(ErrorKind::PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
                .detail("Condition", condition))
        };
        if self.if_absent && current.is_some() {
            return failed("If-None-Match");
        }
        let conditioned = self.if_match.is_some() || self.if_match_size.is_some() || self.if_match_modified.is_some();
        let Some(current) = current else {
            // S3: 404 where If-Match names an object that is not there.
            return if conditioned { Err(Error::new(ErrorKind::NoSuchKey, "The specified key does not exist.")) } else { Ok(()) };
        };
        if self.if_match.as_ref().is_some_and(|m| !m.matches(&current.etag)) {
            return failed("If-Match");
        }
        if self.if_match_size.is_some_and(|s| s != current.size) {
            return failed("x-amz-if-match-size");
        }
        if self.if_match_modified.is_some_and(|t| t.secs() != current.modified.secs()) {
            return failed("x-amz-if-match-last-modified-time");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tag_or_any() {
        const TAG: &str = "d41d8cd98f00b204e9800998ecf8427e";
        let one = Some(ETagMatch::OneOf(ETag::parse(TAG).into_iter().collect()));
        assert_eq!(ETagMatch::parse_one(TAG), one);
        assert_eq!(ETagMatch::parse_one(&format!("\"{TAG}\"")), one);
        assert_eq!(ETagMatch::parse_one("*"), Some(ETagMatch::Any));
        // Well-formed, and none of ours.
        for other in ["\"*\"", &"a".repeat(65)] {
            assert_eq!(ETagMatch::parse_one(other), Some(ETagMatch::OneOf(Vec::new())), "{other}");
        }
        for bad in ["", "\"", "\"\"", "a\"", "a b", "a,b", "\"a\", \"b\"", "W/\"a\"", "*, \"a\"", "\u{e9}"] {
            assert_eq!(ETagMatch::parse_one(bad), None, "{bad}");
        }
    }
}
