//! Uploads that this node takes in or took in lately, by request id or upload id: a bounded table in memory, for who asks how
//! an upload is doing. What must outlive it is in the origin and in the queue.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;

use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{SharedObject, Upload};
use crate::base::timestamp::Timestamp;

/// The oldest go first: some 5 MB.
const MAX_KNOWN: usize = 10_000;

pub struct Transfer {
    pub id: String,
    pub tenant: TenantId,
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub started: Timestamp,
    /// As announced.
    pub size: Option<u64>,
    /// A multipart upload, whose parts the origin knows.
    pub upload: Option<Upload>,
    arrived: AtomicU64,
    end: OnceLock<(Timestamp, End)>,
}

#[derive(Debug, Clone)]
pub enum End {
    /// Acknowledged, as this version.
    Taken(SharedObject),
    Aborted,
    Failed,
}

impl Transfer {
    pub fn arrived(&self, bytes: u64) {
        self.arrived.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of the body so far.
    pub fn bytes(&self) -> u64 {
        // On the wire there is more of a body that comes in signed chunks.
        self.arrived.load(Ordering::Relaxed).min(self.size.unwrap_or(u64::MAX))
    }

    pub fn end(&self) -> Option<&(Timestamp, End)> {
        self.end.get()
    }
}

/// All of them. Cheap to clone.
#[derive(Clone)]
pub struct Transfers(Arc<Shared>);

struct Shared {
    table: Mutex<Table>,
    ended: watch::Sender<()>,
}

#[derive(Default)]
struct Table {
    known: HashMap<String, Arc<Transfer>>,
    /// In order of their beginning.
    ids: VecDeque<String>,
    /// Single PUTs whose body is arriving, the last one of each key.
    running: HashMap<(BucketName, ObjectKey), Arc<Transfer>>,
}

/// A single PUT in progress. Dropped without an end, it failed.
pub struct Running {
    all: Transfers,
    pub transfer: Arc<Transfer>,
}

impl Default for Transfers {
    fn default() -> Self {
        Transfers(Arc::new(Shared { table: Mutex::default(), ended: watch::channel(()).0 }))
    }
}

impl Transfers {
    pub fn begin(&self, id: String, tenant: TenantId, bucket: BucketName, key: ObjectKey, size: Option<u64>) -> Running {
        let transfer = new(id, tenant, bucket, key, size, None);
        let mut table = self.table();
        table.add(transfer.clone());
        table.running.insert((transfer.bucket.clone(), transfer.key.clone()), transfer.clone());
        Running { all: self.clone(), transfer }
    }

    pub fn begin_multipart(&self, upload: &Upload) {
        self.table().add(of_upload(upload));
    }

    /// Also of an upload that another node began, or that was forgotten.
    pub fn end_multipart(&self, upload: &Upload, end: End) {
        let mut table = self.table();
        let transfer = match table.known.get(upload.id.as_str()) {
            Some(known) => known.clone(),
            None => {
                let transfer = of_upload(upload);
                table.add(transfer.clone());
                transfer
            }
        };
        drop(table);
        self.end(&transfer, end);
    }

    pub fn get(&self, id: &str) -> Option<Arc<Transfer>> {
        self.table().known.get(id).cloned()
    }

    pub fn running(&self, bucket: &BucketName, key: &ObjectKey) -> Option<Arc<Transfer>> {
        let table = self.table();
        if table.running.is_empty() { None } else { table.running.get(&(bucket.clone(), key.clone())).cloned() }
    }

    /// Told whenever one has ended, not which.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.0.ended.subscribe()
    }

    fn end(&self, transfer: &Arc<Transfer>, end: End) {
        // The first end counts: an upload that is completed twice was completed.
        let _ = transfer.end.set((Timestamp::now(), end));
        self.0.ended.send_replace(());
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn add(&mut self, transfer: Arc<Transfer>) {
        if self.ids.len() >= MAX_KNOWN
            && let Some(oldest) = self.ids.pop_front()
        {
            self.known.remove(&oldest);
        }
        if self.known.insert(transfer.id.clone(), transfer.clone()).is_none() {
            self.ids.push_back(transfer.id.clone());
        }
    }
}

impl Running {
    pub fn taken(self, object: &SharedObject) {
        self.all.end(&self.transfer, End::Taken(object.clone()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let name = (self.transfer.bucket.clone(), self.transfer.key.clone());
        let mut table = self.all.table();
        if table.running.get(&name).is_some_and(|last| Arc::ptr_eq(last, &self.transfer)) {
            table.running.remove(&name);
        }
        drop(table);
        self.all.end(&self.transfer, End::Failed);
    }
}

fn of_upload(upload: &Upload) -> Arc<Transfer> {
    let (tenant, bucket, key) = (upload.initiator().clone(), upload.bucket.clone(), upload.key.clone());
    new(upload.id.as_str().to_owned(), tenant, bucket, key, None, Some(upload.clone()))
}

fn new(id: String, tenant: TenantId, bucket: BucketName, key: ObjectKey, size: Option<u64>, upload: Option<Upload>) -> Arc<Transfer> {
    let started = upload.as_ref().map_or_else(Timestamp::now, |u| u.initiated);
    Arc::new(Transfer { id, tenant, bucket, key, started, size, upload, arrived: AtomicU64::new(0), end: OnceLock::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(all: &Transfers, id: &str, key: &str) -> Running {
        let (bucket, key) = (BucketName::parse("media").unwrap(), ObjectKey::parse(key).unwrap());
        all.begin(id.to_owned(), TenantId::operator(), bucket, key, Some(10))
    }

    #[test]
    fn the_last_put_of_a_key_is_the_one_that_runs() {
        let all = Transfers::default();
        let (first, second) = (begin(&all, "1", "k"), begin(&all, "2", "k"));
        let running =
            |all: &Transfers| all.running(&BucketName::parse("media").unwrap(), &ObjectKey::parse("k").unwrap()).map(|t| t.id.clone());
        drop(first);
        assert_eq!(running(&all).as_deref(), Some("2"));
        second.transfer.arrived(99);
        assert_eq!(second.transfer.bytes(), 10);
        drop(second);
        assert_eq!(running(&all), None);
        assert!(matches!(all.get("1").unwrap().end(), Some((_, End::Failed))));
    }

    #[test]
    fn the_table_is_bounded() {
        let all = Transfers::default();
        for n in 0..MAX_KNOWN + 5 {
            drop(begin(&all, &n.to_string(), "k"));
        }
        assert!(all.get("4").is_none() && all.get("5").is_some());
        let table = all.table();
        assert_eq!((table.known.len(), table.ids.len()), (MAX_KNOWN, MAX_KNOWN));
    }
}
