//! Looks into what is uploaded, by the workers of `media`, and keeps what was found beside the version.
//!
//! As a rule a job does it, after the write was answered. In a bucket that demands it (`media.inspect_before`) it is done before: what
//! does not pass is never shown. Over a remote S3 what was found is a record of its own: a HEAD waits for it once, a GET never.
//! Not here: the job (`jobs::inspect`), how it is told (`http::media`). Limits: `media.*` of the configuration.

mod follower;
pub mod settings;

use std::collections::HashSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, ErrorKind, Result, Side};
use crate::base::inspection::{Inspection, Verdict};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{ObjectHeaders, ObjectInfo, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::ingest::{Content, Received, StagedBody};
use crate::media::INSPECTOR;
use crate::media::format::declared;
use crate::media::pool::{Failure, Pool};
use crate::media::wire::{Task, read_inspection};
use crate::ops::{Ops, object};
use crate::origin::{Body, BodySource, ReadBy};
use crate::queue::{JobId, NewJob, Payload};
use crate::telemetry::media::Media as Counts;

pub use follower::Inspections;
use settings::Settings;

pub const KIND: &str = "inspect";
pub const VERSION: u16 = 1;
/// A file that can't be had for so long is looked at again when somebody asks.
const ATTEMPTS: u32 = 10;
/// What is known of objects of a remote S3.
const KNOWN: u64 = 50_000;
const KNOWN_FOR: Duration = Duration::from_secs(300);
/// Another node may be about to find it.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
const PIECE: usize = 256 * 1024;

/// What a job is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Document {
    pub bucket: BucketName,
    pub key: ObjectKey,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Media {
    pool: Pool,
    before: Arc<HashSet<BucketName>>,
    counts: Counts,
    /// None: objects say it themselves.
    known: Option<Arc<Known>>,
}

/// By bucket, key and version.
type Named = (BucketName, ObjectKey, u64);

struct Known {
    found: Cache<Named, Arc<Inspection>>,
    /// Nothing, as it was last told; false: it is being asked for.
    nothing: Cache<Named, bool>,
}

impl Media {
    /// `is_far`: the store is a remote S3.
    pub fn start(settings: &Settings, is_far: bool, counts: Counts) -> Result<Option<Self>> {
        if !settings.inspect {
            return Ok(None);
        }
        let known = is_far.then(|| {
            let cache = |time| Cache::builder().max_capacity(KNOWN).time_to_live(time).build();
            Arc::new(Known { found: cache(KNOWN_FOR), nothing: Cache::builder().max_capacity(KNOWN).time_to_live(UNKNOWN_FOR).build() })
        });
        let before = Arc::new(settings.before.iter().cloned().collect());
        Ok(Some(Media { pool: Pool::start(settings.pool.clone())?, before, counts, known }))
    }

    /// What else has work for the same workers.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    async fn look(&self, declared: (&str, &str), content: Body, length: u64) -> Result<Inspection> {
        let (content_type, name) = declared;
        let task = Task::Inspect { content_type: content_type.to_owned(), name: name.to_owned() };
        let found = match self.pool.run(task, content, length).await {
            Ok(told) => read_inspection(&told).unwrap_or_else(|| failed("the worker answered what can't be read")),
            Err(Failure::OfFile(why)) => failed(&why),
            Err(Failure::OfUs(e)) => {
                self.counts.of_us.inc();
                return Err(e);
            }
        };
        self.counts.looked_at(found.verdict.name(), length);
        Ok(found)
    }

    /// Why a file is not looked into.
    fn skips(&self, size: u64, headers: &ObjectHeaders, encryption: Option<&Encryption>) -> Option<Inspection> {
        let most = self.pool.settings().max_bytes;
        let coding = headers.content_encoding.as_deref().filter(|coding| !coding.eq_ignore_ascii_case("identity"));
        let why = match () {
            () if size > most => format!("it has {size} bytes, and media.max_size is {most}"),
            () if coding.is_some() => format!("its bytes are coded: {}", coding.unwrap_or_default()),
            () if matches!(encryption, Some(Encryption::Customer(_))) => "it is encrypted with its client's own key".to_owned(),
            () => return None,
        };
        Some(Inspection::without_a_look(INSPECTOR, Verdict::Skipped, &why))
    }
}

fn failed(why: &str) -> Inspection {
    Inspection::without_a_look(INSPECTOR, Verdict::Failed, why)
}

/// Whether it is of a format that is looked into, as far as its writer said.
pub fn is_media(object: &ObjectInfo, key: &ObjectKey) -> bool {
    declared(&object.headers.content_type, key.as_str()).is_some()
}

/// The work, in the name of whose object it is. Equal for one key: it is named by that.
fn job(tenant: &TenantId, bucket: &BucketName, key: &ObjectKey) -> Result<NewJob> {
    let payload = Payload::of(VERSION, &Document { bucket: bucket.clone(), key: key.clone() })?;
    Ok(NewJob { max_attempts: ATTEMPTS, ..NewJob::new(tenant.clone(), KIND, payload) })
}

fn name(bucket: &BucketName, key: &ObjectKey) -> String {
    hex::encode(Sha256::new().chain_update(bucket.as_str()).chain_update(b"/").chain_update(key.as_str()).finalize())
}

impl Ops {
    /// None: nothing is looked into.
    pub fn with_media(self, media: Option<Media>) -> Self {
        Ops { media, ..self }
    }

    /// For a job: looks into the version and keeps what was found. False: it was replaced meanwhile.
    pub async fn inspect(&self, grant: &Grant, version: &SharedObject) -> Result<Option<Inspection>> {
        let of = object(grant, &[Action::GetObject])?;
        let Some(media) = &self.media else { return Ok(None) };
        let found = match media.skips(version.size, &version.headers, version.encryption.as_ref()) {
            Some(skipped) => skipped,
            None => {
                let range = ByteRange { start: 0, end: version.size };
                let content = match version.size {
                    0 => Ok(Some(Body::Memory(Bytes::new()))),
                    // Not `Ops::open`: nobody reads it.
                    _ => self.origin.reads.open(of, version, range, ReadBy::UserSpace).await,
                };
                match content {
                    Ok(Some(content)) => media.look((&version.headers.content_type, of.key.as_str()), content, version.size).await?,
                    Ok(None) => return Ok(None),
                    // It lies in an archive, or can't be decrypted.
                    Err(e) if e.side() == Side::Caller => Inspection::without_a_look(INSPECTOR, Verdict::Skipped, e.message()),
                    Err(e) => return Err(e),
                }
            }
        };
        self.keep(of, version, &found).await.map(|kept| kept.then_some(found))
    }

    async fn keep(&self, of: ObjectRef<'_>, version: &SharedObject, found: &Inspection) -> Result<bool> {
        let kept = self.origin.inspections.set_inspection(of, version, found).await?;
        if let Some(known) = self.media.as_ref().and_then(|media| media.known.as_ref()).filter(|_| kept) {
            let named = (of.bucket.clone(), of.key.clone(), version.generation);
            known.nothing.invalidate(&named);
            known.found.insert(named, Arc::new(found.clone()));
        }
        Ok(kept)
    }

    /// The key shows nothing any more.
    pub async fn forget_inspection(&self, bucket: &BucketName, key: &ObjectKey) -> Result<()> {
        self.origin.inspections.forget_inspection(ObjectRef::current(bucket, key)).await
    }

    /// As it is kept, whatever is known of it: what was asked too early is remembered for a while.
    pub async fn kept_inspection(&self, of: ObjectRef<'_>, version: &SharedObject) -> Result<Option<Arc<Inspection>>> {
        match &version.inspection {
            Some(found) => Ok(Some(found.clone())),
            None => self.origin.inspections.inspection(of, version).await,
        }
    }

    /// Whether objects don't say by themselves what was found in them.
    pub fn asks_for_inspections(&self) -> bool {
        self.media.as_ref().is_some_and(|media| media.known.is_some())
    }

    /// Until the job has ended, or `patience` has.
    pub async fn wait_for_media_job(&self, job: JobId, patience: Duration) -> Result<()> {
        self.jobs.wait(job, patience).await.map(drop)
    }

    /// The version with what was found in it, as far as that is known. `may_wait`: also where it has to be asked for.
    pub async fn with_inspection(&self, of: ObjectRef<'_>, version: SharedObject, may_wait: bool) -> SharedObject {
        let Some(known) = self.media.as_ref().and_then(|media| media.known.as_ref()) else { return version };
        if version.inspection.is_some() || !is_media(&version, of.key) {
            return version;
        }
        let named = (of.bucket.clone(), of.key.clone(), version.generation);
        if let Some(found) = known.found.get(&named) {
            return Arc::new(ObjectInfo { inspection: Some(found), ..ObjectInfo::clone(&version) });
        }
        match known.nothing.get(&named) {
            Some(true) => return version,
            Some(false) if !may_wait => return version,
            Some(false) | None => known.nothing.insert(named.clone(), false),
        }
        let (known, origin, asked) = (known.clone(), self.origin.clone(), version.clone());
        let look = async move {
            let of = ObjectRef::current(&named.0, &named.1);
            let Some(found) = origin.inspections.inspection(of, &asked).await.ok().flatten() else {
                known.nothing.insert(named, true);
                return None;
            };
            known.nothing.invalidate(&named);
            known.found.insert(named, found.clone());
            Some(found)
        };
        if !may_wait {
            tokio::spawn(look);
            return version;
        }
        match look.await {
            Some(found) => Arc::new(ObjectInfo { inspection: Some(found), ..ObjectInfo::clone(&version) }),
            None => version,
        }
    }

    /// A job that looks into the version, where none did: the one that is at it, or a new one. None: it is not looked into.
    pub async fn ask_for_inspection(&self, grant: &Grant, version: &SharedObject) -> Result<Option<JobId>> {
        let of = object(grant, &[Action::GetObject])?;
        if self.media.is_none() || version.inspection.is_some() || !is_media(version, of.key) {
            return Ok(None);
        }
        let key = Some(format!("{}-{:x}", name(of.bucket, of.key), version.generation));
        Ok(Some(self.jobs.enqueue(NewJob { key, ..job(&version.owner, of.bucket, of.key)? }).await?.id))
    }

    /// Whether what is about to be written may be shown: asked where the bucket demands it. None: it does not.
    pub(super) async fn require_passed(
        &self,
        of: ObjectRef<'_>,
        headers: &ObjectHeaders,
        encryption: Option<&Encryption>,
        received: &Received,
    ) -> Result<Option<Inspection>> {
        let Some(media) = self.demands(of.bucket) else { return Ok(None) };
        if declared(&headers.content_type, of.key.as_str()).is_none() {
            return Ok(None);
        }
        let found = match media.skips(received.size, headers, encryption) {
            Some(skipped) => skipped,
            None => {
                let content = match &received.content {
                    Content::Memory(bytes) => Body::Memory(bytes.clone()),
                    Content::File(file) => Body::Stream(Box::pin(Staged::new(file.body().map_err(Error::storage)?))),
                };
                media.look((&headers.content_type, of.key.as_str()), content, received.size).await?
            }
        };
        match found.verdict {
            Verdict::Passed | Verdict::Flagged => Ok(Some(found)),
            Verdict::Refused | Verdict::Skipped | Verdict::Failed => Err(refused(of.bucket, &found)),
        }
    }

    /// A bucket that demands it takes media whole: what is put together in the store could be looked into only when it is shown.
    pub(super) fn require_whole(&self, of: ObjectRef<'_>, headers: &ObjectHeaders) -> Result<()> {
        if self.demands(of.bucket).is_none() || declared(&headers.content_type, of.key.as_str()).is_none() {
            return Ok(());
        }
        let text = format!(
            "The bucket {} looks into media before it is stored (media.inspect_before): send this file by PutObject. Multipart uploads and \
             copies are put together in the store, where it is too late to refuse them.",
            of.bucket
        );
        Err(Error::new(ErrorKind::InvalidRequest, text))
    }

    fn demands(&self, bucket: &BucketName) -> Option<&Media> {
        self.media.as_ref().filter(|media| media.before.contains(bucket))
    }

    /// What passed is kept at once. Where that fails, the job does it.
    pub(super) async fn keep_passed(&self, of: ObjectRef<'_>, version: &SharedObject, passed: Option<Inspection>) -> SharedObject {
        let Some(passed) = passed else { return version.clone() };
        match self.keep(of, version, &passed).await {
            Ok(true) => Arc::new(ObjectInfo { inspection: Some(Arc::new(passed)), ..ObjectInfo::clone(version) }),
            Ok(false) | Err(_) => version.clone(),
        }
    }
}

fn refused(bucket: &BucketName, found: &Inspection) -> Error {
    let why: Vec<&str> = found.findings.iter().filter(|f| f.fault || found.verdict == Verdict::Skipped).map(|f| f.text.as_str()).collect();
    let text = format!("The bucket {bucket} takes media only when it passed inspection, and this did not: {}.", why.join("; "));
    Error::new(ErrorKind::InvalidRequest, text).detail("Verdict", found.verdict.name())
}

/// A staged file as a body.
struct Staged {
    body: Arc<StagedBody>,
    at: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl Staged {
    fn new(body: StagedBody) -> Self {
        Staged { body: Arc::new(body), at: 0, reading: None }
    }
}

impl BodySource for Staged {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.at >= self.body.len() {
            return Poll::Ready(None);
        }
        let (body, at) = (self.body.clone(), self.at);
        let reading = self.reading.get_or_insert_with(|| spawn_blocking(move || body.read(at, PIECE)));
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let piece = read.map_err(Error::internal).and_then(|read| read.map_err(Error::storage));
        if let Ok(piece) = &piece {
            self.at += piece.len() as u64;
        }
        Poll::Ready(Some(piece.map(Bytes::from)))
    }

    fn remaining(&self) -> u64 {
        self.body.len().saturating_sub(self.at)
    }
}
