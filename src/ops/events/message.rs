//! What is told: an event, or the test that S3 sends when a configuration is set. As it is kept until it was told, and in the two forms
//! that receivers get: S3's event JSON 2.6, and CloudEvents 1.0 after the adapter for S3 of that specification.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::event::EventKind;
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::ops::events::settings::Format;

/// Of the payload of a letter.
pub const VERSION: u16 = 1;
const EVENT_VERSION: &str = "2.6";
/// As S3 names itself where no request asked.
const ITSELF: &str = "s3.amazonaws.com";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    Event(Box<Event>),
    Test(Test),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The same however often it is told.
    pub id: String,
    pub kind: EventKind,
    pub at: Timestamp,
    /// Grows with each event of a key.
    pub sequence: u64,
    pub region: String,
    /// Whose it is: the bucket's owner, or the tenant of a job.
    pub tenant: TenantId,
    /// Who did it. Absent: the gateway itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<TenantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Of the configuration or the rule that chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Object>,
    /// What there is to say of what is no object's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Object {
    pub key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    pub id: String,
    pub at: Timestamp,
    pub region: String,
    pub bucket: String,
    pub request: String,
}

impl Message {
    pub fn id(&self) -> &str {
        match self {
            Message::Event(event) => &event.id,
            Message::Test(test) => &test.id,
        }
    }

    /// What of the same place is told in order.
    pub fn place(&self) -> (&str, &str) {
        match self {
            Message::Event(event) => match (&event.bucket, &event.object) {
                (Some(bucket), Some(object)) => (bucket, &object.key),
                (Some(bucket), None) => (bucket, ""),
                (None, _) => ("", event.tenant.as_str()),
            },
            Message::Test(test) => (&test.bucket, ""),
        }
    }

    /// The body, and its media type.
    pub fn body(&self, format: Format) -> (String, &'static str) {
        match format {
            Format::S3 => (self.in_s3s_form().to_string(), "application/json"),
            Format::CloudEvents => (self.as_cloud_event().to_string(), "application/cloudevents+json"),
        }
    }

    fn in_s3s_form(&self) -> Value {
        match self {
            Message::Event(event) => json!({ "Records": [event.record()] }),
            Message::Test(test) => test.document(),
        }
    }

    fn as_cloud_event(&self) -> Value {
        let (id, source, name, at, subject, data) = match self {
            Message::Event(event) => {
                let subject = event.object.as_ref().map(|object| form_encoded(&object.key));
                (&event.id, event.source(), event.type_name(), event.at, subject, event.record())
            }
            Message::Test(test) => {
                let source = format!("aws:s3.{}.{}", test.region, test.bucket);
                (&test.id, source, "com.amazonaws.s3.TestEvent".to_owned(), test.at, None, test.document())
            }
        };
        let mut event = json!({
            "specversion": "1.0",
            "id": id,
            "source": source,
            "type": name,
            "time": at.iso8601(),
            "datacontenttype": "application/json",
            "data": data,
        });
        if let Some(subject) = subject {
            event["subject"] = subject.into();
        }
        event
    }
}

impl Test {
    fn document(&self) -> Value {
        json!({
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": self.at.iso8601(),
            "Bucket": self.bucket,
            "RequestId": self.request,
            "HostId": "tidegate",
        })
    }
}

impl Event {
    fn source(&self) -> String {
        let place = self.bucket.as_deref().unwrap_or(self.tenant.as_str());
        format!("{}.{}.{place}", self.maker(), self.region)
    }

    fn maker(&self) -> &'static str {
        if self.kind.is_of_s3() { "aws:s3" } else { "tidegate" }
    }

    fn type_name(&self) -> String {
        match self.kind.name().strip_prefix("tidegate:") {
            Some(name) => format!("tidegate.{name}"),
            None => format!("com.amazonaws.s3.{}", self.kind.short_name()),
        }
    }

    /// As S3 writes it.
    pub fn record(&self) -> Value {
        let by = self.by.as_ref().map_or(ITSELF, TenantId::as_str);
        let mut record = json!({
            "eventVersion": EVENT_VERSION,
            "eventSource": self.maker(),
            "awsRegion": self.region,
            "eventTime": self.at.iso8601(),
            "eventName": self.kind.short_name(),
            "userIdentity": { "principalId": by },
            "requestParameters": { "sourceIPAddress": self.address.as_deref().unwrap_or(ITSELF) },
            "responseElements": {
                "x-amz-request-id": self.request.as_deref().unwrap_or(&self.id),
                "x-amz-id-2": "tidegate",
            },
        });
        if let Some(bucket) = &self.bucket {
            record["s3"] = self.about(bucket);
        }
        if !self.kind.is_of_s3() || self.data.is_some() {
            record["tidegate"] = json!({ "tenant": self.tenant, "id": self.id, "data": self.data });
        }
        record
    }

    fn about(&self, bucket: &str) -> Value {
        let mut about = json!({
            "s3SchemaVersion": "1.0",
            "configurationId": self.configuration.as_deref().unwrap_or_default(),
            "bucket": {
                "name": bucket,
                "ownerIdentity": { "principalId": self.tenant },
                "arn": format!("arn:aws:s3:::{bucket}"),
            },
        });
        if let Some(Object { key, size, etag, version }) = &self.object {
            let mut object = json!({ "key": form_encoded(key), "sequencer": format!("{:016X}", self.sequence) });
            let known =
                [("size", size.map(Value::from)), ("eTag", etag.clone().map(Value::from)), ("versionId", version.clone().map(Value::from))];
            for (name, value) in known {
                if let Some(value) = value {
                    object[name] = value;
                }
            }
            about["object"] = object;
        }
        about
    }
}

/// A key as events write it: as in a form, with the slashes left.
pub fn form_encoded(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            id: "evt_1".into(),
            kind: EventKind::CreatedPut,
            at: Timestamp::from_secs(1_800_000_000),
            sequence: 0x0055_AED6_DCD9_0281,
            region: "us-east-1".into(),
            tenant: TenantId::parse("acme").unwrap(),
            by: Some(TenantId::parse("other").unwrap()),
            address: Some("10.1.2.3".into()),
            request: Some("0123456789ABCDEF".into()),
            configuration: Some("new".into()),
            bucket: Some("media".into()),
            object: Some(Object { key: "a b/ü+*~.jpg".into(), size: Some(7), etag: Some("e".into()), version: None }),
            data: None,
        }
    }

    #[test]
    fn an_event_in_s3s_form() {
        let (body, media_type) = Message::Event(Box::new(event())).body(Format::S3);
        let expected = json!({ "Records": [{
            "eventVersion": "2.6", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventTime": "2027-01-15T08:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "userIdentity": { "principalId": "other" },
            "requestParameters": { "sourceIPAddress": "10.1.2.3" },
            "responseElements": { "x-amz-request-id": "0123456789ABCDEF", "x-amz-id-2": "tidegate" },
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "new",
                "bucket": { "name": "media", "ownerIdentity": { "principalId": "acme" }, "arn": "arn:aws:s3:::media" },
                "object": { "key": "a+b/%C3%BC%2B*%7E.jpg", "size": 7, "eTag": "e", "sequencer": "0055AED6DCD90281" },
            },
        }] });
        assert_eq!((serde_json::from_str::<Value>(&body).unwrap(), media_type), (expected, "application/json"));
    }

    #[test]
    fn an_event_as_cloud_event() {
        let (body, media_type) = Message::Event(Box::new(event())).body(Format::CloudEvents);
        let shown: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(media_type, "application/cloudevents+json");
        for (name, value) in [
            ("specversion", "1.0"),
            ("id", "evt_1"),
            ("source", "aws:s3.us-east-1.media"),
            ("type", "com.amazonaws.s3.ObjectCreated:Put"),
            ("subject", "a+b/%C3%BC%2B*%7E.jpg"),
            ("time", "2027-01-15T08:00:00.000Z"),
        ] {
            assert_eq!(shown[name], value);
        }
        assert_eq!(shown["data"], event().record());
        let limit = Event { kind: EventKind::LimitNear, bucket: None, object: None, data: Some(json!({ "used": 9 })), ..event() };
        assert_eq!(limit.type_name(), "tidegate.Limit:Near");
        assert_eq!(limit.record()["tidegate"]["data"]["used"], 9);
    }

    /// Letters that wait are read by the next release.
    #[test]
    fn what_is_kept_has_these_bytes() {
        let kept = r#"{"event":{"id":"evt_1","kind":"s3:ObjectCreated:Put","at":1800000000000,"sequence":24117610871849601,"region":"us-east-1","tenant":"acme","by":"other","address":"10.1.2.3","request":"0123456789ABCDEF","configuration":"new","bucket":"media","object":{"key":"a b/ü+*~.jpg","size":7,"etag":"e"}}}"#;
        assert_eq!(serde_json::to_string(&Message::Event(Box::new(event()))).unwrap(), kept);
        assert_eq!(serde_json::from_str::<Message>(kept).unwrap(), Message::Event(Box::new(event())));
        let kept = r#"{"test":{"id":"evt_2","at":1800000000000,"region":"r","bucket":"media","request":"AB"}}"#;
        let at = Timestamp::from_secs(1_800_000_000);
        let test = Message::Test(Test { id: "evt_2".into(), at, region: "r".into(), bucket: "media".into(), request: "AB".into() });
        assert_eq!(serde_json::to_string(&test).unwrap(), kept);
        assert_eq!(serde_json::from_str::<Message>(kept).unwrap(), test);
    }
}
