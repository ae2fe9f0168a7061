//! Events: who is told of what happens, and how that stays true whatever becomes of the process.
//!
//! As a follower of changes it writes a letter for each webhook that a bucket's configuration or a rule of gateway.toml names; the letter is
//! durable in the same step that ends the change. Those who watch now get the same event from memory (`hub`). What is no change of an
//! object comes by `emit`.
//! Not here: how letters are kept (`queue::letters`) and brought (`jobs::deliver_events`).
//!
//! Invariants: a change that may have happened is told of at least once, and changes of one key in their order, with growing numbers. A webhook
//! that is slow or away costs a write nothing but the letter. No secret is in an event.

pub mod follower;
pub mod hub;
pub mod letters;
pub mod message;
pub mod settings;
pub mod sign;
pub mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::event::EventKind;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::notification::Notifications;
use crate::base::object::{Bucket, BucketDocument};
use crate::base::timestamp::Timestamp;
use crate::ops::compiled::Compiled;
use crate::ops::events::hub::Hub;
use crate::ops::events::message::{Event, Message, Object, Test, VERSION};
use crate::ops::events::settings::{Settings, Webhook};
use crate::origin::Origin;
use crate::queue::{Following, Letter, Payload, Queue};
use crate::telemetry::events::Events as Gauges;

/// Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    settings: Settings,
    origin: Origin,
    queue: Queue,
    hub: Arc<Hub>,
    /// Buckets' configurations, ready for use.
    configured: Compiled<Notifications>,
    /// The number of the last event.
    last: AtomicU64,
    /// In every id: two nodes may give out the same number.
    node: String,
    gauges: Gauges,
}

/// Something to tell that is no change of an object by a request: a limit, a job.
#[derive(Debug, Clone)]
pub struct Notice {
    pub kind: EventKind,
    /// Whose it is.
    pub tenant: TenantId,
    pub bucket: Option<BucketName>,
    pub key: Option<ObjectKey>,
    /// What there is to say. Never a secret.
    pub data: Value,
}

/// Who is to be told, and by which configuration.
type Chosen<'e> = Vec<(&'e Arc<Webhook>, String)>;

impl Events {
    pub fn new(settings: Settings, origin: Origin, queue: Queue, gauges: Gauges) -> Result<Self> {
        let node = queue.node()?.chars().take(8).collect();
        let last = AtomicU64::new(queue.last_letter()?);
        let mut epoch = [0; 8];
        getrandom::fill(&mut epoch).map_err(|e| Error::internal(e.to_string()))?;
        let hub = Hub::new(u64::from_le_bytes(epoch));
        Ok(Events(Arc::new(Inner { settings, origin, queue, hub, configured: Compiled::default(), last, node, gauges })))
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    /// Tells of it, as soon as that is durable. Returns at once; what can't be recorded is logged.
    pub fn emit(&self, notice: Notice) {
        let events = self.clone();
        tokio::spawn(async move {
            let letters = events.0.letters(notice, None);
            if !letters.is_empty()
                && let Err(e) = events.0.queue.gather_all(letters).await
            {
                tracing::error!(error = %e, "an event can't be recorded; nobody is told of it");
            }
        });
    }

    /// Something that befell a key and that no change of it tells of. What can't be recorded is logged.
    pub async fn tell_of(&self, bucket: &BucketName, key: ObjectKey, kind: EventKind, data: Value) {
        if self.0.settings.webhooks.is_empty() && !self.0.hub.is_used() {
            return;
        }
        let letters = async {
            let Some(bucket) = self.0.origin.buckets.bucket(bucket).await? else { return Ok(()) };
            let notice = Notice { kind, tenant: bucket.owner.clone(), bucket: Some(bucket.name.clone()), key: Some(key), data };
            match self.0.letters(notice, Some(&bucket)) {
                letters if letters.is_empty() => Ok(()),
                letters => self.0.queue.gather_all(letters).await,
            }
        };
        let told: Result<()> = letters.await;
        if let Err(e) = told {
            tracing::error!(error = %e, "an event can't be recorded; nobody is told of it");
        }
    }

    /// The letters for it, where the caller records them with something else.
    pub fn letters_of(&self, notice: Notice) -> Vec<Following> {
        self.0.letters(notice, None)
    }

    /// Whether every webhook is there and may be told of the owner's events. One text for both: what others have is not told.
    pub fn check(&self, owner: &TenantId, notifications: &Notifications) -> Result<()> {
        for one in &notifications.0 {
            if self.0.settings.webhook(one.webhook()).is_none_or(|webhook| !webhook.allows(owner)) {
                let text = format!(
                    "Unable to validate the following destination configurations: no webhook {:?} is open to the bucket's owner. The last part of an \
                     ARN names a [[webhook]] of gateway.toml.",
                    one.webhook()
                );
                let e = Error::new(ErrorKind::InvalidArgument, text);
                return Err(e.detail("ArgumentName", one.arn.clone()).detail("ArgumentValue", "not configured"));
            }
        }
        Ok(())
    }

    /// What S3 sends to each destination when a configuration is set.
    pub async fn send_test(&self, bucket: &BucketName, notifications: &Notifications, request: &str) -> Result<()> {
        let mut names: Vec<&str> = notifications.0.iter().map(|one| one.webhook()).collect();
        names.sort_unstable();
        names.dedup();
        let mut letters = Vec::new();
        for name in names {
            let (number, id) = self.0.next();
            let (region, bucket, request) = (self.0.settings.region.clone(), bucket.to_string(), request.to_owned());
            let test = Message::Test(Test { id, at: Timestamp::now(), region, bucket, request });
            letters.push(Following::Letter(letter(name, number, &test)?));
        }
        self.0.queue.gather_all(letters).await
    }
}

fn letter(to: &str, number: u64, message: &Message) -> Result<Letter> {
    Ok(Letter { to: to.to_owned(), number, payload: Payload::of(VERSION, message)? })
}

impl Inner {
    /// The number and the id of a new event. Numbers are of the clock, in microseconds, and never go back.
    fn next(&self) -> (u64, String) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64);
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let next = now.max(last + 1);
            match self.last.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return (next, format!("evt_{next:016x}{}", self.node)),
                Err(now) => last = now,
            }
        }
    }

    fn notifications(&self, bucket: &Bucket) -> Option<Arc<Notifications>> {
        let document = bucket.documents.get(&BucketDocument::Notification)?;
        self.configured.of(bucket, document, |_| Notifications::of(bucket))
    }

    /// A webhook is told once, whatever names it: first comes the bucket's own configuration.
    fn chosen(
        &self,
        kind: EventKind,
        owner: &TenantId,
        bucket: Option<&Bucket>,
        name: Option<&BucketName>,
        key: Option<&str>,
    ) -> Chosen<'_> {
        let mut chosen: Chosen<'_> = Vec::new();
        let mut choose = |name: &str, id: &str| {
            let Some(webhook) = self.settings.webhook(name).filter(|webhook| webhook.allows(owner)) else { return };
            if !chosen.iter().any(|(other, _)| other.name == webhook.name) {
                chosen.push((webhook, id.to_owned()));
            }
        };
        if let Some((notifications, key)) = bucket.and_then(|bucket| self.notifications(bucket)).zip(key) {
            notifications.0.iter().filter(|one| one.lets(kind, key)).for_each(|one| choose(one.webhook(), &one.id));
        }
        let rules = self.settings.rules.iter().filter(|rule| rule.lets(kind, name, key));
        rules.for_each(|rule| choose(&rule.webhook, &rule.name));
        chosen
    }

    /// Shows the event to those who watch, and writes a letter for each that is to be told.
    fn tell(&self, event: Event, chosen: Chosen<'_>) -> Result<Vec<Following>> {
        self.gauges.happened.inc();
        self.hub.publish(&event);
        let mut letters = Vec::with_capacity(chosen.len());
        for (webhook, configuration) in chosen {
            let message = Message::Event(Box::new(Event { configuration: Some(configuration), ..event.clone() }));
            letters.push(Following::Letter(letter(&webhook.name, event.sequence, &message)?));
        }
        Ok(letters)
    }

    /// `of`: the bucket that it is about, where its own configuration may name somebody.
    fn letters(&self, notice: Notice, of: Option<&Bucket>) -> Vec<Following> {
        let Notice { kind, tenant, bucket, key, data } = notice;
        let chosen = self.chosen(kind, &tenant, of, bucket.as_ref(), key.as_ref().map(ObjectKey::as_str));
        if chosen.is_empty() && !self.hub.is_watched(&tenant) {
            return Vec::new();
        }
        let (sequence, id) = self.next();
        let event = Event {
            id,
            kind,
            at: Timestamp::now(),
            sequence,
            region: self.settings.region.clone(),
            tenant,
            by: None,
            address: None,
            request: None,
            configuration: None,
            bucket: bucket.map(|bucket| bucket.to_string()),
            object: key.map(|key| Object { key: key.to_string(), ..Object::default() }),
            data: Some(data).filter(|data| !data.is_null()),
        };
        self.tell(event, chosen).unwrap_or_else(|e| {
            tracing::error!(error = %e, "an event can't be written down; nobody is told of it");
            Vec::new()
        })
    }
}
