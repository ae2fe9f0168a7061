//! Whom a bucket tells of what happens in it: S3's notification configuration, as the bucket keeps it, and which keys a filter lets through.
//!
//! Not here: its XML (`http/s3/notification`), the webhooks that it names (`ops/events`).

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::event::{EventKind, EventKinds};
use super::fields::newer;
use super::listed::listed;
use super::object::{Bucket, BucketDocument};

const VERSION: u32 = 1;

listed! {
    /// By which of S3's three elements a destination was named. All mean a webhook here.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Destination {
        Topic,
        Queue,
        Function,
    }
}

impl Destination {
    pub const fn name(self) -> &'static str {
        match self {
            Destination::Topic => "topic",
            Destination::Queue => "queue",
            Destination::Function => "function",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    pub id: String,
    pub destination: Destination,
    /// As the client wrote it.
    pub arn: String,
    /// As the client wrote them.
    pub events: Vec<String>,
    pub kinds: EventKinds,
    /// None: the client wrote no filter of that name.
    pub prefix: Option<String>,
    pub suffix: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notifications(pub Vec<Notification>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    configurations: Vec<StoredOne>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredOne {
    id: String,
    destination: String,
    arn: String,
    events: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suffix: Option<String>,
}

impl Notification {
    pub fn lets(&self, kind: EventKind, key: &str) -> bool {
        self.kinds.has(kind) && self.lets_key(key)
    }

    pub fn lets_key(&self, key: &str) -> bool {
        key.starts_with(self.prefix()) && key.ends_with(self.suffix())
    }

    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    pub fn suffix(&self) -> &str {
        self.suffix.as_deref().unwrap_or_default()
    }

    /// The webhook's name: what follows the last colon.
    pub fn webhook(&self) -> &str {
        webhook_of(&self.arn).unwrap_or_default()
    }

    /// Whether some key and event would be let through by both. S3 allows that for different events, prefixes or suffixes only.
    pub fn overlaps(&self, other: &Notification) -> bool {
        let one_begins = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
        let one_ends = |a: &str, b: &str| a.ends_with(b) || b.ends_with(a);
        self.kinds.meets(other.kinds) && one_begins(self.prefix(), other.prefix()) && one_ends(self.suffix(), other.suffix())
    }
}

/// None: it is no ARN. Any partition, service, region and account will do: SDKs send what their users have.
pub fn webhook_of(arn: &str) -> Option<&str> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let [scheme, partition, service, _, _, resource] = fields[..] else { return None };
    let name = resource.rsplit(':').next().filter(|name| !name.is_empty())?;
    (scheme == "arn" && !partition.is_empty() && !service.is_empty()).then_some(name)
}

impl Notifications {
    /// As the bucket keeps it. What a newer program wrote is not read.
    pub fn stored(&self) -> Result<Vec<u8>> {
        let one = |n: &Notification| StoredOne {
            id: n.id.clone(),
            destination: n.destination.name().to_owned(),
            arn: n.arn.clone(),
            events: n.events.clone(),
            prefix: n.prefix.clone(),
            suffix: n.suffix.clone(),
        };
        serde_json::to_vec(&Stored { version: VERSION, configurations: self.0.iter().map(one).collect() }).map_err(Error::internal)
    }

    pub fn of(bucket: &Bucket) -> Result<Self> {
        bucket.documents.get(&BucketDocument::Notification).map_or(Ok(Notifications::default()), |document| Self::read(document))
    }

    fn read(document: &[u8]) -> Result<Self> {
        let too_new = || newer("the notification configuration of a bucket");
        let stored: Stored = serde_json::from_slice(document).map_err(|_| too_new())?;
        if stored.version != VERSION {
            return Err(too_new());
        }
        let one = |s: StoredOne| {
            let destination = Destination::ALL.into_iter().find(|d| d.name() == s.destination).ok_or_else(too_new)?;
            let kinds = kinds_of(&s.events).map_err(|_| too_new())?;
            let StoredOne { id, arn, events, prefix, suffix, .. } = s;
            Ok(Notification { id, destination, arn, events, kinds, prefix, suffix })
        };
        stored.configurations.into_iter().map(one).collect::<Result<_>>().map(Notifications)
    }
}

/// Err: the first that is none.
pub fn kinds_of(events: &[String]) -> std::result::Result<EventKinds, &str> {
    events.iter().try_fold(EventKinds::default(), |all, event| Ok(all.union(EventKinds::matching(event).ok_or(event.as_str())?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(events: &[&str], prefix: Option<&str>, suffix: Option<&str>) -> Notification {
        let events: Vec<String> = events.iter().map(|e| (*e).to_owned()).collect();
        Notification {
            id: "a".into(),
            destination: Destination::Queue,
            arn: "arn:aws:sqs:us-east-1:123456789012:hook".into(),
            kinds: kinds_of(&events).unwrap(),
            events,
            prefix: prefix.map(str::to_owned),
            suffix: suffix.map(str::to_owned),
        }
    }

    #[test]
    fn a_filter_lets_keys_through() {
        let jpg = one(&["s3:ObjectCreated:*"], Some("images/"), Some(".jpg"));
        assert!(jpg.lets(EventKind::CreatedPut, "images/a.jpg"));
        assert!(!jpg.lets(EventKind::CreatedPut, "a.jpg") && !jpg.lets(EventKind::RemovedDelete, "images/a.jpg"));
        assert!(one(&["s3:ObjectRemoved:*"], None, None).lets(EventKind::RemovedDeleteMarkerCreated, "x"));
    }

    #[test]
    fn what_overlaps_on_s3() {
        let put = |prefix, suffix| one(&["s3:ObjectCreated:Put"], prefix, suffix);
        let all = |prefix, suffix| one(&["s3:ObjectCreated:*"], prefix, suffix);
        assert!(put(None, None).overlaps(&all(Some("a"), None)));
        assert!(put(Some("images"), None).overlaps(&all(Some("images/"), None)));
        assert!(put(None, Some("jpg")).overlaps(&all(None, Some("pg"))));
        assert!(!put(Some("images/"), Some(".jpg")).overlaps(&all(Some("images/"), Some(".png"))));
        assert!(!put(Some("a/"), None).overlaps(&all(Some("b/"), None)));
        assert!(!put(None, None).overlaps(&one(&["s3:ObjectRemoved:*"], None, None)));
    }

    #[test]
    fn arns_name_webhooks() {
        for (arn, name) in [
            ("arn:aws:sns:::hook", Some("hook")),
            ("arn:aws:sqs:us-east-1:123456789012:my-queue", Some("my-queue")),
            ("arn:aws:lambda:us-east-1:123456789012:function:resize", Some("resize")),
            ("arn:tidegate:webhook:::hook", Some("hook")),
            ("arn:minio:sqs::1:webhook", Some("webhook")),
            ("hook", None),
            ("arn:aws:sqs:us-east-1:123456789012:", None),
            ("arn:::::x", None),
            ("urn:aws:sqs:::x", None),
        ] {
            assert_eq!(webhook_of(arn), name, "{arn}");
        }
    }

    #[test]
    fn what_is_stored_is_read_again_and_nothing_else() {
        let all = Notifications(vec![one(&["s3:ObjectCreated:*"], Some("a/"), None), one(&["s3:ObjectRemoved:Delete"], None, Some(""))]);
        let stored = all.stored().unwrap();
        assert_eq!(
            String::from_utf8(stored.clone()).unwrap(),
            r#"{"version":1,"configurations":[{"id":"a","destination":"queue","arn":"arn:aws:sqs:us-east-1:123456789012:hook","events":["s3:ObjectCreated:*"],"prefix":"a/"},{"id":"a","destination":"queue","arn":"arn:aws:sqs:us-east-1:123456789012:hook","events":["s3:ObjectRemoved:Delete"],"suffix":""}]}"#
        );
        assert_eq!(Notifications::read(&stored).unwrap(), all);
        for newer in [r#"{"version":2,"configurations":[]}"#, r#"{"version":1,"configurations":[],"x":1}"#] {
            assert!(Notifications::read(newer.as_bytes()).is_err(), "{newer}");
        }
    }
}
