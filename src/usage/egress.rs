//! What went out of each tenant's this month, and of each bucket that has a limit of it: what these limits are held against.
//!
//! In memory, and made again from the rows of days at a start. Behind by what workers have not handed on yet: half a second of traffic.
//! What other nodes told of their tenants' comes on top. What was counted without its bucket, because there were too many rows, counts for
//! no bucket.
//! Limits: a number for each tenant that there was this month, and for each bucket with a limit.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use crate::base::timestamp::Timestamp;
use crate::usage::count::Place;
use crate::usage::period::{self, Month};

#[derive(Debug)]
pub struct Egress {
    /// That have a limit.
    buckets: BTreeSet<String>,
    sums: RwLock<Sums>,
}

#[derive(Debug)]
struct Sums {
    month: Month,
    tenants: HashMap<String, u64>,
    buckets: HashMap<String, u64>,
    /// Tenants', by all other nodes, as they told last.
    elsewhere: HashMap<String, u64>,
}

impl Sums {
    fn of(month: Month) -> Self {
        Sums { month, tenants: HashMap::new(), buckets: HashMap::new(), elsewhere: HashMap::new() }
    }
}

impl Egress {
    pub fn new(now: Timestamp, buckets: BTreeSet<String>) -> Self {
        Egress { buckets, sums: RwLock::new(Sums::of(Month::of_day(period::day(now)))) }
    }

    /// On a day. What is of another month than the current one counts for none, and a later month begins anew.
    pub fn add(&self, day: u32, place: &Place, bytes: u64) {
        let mut sums = self.sums.write().unwrap_or_else(PoisonError::into_inner);
        let month = Month::of_day(day);
        if month.first_day() > sums.month.first_day() {
            *sums = Sums::of(month);
        }
        if month != sums.month || bytes == 0 {
            return;
        }
        add_to(&mut sums.tenants, &place.tenant, bytes);
        if self.buckets.contains(&place.bucket) {
            add_to(&mut sums.buckets, &place.bucket, bytes);
        }
    }

    /// All that other nodes told of that month.
    pub fn set_elsewhere(&self, month: Month, sums: HashMap<String, u64>) {
        let mut kept = self.sums.write().unwrap_or_else(PoisonError::into_inner);
        if month.first_day() > kept.month.first_day() {
            *kept = Sums::of(month);
        }
        if month == kept.month {
            kept.elsewhere = sums;
        }
    }

    pub fn of(&self, tenant: &str, now: Timestamp) -> u64 {
        self.read(now, |sums| {
            let of = |sums: &HashMap<String, u64>| sums.get(tenant).copied().unwrap_or(0);
            Some(of(&sums.tenants).saturating_add(of(&sums.elsewhere)))
        })
    }

    pub fn of_bucket(&self, bucket: &str, now: Timestamp) -> u64 {
        self.read(now, |sums| sums.buckets.get(bucket).copied())
    }

    fn read(&self, now: Timestamp, get: impl FnOnce(&Sums) -> Option<u64>) -> u64 {
        let sums = self.sums.read().unwrap_or_else(PoisonError::into_inner);
        if sums.month == Month::of_day(period::day(now)) { get(&sums).unwrap_or(0) } else { 0 }
    }
}

fn add_to(sums: &mut HashMap<String, u64>, name: &str, bytes: u64) {
    match sums.get_mut(name) {
        Some(sum) => *sum = sum.saturating_add(bytes),
        None => {
            sums.insert(name.to_owned(), bytes);
        }
    }
}
