//! A pass over the journal: proves what nothing refers to any more and lets it go; writes a snapshot where that shortens the log.
//!
//! Candidates come from rows that the writer made where a hint said "unused". The pass reads the whole truth, never the
//! index: a candidate that some live row mentions is spared. The writer notes what it refers to from the moment the pass
//! begins, so that nothing slips in between; it has the last word in one command, and only then files are unlinked.
//! Segments of the journal that hold no live body go the same way; those with few have them moved forward first.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::follow::input_of;
use crate::index::Walk;
use crate::journal::OpRef;
use crate::journal::compact::{self, Input};
use crate::journal::segment;
use crate::journal::sorted::Stamp;
use crate::local::placing::Name;
use crate::local::rows::{BodyPlace, DropKind, DropRow, HashRow, Id, ObjectRow, Table, VersionRow, key};
use crate::local::shared::{Seen, Shared};
use crate::local::stored;
use crate::local::txn::Txn;
use crate::local::versions;

/// Candidates of one pass: bounds its memory (10 MB). The rest waits for the next.
const MAX_CANDIDATES: usize = 100_000;
/// Candidates let go in one command: keeps its batch small.
const DROP_AT_ONCE: usize = 500;
/// A segment is emptied when less than a third of it is live: each byte is then moved at most once per two freed.
const SPARSE: u64 = 3;
/// Segments emptied in one pass, and bodies moved in one command.
const EMPTY_AT_ONCE: usize = 4;
const MOVE_AT_ONCE: usize = 64;
/// Bodies moved in one pass: bounds its memory (20 MB). A segment that still has some is found sparse again.
const MAX_MOVES: usize = 100_000;

#[derive(Default)]
pub struct Collector {
    /// Segments that the last pass found nearly empty.
    sparse: HashSet<u64>,
}

/// What a pass did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    pub dropped: usize,
    pub spared: usize,
    pub moved: usize,
    pub segments_removed: usize,
    pub snapshot: bool,
}

/// What the merge found.
struct Found {
    unreferenced: HashMap<Id, DropRow>,
    referenced: Vec<(Id, DropRow)>,
    /// Live bytes by segment.
    live: HashMap<u64, u64>,
    /// Versions whose body lies in a segment that is being emptied.
    to_move: Vec<Version>,
}

/// One version by its key and generation.
#[derive(Clone)]
struct Version {
    bucket: BucketName,
    key: ObjectKey,
    generation: u64,
}

struct Begin {
    input: Input,
    stamp: Stamp,
}

impl Collector {
    /// None: there was nothing to do.
    pub fn run_if_due(&mut self, shared: &Arc<Shared>) -> Result<Option<Report>> {
        let log_is_long = {
            let limit = shared.settings.compact_segments;
            shared.queue.between(move |journal| journal.sealed().len() >= limit)?
        };
        shared.staging.remove_left();
        shared.adopt_orphans()?;
        let due = shared.due_candidates()?;
        if due.is_empty() && !log_is_long && self.sparse.is_empty() {
            return Ok(None);
        }
        self.run(shared, due, log_is_long || !self.sparse.is_empty()).map(Some)
    }

    pub fn run(&mut self, shared: &Arc<Shared>, due: HashMap<Id, DropRow>, snapshot: bool) -> Result<Report> {
        // A backup links what is there; nothing may go meanwhile.
        let _hold = shared.hold.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = {
            let shared = shared.clone();
            shared.clone().queue.between(move |journal| {
                shared.references.watch();
                journal.roll();
                let upto = journal.end().segment;
                Begin { input: input_of(journal), stamp: Stamp { log: journal.log_id(), upto, next_sequence: journal.next_sequence() } }
            })?
        };
        let result = self.proceed(shared, &begin, due, snapshot);
        shared.references.unwatch();
        result
    }

    fn proceed(&mut self, shared: &Arc<Shared>, begin: &Begin, due: HashMap<Id, DropRow>, snapshot: bool) -> Result<Report> {
        let emptying = std::mem::take(&mut self.sparse);
        let mut found = Found { unreferenced: due, referenced: Vec::new(), live: HashMap::new(), to_move: Vec::new() };
        let mut look = |op: &OpRef<'_>| found.look(op, &emptying);
        let mut report = Report::default();
        if snapshot && !begin.input.segments.is_empty() {
            let old = begin.input.snapshot.clone();
            let new = compact::write_snapshot(&begin.input, begin.stamp, &mut look)?;
            shared.queue.between(move |journal| journal.install(new))?;
            // The new one is durable in the folder; the old one is only a second answer.
            if let Some(old) = old {
                let _read = shared.journal_read.lock().unwrap_or_else(PoisonError::into_inner);
                std::fs::remove_file(old).map_err(Error::internal)?;
            }
            report.snapshot = true;
        } else {
            compact::merge(&begin.input, &mut look)?;
        }
        shared.let_go(&mut report, found.unreferenced, found.referenced)?;
        report.moved = shared.move_bodies(&emptying, &found.to_move)?;
        if report.snapshot {
            report.segments_removed = shared.remove_segments(begin.stamp.upto, &found.live)?;
            self.sparse = sparse_segments(shared, begin.stamp.upto, &found.live)?;
            self.sparse.retain(|n| !emptying.contains(n));
        }
        tracing::debug!(?report, "a pass over the journal");
        Ok(report)
    }
}

impl Found {
    fn look(&mut self, op: &OpRef<'_>, emptying: &HashSet<u64>) -> Result<()> {
        let Some(value) = op.value else { return Ok(()) };
        let mut seen = Seen::default();
        match Table::of(op.table)? {
            Table::Objects => {
                let row = stored::decode::<ObjectRow>(value)?;
                self.look_at(&row, op.key, emptying)?;
                seen.object(&row);
            }
            Table::Versions => {
                // A marker has no body.
                if let VersionRow::Object(row) = stored::decode(value)? {
                    self.look_at(&row, key::split_version(op.key)?.0, emptying)?;
                    seen.object(&row);
                }
            }
            // None of them has a body in a segment.
            table @ (Table::Meta
            | Table::Buckets
            | Table::Uploads
            | Table::Parts
            | Table::Manifests
            | Table::Completed
            | Table::Settings
            | Table::Drops
            | Table::Rehash
            | Table::Hashes
            | Table::ManifestRefs
            | Table::Usage
            | Table::NullVersions
            | Table::Due
            | Table::KeyUses) => seen.row(table, value)?,
        }
        for id in seen.ids {
            self.referenced.extend(self.unreferenced.remove_entry(&id));
        }
        Ok(())
    }

    /// `object`: the row key of the version's object.
    fn look_at(&mut self, row: &ObjectRow, object: &[u8], emptying: &HashSet<u64>) -> Result<()> {
        let BodyPlace::Inline { segment, len, .. } = row.tail.place else { return Ok(()) };
        *self.live.entry(segment).or_default() += u64::from(len);
        if emptying.contains(&segment) && self.to_move.len() < MAX_MOVES {
            let (bucket, key) = key::split(object)?;
            let (bucket, key) = (BucketName::parse(bucket)?, ObjectKey::parse(key)?);
            self.to_move.push(Version { bucket, key, generation: row.tail.generation });
        }
        Ok(())
    }
}

impl Shared {
    /// Files of writes whose fate is unknown become candidates.
    fn adopt_orphans(&self) -> Result<()> {
        let names = self.orphans.take();
        for (done, some) in names.chunks(DROP_AT_ONCE).enumerate() {
            let adopt = some.to_vec();
            let adopted = self.queue.submit_blocking(move |txn| adopt.iter().try_for_each(|n| txn.drop_later(&n.scope, n.kind, n.id)));
            if let Err(e) = adopted {
                names.iter().skip(done * DROP_AT_ONCE).for_each(|name| self.orphans.add(name.clone()));
                return Err(e);
            }
        }
        self.close_folders();
        Ok(())
    }

    pub fn due_candidates(&self) -> Result<HashMap<Id, DropRow>> {
        let now = self.clock.now();
        let mut due = HashMap::new();
        self.index()?.scan(Table::Drops, b"", &mut |k, v| {
            let row: DropRow = stored::decode(v)?;
            if now.since(row.since) >= self.settings.drop_grace {
                due.insert(key::parse_id(k)?, row);
            }
            Ok(if due.len() < MAX_CANDIDATES { Walk::Next } else { Walk::Stop })
        })?;
        Ok(due)
    }

    fn let_go(self: &Arc<Self>, report: &mut Report, unreferenced: HashMap<Id, DropRow>, referenced: Vec<(Id, DropRow)>) -> Result<()> {
        report.spared = referenced.len();
        for some in referenced.chunks(DROP_AT_ONCE) {
            let some = some.to_vec();
            self.queue.submit_blocking(move |txn| some.iter().try_for_each(|(id, row)| spare(txn, *id, row)))?;
        }
        let candidates: Vec<(Id, DropRow)> = unreferenced.into_iter().collect();
        for some in candidates.chunks(DROP_AT_ONCE) {
            let (shared, some) = (self.clone(), some.to_vec());
            let gone = self.queue.submit_blocking(move |txn| decide_drops(txn, &shared, some))?;
            for (id, row) in gone {
                report.dropped += 1;
                self.unlink(id, &row);
            }
        }
        Ok(())
    }

    /// The journal says that the file is gone. One that can't be removed is proven once more in the next pass.
    fn unlink(&self, id: Id, row: &DropRow) {
        let Some(path) = self.layout.dropped(&row.scope, row.kind, id) else { return };
        if let Err(e) = std::fs::remove_file(path)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(error = %e, "an unused file could not be removed; it is tried again");
            self.orphans.add(Name { scope: row.scope.clone(), kind: row.kind, id });
        }
        self.remove_folder_if_empty(&row.scope, id);
        // Afterwards, so that nobody opens it again by its name.
        self.files.forget(id);
    }

    /// Appends live bodies of nearly empty segments again, where their versions still refer to the old place.
    fn move_bodies(self: &Arc<Self>, emptying: &HashSet<u64>, versions: &[Version]) -> Result<usize> {
        let mut moved = 0;
        for some in versions.chunks(MOVE_AT_ONCE) {
            let mut bodies = Vec::new();
            for version in some {
                let Some(entry) = self.load_version(&version.bucket, &version.key, version.generation)? else { continue };
                let BodyPlace::Inline { segment, .. } = entry.place else { continue };
                if !emptying.contains(&segment) {
                    continue;
                }
                if let Some(body) = self.read_whole(&entry)? {
                    bodies.push((version.clone(), entry.place, body));
                }
            }
            moved += self.queue.submit_blocking(move |txn| {
                bodies.into_iter().try_fold(0, |n, (version, place, body)| Ok(n + usize::from(relocate(txn, &version, place, body)?)))
            })?;
        }
        Ok(moved)
    }

    /// Segments that the snapshot stands for and that hold no live body.
    fn remove_segments(self: &Arc<Self>, upto: u64, live: &HashMap<u64, u64>) -> Result<usize> {
        let dead: Vec<u64> = segment_numbers(self, upto)?.into_iter().filter(|n| !live.contains_key(n)).collect();
        let shared = self.clone();
        let _read = self.journal_read.lock().unwrap_or_else(PoisonError::into_inner);
        // Between two batches no reference can come up while we look.
        let removed = self.queue.between(move |journal| -> Result<Vec<u64>> {
            let dead: Vec<u64> = shared.references.with(|seen| dead.into_iter().filter(|n| !seen.segments.contains(n)).collect())?;
            for number in &dead {
                std::fs::remove_file(segment::path(journal.dir(), *number)).map_err(Error::internal)?;
            }
            Ok(dead)
        })??;
        removed.iter().for_each(|n| self.segments.forget(*n));
        Ok(removed.len())
    }
}

/// A candidate that is in use. If it became one anew while the pass ran, that newer row stays.
fn spare(txn: &mut Txn<'_>, id: Id, row: &DropRow) -> Result<()> {
    let now: Option<DropRow> = txn.get_row(Table::Drops, &key::id(id))?;
    if now.as_ref() == Some(row) { txn.del_row(Table::Drops, key::id(id)) } else { Ok(()) }
}

/// The last word: nothing that was written since the pass began, or earlier in this batch, may speak of the candidate.
fn decide_drops(txn: &mut Txn<'_>, shared: &Shared, candidates: Vec<(Id, DropRow)>) -> Result<Vec<(Id, DropRow)>> {
    let mut batch = Seen::default();
    batch.txn(txn)?;
    let candidates: Vec<(Id, DropRow)> = shared
        .references
        .with(|seen| candidates.into_iter().filter(|(id, _)| !seen.ids.contains(id) && !batch.ids.contains(id)).collect())?;
    let mut gone = Vec::new();
    for (id, row) in candidates {
        // The row is the journal's word that this is a candidate at all.
        let still: Option<DropRow> = txn.get_row(Table::Drops, &key::id(id))?;
        if still.is_none() {
            continue;
        }
        txn.del_row(Table::Drops, key::id(id))?;
        if row.kind == DropKind::Manifest {
            let manifest = txn.manifest(id)?.unwrap_or_default();
            txn.del_row(Table::Manifests, key::id(id))?;
            // Each file is proven by itself in the next pass.
            for file in manifest.files {
                txn.drop_later(&row.scope, DropKind::Part, file.id)?;
            }
        }
        gone.push((id, row));
    }
    Ok(gone)
}

fn relocate(txn: &mut Txn<'_>, Version { bucket, key, generation }: &Version, from: BodyPlace, body: Bytes) -> Result<bool> {
    let Some(there) = versions::of_generation(txn, bucket, key, *generation)?.filter(|row| row.tail.place == from) else {
        return Ok(false);
    };
    let known = match there.shared_hash() {
        // Under keys equal content may be different bytes.
        Some(sha256) => txn.content(&there.scope(), sha256)?.filter(|c| c.place != from && is_same_body(c, &there)).map(|c| c.place),
        None => None,
    };
    let mut row = (*there).clone();
    row.tail.place = match known {
        // Another version with this content was moved before.
        Some(place @ (BodyPlace::Inline { .. } | BodyPlace::Pending(_))) => place,
        _ => txn.add_content(body)?,
    };
    versions::rewrite(txn, bucket, key, Arc::new(row))?;
    Ok(true)
}

fn is_same_body(content: &HashRow, row: &ObjectRow) -> bool {
    content.held.as_ref().map(|held| held.envelope.body) == row.tail.envelope.as_ref().map(|envelope| envelope.body)
}

fn segment_numbers(shared: &Shared, upto: u64) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(shared.layout.journal()).map_err(Error::internal)? {
        let name = entry.map_err(Error::internal)?.file_name();
        numbers.extend(segment::parse_name(&name.to_string_lossy(), ".seg").filter(|n| *n <= upto));
    }
    Ok(numbers)
}

fn sparse_segments(shared: &Shared, upto: u64, live: &HashMap<u64, u64>) -> Result<HashSet<u64>> {
    let mut sparse = HashSet::new();
    for number in segment_numbers(shared, upto)? {
        let Some(live) = live.get(&number) else { continue };
        let len = std::fs::metadata(segment::path(&shared.layout.journal(), number)).map_err(Error::internal)?.len();
        if live.saturating_mul(SPARSE) < len && sparse.len() < EMPTY_AT_ONCE {
            sparse.insert(number);
        }
    }
    Ok(sparse)
}
