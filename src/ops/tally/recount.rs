//! Counts what is stored by listing every bucket, and sets right what drifted: other writers, and writes whose end nobody knows.
//!
//! What a listing saw of writes at the same time is not known. So each count is held against what all nodes told before and after: where nothing
//! flowed, the listing is what there is; where something did, the count is moved no further than what flowed leaves room for.
//! A listing tells no owners. In a tenant's bucket all is the tenant's, unless it says otherwise. Elsewhere owners are asked for, object by
//! object, only in places whose sum is not what was counted.
//! What is to be counted of a type is decided for all of its runs together; what goes to one of them comes from the type's own spot. So which
//! runs are told apart is never a reason for another sum. A recount names anew: those that have a name and are stored, and others up to the limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Tally;
use super::share::BASE;
use crate::auth::grant::GatewayGrant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{ObjectKey, TenantId};
use crate::base::object::{Bucket, BucketDocument, Ownership};
use crate::base::object_ref::{ObjectRef, VersionId, VersionSelector};
use crate::base::usage::Load;
use crate::base::versions::{VersionEntry, VersionsQuery};
use crate::ops::tally::flows::{Flow, Flows, Net, Scope, add};
use crate::ops::tally::shelf::Over;
use crate::ops::tally::spots::{Names, OF_ALL, Spot};
use crate::ops::tally::stored::{Base, NodeRecord, encode};
use crate::origin::Freshness;

/// Of the job that does it.
pub const KIND: &str = "recount";
pub const VERSION: u16 = 1;
/// A node that does not hear of a round for so long does not run, or has no way to the bucket.
const PATIENCE: Duration = if cfg!(test) { Duration::from_secs(1) } else { Duration::from_secs(60) };
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const PAGE: usize = 1000;
const LOOKS_AT_ONCE: usize = 16;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Recounted {
    pub versions: u64,
    /// Objects whose owner was asked for.
    pub looked_at: u64,
    /// Types in a bucket whose count was another.
    pub set_right: u64,
}

type Nodes = BTreeMap<String, NodeRecord>;
/// By bucket, type and run, of all tenants (`Spot::of_anybody`); runs without a name count for their type.
type Sums = BTreeMap<Spot, Net>;

/// All nodes before and after the listing, and what recounts found up to now.
struct Around<'a> {
    before: &'a Nodes,
    after: &'a Nodes,
    base: &'a BTreeMap<Spot, Net>,
    round: u32,
}

/// What a count may be.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    counted: Net,
    /// What came and went while it was listed, as far as it is known, with what may have.
    came: Net,
    went: Net,
    /// A write that this recount is to tell of.
    in_doubt: bool,
}

impl Tally {
    /// `told`: how far it is, from time to time.
    pub async fn recount(&self, _: &GatewayGrant, told: &(dyn Fn(u64) + Sync)) -> Result<Recounted> {
        let mut counted = Recounted::default();
        let round = self.next_round().await?;
        let (before, _) = self.heard_by_all(round).await?;
        let mut names = Known::of(&self.base().await?, &before);
        let mut listed = Sums::new();
        for bucket in self.buckets().await? {
            self.list(&bucket, &mut |key, load, _| {
                counted.versions += load.versions;
                told(counted.versions);
                let sum = listed.entry(names.named(&Spot::of(&bucket.owner, &bucket.name, key), key)).or_default();
                *sum = sum.plus(Net::of(load));
                Ok(())
            })
            .await?;
        }
        let (after, _) = self.heard_by_all(self.next_round().await?).await?;
        let mut found: Sums = self.base().await?.found.into_iter().collect();
        let around = Around { before: &before, after: &after, base: &found, round };
        let drifted = around.drifted(&listed);
        let right = self.owned(&drifted, &listed, &mut counted, told).await?;
        let (later, silent) = match right.is_empty() {
            true => (after.clone(), Vec::new()),
            false => self.heard_by_all(self.next_round().await?).await?,
        };
        let around = Around { after: &later, ..around };
        let (moves, named) = (around.moves(&drifted, &listed, &right), around.named(&listed, &right));
        let mut of_types = Sums::new();
        for (spot, by) in moves {
            add_net(&mut of_types, spot.of_type(), by);
            add_net(&mut found, spot, by);
        }
        counted.set_right = of_types.values().filter(|by| **by != Net::default()).count() as u64;
        let unnamed: Vec<Spot> = found.keys().filter(|spot| !spot.run.is_empty() && !named.contains(spot)).cloned().collect();
        for spot in unnamed {
            let net = found.remove(&spot).unwrap_or_default();
            add_net(&mut found, spot.of_type(), net);
        }
        found.retain(|spot, net| *net != Net::default() || named.contains(spot));
        named.into_iter().for_each(|spot| add_net(&mut found, spot, Net::default()));
        let scopes: BTreeSet<Scope> =
            found.keys().flat_map(|spot| [Scope::Tenant(spot.tenant.clone()), Scope::Bucket(spot.bucket.clone())]).collect();
        self.publish(Base { round, found: found.into_iter().collect() }).await?;
        self.lower_silent(&silent, &scopes.into_iter().collect::<Vec<_>>(), round).await?;
        self.tell().await?;
        Ok(counted)
    }

    /// Over what was there when the round began: another recount is not undone.
    async fn publish(&self, base: Base) -> Result<()> {
        let posted = self.0.shelf.read(BASE).await?;
        let there = self.base().await?;
        if there.round >= base.round || !self.0.shelf.write(BASE, encode(&base)?, Over::the(posted.as_ref())).await? {
            return Err(Error::new(ErrorKind::OperationAborted, "Another node counted what is stored meanwhile."));
        }
        Ok(())
    }

    /// What all nodes told after they heard of the round; and those who did not hear of it.
    async fn heard_by_all(&self, round: u32) -> Result<(Nodes, Vec<(String, NodeRecord)>)> {
        self.tell().await?;
        let begun = Instant::now();
        loop {
            let nodes = self.nodes().await?;
            let silent: Vec<_> =
                nodes.iter().filter(|(_, node)| node.heard < round).map(|(name, node)| (name.clone(), node.clone())).collect();
            if silent.is_empty() || begun.elapsed() > PATIENCE {
                return Ok((nodes, silent));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn buckets(&self) -> Result<Vec<crate::base::object::SharedBucket>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.0.origin.buckets.buckets(None, "", &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = last.name.to_string();
            let more = page.len() == PAGE;
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    async fn list(&self, bucket: &Bucket, each: &mut (dyn FnMut(&ObjectKey, Load, &VersionId) -> Result<()> + Send)) -> Result<()> {
        let mut query = VersionsQuery { max: PAGE, ..VersionsQuery::default() };
        loop {
            let page = match self.0.origin.reads.list_versions(&bucket.name, &query).await {
                Ok(page) => page,
                Err(e) if e.kind() == ErrorKind::NoSuchBucket => return Ok(()),
                Err(e) => return Err(e),
            };
            for entry in &page.entries {
                match entry {
                    VersionEntry::Version(listed) => {
                        let load = Load { objects: u64::from(listed.latest), ..Load::object(listed.object.size) };
                        each(&listed.object.key, load, &listed.version)?;
                    }
                    VersionEntry::Marker(listed) => {
                        each(&listed.key, Load { markers: 1, ..Load::default() }, &listed.marker.version)?;
                    }
                    VersionEntry::CommonPrefix(_) => {}
                }
            }
            let Some((key, version)) = page.next else { return Ok(()) };
            query = VersionsQuery { key_marker: key, version_marker: version, ..query };
        }
    }

    /// What is listed in these places, by owner.
    async fn owned(&self, drifted: &BTreeSet<Spot>, listed: &Sums, counted: &mut Recounted, told: &(dyn Fn(u64) + Sync)) -> Result<Sums> {
        let mut right = Sums::new();
        for bucket in self.buckets().await? {
            let here: Vec<&Spot> = drifted.iter().filter(|place| place.bucket == bucket.name.as_str()).collect();
            if here.is_empty() {
                continue;
            }
            if has_one_owner(&bucket) {
                let of_owner = |place: &Spot| Spot { tenant: bucket.owner.to_string(), ..place.clone() };
                here.iter().for_each(|place| add_net(&mut right, of_owner(place), Net::default()));
                let listed = listed.iter().filter(|(place, _)| here.contains(&&place.of_type()));
                listed.for_each(|(place, net)| add_net(&mut right, of_owner(place), *net));
                continue;
            }
            let mut some = Vec::new();
            self.list(&bucket, &mut |key, load, version| {
                if here.contains(&&Spot::of(&bucket.owner, &bucket.name, key).of_type().of_anybody()) {
                    some.push((key.clone(), load, version.clone()));
                }
                Ok(())
            })
            .await?;
            for some in some.chunks(LOOKS_AT_ONCE) {
                let mut looks = JoinSet::new();
                for (key, load, version) in some.iter().cloned() {
                    let (tally, bucket) = (self.clone(), bucket.clone());
                    looks.spawn(async move {
                        let owner = tally.owner_of(&bucket, &key, load, &version).await?;
                        Ok::<_, Error>((Spot::of(&owner, &bucket.name, &key), load))
                    });
                }
                while let Some(looked) = looks.join_next().await {
                    let (spot, load) = looked.map_err(Error::internal)??;
                    counted.looked_at += 1;
                    let is_named = listed.contains_key(&spot.of_anybody());
                    add_net(&mut right, if is_named { spot } else { spot.of_type() }, Net::of(load));
                }
                told(counted.versions + counted.looked_at);
            }
        }
        Ok(right)
    }

    async fn owner_of(&self, bucket: &Bucket, key: &ObjectKey, load: Load, version: &VersionId) -> Result<TenantId> {
        // Nothing says whose a marker is.
        if load.markers > 0 {
            return Ok(bucket.owner.clone());
        }
        let is_only = *version == VersionId::Null && load.objects > 0;
        let version = if is_only { VersionSelector::Current } else { VersionSelector::Exact(version) };
        let of = ObjectRef { bucket: &bucket.name, key, version, unlock: None };
        match self.0.origin.reads.stat(of, Freshness::Current).await {
            Ok(object) => Ok(object.map_or_else(|| bucket.owner.clone(), |object| object.owner.clone())),
            // It has gone since, or tells nothing without its key.
            Err(e) if !e.is_away() => Ok(bucket.owner.clone()),
            Err(e) => Err(e),
        }
    }
}

/// A tenant's bucket, unless it says that what others write in it is theirs.
fn has_one_owner(bucket: &Bucket) -> bool {
    match bucket.documents.get(&BucketDocument::Ownership) {
        Some(said) => String::from_utf8_lossy(said).contains(Ownership::BucketOwnerEnforced.name()),
        None => !bucket.owner.is_operator(),
    }
}

fn add_net(sums: &mut Sums, spot: Spot, more: Net) {
    let there = sums.entry(spot).or_default();
    *there = there.plus(more);
}

/// Which runs have names while it is listed: those that had one, and others as long as there is room.
struct Known {
    before: BTreeSet<Spot>,
    names: Names,
}

impl Known {
    fn of(base: &Base, nodes: &Nodes) -> Self {
        let flows = nodes.values().flat_map(|node| node.flows.iter().map(|(spot, _)| spot));
        let runs = base.found.iter().map(|(spot, _)| spot).chain(flows).filter(|spot| !spot.run.is_empty());
        let mut names = Names::default();
        let before = runs.filter(|spot| names.takes(spot)).map(Spot::of_anybody).collect();
        Known { before, names }
    }

    /// Keys of one tenant begin with its name, whosever the objects are.
    fn named(&mut self, spot: &Spot, key: &ObjectKey) -> Spot {
        let place = spot.of_anybody();
        let tenant = key.as_str().split('/').next().unwrap_or_default().to_owned();
        let is_named = self.before.contains(&place) || self.names.takes(&Spot { tenant, ..place.clone() });
        if is_named { place } else { place.of_type() }
    }
}

impl Around<'_> {
    /// What is counted, by where `place` puts it.
    fn gathered(&self, place: fn(&Spot) -> Spot) -> BTreeMap<Spot, Bounds> {
        let mut all: BTreeMap<Spot, Bounds> = BTreeMap::new();
        for (spot, net) in self.base {
            let bounds = all.entry(place(spot)).or_default();
            bounds.counted = bounds.counted.plus(*net);
        }
        let flows = |node: &NodeRecord| {
            let mut flows = Flows::new();
            node.flows.iter().for_each(|(spot, flow)| add(&mut flows, &place(spot), *flow));
            flows
        };
        for (name, after) in self.after {
            let before = self.before.get(name).map(flows).unwrap_or_default();
            for (spot, flow) in flows(after) {
                let Flow { came, went } = before.get(&spot).copied().unwrap_or_default();
                let bounds = all.entry(spot).or_default();
                bounds.counted = bounds.counted.plus(flow.net());
                bounds.came = bounds.came.plus(Net::of(flow.came).minus(Net::of(came)).or_nothing());
                bounds.went = bounds.went.plus(Net::of(flow.went).minus(Net::of(went)).or_nothing());
            }
            for (round, spot, flow) in &after.doubts {
                let bounds = all.entry(place(spot)).or_default();
                if *round < self.round {
                    bounds.in_doubt = true;
                } else {
                    // The other way round: the count is of what is settled, and the listing may have it already.
                    bounds.went = bounds.went.plus(Net::of(flow.came));
                    bounds.came = bounds.came.plus(Net::of(flow.went));
                }
            }
        }
        all
    }

    /// Types where the sum of all owners, or that of one run, is not what is listed.
    fn drifted(&self, listed: &Sums) -> BTreeSet<Spot> {
        let mut of_types = Sums::new();
        listed.iter().for_each(|(place, net)| add_net(&mut of_types, place.of_type(), *net));
        let types = self.gathered(|spot| spot.of_type().of_anybody());
        types.keys().for_each(|place| add_net(&mut of_types, place.clone(), Net::default()));
        let bounds = |all: &BTreeMap<Spot, Bounds>, place: &Spot| all.get(place).copied().unwrap_or_default();
        let has_drifted = |(place, net): &(&Spot, &Net)| {
            let bounds = bounds(&types, place);
            bounds.in_doubt || bounds.moved(**net) != Net::default()
        };
        let mut drifted: BTreeSet<Spot> = of_types.iter().filter(has_drifted).map(|(place, _)| place.clone()).collect();
        let runs = self.gathered(Spot::of_anybody);
        let of_runs = listed.iter().filter(|(place, _)| !place.run.is_empty());
        drifted
            .extend(of_runs.filter(|(place, net)| bounds(&runs, place).moved(**net) != Net::default()).map(|(place, _)| place.of_type()));
        drifted
    }

    /// By how much each is to be moved. `right`: what is listed of what has drifted.
    fn moves(&self, drifted: &BTreeSet<Spot>, listed: &Sums, right: &Sums) -> Sums {
        let (types, runs) = (self.gathered(Spot::of_type), self.gathered(Spot::clone));
        let bounds = |all: &BTreeMap<Spot, Bounds>, spot: &Spot| all.get(spot).copied().unwrap_or_default();
        let mut of_types = Sums::new();
        right.iter().for_each(|(spot, net)| add_net(&mut of_types, spot.of_type(), *net));
        let of_drifted = |spot: &&Spot| drifted.contains(&spot.of_type().of_anybody());
        types.keys().filter(of_drifted).for_each(|spot| add_net(&mut of_types, spot.clone(), Net::default()));
        let mut moves: Sums = of_types.into_iter().map(|(spot, net)| (spot.clone(), bounds(&types, &spot).moved(net))).collect();
        let of_runs = runs.keys().filter(of_drifted).chain(right.keys()).filter(|spot| !spot.run.is_empty());
        for spot in of_runs.filter(|spot| listed.contains_key(&spot.of_anybody())).collect::<BTreeSet<_>>() {
            let by = bounds(&runs, spot).moved(right.get(spot).copied().unwrap_or_default());
            add_net(&mut moves, spot.of_type(), Net::default().minus(by));
            add_net(&mut moves, spot.clone(), by);
        }
        moves.retain(|_, by| *by != Net::default());
        moves
    }

    /// Runs that are stored and have a name.
    fn named(&self, listed: &Sums, right: &Sums) -> BTreeSet<Spot> {
        let told = self.gathered(Spot::clone);
        let runs = told.keys().chain(right.keys()).filter(|spot| !spot.run.is_empty() && listed.contains_key(&spot.of_anybody()));
        runs.take(OF_ALL).cloned().collect()
    }
}

impl Bounds {
    /// By how much the count is to be moved, so that it is what was listed as far as that can be said.
    fn moved(&self, listed: Net) -> Net {
        let (low, high) = (listed.minus(self.went), listed.plus(self.came));
        let nearest = self.counted.by(low, i64::max).by(high, i64::min);
        nearest.minus(self.counted)
    }
}
