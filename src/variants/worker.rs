//! The background: a few threads of low priority that make the variants in the `queue`, one at a time.
//!
//! Nothing here is durable: a job that is lost is asked for again by the next reader. A job that panics ends alone.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::base::error::{Error, Result};
use crate::files::sys;
use crate::origin::Body;
use crate::variants::codec::Effort;
use crate::variants::folder::{Kept, Making};
use crate::variants::make::{Made, Maker};
use crate::variants::queue::Job;
use crate::variants::{HeldIn, Key, Shared, State, TRY_AGAIN_SECONDS, Variant, now};

pub(super) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    if shared.folder.is_off() {
        return Ok(());
    }
    for n in 0..shared.settings.workers.max(1) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
        let shared = shared.clone();
        std::thread::Builder::new().name("variants".into()).spawn(move || {
            sys::lower_priority();
            if n == 0 {
                shared.folder.start();
                shared.note_use();
            }
            run(&shared, &runtime);
            runtime.shutdown_background();
        })?;
    }
    Ok(())
}

fn run(shared: &Shared, runtime: &tokio::runtime::Runtime) {
    while let Some(job) = shared.queue.next() {
        let state = match catch_unwind(AssertUnwindSafe(|| runtime.block_on(shared.work(&job)))) {
            Ok(Ok(state)) => state,
            Ok(Err(e)) => {
                if !shared.queue.is_stopped() {
                    tracing::warn!(error = %e, "a variant could not be made; it will be tried again");
                }
                Some(State::Absent { again: now() + TRY_AGAIN_SECONDS })
            }
            Err(_) => {
                tracing::error!(object = %job.of.etag, "a codec panicked on an object, which is served as it is");
                Some(shared.never())
            }
        };
        shared.settle(&job.key, state);
        shared.queue.end(&job.key);
        let gone = shared.folder.sweep();
        shared.settings.metrics.variants_evicted.inc_by(gone);
        shared.note_use();
    }
}

/// A file that an earlier run left is read through once; it takes the place of a look-up. Does not wait.
pub(super) fn prove(shared: Arc<Shared>, key: Key) {
    if !shared.queue.begin(&key) {
        return;
    }
    spawn_blocking(move || {
        let state = shared.in_folder(&key).unwrap_or(State::Absent { again: 0 });
        shared.settle(&key, Some(state));
        shared.queue.end(&key);
    });
}

impl Shared {
    fn note_use(&self) {
        self.settings.metrics.variants_bytes.set(i64::try_from(self.folder.used()).unwrap_or(i64::MAX));
    }

    /// None: forget it.
    fn settle(&self, key: &Key, state: Option<State>) {
        let has_one = || matches!(self.memory.get(key), Some(State::Ready(_)));
        match state {
            // A quick one is better than none.
            Some(State::Absent { .. }) if has_one() => {}
            Some(state) => self.memory.insert(key.clone(), state),
            None => {
                self.memory.remove(key);
            }
        }
    }

    /// Blocks.
    fn in_folder(&self, key: &Key) -> Option<State> {
        match self.folder.find(key, self.settings.small_bytes, true) {
            Kept::Nothing | Kept::Unproven => None,
            Kept::Never => Some(State::Never),
            Kept::Small(body) => Some(State::Ready(Variant::in_memory(key, Effort::Best, body))),
            Kept::File { path, size } => {
                Some(State::Ready(Variant::new(key, Effort::Best, size, HeldIn::File { id: self.folder.number(), path })))
            }
        }
    }

    async fn work(&self, job: &Job) -> Result<Option<State>> {
        if let Some(state) = self.in_folder(&job.key) {
            return Ok(Some(state));
        }
        let making = self.folder.begin(job.of.size).map_err(Error::storage)?;
        let Some(body) = job.original.open().await? else { return Ok(None) };
        match self.make(job, making, body).await? {
            Made::Done(making) => {
                let (path, size) = self.folder.keep(making, &job.key).map_err(Error::storage)?;
                let variant = match size <= self.settings.small_bytes {
                    // As it will be found: memory serves it best.
                    true => match self.in_folder(&job.key) {
                        Some(state) => state,
                        None => return Ok(None),
                    },
                    false => State::Ready(Variant::new(&job.key, Effort::Best, size, HeldIn::File { id: self.folder.number(), path })),
                };
                self.settings.metrics.variants_made.of(job.key.change.form(Effort::Best).coding).inc();
                Ok(Some(variant))
            }
            Made::TooLarge | Made::Corrupt => {
                self.folder.keep_never(&job.key).map_err(Error::storage)?;
                Ok(Some(self.never()))
            }
        }
    }

    async fn make(&self, job: &Job, to: Making, body: Body) -> Result<Made<Making>> {
        let mut maker = Maker::new(self.plan(&job.key, &job.of, Effort::Best), to);
        match body {
            Body::Memory(bytes) => {
                for piece in bytes.chunks(1024 * 1024) {
                    if self.queue.is_stopped() {
                        return Err(Error::internal("stopped"));
                    }
                    if !maker.take(piece).map_err(Error::storage)? {
                        break;
                    }
                }
            }
            Body::Stream(mut source) => {
                while let Some(piece) = poll_fn(|cx| source.as_mut().poll_next(cx)).await {
                    if self.queue.is_stopped() {
                        return Err(Error::internal("stopped"));
                    }
                    if !maker.take(&piece?).map_err(Error::storage)? {
                        break;
                    }
                }
            }
        }
        maker.finish().map_err(Error::storage)
    }
}
