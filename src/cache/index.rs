//! What lies in the folder, in memory: which blocks, how large, in which order they go, and which version of an object was last
//! confirmed. No I/O.
//!
//! Order of going: S3-FIFO. A block comes into a small queue (a tenth of the room); what is not read again there goes first and is
//! only remembered by its name; what is read again, or comes back soon, moves to the main queue. So a scan of any length passes
//! through the small queue and leaves the main one as it is. `quick_cache` knows such an order too, but parts its limit between
//! shards and frees before we could delete; here room is only given when the files that made it are gone.
//!
//! Limits: `MAX_BLOCKS`, about 150 bytes each.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::RangeInclusive;

use crate::cache::block_file::FileSpan;
use crate::cache::version::{BlockId, ObjectId, VersionId};

/// With 75 MB of memory, half a terabyte in blocks of 1 MiB. Who has a larger disk takes larger blocks.
pub const MAX_BLOCKS: usize = 512 * 1024;
/// A file costs whole blocks of the disk, and its entry in a directory.
const DISK_BLOCK: u64 = 4096;
/// Reads that count: more make no difference.
const MAX_READS: u8 = 3;

#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// For `Files`: used once in a run.
    pub file: u64,
    pub file_len: u64,
    /// None: left by an earlier run, and not read through yet.
    pub place: Option<FileSpan>,
    reads: u8,
    /// Which entry of its queue is this block's.
    ticket: u32,
    main: bool,
}

impl Entry {
    pub fn cost(&self) -> u64 {
        cost(self.file_len)
    }
}

pub fn cost(file_len: u64) -> u64 {
    file_len.div_ceil(DISK_BLOCK) * DISK_BLOCK
}

/// The version that an object was last known to be, and when, in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmed {
    pub version: VersionId,
    pub seconds: u64,
}

#[derive(Default)]
struct Queue {
    order: VecDeque<(BlockId, u32)>,
    bytes: u64,
    blocks: usize,
}

pub struct Index {
    limit: u64,
    /// Of the files that are there, and of those that are being written or deleted.
    used: u64,
    /// Of these, what is being deleted.
    leaving: u64,
    blocks: BTreeMap<BlockId, Entry>,
    confirmed: HashMap<ObjectId, Confirmed>,
    small: Queue,
    main: Queue,
    ghosts: VecDeque<BlockId>,
    ghost_names: HashSet<BlockId>,
    tickets: u32,
}

/// Whether there is room for a block.
#[derive(Debug)]
pub enum Room {
    /// It is taken, and given back by `Index::give_back` or `Index::put`.
    Taken,
    /// When these are gone: ask again.
    After(Vec<(BlockId, Entry)>),
    /// When what others delete is gone.
    Later,
    /// Never.
    None,
}

impl Index {
    pub fn new(limit: u64) -> Self {
        Index {
            limit,
            used: 0,
            leaving: 0,
            blocks: BTreeMap::new(),
            confirmed: HashMap::new(),
            small: Queue::default(),
            main: Queue::default(),
            ghosts: VecDeque::new(),
            ghost_names: HashSet::new(),
            tickets: 0,
        }
    }

    pub fn used(&self) -> u64 {
        self.used
    }

    pub fn get(&self, id: &BlockId) -> Option<&Entry> {
        self.blocks.get(id)
    }

    /// As `get`, for a reader: it counts.
    pub fn read(&mut self, id: &BlockId) -> Option<Entry> {
        let entry = self.blocks.get_mut(id)?;
        entry.reads = (entry.reads + 1).min(MAX_READS);
        Some(*entry)
    }

    pub fn prove(&mut self, id: &BlockId, file: u64, place: FileSpan) {
        if let Some(entry) = self.blocks.get_mut(id).filter(|e| e.file == file) {
            entry.place = Some(place);
        }
    }

    pub fn blocks_of(&self, object: ObjectId) -> Vec<(BlockId, Entry)> {
        self.blocks.range(all_of(object)).map(|(id, entry)| (*id, *entry)).collect()
    }

    pub fn has_any(&self, object: ObjectId) -> bool {
        self.blocks.range(all_of(object)).next().is_some()
    }

    pub fn all(&self) -> Vec<(BlockId, u64)> {
        self.blocks.iter().map(|(id, entry)| (*id, entry.file)).collect()
    }

    // Room

    /// Takes room for a file of this length.
    pub fn take_room(&mut self, file_len: u64) -> Room {
        let cost = cost(file_len);
        if cost > self.limit {
            return Room::None;
        }
        if self.used + cost <= self.limit && self.blocks.len() < MAX_BLOCKS {
            self.used += cost;
            return Room::Taken;
        }
        let mut victims = Vec::new();
        while self.used - self.leaving + cost > self.limit || self.blocks.len() >= MAX_BLOCKS {
            let Some(victim) = self.evict() else { break };
            self.leaving += victim.1.cost();
            victims.push(victim);
        }
        if victims.is_empty() { Room::Later } else { Room::After(victims) }
    }

    /// Files that were to go are gone.
    pub fn gone(&mut self, victims: &[(BlockId, Entry)]) {
        let bytes: u64 = victims.iter().map(|(_, e)| e.cost()).sum();
        self.leaving = self.leaving.saturating_sub(bytes);
        self.used = self.used.saturating_sub(bytes);
    }

    /// The room that was taken is not needed.
    pub fn give_back(&mut self, file_len: u64) {
        self.used = self.used.saturating_sub(cost(file_len));
    }

    /// A file has its name now; its room was taken before. What had the same name is gone.
    pub fn put(&mut self, id: BlockId, file: u64, file_len: u64, place: Option<FileSpan>) -> Option<Entry> {
        let before = self.unlist(&id);
        self.used = self.used.saturating_sub(before.as_ref().map_or(0, Entry::cost));
        let main = self.ghost_names.remove(&id);
        self.blocks.insert(id, Entry { file, file_len, place, reads: 0, ticket: 0, main });
        self.enlist(id, main);
        before
    }

    /// As an earlier run left it: it counts, whether or not it fits.
    pub fn found(&mut self, id: BlockId, file: u64, file_len: u64) {
        self.used += cost(file_len);
        self.put(id, file, file_len, None);
    }

    /// Too much was found. What is to go; see `gone`.
    pub fn surplus(&mut self) -> Vec<(BlockId, Entry)> {
        let mut victims = Vec::new();
        while self.used - self.leaving > self.limit || self.blocks.len() > MAX_BLOCKS {
            let Some(victim) = self.evict() else { break };
            self.leaving += victim.1.cost();
            victims.push(victim);
        }
        victims
    }

    /// It is to go at once. See `gone`.
    pub fn remove(&mut self, id: &BlockId) -> Option<Entry> {
        let entry = self.unlist(id)?;
        self.leaving += entry.cost();
        Some(entry)
    }

    // Which version

    pub fn confirm(&mut self, object: ObjectId, confirmed: Confirmed) -> Option<Confirmed> {
        if !self.has_any(object) {
            return None;
        }
        self.confirmed.insert(object, confirmed)
    }

    pub fn confirmed(&self, object: ObjectId) -> Option<Confirmed> {
        self.confirmed.get(&object).copied()
    }

    pub fn outdate(&mut self, object: ObjectId) -> Option<Confirmed> {
        self.confirmed.remove(&object)
    }

    // The order of going

    fn queue(&mut self, main: bool) -> &mut Queue {
        if main { &mut self.main } else { &mut self.small }
    }

    fn enlist(&mut self, id: BlockId, main: bool) {
        self.tickets = self.tickets.wrapping_add(1);
        let ticket = self.tickets;
        let Some(entry) = self.blocks.get_mut(&id) else { return };
        (entry.ticket, entry.main) = (ticket, main);
        let cost = entry.cost();
        let queue = self.queue(main);
        queue.bytes += cost;
        queue.blocks += 1;
        queue.order.push_back((id, ticket));
        // Names of blocks that went in another way: no more of them than of the others.
        if queue.order.len() > 2 * queue.blocks + 1024 {
            let mut order = std::mem::take(&mut queue.order);
            order.retain(|(id, ticket)| self.blocks.get(id).is_some_and(|e| e.ticket == *ticket));
            self.queue(main).order = order;
        }
    }

    fn unlist(&mut self, id: &BlockId) -> Option<Entry> {
        let entry = self.blocks.remove(id)?;
        let queue = self.queue(entry.main);
        queue.bytes = queue.bytes.saturating_sub(entry.cost());
        queue.blocks = queue.blocks.saturating_sub(1);
        if !self.has_any(id.object) {
            self.confirmed.remove(&id.object);
        }
        Some(entry)
    }

    fn evict(&mut self) -> Option<(BlockId, Entry)> {
        loop {
            let from_main = self.small.blocks == 0 || (self.small.bytes <= self.limit / 10 && self.main.blocks > 0);
            let (id, ticket) = self.queue(from_main).order.pop_front()?;
            let Some(entry) = self.blocks.get_mut(&id).filter(|e| e.ticket == ticket) else { continue };
            let again = entry.reads > 0;
            if !again {
                if !from_main {
                    self.remember(id);
                }
                return self.unlist(&id).map(|entry| (id, entry));
            }
            entry.reads = if from_main { entry.reads - 1 } else { 0 };
            let cost = entry.cost();
            let queue = self.queue(from_main);
            queue.bytes = queue.bytes.saturating_sub(cost);
            queue.blocks = queue.blocks.saturating_sub(1);
            self.enlist(id, true);
        }
    }

    /// Only by its name: if it comes back, it is in demand.
    fn remember(&mut self, id: BlockId) {
        if self.ghost_names.insert(id) {
            self.ghosts.push_back(id);
        }
        while self.ghosts.len() > self.blocks.len().max(64) {
            if let Some(oldest) = self.ghosts.pop_front() {
                self.ghost_names.remove(&oldest);
            }
        }
    }
}

fn all_of(object: ObjectId) -> RangeInclusive<BlockId> {
    let at = |version, number| BlockId { object, version, number };
    at(VersionId([0; 16]), 0)..=at(VersionId([0xff; 16]), u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(n: u32) -> BlockId {
        BlockId { object: ObjectId(u64::from(n).to_le_bytes()), version: VersionId([1; 16]), number: 0 }
    }

    /// As the folder does it.
    fn add(index: &mut Index, n: u32, len: u64) -> bool {
        loop {
            assert!(index.used() <= index.limit);
            match index.take_room(len) {
                Room::Taken => break,
                Room::After(victims) => index.gone(&victims),
                Room::Later => panic!("nobody else is there"),
                Room::None => return false,
            }
        }
        index.put(block(n), u64::from(n), len, None);
        true
    }

    #[test]
    fn a_scan_does_not_flush_what_is_read_again() {
        let mut index = Index::new(1000 * 4096);
        (0..500).for_each(|n| assert!(add(&mut index, n, 4000)));
        (0..500).for_each(|n| assert!(index.read(&block(n)).is_some()));
        (10_000..40_000).for_each(|n| assert!(add(&mut index, n, 4096)));
        assert_eq!((0..500).filter(|n| index.get(&block(*n)).is_some()).count(), 500);
        assert!(index.used() <= 1000 * 4096 && index.used() >= 990 * 4096);
        assert!(index.ghosts.len() <= 1000 && index.small.order.len() + index.main.order.len() < 5000);
    }

    #[test]
    fn what_comes_back_soon_stays() {
        let mut index = Index::new(100 * 4096);
        (0..101).for_each(|n| assert!(add(&mut index, n, 1)));
        assert!(index.get(&block(0)).is_none());
        assert!(add(&mut index, 0, 1));
        (1000..1300).for_each(|n| assert!(add(&mut index, n, 1)));
        assert!(index.get(&block(0)).is_some());
    }

    #[test]
    fn sums_are_right_whatever_happens() {
        let mut index = Index::new(64 * 4096);
        let mut state = 7u64;
        for round in 0..20_000u32 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let n = (state % 200) as u32;
            match state >> 60 {
                0..8 => drop(add(&mut index, n, 1 + state % 30_000)),
                8..14 => drop(index.read(&block(n))),
                _ => {
                    if let Some(entry) = index.remove(&block(n)) {
                        index.gone(&[(block(n), entry)]);
                    }
                }
            }
            let sum: u64 = index.blocks.values().map(Entry::cost).sum();
            assert_eq!((index.used, index.leaving), (sum, 0), "round {round}");
            assert_eq!(index.small.bytes + index.main.bytes, sum);
            assert_eq!(index.small.blocks + index.main.blocks, index.blocks.len());
        }
        assert!(!add(&mut index, 1, 65 * 4096), "larger than all of it");
    }
}
