//! Object lock on the S3 door: of a bucket (`?object-lock`), of a version (`?retention`, `?legal-hold`), in the headers of a write, and
//! what of it a reader is shown.
//!
//! Not here: what a lock keeps from being done, which the origin decides (`Writes`), with the write that would do it.
//! Invariants: what is asked is parsed before it is decided who may, since policies can look at it; `bypass` is a right and a wish.

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::action::Action;
use crate::base::bucket_lock::{BucketLock, DefaultRetention, Period};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::{invalid, text};
use crate::base::lock::{Lock, LockAsked, Retention, RetentionMode};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{ObjectInfo, SharedBucket};
use crate::base::object_ref::ObjectRef;
use crate::base::timestamp::Timestamp;
use crate::http::absence::not_on_a_marker;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer, value};
use crate::http::xml::{Element, Writer};
use crate::ingest::Expect;
use crate::ops::write::GrantedLock;
use crate::origin::{Freshness, no_lock_configuration};

const ENABLED: &str = "x-amz-bucket-object-lock-enabled";
const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";
const LEGAL_HOLD: &str = "x-amz-object-lock-legal-hold";
const BYPASS: &str = "x-amz-bypass-governance-retention";

// Of a bucket

pub async fn get_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketObjectLockConfiguration, name).await?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    match exchange.existing(bucket, name)?.object_lock()? {
        Some(lock) => Ok(respond::xml(lock.document())),
        None => {
            let text = "Object Lock configuration does not exist for this bucket";
            Err(Error::new(ErrorKind::ObjectLockConfigurationNotFound, text).detail("BucketName", name.as_str()))
        }
    }
}

pub async fn put_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketObjectLockConfiguration, name).await?;
    let lock = bucket_lock(&exchange.document().await?)?;
    exchange.gateway.ops.set_bucket_lock(&grant, lock).await?;
    Ok(respond::empty(StatusCode::OK))
}

fn bucket_lock(document: &[u8]) -> Result<BucketLock> {
    let root = Element::parse(document, "ObjectLockConfiguration")?;
    // It can't be turned off.
    if root.text_of("ObjectLockEnabled") != Some("Enabled") {
        return Err(malformed());
    }
    let Some(rule) = root.child("Rule") else { return Ok(BucketLock::default()) };
    let default = rule.child("DefaultRetention").ok_or_else(malformed)?;
    let mode = default.text_of("Mode").and_then(RetentionMode::parse).ok_or_else(malformed)?;
    let period = match (default.text_of("Days"), default.text_of("Years")) {
        (Some(days), None) => number(days)?.and_then(Period::days),
        (None, Some(years)) => number(years)?.and_then(Period::years),
        (None, None) | (Some(_), Some(_)) => return Err(malformed()),
    };
    let text = "Default retention period must be a positive integer value, of 36500 days or 100 years at most.";
    let period = period.ok_or_else(|| Error::new(ErrorKind::InvalidRetentionPeriod, text))?;
    Ok(BucketLock { default: Some(DefaultRetention { mode, period }) })
}

/// None: no number of days or years that there is.
fn number(text: &str) -> Result<Option<u32>> {
    text.parse::<i64>().map(|n| n.try_into().ok()).map_err(|_| malformed())
}

/// `x-amz-bucket-object-lock-enabled` of CreateBucket.
pub fn is_asked_of_new_bucket(headers: &HeaderMap) -> Result<bool> {
    match text(headers, ENABLED)? {
        None | Some("") => Ok(false),
        Some(v) if v.eq_ignore_ascii_case("false") => Ok(false),
        Some(v) if v.eq_ignore_ascii_case("true") => Ok(true),
        Some(_) => Err(invalid(ENABLED, "It can only be true or false.")),
    }
}

// Of a version

pub async fn get_retention(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let lock = of_object(exchange, Action::GetObjectRetention, bucket, key).await?;
    lock.retention.map(|r| respond::xml(retention_document(r))).ok_or_else(not_locked)
}

pub async fn put_retention(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let retention = retention(&exchange.document().await?)?;
    exchange.lock = LockAsked { retention, legal_hold: None };
    let grant = exchange.on_object(Action::PutObjectRetention, bucket, key).await?;
    let (found, _) = exchange.look_up(bucket, key, Freshness::Current).await.map_err(not_on_a_marker)?;
    require_lock(&found)?;
    require_future(retention, exchange.now)?;
    let bypass = exchange.bypasses(&found, exchange.named(bucket, key))?;
    exchange.gateway.ops.set_retention(&grant, retention, bypass).await?;
    Ok(respond::empty(StatusCode::OK))
}

pub async fn get_legal_hold(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let lock = of_object(exchange, Action::GetObjectLegalHold, bucket, key).await?;
    Ok(respond::xml(legal_hold_document(lock.legal_hold)))
}

pub async fn put_legal_hold(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let on = legal_hold(&exchange.document().await?)?;
    exchange.lock = LockAsked { retention: None, legal_hold: Some(on) };
    let grant = exchange.on_object(Action::PutObjectLegalHold, bucket, key).await?;
    let (found, _) = exchange.look_up(bucket, key, Freshness::Current).await.map_err(not_on_a_marker)?;
    require_lock(&found)?;
    exchange.gateway.ops.set_legal_hold(&grant, on).await?;
    Ok(respond::empty(StatusCode::OK))
}

async fn of_object(exchange: &Exchange<'_>, action: Action, bucket: &BucketName, key: &ObjectKey) -> Result<Lock> {
    let (found, object) = exchange.look_up(bucket, key, Freshness::Current).await.map_err(not_on_a_marker)?;
    exchange.authorize_object(action, &found, exchange.named(bucket, key), Some(&object)).await?;
    require_lock(&found)?;
    Ok(object.lock)
}

fn require_lock(bucket: &SharedBucket) -> Result<()> {
    bucket.object_lock()?.map(drop).ok_or_else(no_lock_configuration)
}

fn not_locked() -> Error {
    Error::new(ErrorKind::NoSuchObjectLockConfiguration, "The specified object does not have a ObjectLock configuration")
}

/// None: it is to end.
fn retention(document: &[u8]) -> Result<Option<Retention>> {
    let root = Element::parse(document, "Retention")?;
    match (root.text_of("Mode"), root.text_of("RetainUntilDate")) {
        (None, None) => Ok(None),
        (Some(mode), Some(until)) => {
            let mode = RetentionMode::parse(mode).ok_or_else(malformed)?;
            let until = Timestamp::parse_iso8601(until).ok_or_else(malformed)?;
            Ok(Some(Retention { mode, until }))
        }
        (Some(_), None) | (None, Some(_)) => Err(malformed()),
    }
}

fn retention_document(retention: Retention) -> String {
    let mut w = Writer::document("Retention");
    w.leaf("Mode", retention.mode.name()).leaf("RetainUntilDate", retention.until.iso8601());
    w.finish("Retention")
}

fn legal_hold(document: &[u8]) -> Result<bool> {
    match Element::parse(document, "LegalHold")?.text_of("Status") {
        Some("ON") => Ok(true),
        Some("OFF") => Ok(false),
        Some(_) | None => Err(malformed()),
    }
}

fn legal_hold_document(on: bool) -> String {
    let mut w = Writer::document("LegalHold");
    w.leaf("Status", if on { "ON" } else { "OFF" });
    w.finish("LegalHold")
}

fn malformed() -> Error {
    Error::new(ErrorKind::MalformedXml, "The XML you provided was not well-formed or did not validate against our published schema")
}

fn require_future(retention: Option<Retention>, now: Timestamp) -> Result<()> {
    match retention {
        Some(Retention { until, .. }) if until <= now => {
            Err(Error::new(ErrorKind::InvalidArgument, "The retain until date must be in the future!"))
        }
        Some(_) | None => Ok(()),
    }
}

// In a write

/// What the headers of a write ask for.
pub fn asked(headers: &HeaderMap, now: Timestamp) -> Result<LockAsked> {
    let retention = match (text(headers, MODE)?, text(headers, UNTIL)?) {
        (None, None) => None,
        (Some(mode), Some(until)) => {
            let mode = RetentionMode::parse(mode).ok_or_else(|| invalid(MODE, "Unknown wormMode directive."))?;
            let until = Timestamp::parse_iso8601(until);
            let until = until.ok_or_else(|| invalid(UNTIL, "The retain until date must be provided in ISO 8601 format"))?;
            Some(Retention { mode, until })
        }
        (Some(_), None) | (None, Some(_)) => {
            let text = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied";
            return Err(invalid(if headers.contains_key(MODE) { UNTIL } else { MODE }, text));
        }
    };
    require_future(retention, now)?;
    let legal_hold = match text(headers, LEGAL_HOLD)? {
        None => None,
        Some("ON") => Some(true),
        Some("OFF") => Some(false),
        Some(_) => return Err(invalid(LEGAL_HOLD, "Legal Hold must be either of 'ON' or 'OFF'")),
    };
    Ok(LockAsked { retention, legal_hold })
}

impl Exchange<'_> {
    /// What the request asks to be locked of the object that it makes, with the rights to do that.
    pub fn granted_lock(&self, bucket: &BucketName, key: &ObjectKey) -> Result<GrantedLock> {
        let LockAsked { retention, legal_hold } = self.lock;
        let found = self.record.bucket().ok_or_else(|| Error::internal("a write before its bucket was found"))?;
        let right = |action| self.authorize_without_tags(action, found, ObjectRef::current(bucket, key), None);
        Ok(GrantedLock {
            retention: retention.map(|r| right(Action::PutObjectRetention).map(|grant| (grant, r))).transpose()?,
            legal_hold: legal_hold.map(|on| right(Action::PutObjectLegalHold).map(|grant| (grant, on))).transpose()?,
        })
    }

    /// A body that will be locked must come with a sum that S3 itself can check. `what`: as S3 calls the request.
    pub fn require_sum(&self, expect: &Expect, locked: Lock, what: &str) -> Result<()> {
        let is_promised = expect.md5.is_some() || expect.checksum.is_some() || expect.trailer.is_some();
        let by_default =
            || Ok(self.record.bucket().map(|b| b.object_lock()).transpose()?.flatten().is_some_and(|lock| lock.default.is_some()));
        if is_promised || (locked == Lock::default() && !by_default()?) {
            return Ok(());
        }
        let text = format!("Content-MD5 OR x-amz-checksum- HTTP header is required for {what} requests with Object Lock parameters");
        Err(Error::new(ErrorKind::InvalidRequest, text))
    }

    /// Whether the caller may delete, or keep for a shorter time, what GOVERNANCE retains, and says that it wants to.
    pub fn bypasses(&self, bucket: &SharedBucket, of: ObjectRef<'_>) -> Result<bool> {
        if !self.header(BYPASS)?.is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return Ok(false);
        }
        if bucket.object_lock()?.is_none() {
            return Err(invalid(BYPASS, "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets."));
        }
        Ok(self.authorize_without_tags(Action::BypassGovernanceRetention, bucket, of, None).is_ok())
    }

    /// The lock of what was read, as far as the reader may know it.
    pub fn tell_lock(&self, headers: &mut HeaderMap, bucket: &SharedBucket, of: ObjectRef<'_>, object: &ObjectInfo) {
        if object.lock == Lock::default() {
            return;
        }
        let may = |action| self.authorize_without_tags(action, bucket, of, Some(object)).is_ok();
        if let Some(Retention { mode, until }) = object.lock.retention.filter(|_| may(Action::GetObjectRetention)) {
            headers.insert(HeaderName::from_static(MODE), HeaderValue::from_static(mode.name()));
            value(&until.iso8601()).into_iter().for_each(|v| drop(headers.insert(HeaderName::from_static(UNTIL), v)));
        }
        if object.lock.legal_hold && may(Action::GetObjectLegalHold) {
            headers.insert(HeaderName::from_static(LEGAL_HOLD), HeaderValue::from_static("ON"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn configurations_of_buckets() {
        let parsed = |inner: &str| {
            bucket_lock(format!("<ObjectLockConfiguration>{inner}</ObjectLockConfiguration>").as_bytes()).map_err(|e| e.kind())
        };
        let rule = |inner: &str| {
            parsed(&format!("<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>{inner}</DefaultRetention></Rule>"))
        };
        assert_eq!(parsed("<ObjectLockEnabled>Enabled</ObjectLockEnabled>"), Ok(BucketLock::default()));
        for bad in ["", "<ObjectLockEnabled>Disabled</ObjectLockEnabled>", "<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule/>"] {
            assert_eq!(parsed(bad), Err(ErrorKind::MalformedXml), "{bad}");
        }
        for bad in [
            "<Mode>GOVERNANCE</Mode>",
            "<Days>1</Days>",
            "<Mode>governance</Mode><Days>1</Days>",
            "<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>",
            "<Mode>GOVERNANCE</Mode><Days>x</Days>",
        ] {
            assert_eq!(rule(bad), Err(ErrorKind::MalformedXml), "{bad}");
        }
        for bad in ["<Days>0</Days>", "<Years>-1</Years>", "<Days>36501</Days>", "<Years>101</Years>", "<Days>99999999999</Days>"] {
            assert_eq!(rule(&format!("<Mode>COMPLIANCE</Mode>{bad}")), Err(ErrorKind::InvalidRetentionPeriod), "{bad}");
        }
    }

    #[test]
    fn headers_of_a_write() {
        let now = Timestamp::parse_iso8601("2026-11-29T00:00:00Z").unwrap();
        let of = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
            asked(&headers, now).map_err(|e| e.kind())
        };
        let until = Timestamp::parse_iso8601("2026-11-30T00:00:00Z").unwrap();
        let retention = Some(Retention { mode: RetentionMode::Compliance, until });
        assert_eq!(of(&[]), Ok(LockAsked::default()));
        assert_eq!(of(&[(LEGAL_HOLD, "OFF")]), Ok(LockAsked { retention: None, legal_hold: Some(false) }));
        let both = [(MODE, "COMPLIANCE"), (UNTIL, "2026-11-30T01:00:00.000+01:00")];
        assert_eq!(of(&both), Ok(LockAsked { retention, legal_hold: None }));
        let bad: [&[(&str, &str)]; 6] = [
            &[(MODE, "COMPLIANCE")],
            &[(UNTIL, "2026-11-30T00:00:00Z")],
            &[(MODE, "compliance"), (UNTIL, "2026-11-30T00:00:00Z")],
            &[(MODE, "COMPLIANCE"), (UNTIL, "tomorrow")],
            &[(MODE, "COMPLIANCE"), (UNTIL, "2026-11-29T00:00:00Z")],
            &[(LEGAL_HOLD, "on")],
        ];
        for bad in bad {
            assert_eq!(of(bad), Err(ErrorKind::InvalidArgument), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(compliance: bool, on: bool, until in 0..253_402_300_799_999_u64, days in 1..=Period::MAX_DAYS) {
            let mode = if compliance { RetentionMode::Compliance } else { RetentionMode::Governance };
            let kept = Retention { mode, until: Timestamp::from_millis(until) };
            prop_assert_eq!(retention(retention_document(kept).as_bytes()).unwrap(), Some(kept));
            prop_assert_eq!(legal_hold(legal_hold_document(on).as_bytes()).unwrap(), on);
            let lock = BucketLock { default: on.then_some(DefaultRetention { mode, period: Period::Days(days) }) };
            prop_assert_eq!(bucket_lock(lock.document().as_bytes()).unwrap(), lock);
        }
    }
}
