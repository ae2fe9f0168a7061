//! The guarantee: both listings walked together, and an intent recorded for every key that differs. So what was changed by
//! other nodes, by direct writers, or while the queue was full, gets to the replica as well.
//!
//! Alike are, by their listings: the same size and ETag, and a copy that is not older than the original. Where the ETags can't
//! agree (copies are cut into parts as it suits this gateway) the copy is asked which version it is.
//! Memory: a page of each listing. How far it is stands in a file, after each page; begun again, it goes on there.
//! Keys that are only at the replica are looked at as well, and go if the origin says that they are gone; but a bucket that
//! lists nothing at all is taken for a mistake, and nothing goes by it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::auth::grant::GatewayGrant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::BucketName;
use crate::base::object::{ListEntry, ListQuery, ListedObject};
use crate::base::timestamp::Timestamp;
use crate::ops::replicas::bring::Trouble;
use crate::ops::replicas::target::Target;
use crate::ops::replicas::{Inner, Replicas, Which};
use crate::origin::Reads;
use crate::private;
use crate::upstream::Upstream;

const PAGE: usize = 1000;

/// What a scan has looked at.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Scanned {
    pub keys: u64,
    /// Of these, the ones that differed.
    pub found: u64,
}

/// How far the scan is, and when one last went through.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub bucket: String,
    pub after: String,
    pub finished: u64,
}

impl Replicas {
    /// Goes through everything that the replica gets. None: another scan of it runs.
    pub async fn scan(&self, _: &GatewayGrant, which: Which, told: &(dyn Fn(Scanned) + Send + Sync)) -> Result<Option<Scanned>> {
        let target = &self.0.targets[which.0];
        let Ok(_alone) = target.scanning.try_lock() else { return Ok(None) };
        let scanned = self.0.scan(target, told).await;
        match &scanned {
            Ok(_) => target.well(),
            Err(e) => target.failed(e),
        }
        scanned.map(Some)
    }
}

impl Inner {
    pub(super) fn mark_file(&self, target: &Target) -> PathBuf {
        self.dir.join(format!("{}.scan", target.name))
    }

    async fn scan(&self, target: &Target, told: &(dyn Fn(Scanned) + Send + Sync)) -> Result<Scanned> {
        let (file, mut scanned) = (self.mark_file(target), Scanned::default());
        let mut mark = read_mark(&file);
        // Where the one before was cut off; what comes before was looked at.
        let from = mark.bucket.clone();
        let mut after = String::new();
        loop {
            let buckets = self.origin.buckets.buckets(None, "", &after, PAGE).await?;
            for bucket in buckets.iter().filter(|b| b.name.as_str() >= from.as_str() && target.covers(&b.name, None)) {
                if bucket.name.as_str() != mark.bucket {
                    mark = Mark { bucket: bucket.name.to_string(), after: String::new(), ..mark };
                }
                self.scan_bucket(target, &bucket.name, &mut mark, &file, &mut scanned, told).await?;
            }
            match buckets.last() {
                Some(last) if buckets.len() >= PAGE => after = last.name.to_string(),
                _ => break,
            }
        }
        let finished = Timestamp::now();
        write_mark(&file, &Mark { finished: finished.millis(), ..Mark::default() })?;
        target.gauges.set_scanned(finished.secs());
        Ok(scanned)
    }

    async fn scan_bucket(
        &self,
        target: &Target,
        bucket: &BucketName,
        mark: &mut Mark,
        file: &Path,
        scanned: &mut Scanned,
        told: &(dyn Fn(Scanned) + Send + Sync),
    ) -> Result<()> {
        match self.bring_bucket(target, bucket).await {
            Ok(_) | Err(Trouble::Changing) => {}
            Err(Trouble::Origin(e) | Trouble::Target(e)) => return Err(e),
        }
        let upstream = target.upstream().await?;
        let is_empty = Listing::new(&*self.origin.reads, bucket, "", "").next().await?.is_none();
        for prefix in target.prefixes(bucket) {
            let mut sources = Listing::new(&*self.origin.reads, bucket, &prefix, &mark.after);
            let mut copies = Listing::new(upstream, bucket, &prefix, &mark.after);
            let (mut source, mut copy) = (sources.next().await?, copies.next().await?);
            if is_empty && copy.is_some() {
                tracing::error!(
                    replica = %target.name, %bucket,
                    "the origin lists nothing in this bucket and the replica does: nothing is deleted by that. Delete the objects there by hand if it is meant so"
                );
                continue;
            }
            let mut differ = Vec::new();
            loop {
                // The side whose key comes first; both, where it is the same.
                let (a, b) = match (&source, &copy) {
                    (None, None) => break,
                    (Some(s), Some(c)) if s.key == c.key => (source.take(), copy.take()),
                    (Some(s), Some(c)) if s.key > c.key => (None, copy.take()),
                    (Some(_), _) => (source.take(), None),
                    (None, Some(_)) => (None, copy.take()),
                };
                let Some(key) = a.as_ref().or(b.as_ref()).map(|l| l.key.clone()) else { break };
                scanned.keys += 1;
                let alike = match (&a, &b) {
                    (Some(a), Some(b)) => is_alike(upstream, bucket, a, b).await?,
                    _ => false,
                };
                if !alike {
                    differ.push(key.to_string());
                }
                if a.is_some() {
                    source = sources.next().await?;
                }
                if b.is_some() {
                    copy = copies.next().await?;
                }
                if scanned.keys.is_multiple_of(PAGE as u64) {
                    self.note(target, bucket, &mut differ, scanned).await?;
                    mark.after = key.to_string();
                    write_mark(file, mark)?;
                    told(*scanned);
                }
            }
            self.note(target, bucket, &mut differ, scanned).await?;
        }
        told(*scanned);
        Ok(())
    }

    /// Durable before the mark moves past them.
    async fn note(&self, target: &Target, bucket: &BucketName, differ: &mut Vec<String>, scanned: &mut Scanned) -> Result<()> {
        if differ.is_empty() {
            return Ok(());
        }
        let keys = std::mem::take(differ);
        scanned.found += keys.len() as u64;
        target.gauges.found.inc_by(keys.len() as u64);
        self.gather(target, bucket, keys).await
    }
}

async fn is_alike(upstream: &Upstream, bucket: &BucketName, source: &ListedObject, copy: &ListedObject) -> Result<bool> {
    if source.size != copy.size {
        return Ok(false);
    }
    if source.etag.is_some() && source.etag == copy.etag {
        return Ok(copy.modified >= source.modified);
    }
    let there = upstream.stat_copy(bucket, &copy.key).await?.and_then(|copy| copy.source);
    // A HEAD tells seconds, a listing milliseconds.
    Ok(there.is_some_and(|version| Some(version.etag) == source.etag && version.modified.secs() == source.modified.secs()))
}

/// The objects of a bucket under a prefix, in order.
struct Listing<'l> {
    reads: &'l dyn Reads,
    bucket: &'l BucketName,
    query: ListQuery,
    page: VecDeque<ListedObject>,
    ended: bool,
}

impl<'l> Listing<'l> {
    fn new(reads: &'l dyn Reads, bucket: &'l BucketName, prefix: &str, after: &str) -> Self {
        let query = ListQuery { prefix: prefix.to_owned(), after: after.to_owned(), max: PAGE, ..ListQuery::default() };
        Listing { reads, bucket, query, page: VecDeque::new(), ended: false }
    }

    async fn next(&mut self) -> Result<Option<ListedObject>> {
        while self.page.is_empty() && !self.ended {
            let page = match self.reads.list(self.bucket, &self.query).await {
                Err(e) if e.kind() == ErrorKind::NoSuchBucket => Default::default(),
                page => page?,
            };
            self.page = page.entries.into_iter().filter_map(|e| if let ListEntry::Object(o) = e { Some(o) } else { None }).collect();
            match page.next {
                Some(next) => self.query.after = next,
                None => self.ended = true,
            }
        }
        Ok(self.page.pop_front())
    }
}

/// A mark that can't be read is none: the scan begins anew.
pub(super) fn read_mark(file: &Path) -> Mark {
    std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

pub(super) fn write_mark(file: &Path, mark: &Mark) -> Result<()> {
    let text = serde_json::to_vec(mark).map_err(Error::internal)?;
    let new = file.with_extension("new");
    private::write(&new, &text).and_then(|()| std::fs::rename(&new, file)).map_err(Error::storage)
}
