//! One replica: which part of what is stored it gets, and the bucket of some S3 that it lives in.
//!
//! It is opened when it is first needed, and again as long as that fails: a replica that is down keeps no gateway from starting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::auth::keys::Secret;
use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::ops::breaker::{Breaker, is_silent};
use crate::origin::Pending;
use crate::telemetry::replicas::Replica as Gauges;
use crate::upstream::{Settings as UpstreamSettings, Upstream};

/// A bucket, or the keys of it that begin with a prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    pub bucket: BucketName,
    /// Empty: all of it.
    pub prefix: String,
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub name: String,
    /// Where it lives. Its folder is the caller's to set.
    pub upstream: UpstreamSettings,
    /// Empty: everything.
    pub only: Vec<Part>,
    /// Reads go there while the origin can't be asked.
    pub read: bool,
    /// From the end of one repair scan to the begin of the next.
    pub scan: Duration,
}

pub struct Target {
    pub settings: Settings,
    pub name: Arc<str>,
    /// Of its jobs.
    pub kind: &'static str,
    pub breaker: Breaker,
    pub gauges: Gauges,
    /// Held by the scan that runs.
    pub scanning: tokio::sync::Mutex<()>,
    secret: Secret,
    opened: OnceCell<Upstream>,
}

impl Target {
    pub fn new(settings: Settings, secret: Secret, gauges: Gauges) -> Self {
        gauges.up.set(1);
        Target {
            name: settings.name.as_str().into(),
            // Kinds live as long as the process; there are as many as the configuration names.
            kind: Box::leak(format!("replicate-{}", settings.name).into_boxed_str()),
            breaker: Breaker::default(),
            gauges,
            scanning: tokio::sync::Mutex::default(),
            secret,
            opened: OnceCell::new(),
            settings,
        }
    }

    /// Without a key: the bucket itself.
    pub fn covers(&self, bucket: &BucketName, key: Option<&ObjectKey>) -> bool {
        let only = &self.settings.only;
        let begins = |part: &Part| key.is_none_or(|key| key.as_str().starts_with(&part.prefix));
        only.is_empty() || only.iter().any(|part| part.bucket == *bucket && begins(part))
    }

    /// The prefixes of the bucket that it gets, in order, none inside another.
    pub fn prefixes(&self, bucket: &BucketName) -> Vec<String> {
        if self.settings.only.is_empty() {
            return vec![String::new()];
        }
        let mut all: Vec<String> = self.settings.only.iter().filter(|p| p.bucket == *bucket).map(|p| p.prefix.clone()).collect();
        all.sort();
        all.dedup_by(|next, before| next.starts_with(&*before));
        all
    }

    pub async fn upstream(&self) -> Result<&Upstream> {
        self.opened.get_or_try_init(|| start(self.settings.upstream.clone(), self.secret.clone())).await
    }

    pub fn well(&self) {
        self.gauges.up.set(1);
        if self.breaker.well() {
            tracing::info!(replica = %self.name, "a replica answers again");
        }
    }

    pub fn failed(&self, e: &Error) {
        if !is_silent(e) {
            return;
        }
        self.gauges.up.set(0);
        if self.breaker.failed() {
            tracing::warn!(replica = %self.name, error = %e, "a replica can't be reached; it is tried again in a while");
        }
    }

    pub fn close(&self) {
        if let Some(upstream) = self.opened.get() {
            upstream.close();
        }
    }
}

fn start(settings: UpstreamSettings, secret: Secret) -> Pending<'static, Upstream> {
    Box::pin(async move { Upstream::start(settings, secret.expose().as_bytes()).await })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::operator::OperatorKey;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn what_a_replica_gets() {
        let part = |bucket: &str, prefix: &str| Part { bucket: BucketName::parse(bucket).unwrap(), prefix: prefix.into() };
        let only = vec![part("media", "b/c/"), part("media", "b/"), part("media", "a/"), part("logs", "")];
        let settings =
            Settings { name: "west".into(), upstream: UpstreamSettings::default(), only, read: false, scan: Duration::from_secs(1) };
        let secret = OperatorKey::from_strings("AKOPERATOR", "operator-secret").unwrap().secret;
        let target = Target::new(settings, secret, Metrics::new().replicas.of("west"));
        let (media, logs, other) = ("media", "logs", "other");
        let covers = |bucket: &str, key: &str| target.covers(&BucketName::parse(bucket).unwrap(), ObjectKey::parse(key).ok().as_ref());
        assert!(covers(media, "b/x") && covers(media, "a/") && covers(logs, "x") && covers(media, ""));
        assert!(!covers(media, "c") && !covers(other, "b/x") && !covers(other, ""));
        assert_eq!(target.prefixes(&BucketName::parse("media").unwrap()), ["a/", "b/"]);
        assert_eq!(target.prefixes(&BucketName::parse("logs").unwrap()), [""]);
    }
}
