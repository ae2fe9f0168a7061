//! Figures of ingest: bytes per second from a body's frames to a synced file, with MD5, SHA-256 and the client's checksum.
//!
//!   cargo bench --bench ingest [-- MEGABYTES]
//!
//! Prints what it measured; asserts nothing. The frames are what a connection's read buffer gives.

#![allow(clippy::expect_used, clippy::panic, clippy::unreachable, clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame};
use tidegate::base::checksum::ChecksumAlgorithm;
use tidegate::base::error::Error;
use tidegate::ingest::chunked::Decoder;
use tidegate::ingest::{Expect, Staging, receive};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FRAME: usize = 64 * 1024;
/// As SDKs send it: the chunk's line, its bytes, the line end.
const CHUNK_LINE: &[u8] = b"10000\r\n";
const CHUNK_END: &[u8] = b"0\r\n\r\n";

/// The same frame again and again.
struct Frames {
    frame: Bytes,
    end: Bytes,
    left: usize,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.left > 0 {
            self.left -= 1;
            return Poll::Ready(Some(Ok(Frame::data(self.frame.clone()))));
        }
        let end = std::mem::take(&mut self.end);
        Poll::Ready((!end.is_empty()).then(|| Ok(Frame::data(end))))
    }
}

fn main() {
    let megabytes = std::env::args().skip(1).find_map(|a| a.parse::<usize>().ok()).unwrap_or(512);
    let dir = tempfile::tempdir_in(".").expect("a folder");
    // As each of the server's workers has it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    use ChecksumAlgorithm::{Crc32, Crc32c, Crc64Nvme, Sha1};
    for algorithm in [None, Some(Crc32), Some(Crc32c), Some(Crc64Nvme), Some(Sha1)] {
        for (uploads, chunked) in [(1, false), (1, true), (4, false)] {
            let began = Instant::now();
            runtime.block_on(all(dir.path(), algorithm, uploads, chunked, megabytes));
            let rate = (uploads * megabytes) as f64 * 1e6 / began.elapsed().as_secs_f64() / 1e9;
            let name = algorithm.map_or("none", |a| a.name());
            let form = if chunked { "aws-chunked" } else { "plain" };
            println!("ingest {name:>9}, {uploads} at once, {form:>11}: {rate:.2} GB/s");
        }
    }
}

async fn all(dir: &Path, algorithm: Option<ChecksumAlgorithm>, uploads: usize, chunked: bool, megabytes: usize) {
    let running: Vec<_> = (0..uploads)
        .map(|n| {
            let staging = Staging::new(dir.to_path_buf(), FRAME);
            tokio::spawn(async move {
                let (frames, length) = (megabytes * 1_000_000 / FRAME, megabytes * 1_000_000 / FRAME * FRAME);
                let payload: Vec<u8> = (0..FRAME).map(|i| (i * 31 + i / 251 + n) as u8).collect();
                let (frame, end, decoder) = if chunked {
                    let frame = [CHUNK_LINE, &payload, b"\r\n"].concat();
                    (frame, CHUNK_END, Some(Decoder::new(None, false, length as u64)))
                } else {
                    (payload, &b""[..], None)
                };
                let body = Frames { frame: Bytes::from(frame), end: Bytes::from_static(end), left: frames };
                let expect = Expect { length: Some(length as u64), max: u64::MAX, compute: algorithm, ..Expect::default() };
                let received = receive(pin!(body), decoder, &expect, &staging).await.expect("received");
                assert_eq!(received.size, length as u64);
            })
        })
        .collect();
    for upload in running {
        upload.await.expect("an upload");
    }
}
