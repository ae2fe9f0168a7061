//! What went out of each tenant's this month: what a limit of egress is held against.
//!
//! In memory, and made again from the rows of days at a start. Behind by what workers have not handed on yet: half a second of traffic.
//! Limits: a number for each tenant that there was this month.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::base::timestamp::Timestamp;
use crate::usage::period::{self, Month};

#[derive(Debug)]
pub struct Egress(RwLock<(Month, HashMap<String, u64>)>);

impl Egress {
    pub fn new(now: Timestamp) -> Self {
        Egress(RwLock::new((Month::of_day(period::day(now)), HashMap::new())))
    }

    /// On a day. What is of another month than the current one counts for none, and a later month begins anew.
    pub fn add(&self, day: u32, tenant: &str, bytes: u64) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let month = Month::of_day(day);
        if month.first_day() > kept.0.first_day() {
            *kept = (month, HashMap::new());
        }
        if month == kept.0 && bytes > 0 {
            match kept.1.get_mut(tenant) {
                Some(sum) => *sum = sum.saturating_add(bytes),
                None => {
                    kept.1.insert(tenant.to_owned(), bytes);
                }
            }
        }
    }

    pub fn of(&self, tenant: &str, now: Timestamp) -> u64 {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if kept.0 == Month::of_day(period::day(now)) { kept.1.get(tenant).copied().unwrap_or(0) } else { 0 }
    }
}
