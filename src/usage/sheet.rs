//! One worker's own counts, handed on four times a second: no lock, and nothing allocated but for a row that is new.
//!
//! Called by `http/account` when an answer has ended. Limits: rows of one sheet; beyond them a tenant's requests share one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

use crate::usage::Usage;
use crate::usage::count::{Class, Counts, Place, Way};

const MAX_ROWS: usize = 4096;
const HAND_ON: Duration = Duration::from_millis(250);

/// One request, as it is counted.
pub struct Counted<'r> {
    pub tenant: &'r str,
    pub bucket: &'r str,
    pub artifact: &'static str,
    pub run: &'r str,
    pub class: Class,
    pub way: Way,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

pub struct Sheet {
    usage: Usage,
    rows: RefCell<Rows>,
}

#[derive(Default)]
struct Rows {
    rows: Vec<(Place, Counts)>,
    /// Where in `rows`. Of names with one hash the later is found under the next number.
    by_hash: HashMap<u64, usize, BuildHasherDefault<AsIs>>,
    /// Runs are named by clients: nobody must know which names meet.
    seed: u64,
    last: usize,
}

impl Sheet {
    /// Handed on as long as the worker runs. Within its runtime.
    pub fn start(usage: Usage) -> Rc<Self> {
        let seed = RandomState::new().hash_one(0);
        let sheet = Rc::new(Sheet { usage, rows: RefCell::new(Rows { seed, ..Rows::default() }) });
        let weak = Rc::downgrade(&sheet);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(HAND_ON).await;
                let Some(sheet) = weak.upgrade() else { return };
                sheet.hand_on();
            }
        });
        sheet
    }

    pub fn count(&self, counted: &Counted<'_>) {
        self.rows.borrow_mut().of(counted).add_request(counted.class, counted.way, counted.bytes_in, counted.bytes_out);
    }

    fn hand_on(&self) {
        let mut rows = self.rows.borrow_mut();
        if rows.rows.is_empty() {
            return;
        }
        match self.usage.take(std::mem::take(&mut rows.rows)) {
            Ok(()) => rows.by_hash.clear(),
            Err(not_taken) => rows.rows = not_taken,
        }
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        self.hand_on();
    }
}

impl Rows {
    fn of(&mut self, counted: &Counted<'_>) -> &mut Counts {
        let is_it = |(place, _): &(Place, Counts)| {
            place.tenant == counted.tenant
                && place.bucket == counted.bucket
                && place.artifact == counted.artifact
                && place.run == counted.run
        };
        // Requests come in flocks.
        if !self.rows.get(self.last).is_some_and(is_it) {
            self.last = self.find(counted, is_it);
        }
        let at = self.last;
        &mut self.rows[at].1
    }

    fn find(&mut self, counted: &Counted<'_>, is_it: impl Fn(&(Place, Counts)) -> bool) -> usize {
        let mut hash = self.seed;
        for name in [counted.tenant, counted.bucket, counted.artifact, counted.run] {
            hash = mixed(hash, name.as_bytes());
        }
        while let Some(at) = self.by_hash.get(&hash) {
            if self.rows.get(*at).is_some_and(&is_it) {
                return *at;
            }
            hash = hash.wrapping_add(1);
        }
        let place = Place {
            tenant: counted.tenant.to_owned(),
            bucket: counted.bucket.to_owned(),
            artifact: counted.artifact.to_owned(),
            run: counted.run.to_owned(),
        };
        if self.rows.len() >= MAX_ROWS {
            return self.shared(&place.other());
        }
        self.by_hash.insert(hash, self.rows.len());
        self.rows.push((place, Counts::default()));
        self.rows.len() - 1
    }

    /// A full sheet is rare, and handed on soon.
    fn shared(&mut self, other: &Place) -> usize {
        if let Some(at) = self.rows.iter().rposition(|(place, _)| place == other) {
            return at;
        }
        self.rows.push((other.clone(), Counts::default()));
        self.rows.len() - 1
    }
}

/// Eight bytes at a time.
fn mixed(mut hash: u64, bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    for word in words.iter().chain([&last]) {
        let product = u128::from(hash ^ u64::from_le_bytes(*word)) * u128::from(ODD);
        hash = (product as u64) ^ ((product >> 64) as u64);
    }
    hash.wrapping_add(bytes.len() as u64).wrapping_mul(ODD)
}

/// The keys are hashes.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
