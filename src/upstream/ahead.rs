//! A body that goes up in parts while it still arrives. Each part is sent when all of it is in the staged file.
//!
//! Sees the body through ingest (`BodyWatcher`): cuts it into parts, with the checksum of each over the bytes as they came, and tells
//! a task of its own about them (`parts`). Nothing goes up before it is certain that the body is over the threshold.
//! Invariants: the upload is completed by `write` alone, when the whole body was verified; if the body is given up, the last
//! reference to this goes with it, and the task aborts the upload.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::base::checksum::ChecksumAlgorithm;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, Result};
use crate::base::lock::Lock;
use crate::base::media_type;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Acl, ObjectHeaders};
use crate::base::tags::Tags;
use crate::ingest::{BodyWatcher, Content, Received, Staging};
use crate::origin::Announced;
use crate::upstream::cutter::{Cutter, FilePart, Told};
use crate::upstream::known::Known;
use crate::upstream::open::Inner;
use crate::upstream::parts::{ABORT_PATIENCE, PartedObject, Sent};

pub struct Ahead {
    inner: Arc<Inner>,
    bucket: BucketName,
    key: ObjectKey,
    owner: TenantId,
    acl: Acl,
    headers: ObjectHeaders,
    tags: Tags,
    encryption: Option<Encryption>,
    algorithm: Option<ChecksumAlgorithm>,
    /// Its length was announced, and is over the threshold.
    is_long: bool,
    /// Bodies are written on other threads.
    runtime: Handle,
    state: Mutex<State>,
}

struct State {
    cutter: Cutter,
    /// The first bytes, of which the content type is guessed.
    first: Vec<u8>,
    /// Whole, and not told: it may become a small body.
    waiting: Vec<FilePart>,
    task: Option<Task>,
}

struct Task {
    /// At most as many as an object has parts.
    told: UnboundedSender<Told>,
    sent: JoinHandle<Result<Sent>>,
}

impl Inner {
    pub fn staging_for(self: &Arc<Self>, put: &Announced<'_>) -> Staging {
        let staging = self.staging.clone().not_synced();
        let short = put.length.is_some_and(|length| length <= self.settings.multipart_threshold);
        let conditioned = !put.conditions.is_empty();
        let refused = conditioned && !self.abilities().conditional_completes;
        let known = put.sha256.is_some_and(|sha256| self.may_copy(put.owner, &sha256, put.conditions));
        // How long a version is locked counts from when it is made, and its upload would be told before.
        // What lies under a client's key goes up when all of it was checked.
        let is_customers = put.encryption.is_some_and(Encryption::is_customers);
        if short || refused || known || is_customers || self.keepings.locks(put.bucket) {
            return staging;
        }
        let Ok(runtime) = Handle::try_current() else { return staging };
        let algorithm = self.algorithm_of_parts(put.algorithm);
        // It is certain that it goes up in parts: its ETag is made of theirs. MD5 would be half of the work.
        let staging = if put.length.is_some() { staging.without_md5() } else { staging };
        staging.watched_by(Arc::new(Ahead {
            inner: self.clone(),
            bucket: put.bucket.clone(),
            key: put.key.clone(),
            owner: put.owner.clone(),
            acl: put.acl.clone(),
            headers: put.headers.clone(),
            tags: put.tags.clone(),
            encryption: put.encryption.cloned(),
            algorithm,
            is_long: put.length.is_some(),
            runtime,
            state: Mutex::new(State {
                cutter: Cutter::new(self.settings.part_bytes, algorithm),
                first: Vec::new(),
                waiting: Vec::new(),
                task: None,
            }),
        }))
    }
}

impl Ahead {
    /// Of a body of which parts may be upstream already. None: nothing was begun.
    pub fn of(received: &Received) -> Option<Arc<Ahead>> {
        let Content::File(file) = &received.content else { return None };
        let watcher: Arc<dyn std::any::Any + Send + Sync> = file.watcher()?.clone();
        watcher.downcast::<Ahead>().ok().filter(|ahead| ahead.state().task.is_some())
    }

    /// Sends the rest of the whole body, and waits for all parts.
    pub async fn finish(&self, path: &Path) -> Result<Sent> {
        let task = {
            let mut state = self.state();
            let rest = state.cutter.rest(path);
            state.waiting.extend(rest);
            self.tell(&mut state);
            state.task.take()
        };
        let Task { told, sent } = task.ok_or_else(|| Error::internal("an upload is finished twice"))?;
        let _ = told.send(Told::End);
        // Until then `told` stays open: closed, it means that the body was given up.
        sent.await.map_err(Error::internal)?
    }

    /// The body is refused: what went up of it is aborted.
    pub async fn give_up(&self) {
        let task = self.state().task.take();
        if let Some(Task { told, sent }) = task {
            drop(told);
            let _ = timeout(ABORT_PATIENCE, sent).await;
        }
    }

    fn tell(&self, state: &mut State) {
        if state.task.is_none() {
            state.task = Some(self.begin(&state.first));
        }
        for part in state.waiting.drain(..) {
            if let Some(task) = &state.task {
                // Nobody listens any more where a part failed for good: that is told at the end.
                let _ = task.told.send(Told::Part(part));
            }
        }
    }

    fn begin(&self, first: &[u8]) -> Task {
        let (told, heard) = unbounded_channel();
        let mut headers = self.headers.clone();
        if headers.content_type.is_empty() {
            headers.content_type = media_type::guess(self.key.as_str(), first).to_owned();
        }
        let known = Known::new(self.owner.clone(), self.acl.clone(), &headers);
        let (inner, bucket, key, algorithm) = (self.inner.clone(), self.bucket.clone(), self.key.clone(), self.algorithm);
        let (tags, encryption) = (self.tags.clone(), self.encryption.clone());
        let sent = self.runtime.spawn(async move {
            let (place, key) = inner.writable(&bucket, &key).await?;
            inner.send_parts(PartedObject { place, key, headers, tags, encryption, known, lock: Lock::default(), algorithm }, heard).await
        });
        Task { told, sent }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BodyWatcher for Ahead {
    fn appended(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        if let Some(missing) = media_type::SNIFF_BYTES.checked_sub(state.first.len()).filter(|n| *n > 0) {
            state.first.extend_from_slice(bytes.get(..missing).unwrap_or(bytes));
        }
        let whole = state.cutter.push(path, bytes);
        state.waiting.extend(whole);
        let is_long = self.is_long || state.cutter.total() > self.inner.settings.multipart_threshold;
        if is_long && !state.waiting.is_empty() {
            self.tell(&mut state);
        }
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ahead({}/{})", self.bucket, self.key)
    }
}
