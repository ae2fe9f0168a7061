//! Durable jobs: enqueue once, claim, retry, report. Knows no origin and no HTTP, and nothing of what a job does.
//!
//! Called by `ops` (enqueue, look, cancel), by `jobs` (kinds of work), and by `app`, which opens it and runs a `Runner`.
//! The truth is a journal of its own (`data/queue/journal`), written and synced once for all commands that wait; the index
//! beside it (`data/queue/index`) follows and can be deleted. Ready jobs stand in the index in the order in which they are
//! claimed, so memory does not grow with their number.
//!
//! What is told to somebody else, in order, waits in boxes of letters (`letters`).
//!
//! Work that comes again by itself is a job that waits for its next time (`recurring`), and over a shared bucket one node does it (`lease`).
//!
//! Invariants: a job that was accepted is not lost. A job that has ended is not run again by itself. An attempt that was cut
//! off by a crash is begun anew: kinds of work must bear that their last step was done already (`JobId` is the same then).

pub mod changes;
pub mod compact;
pub mod job;
pub mod kind;
pub mod lanes;
pub mod lease;
pub mod letter;
pub mod letters;
pub mod machine;
pub mod recurring;
pub mod replay;
pub mod rows;
pub mod runner;
pub mod shared;
pub mod txn;
pub mod view;
pub mod writer;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use changes::{ChangeId, Following};
pub use job::{Job, JobId, NewJob, Outcome, Payload, Phase, State};
pub use kind::{Attempt, Fault, Kind};
pub use lease::Leases;
pub use letter::Letter;
pub use machine::Enqueued;
pub use recurring::Recurring;
pub use runner::Runner;
pub use shared::{Progress, Settings};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::files::sys;
use crate::follow::{end_of, input_of};
use crate::index::Walk;
use crate::journal::Journal;
use crate::private;
use crate::queue::lanes::{Lanes, Room};
use crate::queue::machine::Machine;
use crate::queue::rows::{Table, key};
use crate::queue::shared::Shared;
use crate::queue::txn::Txn;
use crate::queue::writer::{Inlet, Writer};

/// An open queue. Cheap to clone. Dropped without `close`, it is as after a crash, and nothing accepted is lost.
#[derive(Clone)]
pub struct Queue {
    pub(crate) shared: Arc<Shared>,
    inlet: Inlet,
    rest: Arc<Rest>,
}

/// What ends with the last handle.
struct Rest {
    inlet: Inlet,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Released last.
    lock: Mutex<Option<File>>,
}

impl Queue {
    /// Blocks: recovers the journal, brings the index up to it, and puts attempts of an earlier process back in line.
    pub fn open(settings: Settings) -> Result<Queue> {
        private::make_dir(&settings.dir).map_err(Error::storage)?;
        let lock = lock_folder(&settings.dir)?;
        let (mut journal, recovered) = Journal::open(settings.journal())?;
        if recovered.cut > 0 {
            tracing::warn!(bytes = recovered.cut, "the queue's journal ended in a command that was never answered; it is left out");
        }
        let index = replay::open(&settings.index(), &input_of(&journal), &recovered, &end_of(&journal))?;
        let shared = Shared::new(settings, index);
        let lanes = match recover(&shared, &mut journal) {
            Err(e) if shared.index.load().as_ref().is_some_and(|index| index.is_broken()) => {
                tracing::error!(error = %e, "the queue's index can't be read; it is rebuilt from its journal");
                shared.index.store(None);
                let index = replay::rebuild(&shared.settings.index(), &input_of(&journal), &end_of(&journal))?;
                shared.index.store(Some(Arc::new(index)));
                recover(&shared, &mut journal)?
            }
            lanes => lanes?,
        };
        let shared = Arc::new(shared);
        let (inlet, commands) = Inlet::new();
        let writer = Writer { shared: shared.clone(), journal, lanes, commands };
        let writer = std::thread::Builder::new().name("queue-writer".into()).spawn(move || writer.run()).map_err(Error::internal)?;
        let rest = Rest { inlet: inlet.clone(), writer: Mutex::new(Some(writer)), lock: Mutex::new(Some(lock)) };
        Ok(Queue { shared, inlet, rest: Arc::new(rest) })
    }

    /// Refused where the tenant has too many that wait, and where the disk has no more room than what ends jobs needs.
    pub async fn enqueue(&self, new: NewJob) -> Result<Enqueued> {
        // Where the disk can't even be asked, the write itself will tell.
        if free_bytes(&self.shared.settings.dir).is_ok_and(|free| free < self.shared.settings.reserve_bytes) {
            return Err(Error::new(ErrorKind::StorageFull, "The storage is full. Jobs that wait are still worked on."));
        }
        let most = self.shared.settings.most_waiting;
        self.inlet.submit(move |machine| machine.enqueue(new, most)).await
    }

    /// Ok: the tenant has room for another job. For whoever gathers: to be asked before the work that the job belongs to.
    pub fn require_room(&self, tenant: &TenantId) -> Result<()> {
        let load = Txn::new(&*self.shared.index()?).load_of(tenant)?;
        if load < self.shared.settings.most_waiting { Ok(()) } else { Err(machine::too_many_jobs()) }
    }

    /// Adds the items to the job of that tenant and kind that gathers under `name`, if it waits and was never begun;
    /// otherwise `new` becomes that job. What was there already costs no write. Never refused for want of room: what it
    /// belongs to is done already.
    pub async fn gather(&self, name: String, new: NewJob) -> Result<Enqueued> {
        self.inlet.submit(move |machine| machine.gather(&name, new)).await
    }

    pub async fn cancel(&self, id: JobId) -> Result<Job> {
        let job = self.inlet.submit(move |machine| machine.cancel(&id)).await?;
        if let Some(live) = self.shared.live(&id) {
            live.revoked.notify_one();
        }
        Ok(job)
    }

    pub async fn retry(&self, id: JobId) -> Result<Job> {
        self.inlet.submit(move |machine| machine.retry(&id)).await
    }

    /// What this node is called among those over one bucket: made at the first start, kept beside the journal, and in no backup.
    /// As long as the folder is locked no other process has it.
    pub fn node(&self) -> Result<String> {
        let file = self.shared.settings.dir.join("node");
        match std::fs::read_to_string(&file) {
            Ok(name) if name.len() == 32 => return Ok(name),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::storage(e)),
        }
        let mut name = [0; 16];
        getrandom::fill(&mut name).map_err(|e| Error::internal(e.to_string()))?;
        let name = hex::encode(name);
        private::write(&file, name.as_bytes()).map_err(Error::storage)?;
        Ok(name)
    }

    /// Begins up to `max` attempts; also when the next job's time comes, if none could be begun.
    pub(crate) async fn claim(
        &self,
        max: usize,
        of_tenant: impl Fn(&str) -> u32 + Send + 'static,
        of_kind: impl Fn(&str) -> u32 + Send + 'static,
        of_both: impl Fn(&str) -> u32 + Send + 'static,
    ) -> Result<(Vec<Job>, Option<crate::base::timestamp::Timestamp>)> {
        let claim = move |machine: &mut Machine<'_, '_>| {
            let claimed = machine.claim(max, &Room { of_tenant: &of_tenant, of_kind: &of_kind, of_both: &of_both })?;
            Ok((claimed, machine.next_due()?))
        };
        self.inlet.submit(claim).await
    }

    #[cfg(test)]
    pub(crate) async fn finish(&self, id: JobId, attempt: u32, outcome: Outcome) -> Result<Job> {
        self.finish_and(id, attempt, outcome, |_| Vec::new()).await
    }

    /// The end of an attempt; what `follows` from the job's end is recorded together with it.
    pub(crate) async fn finish_and(
        &self,
        id: JobId,
        attempt: u32,
        outcome: Outcome,
        follows: impl FnOnce(&Job) -> Vec<Following> + Send + 'static,
    ) -> Result<Job> {
        let finish = move |machine: &mut Machine<'_, '_>| {
            let job = machine.finish(&id, attempt, outcome)?;
            if job.state.phase().has_ended()
                && let Err(e) = machine.gather_all(follows(&job))
            {
                tracing::error!(job = %id, error = %e, "what follows from a job's end can't be recorded");
            }
            Ok(job)
        };
        self.inlet.submit(finish).await
    }

    /// Finishes what was taken up, refuses the rest, and returns when the folder is at rest. Blocks; not for a runtime's thread.
    pub fn close(&self) {
        self.rest.close();
        if let Some(index) = self.shared.index.swap(None)
            && let Err(e) = index.flush()
        {
            // Derived: the next start replays what is missing.
            tracing::warn!(error = %e, "the queue's index could not be flushed");
        }
        self.rest.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Rest {
    fn close(&self) {
        let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let inlet = self.inlet.clone();
        // Waiting for the writer is refused on a runtime's own threads, and whoever closes may be on one.
        let stopped = std::thread::Builder::new().name("queue-close".into()).spawn(move || {
            inlet.stop();
            writer.join()
        });
        match stopped.map(JoinHandle::join) {
            Ok(Ok(Ok(()))) => {}
            Ok(_) => tracing::error!("the queue's writer had panicked"),
            Err(e) => tracing::error!(error = %e, "the queue's writer could not be told to stop"),
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.close();
    }
}

fn free_bytes(dir: &Path) -> std::io::Result<u64> {
    sys::free_bytes(File::open(dir)?.as_raw_fd())
}

fn lock_folder(dir: &Path) -> Result<File> {
    let file = private::options().create(true).truncate(false).open(dir.join("lock")).map_err(Error::storage)?;
    file.try_lock()
        .map_err(|_| Error::new(ErrorKind::LocalUnavailable, "the queue's folder is in use by another tidegate process: stop it first"))?;
    Ok(file)
}

/// Attempts of an earlier process, in one batch before anything else.
fn recover(shared: &Shared, journal: &mut Journal) -> Result<Lanes> {
    let index = shared.index()?;
    let mut cut = Vec::new();
    index.scan(Table::Phases, b"", &mut |k, _| {
        let Some((tenant, phase, id)) = key::split_phase(k) else { return Ok(Walk::Next) };
        if phase == Phase::Running {
            cut.push(id);
            return Ok(Walk::Next);
        }
        Ok(Walk::Seek([tenant.as_bytes(), b"\x01"].concat()))
    })?;
    // A start reads these next: here it is still found in time that they can't be read.
    index.scan(Table::Changes, b"", &mut |_, _| Ok(Walk::Next))?;
    let mut lanes = Lanes::load(&index)?;
    if cut.is_empty() {
        return Ok(lanes);
    }
    let mut txn = Txn::new(&index);
    for id in &cut {
        Machine { txn: &mut txn, lanes: &mut lanes, now: shared.now() }.recover(id)?;
    }
    journal.append(&[], &mut |_| txn.encode_ops())?;
    index.apply(&txn.into_changes().0, &end_of(journal))?;
    tracing::info!(count = cut.len(), "jobs that ran when the process ended are begun again");
    Ok(lanes)
}
