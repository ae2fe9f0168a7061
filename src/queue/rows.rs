//! The tables of the queue and the bytes of their rows; which derived rows follow from a change of a job.
//!
//! Truth, in the journal and the index: jobs, their payloads and items, changes, letters (`letters`). The rest is in the index only and follows from the jobs: a
//! rebuild makes it anew. A promoted job (its time has come: a row of `Due` became one of `Ready`) is the one thing that the
//! index knows and the journal does not, and a rebuild only forgets that it was done already.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::listed::listed;
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::queue::job::{Job, JobId, Payload, Phase, State};

listed! {
    /// The tables of the queue. Every place that decides what is kept or what follows matches all of them, so a new one does not
    /// compile until each such place says what it means there: `Table::is_truth`, `Txn::replay`, `replay::load`, `compact::prove`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[repr(u8)]
    pub enum Table {
        /// id -> version, Job.
        Jobs = 1,
        /// id -> version of the payload, its document.
        Payloads = 2,
        /// id, item -> nothing.
        Items = 3,
        /// id of a change that has no end yet -> as in `Payloads`.
        Changes = 4,
        /// box, NUL, number -> when it was posted, the payload.
        Letters = 5,
        /// The same -> the version, when and why it was given up, the payload.
        DeadLetters = 6,
        /// of what -> the highest number that was given out.
        Numbers = 7,
        /// lane, rank -> nothing: waiting, and the time has come. In the order in which they are claimed.
        Ready = 10,
        /// time, id -> the key in `Ready`.
        Due = 11,
        /// lane, idempotency key -> id.
        Keys = 12,
        /// lane, name -> id of the job that takes items under it.
        Gathers = 13,
        /// tenant, phase, id -> kind.
        Phases = 14,
        /// time of the end, id -> nothing.
        Ended = 15,
        /// kind -> how many of each phase.
        Counts = 16,
        /// tenant -> the load of its jobs that have not ended.
        Loads = 17,
        /// box -> how many letters wait there, and how many are dead.
        Boxes = 18,
    }
}

impl Table {
    /// The table that a record names. One that is not known was written by a newer version.
    pub fn of(code: u8) -> Result<Table> {
        Table::ALL.into_iter().find(|t| *t as u8 == code).ok_or_else(|| {
            Error::internal(format!(
                "the queue's journal has rows of table {code}, which this program does not know: start a newer tidegate"
            ))
        })
    }

    /// Truth goes to the journal. The others follow from it and live in the index alone.
    pub const fn is_truth(self) -> bool {
        match self {
            Table::Jobs | Table::Payloads | Table::Items | Table::Changes => true,
            Table::Letters | Table::DeadLetters | Table::Numbers => true,
            Table::Ready | Table::Due | Table::Keys | Table::Gathers | Table::Phases => false,
            Table::Ended | Table::Counts | Table::Loads | Table::Boxes => false,
        }
    }

    /// Err: a row that follows from others was in the journal.
    pub fn misplaced(self) -> Error {
        Error::internal(format!("the queue's journal has a row of {self:?}, which only the index has"))
    }
}

impl From<Table> for u8 {
    fn from(table: Table) -> u8 {
        table as u8
    }
}

/// A row that is set, or goes.
pub type Change = (Table, Vec<u8>, Option<Vec<u8>>);

const JOB_VERSION: u8 = 1;

pub fn encode_job(job: &Job) -> Result<Vec<u8>> {
    let row = postcard::to_extend(job, vec![JOB_VERSION]).map_err(Error::internal)?;
    // An older program reads up to here, and leaves what follows alone.
    match (&job.asked_by, &job.recurs) {
        (None, None) => Ok(row),
        later => postcard::to_extend(&later, row).map_err(Error::internal),
    }
}

pub fn decode_job(row: &[u8]) -> Result<Job> {
    match row.split_first() {
        Some((&JOB_VERSION, rest)) => {
            let (job, mut tail): (Job, &[u8]) = postcard::take_from_bytes(rest).map_err(Error::internal)?;
            Ok(Job { asked_by: take_later(&mut tail)?, recurs: take_later(&mut tail)?, ..job })
        }
        Some((version, _)) if *version > JOB_VERSION => Err(Error::new(
            ErrorKind::InternalError,
            format!("a job has format {version}, this program reads up to {JOB_VERSION}: start a newer tidegate on this data folder"),
        )),
        _ => Err(Error::internal("a row of the queue is no job")),
    }
}

/// A field that rows got later: one that an older program wrote ends before it.
fn take_later<T: DeserializeOwned + Default>(tail: &mut &[u8]) -> Result<T> {
    if tail.is_empty() {
        return Ok(T::default());
    }
    let (value, rest) = postcard::take_from_bytes(tail).map_err(Error::internal)?;
    *tail = rest;
    Ok(value)
}

pub fn encode_payload(payload: &Payload) -> Vec<u8> {
    [&payload.version.to_be_bytes()[..], &payload.document].concat()
}

pub fn decode_payload(row: &[u8]) -> Result<Payload> {
    let (version, document) = row.split_at_checked(2).ok_or_else(|| Error::internal("a row of the queue is no payload"))?;
    Ok(Payload { version: u16::from_be_bytes([version[0], version[1]]), document: document.to_vec() })
}

/// How many jobs of a kind are in each phase, by `Phase::index`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts(pub [u64; 5]);

impl Counts {
    pub fn add(&mut self, phase: Phase) {
        self.0[phase.index()] += 1;
    }

    pub fn take(&mut self, phase: Phase) {
        let cell = &mut self.0[phase.index()];
        *cell = cell.saturating_sub(1);
    }

    pub fn of(&self, phase: Phase) -> u64 {
        self.0[phase.index()]
    }

    pub fn ended(&self) -> u64 {
        Phase::ALL.iter().filter(|p| p.has_ended()).map(|p| self.of(*p)).sum()
    }

    pub fn encode(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(self).map_err(Error::internal)
    }

    pub fn decode(row: &[u8]) -> Result<Self> {
        postcard::from_bytes(row).map_err(Error::internal)
    }
}

/// What a job and its items cost while it has not ended: one each.
pub fn load(job: Option<&Job>) -> u64 {
    job.filter(|j| !j.state.phase().has_ended()).map_or(0, |j| 1 + u64::from(j.items))
}

pub fn encode_load(load: u64) -> Option<Vec<u8>> {
    (load > 0).then(|| load.to_be_bytes().to_vec())
}

pub fn decode_load(row: &[u8]) -> Result<u64> {
    row.try_into().map(u64::from_be_bytes).map_err(|_| Error::internal("a row of the queue is no load"))
}

pub mod key {
    use super::*;

    /// Where jobs of one tenant and kind stand in line. Neither name has a NUL in it.
    pub fn lane(tenant: &str, kind: &str) -> Vec<u8> {
        [tenant.as_bytes(), b"\0", kind.as_bytes(), b"\0"].concat()
    }

    /// Tenant and kind of a key that begins with a lane, and what follows.
    pub fn split_lane(key: &[u8]) -> Option<(&str, &str, &[u8])> {
        let mut parts = key.splitn(3, |b| *b == 0);
        let (tenant, kind, rest) = (parts.next()?, parts.next()?, parts.next()?);
        Some((std::str::from_utf8(tenant).ok()?, std::str::from_utf8(kind).ok()?, rest))
    }

    /// The place inside a lane: priority, deadline, age.
    pub fn rank(job: &Job) -> Vec<u8> {
        let deadline = job.deadline.map_or(u64::MAX, Timestamp::millis);
        [&[u8::MAX - job.priority][..], &deadline.to_be_bytes(), job.id.bytes()].concat()
    }

    pub fn ready(job: &Job) -> Vec<u8> {
        [lane(job.tenant.as_str(), &job.kind), rank(job)].concat()
    }

    /// The id at the end of a rank, of a row of `Due`, or of `Ended`.
    pub fn trailing_id(key: &[u8]) -> Result<JobId> {
        let id = key.len().checked_sub(16).and_then(|at| key.get(at..)).and_then(JobId::from_bytes);
        id.ok_or_else(|| Error::internal("a row of the queue has no id"))
    }

    pub fn at(time: Timestamp, id: &JobId) -> Vec<u8> {
        [&time.millis().to_be_bytes()[..], id.bytes()].concat()
    }

    /// The time that a row of `Due` or `Ended` begins with.
    pub fn time(key: &[u8]) -> Result<Timestamp> {
        let bytes = key.get(..8).and_then(|b| b.try_into().ok()).ok_or_else(|| Error::internal("a row of the queue has no time"))?;
        Ok(Timestamp::from_millis(u64::from_be_bytes(bytes)))
    }

    pub fn named(tenant: &TenantId, kind: &str, name: &str) -> Vec<u8> {
        [lane(tenant.as_str(), kind), name.as_bytes().to_vec()].concat()
    }

    pub fn phase(tenant: &str, phase: Phase) -> Vec<u8> {
        [tenant.as_bytes(), &[0, phase.index() as u8]].concat()
    }

    /// Tenant, phase and id.
    pub fn split_phase(key: &[u8]) -> Option<(&str, Phase, JobId)> {
        let end = key.len().checked_sub(18)?;
        let (tenant, rest) = key.split_at_checked(end)?;
        let phase = *Phase::ALL.get(usize::from(*rest.get(1)?))?;
        Some((std::str::from_utf8(tenant).ok()?, phase, JobId::from_bytes(rest.get(2..)?)?))
    }

    pub fn item(id: &JobId, item: &str) -> Vec<u8> {
        [id.bytes(), item.as_bytes()].concat()
    }
}

/// The rows of the index, beside `Counts`, that change with a job. `out` takes table, key and value; None: the row goes.
pub fn derive(old: Option<&Job>, new: Option<&Job>, out: &mut dyn FnMut(Change)) {
    let same_place = matches!((old, new), (Some(o), Some(n)) if o.state == n.state);
    if let Some(job) = old
        && !same_place
    {
        if let State::Waiting { due } = job.state {
            out((Table::Ready, key::ready(job), None));
            // It may have been promoted, or not: only one of the two rows is there.
            if let Some(due) = due {
                out((Table::Due, key::at(due, &job.id), None));
            }
        }
        if let Some(at) = job.state.ended() {
            out((Table::Ended, key::at(at, &job.id), None));
        }
        out((Table::Phases, phase_key(job), None));
    }
    if let Some(job) = new
        && !same_place
    {
        match job.state {
            State::Waiting { due: None } => out((Table::Ready, key::ready(job), Some(Vec::new()))),
            State::Waiting { due: Some(due) } => out((Table::Due, key::at(due, &job.id), Some(key::ready(job)))),
            State::Running { .. } => {}
            State::Done { at } | State::Dead { at } | State::Cancelled { at } => {
                out((Table::Ended, key::at(at, &job.id), Some(Vec::new())));
            }
        }
        out((Table::Phases, phase_key(job), Some(job.kind.as_bytes().to_vec())));
    }
    named(Table::Keys, |job| job.key.as_deref(), old, new, out);
    named(Table::Gathers, |job| job.gathers.as_deref(), old, new, out);
}

fn named(table: Table, name: impl Fn(&Job) -> Option<&str>, old: Option<&Job>, new: Option<&Job>, out: &mut dyn FnMut(Change)) {
    match (old.and_then(&name), new.and_then(&name)) {
        (Some(was), Some(is)) if was == is => {}
        (was, is) => {
            if let (Some(job), Some(was)) = (old, was) {
                out((table, key::named(&job.tenant, &job.kind, was), None));
            }
            if let (Some(job), Some(is)) = (new, is) {
                out((table, key::named(&job.tenant, &job.kind, is), Some(job.id.bytes().to_vec())));
            }
        }
    }
}

fn phase_key(job: &Job) -> Vec<u8> {
    [key::phase(job.tenant.as_str(), job.state.phase()), job.id.bytes().to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::names::AccessKeyId;
    use crate::queue::job::Recurs;

    fn job() -> Job {
        Job {
            id: JobId::from_bytes(&[7; 16]).unwrap(),
            tenant: TenantId::parse("acme").unwrap(),
            kind: "warm".into(),
            state: State::Waiting { due: None },
            created: Timestamp::from_secs(5),
            priority: 100,
            deadline: None,
            key: None,
            gathers: None,
            items: 3,
            attempts: 1,
            max_attempts: 20,
            reason: None,
            result: None,
            asked_by: None,
            recurs: None,
        }
    }

    #[test]
    fn a_record_of_an_older_program_has_none_of_the_later_fields() {
        let row = postcard::to_extend(&job(), vec![JOB_VERSION]).unwrap();
        assert_eq!(decode_job(&row).unwrap(), job());
        assert_eq!(encode_job(&job()).unwrap(), row);
    }

    #[test]
    fn an_older_program_reads_what_it_knows() {
        let asked_by = Some(AccessKeyId::parse("AKACME").unwrap());
        let recurs = Some(Recurs { every: Duration::from_secs(60), done: Some(Timestamp::from_secs(9)) });
        for (asked_by, recurs) in [(asked_by.clone(), None), (None, recurs.clone()), (asked_by, recurs)] {
            let new = Job { asked_by, recurs, ..job() };
            let row = encode_job(&new).unwrap();
            assert_eq!(decode_job(&row).unwrap(), new);
            // As it was read before: from the first byte on, whatever follows.
            assert_eq!(postcard::from_bytes::<Job>(&row[1..]).unwrap(), job());
            assert!(row.starts_with(&encode_job(&job()).unwrap()));
        }
    }
}
