//! Documents in request bodies: how large they may be, how many large ones are in memory at once, and where those are read.
//!
//! A small one is read where it is: there are no more of them than connections. Large ones (a batch of deletes, the parts of a large
//! upload, lists of keys to purge) share a room, over all connections: who finds it full waits a little, then is told to slow down.
//! Invariant: nothing here is asked for before its sender was found to have a right to send it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::base::error::{Error, ErrorKind, Result};

/// S3's small documents have 64 KB at most (CORS): more is none of them.
pub const MAX_SMALL_BYTES: usize = 128 * 1024;
/// Parsing this much takes about a millisecond; what is larger is read off the worker.
const INLINE_BYTES: usize = 64 * 1024;
/// Of the bodies of large documents; with what they are made into, three times that.
const ROOM_BYTES: usize = 16 * 1024 * 1024;
/// What the room is counted in: a semaphore counts to less than bytes would need.
const UNIT_BYTES: usize = 64 * 1024;
/// How long one waits for room. Most documents are here and gone in less than a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a document in the room may take to arrive: else four slow senders would keep all others out.
pub const ARRIVAL: Duration = Duration::from_secs(60);

pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Room(Arc::new(Semaphore::new(ROOM_BYTES / UNIT_BYTES)))
    }
}

impl Room {
    /// Room for a document of `bytes`; None: a small one needs none.
    pub async fn take(&self, bytes: u64) -> Result<Option<OwnedSemaphorePermit>> {
        let bytes = usize::try_from(bytes).unwrap_or(ROOM_BYTES).min(ROOM_BYTES);
        if bytes <= MAX_SMALL_BYTES {
            return Ok(None);
        }
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        match timeout(PATIENCE, self.0.clone().acquire_many_owned(units)).await {
            Ok(room) => room.map(Some).map_err(Error::internal),
            Err(_) => Err(Error::new(ErrorKind::SlowDown, "Too many large documents are being read. Please reduce your request rate.")),
        }
    }
}

/// What `read` makes of a document, without stopping the other requests of the worker for long.
pub async fn read<T: Send + 'static>(document: Bytes, read: impl FnOnce(&[u8]) -> Result<T> + Send + 'static) -> Result<T> {
    if document.len() <= INLINE_BYTES {
        return read(&document);
    }
    spawn_blocking(move || read(&document)).await.map_err(Error::internal)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn room_for_four_of_the_largest() {
        let room = Room::default();
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(room.take(4 * 1024 * 1024).await.unwrap());
        }
        assert!(room.take(MAX_SMALL_BYTES as u64).await.unwrap().is_none());
        assert_eq!(room.take(MAX_SMALL_BYTES as u64 + 1).await.unwrap_err().kind(), ErrorKind::SlowDown);
        taken.pop();
        assert!(room.take(u64::MAX).await.is_err(), "more than there is is never more than all of it");
        assert!(room.take(1_000_000).await.unwrap().is_some());
    }
}
