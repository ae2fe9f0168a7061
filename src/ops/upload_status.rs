//! How an upload is doing: a single PUT by its request id or its key, a multipart upload by its id, and what is written back
//! by its job. Another tenant's upload is one that does not exist.
//!
//! States: `uploading` (a body or a part arrives, or a job carries it upstream) and `pending` (kept here, a job will) go on by
//! themselves; `stored`, `superseded` (a newer version of the key came first), `aborted` and `failed` do not.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId, UploadId};
use crate::base::object::{ObjectInfo, Upload};
use crate::base::object_ref::ObjectRef;
use crate::base::timestamp::Timestamp;
use crate::ops::transfers::{End, Running, Transfer};
use crate::ops::write_back::{Carried, Document, KIND};
use crate::ops::{Ops, object, wrong_grant};
use crate::origin::Freshness;
use crate::queue::job::{JobId, Phase, State};
use crate::queue::shared::became_true;
use crate::queue::view::View;

#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// None: asked for by key, by somebody else than its tenant.
    pub id: Option<String>,
    /// `put`, `multipart` or `delete`.
    pub kind: &'static str,
    pub state: &'static str,
    pub bucket: BucketName,
    pub key: ObjectKey,
    /// So far.
    pub bytes: u64,
    /// Of the whole, where it is known.
    pub size: Option<u64>,
    pub parts: Option<usize>,
    pub started: Option<String>,
    pub finished: Option<String>,
    pub etag: Option<String>,
    pub sha256: Option<String>,
    /// Why it failed, or why the last attempt did.
    pub reason: Option<String>,
    #[serde(skip)]
    tenant: TenantId,
    #[serde(skip)]
    job: Option<JobId>,
}

impl Status {
    fn new(kind: &'static str, tenant: &TenantId, bucket: &BucketName, key: &ObjectKey) -> Self {
        Status {
            id: None,
            kind,
            state: "uploading",
            bucket: bucket.clone(),
            key: key.clone(),
            bytes: 0,
            size: None,
            parts: None,
            started: None,
            finished: None,
            etag: None,
            sha256: None,
            reason: None,
            tenant: tenant.clone(),
            job: None,
        }
    }

    /// The version can be read under its key, here at least.
    pub fn is_readable(&self) -> bool {
        match self.kind {
            "delete" => false,
            _ => self.state == "stored" || (self.job.is_some() && self.state != "superseded"),
        }
    }

    fn goes_on(&self) -> bool {
        matches!(self.state, "uploading" | "pending")
    }

    fn stored(mut self, object: &ObjectInfo) -> Self {
        self.state = "stored";
        (self.bytes, self.size) = (object.size, Some(object.size));
        self.etag = Some(object.etag.quoted());
        self.sha256 = object.sha256.map(|s| s.digest().hex());
        self.finished = Some(object.modified.iso8601());
        self
    }

    fn of_transfer(transfer: &Transfer) -> Self {
        let kind = if transfer.upload.is_some() { "multipart" } else { "put" };
        Status {
            id: Some(transfer.id.clone()),
            bytes: transfer.bytes(),
            size: transfer.size,
            started: Some(transfer.started.iso8601()),
            ..Status::new(kind, &transfer.tenant, &transfer.bucket, &transfer.key)
        }
    }

    /// Of a job of write-back.
    fn of_job(view: &View) -> Option<Self> {
        let job = &view.job;
        let document: Document = serde_json::from_slice(&view.payload.document).ok().filter(|_| job.kind == KIND)?;
        let result = job.result.as_deref().and_then(|r| serde_json::from_str::<serde_json::Value>(r).ok()).unwrap_or_default();
        let state = match job.state.phase() {
            Phase::Waiting => "pending",
            Phase::Running => "uploading",
            Phase::Done if result["state"] == "superseded" => "superseded",
            Phase::Done => "stored",
            Phase::Dead | Phase::Cancelled => "failed",
        };
        let started = match job.state {
            State::Running { since } => since,
            _ => job.created,
        };
        Some(Status {
            id: Some(job.id.to_string()),
            state,
            bytes: if state == "stored" { document.size } else { view.progress.as_ref().map_or(0, |p| p.done) },
            size: Some(document.size),
            started: Some(started.iso8601()),
            finished: job.state.ended().map(Timestamp::iso8601),
            // Where the upstream stores it in parts, it is another than the one that was answered.
            etag: Some(format!("\"{}\"", result["etag"].as_str().unwrap_or(&document.etag))),
            sha256: document.sha256,
            reason: job.reason.clone(),
            job: Some(job.id),
            ..Status::new(if document.delete { "delete" } else { "put" }, &job.tenant, &document.bucket, &document.key)
        })
    }
}

impl Ops {
    /// A body of the grant's key begins to arrive under this request id.
    pub fn begin_put(&self, grant: &Grant, request_id: &str, size: Option<u64>) -> Result<Running> {
        let ObjectRef { bucket, key, .. } = object(grant, &[Action::PutObject])?;
        Ok(self.transfers.begin(request_id.to_owned(), grant.tenant().clone(), bucket.clone(), key.clone(), size))
    }

    /// By request id, upload id, or job id, as soon as it does not go on any more, or after `patience`.
    pub async fn upload_status(&self, grant: &Grant, id: &str, patience: Duration) -> Result<Status> {
        if grant.action() != Action::GetUpload {
            return Err(wrong_grant(grant, Action::GetUpload));
        }
        self.until_it_ends(patience, async || self.own_upload(grant, id).await).await
    }

    /// What of the key is going on, or the version that is stored.
    pub async fn upload_status_of_key(&self, grant: &Grant, patience: Duration) -> Result<Status> {
        let ObjectRef { bucket, key, .. } = object(grant, &[Action::GetObject])?;
        let status = self.until_it_ends(patience, async || self.of_key(bucket, key).await).await?;
        if grant.tenant().is_operator() || status.tenant == *grant.tenant() {
            return Ok(status);
        }
        Ok(Status { id: None, reason: None, ..status })
    }

    /// A multipart upload that any node began. None: it has ended, or never was.
    pub async fn multipart_status(&self, grant: &Grant, id: &UploadId) -> Result<Option<Status>> {
        let ObjectRef { bucket, key, .. } = object(grant, &[Action::ListMultipartUploadParts])?;
        match self.origin.uploads.upload(bucket, key, id).await {
            Ok(upload) => self.of_upload(&upload).await.map(Some),
            Err(e) if e.kind() == ErrorKind::NoSuchUpload => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn until_it_ends(&self, patience: Duration, look: impl AsyncFn() -> Result<Status>) -> Result<Status> {
        let end = Instant::now() + patience;
        let mut ended = self.transfers.watch();
        let mut stopping = self.jobs.stopping();
        loop {
            let status = look().await?;
            let left = end.saturating_duration_since(Instant::now());
            if !status.goes_on() || left.is_zero() || *stopping.borrow() {
                return Ok(status);
            }
            match status.job {
                Some(job) => drop(self.jobs.wait(job, left).await?),
                None => tokio::select! {
                    _ = ended.changed() => {}
                    () = tokio::time::sleep(left) => {}
                    () = became_true(&mut stopping) => {}
                },
            }
        }
    }

    async fn own_upload(&self, grant: &Grant, id: &str) -> Result<Status> {
        let own = |tenant: &TenantId| grant.tenant().is_operator() || tenant == grant.tenant();
        if let Some(transfer) = self.transfers.get(id).filter(|t| own(&t.tenant)) {
            return self.of_transfer(&transfer).await;
        }
        if let Ok(job) = JobId::parse(id)
            && let Some(status) = self.jobs.get(job).await?.as_ref().and_then(Status::of_job).filter(|s| own(&s.tenant))
        {
            return Ok(status);
        }
        Err(no_such_upload())
    }

    async fn of_transfer(&self, transfer: &Transfer) -> Result<Status> {
        let status = Status::of_transfer(transfer);
        let Some((at, end)) = transfer.end() else {
            return match &transfer.upload {
                Some(upload) => self.of_upload(upload).await,
                None => Ok(status),
            };
        };
        let status = Status { finished: Some(at.iso8601()), ..status };
        let object = match end {
            End::Taken(object) => object,
            End::Aborted => return Ok(Status { state: "aborted", ..status }),
            End::Failed => return Ok(Status { state: "failed", ..status }),
        };
        let parts = (!object.parts.is_empty()).then_some(object.parts.len());
        let stored = Status { parts, finished: status.finished.clone(), ..status.stored(object) };
        let Some(back) = &self.layers.back else { return Ok(stored) };
        match back.fate(&transfer.bucket, &transfer.key, object).await? {
            Some(Carried::Superseded) => Ok(Status { state: "superseded", ..stored }),
            Some(_) => Ok(stored),
            None => {
                let waiting = self.waiting(&transfer.bucket, &transfer.key).await?;
                Ok(waiting.map_or(stored, |w| Status { id: Some(transfer.id.clone()), started: Some(transfer.started.iso8601()), ..w }))
            }
        }
    }

    async fn of_key(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Status> {
        if let Some(transfer) = self.transfers.running(bucket, key) {
            return Ok(Status::of_transfer(&transfer));
        }
        if let Some(status) = self.waiting(bucket, key).await? {
            return Ok(status);
        }
        let object = self.origin.reads.stat(ObjectRef::current(bucket, key), Freshness::Current).await?;
        let object = object.ok_or_else(|| Error::new(ErrorKind::NoSuchKey, "The specified key does not exist."))?;
        let kind = if object.parts.is_empty() { "put" } else { "multipart" };
        let parts = (!object.parts.is_empty()).then_some(object.parts.len());
        Ok(Status { parts, ..Status::new(kind, &object.owner, bucket, key).stored(&object) })
    }

    /// What of the key is kept here and not yet upstream.
    async fn waiting(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<Status>> {
        let Some(back) = &self.layers.back else { return Ok(None) };
        Ok(back.pending(bucket, key).await?.as_ref().and_then(Status::of_job))
    }

    async fn of_upload(&self, upload: &Upload) -> Result<Status> {
        let (mut bytes, mut count, mut after) = (0, 0, 0);
        loop {
            let (parts, more) = self.origin.uploads.parts(upload, after, 1000).await?;
            bytes += parts.iter().map(|p| p.size).sum::<u64>();
            count += parts.len();
            match parts.last() {
                Some(last) if more => after = last.number,
                _ => break,
            }
        }
        let status = Status::new("multipart", upload.initiator(), &upload.bucket, &upload.key);
        let id = Some(upload.id.as_str().to_owned());
        Ok(Status { id, bytes, parts: Some(count), started: Some(upload.initiated.iso8601()), ..status })
    }
}

/// The same for one that is not there and for one of another tenant.
pub fn no_such_upload() -> Error {
    let text = "There is no such upload here. Those that have ended are forgotten after a while: ask by bucket and key.";
    Error::new(ErrorKind::NotFound, text)
}
