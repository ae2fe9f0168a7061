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
        one_tag(value).map(|tag| ETagMatch::OneOf(tag.into_iter().collect()))
    }

    /// What a write must not find: `*`, or a list of tags, each as in `parse_one`; quoted ones may be weak, and are compared by their
    /// value. None: anything else, or more than `MAX_TAGS`.
    pub fn parse_list(value: &str) -> Option<Self> {
        if value == "*" {
            return Some(ETagMatch::Any);
        }
        let (mut tags, mut members, mut rest) = (Vec::new(), 0, trim(value));
        while !rest.is_empty() {
            let (member, others) = next_member(rest)?;
            if !member.is_empty() {
                tags.extend(one_tag(member)?);
                members += 1;
            }
            rest = others;
        }
        (1..=MAX_TAGS).contains(&members).then_some(ETagMatch::OneOf(tags))
    }

    pub fn matches(&self, etag: &ETag) -> bool {
        match self {
            ETagMatch::Any => true,
            ETagMatch::OneOf(tags) => tags.contains(etag),
        }
    }
}

/// Of a write: the writer's thread compares them. Who names more knows of no version, and means something else.
const MAX_TAGS: usize = 100;

/// The first member of a list, without its `W/`, and what follows its comma. A quoted one may hold commas of its own.
fn next_member(list: &str) -> Option<(&str, &str)> {
    let tag = list.strip_prefix("W/").filter(|tag| tag.starts_with('"')).unwrap_or(list);
    let end = match tag.strip_prefix('"') {
        Some(inner) => inner.find('"')? + 2,
        None => tag.find(',').unwrap_or(tag.len()),
    };
    let (member, rest) = tag.split_at(end);
    let rest = trim(rest);
    let others = if rest.is_empty() { rest } else { rest.strip_prefix(',')? };
    Some((trim(member), trim(others)))
}

/// With quotes, or (as some clients send it) without. None: not well-formed. `Some(None)`: none of ours.
fn one_tag(text: &str) -> Option<Option<ETag>> {
    let (tag, quoted) = match text.strip_prefix('"') {
        Some(rest) => (rest.strip_suffix('"')?, true),
        None => (text, false),
    };
    let legal = |c: u8| c.is_ascii_graphic() && c != b'"' && (quoted || c != b',');
    let well_formed = !tag.is_empty() && tag.bytes().all(legal) && (quoted || tag != "*" && !tag.starts_with("W/"));
    well_formed.then(|| ETag::parse(tag))
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
    /// The current version is none of these; `*`: there is none.
    pub if_none_match: Option<ETagMatch>,
    /// The current version is this one; `*`: there is one.
    pub if_match: Option<ETagMatch>,
    /// DeleteObject only.
    pub if_match_size: Option<u64>,
    pub if_match_modified: Option<Timestamp>,
}

impl WriteConditions {
    /// Only where nothing is.
    pub fn absent() -> Self {
        Self { if_none_match: Some(ETagMatch::Any), ..Self::default() }
    }

    /// Only over what was seen; None: where nothing was.
    pub fn only_over(seen: Option<ETag>) -> Self {
        match seen {
            Some(etag) => Self { if_match: Some(ETagMatch::OneOf(vec![etag])), ..Self::default() },
            None => Self::absent(),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn check(&self, current: Option<&ObjectInfo>) -> Result<(), Error> {
        let failed = |condition| {
            Err(Error::new(ErrorKind::PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
                .detail("Condition", condition))
        };
        if let (Some(unwanted), Some(current)) = (&self.if_none_match, current)
            && unwanted.matches(&current.etag)
        {
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

    #[test]
    fn lists_of_tags() {
        let list = |tags: &[&str]| Some(ETagMatch::OneOf(tags.iter().filter_map(|t| ETag::parse(t)).collect()));
        assert_eq!(ETagMatch::parse_list("*"), Some(ETagMatch::Any));
        for one in ["a", "\"a\"", "W/\"a\"", " \"a\" ", "\"a\",", ", ,a", "\"a\",\t, "] {
            assert_eq!(ETagMatch::parse_list(one), list(&["a"]), "{one}");
        }
        assert_eq!(ETagMatch::parse_list("\"a\", W/\"b\",c"), list(&["a", "b", "c"]));
        assert_eq!(ETagMatch::parse_list("\"a,b\" , d"), list(&["a,b", "d"]));
        // Well-formed, and none of ours.
        assert_eq!(ETagMatch::parse_list(&format!("\"*\", {}", "a".repeat(65))), list(&[]));
        for bad in ["", ",", "\"", "\"\"", "a b", "\"a\" \"b\"", "\"a\"b", "W/a", "W/*", "*, \"a\"", "\"a\", *", "a, \"b", "\u{e9}"] {
            assert_eq!(ETagMatch::parse_list(bad), None, "{bad}");
        }
        assert!(ETagMatch::parse_list(&"a,".repeat(MAX_TAGS)).is_some());
        assert_eq!(ETagMatch::parse_list(&"a,".repeat(MAX_TAGS + 1)), None);
    }
}
