//! Starting and stopping: the folder of bodies on their way, the client, what the upstream can do, the seal of its state.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_sdk_s3::Client;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::seal::{Purpose, Sealer};
use crate::base::timestamp::Timestamp;
use crate::files::sys;
use crate::ingest::{Room, Staging};
use crate::private;
use crate::upstream::buckets::Buckets;
use crate::upstream::client;
use crate::upstream::contents::Contents;
use crate::upstream::counting::Counter;
use crate::upstream::keeping::Keepings;
use crate::upstream::place::Map;
use crate::upstream::prefetch::Prefetches;
use crate::upstream::probe::Abilities;
use crate::upstream::records::{Over, Records};
use crate::upstream::settings::Settings;
use crate::upstream::stored::Recorded;

/// The record that proves, at a start, that this node has the operator's key which the state was sealed with.
const SEAL: &str = "seal";
/// Uploads whose records are kept in memory; of others they are read again for each part.
const UPLOADS: usize = 1000;
/// Of a request where nothing is written, and somebody else knows what to do while it is away.
const ATTEMPTS_TO_READ: u32 = 3;

/// The upstream as the system of record.
#[derive(Clone)]
pub struct Upstream(pub(crate) Arc<Inner>);

pub struct Inner {
    pub client: Client,
    /// The same with less patience.
    pub reader: Client,
    pub settings: Settings,
    pub map: Map,
    pub sealer: Sealer,
    pub staging: Staging,
    pub buckets: Buckets,
    pub uploads: Cache<String, Arc<Recorded>>,
    /// Records of a folder as they were read last.
    pub seen: Mutex<HashMap<String, Arc<Records>>>,
    pub parts_at_once: Arc<Semaphore>,
    pub contents: Contents,
    pub prefetches: Prefetches,
    pub keepings: Keepings,
    /// None: nobody counts what is stored.
    pub counter: OnceLock<Arc<dyn Counter>>,
    /// When the gateway first stood over this bucket: since then its configured buckets are there.
    pub since: Timestamp,
    abilities: Abilities,
    /// Keeps a second process out of the folder.
    lock: Mutex<Option<File>>,
}

impl Upstream {
    /// `secret`: the operator's; every node over the bucket has the same.
    pub async fn start(settings: Settings, secret: &[u8]) -> Result<Self> {
        let lock = open_folder(&settings.dir)?;
        let staging = Staging::new(settings.dir.join("staging"), settings.memory_limit);
        let staging = staging.guarded_by(room(&settings)?);
        let client = client::client(&settings.access).await;
        let mut inner = Inner::new(settings, secret, client, staging, Some(lock))?;
        inner.abilities = inner.probe().await?;
        inner.since = inner.prove_seal().await?;
        let Settings { bucket, base_prefix, buckets, .. } = &inner.settings;
        tracing::info!(bucket, base_prefix, ?buckets, abilities = %inner.abilities, "the store is a bucket upstream");
        Ok(Upstream(Arc::new(inner)))
    }

    /// The folder is at rest when no request runs any more.
    pub fn close(&self) {
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Inner {
    fn new(settings: Settings, secret: &[u8], client: Client, staging: Staging, lock: Option<File>) -> Result<Self> {
        Ok(Inner {
            reader: client::for_reads(&client),
            client,
            map: Map::new(&settings),
            sealer: Sealer::new(secret, Purpose::Upstream)?,
            staging,
            buckets: Buckets::default(),
            uploads: Cache::new(UPLOADS),
            seen: Mutex::default(),
            parts_at_once: Arc::new(Semaphore::new(settings.concurrency.max(1))),
            contents: Contents::default(),
            prefetches: Prefetches::default(),
            keepings: Keepings::default(),
            counter: OnceLock::new(),
            since: Timestamp::from_millis(0),
            abilities: Abilities::default(),
            lock: Mutex::new(lock),
            settings,
        })
    }

    /// Only to read: nothing is tried out, nothing is recorded, and there is no folder for bodies.
    pub async fn to_read(settings: Settings, secret: &[u8]) -> Result<Self> {
        let client = client::client(&settings.access).await;
        let staging = Staging::new(settings.dir.clone(), settings.memory_limit);
        // As S3 does it.
        let abilities = Abilities { encoded_names: true, conditional_reads: true, tags: true, ..Abilities::default() };
        let inner = Inner::new(settings, secret, client, staging, None)?;
        Ok(Inner { abilities, reader: client::with_attempts(&inner.reader, ATTEMPTS_TO_READ), ..inner })
    }

    pub fn abilities(&self) -> &Abilities {
        &self.abilities
    }

    async fn prove_seal(&self) -> Result<Timestamp> {
        let now = Timestamp::now();
        let record = match self.record(SEAL).await? {
            Some(record) => Some(record),
            None => match self.put_record(SEAL, &now.millis().to_le_bytes(), Over::Nothing).await {
                Ok(_) => return Ok(now),
                // Another node was first.
                Err(e) if e.kind() == ErrorKind::PreconditionFailed => self.record(SEAL).await?,
                Err(e) => return Err(e),
            },
        };
        let millis = record.and_then(|r| <[u8; 8]>::try_from(r.text.as_slice()).ok()).map(u64::from_le_bytes);
        Ok(millis.map_or(now, Timestamp::from_millis))
    }
}

/// Makes the folder, takes its lock, and removes what a crash left.
fn open_folder(dir: &Path) -> Result<File> {
    let staging = dir.join("staging");
    private::make_dir(&staging).map_err(Error::storage)?;
    let lock = private::options().create(true).truncate(false).open(dir.join("lock")).map_err(Error::storage)?;
    if lock.try_lock().is_err() {
        return Err(Error::new(ErrorKind::LocalUnavailable, format!("{} is used by another process", dir.display())));
    }
    for entry in std::fs::read_dir(&staging).map_err(Error::storage)? {
        std::fs::remove_file(entry.map_err(Error::storage)?.path()).map_err(Error::storage)?;
    }
    Ok(lock)
}

fn room(settings: &Settings) -> Result<Room> {
    let (dir, reserve) = (File::open(&settings.dir).map_err(Error::storage)?, settings.reserve_bytes);
    Ok(Room(Arc::new(move || {
        // Where the disk can't even be asked, the write itself will tell.
        if sys::free_bytes(dir.as_raw_fd()).unwrap_or(u64::MAX) < reserve {
            return Err(Error::new(ErrorKind::StorageFull, "The gateway's disk, where bodies wait to go up, is full."));
        }
        Ok(())
    })))
}
