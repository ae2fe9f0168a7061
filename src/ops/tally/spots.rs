//! Where something is stored over an S3: tenant, bucket, artifact type and run. And which runs are told apart: so many of each tenant, and
//! so many in all. What is stored of other runs counts for their type.
//!
//! Pure. The numbers are what a record of a mebibyte has room for, however long the names of tenants and buckets are.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::base::layout;
use crate::base::names::{BucketName, ObjectKey, TenantId};

pub const OF_TENANT: usize = if cfg!(test) { 5 } else { 1000 };
pub const OF_ALL: usize = if cfg!(test) { 8 } else { 2000 };
/// UUIDs and the like. Longer ones are not told apart.
pub const NAME_BYTES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "SpotForm", into = "SpotForm")]
pub struct Spot {
    pub tenant: String,
    pub bucket: String,
    /// Empty: keys that say none.
    pub artifact: String,
    /// Empty: what is told of no run.
    pub run: String,
}

impl Spot {
    pub fn of(owner: &TenantId, bucket: &BucketName, key: &ObjectKey) -> Self {
        let (run, artifact) = layout::run_and_type(key.as_str()).unwrap_or_default();
        Spot { tenant: owner.to_string(), bucket: bucket.to_string(), artifact: artifact.to_owned(), run: run.to_owned() }
    }

    /// The one of its type, which has what is told of no run.
    pub fn of_type(&self) -> Self {
        let Spot { tenant, bucket, artifact, .. } = self.clone();
        Spot { tenant, bucket, artifact, run: String::new() }
    }

    /// Whosever it is: listings don't say.
    pub fn of_anybody(&self) -> Self {
        Spot { tenant: String::new(), ..self.clone() }
    }
}

/// As it is written: a program that knows of no runs takes each for a type of its own. Names hold no NUL.
#[derive(Serialize, Deserialize)]
struct SpotForm {
    tenant: String,
    bucket: String,
    artifact: String,
}

impl From<Spot> for SpotForm {
    fn from(spot: Spot) -> Self {
        let Spot { tenant, bucket, artifact, run } = spot;
        SpotForm { tenant, bucket, artifact: if run.is_empty() { artifact } else { [&artifact, "\0", &run].concat() } }
    }
}

impl From<SpotForm> for Spot {
    fn from(form: SpotForm) -> Self {
        let SpotForm { tenant, bucket, artifact } = form;
        match artifact.split_once('\0') {
            Some((artifact, run)) => Spot { tenant, bucket, artifact: artifact.to_owned(), run: run.to_owned() },
            None => Spot { tenant, bucket, artifact, run: String::new() },
        }
    }
}

#[derive(Debug, Default)]
pub struct Names {
    named: BTreeSet<Spot>,
    by_tenant: HashMap<String, usize>,
}

impl Names {
    /// It has a name already.
    pub fn add(&mut self, spot: &Spot) {
        if !spot.run.is_empty() && self.named.insert(spot.clone()) {
            *self.by_tenant.entry(spot.tenant.clone()).or_default() += 1;
        }
    }

    /// Whether it has a name, now at the latest. What says no run needs none.
    pub fn takes(&mut self, spot: &Spot) -> bool {
        if spot.run.is_empty() || self.named.contains(spot) {
            return true;
        }
        let of_tenant = self.by_tenant.get(&spot.tenant).copied().unwrap_or(0);
        let has_room = spot.run.len() <= NAME_BYTES && of_tenant < OF_TENANT && self.named.len() < OF_ALL;
        if has_room {
            self.add(spot);
        }
        has_room
    }
}
