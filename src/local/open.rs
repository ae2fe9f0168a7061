//! Starting and stopping the store.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::base::crypt::Ring;
use crate::base::error::{Error, Result};
use crate::base::timestamp::Timestamp;
use crate::files::Files;
use crate::follow;
use crate::index::Index;
use crate::ingest::{Room, Staging};
use crate::journal::Journal;
use crate::local::clock::{Clock, LAST_TIME};
use crate::local::hot::Hot;
use crate::local::ids::Ids;
use crate::local::inline::Segments;
use crate::local::layout::{Layout, Lock};
use crate::local::needed_keys::NeededKeys;
use crate::local::own_key;
use crate::local::placing::Orphans;
use crate::local::replay;
use crate::local::rows::Table;
use crate::local::settings::Settings;
use crate::local::shared::{Buckets, Health, Shared};
use crate::local::stored;
use crate::local::txn::Txn;
use crate::local::usage::{self, Stale};
use crate::local::writer::{Queue, Writer};

/// An open store. Dropped without `close`, it is as after a crash, and nothing acknowledged is lost.
pub struct Local {
    pub(crate) shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Released last.
    lock: Mutex<Option<Lock>>,
}

/// The row that counts starts: the numbers given out between two starts never meet.
pub const STARTS: &[u8] = b"starts";

const SEALED_ANEW: &str = "secrets of made keys and path tokens are sealed under the operator's secret now; as they were before they are \
                           still in older segments of the journal, until those are compacted, and in older backups";

impl Local {
    /// Blocks: recovers the journal and brings the index up to it.
    pub fn open(settings: Settings) -> Result<Arc<Local>> {
        on_a_thread(move || Self::open_here(settings))?
    }

    fn open_here(settings: Settings) -> Result<Arc<Local>> {
        let layout = Layout::new(settings.dir.clone());
        let lock = layout.open()?;
        let orphans = Orphans::open(&layout)?;
        let (journal, recovered) = Journal::open(settings.journal())?;
        if recovered.cut > 0 {
            tracing::warn!(bytes = recovered.cut, "the journal ended in a write that was never acknowledged; it is left out");
        }
        // Only the first write needs the numbers of this start, and that write is their count.
        let ids = Ids::new(0);
        let (input, end) = (follow::input_of(&journal), follow::end_of(&journal));
        let index = replay::open(&settings.index(), &ids, &input, &recovered, &end)?;
        let (index, known) = match Known::read(&index, &settings) {
            Err(e) if index.is_broken() => {
                tracing::error!(error = %e, "the index can't be read; it is rebuilt from the journal");
                drop(index);
                let index = replay::rebuild(&settings.index(), &ids, &input, &end)?;
                let known = Known::read(&index, &settings)?;
                (index, known)
            }
            known => (index, known?),
        };
        let Known { starts, last_time, stale, meters, buckets, ring } = known;
        let needed_keys = NeededKeys::open(&layout, &index)?;
        let (queue, messages) = Queue::new();
        let health = Arc::new(Health::new());
        let room = {
            let (health, layout, reserve) = (health.clone(), layout.clone(), settings.reserve_bytes);
            Room(Arc::new(move || health.require_room(&layout, reserve)))
        };
        let shared = Arc::new(Shared {
            index: ArcSwapOption::from_pointee(index),
            buckets,
            hot: Hot::new(&settings.hot),
            files: Arc::new(Files::new(&settings.files)),
            segments: Segments::new(layout.journal()),
            ids: Ids::new(starts + 1),
            clock: Clock::new(settings.clock.clone(), last_time),
            ring: ArcSwap::from_pointee(ring),
            queue,
            references: Default::default(),
            health,
            folders: Default::default(),
            orphans,
            staging: Staging::new(layout.staging(), settings.inline_limit).guarded_by(room),
            signal: Default::default(),
            hold: Default::default(),
            journal_read: Default::default(),
            rebuilds: Default::default(),
            rewrap: Default::default(),
            layout,
            settings,
        });
        let writer = Writer::new(shared.clone(), journal, messages, needed_keys);
        let writer = std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run()).map_err(Error::internal)?;
        let local = Local { shared, threads: Mutex::new(vec![writer]), lock: Mutex::new(Some(lock)) };
        let first_write = move |txn: &mut Txn<'_>| {
            txn.set_row(Table::Meta, STARTS.to_vec(), &(starts + 1)).and_then(|()| meters.set_right(txn))?;
            stale.iter().try_for_each(|(row_key, sealed)| txn.set_row(Table::Settings, row_key.clone(), sealed))
        };
        if let Err(e) = local.shared.queue.submit_blocking(first_write.clone()) {
            // The index broke under it: what is written is the same the second time.
            local.shared.index_after_rebuild().map_err(|_| e)?;
            local.shared.queue.submit_blocking(first_write)?;
        }
        let shared = local.shared.clone();
        let upkeep = std::thread::Builder::new().name("store-upkeep".into()).spawn(move || crate::local::upkeep::run(shared));
        local.threads.lock().unwrap_or_else(PoisonError::into_inner).push(upkeep.map_err(Error::internal)?);
        Ok(Arc::new(local))
    }

    /// Finishes what was taken up, refuses the rest, and returns when the folder is at rest. Blocks.
    pub fn close(&self) {
        self.shared.signal.stop();
        let queue = self.shared.queue.clone();
        if on_a_thread(move || queue.stop()).is_err() {
            tracing::error!("the store's writer could not be told to stop");
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the store had panicked");
            }
        }
        self.shared.close_all_folders();
        if let Some(index) = self.shared.index.swap(None)
            && let Err(e) = index.flush()
        {
            // Derived: the next start replays what is missing.
            tracing::warn!(error = %e, "the index could not be flushed");
        }
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// What is read of the index before anything is written.
struct Known {
    starts: u64,
    /// When the last batch was written.
    last_time: Timestamp,
    /// Settings that are sealed under the operator's secret of before, with what takes their place; and the store's own key, where that
    /// is new.
    stale: Vec<(Vec<u8>, Vec<u8>)>,
    meters: Stale,
    buckets: Buckets,
    ring: Ring,
}

impl Known {
    fn read(index: &Index, settings: &Settings) -> Result<Known> {
        let number = |key: &[u8]| index.get(Table::Meta, key)?.map(|row| stored::decode::<u64>(&row)).transpose();
        let (starts, last_time) = (number(STARTS)?.unwrap_or_default(), number(LAST_TIME)?.unwrap_or_default());
        let buckets = Buckets::default();
        buckets.load(index)?;
        let last_time = Timestamp::from_millis(last_time);
        let (mut stale, mut own) = (settings.sealing.stale(index)?, own_key::read(index, &settings.sealing)?);
        if !stale.is_empty() {
            tracing::warn!(count = stale.len(), "{SEALED_ANEW}");
        }
        // The first start.
        if own.newest_number().is_none() {
            let (number, secret, row) = own_key::another(&own, &settings.sealing)?;
            own.add(number, *secret);
            stale.push((own_key::row_key(number), row));
        }
        let ring = Ring { own, named: settings.encryption_keys.clone() };
        own_key::require_all(index, &ring, settings.allow_missing_keys)?;
        let meters = usage::stale_meters(index, last_time)?;
        Ok(Known { starts, last_time, stale, meters, buckets, ring })
    }
}

/// Waiting for the writer is refused on a runtime's own threads, and whoever opens a store may well be on one.
pub fn on_a_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let thread = std::thread::Builder::new().name("store-open".into()).spawn(f).map_err(Error::internal)?;
    thread.join().map_err(|_| Error::internal("the store panicked while it was opened or closed"))
}

impl Drop for Local {
    /// The upkeep holds the store's parts, which hold the folder's writer: both end with the store.
    fn drop(&mut self) {
        self.shared.signal.stop();
        let queue = self.shared.queue.clone();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        if threads.is_empty() {
            return;
        }
        let _ = on_a_thread(move || queue.stop());
        // The lock goes with this value: nothing may still be writing then.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}
