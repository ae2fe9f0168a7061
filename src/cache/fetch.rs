//! One request to the upstream for a run of blocks, cut into them and kept as they get whole.
//!
//! A body that breaks is asked for again from where it broke, of the same version, within a budget. A block that is whole is kept
//! while the next one arrives: two blocks are in memory, at most.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::range::ByteRange;
use crate::cache::fill::{End, Fill, interrupted};
use crate::cache::version::Version;
use crate::cache::{Giver, Shared, Source};
use crate::origin::Body;

/// How often a body that broke is asked for again without any progress in between.
const RESUMES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// An upstream that sends nothing for so long has broken.
const STALL: Duration = Duration::from_secs(20);

/// Blocks that stand side by side, which nobody else is fetching.
pub struct Run {
    pub shared: Arc<Shared>,
    pub version: Arc<Version>,
    pub fills: Vec<Arc<Fill>>,
    pub source: Arc<dyn Source>,
    /// The first of these that is not whole yet.
    at: usize,
    /// Who gives what comes now.
    giver: Giver,
    keeping: Option<JoinHandle<()>>,
}

/// Why a run ends before its last block.
enum Stop {
    /// Nobody wants the rest.
    Unwanted,
    Gone,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Stop::Failed(e)
    }
}

impl Run {
    pub fn new(shared: Arc<Shared>, version: Arc<Version>, fills: Vec<Arc<Fill>>, source: Arc<dyn Source>) -> Self {
        Run { shared, version, fills, source, at: 0, giver: Giver::Upstream, keeping: None }
    }

    pub async fn go(mut self, permit: Option<OwnedSemaphorePermit>) {
        let on_disk = self.fills.first().is_some_and(|f| self.shared.disk.has(&self.version, f.number));
        if on_disk && self.load().await {
            return;
        }
        let permit = match permit {
            Some(permit) => Ok(permit),
            None => self.shared.fetches.clone().acquire_owned().await,
        };
        let Ok(_permit) = permit else { return };
        let end = match self.all().await {
            Ok(()) => End::Abandoned,
            Err(Stop::Unwanted) => End::Abandoned,
            Err(Stop::Gone) => End::Gone,
            Err(Stop::Failed(e)) => {
                tracing::debug!(error = %e, "blocks could not be fetched");
                End::Failed(Arc::new(e))
            }
        };
        self.end_rest(end);
        if let Some(keeping) = self.keeping.take() {
            let _ = keeping.await;
        }
    }

    /// The first block may be in a file: a small one, or one that an earlier run left.
    async fn load(&mut self) -> bool {
        let Some(fill) = self.fills.first().cloned() else { return true };
        let (shared, version) = (self.shared.clone(), self.version.clone());
        let proven = spawn_blocking(move || match shared.disk.prove(&version, fill.number, super::SMALL) {
            Ok(bytes) => {
                bytes.into_iter().for_each(|b| shared.memory.put(&version, fill.number, b));
                shared.end(&version, &fill, End::Kept);
                true
            }
            Err(_) => false,
        });
        proven.await.unwrap_or(false)
    }

    async fn all(&mut self) -> Result<(), Stop> {
        let mut resumes = 0;
        loop {
            let before = self.arrived();
            let wanted = self.rest();
            if wanted.start == wanted.end {
                return Ok(());
            }
            let fault = match self.once(self.source.reach(&self.version, wanted)).await {
                Ok(()) => {
                    resumes = 0;
                    continue;
                }
                Err(Stop::Failed(e)) => e,
                Err(stop) => return Err(stop),
            };
            let arrived = self.arrived();
            // What could not be begun was tried often enough by the upstream's client. A peer that failed is not asked again.
            if arrived == 0 && self.giver == Giver::Upstream {
                return Err(Stop::Failed(fault));
            }
            resumes = if arrived > before { 1 } else { resumes + 1 };
            if resumes > RESUMES {
                return Err(Stop::Failed(fault));
            }
            self.shared.metrics().cache_resumes.inc();
            sleep(FIRST_PAUSE * 2u32.pow(resumes - 1)).await;
        }
    }

    /// Bytes of the run that are here.
    fn arrived(&self) -> u64 {
        self.rest().start - self.fills.first().map_or(0, |f| self.version.range_of(f.number).start)
    }

    fn rest(&self) -> ByteRange {
        let end = self.fills.last().map_or(0, |f| self.version.range_of(f.number).end);
        match self.fills.get(self.at) {
            Some(fill) => ByteRange { start: self.version.range_of(fill.number).start + fill.arrived() as u64, end },
            None => ByteRange { start: end, end },
        }
    }

    async fn once(&mut self, wanted: ByteRange) -> Result<(), Stop> {
        let opened = timeout(STALL, self.source.open(&self.version, wanted)).await.map_err(|_| stalled())?;
        let giver = opened.as_ref().ok().and_then(Option::as_ref).map_or(Giver::Upstream, |(giver, _)| *giver);
        match giver {
            Giver::Upstream => self.shared.metrics().cache_fetches.inc(),
            Giver::Peer => self.shared.metrics().cache_peer_fetches.inc(),
        };
        self.giver = giver;
        match opened?.ok_or(Stop::Gone)?.1 {
            Body::Memory(bytes) => self.take(bytes).await?,
            Body::Stream(mut body) => {
                while let Some(piece) = timeout(STALL, poll_fn(|cx| body.as_mut().poll_next(cx))).await.map_err(|_| stalled())? {
                    self.take(piece?).await?;
                }
            }
        }
        if self.rest().start < wanted.end { Err(broken("the upstream sent less than it should have").into()) } else { Ok(()) }
    }

    async fn take(&mut self, mut piece: Bytes) -> Result<(), Stop> {
        let metrics = self.shared.metrics();
        let fetched = if self.giver == Giver::Peer { &metrics.cache_peer_bytes } else { &metrics.cache_fetched_bytes };
        fetched.inc_by(piece.len() as u64);
        while !piece.is_empty() {
            let Some(fill) = self.fills.get(self.at).cloned() else {
                return Err(broken("the upstream sent more than it should have").into());
            };
            let missing = self.version.range_of(fill.number).len() as usize - fill.arrived();
            let part = piece.split_to(piece.len().min(missing));
            let whole = part.len() == missing;
            fill.push(part);
            if whole {
                self.whole(fill).await?;
            }
        }
        Ok(())
    }

    async fn whole(&mut self, fill: Arc<Fill>) -> Result<(), Stop> {
        self.at += 1;
        if let Some(keeping) = self.keeping.take() {
            let _ = keeping.await;
        }
        let (ending, giver) = (Ending(self.shared.clone(), self.version.clone(), fill), self.giver);
        self.keeping = Some(spawn_blocking(move || {
            let Ending(shared, version, fill) = &ending;
            shared.keep(version, fill.number, fill.pieces(), giver);
            shared.end(version, fill, End::Kept);
        }));
        let rest = self.fills.get(self.at..).unwrap_or_default();
        if !rest.is_empty() && self.shared.leave(&self.version, rest) { Err(Stop::Unwanted) } else { Ok(()) }
    }

    /// Of the blocks that are not whole.
    fn end_rest(&mut self, end: End) {
        for fill in self.fills.iter().skip(self.at) {
            self.shared.end(&self.version, fill, end.clone());
        }
        self.at = self.fills.len();
    }
}

/// However a run ends, and be it by a panic, its readers hear of it.
impl Drop for Run {
    fn drop(&mut self) {
        self.end_rest(End::Failed(Arc::new(interrupted())));
    }
}

/// The same for the thread that keeps a block.
struct Ending(Arc<Shared>, Arc<Version>, Arc<Fill>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(&self.1, &self.2, End::Failed(Arc::new(interrupted())));
    }
}

fn stalled() -> Error {
    Error::new(ErrorKind::GatewayTimeout, "The storage behind this gateway does not answer. Please try again.")
}

fn broken(cause: &'static str) -> Error {
    Error::new(ErrorKind::BadGateway, "The storage behind this gateway broke off. Please try again.").caused_by(cause)
}
