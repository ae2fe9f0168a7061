//! What waits, for those who ask: of one key, and all that is left.

use std::time::Duration;

use serde::Serialize;

use crate::base::error::Result;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::ObjectInfo;
use crate::ops::write_back::entry::is_ours;
use crate::ops::write_back::{Carried, Document, KIND, WriteBack};
use crate::queue::job::Phase;
use crate::queue::view::{Filter, View};

/// Failures that are told of; more are counted.
const MAX_FAILED: usize = 1000;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What is not yet upstream.
#[derive(Debug, Default, Serialize)]
pub struct Left {
    pub waiting: u64,
    pub bytes: u64,
    /// Of these, what the upstream refuses for good: readable here, and tried again only when asked to.
    pub failed: Vec<Failed>,
}

#[derive(Debug, Serialize)]
pub struct Failed {
    pub job: String,
    pub tenant: String,
    pub bucket: String,
    pub key: String,
    pub reason: String,
}

impl Left {
    /// Nothing more will be stored by itself.
    pub fn is_settled(&self) -> bool {
        self.waiting <= self.failed.len() as u64
    }
}

impl WriteBack {
    /// The job that carries up what waits of the key.
    pub async fn pending(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<View>> {
        let Some(entry) = self.0.entry(bucket, key).await? else { return Ok(None) };
        let (id, _) = self.0.enqueue(bucket, key, &entry).await?;
        self.0.queue.get(id).await
    }

    /// What became of a version that was written through here; None: it still waits.
    pub async fn fate(&self, bucket: &BucketName, key: &ObjectKey, written: &ObjectInfo) -> Result<Option<Carried>> {
        if !is_ours(written) {
            return Ok(Some(Carried::Before));
        }
        self.is_settled(bucket, key, written.generation).await
    }

    /// What is left as soon as nothing more will be stored by itself, or after `patience`.
    pub async fn sync(&self, retry: bool, patience: Duration) -> Result<Left> {
        self.take_up().await?;
        if retry {
            for failed in self.failed().await? {
                // It may have been begun anew, or forgotten, meanwhile.
                if let Ok(id) = crate::queue::JobId::parse(&failed.job) {
                    let _ = self.0.queue.retry(id).await;
                }
            }
        }
        let end = tokio::time::Instant::now() + patience;
        loop {
            let (waiting, bytes) = self.0.waiting.sum();
            let failed = if waiting > 0 { self.failed().await? } else { Vec::new() };
            let left = Left { waiting, bytes, failed };
            if left.is_settled() || tokio::time::Instant::now() >= end {
                return Ok(left);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Jobs that were given up and whose version still waits.
    async fn failed(&self) -> Result<Vec<Failed>> {
        let mut failed = Vec::new();
        for phase in [Phase::Dead, Phase::Cancelled] {
            let mut filter = Filter { phase: Some(phase), kind: Some(KIND.to_owned()), max: MAX_FAILED, ..Filter::default() };
            loop {
                let page = self.0.queue.list(filter.clone()).await?;
                for job in page.jobs {
                    let Some(view) = self.0.queue.get(job.id).await? else { continue };
                    let Ok(document) = serde_json::from_slice::<Document>(&view.payload.document) else { continue };
                    if self.is_settled(&document.bucket, &document.key, document.generation).await?.is_none() {
                        failed.push(Failed {
                            job: job.id.to_string(),
                            tenant: job.tenant.to_string(),
                            bucket: document.bucket.to_string(),
                            key: document.key.to_string(),
                            reason: job.reason.unwrap_or_else(|| job.state.phase().name().to_owned()),
                        });
                    }
                }
                match page.next {
                    Some(next) if failed.len() < MAX_FAILED => filter.after = Some(next),
                    _ => break,
                }
            }
        }
        Ok(failed)
    }
}
