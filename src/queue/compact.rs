//! The length of the journal kept in bounds, ended jobs forgotten, copies of the queue, and its proof for fsck.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::timestamp::Timestamp;
use crate::follow::input_of;
use crate::journal::compact::{self as merge, Input};
use crate::journal::log::{disk_error, sync_dir};
use crate::journal::op::parse_ops;
use crate::journal::segment::{self, Contents};
use crate::journal::sorted::Stamp;
use crate::journal::{Journal, Position};
use crate::private;
use crate::queue::job::{JobId, Phase};
use crate::queue::rows::{self, Counts, Table};
use crate::queue::{Queue, Settings, letter, lock_folder, view};

/// The journal is compacted when it has this many segments, and they are no less than half of what is live: each byte
/// is then written at most twice more.
const SEGMENTS: usize = 4;

impl Queue {
    /// What is done from time to time: forgets ended jobs and compacts the journal, where either is due.
    pub async fn upkeep(&self) -> Result<()> {
        self.expire().await?;
        let kept = self.shared.settings.kept.as_millis() as u64;
        self.expire_letters(Timestamp::from_millis(self.shared.now().millis().saturating_sub(kept))).await?;
        self.compact().await.map(drop)
    }

    async fn expire(&self) -> Result<()> {
        loop {
            let ended = self.read(view::ended).await?;
            let settings = &self.shared.settings;
            let (kept, keep) = (settings.kept, settings.kept_jobs);
            let more = self.inlet.submit(move |machine| {
                let before = machine.now.millis().saturating_sub(kept.as_millis() as u64);
                machine.expire(Timestamp::from_millis(before), ended, keep)
            });
            if !more.await? {
                return Ok(());
            }
        }
    }

    /// True: the journal was long, and is a snapshot now.
    pub async fn compact(&self) -> Result<bool> {
        let _alone = self.shared.compacting.lock().await;
        let begin = self.inlet.between(|journal| {
            let live = journal.snapshot().map_or(0, |s| s.bytes);
            let sealed = journal.sealed();
            if sealed.len() < SEGMENTS || sealed.iter().map(|s| s.valid_len).sum::<u64>() < live / 2 {
                return None;
            }
            journal.roll();
            let stamp = Stamp { log: journal.log_id(), upto: journal.end().segment, next_sequence: journal.next_sequence() };
            Some((input_of(journal), stamp))
        });
        let Some((input, stamp)) = begin.await? else { return Ok(false) };
        let old = input.snapshot.clone();
        let dir = input.dir.clone();
        let new = tokio::task::spawn_blocking(move || merge::write_snapshot(&input, stamp, &mut |_| Ok(())));
        let new = new.await.map_err(Error::internal)??;
        self.inlet.between(move |journal| journal.install(new)).await?;
        // The new snapshot is durable in the folder and stands for all of these.
        tokio::task::spawn_blocking(move || {
            if let Some(old) = old {
                std::fs::remove_file(old)?;
            }
            for number in segments(&dir)?.into_iter().filter(|n| *n <= stamp.upto) {
                std::fs::remove_file(segment::path(&dir, number))?;
            }
            Ok(())
        })
        .await
        .map_err(Error::internal)?
        .map_err(|e: io::Error| Error::storage(e))?;
        Ok(true)
    }

    /// A consistent copy into `target`, which becomes a queue's folder. The index is left out: it is rebuilt.
    pub async fn backup(&self, target: &Path) -> Result<()> {
        let _alone = self.shared.compacting.lock().await;
        let (input, end) = self
            .inlet
            .between(|journal| {
                journal.roll();
                (input_of(journal), journal.end())
            })
            .await?;
        let target = target.join("journal");
        tokio::task::spawn_blocking(move || copy(&input, end, &target)).await.map_err(Error::internal)?.map_err(disk_error)
    }
}

fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        numbers.extend(segment::parse_name(&entry?.file_name().to_string_lossy(), ".seg"));
    }
    Ok(numbers)
}

fn copy(input: &Input, end: Position, target: &Path) -> io::Result<()> {
    private::make_dir(target)?;
    if let Some(snapshot) = &input.snapshot {
        link(snapshot, &target.join(snapshot.file_name().unwrap_or_default()))?;
    }
    for sealed in &input.segments {
        let (from, to) = (segment::path(&input.dir, sealed.number), segment::path(target, sealed.number));
        if sealed.number < end.segment {
            link(&from, &to)?;
            continue;
        }
        // No successor says how far the last one is valid, so the copy ends there.
        let mut file = private::create_new(&to)?;
        io::copy(&mut File::open(&from)?.take(end.offset), &mut file)?;
        file.sync_all()?;
    }
    sync_dir(target)?;
    target.parent().map_or(Ok(()), sync_dir)
}

/// A second name for a file that is never written again, or a copy where that can't be.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to)?;
    File::open(to)?.sync_all()
}

/// What fsck says of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub jobs: u64,
    pub unfinished: u64,
    /// Each names the place and what is wrong there.
    pub problems: Vec<String>,
}

/// Proves the journal, offline: every batch and every record. None: there is no queue in the folder.
/// Err: it can't be checked at all (in use, newer format).
pub fn check(settings: &Settings) -> Result<Option<Report>> {
    if !settings.dir.exists() {
        return Ok(None);
    }
    let _lock = lock_folder(&settings.dir)?;
    let mut report = Report::default();
    if let Err(e) = prove(settings, &mut report) {
        report.problems.push(e.to_string());
    }
    Ok(Some(report))
}

fn prove(settings: &Settings, report: &mut Report) -> Result<()> {
    let (journal, recovered) = Journal::open(settings.journal())?;
    for sealed in &recovered.segments {
        segment::walk(journal.dir(), &recovered.log, *sealed, segment::first_batch(), Contents::Prove, &mut |_, ops| {
            parse_ops(ops).map(drop).ok_or_else(|| Error::internal("a journal batch holds something that is no operation"))
        })?;
    }
    let mut counts = Counts::default();
    // Jobs come first, and what belongs to a job follows in the order of ids.
    let mut orphans = 0u64;
    let mut ids = std::collections::HashSet::new();
    merge::merge(&input_of(&journal), &mut |op| {
        let Some(value) = op.value else { return Ok(()) };
        let table = Table::of(op.table)?;
        match table {
            Table::Jobs => {
                let job = rows::decode_job(value)?;
                counts.add(job.state.phase());
                ids.insert(job.id);
            }
            Table::Payloads | Table::Items => {
                let id = op.key.get(..16).and_then(JobId::from_bytes);
                orphans += u64::from(id.is_none_or(|id| !ids.contains(&id)));
            }
            Table::Changes => drop(rows::decode_payload(value)?),
            Table::Numbers => drop(letter::decode_number(value)?),
            Table::Letters => drop(letter::decode(value)?),
            Table::DeadLetters => drop(letter::decode_dead(value)?),
            Table::Ready | Table::Due | Table::Keys | Table::Gathers | Table::Phases => return Err(table.misplaced()),
            Table::Ended | Table::Counts | Table::Loads | Table::Boxes => return Err(table.misplaced()),
        }
        Ok(())
    })?;
    if orphans > 0 {
        report.problems.push(format!("{orphans} payloads or items belong to no job"));
    }
    report.jobs = ids.len() as u64;
    report.unfinished = counts.of(Phase::Waiting) + counts.of(Phase::Running);
    Ok(())
}
