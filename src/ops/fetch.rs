//! Fetching: a job brings what lies at an address elsewhere under a tenant's key. Here: what may be asked for, and when its address expires.
//!
//! The address may hold a secret of its own: it stands in the job's payload, which its tenant sees, and in no log and no reason.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::media_type::MediaType;
use crate::base::names::{AccessKeyId, BucketName, ObjectKey};
use crate::base::network::Network;
use crate::base::object_ref::ObjectRef;
use crate::base::timestamp::Timestamp;
use crate::ops::{Ops, object};
use crate::outbound::target::{self, Reach};
use crate::queue::{Enqueued, NewJob, Payload};

pub const KIND: &str = "fetch";
pub const VERSION: u16 = 1;
const MAX_URL_BYTES: usize = 8192;
/// An address that expired long ago is not waited for, and one that is good for years is given up all the same.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, Clone)]
pub struct Settings {
    /// Networks that are no part of the open internet and are asked all the same.
    pub allow: Vec<Network>,
    pub max_bytes: u64,
    /// Between two pieces of a body.
    pub stall: Duration,
    /// For one attempt, from its begin to its end.
    pub time: Duration,
    /// How long it is tried, where nobody knows when the address expires.
    pub give_up: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            allow: Vec::new(),
            max_bytes: 5 << 30,
            stall: Duration::from_secs(30),
            time: Duration::from_secs(3600),
            give_up: Duration::from_secs(3600),
        }
    }
}

impl Settings {
    pub fn reach(&self) -> Reach {
        Reach::with(&self.allow)
    }
}

/// Of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Document {
    pub url: String,
    pub bucket: BucketName,
    pub key: ObjectKey,
    /// What the bytes must be, and what is stored with them.
    pub content_type: Option<String>,
    pub sha256: Option<String>,
    pub bytes: Option<u64>,
}

/// What was asked for, beside the place that the grants name.
pub struct Asked {
    pub url: String,
    pub content_type: Option<String>,
    pub sha256: Option<Sha256>,
    pub bytes: Option<u64>,
    pub expires: Option<Timestamp>,
    /// The same one again is the same job.
    pub idempotency_key: Option<String>,
    pub asked_by: Option<AccessKeyId>,
}

impl Ops {
    pub fn with_fetch(self, fetch: Settings) -> Self {
        Ops { fetch: fetch.into(), ..self }
    }

    /// `grant`: to fetch to that key. The right to write there is decided when the job begins.
    pub async fn fetch(&self, grant: &Grant, asked: Asked, now: Timestamp) -> Result<Enqueued> {
        let ObjectRef { bucket, key, .. } = object(grant, &[Action::Fetch])?;
        let Asked { url, content_type, sha256, bytes, expires, idempotency_key, asked_by } = asked;
        if url.len() > MAX_URL_BYTES {
            return Err(wrong(format!("The url has more than {MAX_URL_BYTES} bytes.")));
        }
        target::check(&url, &self.fetch.reach()).map_err(|e| wrong(format!("The url can't be fetched: {e}.")))?;
        if content_type.as_ref().is_some_and(|text| MediaType::parse(text.as_bytes()).is_none()) {
            return Err(wrong("content_type is no media type such as \"image/png\".".into()));
        }
        if bytes.is_some_and(|bytes| bytes > self.fetch.max_bytes) {
            return Err(wrong(format!("At most {} bytes are fetched here (fetch.max_size).", self.fetch.max_bytes)));
        }
        let deadline = expires.or_else(|| expiry_of(&url)).unwrap_or(now.plus(self.fetch.give_up)).min(now.plus(LONGEST));
        if deadline <= now {
            return Err(wrong("The url has expired already.".into()));
        }
        let document = Document { url, bucket: bucket.clone(), key: key.clone(), content_type, sha256: sha256.map(|s| s.hex()), bytes };
        self.jobs
            .enqueue(NewJob {
                deadline: Some(deadline),
                key: idempotency_key,
                max_attempts: u32::MAX,
                asked_by,
                ..NewJob::new(grant.tenant().clone(), KIND, Payload::of(VERSION, &document)?)
            })
            .await
    }
}

fn wrong(text: String) -> Error {
    Error::new(ErrorKind::InvalidRequest, text)
}

/// When a presigned address expires, as S3, Google, CloudFront and Azure write it into the query.
pub fn expiry_of(url: &str) -> Option<Timestamp> {
    let query = url.split_once('?')?.1.split('#').next().unwrap_or_default();
    let value = |wanted: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, text) = pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
    };
    let after = |date: &str, seconds: &str| {
        let from = Timestamp::parse_amz_date(&value(date)?)?;
        Some(from.plus(Duration::from_secs(value(seconds)?.parse().ok()?)))
    };
    after("X-Amz-Date", "X-Amz-Expires")
        .or_else(|| after("X-Goog-Date", "X-Goog-Expires"))
        .or_else(|| Some(Timestamp::from_secs(value("Expires")?.parse().ok()?)))
        .or_else(|| Timestamp::parse_iso8601(&value("se")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_an_address_expires() {
        let of = |query: &str| expiry_of(&format!("https://a.example/x?{query}")).map(Timestamp::iso8601);
        let at = Some("2026-11-30T12:10:00.000Z".to_owned());
        assert_eq!(of("X-Amz-Date=20261130T120000Z&X-Amz-Expires=600&X-Amz-Signature=ab"), at);
        assert_eq!(of("x-goog-expires=600&x-goog-date=20261130T120000Z"), at);
        assert_eq!(of("Signature=x&Expires=1796040600"), at);
        assert_eq!(of("sv=1&se=2026-11-30T12%3A10%3A00Z&sig=x"), at);
        for none in ["", "X-Amz-Date=20261130T120000Z", "Expires=soon", "se=now"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(expiry_of("https://a.example/"), None);
    }
}
