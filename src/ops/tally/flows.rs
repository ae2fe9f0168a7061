//! What flowed through one node since it was begun: what came and what went, by tenant, bucket, artifact type and run. Pure.
//!
//! A write is first expected, then settled. One whose end nobody knows stays unsure, and so does one that a dead process left, until a
//! recount that began after it has told: recounts are numbered (`round`).
//! Invariants: what is settled is in the flows once. What is unsure is never in them; limits count what it may have brought.
//! Limits: a spot for each tenant, bucket and type that this node wrote, and for as many runs of them as `spots::Names` has room for; what nets to
//! nothing is let go after a recount. The spot of a type has what is told of no run, so the sum of a type never depends on which runs are named.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::usage::Load;
use crate::ops::tally::spots::{Names, Spot};
use crate::upstream::counting::{Change, End, Share};

/// What came, and what went. Both only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    pub came: Load,
    pub went: Load,
}

impl Flow {
    pub fn plus(self, more: Flow) -> Flow {
        Flow { came: self.came.plus(more.came), went: self.went.plus(more.went) }
    }

    pub fn net(self) -> Net {
        Net::of(self.came).minus(Net::of(self.went))
    }

    /// What a write may have brought or taken of which it is not known whether it was done: it is done whole, or not.
    fn perhaps(self) -> Flow {
        let net = self.net();
        let Net { bytes, objects, versions, markers } = net;
        let up = |n: i64| u64::try_from(n).unwrap_or(0);
        Flow {
            came: Load { bytes: up(bytes), objects: up(objects), versions: up(versions), markers: up(markers) },
            went: Load { bytes: up(-bytes), objects: up(-objects), versions: up(-versions), markers: up(-markers) },
        }
    }
}

pub type Flows = BTreeMap<Spot, Flow>;

pub fn add(flows: &mut Flows, spot: &Spot, flow: Flow) {
    let there = flows.entry(spot.clone()).or_default();
    *there = there.plus(flow);
}

/// How much more, or less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Net {
    pub bytes: i64,
    pub objects: i64,
    pub versions: i64,
    pub markers: i64,
}

impl Net {
    pub fn of(load: Load) -> Net {
        let n = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Net { bytes: n(load.bytes), objects: n(load.objects), versions: n(load.versions), markers: n(load.markers) }
    }

    pub fn by(self, other: Net, f: impl Fn(i64, i64) -> i64) -> Net {
        Net {
            bytes: f(self.bytes, other.bytes),
            objects: f(self.objects, other.objects),
            versions: f(self.versions, other.versions),
            markers: f(self.markers, other.markers),
        }
    }

    pub fn plus(self, other: Net) -> Net {
        self.by(other, i64::saturating_add)
    }

    pub fn minus(self, other: Net) -> Net {
        self.by(other, i64::saturating_sub)
    }

    pub fn or_nothing(self) -> Net {
        self.by(Net::default(), i64::max)
    }
}

/// What a limit counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Tenant(String),
    Bucket(String),
}

impl Scope {
    pub fn has(&self, spot: &Spot) -> bool {
        match self {
            Scope::Tenant(tenant) => *tenant == spot.tenant,
            Scope::Bucket(bucket) => *bucket == spot.bucket,
        }
    }
}

/// Bytes, and objects as limits count them: versions and delete markers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    pub bytes: i64,
    pub objects: i64,
}

impl Room {
    pub const ALL: Room = Room { bytes: i64::MAX, objects: i64::MAX };

    pub fn of(net: Net) -> Room {
        Room { bytes: net.bytes, objects: net.versions.saturating_add(net.markers) }
    }

    pub fn by(self, other: Room, f: impl Fn(i64, i64) -> i64) -> Room {
        Room { bytes: f(self.bytes, other.bytes), objects: f(self.objects, other.objects) }
    }

    pub fn plus(self, other: Room) -> Room {
        self.by(other, i64::saturating_add)
    }

    pub fn minus(self, other: Room) -> Room {
        self.by(other, i64::saturating_sub)
    }

    /// What takes something takes no room.
    pub fn or_nothing(self) -> Room {
        Room { bytes: self.bytes.max(0), objects: self.objects.max(0) }
    }

    /// Only what grows has to fit.
    pub fn fits(self, into: Room) -> bool {
        (self.bytes <= 0 || self.bytes <= into.bytes) && (self.objects <= 0 || self.objects <= into.objects)
    }
}

/// A write that is not settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intent {
    pub flows: Flows,
    pub is_sure: bool,
    /// Its room is that of what waits.
    pub has_waited: bool,
}

impl Intent {
    pub fn of(change: &Change) -> Self {
        let mut flows = Flows::new();
        let spot = |share: &Share| Spot::of(&share.owner, &change.bucket, &change.key);
        if let Some(comes) = &change.comes {
            add(&mut flows, &spot(comes), Flow { came: comes.load, ..Flow::default() });
        }
        if let Some(goes) = &change.goes {
            add(&mut flows, &spot(goes), Flow { went: goes.load, ..Flow::default() });
        }
        Intent { flows, is_sure: change.is_sure, has_waited: false }
    }

    pub fn net(&self, scope: &Scope) -> Room {
        let nets = self.flows.iter().filter(|(spot, _)| scope.has(spot)).map(|(_, flow)| flow.net());
        Room::of(nets.fold(Net::default(), Net::plus))
    }
}

/// What changed since it was written last.
#[derive(Debug, Default)]
pub struct Turned {
    pub flows: BTreeSet<Spot>,
    pub intents: BTreeSet<u64>,
    pub unsure: BTreeSet<(u32, Spot)>,
    pub heard: bool,
}

#[derive(Debug, Default)]
pub struct State {
    pub flows: Flows,
    pub intents: BTreeMap<u64, Intent>,
    /// By the round that had begun when they became so.
    pub unsure: BTreeMap<(u32, Spot), Flow>,
    /// The last round that this node has heard of.
    pub heard: u32,
    pub turned: Turned,
    /// What is acknowledged by this node and not yet upstream, by tenant and bucket.
    pub waits: BTreeMap<Spot, Room>,
    /// The number that was given last.
    pub next: u64,
    /// Of runs: which round this node had heard of when something of them flowed last.
    pub touched: BTreeMap<Spot, u32>,
}

impl State {
    pub fn expect(&mut self, intent: Intent) -> u64 {
        let intent = Intent { flows: self.named(&intent.flows), ..intent };
        self.next += 1;
        self.intents.insert(self.next, intent);
        self.turned.intents.insert(self.next);
        self.next
    }

    /// It was not written down that it is expected, so it is not done.
    pub fn forget(&mut self, number: u64) {
        self.intents.remove(&number);
        self.turned.intents.insert(number);
    }

    pub fn settle(&mut self, number: u64, end: End) {
        let Some(expected) = self.intents.remove(&number) else { return };
        self.turned.intents.insert(number);
        match end {
            End::NotDone => {}
            End::Unknown => self.doubt(&expected),
            End::Done(change) => {
                let done = Intent::of(&change);
                for (spot, flow) in &self.named(&done.flows) {
                    add(&mut self.flows, spot, *flow);
                    self.turned.flows.insert(spot.clone());
                    self.touch(spot);
                    if !done.is_sure {
                        self.note(spot, Flow::default());
                    }
                }
            }
        }
    }

    /// Runs that there is no room for go to their types.
    fn named(&self, flows: &Flows) -> Flows {
        let mut named = Flows::new();
        let is_new = |spot: &Spot| !spot.run.is_empty() && !self.flows.contains_key(spot);
        let mut names = flows.keys().any(is_new).then(|| {
            let mut names = Names::default();
            self.flows.keys().chain(self.unsure.keys().map(|(_, spot)| spot)).for_each(|spot| names.add(spot));
            names
        });
        for (spot, flow) in flows {
            let has_room = names.as_mut().is_none_or(|names| names.takes(spot));
            add(&mut named, &if has_room { spot.clone() } else { spot.of_type() }, *flow);
        }
        named
    }

    fn touch(&mut self, spot: &Spot) {
        if !spot.run.is_empty() {
            self.touched.insert(spot.clone(), self.heard);
        }
    }

    /// A process before this one expected them.
    pub fn doubt_all(&mut self) {
        self.next = self.intents.keys().next_back().copied().unwrap_or(0);
        for (number, intent) in std::mem::take(&mut self.intents) {
            self.turned.intents.insert(number);
            self.doubt(&intent);
        }
    }

    fn doubt(&mut self, intent: &Intent) {
        for (spot, flow) in &intent.flows {
            self.note(spot, flow.perhaps());
        }
    }

    fn note(&mut self, spot: &Spot, flow: Flow) {
        let there = self.unsure.entry((self.heard, spot.clone())).or_default();
        *there = there.plus(flow);
        self.turned.unsure.insert((self.heard, spot.clone()));
        self.touch(spot);
    }

    pub fn hear(&mut self, round: u32) {
        if round > self.heard {
            self.heard = round;
            self.turned.heard = true;
        }
    }

    /// A recount that began with `round` has told: it saw whatever became unsure before. What flowed of runs that it does not name
    /// (`is_named`) flowed of their types from now on, but for runs that it may not have seen.
    pub fn settled_by(&mut self, round: u32, is_named: impl Fn(&Spot) -> bool) {
        let seen: Vec<_> = self.unsure.keys().filter(|(of, _)| *of < round).cloned().collect();
        for key in seen {
            self.unsure.remove(&key);
            self.turned.unsure.insert(key);
        }
        let is_seen = |spot: &Spot| self.touched.get(spot).is_none_or(|heard| *heard < round);
        let unnamed = self.flows.keys().filter(|spot| !spot.run.is_empty() && is_seen(spot) && !is_named(spot));
        for spot in unnamed.cloned().collect::<Vec<_>>() {
            let flow = self.flows.remove(&spot).unwrap_or_default();
            add(&mut self.flows, &spot.of_type(), flow);
            self.turned.flows.extend([spot.of_type(), spot]);
        }
        let nothing: Vec<_> = self.flows.iter().filter(|(_, flow)| flow.came == flow.went).map(|(spot, _)| spot.clone()).collect();
        for spot in nothing {
            self.flows.remove(&spot);
            self.turned.flows.insert(spot);
        }
        let (flows, unsure) = (&self.flows, &self.unsure);
        self.touched.retain(|spot, _| flows.contains_key(spot) || unsure.keys().any(|(_, of)| of == spot));
    }

    /// A recount has gone by while this process did not run: what it had not told is in that count.
    pub fn take_back(&mut self, told: Flows) {
        self.turned.flows.extend(self.flows.keys().cloned());
        self.turned.flows.extend(told.keys().cloned());
        self.flows = told;
    }

    /// What is not settled, by the round that can tell; `u32::MAX`: it goes on.
    pub fn doubts(&self) -> Vec<(u32, Spot, Flow)> {
        let going = self.intents.values().flat_map(|intent| intent.flows.iter());
        let going = going.map(|(spot, flow)| (u32::MAX, spot.clone(), flow.perhaps()));
        self.unsure.iter().map(|((round, spot), flow)| (*round, spot.clone(), *flow)).chain(going).collect()
    }

    /// What came through this node and did not go.
    pub fn flowed(&self, scope: &Scope) -> Net {
        let nets = self.flows.iter().filter(|(spot, _)| scope.has(spot)).map(|(_, flow)| flow.net());
        nets.fold(Net::default(), Net::plus)
    }

    /// The same, with what may be there.
    pub fn used(&self, scope: &Scope) -> Room {
        let sure = Room::of(self.flowed(scope));
        let going = self.intents.values().filter(|intent| !intent.has_waited).map(|intent| intent.net(scope).or_nothing());
        let waits = self.waits.iter().filter(|(spot, _)| scope.has(spot)).map(|(_, room)| *room);
        let unsure = self.unsure.iter().filter(|((_, spot), _)| scope.has(spot)).map(|(_, flow)| Room::of(Net::of(flow.came)));
        going.chain(unsure).chain(waits).fold(sure, Room::plus)
    }
}
