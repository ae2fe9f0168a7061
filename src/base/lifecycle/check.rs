//! What S3 refuses of a configuration, beside what its XML can't say. Pure.
//!
//! Called where a configuration comes from outside: the S3 door. Codes are S3's; the texts are too where they are known.

use std::collections::HashSet;

use super::day::is_midnight;
use super::{Configuration, Expiration, Filter, MAX_ID_CHARS, MAX_NEWER_VERSIONS, MAX_RULES, Rule, StorageClass, When};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MAX_KEY_BYTES;

/// S3's limits of a tag, in characters.
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;
const MAX_TAGS: usize = 10;

impl Configuration {
    /// Every rule has an id by now.
    pub fn check(&self) -> Result<()> {
        if self.rules.is_empty() {
            return Err(malformed("a configuration has at least one Rule"));
        }
        if self.rules.len() > MAX_RULES {
            return Err(invalid_request(format!("The number of lifecycle rules must not exceed the allowed limit of {MAX_RULES} rules")));
        }
        let mut ids = HashSet::new();
        for rule in &self.rules {
            rule.check()?;
            if !ids.insert(rule.id.as_str()) {
                return Err(invalid_argument("Rule ID must be unique. Found same ID for more than one rule", "ID"));
            }
        }
        Ok(())
    }
}

impl Rule {
    pub fn check(&self) -> Result<()> {
        if self.id.chars().count() > MAX_ID_CHARS {
            return Err(invalid_argument(format!("ID length should not exceed allowed limit of {MAX_ID_CHARS}"), "ID"));
        }
        // It stands in `x-amz-expiration`.
        if self.id.is_empty() || self.id.chars().any(char::is_control) {
            return Err(invalid_argument("An ID has no control characters, and is left out where there is none", "ID"));
        }
        if self.is_idle() {
            return Err(invalid_request("At least one action needs to be specified in a rule"));
        }
        self.filter.check()?;
        self.check_days()?;
        self.check_transitions()?;
        self.check_against_filter()
    }

    fn is_idle(&self) -> bool {
        self.expiration.is_none()
            && self.noncurrent.is_none()
            && self.abort_uploads.is_none()
            && self.transitions.is_empty()
            && self.noncurrent_transitions.is_empty()
    }

    fn check_days(&self) -> Result<()> {
        match self.expiration {
            Some(Expiration::When(When::Days(0))) => {
                return Err(invalid_argument("'Days' for Expiration action must be a positive integer", "Days"));
            }
            Some(Expiration::When(when)) => check_date(when)?,
            Some(Expiration::SoleMarkers(_) | Expiration::Unread(_)) | None => {}
        }
        if let Some(noncurrent) = self.noncurrent {
            if noncurrent.days == 0 {
                let text = "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer";
                return Err(invalid_argument(text, "NoncurrentDays"));
            }
            check_keep(noncurrent.keep)?;
        }
        if self.abort_uploads == Some(0) {
            let text = "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer";
            return Err(invalid_argument(text, "DaysAfterInitiation"));
        }
        Ok(())
    }

    fn check_transitions(&self) -> Result<()> {
        for transition in &self.transitions {
            check_date(transition.when)?;
            if let When::Days(days) = transition.when {
                check_least_days(days, transition.class, "Days", "Transition")?;
            }
            self.check_order(transition.when)?;
        }
        for transition in &self.noncurrent_transitions {
            check_least_days(transition.days, transition.class, "NoncurrentDays", "NoncurrentVersionTransition")?;
            check_keep(transition.keep)?;
            if self.noncurrent.is_some_and(|n| n.days <= transition.days) {
                return Err(invalid_argument(
                    "'NoncurrentDays' in the NoncurrentVersionExpiration action must be greater than 'NoncurrentDays' in the \
                     NoncurrentVersionTransition action",
                    "NoncurrentDays",
                ));
            }
        }
        let classes = |all: Vec<StorageClass>| (1..all.len()).any(|i| all.get(..i).is_some_and(|before| before.contains(&all[i])));
        if classes(self.transitions.iter().map(|t| t.class).collect())
            || classes(self.noncurrent_transitions.iter().map(|t| t.class).collect())
        {
            return Err(invalid_request("A rule moves objects to each StorageClass at most once"));
        }
        Ok(())
    }

    /// What is moved must be there still.
    fn check_order(&self, moved: When) -> Result<()> {
        let Some(Expiration::When(gone)) = self.expiration else { return Ok(()) };
        let is_after = match (gone, moved) {
            (When::Days(gone), When::Days(moved)) => gone > moved,
            (When::Date(gone), When::Date(moved)) => gone > moved,
            (When::Days(_), When::Date(_)) | (When::Date(_), When::Days(_)) => {
                return Err(invalid_request("Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule"));
            }
        };
        if is_after {
            return Ok(());
        }
        Err(invalid_argument("'Days' or 'Date' in the Expiration action must be greater than that in the Transition action", "Days"))
    }

    /// Uploads and markers have neither tags nor, as far as a rule goes, a size.
    fn check_against_filter(&self) -> Result<()> {
        let sizes = self.filter.larger_than.is_some() || self.filter.smaller_than.is_some();
        let (tags, markers) = (!self.filter.tags.is_empty(), matches!(self.expiration, Some(Expiration::SoleMarkers(_))));
        match (self.abort_uploads.is_some(), tags, sizes) {
            (true, true, _) => return Err(invalid_request("AbortIncompleteMultipartUpload cannot be specified with Tags.")),
            (true, _, true) => return Err(invalid_request("AbortIncompleteMultipartUpload cannot be specified with Object Size.")),
            _ => {}
        }
        if markers && tags {
            return Err(invalid_request("ExpiredObjectDeleteMarker cannot be specified with Tags."));
        }
        if self.noncurrent.is_some_and(|n| n.keep.is_some()) && self.filter.old_form {
            return Err(invalid_request(
                "NewerNoncurrentVersions needs a rule with a Filter element; Prefix of the rule itself will not do.",
            ));
        }
        Ok(())
    }
}

impl Filter {
    fn check(&self) -> Result<()> {
        if self.prefix.as_ref().is_some_and(|prefix| prefix.len() > MAX_KEY_BYTES) {
            return Err(invalid_request(format!("The maximum size of a prefix is {MAX_KEY_BYTES}.")));
        }
        if self.tags.len() > MAX_TAGS {
            return Err(invalid_request(format!("A Filter names at most {MAX_TAGS} tags: an object has no more.")));
        }
        let mut keys = HashSet::new();
        for (key, value) in &self.tags {
            if key.is_empty() || key.chars().count() > MAX_TAG_KEY {
                return Err(invalid_argument(format!("A tag's Key has 1 to {MAX_TAG_KEY} characters"), "Key"));
            }
            if value.chars().count() > MAX_TAG_VALUE {
                return Err(invalid_argument(format!("A tag's Value has at most {MAX_TAG_VALUE} characters"), "Value"));
            }
            if !keys.insert(key) {
                return Err(invalid_request("Duplicate Tag Keys are not allowed."));
            }
        }
        if let (Some(larger), Some(smaller)) = (self.larger_than, self.smaller_than)
            && larger >= smaller
        {
            return Err(invalid_request("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'."));
        }
        if self.smaller_than == Some(0) {
            return Err(invalid_argument("'ObjectSizeLessThan' should be a positive integer.", "ObjectSizeLessThan"));
        }
        Ok(())
    }
}

fn check_date(when: When) -> Result<()> {
    match when {
        When::Date(date) if !is_midnight(date) => Err(invalid_argument("'Date' must be at midnight GMT", "Date")),
        When::Date(_) | When::Days(_) => Ok(()),
    }
}

fn check_keep(keep: Option<u32>) -> Result<()> {
    if keep.is_some_and(|n| n == 0 || n > MAX_NEWER_VERSIONS) {
        let text = format!("'NewerNoncurrentVersions' must be a number from 1 to {MAX_NEWER_VERSIONS}");
        return Err(invalid_argument(text, "NewerNoncurrentVersions"));
    }
    Ok(())
}

fn check_least_days(days: u32, class: StorageClass, element: &'static str, action: &str) -> Result<()> {
    let least = class.least_days();
    if days >= least {
        return Ok(());
    }
    let text = format!("'{element}' in {action} action must be greater than or equal to {least} for storageClass '{}'", class.name());
    Err(invalid_argument(text, element))
}

fn invalid_argument(text: impl Into<std::borrow::Cow<'static, str>>, name: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", name)
}

fn invalid_request(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidRequest, text)
}

/// Of the schema.
pub fn malformed(why: &str) -> Error {
    let text = format!("The XML you provided was not well-formed or did not validate against our published schema: {why}.");
    Error::new(ErrorKind::MalformedXml, text)
}
