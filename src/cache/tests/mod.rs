//! Tests of the cache as a whole, with a made-up upstream.

use std::sync::Arc;

use crate::base::digest::Md5;
use crate::base::etag::ETag;
use crate::base::lock::Lock;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{CannedAcl, Layer, ObjectHeaders, ObjectInfo, SharedObject};
use crate::base::timestamp::Timestamp;
use crate::ingest::md5::Md5Hasher;

pub fn bucket() -> BucketName {
    BucketName::parse("media").unwrap()
}

pub fn key(name: &str) -> ObjectKey {
    ObjectKey::parse(name).unwrap()
}

pub fn info(body: &[u8]) -> SharedObject {
    info_of(Md5Hasher::digest(body), body.len() as u64)
}

pub fn info_of(md5: Md5, size: u64) -> SharedObject {
    Arc::new(ObjectInfo {
        size,
        etag: ETag::single(md5),
        modified: Timestamp::from_secs(1),
        generation: 1,
        owner: TenantId::parse("acme").unwrap(),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        version: VersionId::Null,
        lock: Lock::default(),
        tag_count: None,
        encryption: None,
        sha256: None,
        checksum: None,
        parts: Vec::new(),
        restore: None,
        inspection: None,
        unknown: Default::default(),
        layer: Layer::Store,
    })
}

mod blocks;
mod faults;
mod kept;
mod load;

use std::collections::HashMap;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::object_ref::{ObjectRef, VersionId};
use crate::base::range::ByteRange;
use crate::cache::settings::Settings;
use crate::cache::version::Version;
use crate::cache::{Cache, Source};
use crate::origin::{Body, BodySource, Pending, ReadBy};

pub const MIB: u64 = 1 << 20;

/// The bytes of a made-up object: each seed's are others, and so are those of two blocks. Quick also where nothing is optimised.
pub fn content(seed: u64, range: ByteRange) -> Vec<u8> {
    /// A prime: no size of blocks fits into it.
    const PERIOD: u64 = 2_097_143;
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let mut state = 88_172_645_463_325_252u64;
        let words = (0..PERIOD / 8 + 1).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        words.take(PERIOD as usize).collect()
    });
    let mut out = Vec::with_capacity(range.len() as usize);
    let mut at = ((range.start + seed * 8191) % PERIOD) as usize;
    while (out.len() as u64) < range.len() {
        let len = (bytes.len() - at).min(range.len() as usize - out.len());
        out.extend_from_slice(&bytes[at..at + len]);
        at = 0;
    }
    out
}

/// An object of `size` bytes whose content is that of the seed.
pub fn object(seed: u64, size: u64) -> SharedObject {
    let mut md5 = [7; 16];
    md5[..8].copy_from_slice(&seed.to_le_bytes());
    info_of(Md5(md5), size)
}

fn seed_of(info: &ObjectInfo) -> u64 {
    let digits = hex::decode(&info.etag.to_string()[..16]).unwrap();
    u64::from_le_bytes(digits.try_into().unwrap())
}

/// A made-up upstream that holds every object.
#[derive(Default)]
pub struct Upstream {
    pub fetches: Mutex<Vec<(u64, ByteRange)>>,
    /// Bytes that were sent.
    pub sent: AtomicU64,
    /// Of each body; 0: 64 KiB.
    pub piece: AtomicU64,
    /// Bodies break after so many bytes, so often.
    pub breaks: Mutex<Vec<u64>>,
    pub faults: Mutex<Vec<ErrorKind>>,
    /// Versions that were replaced.
    pub gone: Mutex<Vec<u64>>,
    /// While this is set nothing is sent.
    pub held: AtomicBool,
    pub release: Notify,
    /// Sends more than it should.
    pub too_long: AtomicBool,
}

impl Upstream {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn count(&self) -> usize {
        self.fetches.lock().unwrap().len()
    }

    pub fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    pub fn let_go(&self) {
        self.held.store(false, Ordering::SeqCst);
        self.release.notify_waiters();
    }
}

pub struct Served(pub Arc<Upstream>);

struct Sending {
    upstream: Arc<Upstream>,
    seed: u64,
    left: ByteRange,
    break_at: Option<u64>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    waits: bool,
}

impl BodySource for Sending {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        while self.upstream.held.load(Ordering::SeqCst) {
            let upstream = self.upstream.clone();
            let waiting = self.waiting.get_or_insert_with(|| {
                Box::pin(async move {
                    let released = upstream.release.notified();
                    if upstream.held.load(Ordering::SeqCst) {
                        released.await;
                    }
                })
            });
            if waiting.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.waiting = None;
        }
        // As a socket does.
        self.waits = !self.waits;
        if self.waits {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.left.start >= self.left.end {
            return Poll::Ready(None);
        }
        let piece = match self.upstream.piece.load(Ordering::Relaxed) {
            0 => 64 * 1024,
            n => n,
        };
        let mut len = piece.min(self.left.len());
        if let Some(left) = self.break_at {
            if left == 0 {
                return Poll::Ready(Some(Err(Error::new(ErrorKind::BadGateway, "broke"))));
            }
            len = len.min(left);
            self.break_at = Some(left - len);
        }
        let range = ByteRange { start: self.left.start, end: self.left.start + len };
        self.left.start += len;
        self.upstream.sent.fetch_add(len, Ordering::Relaxed);
        Poll::Ready(Some(Ok(content(self.seed, range).into())))
    }

    fn remaining(&self) -> u64 {
        self.left.end - self.left.start
    }
}

impl Source for Served {
    fn open<'a>(&'a self, version: &'a Version, range: ByteRange) -> Pending<'a, Option<(crate::cache::Giver, Body)>> {
        let seed = seed_of(&version.info);
        let up = &self.0;
        up.fetches.lock().unwrap().push((seed, range));
        let answer = match up.faults.lock().unwrap().pop() {
            Some(kind) => Err(Error::new(kind, "a fault")),
            None if up.gone.lock().unwrap().contains(&seed) => Ok(None),
            None => {
                let more = u64::from(up.too_long.load(Ordering::Relaxed));
                let left = ByteRange { start: range.start, end: range.end + more };
                let break_at = up.breaks.lock().unwrap().pop();
                let body = Sending { upstream: up.clone(), seed, left, break_at, waiting: None, waits: false };
                Ok(Some((crate::cache::Giver::Upstream, Body::Stream(Box::pin(body)))))
            }
        };
        Box::pin(std::future::ready(answer))
    }

    fn reach(&self, _: &Version, range: ByteRange) -> ByteRange {
        range
    }
}

pub fn settings(dir: &Path) -> Settings {
    Settings { dir: dir.join("cache"), disk_bytes: 256 * MIB, memory_bytes: 16 * MIB, reserve_bytes: 0, ..Settings::default() }
}

pub async fn started(settings: Settings) -> Cache {
    let cache = Cache::start(settings).unwrap();
    cache.0.disk.scanned(Duration::from_secs(60)).await;
    cache
}

pub async fn open(cache: &Cache, up: &Arc<Upstream>, name: &str, of: &SharedObject, start: u64, end: u64) -> Result<Option<Body>> {
    let version = cache.version(ObjectRef::current(&bucket(), &key(name)), of);
    cache.open(version, ByteRange { start, end }, ReadBy::UserSpace, Arc::new(Served(up.clone()))).await
}

pub async fn collect(body: Body) -> Result<Vec<u8>> {
    match body {
        Body::Memory(bytes) => Ok(bytes.to_vec()),
        Body::Stream(mut source) => {
            let (mut out, announced) = (Vec::new(), source.remaining());
            while let Some(piece) = poll_fn(|cx| source.as_mut().poll_next(cx)).await {
                out.extend_from_slice(&piece?);
            }
            assert_eq!(out.len() as u64, announced);
            Ok(out)
        }
    }
}

/// Reads the range, and compares it with what it should be.
pub async fn read(cache: &Cache, up: &Arc<Upstream>, name: &str, of: &SharedObject, start: u64, end: u64) {
    let body = open(cache, up, name, of, start, end).await.unwrap().unwrap();
    assert!(collect(body).await.unwrap() == content(seed_of(of), ByteRange { start, end }), "{name} {start}..{end}");
}

/// Until nothing is being fetched or kept, and nothing is held for that.
pub async fn settled(cache: &Cache) {
    let (shared, begun) = (&cache.0, std::time::Instant::now());
    while !shared.filling().is_empty() || shared.fetches.available_permits() < shared.settings.fetches {
        assert!(begun.elapsed() < Duration::from_secs(60), "a fetch never ends");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn files(dir: &Path) -> HashMap<std::path::PathBuf, u64> {
    let mut found = HashMap::new();
    let mut dirs = vec![dir.join("cache")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(m) if m.is_dir() => dirs.push(entry.path()),
                Ok(m) => drop(found.insert(entry.path(), m.len())),
                Err(_) => {}
            }
        }
    }
    found
}
