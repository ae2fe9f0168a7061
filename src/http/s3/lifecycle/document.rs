//! `LifecycleConfiguration` as XML, both ways. What stands where it may not is refused with MalformedXML, as by S3's schema; what rules
//! may say is `base::lifecycle::check`.
//!
//! Invariant: `read` reads what `write` writes, and a client gets back what it sent, with an ID where it sent none.

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lifecycle::check::malformed;
use crate::base::lifecycle::{
    Configuration, Expiration, Filter, MAX_RULES, NoncurrentExpiration, NoncurrentTransition, Rule, StorageClass, Transition, When,
};
use crate::base::timestamp::Timestamp;
use crate::http::xml::{Element, Writer};

/// A thousand rules with a filter and an action each have half of it.
const MAX_DOCUMENT_BYTES: usize = 512 * 1024;
const ROOT: &str = "LifecycleConfiguration";

pub fn read(document: &[u8]) -> Result<Vec<Rule>> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(malformed("the lifecycle configuration is larger than 512 KB"));
    }
    let root = Element::parse(document, ROOT)?;
    known(&root, &["Rule"], "Rule")?;
    // Told here, before each is read.
    if root.children.len() > MAX_RULES {
        let text = format!("The number of lifecycle rules must not exceed the allowed limit of {MAX_RULES} rules");
        return Err(Error::new(ErrorKind::InvalidRequest, text));
    }
    root.children.iter().map(rule).collect()
}

fn rule(element: &Element) -> Result<Rule> {
    const ONCE: &[&str] =
        &["ID", "Prefix", "Status", "Filter", "Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"];
    known(element, ONCE, "Transition")?;
    let id = match element.child("ID") {
        Some(id) if !id.text.trim_ascii().is_empty() => id.text.clone(),
        _ => new_id()?,
    };
    let enabled = match element.text_of("Status") {
        Some("Enabled") => true,
        Some("Disabled") => false,
        _ => return Err(malformed("the Status of a Rule is Enabled or Disabled")),
    };
    let of_name = |name: &'static str| element.children.iter().filter(move |child| child.name == name);
    Ok(Rule {
        id,
        enabled,
        filter: filter_of(element)?,
        expiration: element.child("Expiration").map(expiration).transpose()?,
        noncurrent: element.child("NoncurrentVersionExpiration").map(noncurrent_expiration).transpose()?,
        abort_uploads: element.child("AbortIncompleteMultipartUpload").map(abort).transpose()?,
        transitions: of_name("Transition").map(transition).collect::<Result<_>>()?,
        noncurrent_transitions: of_name("NoncurrentVersionTransition").map(noncurrent_transition).collect::<Result<_>>()?,
    })
}

/// As S3 makes one: it says nothing.
fn new_id() -> Result<String> {
    let mut random = [0u8; 18];
    getrandom::fill(&mut random).map_err(|e| Error::internal(e.to_string()))?;
    Ok(hex::encode(random))
}

// Filters

fn filter_of(rule: &Element) -> Result<Filter> {
    match (rule.child("Prefix"), rule.child("Filter")) {
        (Some(prefix), None) => Ok(Filter { old_form: true, prefix: Some(prefix.text.clone()), ..Filter::default() }),
        (None, Some(filter)) => filter_element(filter),
        (Some(_), Some(_)) => Err(malformed("a Rule has a Filter or a Prefix, not both")),
        (None, None) => Err(malformed("a Rule needs a Filter; an empty one is for all objects")),
    }
}

fn filter_element(element: &Element) -> Result<Filter> {
    if element.children.len() > 1 {
        return Err(malformed("a Filter holds one thing; more than one stand in an And"));
    }
    let Some(and) = element.child("And") else { return predicates(element) };
    let filter = predicates(and)?;
    if filter.predicates() < 2 {
        return Err(malformed("an And holds two or more things"));
    }
    Ok(filter)
}

fn predicates(element: &Element) -> Result<Filter> {
    known(element, &["Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan"], "Tag")?;
    let tags = element.children.iter().filter(|child| child.name == "Tag").map(tag).collect::<Result<_>>()?;
    Ok(Filter {
        // Spaces of a prefix belong to it.
        prefix: element.child("Prefix").map(|prefix| prefix.text.clone()),
        tags,
        larger_than: number(element, "ObjectSizeGreaterThan")?,
        smaller_than: number(element, "ObjectSizeLessThan")?,
        ..Filter::default()
    })
}

fn tag(element: &Element) -> Result<(String, String)> {
    known(element, &["Key", "Value"], "")?;
    let text = |name| element.child(name).map(|child| child.text.clone());
    text("Key").zip(text("Value")).ok_or_else(|| malformed("a Tag has a Key and a Value"))
}

// Actions

fn expiration(element: &Element) -> Result<Expiration> {
    known(element, &["Days", "Date", "ExpiredObjectDeleteMarker"], "")?;
    if element.children.len() != 1 {
        return Err(malformed("an Expiration has Days, or a Date, or ExpiredObjectDeleteMarker: one of them"));
    }
    match element.text_of("ExpiredObjectDeleteMarker") {
        Some("true") => Ok(Expiration::SoleMarkers(true)),
        Some("false") => Ok(Expiration::SoleMarkers(false)),
        Some(_) => Err(malformed("ExpiredObjectDeleteMarker is true or false")),
        None => when(element).map(Expiration::When),
    }
}

fn when(element: &Element) -> Result<When> {
    match (number(element, "Days")?, element.text_of("Date")) {
        (Some(days), None) => Ok(When::Days(days)),
        (None, Some(text)) => date(text).map(When::Date),
        _ => Err(malformed("Days or a Date are wanted, not both")),
    }
}

fn date(text: &str) -> Result<Timestamp> {
    let at = Timestamp::parse_iso8601(text).or_else(|| Timestamp::parse_iso8601(&format!("{text}T00:00:00Z")));
    at.ok_or_else(|| malformed("a Date is of the form 2027-01-01T00:00:00.000Z"))
}

fn noncurrent_expiration(element: &Element) -> Result<NoncurrentExpiration> {
    known(element, &["NoncurrentDays", "NewerNoncurrentVersions"], "")?;
    Ok(NoncurrentExpiration { days: noncurrent_days(element)?, keep: number(element, "NewerNoncurrentVersions")? })
}

fn noncurrent_days(element: &Element) -> Result<u32> {
    number(element, "NoncurrentDays")?.ok_or_else(|| malformed("NoncurrentDays is missing"))
}

fn abort(element: &Element) -> Result<u32> {
    known(element, &["DaysAfterInitiation"], "")?;
    number(element, "DaysAfterInitiation")?.ok_or_else(|| malformed("DaysAfterInitiation is missing"))
}

fn transition(element: &Element) -> Result<Transition> {
    known(element, &["Days", "Date", "StorageClass"], "")?;
    Ok(Transition { when: when(element)?, class: class(element)? })
}

fn noncurrent_transition(element: &Element) -> Result<NoncurrentTransition> {
    known(element, &["NoncurrentDays", "NewerNoncurrentVersions", "StorageClass"], "")?;
    let keep = number(element, "NewerNoncurrentVersions")?;
    Ok(NoncurrentTransition { days: noncurrent_days(element)?, keep, class: class(element)? })
}

fn class(element: &Element) -> Result<StorageClass> {
    let named = element.text_of("StorageClass").and_then(StorageClass::parse);
    named.ok_or_else(|| malformed("a StorageClass is STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR, GLACIER or DEEP_ARCHIVE"))
}

// Elements

/// Refuses children that are not known, and those of `once` that are there again. Those that begin with `often`, or end with it, may
/// be there many times.
fn known(element: &Element, once: &[&str], often: &str) -> Result<()> {
    let may_repeat = |name: &str| !often.is_empty() && (name == often || (often == "Transition" && name == "NoncurrentVersionTransition"));
    for (at, child) in element.children.iter().enumerate() {
        if may_repeat(&child.name) {
            continue;
        }
        if !once.contains(&child.name.as_str()) {
            return Err(malformed(&format!("{} has no element of that name in it", element.name)));
        }
        if element.children.iter().take(at).any(|before| before.name == child.name) {
            return Err(malformed(&format!("{} is there twice in {}", child.name, element.name)));
        }
    }
    Ok(())
}

/// A number of the schema: below zero, and beyond what it is kept in, there is none.
fn number<T: TryFrom<i64> + TryFrom<u64>>(element: &Element, name: &'static str) -> Result<Option<T>> {
    let Some(text) = element.text_of(name) else { return Ok(None) };
    let number: i64 = text.parse().map_err(|_| malformed(&format!("{name} is a whole number")))?;
    let fits = T::try_from(number).ok();
    fits.map(Some)
        .ok_or_else(|| Error::new(ErrorKind::InvalidArgument, format!("'{name}' must be a positive integer")).detail("ArgumentName", name))
}

// Writing

pub fn write(configuration: &Configuration) -> String {
    let mut w = Writer::document(ROOT);
    for rule in &configuration.rules {
        w.open("Rule").leaf("ID", &rule.id);
        write_filter(&mut w, &rule.filter);
        w.leaf("Status", if rule.enabled { "Enabled" } else { "Disabled" });
        for transition in &rule.transitions {
            w.open("Transition");
            write_when(&mut w, transition.when);
            w.leaf("StorageClass", transition.class.name()).close("Transition");
        }
        if let Some(expiration) = rule.expiration {
            w.open("Expiration");
            match expiration {
                Expiration::When(when) => write_when(&mut w, when),
                Expiration::SoleMarkers(go) => _ = w.leaf("ExpiredObjectDeleteMarker", go),
                // Of gateway.toml, and no bucket's.
                Expiration::Unread(_) => {}
            }
            w.close("Expiration");
        }
        for t in &rule.noncurrent_transitions {
            w.open("NoncurrentVersionTransition").leaf("NoncurrentDays", t.days).leaf_if("NewerNoncurrentVersions", t.keep);
            w.leaf("StorageClass", t.class.name()).close("NoncurrentVersionTransition");
        }
        if let Some(noncurrent) = rule.noncurrent {
            w.open("NoncurrentVersionExpiration").leaf("NoncurrentDays", noncurrent.days);
            w.leaf_if("NewerNoncurrentVersions", noncurrent.keep).close("NoncurrentVersionExpiration");
        }
        if let Some(days) = rule.abort_uploads {
            w.open("AbortIncompleteMultipartUpload").leaf("DaysAfterInitiation", days).close("AbortIncompleteMultipartUpload");
        }
        w.close("Rule");
    }
    w.finish(ROOT)
}

fn write_when(w: &mut Writer, when: When) {
    match when {
        When::Days(days) => w.leaf("Days", days),
        When::Date(date) => w.leaf("Date", date.iso8601()),
    };
}

fn write_filter(w: &mut Writer, filter: &Filter) {
    if filter.old_form {
        w.leaf("Prefix", filter.prefix.as_deref().unwrap_or_default());
        return;
    }
    w.open("Filter");
    let several = filter.predicates() > 1;
    if several {
        w.open("And");
    }
    w.leaf_if("Prefix", filter.prefix.as_ref());
    for (key, value) in &filter.tags {
        w.open("Tag").leaf("Key", key).leaf("Value", value).close("Tag");
    }
    w.leaf_if("ObjectSizeGreaterThan", filter.larger_than).leaf_if("ObjectSizeLessThan", filter.smaller_than);
    if several {
        w.close("And");
    }
    w.close("Filter");
}

#[cfg(test)]
mod tests;
