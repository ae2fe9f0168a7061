//! Whom a bucket tells of what happens in it: NotificationConfiguration, set and read.
//!
//! A topic, a queue and a function are the same here: a webhook of gateway.toml, named by the last part of an ARN. Not here: who is told
//! (`ops/events`). Called by the door.

use std::collections::HashSet;

use http::StatusCode;

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::listed::listed;
use crate::base::names::BucketName;
use crate::base::notification::{Destination, Notification, Notifications, kinds_of, webhook_of};
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::xml::{Element, Writer};

const ROOT: &str = "NotificationConfiguration";
pub const SKIP_VALIDATION: &str = "x-amz-skip-destination-validation";
/// S3's own.
const MAX_CONFIGURATIONS: usize = 100;
const MAX_ID_BYTES: usize = 255;
const MAX_FILTER_BYTES: usize = 1024;
const MAX_ARN_BYTES: usize = 1024;

pub async fn get(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketNotification, name).await?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let notifications = Notifications::of(&*exchange.existing(bucket, name)?)?;
    Ok(respond::xml(document(&notifications)))
}

pub async fn put(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketNotification, name).await?;
    let notifications = parse(&exchange.document().await?)?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let owner = exchange.existing(bucket, name)?.owner.clone();
    let skips = exchange.header(SKIP_VALIDATION)?.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let id = exchange.id;
    let test = (!skips).then(|| id.as_str());
    exchange.gateway.ops.set_bucket_notifications(&grant, &owner, notifications, test).await?;
    Ok(respond::empty(StatusCode::OK))
}

listed! {
    /// What a document is made of, in S3's order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Part {
        Topic,
        Queue,
        Function,
    }
}

impl Part {
    /// Its element, and the one in it that names the destination.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Part::Topic => ("TopicConfiguration", "Topic"),
            Part::Queue => ("QueueConfiguration", "Queue"),
            Part::Function => ("CloudFunctionConfiguration", "CloudFunction"),
        }
    }

    const fn destination(self) -> Destination {
        match self {
            Part::Topic => Destination::Topic,
            Part::Queue => Destination::Queue,
            Part::Function => Destination::Function,
        }
    }
}

fn document(notifications: &Notifications) -> String {
    let mut w = Writer::document(ROOT);
    for part in Part::ALL {
        let (element, arn) = part.names();
        for one in notifications.0.iter().filter(|one| one.destination == part.destination()) {
            w.open(element).leaf("Id", &one.id).leaf(arn, &one.arn);
            for event in &one.events {
                w.leaf("Event", event);
            }
            let rules: Vec<_> = [("prefix", &one.prefix), ("suffix", &one.suffix)].into_iter().filter(|(_, v)| v.is_some()).collect();
            if !rules.is_empty() {
                w.open("Filter").open("S3Key");
                for (name, value) in rules {
                    w.open("FilterRule").leaf("Name", name).leaf("Value", value.as_deref().unwrap_or_default()).close("FilterRule");
                }
                w.close("S3Key").close("Filter");
            }
            w.close(element);
        }
    }
    w.finish(ROOT)
}

/// Without any configuration: nobody is told any more.
fn parse(document: &[u8]) -> Result<Notifications> {
    let root = Element::parse(document, ROOT)?;
    let mut all = Vec::new();
    for child in &root.children {
        if child.name == "EventBridgeConfiguration" {
            let text = "There is no EventBridge here. Name a webhook of gateway.toml by a topic, a queue or a function; format = \"cloudevents\" \
                        sends events as EventBridge's kind of consumers read them.";
            return Err(Error::new(ErrorKind::NotImplemented, text));
        }
        let part = Part::ALL.into_iter().find(|part| part.names().0 == child.name);
        all.push(parse_one(part.ok_or_else(|| malformed(&format!("{} is not known", child.name)))?, child)?);
    }
    if all.len() > MAX_CONFIGURATIONS {
        return Err(malformed("it has more than 100 configurations"));
    }
    let mut ids = HashSet::new();
    if let Some(twice) = all.iter().find(|one| !ids.insert(&one.id)) {
        return Err(wrong("Same ID used for multiple configurations. IDs must be unique", "Id", &twice.id));
    }
    for (n, one) in all.iter().enumerate() {
        if let Some(other) = all[..n].iter().find(|other| other.overlaps(one)) {
            let text = "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the \
                        same event type.";
            return Err(wrong(text, "Id", &format!("{}, {}", other.id, one.id)));
        }
    }
    Ok(Notifications(all))
}

fn parse_one(part: Part, element: &Element) -> Result<Notification> {
    let (name, arn_name) = part.names();
    let texts = |name: &str| element.children.iter().filter(|c| c.name == name).map(|c| c.text.clone()).collect::<Vec<_>>();
    let arn = element.text_of(arn_name).ok_or_else(|| malformed(&format!("{name} has no {arn_name}")))?.to_owned();
    if arn.len() > MAX_ARN_BYTES || webhook_of(&arn).is_none() {
        let text = "The ARN is not well formed: the last part of arn:aws:sqs:REGION:ACCOUNT:NAME names a [[webhook]] of gateway.toml";
        return Err(wrong(text, arn_name, &arn));
    }
    let events = texts("Event");
    if events.is_empty() {
        return Err(malformed(&format!("{name} has no Event")));
    }
    let kinds = kinds_of(&events).and_then(|kinds| match events.iter().find(|event| !event.starts_with("s3:")) {
        Some(other) => Err(other.as_str()),
        None => Ok(kinds),
    });
    let kinds = kinds
        .map_err(|event| wrong("The event is not supported for notifications: docs/events.md lists those that are", "Event", event))?;
    let (prefix, suffix) = filter(element.child("Filter"))?;
    let id = match element.text_of("Id").filter(|id| !id.is_empty()) {
        Some(id) if id.len() > MAX_ID_BYTES => return Err(wrong("An Id has at most 255 characters", "Id", id)),
        Some(id) => id.to_owned(),
        None => new_id()?,
    };
    Ok(Notification { id, destination: part.destination(), arn, events, kinds, prefix, suffix })
}

/// Prefix and suffix.
fn filter(filter: Option<&Element>) -> Result<(Option<String>, Option<String>)> {
    let (mut prefix, mut suffix) = (None, None);
    let Some(filter) = filter else { return Ok((prefix, suffix)) };
    let rules = filter.child("S3Key").ok_or_else(|| malformed("Filter has no S3Key"))?;
    for rule in rules.children.iter().filter(|child| child.name == "FilterRule") {
        let (name, value) = (rule.text_of("Name").unwrap_or_default(), rule.text_of("Value").unwrap_or_default());
        if value.len() > MAX_FILTER_BYTES {
            return Err(wrong("Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation", "FilterRule.Value", value));
        }
        let place = match name {
            _ if name.eq_ignore_ascii_case("prefix") => &mut prefix,
            _ if name.eq_ignore_ascii_case("suffix") => &mut suffix,
            _ => return Err(wrong("filter rule name must be either prefix or suffix", "FilterRule.Name", name)),
        };
        if place.replace(value.to_owned()).is_some() {
            let text = format!("Cannot specify more than one {} rule in a filter.", name.to_ascii_lowercase());
            return Err(Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", "FilterRule.Name"));
        }
    }
    Ok((prefix, suffix))
}

fn new_id() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| Error::internal(e.to_string()))?;
    Ok(hex::encode(random))
}

fn wrong(text: &str, name: &str, value: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, text.to_owned()).detail("ArgumentName", name).detail("ArgumentValue", value)
}

fn malformed(why: &str) -> Error {
    let text = format!("The XML you provided was not well-formed or did not validate against our published schema: {why}");
    Error::new(ErrorKind::MalformedXml, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content: &str) -> Result<Notifications> {
        parse(format!("<{ROOT}>{content}</{ROOT}>").as_bytes())
    }

    fn queue(rest: &str) -> String {
        format!("<QueueConfiguration><Queue>arn:aws:sqs:us-east-1:123456789012:hook</Queue>{rest}</QueueConfiguration>")
    }

    const CREATED: &str = "<Event>s3:ObjectCreated:*</Event>";

    fn filter_of(name: &str, value: &str) -> String {
        format!("<Filter><S3Key><FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule></S3Key></Filter>")
    }

    #[test]
    fn reads_what_it_writes() {
        assert_eq!(of("").unwrap(), Notifications::default());
        let topic = "<TopicConfiguration><Id>t</Id><Topic>arn:aws:sns:::hook</Topic><Event>s3:ObjectRemoved:Delete</Event>\
                     <Event>s3:ObjectTagging:*</Event></TopicConfiguration>";
        let function = "<CloudFunctionConfiguration><Id>f</Id><CloudFunction>arn:aws:lambda:us-east-1:1:function:hook</CloudFunction>\
                        <Event>s3:ObjectAcl:Put</Event></CloudFunctionConfiguration>";
        let all = of(&format!("{topic}{}{function}", queue(&format!("{CREATED}{}", filter_of("Prefix", "a&amp;b/"))))).unwrap();
        assert_eq!(all.0.len(), 3);
        assert!(all.0[1].id.len() == 32 && all.0[1].prefix() == "a&b/");
        assert_eq!(parse(document(&all).as_bytes()).unwrap(), all);
    }

    #[test]
    fn refuses_the_rest() {
        let kind = |content: &str| of(content).unwrap_err().kind();
        assert_eq!(kind("<EventBridgeConfiguration/>"), ErrorKind::NotImplemented);
        assert_eq!(kind("<Other/>"), ErrorKind::MalformedXml);
        assert_eq!(kind(&queue("")), ErrorKind::MalformedXml);
        for wrong in [
            queue("<Event>s3:ObjectMade:*</Event>"),
            queue("<Event>tidegate:Job:Done</Event>"),
            queue(CREATED).replace("arn:aws:sqs:us-east-1:123456789012:hook", "hook"),
            queue(&format!("{CREATED}{}", filter_of("middle", "x"))),
            queue(&format!("{CREATED}{}", filter_of("prefix", &"x".repeat(1025)))),
            queue(&format!("{CREATED}<Id>a</Id>")) + &queue("<Event>s3:ObjectRemoved:*</Event><Id>a</Id>"),
            queue(CREATED) + &queue("<Event>s3:ObjectCreated:Put</Event>"),
            queue(&format!("{CREATED}{}", filter_of("prefix", "a"))) + &queue(&format!("{CREATED}{}", filter_of("prefix", "ab"))),
        ] {
            assert_eq!(kind(&wrong), ErrorKind::InvalidArgument, "{wrong}");
        }
        assert!(
            of(&(queue(&format!("{CREATED}{}", filter_of("prefix", "a"))) + &queue(&format!("{CREATED}{}", filter_of("prefix", "b")))))
                .is_ok()
        );
    }
}
