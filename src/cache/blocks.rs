//! Where a block is, and how it gets there: looked up, joined while it is on its way, or fetched.
//!
//! Invariant: while a block is being fetched it stands in `filling`; it leaves when it can be found elsewhere. Whoever looks under that
//! lock and finds it nowhere begins its one fetch.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::task::spawn_blocking;

use crate::cache::fetch::Run;
use crate::cache::fill::{Audience, End, Fill, Interest};
use crate::cache::version::{BlockId, Version};
use crate::cache::{Giver, SMALL, Shared, Source};
use crate::files::Span;
use crate::telemetry::metrics::CacheTier;

/// Where a block is, or will be.
pub enum Hand {
    Memory(Bytes),
    Disk(Span),
    Filling(Arc<Fill>, Interest),
}

impl Shared {
    pub(super) fn is_at_hand(&self, version: &Version, number: u32) -> bool {
        let id = version.block(number);
        self.memory.has(&id) || self.disk.has(version, number) || self.filling().contains_key(&id)
    }

    pub(super) fn span(&self, version: &Version, number: u32) -> Option<Span> {
        self.disk.span(version, number)
    }

    /// Where the block is; if it is nowhere it is fetched, with those behind it up to `until`.
    pub(super) fn look(self: &Arc<Self>, version: &Arc<Version>, number: u32, until: u32, source: &Arc<dyn Source>) -> Hand {
        let metrics = self.metrics();
        if let Some(bytes) = self.memory.get(&version.block(number)) {
            metrics.cache_hits.of(CacheTier::Memory).inc();
            return Hand::Memory(bytes);
        }
        if let Some(span) = self.disk.span(version, number) {
            metrics.cache_hits.of(CacheTier::Disk).inc();
            return Hand::Disk(span);
        }
        let mut filling = self.filling();
        if let Some(fill) = filling.get(&version.block(number)) {
            metrics.cache_joined.inc();
            return Hand::Filling(fill.clone(), Interest::new(&fill.audience));
        }
        // Again, now that nobody can have finished in between.
        if let Some(bytes) = self.memory.get(&version.block(number)) {
            return Hand::Memory(bytes);
        }
        if let Some(span) = self.disk.span(version, number) {
            return Hand::Disk(span);
        }
        let tier = if self.disk.has(version, number) { Some(CacheTier::Disk) } else { None };
        tier.map_or(&metrics.cache_misses, |t| metrics.cache_hits.of(t)).inc();
        let fills = self.begin(&mut filling, version, number, until);
        drop(filling);
        let first = fills[0].clone();
        let interest = Interest::new(&first.audience);
        tokio::spawn(Run::new(self.clone(), version.clone(), fills, source.clone()).go(None));
        Hand::Filling(first, interest)
    }

    /// Fetches the blocks from `number` on, if that can be begun at once. The last of them.
    pub(super) fn start_ahead(
        self: &Arc<Self>,
        version: &Arc<Version>,
        number: u32,
        until: u32,
        source: &Arc<dyn Source>,
    ) -> Option<(u32, Interest)> {
        let permit = self.fetches.clone().try_acquire_owned().ok()?;
        let mut filling = self.filling();
        let id = version.block(number);
        if filling.contains_key(&id) || self.memory.has(&id) || self.disk.has(version, number) {
            return None;
        }
        let fills = self.begin(&mut filling, version, number, until);
        drop(filling);
        let last = number + fills.len() as u32 - 1;
        let interest = Interest::new(&fills[0].audience);
        tokio::spawn(Run::new(self.clone(), version.clone(), fills, source.clone()).go(Some(permit)));
        Some((last, interest))
    }

    /// A run of blocks that are nowhere; only the first may be on disk.
    fn begin(&self, filling: &mut HashMap<BlockId, Arc<Fill>>, version: &Version, number: u32, until: u32) -> Vec<Arc<Fill>> {
        let audience = Arc::new(Audience::default());
        let longest = if self.disk.has(version, number) { 1 } else { self.run_blocks() };
        let until = until.max(number).min(number.saturating_add(longest - 1));
        let elsewhere = |n: u32, filling: &HashMap<BlockId, Arc<Fill>>| {
            let id = version.block(n);
            filling.contains_key(&id) || self.memory.has(&id) || self.disk.has(version, n)
        };
        let last = (number + 1..=until).take_while(|n| !elsewhere(*n, filling)).last().unwrap_or(number);
        let fills: Vec<_> = (number..=last).map(|n| Fill::new(n, last, &audience)).collect();
        filling.extend(fills.iter().map(|fill| (version.block(fill.number), fill.clone())));
        fills
    }

    /// Blocking: a whole block, to where it belongs.
    pub(super) fn keep(&self, version: &Arc<Version>, number: u32, pieces: Vec<Bytes>, giver: Giver) {
        let len: usize = pieces.iter().map(Bytes::len).sum();
        let current = self.known_keys.shows(version);
        // What another node keeps takes no room on this one's disk.
        let on_disk = giver == Giver::Upstream && self.disk.keep(version, number, &pieces, current).is_ok();
        if len as u64 <= SMALL || !on_disk {
            let mut bytes = BytesMut::with_capacity(len);
            pieces.iter().for_each(|p| bytes.extend_from_slice(p));
            self.memory.put(version, number, bytes.freeze());
        }
    }

    /// Whoever looks from now on finds it elsewhere, or begins anew.
    pub(super) fn end(&self, version: &Version, fill: &Arc<Fill>, end: End) {
        let id = version.block(fill.number);
        let mut filling = self.filling();
        if filling.get(&id).is_some_and(|f| Arc::ptr_eq(f, fill)) {
            filling.remove(&id);
        }
        drop(filling);
        fill.finish(end);
    }

    /// True: nobody wants these, and nobody finds them any more.
    pub(super) fn leave(&self, version: &Version, fills: &[Arc<Fill>]) -> bool {
        let mut filling = self.filling();
        if !fills.iter().all(|f| f.audience.is_gone()) {
            return false;
        }
        for fill in fills {
            filling.remove(&version.block(fill.number));
        }
        true
    }

    /// A file could not be read.
    pub(super) fn drop_block(&self, version: &Version, number: u32) {
        self.metrics().cache_faults.inc();
        let (disk, id) = (self.disk.clone(), version.block(number));
        // From now on it is not found; the file goes on a thread that may wait.
        if let Some(entry) = disk.take_out(&id) {
            spawn_blocking(move || disk.delete(&[(id, entry)]));
        }
    }
}
