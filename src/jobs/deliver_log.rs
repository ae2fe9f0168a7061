//! Brings a file of a bucket's access log into the bucket that it is for. See `telemetry/bucket_logs`.
//!
//! Begun again it writes the same object anew: the key comes from the file's name and the job's time. A file is removed only when it was
//! brought, or nobody wants it any more. Acts as the service that brings logs, which the target bucket's policy names.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::auth::Auth;
use crate::base::bucket_logging::{BucketLogging, LogFile};
use crate::base::checksum::ChecksumAlgorithm;
use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::base::object::ObjectHeaders;
use crate::ingest::{Expect, receive};
use crate::ops::Ops;
use crate::ops::reading::Reading;
use crate::ops::write::NewObject;
use crate::origin::Body;
use crate::queue::job::NewJob;
use crate::queue::kind::Work;
use crate::queue::{Attempt, Fault, Kind, Payload, Queue};
use crate::telemetry::bucket_logs::{self, Spooled};

const KIND: &str = "deliver_log";
const VERSION: u16 = 1;
const LOOK: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct Document {
    file: String,
}

pub struct DeliverLog {
    pub ops: Ops,
    pub auth: Arc<Auth>,
    pub dir: PathBuf,
}

/// Makes a job of each file that is complete. Runs until it is aborted.
pub async fn watch(dir: PathBuf, queue: Queue) {
    let mut known = HashSet::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let folder = dir.clone();
        let Ok(Ok(files)) = spawn_blocking(move || bucket_logs::ready(&folder)).await else { continue };
        let mut seen = HashSet::new();
        for file in files {
            // Where the queue takes none now, it is asked again.
            if known.contains(&file) || enqueue(&queue, &file).await.is_ok() {
                seen.insert(file);
            }
        }
        known = seen;
    }
}

async fn enqueue(queue: &Queue, file: &str) -> Result<()> {
    let payload = Payload::of(VERSION, &Document { file: file.to_owned() })?;
    queue.enqueue(NewJob { key: Some(file.to_owned()), ..NewJob::new(TenantId::operator(), KIND, payload) }).await.map(drop)
}

impl Kind for DeliverLog {
    fn name(&self) -> &'static str {
        KIND
    }

    /// Each has its file in memory.
    fn at_once(&self) -> u32 {
        4
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            let Document { file } = attempt.document(VERSION)?;
            let spooled = Spooled::parse(&file).ok_or_else(|| Fault::dead("the payload names no log file"))?;
            let path = self.dir.join(&file);
            let read = path.clone();
            let content = match spawn_blocking(move || std::fs::read(read)).await.map_err(|e| Fault::retry(e.to_string()))? {
                Ok(content) => Bytes::from(content),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Some(json!({ "brought": "before" }))),
                Err(e) => return Err(Fault::retry(format!("the log file can't be read: {e}"))),
            };
            let brought =
                self.bring(attempt, &spooled, content).await.map_err(|e| Fault::retry(format!("{:?}: {}", e.kind(), e.message())))?;
            match spawn_blocking(move || std::fs::remove_file(path)).await.map_err(|e| Fault::retry(e.to_string()))? {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Fault::retry(format!("the log file can't be removed: {e}"))),
                _ => Ok(Some(json!({ "brought": brought }))),
            }
        })
    }
}

impl DeliverLog {
    /// Where it is now. None: the bucket is gone, or wants no log any more.
    async fn bring(&self, attempt: &Attempt, file: &Spooled, content: Bytes) -> Result<Option<String>> {
        let Some(source) = self.ops.bucket_for_decision(&file.bucket).await? else { return Ok(None) };
        let Some(logging) = BucketLogging::of(&source)? else { return Ok(None) };
        let target = self.ops.bucket_for_decision(&logging.target).await?.ok_or_else(crate::auth::log_delivery::refused)?;
        let (region, delivery) = (&self.auth.settings().region, attempt.job.created);
        let key = logging.key(&LogFile { source: &source, region, requests: file.first, delivery, unique: &file.unique })?;
        let grant = self.auth.grant_for_log(&source, &target, &logging, &key)?;
        let length = content.len() as u64;
        let expect = Expect { length: Some(length), max: length, compute: Some(ChecksumAlgorithm::Crc64Nvme), ..Expect::default() };
        let received = receive(pin!(Reading(Body::Memory(content))), None, &expect, &self.ops.staging(&grant)).await?;
        let headers = ObjectHeaders { content_type: "text/plain".into(), ..ObjectHeaders::default() };
        // Where ACLs do not count any more, or not such ones, the log is its owner's alone.
        let acl = Some(logging.acl(&target.owner)).filter(|acl| grant.becomes(acl).is_ok()).unwrap_or_default();
        self.ops.put(&grant, NewObject { headers, acl, ..NewObject::default() }, Default::default(), received).await?;
        Ok(Some(format!("{}/{key}", target.name)))
    }
}
