//! A consistent copy of the store into an empty folder, while it serves. The copy is a data folder like any other.
//!
//! The journal is rolled, which fixes a moment; then what the log up to there speaks of is hard-linked (segments and bodies
//! are never written again), or copied where the folder is on another file system. Nothing is let go meanwhile. `FORMAT`
//! comes last (`seal`), when all that belongs to the copy is there: one that was cut off is refused as a data folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use crate::base::error::{Error, ErrorKind, Result};
use crate::follow::input_of;
use crate::journal::compact::{self, Input};
use crate::journal::log::{disk_error, sync_dir};
use crate::journal::{Position, segment};
use crate::local::layout::{Layout, write_format};
use crate::local::rows::{BodyPlace, Id, Manifest, ObjectRow, PartRow, Table, VersionRow, key};
use crate::local::scope::Scope;
use crate::local::shared::Shared;
use crate::local::stored;
use crate::private::{self, make_dir};

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub files: u64,
    pub segments: u64,
    /// Of the files that had to be copied because they could not be linked.
    pub copied_bytes: u64,
}

impl Shared {
    /// All but the seal. Blocks for as long as it takes; reads and writes go on.
    pub fn backup(self: &Arc<Self>, copy: &Layout) -> Result<Report> {
        prepare(copy.root())?;
        let shared = self.clone();
        let _hold = shared.hold.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = shared.queue.clone();
        let (input, end) = crate::local::open::on_a_thread(move || {
            queue.between(|journal| {
                journal.roll();
                (input_of(journal), journal.end())
            })
        })??;
        let mut report = Report::default();
        make_dir(&copy.journal()).map_err(disk_error)?;
        copy_journal(&shared.layout, copy, &input, end, &mut report).map_err(disk_error)?;
        copy_bodies(&shared.layout, copy, &input, &mut report)?;
        sync_tree(&copy.blobs()).map_err(disk_error)?;
        sync_dir(&copy.journal()).map_err(disk_error)?;
        copy_neighbours(&shared.layout, copy, &mut report).map_err(disk_error)?;
        Ok(report)
    }
}

/// The copy is whole.
pub fn seal(copy: &Layout) -> Result<()> {
    sync_dir(copy.root()).map_err(disk_error)?;
    write_format(&copy.format_file()).map_err(disk_error)?;
    sync_dir(copy.root()).map_err(disk_error)
}

/// What others keep in the folder beside the store, such as the operator's key: whoever starts from the copy needs it.
fn copy_neighbours(from: &Layout, to: &Layout, report: &mut Report) -> io::Result<()> {
    for entry in std::fs::read_dir(from.root())? {
        let entry = entry?;
        let is_own = [from.format_file(), from.lock_file()].contains(&entry.path());
        if entry.file_type()?.is_file() && !is_own {
            // A copy, with its mode: unlike the store's own files this one may be written again.
            let target = to.root().join(entry.file_name());
            report.copied_bytes += std::fs::copy(entry.path(), &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}

fn prepare(target: &Path) -> Result<()> {
    make_dir(target).map_err(disk_error)?;
    if std::fs::read_dir(target).map_err(disk_error)?.next().is_some() {
        return Err(Error::new(ErrorKind::InvalidArgument, "the folder for the snapshot is not empty"));
    }
    private::tighten(target).map(drop).map_err(disk_error)
}

fn copy_journal(from: &Layout, to: &Layout, input: &Input, end: Position, report: &mut Report) -> io::Result<()> {
    if let Some(name) = input.snapshot.as_ref().and_then(|p| p.file_name()) {
        place(&from.journal().join(name), &to.journal().join(name), report)?;
    }
    for entry in std::fs::read_dir(from.journal())? {
        let name = entry?.file_name();
        let Some(number) = segment::parse_name(&name.to_string_lossy(), ".seg").filter(|n| *n <= end.segment) else { continue };
        report.segments += 1;
        let (source, target) = (from.journal().join(&name), to.journal().join(&name));
        if number < end.segment {
            place(&source, &target, report)?;
            continue;
        }
        // No successor says how far the last one is valid, so the copy ends there.
        let mut copy = private::create_new(&target)?;
        report.copied_bytes += io::copy(&mut File::open(&source)?.take(end.offset), &mut copy)?;
        copy.sync_all()?;
    }
    Ok(())
}

/// Multipart objects whose owners are remembered in one walk over the log: bounds the memory (50 MB). More cost another walk.
const OWNERS_AT_ONCE: usize = 500_000;

/// Exactly the files that live rows speak of. Manifests hold no owner, and in a walk they come after `Objects` and before `Versions`:
/// those that only noncurrent versions refer to are linked in a walk of their own.
fn copy_bodies(from: &Layout, to: &Layout, input: &Input, report: &mut Report) -> Result<()> {
    make_dir(&to.blobs()).map_err(disk_error)?;
    let mut link = |source: PathBuf| -> Result<()> {
        let relative = source.strip_prefix(from.root()).map_err(Error::internal)?;
        let target = to.root().join(relative);
        // One content may belong to many objects.
        if target.exists() {
            return Ok(());
        }
        if let Some(dir) = target.parent() {
            make_dir(dir).map_err(disk_error)?;
        }
        report.files += 1;
        place(&source, &target, report).map_err(disk_error)
    };
    let mut owners = Owners::starting_at(0, OWNERS_AT_ONCE);
    loop {
        copy_walk(from, input, &mut owners, &mut link)?;
        if !owners.known.is_empty() {
            copy_left(from, input, &mut owners, &mut link)?;
        }
        match owners.left_out {
            Some(next) => owners = Owners::starting_at(next, OWNERS_AT_ONCE),
            None => return Ok(()),
        }
    }
}

/// The first walk links all there is but the parts of objects whose owners it had no room for.
fn copy_walk(from: &Layout, input: &Input, owners: &mut Owners, link: &mut dyn FnMut(PathBuf) -> Result<()>) -> Result<()> {
    let first = owners.from == 0;
    compact::merge(input, &mut |op| {
        let Some(value) = op.value else { return Ok(()) };
        match Table::of(op.table)? {
            Table::Objects => copy_object(from, &stored::decode(value)?, owners, link),
            Table::Versions => match stored::decode(value)? {
                VersionRow::Object(row) => copy_object(from, &row, owners, link),
                VersionRow::Marker(_) => Ok(()),
            },
            Table::Parts if first => {
                let row: PartRow = stored::decode(value)?;
                link(from.part(&row.scope(), row.file))
            }
            Table::Manifests => {
                // Without an owner no object refers to it (it is about to go), or it is another walk's.
                copy_parts(from, key::parse_id(op.key)?, value, owners, link)
            }
            // The first walk linked them.
            Table::Parts => Ok(()),
            // They name no file, or one that is about to go; the journal itself is copied with them in it.
            Table::Meta | Table::Buckets | Table::Uploads | Table::Completed | Table::Settings | Table::Drops | Table::Rehash => Ok(()),
            // Not in a journal.
            Table::Hashes | Table::ManifestRefs | Table::Usage | Table::NullVersions | Table::Due | Table::KeyUses => Ok(()),
        }
    })
}

fn copy_object(from: &Layout, row: &ObjectRow, owners: &mut Owners, link: &mut dyn FnMut(PathBuf) -> Result<()>) -> Result<()> {
    row.manifests().for_each(|manifest| owners.add(manifest, &row.scope()));
    match (row.tail.place, row.tail.sha256) {
        (BodyPlace::File { id }, Some(sha256)) if owners.from == 0 => link(from.blob(&row.scope(), &sha256, id)),
        _ => Ok(()),
    }
}

/// The files of a manifest whose owner is known, and which is done then.
fn copy_parts(from: &Layout, id: Id, manifest: &[u8], owners: &mut Owners, link: &mut dyn FnMut(PathBuf) -> Result<()>) -> Result<()> {
    let Some(owner) = owners.known.remove(&id) else { return Ok(()) };
    let manifest: Manifest = stored::decode(manifest)?;
    manifest.files.iter().try_for_each(|f| link(from.part(&owner, f.id)))
}

/// The manifests that are left: a walk learned of their owners when it had passed them.
fn copy_left(from: &Layout, input: &Input, owners: &mut Owners, link: &mut dyn FnMut(PathBuf) -> Result<()>) -> Result<()> {
    compact::merge(input, &mut |op| match (Table::of(op.table)?, op.value) {
        (Table::Manifests, Some(value)) => copy_parts(from, key::parse_id(op.key)?, value, owners, link),
        _ => Ok(()),
    })
}

/// Who owns the manifests, gathered on the way. The ones with the lowest ids from `from` on, as many as there is room for.
struct Owners {
    from: Id,
    room: usize,
    known: BTreeMap<Id, Scope>,
    /// The lowest that had no room.
    left_out: Option<Id>,
}

impl Owners {
    fn starting_at(from: Id, room: usize) -> Self {
        Owners { from, room, known: BTreeMap::new(), left_out: None }
    }

    fn add(&mut self, manifest: Id, owner: &Scope) {
        if manifest < self.from || self.left_out.is_some_and(|l| manifest >= l) {
            return;
        }
        self.known.insert(manifest, owner.clone());
        if self.known.len() > self.room {
            self.left_out = self.known.pop_last().map(|(id, _)| id);
        }
    }
}

/// A second name for the file, or a copy where that can't be.
fn place(source: &Path, target: &Path, report: &mut Report) -> io::Result<()> {
    match std::fs::hard_link(source, target) {
        Ok(()) => Ok(()),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EXDEV | libc::EPERM | libc::EMLINK | libc::EOPNOTSUPP)) => {
            // Shares the blocks where the file system can.
            report.copied_bytes += std::fs::copy(source, target)?;
            File::open(target)?.sync_all()
        }
        Err(e) => Err(e),
    }
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_owner_is_known_in_exactly_one_walk() {
        let owner = Scope::parse("acme").unwrap();
        let ids = [9, 3, 7, 1, 3, 8, 2, 9, 40, 5];
        let mut seen = Vec::new();
        let mut owners = Owners::starting_at(0, 3);
        loop {
            ids.iter().for_each(|id| owners.add(*id, &owner));
            assert!(owners.known.len() <= 3);
            seen.extend(owners.known.keys().copied());
            match owners.left_out {
                Some(next) => owners = Owners::starting_at(next, 3),
                None => break,
            }
        }
        assert_eq!(seen, [1, 2, 3, 5, 7, 8, 9, 40]);
    }
}
