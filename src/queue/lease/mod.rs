//! A lease: of all nodes over one bucket, one does at a time what must be done by one.
//!
//! The nodes share a small record for each name. It says who holds the lease, how often it has changed hands (the fencing number), and when
//! the work was done last. It is written under conditions (`Board`): of two nodes that reach for it, one gets it. A holder writes it
//! anew while it works; when the others have seen it unchanged for long enough, they may take it.
//!
//! Invariants: no two nodes count a lease as their own at one moment. A holder's time begins before it sends its last write, and lasts `TTL`. The
//! others' begins when they first see that write, and lasts half as long again. Each goes by its own clock that only goes forward, so a clock
//! on the wall that is wrong, or set, changes nothing. A holder that was stopped whole (a paused machine) may go on until its next write fails. So
//! what it did is not recorded over what came after, and kinds of work that recur bear to be done twice.
//! Not here: where the record is (`upstream`); who works under a lease (`runner`).

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::base::error::{Error, Result};
use crate::base::timestamp::Timestamp;

/// A holder that is not heard of for so long has lost the lease.
pub const TTL: Duration = Duration::from_secs(60);
/// A write that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Where the records are: every node sees the same ones, and each write is decided there.
pub trait Board: Send + Sync + 'static {
    fn read<'a>(&'a self, name: &'a str) -> Reply<'a, Option<Posted>>;
    /// Over the text of that mark; None: where there is none. Answers the new mark, or None: there was another, and nothing was
    /// written. After an error it may have been written or not.
    fn write<'a>(&'a self, name: &'a str, text: Vec<u8>, over: Option<&'a str>) -> Reply<'a, Option<String>>;
}

#[derive(Debug, Clone)]
pub struct Posted {
    /// Another one after each write.
    pub mark: String,
    pub text: Vec<u8>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Record {
    fence: u64,
    /// None: nobody.
    holder: Option<String>,
    /// When the work was done last: milliseconds by the clock of the node that did it.
    done: Option<u64>,
    /// Of a newer program.
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

impl Record {
    fn parse(posted: &Posted) -> Result<Self> {
        serde_json::from_slice(&posted.text).map_err(Error::internal)
    }

    fn text(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(Error::internal)
    }
}

/// The leases as one node sees them. Cheap to clone.
#[derive(Clone)]
pub struct Leases(Arc<Node>);

struct Node {
    board: Arc<dyn Board>,
    /// No other node has it. A process that follows one that was killed has it again, and takes up its leases at once.
    name: String,
    ttl: Duration,
    /// Of leases that others hold: the mark, and since when it has been seen.
    seen: Mutex<HashMap<String, (String, Instant)>>,
}

/// What became of reaching for a lease.
pub enum Turn {
    Ours(Held),
    /// Another node holds it.
    Others {
        again: Duration,
    },
    /// The work was done a while ago, and is due later.
    Done {
        due: Duration,
    },
}

impl Leases {
    pub fn new(board: Arc<dyn Board>, node: String) -> Self {
        Leases(Arc::new(Node { board, name: node, ttl: TTL, seen: Mutex::default() }))
    }

    #[cfg(test)]
    pub fn of_ttl(board: Arc<dyn Board>, node: &str, ttl: Duration) -> Self {
        Leases(Arc::new(Node { board, name: node.to_owned(), ttl, seen: Mutex::default() }))
    }

    /// The lease of work that is to be done `every` so often.
    pub async fn take(&self, name: &str, every: Duration, now: Timestamp) -> Result<Turn> {
        let node = &self.0;
        let posted = node.board.read(name).await?;
        let record = posted.as_ref().map(Record::parse).transpose()?.unwrap_or_default();
        if let (Some(posted), Some(holder)) = (&posted, &record.holder)
            && *holder != node.name
            && !node.is_silent(name, &posted.mark)
        {
            return Ok(Turn::Others { again: node.ttl });
        }
        // Either way round: a clock that was wrong once does not end the work for ever.
        let ago = record.done.map(|done| Duration::from_millis(done.abs_diff(now.millis())));
        if let Some(ago) = ago.filter(|ago| *ago < every) {
            return Ok(Turn::Done { due: every - ago });
        }
        let record = Record { fence: record.fence + 1, holder: Some(node.name.clone()), ..record };
        let begun = Instant::now();
        let written = node.board.write(name, record.text()?, posted.as_ref().map(|p| p.mark.as_str())).await?;
        let Some(mark) = written else { return Ok(Turn::Others { again: node.ttl }) };
        node.seen().remove(name);
        let held = Held { node: node.clone(), name: name.to_owned(), mark, record, until: begun + node.ttl };
        Ok(Turn::Ours(held))
    }
}

impl Node {
    /// Its holder has not been heard of for so long that it must have lost it.
    fn is_silent(&self, name: &str, mark: &str) -> bool {
        let mut seen = self.seen();
        let now = Instant::now();
        match seen.get(name) {
            Some((known, since)) if known == mark => now - *since >= self.ttl + self.ttl / 2,
            _ => {
                seen.insert(name.to_owned(), (mark.to_owned(), now));
                false
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, (String, Instant)>> {
        // Each change is one call on the map: a panic leaves it whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lease that this node holds. Dropped, it is lost when its time has passed.
pub struct Held {
    node: Arc<Node>,
    name: String,
    mark: String,
    record: Record,
    until: Instant,
}

impl Held {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Grows each time that the lease changes hands.
    pub fn fence(&self) -> u64 {
        self.record.fence
    }

    /// Keeps the lease, and ends when it is lost. May be dropped at any await.
    pub async fn keep(&mut self) {
        let ttl = self.node.ttl;
        let mut next = self.until - ttl + ttl / 3;
        loop {
            sleep_until(next.min(self.until)).await;
            let begun = Instant::now();
            if begun >= self.until {
                return;
            }
            let record = self.record.clone();
            match timeout_at(self.until, self.post(&record)).await {
                Ok(Ok(true)) => {
                    self.until = begun + ttl;
                    next = begun + ttl / 3;
                }
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(e)) => {
                    tracing::debug!(lease = self.name, error = %e, "a lease could not be written anew; it is tried again");
                    next = Instant::now() + PAUSE;
                }
            }
        }
    }

    /// Gives the lease back; with the time where the work was done. False: another node has it, and nothing was recorded.
    pub async fn give_back(mut self, done: Option<Timestamp>) -> Result<bool> {
        let done = done.map(Timestamp::millis).or(self.record.done);
        let record = Record { holder: None, done, ..self.record.clone() };
        self.post(&record).await
    }

    /// Writes the record, if the lease is still ours.
    async fn post(&mut self, record: &Record) -> Result<bool> {
        let text = record.text()?;
        for _ in 0..2 {
            if let Some(mark) = self.node.board.write(&self.name, text.clone(), Some(&self.mark)).await? {
                self.mark = mark;
                return Ok(true);
            }
            // What was there may be a write of ours whose answer was lost.
            let Some(posted) = self.node.board.read(&self.name).await? else { return Ok(false) };
            let there = Record::parse(&posted)?;
            if there.fence != self.record.fence || there.holder.as_ref() != Some(&self.node.name) {
                return Ok(false);
            }
            self.mark = posted.mark;
        }
        Ok(false)
    }
}
