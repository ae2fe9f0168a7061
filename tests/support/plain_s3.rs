//! An S3 that is not ours, with few abilities: s3s-fs, a server over a folder. It ignores conditions of reads, deletes and copies,
//! and, where it is told to, those of writes as well.

use std::net::SocketAddr;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::dto::{CompleteMultipartUploadInput, PutObjectInput};
use s3s::service::S3ServiceBuilder;
use s3s::{S3Request, S3Result};
use s3s_fs::FileSystem;

use crate::support::gateway::{HOME, operator};

pub struct PlainS3 {
    pub address: SocketAddr,
    pub dir: tempfile::TempDir,
    runtime: Option<tokio::runtime::Runtime>,
}

/// Lets all in that `SimpleAuth` knows.
struct Deaf {
    to_conditions: bool,
}

#[async_trait::async_trait]
impl S3Access for Deaf {
    async fn check(&self, _: &mut S3AccessContext<'_>) -> S3Result<()> {
        Ok(())
    }

    async fn put_object(&self, request: &mut S3Request<PutObjectInput>) -> S3Result<()> {
        if self.to_conditions {
            request.input.if_match = None;
            request.input.if_none_match = None;
        }
        Ok(())
    }

    async fn complete_multipart_upload(&self, request: &mut S3Request<CompleteMultipartUploadInput>) -> S3Result<()> {
        if self.to_conditions {
            request.input.if_match = None;
            request.input.if_none_match = None;
        }
        Ok(())
    }
}

impl PlainS3 {
    /// With the bucket `HOME` and the operator's key.
    pub fn start(decides_writes: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(HOME)).unwrap();
        let key = operator();
        let mut service = S3ServiceBuilder::new(FileSystem::new(dir.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(key.access, key.secret));
        service.set_access(Deaf { to_conditions: !decides_writes });
        let service = service.build();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        PlainS3 { address, dir, runtime: Some(runtime) }
    }
}

impl Drop for PlainS3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
