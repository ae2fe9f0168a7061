//! A run by listings, where the store keeps no index of what is due: the buckets that have rules, each from its first key to its last.

use tokio::task::JoinSet;

use crate::base::error::{Error, Result};
use crate::base::names::BucketName;
use crate::base::versions::VersionsQuery;
use crate::ops::lifecycle::judge::{Judged, Ruled};
use crate::ops::lifecycle::standing::{Standings, Version};
use crate::ops::lifecycle::{AT_ONCE, Run, Told};
use crate::origin::UploadsQuery;

const PAGE: usize = 1000;

impl Run {
    pub(super) async fn by_listing(&self, told: Told<'_>) -> Result<()> {
        let mut after = String::new();
        loop {
            let buckets = self.ops.origin.buckets.buckets(None, "", &after, PAGE).await?;
            for bucket in &buckets {
                let Some(ruled) = Ruled::of(&self.ops, bucket.clone()) else { continue };
                // One bucket that can't be listed keeps no other from its turn.
                if let Err(e) = self.list_bucket(&ruled, told).await {
                    self.fault_of(&bucket.name, &e);
                }
            }
            match buckets.last() {
                Some(last) if buckets.len() >= PAGE => after = last.name.to_string(),
                _ => return Ok(()),
            }
        }
    }

    fn fault_of(&self, bucket: &BucketName, e: &Error) {
        tracing::warn!(%bucket, error = %e, "the lifecycle of a bucket could not be carried out");
        self.tally().fault(format!("{bucket}: {:?}: {}", e.kind(), e.message()));
    }

    async fn list_bucket(&self, ruled: &Ruled, told: Told<'_>) -> Result<()> {
        let bucket = &ruled.bucket.name;
        let mut query = VersionsQuery { max: PAGE, ..VersionsQuery::default() };
        let mut standings = Standings::default();
        loop {
            let page = self.ops.origin.reads.list_versions(bucket, &query).await?;
            let mut versions: Vec<Version> = page.entries.into_iter().filter_map(|entry| standings.next(entry)).collect();
            if page.next.is_none() {
                versions.extend(standings.end());
            }
            self.tally().report.looked_at += versions.len() as u64;
            self.judge_all(ruled, versions).await;
            self.tell(told);
            match page.next {
                Some((key, version)) => (query.key_marker, query.version_marker) = (key, version),
                None => break,
            }
        }
        if ruled.aborts { self.list_uploads(ruled, told).await } else { Ok(()) }
    }

    async fn judge_all(&self, ruled: &Ruled, versions: Vec<Version>) {
        let mut running = JoinSet::new();
        // What is not due is passed over without a task.
        let mut due = versions.into_iter().filter(|version| self.may_be_due(ruled, version));
        loop {
            while running.len() < AT_ONCE
                && let Some(version) = due.next()
            {
                let (run, ruled) = (self.clone(), ruled.clone());
                running.spawn(async move { run.judge(&ruled, &version).await });
            }
            match running.join_next().await {
                None => return,
                Some(Ok(Ok(Judged::Gone | Judged::Stays(_)))) => {}
                Some(Ok(Err(e))) => self.fault_of(&ruled.bucket.name, &e),
                Some(Err(e)) => self.tally().fault(e.to_string()),
            }
        }
    }

    async fn list_uploads(&self, ruled: &Ruled, told: Told<'_>) -> Result<()> {
        let mut query = UploadsQuery { max: PAGE, ..UploadsQuery::default() };
        loop {
            let page = self.ops.origin.uploads.uploads(&ruled.bucket.name, &query).await?;
            self.tally().report.looked_at += page.uploads.len() as u64;
            for upload in &page.uploads {
                if let Err(e) = self.judge_upload(ruled, upload).await {
                    self.fault_of(&ruled.bucket.name, &e);
                }
            }
            self.tell(told);
            match page.next {
                Some((key, upload)) => (query.key_marker, query.upload_marker) = (key, upload),
                None => return Ok(()),
            }
        }
    }
}
