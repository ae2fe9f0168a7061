//! What the queue knows of a job: its record, its states, what a new one brings, and the limits on each.
//!
//! The payload is a JSON document with a version, so that a newer program can read what an older one left behind; the
//! queue never looks into it. Items are a set of short texts that a job may gather until it is first claimed.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{AccessKeyId, TenantId};
use crate::base::timestamp::Timestamp;

/// A payload is loaded whole when its job runs; `workers` of them are in memory at once.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;
/// Written with the record at each change: kept short.
pub const MAX_RESULT_BYTES: usize = 16 * 1024;
pub const MAX_REASON_BYTES: usize = 1024;
pub const MAX_KEY_BYTES: usize = 256;
/// An object key in a URL, every byte of it percent-encoded, and then some.
pub const MAX_ITEM_BYTES: usize = 4096;
/// All items of a job are in memory while it runs.
pub const MAX_ITEMS: u32 = 3000;

/// Sorts by the time it was made at; its random part can't be guessed and is new in every data folder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId([u8; 16]);

impl JobId {
    pub fn new(now: Timestamp) -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|e| Error::internal(e.to_string()))?;
        bytes[..6].copy_from_slice(&now.millis().to_be_bytes()[2..]);
        Ok(JobId(bytes))
    }

    /// The 32 hexadecimal digits that `Display` writes.
    pub fn parse(text: &str) -> Result<Self> {
        let mut bytes = [0; 16];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(JobId(bytes)),
            Err(_) => Err(no_such_job()),
        }
    }

    /// To the millisecond, by the clock of that time.
    pub fn made(&self) -> Timestamp {
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&self.0[..6]);
        Timestamp::from_millis(u64::from_be_bytes(millis))
    }

    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(JobId)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The same for a job that is not there and for one of another tenant.
pub fn no_such_job() -> Error {
    Error::new(ErrorKind::NotFound, "There is no such job. Jobs that have ended are forgotten after a while.")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// `due` None: as soon as there is room.
    Waiting {
        due: Option<Timestamp>,
    },
    Running {
        since: Timestamp,
    },
    Done {
        at: Timestamp,
    },
    /// Given up, with a reason. `retry` begins anew.
    Dead {
        at: Timestamp,
    },
    Cancelled {
        at: Timestamp,
    },
}

/// A state by its name alone: for lists, counts and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Waiting,
    Running,
    Dead,
    Cancelled,
    Done,
}

impl Phase {
    /// The order of lists: what needs eyes comes before what has ended well.
    pub const ALL: [Phase; 5] = [Phase::Running, Phase::Waiting, Phase::Dead, Phase::Cancelled, Phase::Done];

    pub const fn name(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting",
            Phase::Running => "running",
            Phase::Dead => "dead",
            Phase::Cancelled => "cancelled",
            Phase::Done => "done",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// Its place in `ALL`, which is also its byte in rows.
    pub const fn index(self) -> usize {
        match self {
            Phase::Running => 0,
            Phase::Waiting => 1,
            Phase::Dead => 2,
            Phase::Cancelled => 3,
            Phase::Done => 4,
        }
    }

    pub const fn has_ended(self) -> bool {
        matches!(self, Phase::Dead | Phase::Cancelled | Phase::Done)
    }
}

impl State {
    pub const fn phase(self) -> Phase {
        match self {
            State::Waiting { .. } => Phase::Waiting,
            State::Running { .. } => Phase::Running,
            State::Dead { .. } => Phase::Dead,
            State::Cancelled { .. } => Phase::Cancelled,
            State::Done { .. } => Phase::Done,
        }
    }

    pub const fn ended(self) -> Option<Timestamp> {
        match self {
            State::Waiting { .. } | State::Running { .. } => None,
            State::Dead { at } | State::Cancelled { at } | State::Done { at } => Some(at),
        }
    }
}

/// The record. Its payload and items are rows of their own, so that a change of state does not write them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub tenant: TenantId,
    pub kind: String,
    pub state: State,
    pub created: Timestamp,
    pub priority: u8,
    pub deadline: Option<Timestamp>,
    /// The idempotency key: as long as the job is remembered, no second one of its tenant and kind has it.
    pub key: Option<String>,
    /// Under this name it still takes items. None: it never did, it is full, or it has been claimed.
    pub gathers: Option<String>,
    pub items: u32,
    /// Attempts that were begun. Also tells a late answer of an earlier attempt from that of the current one.
    pub attempts: u32,
    pub max_attempts: u32,
    /// Why the last attempt failed, or why the job was given up.
    pub reason: Option<String>,
    /// A JSON document.
    pub result: Option<String>,
    /// The access key of the tenant who asked for it, where that is known. Stored behind the rest, as all that came later.
    #[serde(skip)]
    pub asked_by: Option<AccessKeyId>,
    /// None: it ends.
    #[serde(skip)]
    pub recurs: Option<Recurs>,
}

/// Before the names of jobs that recur, in their idempotency keys.
pub const RECURRING: &str = "recurring/";

/// What the record of a job that recurs has more than others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurs {
    /// From the end of one run to the begin of the next.
    pub every: Duration,
    /// When it was done last, here.
    pub done: Option<Timestamp>,
}

impl Job {
    /// Its name, where it recurs.
    pub fn recurring(&self) -> Option<&str> {
        self.recurs.as_ref()?;
        self.key.as_deref()?.strip_prefix(RECURRING)
    }
}

/// The version and the JSON document of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    pub version: u16,
    pub document: Vec<u8>,
}

impl Payload {
    pub fn of(version: u16, document: &impl Serialize) -> Result<Self> {
        Ok(Payload { version, document: serde_json::to_vec(document).map_err(Error::internal)? })
    }
}

/// What comes in. Fields that are not set are as `NewJob::new` makes them.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub tenant: TenantId,
    pub kind: &'static str,
    pub payload: Payload,
    pub items: Vec<String>,
    /// Higher ones first, among the jobs of one tenant.
    pub priority: u8,
    /// Earliest first among equal priorities. A job that was not begun by then is given up: it is of no use any more.
    pub deadline: Option<Timestamp>,
    /// Not before.
    pub due: Option<Timestamp>,
    pub key: Option<String>,
    pub max_attempts: u32,
    /// Where a tenant asked for it with a request.
    pub asked_by: Option<AccessKeyId>,
    pub recurs: Option<Recurs>,
}

impl NewJob {
    pub const NORMAL: u8 = 100;

    pub fn new(tenant: TenantId, kind: &'static str, payload: Payload) -> Self {
        NewJob {
            tenant,
            kind,
            payload,
            items: Vec::new(),
            priority: Self::NORMAL,
            deadline: None,
            due: None,
            key: None,
            max_attempts: 20,
            asked_by: None,
            recurs: None,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let long = |what| Err(Error::new(ErrorKind::EntityTooLarge, format!("The job's {what} is larger than jobs may have.")));
        if self.payload.document.len() > MAX_PAYLOAD_BYTES {
            return long("payload");
        }
        if self.key.as_ref().is_some_and(|k| k.len() > MAX_KEY_BYTES) {
            return long("idempotency key");
        }
        if self.items.len() > MAX_ITEMS as usize || self.items.iter().any(|i| i.len() > MAX_ITEM_BYTES) {
            return long("list of items");
        }
        Ok(())
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With a JSON document, where there is something to tell.
    Done(Option<String>),
    /// Again after a while, unless the attempts are used up.
    Retry { reason: String, after: Duration },
    /// Another attempt would change nothing.
    Dead { reason: String },
    /// Not begun in earnest, or cut by a stop: the attempt does not count.
    HandedBack,
    /// Another node does it, or did. The attempt does not count.
    NotNow { after: Duration },
}

/// Cut at a character, so that a long error text never makes a record grow.
pub fn shortened(mut text: String) -> String {
    if text.len() > MAX_REASON_BYTES {
        let end = (0..=MAX_REASON_BYTES).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_round_trip() {
        let (a, b) = (JobId::new(Timestamp::from_secs(1000)).unwrap(), JobId::new(Timestamp::from_secs(1001)).unwrap());
        assert!(a < b);
        assert_eq!(JobId::parse(&a.to_string()).unwrap(), a);
        assert!(JobId::parse("zz").is_err());
        assert!(JobId::parse(&"0".repeat(34)).is_err());
    }

    #[test]
    fn phases_know_their_place() {
        assert!(Phase::ALL.iter().enumerate().all(|(i, p)| p.index() == i && Phase::parse(p.name()) == Some(*p)));
    }

    #[test]
    fn reasons_are_cut_at_a_character() {
        let text = shortened("é".repeat(600));
        assert_eq!(text.len(), 1024);
        assert_eq!(shortened(format!("a{}", "é".repeat(600))).len(), 1023);
    }
}
