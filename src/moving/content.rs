//! A body to be moved, read in order, a few pieces ahead: each piece holds a slot for as long as it is in memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::fault::{Fault, Result};
use super::hashes::{Hasher, Hashes, Layout};
use super::remote::{PIECE, Remote};
use super::run::{Ordered, Run, blocking};

#[derive(Clone)]
pub enum Content {
    File { path: PathBuf, size: u64, modified: Option<SystemTime> },
    Object { remote: Arc<Remote>, key: String, etag: String, size: u64 },
}

pub struct Piece {
    pub bytes: Bytes,
    pub slot: OwnedSemaphorePermit,
}

impl Content {
    pub fn size(&self) -> u64 {
        match self {
            Content::File { size, .. } | Content::Object { size, .. } => *size,
        }
    }

    async fn read(self, from: u64, len: u64) -> Result<Bytes> {
        match self {
            Content::Object { remote, key, etag, .. } => remote.read(&key, &etag, from, len).await,
            Content::File { path, .. } => blocking(move || read_file(&path, from, len)).await?,
        }
    }

    /// A file may change while it is read, and would then be moved as a mix that never was. (An object's reads are all
    /// of one version.)
    pub async fn check_unchanged(&self) -> Result<()> {
        let Content::File { path, size, modified } = self.clone() else { return Ok(()) };
        let now = blocking(move || std::fs::metadata(path)).await??;
        if now.len() == size && now.modified().ok() == modified { Ok(()) } else { Err(Fault::new("it changed while it was read")) }
    }
}

fn read_file(path: &std::path::Path, from: u64, len: u64) -> Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| Fault::new("a piece is too large for this machine"))?];
    match File::open(path)?.read_exact_at(&mut bytes, from) {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(Fault::new("it became shorter while it was read")),
        other => Ok(other.map(|()| bytes.into())?),
    }
}

pub struct Pieces {
    run: Arc<Run>,
    content: Content,
    piece: u64,
    /// Where the next piece to be asked for begins.
    at: u64,
    ahead: Ordered<Result<Piece>>,
}

impl Pieces {
    pub fn new(run: Arc<Run>, content: Content, piece: u64) -> Self {
        // A disk is near; another S3 is not.
        let ahead = if matches!(content, Content::File { .. }) { 2 } else { run.jobs };
        Pieces { run, content, piece, at: 0, ahead: Ordered::new(ahead) }
    }

    /// None: that was all. An empty body has no pieces.
    pub async fn next(&mut self) -> Result<Option<Piece>> {
        while self.ahead.has_room() && self.at < self.content.size() {
            // Only for the first of them it waits: pieces in hand must not wait for those behind them.
            let slot = if self.ahead.is_empty() { Some(self.run.slot().await?) } else { self.run.free_slot() };
            let Some(slot) = slot else { break };
            let (content, from) = (self.content.clone(), self.at);
            let len = self.piece.min(content.size() - from);
            self.at += len;
            self.ahead.push(async move { Ok(Piece { bytes: content.read(from, len).await?, slot }) }).await?;
        }
        self.ahead.next().await?.transpose()
    }
}

/// Reads all of it.
pub async fn hashes(run: &Arc<Run>, content: Content, layout: Layout) -> Result<Hashes> {
    let mut pieces = Pieces::new(run.clone(), content.clone(), PIECE);
    let mut hasher = Hasher::new(layout);
    while let Some(piece) = pieces.next().await? {
        hasher = hash(hasher, &piece.bytes).await?;
    }
    content.check_unchanged().await?;
    Ok(hasher.finish())
}

pub async fn hash(mut hasher: Hasher, bytes: &Bytes) -> Result<Hasher> {
    let bytes = bytes.clone();
    blocking(move || {
        hasher.update(&bytes);
        hasher
    })
    .await
}
