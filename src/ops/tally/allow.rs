//! Room under limits of bytes and objects, over all nodes: each limit has a record in the bucket that says up to where the flows of each node
//! may grow. What recounts found and all these ceilings together stay within the limit, and a node writes below its own ceiling. So the limit
//! is never passed, whoever races, and one node alone decides as exactly as if it held all.
//!
//! A node takes a piece when it needs one: all that is left where it is alone, else half. It gives back what it did not use for a while, at
//! each telling, and all of it when a recount has told. Of a node that died the ceiling goes down to what it told with the next recount.
//! Invariant: in memory a ceiling is never higher than in the record.

use std::time::Duration;

use super::Tally;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, TenantId};
use crate::ops::tally::books::Ceiling;
use crate::ops::tally::flows::{Intent, Room, Scope, State};
use crate::ops::tally::shelf::Over;
use crate::ops::tally::spots::Spot;
use crate::ops::tally::stored::{Allowance, NodeRecord, decode, encode};
use crate::origin::Quota;
use crate::upstream::counting::{Change, Counter as _, End};

/// How often a record is written anew while other nodes write it.
const TRIES: usize = 16;
/// A node that has not heard the others for so long hears them first: they may have counted without it.
const DEAF: Duration = Duration::from_secs(30);

const LIMITS: &str = "limits/";

fn name(scope: &Scope) -> String {
    match scope {
        Scope::Tenant(tenant) => format!("{LIMITS}tenant/{tenant}"),
        Scope::Bucket(bucket) => format!("{LIMITS}bucket/{bucket}"),
    }
}

impl Scope {
    /// The one whose record has this name below `LIMITS`.
    fn named(name: &str) -> Option<Self> {
        match name.split_once('/')? {
            ("tenant", tenant) => Some(Scope::Tenant(tenant.to_owned())),
            ("bucket", bucket) => Some(Scope::Bucket(bucket.to_owned())),
            _ => None,
        }
    }

    /// What another node has used of the limit, as it told.
    fn told(&self, node: &NodeRecord, settled: u32) -> Room {
        let flows = node.flows.iter().filter(|(spot, _)| self.has(spot)).map(|(_, flow)| Room::of(flow.net()));
        let doubts = node.doubts.iter().filter(|(round, spot, _)| *round >= settled && self.has(spot));
        flows.chain(doubts.map(|(_, _, flow)| Room::of(flow.net()).or_nothing())).fold(Room::default(), Room::plus)
    }
}

impl Tally {
    /// Expects the write where there is room for it.
    pub(super) async fn reserve(&self, intent: Intent, limits: &[(Scope, Room)]) -> Result<u64> {
        let is_deaf = self.books().heard.is_none_or(|heard| heard.elapsed() > DEAF);
        if is_deaf {
            self.tell().await?;
        }
        for _ in 0..TRIES {
            let short = {
                let mut books = self.books();
                let short = limits.iter().find(|(scope, _)| {
                    let left = books.ceilings.get(scope).map(|ceiling| ceiling.room.minus(books.state.used(scope)));
                    !intent.net(scope).fits(left.unwrap_or_default())
                });
                match short {
                    None => return Ok(books.state.expect(intent)),
                    Some(short) => short,
                }
            };
            self.take(&short.0, short.1, intent.net(&short.0)).await?;
        }
        Err(Error::new(ErrorKind::SlowDown, "Too many writes reach for the same limit. Please try again."))
    }

    /// Room for a write that is to be acknowledged before it is upstream, until what is answered goes: by then it waits, or nothing is done.
    pub async fn admit(&self, change: &Change, quota: Quota) -> Result<Admitted> {
        let limits = self.limits(change, quota);
        let number = match limits.is_empty() {
            true => None,
            false => Some(self.reserve(Intent::of(change), &limits).await?),
        };
        Ok(Admitted { tally: self.clone(), number })
    }

    /// So much more of it waits here. What waits takes room.
    pub fn waits(&self, owner: &TenantId, bucket: &BucketName, more: Room) {
        let spot = Spot { tenant: owner.to_string(), bucket: bucket.to_string(), artifact: String::new(), run: String::new() };
        let mut books = self.books();
        let there = books.state.waits.entry(spot.clone()).or_default();
        *there = there.plus(more);
        if *there == Room::default() {
            books.state.waits.remove(&spot);
        }
    }

    async fn take(&self, scope: &Scope, limit: Room, need: Room) -> Result<()> {
        let _alone = self.0.taking.lock().await;
        if self.has_room(scope, need) {
            return Ok(());
        }
        self.look().await?;
        let (view, name) = (self.view(), name(scope));
        let found = view.base.found.iter().filter(|(spot, _)| scope.has(spot));
        let base = found.fold(Room::default(), |sum, (_, net)| sum.plus(Room::of(*net)));
        for _ in 0..TRIES {
            let posted = self.0.shelf.read(&name).await?;
            let mut allowance = posted.as_ref().map(|posted| decode::<Allowance>(&posted.text)).transpose()?.unwrap_or_default();
            let told = |node: &str| view.others.get(node).map(|record| scope.told(record, view.base.round)).unwrap_or_default();
            let mut names: Vec<&String> = view.others.keys().chain(allowance.nodes.keys()).filter(|n| **n != self.0.node).collect();
            names.sort_unstable();
            names.dedup();
            let ceiling = |node: &String| allowance.nodes.get(node).map_or(told(node), |ceiling| ceiling.by(told(node), i64::max));
            let others = names.iter().fold(base, |sum, node| sum.plus(ceiling(node)));
            let used = names.iter().fold(base, |sum, node| sum.plus(told(node)));
            let is_alone = names.is_empty();
            let room = {
                let books = self.books();
                let own = books.state.used(scope);
                let left = limit.minus(others).minus(own);
                if !need.fits(left) {
                    return Err(full(scope, need.fits(limit.minus(used).minus(own))));
                }
                let piece = left.minus(need.or_nothing()).or_nothing();
                let piece = if is_alone { piece } else { piece.by(piece, |n, _| n / 2) };
                let before = books.ceilings.get(scope).map_or(own, |ceiling| ceiling.room);
                // What nobody limits, nobody is given: it is not asked for either.
                let piece = piece.by(limit, |piece, limit| if limit == i64::MAX { 0 } else { piece });
                own.plus(need.or_nothing()).plus(piece).by(before, i64::max)
            };
            allowance.nodes.insert(self.0.node.clone(), room);
            if self.0.shelf.write(&name, encode(&allowance)?, Over::the(posted.as_ref())).await? {
                let room = room.by(limit, |room, limit| if limit == i64::MAX { i64::MAX } else { room });
                let mut books = self.books();
                let used = books.state.used(scope);
                books.ceilings.insert(scope.clone(), Ceiling { room, used });
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::SlowDown, "Other nodes reach for the same limit. Please try again."))
    }

    fn has_room(&self, scope: &Scope, need: Room) -> bool {
        let books = self.books();
        books.ceilings.get(scope).is_some_and(|ceiling| need.fits(ceiling.room.minus(books.state.used(scope))))
    }

    /// At the start: what an earlier process held.
    pub(super) async fn take_up_ceilings(&self) -> Result<()> {
        for (name, text) in self.0.shelf.all(LIMITS).await? {
            let (Some(scope), Some(room)) = (Scope::named(&name), decode::<Allowance>(&text)?.nodes.get(&self.0.node).copied()) else {
                continue;
            };
            let mut books = self.books();
            let used = books.state.used(&scope);
            books.ceilings.insert(scope, Ceiling { room, used });
        }
        Ok(())
    }

    /// What was not used since the last telling.
    pub(super) async fn give_back_idle(&self) -> Result<()> {
        self.give_back(|books, scope, ceiling| {
            let used = books.used(scope);
            let is_idle = used == ceiling.used && used != ceiling.room;
            ceiling.used = used;
            is_idle
        })
        .await
    }

    pub(super) async fn give_back_all(&self) -> Result<()> {
        self.give_back(|_, _, _| true).await
    }

    async fn give_back(&self, which: impl Fn(&State, &Scope, &mut Ceiling) -> bool) -> Result<()> {
        let _alone = self.0.taking.lock().await;
        let idle: Vec<(Scope, Room)> = {
            let books = &mut *self.books();
            let state = &books.state;
            let mut idle = Vec::new();
            for (scope, ceiling) in &mut books.ceilings {
                if which(state, scope, ceiling) {
                    // It stays, for what is deleted later: that room goes back too.
                    ceiling.room = state.used(scope);
                    idle.push((scope.clone(), ceiling.room));
                }
            }
            idle
        };
        for (scope, used) in idle {
            self.lower(&scope, &self.0.node, used).await?;
        }
        Ok(())
    }

    pub(super) async fn lower(&self, scope: &Scope, node: &str, used: Room) -> Result<()> {
        let name = name(scope);
        for _ in 0..TRIES {
            let Some(posted) = self.0.shelf.read(&name).await? else { return Ok(()) };
            let mut allowance: Allowance = decode(&posted.text)?;
            if allowance.nodes.insert(node.to_owned(), used) == Some(used)
                || self.0.shelf.write(&name, encode(&allowance)?, Over::This(posted.mark)).await?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The ceilings of nodes that did not hear of a recount go down to what they told, which is what was counted.
    pub(super) async fn lower_silent(&self, silent: &[(String, NodeRecord)], scopes: &[Scope], settled: u32) -> Result<()> {
        for (node, record) in silent {
            for scope in scopes {
                self.lower(scope, node, scope.told(record, settled)).await?;
            }
        }
        Ok(())
    }
}

/// See `Tally::admit`.
pub struct Admitted {
    tally: Tally,
    number: Option<u64>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.tally.settle(number, End::NotDone);
        }
    }
}

/// `others`: it would fit if other nodes had not taken more than they used so far.
fn full(scope: &Scope, others: bool) -> Error {
    if others {
        let text =
            "The room that is left under the limit is held by another node of the gateway, which gives it back soon. Please try again.";
        return Error::new(ErrorKind::SlowDown, text);
    }
    match scope {
        Scope::Tenant(_) => Error::new(ErrorKind::QuotaExceeded, "The tenant's limit of stored bytes or objects would be exceeded."),
        Scope::Bucket(bucket) => {
            let text = "The bucket's limit of stored bytes or objects would be exceeded.";
            Error::new(ErrorKind::QuotaExceeded, text).detail("BucketName", bucket.clone())
        }
    }
}
