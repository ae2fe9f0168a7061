//! Reads what a warm list names through the cache: see `ops::warm`.
//!
//! Begun again it passes over what is in the cache already. It ends when all is read, or as much as the cache holds: what came
//! first would have to go again.

use std::time::Duration;

use serde_json::json;

use crate::base::error::Error;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{ListEntry, ListQuery};
use crate::ops::warm::{Document, KIND, VERSION, Warmer};
use crate::queue::kind::Work;
use crate::queue::{Attempt, Fault, Kind};

/// Of a prefix. Other lists name the rest.
const MAX_OBJECTS: u64 = 100_000;
const PAGE: usize = 1000;

pub struct Warm(pub Warmer);

#[derive(Default)]
struct Sum {
    objects: u64,
    bytes: u64,
    read: u64,
    /// That are not there, or can't be read.
    left_out: u64,
}

impl Sum {
    fn note(&self, attempt: &Attempt, key: &str) {
        attempt.progress(self.objects + self.left_out, u64::from(attempt.job.items), key);
    }
}

impl Kind for Warm {
    fn name(&self) -> &'static str {
        KIND
    }

    /// Readers come first.
    fn at_once(&self) -> u32 {
        2
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(120)
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            let Document { bucket } = attempt.document(VERSION)?;
            let mut sum = Sum::default();
            let mut all = true;
            for item in &attempt.items {
                all = match (item.strip_prefix('k'), item.strip_prefix('p')) {
                    (Some(key), _) => match ObjectKey::parse(key) {
                        Ok(key) => self.key(attempt, &bucket, &key, &mut sum).await?,
                        Err(_) => return Err(Fault::dead("an item is no key")),
                    },
                    (_, Some(prefix)) => self.prefix(attempt, &bucket, prefix, &mut sum).await?,
                    _ => return Err(Fault::dead("an item is neither key nor prefix")),
                };
                if !all {
                    break;
                }
            }
            Ok(Some(json!({ "objects": sum.objects, "bytes": sum.bytes, "read": sum.read, "left_out": sum.left_out, "all": all })))
        })
    }
}

impl Warm {
    /// False: the cache is as full as this job may make it.
    async fn key(&self, attempt: &Attempt, bucket: &BucketName, key: &ObjectKey, sum: &mut Sum) -> Result<bool, Fault> {
        if sum.objects + sum.left_out >= MAX_OBJECTS {
            return Ok(false);
        }
        sum.note(attempt, key.as_str());
        let told = || sum.note(attempt, key.as_str());
        match self.0.object(bucket, key, &told).await {
            Ok(warmed) => {
                sum.read += warmed.read;
                match warmed.size {
                    Some(size) => {
                        sum.objects += 1;
                        sum.bytes += size;
                    }
                    None => sum.left_out += 1,
                }
            }
            Err(e) if e.is_away() => return Err(fault(&e)),
            Err(_) => sum.left_out += 1,
        }
        Ok(sum.bytes < self.0.cache.room())
    }

    async fn prefix(&self, attempt: &Attempt, bucket: &BucketName, prefix: &str, sum: &mut Sum) -> Result<bool, Fault> {
        let mut query = ListQuery { prefix: prefix.to_owned(), max: PAGE, ..ListQuery::default() };
        loop {
            let page = match self.0.origin.list(bucket, &query).await {
                Ok(page) => page,
                Err(e) if e.is_away() => return Err(fault(&e)),
                Err(e) => return Err(Fault::dead(e.message().to_owned())),
            };
            for entry in &page.entries {
                let ListEntry::Object(object) = entry else { continue };
                if !self.key(attempt, bucket, &object.key, sum).await? {
                    return Ok(false);
                }
            }
            match page.next {
                Some(next) => query.after = next,
                None => return Ok(true),
            }
        }
    }
}

fn fault(e: &Error) -> Fault {
    Fault::retry(format!("{:?}: {}", e.kind(), e.message()))
}
