//! Reads what a warm list names through the cache: see `ops::warm`.
//!
//! Begun again it passes over what is in the cache already. It ends when all is read, or as much as the cache holds: what came
//! first would have to go again.
//! Acts in the name of the tenant who asked: each key is decided when it is read, as it would be for a request.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::auth::for_jobs::Asker;
use crate::auth::{Action, Auth, Target};
use crate::base::error::{Error, ErrorKind};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{ListEntry, SharedBucket};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::jobs::{asker, refused};
use crate::ops::Ops;
use crate::ops::warm::{Document, KIND, VERSION};
use crate::origin::Freshness;
use crate::queue::kind::Work;
use crate::queue::{Attempt, Fault, Kind};

/// Of a prefix. Other lists name the rest.
const MAX_OBJECTS: u64 = 100_000;
const PAGE: usize = 1000;

pub struct Warm {
    pub ops: Ops,
    pub auth: Arc<Auth>,
}

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
            let asker = asker(&self.auth, &attempt.job)?;
            let mut sum = Sum::default();
            let mut all = true;
            for item in &attempt.items {
                all = match (item.strip_prefix('k'), item.strip_prefix('p')) {
                    (Some(key), _) => match ObjectKey::parse(key) {
                        Ok(key) => self.key(attempt, &asker, &bucket, &key, &mut sum).await?,
                        Err(_) => return Err(Fault::dead("an item is no key")),
                    },
                    (_, Some(prefix)) => self.prefix(attempt, &asker, &bucket, prefix, &mut sum).await?,
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
    async fn bucket(&self, name: &BucketName) -> Result<SharedBucket, Fault> {
        match self.ops.bucket_for_decision(name).await {
            Ok(Some(bucket)) => Ok(bucket),
            Ok(None) => Err(Fault::dead("the bucket is gone")),
            Err(e) => Err(fault(&e)),
        }
    }

    /// Refused: the asker may not (any more), which ends the job. False: the cache is as full as this job may make it.
    async fn key(&self, attempt: &Attempt, asker: &Asker, name: &BucketName, key: &ObjectKey, sum: &mut Sum) -> Result<bool, Fault> {
        let bucket = self.bucket(name).await?;
        self.auth
            .grant_for_job(asker, Action::Warm, Target::Object { bucket: &bucket, key, version: VersionSelector::Current, object: None })
            .map_err(refused)?;
        match self.object(attempt, asker, &bucket, key, sum).await {
            Err(e) if e.kind() == ErrorKind::AccessDenied => Err(refused(e)),
            Err(e) => Err(fault(&e)),
            Ok(()) => self.has_room(sum),
        }
    }

    async fn prefix(&self, attempt: &Attempt, asker: &Asker, name: &BucketName, prefix: &str, sum: &mut Sum) -> Result<bool, Fault> {
        let pattern = ObjectKey::parse(&format!("{prefix}*")).map_err(|_| Fault::dead("an item is no prefix"))?;
        let mut after = String::new();
        loop {
            let bucket = self.bucket(name).await?;
            let target = Target::Object { bucket: &bucket, key: &pattern, version: VersionSelector::Current, object: None };
            self.auth.grant_for_job(asker, Action::GetObject, target).map_err(refused)?;
            let grant = self.auth.grant_for_job(asker, Action::Warm, target).map_err(refused)?;
            let page = self.ops.list_to_warm(&grant, after, PAGE).await.map_err(|e| fault(&e))?;
            for entry in &page.entries {
                let ListEntry::Object(object) = entry else { continue };
                match self.object(attempt, asker, &bucket, &object.key, sum).await {
                    // The prefix is the asker's, and this key in it is not.
                    Err(e) if e.kind() == ErrorKind::AccessDenied => sum.left_out += 1,
                    Err(e) => return Err(fault(&e)),
                    Ok(()) => {}
                }
                if !self.has_room(sum)? {
                    return Ok(false);
                }
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(true),
            }
        }
    }

    fn has_room(&self, sum: &Sum) -> Result<bool, Fault> {
        let room = self.ops.room_to_warm().map_err(|e| fault(&e))?;
        Ok(sum.bytes < room && sum.objects + sum.left_out < MAX_OBJECTS)
    }

    /// Reads what the key is now. Err: AccessDenied, or a reason to try again.
    async fn object(&self, attempt: &Attempt, asker: &Asker, bucket: &SharedBucket, key: &ObjectKey, sum: &mut Sum) -> Result<(), Error> {
        sum.note(attempt, key.as_str());
        let read = AtomicU64::new(0);
        let told = |bytes: u64| {
            read.fetch_add(bytes, Ordering::Relaxed);
            sum.note(attempt, key.as_str());
        };
        let mut size = None;
        // It may be replaced while it is read, and then the new one is wanted. A key that changes all the time is left alone.
        for _ in 0..3 {
            let warmed = self.version(asker, bucket, key, &told).await;
            match warmed {
                Ok(Step::Warmed(bytes)) => size = Some(bytes),
                Ok(Step::Replaced) => continue,
                Ok(Step::Nothing) => {}
                Err(e) if e.is_away() || e.kind() == ErrorKind::AccessDenied => return Err(e),
                Err(_) => {}
            }
            break;
        }
        sum.read += read.into_inner();
        match size {
            Some(bytes) => (sum.objects, sum.bytes) = (sum.objects + 1, sum.bytes + bytes),
            None => sum.left_out += 1,
        }
        Ok(())
    }

    async fn version(&self, asker: &Asker, bucket: &SharedBucket, key: &ObjectKey, told: &(dyn Fn(u64) + Sync)) -> Result<Step, Error> {
        let found = self.ops.object_for_decision(ObjectRef::current(&bucket.name, key), Freshness::Current).await?;
        let target = Target::Object { bucket, key, version: VersionSelector::Current, object: found.as_deref() };
        let grant = self.auth.grant_for_job(asker, Action::GetObject, target)?;
        let Some(info) = found else { return Ok(Step::Nothing) };
        let is_whole = self.ops.warm_version(&grant, &info, told).await?;
        Ok(if is_whole { Step::Warmed(info.size) } else { Step::Replaced })
    }
}

/// What became of one look at a key.
enum Step {
    /// So large it is.
    Warmed(u64),
    Replaced,
    Nothing,
}

fn fault(e: &Error) -> Fault {
    match e.is_away() {
        true => Fault::retry(format!("{:?}: {}", e.kind(), e.message())),
        false => Fault::dead(e.message().to_owned()),
    }
}
