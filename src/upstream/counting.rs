//! Writes are counted, where somebody asked for it: what a write replaces is looked at before it, and becomes its condition, so that what
//! is counted is what happened. That costs a HEAD for each write.
//!
//! Not here: how it is kept and told (`ops/tally`, a `Counter`). Called by whatever writes objects.
//! Invariants: a write that may reach the upstream was expected before, durably; an end that is not known (an error on the way, a caller
//! that gave up) leaves it unsure. Where the upstream decides no conditions, what other nodes do at the same moment is not seen.

use std::sync::Arc;

use crate::base::conditions::WriteConditions;
use crate::base::encryption::CustomerKey;
use crate::base::error::{Error, ErrorKind, Result, Side};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::ObjectInfo;
use crate::base::object_ref::{VersionId, VersionSelector};
use crate::base::storable::SEALED;
use crate::base::usage::Load;
use crate::base::versions::Versioning;
use crate::origin::{Pending, Quota};
use crate::upstream::buckets::no_such_bucket;
use crate::upstream::conditions::Held;
use crate::upstream::open::{Inner, Upstream};
use crate::upstream::place::Place;

/// What one tenant gets, or loses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    pub owner: TenantId,
    pub load: Load,
}

/// What a write changes of what is stored under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub comes: Option<Share>,
    pub goes: Option<Share>,
    /// False: there is more to it, which can't be seen.
    pub is_sure: bool,
}

/// How an expected write ended.
#[derive(Debug)]
pub enum End {
    Done(Change),
    NotDone,
    Unknown,
}

/// Counts what is stored.
pub trait Counter: Send + Sync + 'static {
    /// Of one key one write is done at a time, until what is answered goes.
    fn turn<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey) -> Pending<'a, Box<dyn Send + Sync>>;
    /// Durable before it is answered, by a number. Fails with QuotaExceeded where there is no room for it.
    fn expect<'a>(&'a self, change: &'a Change, quota: Quota) -> Pending<'a, u64>;
    fn settle(&self, expected: u64, end: End);
}

/// An expected write. Dropped without its end, that is not known.
pub struct Ticket(Option<Expected>);

struct Expected {
    counter: Arc<dyn Counter>,
    number: u64,
    change: Option<Change>,
    _turn: Box<dyn Send + Sync>,
}

/// A write of a whole object.
pub struct Watch<'w> {
    pub bucket: &'w BucketName,
    pub key: &'w ObjectKey,
    pub place: &'w Place,
    /// The key upstream.
    pub full: &'w str,
    pub owner: &'w TenantId,
    /// None: not known before it is written.
    pub size: Option<u64>,
    pub unlock: Option<&'w CustomerKey>,
    pub conditions: &'w WriteConditions,
    /// Of the owner.
    pub quota: Quota,
    /// What only this write seals. What is there already has it: nothing is changed any more.
    pub sealed: Option<&'w str>,
    /// Whether the upstream decides conditions of it.
    pub is_conditional: bool,
}

#[derive(Debug)]
pub enum Seen {
    Object(Box<ObjectInfo>),
    Nothing,
    /// Something that nothing is told of without its key.
    Unknown,
    /// This very write, done before.
    ItIsDone,
}

impl Seen {
    pub fn object(&self) -> Option<&ObjectInfo> {
        match self {
            Seen::Object(info) => Some(info),
            Seen::Nothing | Seen::Unknown | Seen::ItIsDone => None,
        }
    }
}

impl Upstream {
    /// From now on. Once.
    pub fn count_by(&self, counter: Arc<dyn Counter>) {
        let _ = self.0.counter.set(counter);
    }
}

impl Inner {
    pub fn counter(&self) -> Option<&Arc<dyn Counter>> {
        self.counter.get()
    }

    /// What the write is to be held to, and the write as it is expected.
    pub async fn watched(&self, watch: &Watch<'_>) -> Result<(Held, Ticket)> {
        let Some(counter) = self.counter() else {
            return Ok((self.held(watch.conditions, &watch.place.bucket, watch.full).await?, Ticket(None)));
        };
        let turn = counter.turn(watch.bucket, watch.key).await?;
        let described = self.bucket(watch.bucket).await?.ok_or_else(no_such_bucket)?;
        let seen = self.seen(watch, &described.owner).await?;
        let held = match &seen {
            Seen::ItIsDone => return Ok((Held::default(), Ticket(None))),
            Seen::Unknown => self.held(watch.conditions, &watch.place.bucket, watch.full).await?,
            Seen::Object(_) | Seen::Nothing if watch.is_conditional => {
                watch.conditions.check(seen.object())?;
                Held::to(seen.object())
            }
            // Refused, or there are none.
            Seen::Object(_) | Seen::Nothing => self.held(watch.conditions, &watch.place.bucket, watch.full).await?,
        };
        let change = watch.change(&seen, described.versioning());
        Ok((held, Ticket::expect(counter, change, watch.quota, turn).await?))
    }

    async fn seen(&self, watch: &Watch<'_>, bucket_owner: &TenantId) -> Result<Seen> {
        let (bucket, key) = (&*watch.place.bucket, watch.full);
        let looked = match self.look_at_under(bucket, key, VersionSelector::Current, watch.unlock).await {
            // It lies under no key, or under another one.
            Err(e) if watch.unlock.is_some() && !e.is_away() => self.look_at(bucket, key, VersionSelector::Current).await,
            looked => looked,
        };
        let looked = match looked {
            Err(e) if e.kind() == ErrorKind::InvalidRequest => return Ok(Seen::Unknown),
            looked => looked?,
        };
        let Some(head) = looked.object() else { return Ok(Seen::Nothing) };
        let is_this = watch.sealed.is_some_and(|sealed| head.metadata().and_then(|m| m.get(SEALED)).is_some_and(|there| there == sealed));
        if is_this { Ok(Seen::ItIsDone) } else { Ok(Seen::Object(Box::new(self.info(bucket, key, bucket_owner, &head)?))) }
    }
}

impl Held {
    /// The write replaces this.
    pub fn to(seen: Option<&ObjectInfo>) -> Self {
        match seen {
            Some(object) => Held { if_match: Some(object.etag.quoted()), if_none_match: None, looked: true },
            None => Held { if_match: None, if_none_match: Some("*".into()), looked: true },
        }
    }
}

impl Watch<'_> {
    fn change(&self, seen: &Seen, versioning: Versioning) -> Change {
        let comes = Some(Share { owner: self.owner.clone(), load: Load::object(self.size.unwrap_or(0)) });
        let (goes, is_sure) = replaced(seen, versioning);
        Change { bucket: self.bucket.clone(), key: self.key.clone(), comes, goes, is_sure: is_sure && self.size.is_some() }
    }
}

/// What is not there any more when another version is shown, and whether that is all.
pub fn replaced(seen: &Seen, versioning: Versioning) -> (Option<Share>, bool) {
    let share = |object: &ObjectInfo, load| Some(Share { owner: object.owner.clone(), load });
    let shown = Load { objects: 1, ..Load::default() };
    match (seen, versioning) {
        (Seen::Unknown | Seen::ItIsDone, _) => (None, false),
        (Seen::Object(object), Versioning::Never) => (share(object, Load::object(object.size)), true),
        (Seen::Object(object), Versioning::Suspended) if object.version == VersionId::Null => {
            (share(object, Load::object(object.size)), true)
        }
        (Seen::Object(object), Versioning::Enabled) => (share(object, shown), true),
        // A version without an id may lie behind it, and goes.
        (Seen::Object(object), Versioning::Suspended) => (share(object, shown), false),
        (Seen::Nothing, Versioning::Suspended) => (None, false),
        (Seen::Nothing, Versioning::Never | Versioning::Enabled) => (None, true),
    }
}

impl Ticket {
    /// Of a write that nobody counts.
    pub fn none() -> Self {
        Ticket(None)
    }

    pub async fn expect(counter: &Arc<dyn Counter>, change: Change, quota: Quota, turn: Box<dyn Send + Sync>) -> Result<Self> {
        let number = counter.expect(&change, quota).await?;
        Ok(Ticket(Some(Expected { counter: counter.clone(), number, change: Some(change), _turn: turn })))
    }

    /// By what became of the write.
    pub fn end<T>(self, result: Result<T>) -> Result<T> {
        self.end_as(result, None)
    }

    /// `size`: of what was made, where it was not known before.
    pub fn end_as<T>(mut self, result: Result<T>, size: Option<u64>) -> Result<T> {
        let Some(expected) = &mut self.0 else { return result };
        match &result {
            Ok(_) => expected.done(size),
            Err(e) if is_refused(e) => expected.settle(End::NotDone),
            // Dropped: it may be there.
            Err(_) => {}
        }
        result
    }

    /// It did something else than what was expected.
    pub fn done_as(mut self, change: Change) {
        if let Some(expected) = &mut self.0 {
            expected.change = None;
            expected.counter.settle(expected.number, End::Done(change));
        }
    }
}

impl Expected {
    fn done(&mut self, size: Option<u64>) {
        let Some(mut change) = self.change.take() else { return };
        if let (Some(bytes), Some(comes)) = (size, &mut change.comes) {
            comes.load.bytes = bytes;
        }
        self.counter.settle(self.number, End::Done(change));
    }

    fn settle(&mut self, end: End) {
        self.change = None;
        self.counter.settle(self.number, end);
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        if self.change.is_some() {
            self.settle(End::Unknown);
        }
    }
}

/// Whether the upstream surely did not do it. A copy may be found to be of another version when it is made.
fn is_refused(e: &Error) -> bool {
    e.side() == Side::Caller && e.kind() != ErrorKind::OperationAborted
}
