//! Moving data between folders and gateways: the library against gateways in the test, and the binary's own commands.

mod attacks;
mod commands;
mod kills;
mod mirrors;
mod trips;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tidegate::moving::export::{self, Export};
use tidegate::moving::fault::Result;
use tidegate::moving::import::{self, Import};
use tidegate::moving::progress::{Progress, Summary};
use tidegate::moving::remote::Remote;
use tidegate::moving::resume::Memory;
use tidegate::moving::run::Run;
use tidegate::moving::tree::Tree;
use tidegate::telemetry::metrics::Door;
use tidegate::upstream::client::{Access, Keys, client};

use crate::support::gateway::{Gateway, operator};
use crate::support::raw::{connect, get};
use crate::support::signer::Key;

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

/// A folder of a bucket, in a key's name.
pub async fn remote_as(key: &Key, address: SocketAddr, bucket: &str, prefix: &str) -> Arc<Remote> {
    let keys = Keys { access_key: key.access.clone(), secret: key.secret.clone(), session_token: None };
    let endpoint = format!("http://{address}");
    let access = Access {
        endpoint: Some(endpoint.clone()),
        region: Some("us-east-1".into()),
        path_style: true,
        keys: Some(keys),
        ..Access::default()
    };
    let at = format!("{endpoint}/{bucket}");
    let client = client(&access).await;
    Arc::new(Remote { client, bucket: bucket.into(), prefix: prefix.into(), public_base: at.clone(), at })
}

pub async fn remote(address: SocketAddr, bucket: &str, prefix: &str) -> Arc<Remote> {
    remote_as(&operator(), address, bucket, prefix).await
}

pub fn run(dry_run: bool) -> Arc<Run> {
    Run::new(4, dry_run, Progress::new(false))
}

pub fn no_memory() -> Arc<Memory> {
    Arc::new(Memory { dir: None })
}

pub fn bring_in(dir: &Path, target: SocketAddr, bucket: &str, prefix: &str, dry_run: bool) -> (Result<()>, Summary) {
    bring_in_tagged(dir, target, bucket, prefix, dry_run, None)
}

pub fn bring_in_tagged(
    dir: &Path,
    target: SocketAddr,
    bucket: &str,
    prefix: &str,
    dry_run: bool,
    tags: Option<&Path>,
) -> (Result<()>, Summary) {
    block_on(async {
        let run = run(dry_run);
        let work = Import {
            run: run.clone(),
            tree: Arc::new(Tree::open(dir, false, &[]).unwrap()),
            target: remote(target, bucket, prefix).await,
            cache_control: Some("public, max-age=77".into()),
            memory: no_memory(),
            tags: tags.map(Path::to_owned),
            manifest: None,
            manifest_name: None,
        };
        (import::import(Arc::new(work)).await, run.summary())
    })
}

pub fn bring_out(source: SocketAddr, bucket: &str, prefix: &str, dir: &Path, dry_run: bool) -> (Result<()>, Summary) {
    bring_out_tagged(source, bucket, prefix, dir, dry_run, None)
}

pub fn bring_out_tagged(
    source: SocketAddr,
    bucket: &str,
    prefix: &str,
    dir: &Path,
    dry_run: bool,
    tags: Option<&Path>,
) -> (Result<()>, Summary) {
    block_on(async {
        let run = run(dry_run);
        let source = remote(source, bucket, prefix).await;
        let work = Export { run: run.clone(), source, dir: dir.to_owned(), tags: tags.map(Path::to_owned) };
        (export::export(Arc::new(work)).await, run.summary())
    })
}

/// Every file below a folder, with its bytes.
pub fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let all = crate::support::gateway::files_under(dir);
    all.into_iter().map(|p| (p.strip_prefix(dir).unwrap().to_str().unwrap().to_owned(), std::fs::read(&p).unwrap())).collect()
}

/// What the S3 door has done so far, by operation: only what went well.
pub fn operations(admin: SocketAddr) -> BTreeMap<String, u64> {
    let (head, body) = connect(admin).exchange(get("/metrics"));
    assert_eq!(head.status, 200);
    let text = String::from_utf8(body).unwrap();
    let counted = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("tidegate_requests_total{door=\"s3\",operation=\"")?;
        let (operation, rest) = rest.split_once('"')?;
        rest.contains("status=\"2xx\"").then(|| (operation.to_owned(), rest.rsplit(' ').next().unwrap().parse().unwrap()))
    });
    counted.collect()
}

pub fn writes(gateway: &Gateway) -> u64 {
    let done = operations(gateway.address(Door::Admin));
    let writing = ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "DeleteObject", "CopyObject"];
    writing.iter().filter_map(|w| done.get(*w)).sum()
}

/// Bytes that no compression and no chance makes equal.
pub fn body(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(size);
    out
}
