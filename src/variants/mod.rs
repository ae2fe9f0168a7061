//! Variants: the bytes of a version in another form (compressed, or decoded), made once, kept, and served like any file.
//!
//! Small ones are made while the reader waits, quickly, and kept in memory; the best that can be had is made in the
//! background and kept in a folder. All of it is derived: whatever fails here, the reader gets the version as it is.
//! Not here: who may read (callers come through `ops`, with a Grant), who wants which form (`http`), where originals come
//! from (`Original`).
//!
//! Invariants: a variant is found through the content it was made of, inside its tenant's scope, and in no other way; the
//! same content in the same form is the same bytes; each is made once at a time, however many ask.
//! Limits: `Settings`; at most `WAITING` look-ups at once, `worker::MAX_WAITING` jobs.

pub mod codec;
pub mod folder;
pub mod key;
pub mod make;
mod queue;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod worker;

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::base::coding::{Coding, Form};
use crate::base::error::{Error, Result};
use crate::base::object::{ObjectInfo, SharedObject};
use crate::base::range::ByteRange;
use crate::base::timestamp::Timestamp;
use crate::files::{FileBody, Files, Span};
use crate::origin::{Body, ReadBy};
use crate::variants::codec::{Change, Effort};
use crate::variants::folder::{Folder, Kept};
pub use crate::variants::key::{Key, Original};
use crate::variants::make::{Made, Plan};
use crate::variants::queue::{Job, Queue};
use crate::variants::settings::Settings;

/// Readers that wait for small variants at once; who comes on top is served the version as it is.
const WAITING: usize = 64;
/// What is unpacked while a reader waits comes to no more than this times `Settings::small_bytes`.
const UNPACKED: u64 = 16;
/// How often the folder is told that a variant is in use, and a better one is asked for again.
const LOOK_AGAIN_SECONDS: u64 = 600;
/// After a fault of the disk.
const TRY_AGAIN_SECONDS: u64 = 60;

/// One that can be served.
pub struct Variant {
    key: Key,
    pub form: Form,
    pub size: u64,
    place: HeldIn,
    looked_at: AtomicU64,
}

enum HeldIn {
    Memory(Bytes),
    File { id: u64, path: PathBuf },
}

impl Variant {
    /// Best, and in the folder as well where that is used.
    fn in_memory(key: &Key, effort: Effort, body: Bytes) -> Arc<Self> {
        Self::new(key, effort, body.len() as u64, HeldIn::Memory(body))
    }

    fn new(key: &Key, effort: Effort, size: u64, place: HeldIn) -> Arc<Self> {
        let form = key.change.form(effort);
        Arc::new(Variant { key: key.clone(), form, size, place, looked_at: AtomicU64::new(now()) })
    }

    fn is_best(&self) -> bool {
        self.form == self.key.change.form(Effort::Best)
    }

    /// The version as it is in this form: like an object of its own.
    pub fn describe(&self, of: &ObjectInfo) -> SharedObject {
        let mut info = of.clone();
        info.size = self.size;
        info.etag = of.etag.in_form(self.form);
        info.headers.content_encoding = match self.form.coding {
            Coding::Identity => None,
            coding => Some(coding.name().to_owned()),
        };
        // They are of other bytes.
        (info.sha256, info.checksum) = (None, None);
        info.parts.clear();
        Arc::new(info)
    }
}

/// What became of a look-up.
pub enum Lookup {
    Ready(Arc<Variant>),
    /// There may be one later.
    NotYet,
    /// There will be none: it is not worth it, or can't be made.
    Never,
}

#[derive(Clone)]
enum State {
    Ready(Arc<Variant>),
    Never,
    /// A file is there, which nobody has read through yet.
    Unproven,
    Absent {
        /// When to ask for it (again), in seconds.
        again: u64,
    },
}

#[derive(Clone, Copy)]
struct Weigh;

impl Weighter<Key, State> for Weigh {
    fn weight(&self, _: &Key, state: &State) -> u64 {
        match state {
            State::Ready(variant) => match &variant.place {
                HeldIn::Memory(body) => 512 + body.len() as u64,
                HeldIn::File { path, .. } => 512 + path.as_os_str().len() as u64,
            },
            _ => 256,
        }
    }
}

/// The last handle stops the background work.
#[derive(Clone)]
pub struct Variants(Arc<Handle>);

struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.queue.stop();
    }
}

struct Shared {
    settings: Settings,
    folder: Folder,
    files: Arc<Files>,
    memory: Cache<Key, State, Weigh>,
    queue: Queue,
    waiting: Semaphore,
    /// One for each core: who compresses keeps a core busy.
    cores: Arc<Semaphore>,
}

/// Nothing is known of the variant, and nothing is remembered.
struct Missed;

impl Variants {
    /// Starts the background workers, which first look at what is there.
    pub fn start(settings: Settings) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let items = (settings.memory_bytes / 1024).clamp(1024, 1_000_000) as usize;
        let options = OptionsBuilder::new().shards(8).estimated_items_capacity(items).weight_capacity(settings.memory_bytes).build();
        let memory = match options {
            Ok(options) => Cache::with_options(options, Weigh, DefaultHashBuilder::default(), Default::default()),
            Err(_) => Cache::with_weighter(items, settings.memory_bytes, Weigh),
        };
        let shared = Arc::new(Shared {
            folder: Folder::new(settings.dir.clone(), settings.disk_bytes, settings.reserve_bytes),
            files: Arc::new(Files::new(&settings.files)),
            memory,
            queue: Queue::default(),
            waiting: Semaphore::new(WAITING),
            cores: Arc::new(Semaphore::new(cores)),
            settings,
        });
        worker::start(&shared).map_err(Error::internal)?;
        Ok(Variants(Arc::new(Handle(shared))))
    }

    /// The version in the form that `change` makes, if that is at hand or quickly made; if not, it is asked for.
    pub async fn get(&self, of: &SharedObject, change: Change, original: impl FnOnce() -> Arc<dyn Original>) -> Lookup {
        let shared = &self.0.0;
        if of.size == 0 || of.size > shared.settings.largest_bytes {
            return Lookup::Never;
        }
        let key = Key::of(of, change);
        let state = match shared.memory.get(&key) {
            Some(state) => {
                if state.is_due() {
                    shared.look_after(&key, &state, of, original());
                }
                state
            }
            None => {
                let original = original();
                let looked_up = shared.memory.get_or_insert_async(&key, shared.look_up(&key, of, original.clone())).await;
                let state = looked_up.unwrap_or(State::Absent { again: u64::MAX });
                if state.is_due() {
                    shared.look_after(&key, &state, of, original);
                }
                state
            }
        };
        match state {
            State::Ready(variant) => Lookup::Ready(variant),
            State::Never => Lookup::Never,
            State::Unproven | State::Absent { .. } => Lookup::NotYet,
        }
    }

    /// Bytes of a variant. None: it is gone; look again.
    pub async fn open(&self, variant: &Variant, range: ByteRange, by: ReadBy) -> Result<Option<Body>> {
        let shared = &self.0.0;
        if range.end > variant.size {
            return Err(Error::internal("a range beyond the variant"));
        }
        let (id, path) = match &variant.place {
            HeldIn::Memory(body) => return Ok(Some(Body::Memory(body.slice(range.start as usize..range.end as usize)))),
            HeldIn::File { id, path } => (*id, path.clone()),
        };
        let file_len = folder::HEADER + variant.size;
        let opened = match shared.files.get(id) {
            Some(open) => Some(open),
            None => {
                let (files, path) = (shared.files.clone(), path.clone());
                spawn_blocking(move || files.open(id, &path, file_len)).await.map_err(Error::internal)?.unwrap_or_default()
            }
        };
        let Some(first) = opened else {
            // Deleted, or not what was written: as if it had never been.
            shared.memory.remove(&variant.key);
            return Ok(None);
        };
        let span = Span { id, path, file_len, range: folder::HEADER + range.start..folder::HEADER + range.end };
        Ok(Some(Body::Stream(Box::pin(FileBody::new(shared.files.clone(), vec![span], Some(first), by == ReadBy::Kernel)))))
    }
}

impl State {
    /// True once each time that something should be done about it.
    fn is_due(&self) -> bool {
        match self {
            State::Never => false,
            State::Unproven => true,
            State::Absent { again } => now() >= *again,
            State::Ready(variant) => {
                let (now, before) = (now(), variant.looked_at.load(Ordering::Relaxed));
                now.saturating_sub(before) >= LOOK_AGAIN_SECONDS
                    && variant.looked_at.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            }
        }
    }
}

impl Shared {
    /// Does not wait.
    fn look_after(self: &Arc<Self>, key: &Key, state: &State, of: &SharedObject, original: Arc<dyn Original>) {
        let job = || Job { key: key.clone(), of: of.clone(), original };
        match state {
            State::Never => {}
            State::Unproven => worker::prove(self.clone(), key.clone()),
            State::Absent { .. } => self.ask(job()),
            State::Ready(variant) if !variant.is_best() => self.ask(job()),
            State::Ready(variant) => {
                let (shared, key, id) = (self.clone(), key.clone(), variant.file_id());
                spawn_blocking(move || {
                    if !shared.folder.touch(&shared.folder.path(&key))
                        && let Some(id) = id
                    {
                        shared.memory.remove(&key);
                        shared.files.forget(id);
                    }
                });
            }
        }
    }

    fn ask(&self, job: Job) {
        if !self.folder.is_off() && !self.queue.push(job) {
            self.settings.metrics.variants_dropped.inc();
        }
    }

    /// Nothing is in memory: the folder is asked, and what is small is made on the spot.
    async fn look_up(self: &Arc<Self>, key: &Key, of: &SharedObject, original: Arc<dyn Original>) -> Result<State, Missed> {
        let _place = self.waiting.try_acquire().map_err(|_| Missed)?;
        let (shared, wanted) = (self.clone(), key.clone());
        let found = spawn_blocking(move || shared.folder.find(&wanted, shared.settings.small_bytes, false)).await;
        match found.map_err(|_| Missed)? {
            Kept::Never => Ok(State::Never),
            Kept::Small(body) => Ok(State::Ready(Variant::in_memory(key, Effort::Best, body))),
            Kept::Unproven | Kept::File { .. } => Ok(State::Unproven),
            Kept::Nothing if of.size <= self.settings.small_bytes => self.make_at_once(key, of, original).await,
            Kept::Nothing if self.folder.is_off() => Ok(State::Never),
            Kept::Nothing => Ok(State::Absent { again: 0 }),
        }
    }

    async fn make_at_once(self: &Arc<Self>, key: &Key, of: &SharedObject, original: Arc<dyn Original>) -> Result<State, Missed> {
        let body = gather(&*original, of.size).await.ok().flatten().ok_or(Missed)?;
        let core = self.cores.clone().acquire_owned().await.map_err(|_| Missed)?;
        let quick = self.settings.small_bytes.saturating_mul(UNPACKED);
        let plan = Plan { largest: quick.min(self.settings.largest_bytes), ..self.plan(key, of, Effort::Quick) };
        let made = spawn_blocking(move || {
            let _core = core;
            make::whole(plan, &body)
        })
        .await;
        match made {
            Ok(Ok(Made::Done(body))) => {
                let variant = Variant::in_memory(key, Effort::Quick, body.into());
                self.settings.metrics.variants_made.of(variant.form.coding).inc();
                if !variant.is_best() {
                    self.ask(Job { key: key.clone(), of: of.clone(), original });
                }
                Ok(State::Ready(variant))
            }
            // Too much for a reader to wait for, but not too much.
            Ok(Ok(Made::TooLarge)) if matches!(key.change, Change::Decode(_)) && !self.folder.is_off() => Ok(State::Absent { again: 0 }),
            Ok(Ok(Made::TooLarge | Made::Corrupt)) => Ok(self.never()),
            Ok(Err(_)) => Err(Missed),
            Err(panicked) => {
                tracing::error!(error = %panicked, "a codec failed on an object, which is served as it is");
                Ok(self.never())
            }
        }
    }

    fn plan(&self, key: &Key, of: &ObjectInfo, effort: Effort) -> Plan {
        let sha256 = of.sha256.as_ref().map(|hash| *hash.digest());
        Plan { change: key.change, effort, size: of.size, sha256, largest: self.settings.largest_bytes }
    }

    fn never(&self) -> State {
        self.settings.metrics.variants_unfit.inc();
        State::Never
    }
}

impl Variant {
    fn file_id(&self) -> Option<u64> {
        match &self.place {
            HeldIn::File { id, .. } => Some(*id),
            HeldIn::Memory(_) => None,
        }
    }
}

/// All of a small body. None: its version is gone.
async fn gather(original: &dyn Original, size: u64) -> Result<Option<Bytes>> {
    let mut source = match original.open().await? {
        None => return Ok(None),
        Some(Body::Memory(bytes)) => return Ok(Some(bytes)),
        Some(Body::Stream(source)) => source,
    };
    let mut all = BytesMut::with_capacity(usize::try_from(size).unwrap_or_default());
    while let Some(piece) = poll_fn(|cx| source.as_mut().poll_next(cx)).await {
        all.extend_from_slice(&piece?);
    }
    Ok(Some(all.freeze()))
}

fn now() -> u64 {
    Timestamp::now().secs()
}
