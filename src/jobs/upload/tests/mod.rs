//! Write-back over two stores with an upstream in between that fails, and its jobs run by hand or by the runner.

mod cases;
mod faulty;
mod model;
mod running;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::grant::GatewayGrant;
use crate::base::checksum::ChecksumAlgorithm;
use crate::base::conditions::WriteConditions;
use crate::base::error::Result;
use crate::base::lock::Lock;
use crate::base::names::BucketName;
use crate::base::object::{CannedAcl, ObjectHeaders};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::jobs::upload::Upload;
use crate::local::tests::{bucket_name, collect, make_bucket, object_key, received, settings, tenant};
use crate::local::{Local, Settings as LocalSettings};
use crate::net::drain::Tracker;
use crate::ops::changes::Changes;
use crate::ops::write_back::WriteBack;
use crate::origin::{Buckets, Delete, Deleted, Freshness, Origin, PutObject, Quota, ReadBy, Reads, Writes, Written};
use crate::queue::{Fault, Kind, Outcome, Queue, Settings as QueueSettings};
use faulty::{Faulty, Mode};

const LIMIT: u64 = 1 << 30;

/// A node with a write-back bucket `media`, over an upstream that outlives it.
struct World {
    root: tempfile::TempDir,
    upstream: Arc<Faulty>,
    node: Option<Node>,
    limit: u64,
}

/// What ends with the process.
struct Node {
    local: Arc<Local>,
    queue: Queue,
    back: WriteBack,
}

fn media() -> BucketName {
    bucket_name("media")
}

impl World {
    async fn new() -> World {
        Self::with_limit(LIMIT).await
    }

    async fn with_limit(limit: u64) -> World {
        let root = tempfile::tempdir().unwrap();
        let inner = Local::open(small(root.path().join("upstream"))).unwrap();
        make_bucket(&inner, "media").await;
        make_bucket(&inner, "plain").await;
        let mut world = World { root, upstream: Faulty::new(inner), node: None, limit };
        world.start().await;
        world
    }

    async fn start(&mut self) {
        let local = Local::open(small(self.root.path().join("back"))).unwrap();
        let settings = QueueSettings { dir: self.root.path().join("queue"), index_cache_bytes: 1 << 20, ..QueueSettings::default() };
        let queue = Queue::open(settings).unwrap();
        let mode = Arc::new(|bucket: &BucketName| bucket.as_str() == "media");
        let back =
            WriteBack::open(local.clone(), (Origin::of(self.upstream.clone()), None), queue.clone(), mode, self.limit, Default::default());
        self.node = Some(Node { local, queue, back: back.await.unwrap() });
    }

    /// Everything of the process is dropped where it stands.
    async fn crash(&mut self) {
        self.node = None;
        self.start().await;
        self.back().take_up().await.unwrap();
    }

    fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    fn back(&self) -> &WriteBack {
        &self.node().back
    }

    async fn put(&self, bucket: &str, key: &str, body: &[u8], conditions: WriteConditions) -> Result<Written> {
        let received = received(&self.node().local, body, ChecksumAlgorithm::Crc64Nvme);
        let headers = ObjectHeaders { content_type: "text/plain".into(), ..ObjectHeaders::default() };
        let (bucket, key) = (bucket_name(bucket), object_key(key));
        let put = PutObject {
            bucket,
            key,
            owner: tenant("acme"),
            acl: CannedAcl::Private.into(),
            headers,
            lock: Lock::default(),
            tags: Default::default(),
            encryption: None,
            conditions,
            received,
        };
        self.back().put(put, Quota::default()).await
    }

    async fn delete(&self, key: &str) -> Result<Deleted> {
        self.back().delete(ObjectRef::current(&media(), &object_key(key)), Delete::default()).await
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        get(self.back(), key).await
    }

    /// One attempt of each job whose time has come. How they ended.
    async fn run_jobs(&self) -> Vec<Outcome> {
        let queue = &self.node().queue;
        let kind = Upload {
            back: self.back().clone(),
            grant: GatewayGrant::for_test(),
            changes: Changes::new(Vec::new(), queue.clone(), Tracker::default()),
        };
        let mut outcomes = Vec::new();
        for job in queue.claim(1000, |_| u32::MAX, |_| u32::MAX, |_| u32::MAX).await.unwrap().0 {
            let live = queue.shared.begin(job.id, job.attempts);
            let attempt = queue.attempt(job.id, job.attempts, live).await.unwrap().unwrap();
            let outcome = match kind.run(&attempt).await {
                Ok(result) => Outcome::Done(result.map(|r| r.to_string())),
                Err(Fault::Retry { reason, .. }) => Outcome::Retry { reason, after: Duration::ZERO },
                Err(Fault::Dead { reason }) => Outcome::Dead { reason },
                Err(Fault::NotNow { after }) => Outcome::NotNow { after },
            };
            queue.shared.end(&job.id);
            queue.finish(job.id, job.attempts, outcome.clone()).await.unwrap();
            outcomes.push(outcome);
        }
        outcomes
    }

    /// The upstream is well again: everything is stored.
    async fn settle(&self) {
        self.upstream.set(Mode::Fine);
        for _ in 0..10 {
            self.run_jobs().await;
        }
        let left = self.back().sync(false, Duration::ZERO).await.unwrap();
        assert_eq!((left.waiting, left.bytes, left.failed.len()), (0, 0, 0));
    }
}

fn small(dir: PathBuf) -> LocalSettings {
    LocalSettings { inline_limit: 512, ..settings(&dir) }
}

async fn get(reads: &dyn Reads, key: &str) -> Result<Option<Vec<u8>>> {
    let (bucket, key) = (media(), object_key(key));
    for _ in 0..100 {
        let Some(object) = reads.stat(ObjectRef::current(&bucket, &key), Freshness::Current).await? else { return Ok(None) };
        let range = ByteRange { start: 0, end: object.size };
        if let Some(body) = reads.open(ObjectRef::current(&bucket, &key), &object, range, ReadBy::UserSpace).await? {
            return collect(body).await.map(Some);
        }
    }
    panic!("a version that is never there")
}
