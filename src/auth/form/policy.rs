//! The policy of a form: until when it is good, and what must hold of each field.
//!
//! Pure. Every field must be spoken of by a condition, the bucket too, which is the one that the form was sent to: a policy that names none
//! would open all buckets of its signer. A field that is not there is as an empty one. Names of fields are compared in any case,
//! values and names of the document as they are written. What the policy can't say clearly makes it invalid.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::auth::form::fields::{Fields, IGNORED, POLICY};
use crate::auth::policy::json::Json;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::trim;
use crate::base::names::BucketName;
use crate::base::timestamp::Timestamp;

const BUCKET: &str = "bucket";
/// No condition speaks of these: they are the policy and its signature.
const UNCONDITIONED: &[&str] = &["file", POLICY, "x-amz-signature", "signature", "awsaccesskeyid"];
/// Fields that have one value or none; a beginning of it means nothing.
const EXACT: &[&str] = &[BUCKET, "success_action_status", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-security-token"];
/// JSON's numbers are exact up to here.
const MAX_LENGTH: f64 = 9_007_199_254_740_992.0;

#[derive(Debug)]
pub struct Policy {
    pub expiration: Timestamp,
    conditions: Vec<Condition>,
}

/// How long a file may be, from and to, both in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub min: u64,
    pub max: u64,
}

#[derive(Debug)]
enum Condition {
    Field(OfField),
    Length(Range),
}

#[derive(Debug)]
struct OfField {
    test: Test,
    /// As it is written, with its `$`.
    shown: String,
    /// In lower case. None: it was written without the `$`, and holds of nothing.
    field: Option<String>,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equals,
    StartsWith,
}

impl Policy {
    /// `encoded`: the field, in base64.
    pub fn parse(encoded: &str) -> Result<Self> {
        let encoded: Vec<u8> = encoded.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
        let text = STANDARD.decode(encoded).map_err(|_| invalid("Invalid JSON."))?;
        let Ok(Json::Object(members)) = Json::parse(&without_escaped_dollars(&text)) else { return Err(invalid("Invalid JSON.")) };
        let (mut expiration, mut conditions) = (None, None);
        for (name, value) in &members {
            match name.as_str() {
                "expiration" => expiration = Some(time(value)?),
                "conditions" => conditions = Some(list(value)?),
                other => return Err(invalid(format!("Unexpected: '{}'", shortened(other)))),
            }
        }
        Ok(Policy {
            expiration: expiration.ok_or_else(|| invalid("Policy missing expiration."))?,
            conditions: conditions.ok_or_else(|| invalid("Policy missing conditions."))?,
        })
    }

    /// How long the file may be, where the policy says it.
    pub fn check(&self, form: &Fields, bucket: &BucketName, now: Timestamp) -> Result<Option<Range>> {
        if self.expiration <= now {
            return Err(denied("Policy expired."));
        }
        let mut length: Option<Range> = None;
        for condition in &self.conditions {
            match condition {
                Condition::Field(condition) if condition.holds(form, bucket) => {}
                Condition::Field(condition) => return Err(denied(&format!("Policy Condition failed: {}", condition.text()))),
                Condition::Length(Range { min, max }) => {
                    let so_far = length.unwrap_or(Range { min: 0, max: u64::MAX });
                    length = Some(Range { min: so_far.min.max(*min), max: so_far.max.min(*max) });
                }
            }
        }
        // Its value counts for nothing where the form has such a field.
        let sent = form.iter().map(|(name, _)| name).filter(|name| *name != BUCKET && !is_free(name));
        match [BUCKET].into_iter().chain(sent).find(|name| !self.speaks_of(name)) {
            Some(name) => Err(denied(&format!("Extra input fields: {}", shortened(name)))),
            None => Ok(length),
        }
    }

    fn speaks_of(&self, name: &str) -> bool {
        self.conditions.iter().any(|condition| matches!(condition, Condition::Field(of) if of.field.as_deref() == Some(name)))
    }
}

impl OfField {
    fn new(test: Test, shown: String, value: String) -> Self {
        let field = shown.strip_prefix('$').map(str::to_ascii_lowercase);
        OfField { test, shown, field, value }
    }

    fn holds(&self, form: &Fields, bucket: &BucketName) -> bool {
        let Some(field) = self.field.as_deref() else { return false };
        let sent = if field == BUCKET { bucket.as_str() } else { form.get(field).unwrap_or_default() };
        match self.test {
            Test::Equals => sent == self.value,
            Test::StartsWith if EXACT.contains(&field) => false,
            // Each member of a list.
            Test::StartsWith if field == "content-type" => sent.split(',').all(|member| trim(member).starts_with(&self.value)),
            Test::StartsWith => sent.starts_with(&self.value),
        }
    }

    fn text(&self) -> String {
        let test = if self.test == Test::Equals { "eq" } else { "starts-with" };
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        format!("[{}, {}, {}]", quoted(test), quoted(&self.shown), quoted(&self.value))
    }
}

fn is_free(name: &str) -> bool {
    name.starts_with(IGNORED) || UNCONDITIONED.contains(&name)
}

fn time(value: &Json) -> Result<Timestamp> {
    let text = value.as_text().ok_or_else(|| invalid("Invalid 'expiration' value: must be a String."))?;
    // S3 takes no other zone.
    let parsed = Timestamp::parse_iso8601(text).filter(|_| text.ends_with('Z') && text.contains('T'));
    parsed.ok_or_else(|| invalid(format!("Invalid 'expiration' value: '{}'", shortened(text))))
}

fn list(value: &Json) -> Result<Vec<Condition>> {
    match value {
        Json::List(conditions) => conditions.iter().map(condition).collect(),
        _ => Err(invalid("Invalid 'conditions' value: must be a List.")),
    }
}

fn condition(value: &Json) -> Result<Condition> {
    match value {
        Json::Object(members) => match members.as_slice() {
            [(name, Json::Text(value))] => Ok(Condition::Field(OfField::new(Test::Equals, format!("${name}"), value.clone()))),
            [_] => Err(invalid("Invalid Simple-Condition: value must be a string.")),
            _ => Err(invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")),
        },
        Json::List(items) => match items.split_first() {
            Some((Json::Text(test), arguments)) => listed(test, arguments),
            _ => Err(invalid("Invalid Condition: missing operation identifier.")),
        },
        _ => Err(invalid("Invalid condition test: must be a List or Object.")),
    }
}

fn listed(name: &str, arguments: &[Json]) -> Result<Condition> {
    let wrong_number = || invalid(format!("Invalid {name}: wrong number of arguments."));
    let of_field = |test| match arguments {
        [Json::Text(field), Json::Text(value)] => Ok(Condition::Field(OfField::new(test, field.clone(), value.clone()))),
        [_, _] => Err(invalid(format!("Invalid {name}: its arguments must be strings."))),
        _ => Err(wrong_number()),
    };
    match name.to_ascii_lowercase().as_str() {
        "eq" => of_field(Test::Equals),
        "starts-with" => of_field(Test::StartsWith),
        "content-length-range" => match arguments {
            [min, max] => Ok(Condition::Length(Range { min: bytes(min)?, max: bytes(max)? })),
            _ => Err(wrong_number()),
        },
        _ => Err(invalid(format!("Invalid Condition: unknown operation '{}'.", shortened(name)))),
    }
}

/// A length, also one that is written as text.
fn bytes(value: &Json) -> Result<u64> {
    let parsed = match value {
        Json::Number(n) if n.fract() == 0.0 && (0.0..=MAX_LENGTH).contains(n) => Some(*n as u64),
        Json::Text(text) if text.bytes().all(|c| c.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| invalid("Invalid content-length-range: a length is a whole number of bytes."))
}

/// `\$` is S3's own way to write a dollar, which JSON does not have.
fn without_escaped_dollars(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied().peekable();
    while let Some(c) = rest.next() {
        match rest.next_if(|_| c == b'\\') {
            Some(b'$') => out.push(b'$'),
            Some(escaped) => out.extend([c, escaped]),
            None => out.push(c),
        }
    }
    out
}

/// It is quoted back.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

fn invalid(why: impl AsRef<str>) -> Error {
    Error::new(ErrorKind::InvalidPolicyDocument, format!("Invalid Policy: {}", why.as_ref()))
}

fn denied(why: &str) -> Error {
    Error::new(ErrorKind::AccessDenied, format!("Invalid according to Policy: {why}"))
}
