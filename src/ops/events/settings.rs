//! The webhooks of gateway.toml, and its rules of who is told what.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::live_secrets::Secrets;
use crate::base::event::{EventKind, EventKinds};
use crate::base::listed::listed;
use crate::base::names::{BucketName, TenantId};

#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub webhooks: Vec<Arc<Webhook>>,
    pub rules: Vec<Rule>,
    /// As events name it.
    pub region: String,
}

listed! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Format {
        /// S3's own JSON.
        S3,
        CloudEvents,
    }
}

impl Format {
    pub const fn name(self) -> &'static str {
        match self {
            Format::S3 => "s3",
            Format::CloudEvents => "cloudevents",
        }
    }
}

#[derive(Debug)]
pub struct Webhook {
    pub name: String,
    pub url: String,
    /// It stands in the operator's own network: plain HTTP and any address are allowed.
    pub local: bool,
    /// Whatever is sent is signed with each of them.
    pub secrets: Arc<Secrets>,
    pub format: Format,
    /// Whose events it may be told of. None: all tenants'.
    pub tenants: Option<Vec<TenantId>>,
    /// Of one delivery.
    pub timeout: Duration,
    /// What could not be told for so long is given up.
    pub give_up: Duration,
    /// Deliveries at once, of different keys.
    pub at_once: u16,
}

impl Webhook {
    pub fn allows(&self, tenant: &TenantId) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub name: String,
    /// Its name.
    pub webhook: String,
    /// Empty: all, and what is about no bucket.
    pub buckets: Vec<BucketName>,
    pub prefix: String,
    pub suffix: String,
    pub kinds: EventKinds,
}

impl Rule {
    pub fn lets(&self, kind: EventKind, bucket: Option<&BucketName>, key: Option<&str>) -> bool {
        self.may_let(EventKinds::of(&[kind]), bucket, key)
    }

    /// Whether it lets any of them.
    pub fn may_let(&self, kinds: EventKinds, bucket: Option<&BucketName>, key: Option<&str>) -> bool {
        let of_bucket = self.buckets.is_empty() || bucket.is_some_and(|bucket| self.buckets.contains(bucket));
        let filters_keys = !self.prefix.is_empty() || !self.suffix.is_empty();
        let of_key = match key {
            Some(key) => key.starts_with(&self.prefix) && key.ends_with(&self.suffix),
            None => !filters_keys,
        };
        self.kinds.meets(kinds) && of_bucket && of_key
    }
}

impl Settings {
    /// To be loaded at the start, and when they change.
    pub fn secrets(&self) -> Vec<Arc<Secrets>> {
        self.webhooks.iter().map(|webhook| webhook.secrets.clone()).collect()
    }

    pub fn webhook(&self, name: &str) -> Option<&Arc<Webhook>> {
        self.webhooks.iter().find(|webhook| webhook.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_choose() {
        let media = BucketName::parse("media").unwrap();
        let kinds = EventKinds::matching("s3:ObjectRemoved:*").unwrap();
        let rule = |buckets: &[&BucketName], prefix: &str| Rule {
            name: "r".into(),
            webhook: "w".into(),
            buckets: buckets.iter().map(|b| (*b).clone()).collect(),
            prefix: prefix.into(),
            suffix: String::new(),
            kinds,
        };
        assert!(rule(&[], "").lets(EventKind::RemovedDelete, Some(&media), Some("a")));
        assert!(!rule(&[], "").lets(EventKind::CreatedPut, Some(&media), Some("a")));
        assert!(rule(&[&media], "a/").lets(EventKind::RemovedDelete, Some(&media), Some("a/b")));
        assert!(!rule(&[&media], "a/").lets(EventKind::RemovedDelete, Some(&media), Some("b")));
        assert!(!rule(&[&media], "").lets(EventKind::RemovedDelete, None, None));
        assert!(!rule(&[], "a").lets(EventKind::RemovedDelete, None, None));
    }
}
