//! What is stored over an S3: counted by each node with each write, told by records in the bucket, set right by recounts; and limits
//! that hold over all nodes.
//!
//! The level of a place is what recounts found there (`Base`) and what flowed through all nodes since (`flows`). A node writes down what it
//! expects before it writes, in its journal of usage, and settles it after: so a killed process leaves a doubt and no wrong number.
//! `share` tells the other nodes, `recount` lists the buckets and sets right what drifted, `allow` hands out room under limits, `meter`
//! measures for how long how much was stored.
//! Not here: what a write changes (`upstream::counting` looks). Called by it, by `ops`, by the jobs of `recount`, and by `app`.
//!
//! Invariants: a write that was answered is in the flows, or its intent is on the disk. One thread writes to the journal, with whole values.
//! Limits: one record of each node has all its spots, some thousand of them; of runs as many as `spots` has names for.

pub mod allow;
mod books;
pub mod flows;
mod keeper;
pub mod meter;
pub mod recount;
pub mod share;
pub mod shelf;
pub mod spots;
pub mod stored;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::timestamp::Timestamp;
use crate::base::usage::{Amount, Stored, StoredBy, StoredPage, StoredQuery};
use crate::ops::keyed::Keyed;
use crate::ops::tally::books::{Books, Told, lock};
use crate::ops::tally::flows::{Intent, Net, Room, Scope};
use crate::ops::tally::keeper::Keeper;
use crate::ops::tally::shelf::Shelf;
use crate::ops::tally::spots::Spot;
use crate::ops::tally::stored::{Base, NodeRecord};
use crate::origin::{Control, Origin, Pending, Quota, Usage as Held};
use crate::upstream::counting::{Change, Counter, End};
use crate::usage::Usage;
use crate::usage::count::OTHER;

/// Before a body is taken in, levels that are this old do.
const FRESH: Duration = Duration::from_secs(5);

/// Limits of buckets, by name.
pub type BucketLimits = Arc<BTreeMap<String, Quota>>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Tally(Arc<Inner>);

struct Inner {
    /// No other node has it.
    node: String,
    shelf: Arc<dyn Shelf>,
    /// What is counted.
    origin: Origin,
    bucket_limits: BucketLimits,
    books: Arc<Mutex<Books>>,
    keeper: Keeper,
    turns: Keyed,
    view: RwLock<Arc<View>>,
    /// One at a time tells and takes.
    telling: tokio::sync::Mutex<Told>,
    taking: tokio::sync::Mutex<()>,
}

/// What the others told, as it was read last.
#[derive(Debug, Default)]
struct View {
    base: Base,
    /// Without this one.
    others: BTreeMap<String, NodeRecord>,
}

impl Tally {
    /// Takes up what an earlier process kept, and what was told meanwhile.
    pub async fn open(node: String, usage: Usage, shelf: Arc<dyn Shelf>, origin: Origin, bucket_limits: BucketLimits) -> Result<Self> {
        let keeping = usage.clone();
        let rows = tokio::task::spawn_blocking(move || keeping.tally()).await.map_err(Error::internal)??;
        let mut state = stored::load(&rows)?;
        state.doubt_all();
        let books = Arc::new(Mutex::new(Books { state, ..Books::default() }));
        let keeper = Keeper::start(books.clone(), usage)?;
        let inner = Inner {
            node,
            shelf,
            origin,
            bucket_limits,
            books,
            keeper,
            turns: Keyed::default(),
            view: RwLock::default(),
            telling: tokio::sync::Mutex::default(),
            taking: tokio::sync::Mutex::default(),
        };
        let tally = Tally(Arc::new(inner));
        tally.take_up().await?;
        Ok(tally)
    }

    /// What it counts, with what is known by that.
    pub fn over(self, origin: Origin) -> Origin {
        Origin { control: Arc::new(self), ..origin }
    }

    /// All that came before is durable.
    async fn kept(&self) -> Result<()> {
        self.0.keeper.kept().await
    }

    fn view(&self) -> Arc<View> {
        self.0.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Of all nodes, as the others told it last.
    fn levels(&self) -> BTreeMap<Spot, Net> {
        let view = self.view();
        let mut levels: BTreeMap<Spot, Net> = view.base.found.iter().cloned().collect();
        let mut add = |spot: &Spot, net: Net| {
            let there = levels.entry(spot.clone()).or_default();
            *there = there.plus(net);
        };
        for node in view.others.values() {
            // Who has not heard of the recount, and perhaps never will, still names runs that have no name any more.
            let is_behind = node.heard < view.base.round;
            for (spot, flow) in &node.flows {
                let is_named = spot.run.is_empty() || !is_behind || view.base.has(spot);
                if is_named { add(spot, flow.net()) } else { add(&spot.of_type(), flow.net()) }
            }
        }
        self.books().state.flows.iter().for_each(|(spot, flow)| add(spot, flow.net()));
        levels
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.0.books)
    }

    /// Of the bucket, and of the tenant whose object comes.
    fn limits(&self, change: &Change, quota: Quota) -> Vec<(Scope, Room)> {
        let comes = change.comes.as_ref().filter(|comes| comes.load.versions > 0 && quota != Quota::DECIDED);
        let Some(comes) = comes else { return Vec::new() };
        let of_bucket = self.0.bucket_limits.get(change.bucket.as_str());
        let of_bucket = of_bucket.map(|limit| (Scope::Bucket(change.bucket.to_string()), room(*limit)));
        let of_tenant = quota.is_some().then(|| (Scope::Tenant(comes.owner.to_string()), room(quota)));
        of_tenant.into_iter().chain(of_bucket).collect()
    }

    async fn expected(&self, change: &Change, quota: Quota) -> Result<u64> {
        let intent = Intent { has_waited: quota == Quota::DECIDED, ..Intent::of(change) };
        let limits = self.limits(change, quota);
        let number = match limits.is_empty() {
            true => self.books().state.expect(intent),
            false => self.reserve(intent, &limits).await?,
        };
        let mut writing = Writing { tally: self, number: Some(number) };
        self.kept().await?;
        writing.number = None;
        Ok(number)
    }

    /// What is stored under a limit, by what was told last.
    fn held(&self, scope: &Scope) -> Held {
        let view = self.view();
        let found = view.base.found.iter().filter(|(spot, _)| scope.has(spot)).map(|(_, net)| *net);
        let flowed = view.others.values().flat_map(|node| &node.flows).filter(|(spot, _)| scope.has(spot)).map(|(_, flow)| flow.net());
        let elsewhere = found.chain(flowed).fold(Net::default(), Net::plus);
        let here = self.books().state.flowed(scope);
        let Room { bytes, objects } = Room::of(elsewhere.plus(here)).or_nothing();
        Held { bytes: bytes.unsigned_abs(), objects: objects.unsigned_abs() }
    }

    /// What others told a while ago may be no reason any more.
    async fn held_now(&self, scope: &Scope) -> Result<Held> {
        if self.books().looked.is_none_or(|looked| looked.elapsed() > FRESH) {
            self.look().await?;
        }
        Ok(self.held(scope))
    }

    async fn stored_now(&self, query: StoredQuery) -> Result<StoredPage> {
        self.look().await?;
        let mut places: BTreeMap<Spot, Net> = BTreeMap::new();
        for (spot, net) in self.levels() {
            let is_asked = query.tenant.as_ref().is_none_or(|tenant| tenant.as_str() == spot.tenant);
            // Keys that say a type say a run.
            if !is_asked || (query.by == StoredBy::Run && spot.artifact.is_empty()) {
                continue;
            }
            let place = match query.by {
                StoredBy::Tenant => Spot { bucket: String::new(), artifact: String::new(), ..spot.of_type() },
                StoredBy::Type => spot.of_type(),
                // Less than nothing: nodes don't name the same runs at the moment.
                StoredBy::Run if net.or_nothing() != net => spot.of_type(),
                StoredBy::Run => spot,
            };
            let sum = places.entry(place).or_default();
            *sum = sum.plus(net);
        }
        places.retain(|_, net| *net != Net::default());
        let more = places.len() > query.max;
        let run = |run: String| if run.is_empty() && query.by == StoredBy::Run { OTHER.to_owned() } else { run };
        let places = places.into_iter().take(query.max).map(|(spot, net)| shown(Spot { run: run(spot.run.clone()), ..spot }, net));
        Ok(StoredPage { places: places.collect::<Result<_>>()?, more, at: Timestamp::now() })
    }
}

/// A number that is not yet on the disk.
struct Writing<'t> {
    tally: &'t Tally,
    number: Option<u64>,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.tally.books().state.forget(number);
        }
    }
}

fn room(quota: Quota) -> Room {
    let of = |limit: Option<u64>| limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    Room { bytes: of(quota.bytes), objects: of(quota.objects) }
}

fn shown(spot: Spot, net: Net) -> Result<Stored> {
    let n = |n: i64| u64::try_from(n).unwrap_or(0);
    let amount =
        Amount { bytes: n(net.bytes), objects: n(net.objects), versions: n(net.versions), markers: n(net.markers), ..Amount::default() };
    Ok(Stored {
        tenant: TenantId::parse(&spot.tenant)?,
        bucket: (!spot.bucket.is_empty()).then(|| BucketName::parse(&spot.bucket)).transpose()?,
        artifact: spot.artifact,
        run: spot.run,
        amount,
        byte_millis: 0,
    })
}

impl Counter for Tally {
    fn turn<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey) -> Pending<'a, Box<dyn Send + Sync>> {
        Box::pin(async move { Ok(Box::new(self.0.turns.lock(bucket, key).await) as Box<dyn Send + Sync>) })
    }

    fn expect<'a>(&'a self, change: &'a Change, quota: Quota) -> Pending<'a, u64> {
        Box::pin(self.expected(change, quota))
    }

    fn settle(&self, expected: u64, end: End) {
        self.books().state.settle(expected, end);
        self.0.keeper.wake();
    }
}

impl Control for Tally {
    fn snapshot<'a>(&'a self, directory: &'a Path, rest: Pending<'a, ()>) -> Pending<'a, ()> {
        self.0.origin.control.snapshot(directory, rest)
    }

    fn usage<'a>(&'a self, tenant: &'a TenantId) -> Pending<'a, Held> {
        Box::pin(async move { self.held_now(&Scope::Tenant(tenant.to_string())).await })
    }

    fn usage_of_bucket<'a>(&'a self, bucket: &'a BucketName) -> Pending<'a, Option<Held>> {
        Box::pin(async move { self.held_now(&Scope::Bucket(bucket.to_string())).await.map(Some) })
    }

    fn stored(&self, query: StoredQuery) -> Pending<'_, Option<StoredPage>> {
        Box::pin(async move { self.stored_now(query).await.map(Some) })
    }

    fn ready(&self) -> Pending<'_, ()> {
        self.0.origin.control.ready()
    }
}
