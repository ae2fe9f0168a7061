//! Changes that are being made, each on record from before its write begins until what follows from it is on record.
//!
//! One command takes the record away and makes the jobs and letters that follow: none of them is made twice, and none is lost with the process. Not
//! here: what a change is, who follows it (`ops::changes`).

use crate::base::error::Result;
use crate::index::Walk;
use crate::queue::Queue;
use crate::queue::job::{JobId, NewJob, Payload};
use crate::queue::letter::Letter;
use crate::queue::machine::Machine;
use crate::queue::rows::{self, Table};

/// Names a record. As random as a job's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChangeId(JobId);

/// What follows from a change.
#[derive(Debug)]
pub enum Following {
    /// It gathers: until it is begun, later changes add their items to it.
    Job {
        gathers_under: String,
        job: NewJob,
    },
    Letter(Letter),
}

impl Queue {
    /// Ok: the record is durable.
    pub async fn begin_change(&self, change: Payload) -> Result<ChangeId> {
        self.inlet.submit(move |machine| machine.begin_change(&change)).await
    }

    /// The write has ended, whatever became of it. Said again it changes nothing.
    pub async fn end_change(&self, id: ChangeId, all: Vec<Following>) -> Result<()> {
        self.inlet.submit(move |machine| machine.end_change(id, all)).await
    }

    /// What follows from a change which is not on record.
    pub async fn gather_all(&self, all: Vec<Following>) -> Result<()> {
        self.inlet.submit(move |machine| machine.gather_all(all)).await
    }

    /// All that have no end.
    pub async fn open_changes(&self) -> Result<Vec<(ChangeId, Payload)>> {
        self.read(|index| {
            let mut open = Vec::new();
            index.scan(Table::Changes, b"", &mut |k, row| {
                open.extend(JobId::from_bytes(k).map(ChangeId).zip(Some(rows::decode_payload(row)?)));
                Ok(Walk::Next)
            })?;
            Ok(open)
        })
        .await
    }
}

impl Machine<'_, '_> {
    pub fn begin_change(&mut self, change: &Payload) -> Result<ChangeId> {
        let id = JobId::new(self.now)?;
        self.txn.set((Table::Changes, id.bytes().to_vec(), Some(rows::encode_payload(change))));
        Ok(ChangeId(id))
    }

    pub fn end_change(&mut self, ChangeId(id): ChangeId, all: Vec<Following>) -> Result<()> {
        if self.txn.get(Table::Changes, id.bytes())?.is_none() {
            return Ok(());
        }
        self.gather_all(all)?;
        self.txn.set((Table::Changes, id.bytes().to_vec(), None));
        Ok(())
    }

    pub fn gather_all(&mut self, all: Vec<Following>) -> Result<()> {
        // What is refused is refused before anything is changed.
        all.iter().try_for_each(|following| match following {
            Following::Job { job, .. } => job.check(),
            Following::Letter(letter) => letter.check(),
        })?;
        all.into_iter().try_for_each(|following| match following {
            Following::Job { gathers_under, job } => self.gather(&gathers_under, job).map(drop),
            Following::Letter(letter) => self.post(letter),
        })
    }
}
