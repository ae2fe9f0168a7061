//! Proves a data folder, offline: the journal is whole, every body a record speaks of is there, every file belongs to
//! a record, and the index says what the journal says.
//!
//! The index is derived and is always brought up to date, and rebuilt if it differs. Truth is changed only with `repair`:
//! files that no record speaks of are removed. Called by `tidegate fsck`.
//! Memory grows with the number of files (about 150 bytes each): this is an offline tool.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::Digest as _;

use crate::base::crypt::Envelope;
use crate::base::digest::{Sha256, VerifiedSha256};
use crate::base::error::{Error, Result};
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::follow;
use crate::index::{Index, Walk};
use crate::journal::compact::{self, Input};
use crate::journal::segment::{self, Contents};
use crate::journal::{Journal, OpRef};
use crate::local::blobs::parse_path;
use crate::local::ids::Ids;
use crate::local::inline::Segments;
use crate::local::layout::Layout;
use crate::local::order::Order;
use crate::local::proof::{Keys, digest, hash_into, stored_len};
use crate::local::replay;
use crate::local::rows::{self, BodyPlace, DropRow, Held, Id, Manifest, ObjectRow, PartRow, Table, UploadRow, UsageRow, VersionRow, key};
use crate::local::scope::{KeyId, Scope};
use crate::local::settings::Settings;
use crate::local::stored;
use crate::local::usage::{Counted, Places};

#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Read every body and compare its hash.
    pub verify: bool,
    /// Remove files that no record speaks of.
    pub repair: bool,
}

/// Problems listed by name; beyond this they are only counted.
const MAX_LISTED: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The log itself. Says segment, offset and what; nothing else could be checked.
    Journal(String),
    /// A body that a record speaks of is not there, or not readable.
    Missing {
        what: String,
    },
    WrongSize {
        what: String,
        expected: u64,
        found: u64,
    },
    /// The bytes are not those that were acknowledged.
    Damaged {
        what: String,
    },
    /// A key of encryption that is not there, and how many objects and uploads need it.
    KeyMissing {
        key: String,
        needed_by: u64,
    },
    /// The versions of a key are not in an order that they can have.
    Versions {
        what: String,
    },
    /// Rows of the index that differ from the journal; it was rebuilt.
    Index {
        rows: u64,
    },
    /// A file that is none of ours: left alone.
    Foreign {
        path: PathBuf,
    },
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    pub objects: u64,
    pub files: u64,
    pub file_bytes: u64,
    pub verified_bytes: u64,
    pub problems: Vec<Problem>,
    pub problem_count: u64,
    /// Files that no record speaks of: from a crash between bringing a body in place and recording it.
    pub orphans: Vec<PathBuf>,
    pub orphans_removed: u64,
    pub index_rebuilt: bool,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.problem_count == 0 && self.orphans.len() as u64 == self.orphans_removed
    }

    fn problem(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < MAX_LISTED {
            self.problems.push(problem);
        }
    }
}

/// A file that the log speaks of.
struct Expected {
    path: PathBuf,
    /// Of the body.
    size: u64,
    sha256: Option<VerifiedSha256>,
    encrypted: bool,
    /// The key of it, where it is an object's own.
    held: Option<Held>,
    /// An object or upload that needs it, for the report.
    what: String,
    found: bool,
}

/// A multipart object: scope, name, hash of the whole, key.
type Owner = (Scope, String, Option<VerifiedSha256>, Option<Held>);

struct Check<'s> {
    layout: Layout,
    options: Options,
    segments: Segments,
    keys: Keys,
    index: &'s Index,
    report: Report,
    files: HashMap<Id, Expected>,
    /// Multipart objects by manifest, as long as that was not met.
    manifests: HashMap<Id, Owner>,
    /// Manifests of which no object was met.
    unowned: HashMap<Id, Manifest>,
    /// Manifests that were met together with an object.
    proven: HashSet<Id>,
    order: Order,
    dropping: HashMap<Id, DropRow>,
    usage: HashMap<Vec<u8>, UsageRow>,
    key_uses: HashMap<Vec<u8>, u64>,
    rows: u64,
    index_differences: u64,
}

/// Err: the folder can't be checked at all (in use, newer format).
pub fn fsck(settings: &Settings, options: Options) -> Result<Report> {
    let layout = Layout::new(settings.dir.clone());
    let _lock = layout.open_existing()?;
    let damaged = |e: Error| {
        let mut report = Report::default();
        report.problem(Problem::Journal(e.message().to_owned()));
        Ok(report)
    };
    let (journal, recovered) = match Journal::open(settings.journal()) {
        Ok(opened) => opened,
        Err(e) => return damaged(e),
    };
    let input = follow::input_of(&journal);
    if let Err(e) = prove_journal(&input) {
        return damaged(e);
    }
    let (ids, end) = (Ids::new(0), follow::end_of(&journal));
    let index = match replay::open(&settings.index(), &ids, &input, &recovered, &end) {
        Ok(index) => index,
        Err(e) => return damaged(e),
    };
    let mut report = check(&index, layout, options, &input, settings)?;
    if report.problems.iter().any(|p| matches!(p, Problem::Index { .. })) {
        drop(index);
        replay::rebuild(&settings.index(), &ids, &input, &end)?;
        report.index_rebuilt = true;
    }
    Ok(report)
}

/// Every batch of the log, bodies included, and the snapshot to its end.
fn prove_journal(input: &Input) -> Result<()> {
    for sealed in &input.segments {
        segment::walk(&input.dir, &input.log, *sealed, segment::first_batch(), Contents::Prove, &mut |_, _| Ok(()))?;
    }
    compact::merge(input, &mut |_| Ok(()))
}

fn check(index: &Index, layout: Layout, options: Options, input: &Input, settings: &Settings) -> Result<Report> {
    let mut check = Check {
        segments: Segments::new(layout.journal()),
        keys: Keys::of(index, settings),
        layout,
        options,
        index,
        report: Report::default(),
        files: HashMap::new(),
        manifests: HashMap::new(),
        unowned: HashMap::new(),
        proven: HashSet::new(),
        order: Order::default(),
        dropping: HashMap::new(),
        usage: HashMap::new(),
        key_uses: HashMap::new(),
        rows: 0,
        index_differences: 0,
    };
    compact::merge(input, &mut |op| check.row(op))?;
    check.drop_unowned();
    check.index_differences += check.order.differences(check.index)?;
    check.compare_rest_of_index()?;
    check.walk(&check.layout.blobs())?;
    check.missing();
    for (key, needed_by) in std::mem::take(&mut check.keys.missing) {
        check.report.problem(Problem::KeyMissing { key, needed_by });
    }
    Ok(check.report)
}

impl Check<'_> {
    fn row(&mut self, op: &OpRef<'_>) -> Result<()> {
        let Some(value) = op.value else { return Ok(()) };
        self.rows += 1;
        if self.index.get(op.table, op.key)?.is_none_or(|row| row != value) {
            self.index_differences += 1;
        }
        match Table::of(op.table)? {
            Table::Objects => {
                let row = VersionRow::Object(Arc::new(stored::decode(value)?));
                self.use_bytes(row.owner_and_size().0, Some(op.key), Counted::version(&row, true))?;
                row.object().map_or(Ok(()), |row| self.object(op.key, row, ""))
            }
            Table::Versions => self.version(op.key, &stored::decode(value)?),
            Table::Parts => {
                let row: PartRow = stored::decode(value)?;
                self.use_bytes(&row.owner, None, Counted::part(row.part.size))?;
                let path = self.layout.part(&row.scope(), row.file);
                let what = format!("part {} of an upload in progress", row.part.number);
                let encrypted = row.part_key.is_some();
                self.expect(row.file, Expected { path, size: row.part.size, sha256: None, encrypted, held: None, what, found: false });
                Ok(())
            }
            Table::Manifests => self.manifest(key::parse_id(op.key)?, stored::decode(value)?),
            Table::Drops => {
                self.dropping.insert(key::parse_id(op.key)?, stored::decode(value)?);
                Ok(())
            }
            Table::Uploads => {
                let row: UploadRow = stored::decode(value)?;
                self.uses(row.envelope.as_ref());
                Ok(())
            }
            // They refer to no file.
            Table::Meta | Table::Buckets | Table::Completed | Table::Settings | Table::Rehash => Ok(()),
            // Not in a journal; `compare_rest_of_index` proves them.
            Table::Hashes | Table::ManifestRefs | Table::Usage | Table::NullVersions | Table::Due | Table::KeyUses => Ok(()),
        }
    }

    /// `version`: how the report names it beside its key.
    fn object(&mut self, row_key: &[u8], row: &ObjectRow, version: &str) -> Result<()> {
        let (bucket, name) = key::split(row_key)?;
        let what = format!("{bucket}/{name}{version}");
        self.report.objects += 1;
        self.uses(row.tail.envelope.as_ref());
        let held = Keys::held(row_key, row)?;
        for manifest in row.manifests() {
            let whole = if row.tail.place == (BodyPlace::Parts { manifest }) { row.tail.sha256 } else { None };
            self.owned(manifest, (row.scope(), what.clone(), whole, held.clone()))?;
        }
        match row.tail.place {
            BodyPlace::Inline { segment, offset, len, crc } => self.inline(&what, row, held, (segment, offset, len, crc)),
            BodyPlace::File { id } => {
                let Some(sha256) = row.tail.sha256 else {
                    self.report.problem(Problem::Damaged { what });
                    return Ok(());
                };
                let path = self.layout.blob(&row.scope(), &sha256, id);
                let (size, encrypted) = (row.head.size, held.is_some());
                self.expect(id, Expected { path, size, sha256: Some(sha256), encrypted, held, what, found: false });
                Ok(())
            }
            BodyPlace::Empty | BodyPlace::Parts { .. } | BodyPlace::Pending(_) => Ok(()),
        }
    }

    fn version(&mut self, row_key: &[u8], row: &VersionRow) -> Result<()> {
        let (object, _) = key::split_version(row_key)?;
        if let Some(fault) = self.order.next(self.index, row_key, row)? {
            self.report.problem(Problem::Versions { what: fault });
        }
        self.use_bytes(row.owner_and_size().0, Some(object), Counted::version(row, false))?;
        row.object().map_or(Ok(()), |version| self.object(object, version, &format!(" (version {})", version.id())))
    }

    fn inline(&mut self, what: &str, row: &ObjectRow, held: Option<Held>, place: (u64, u64, u32, u32)) -> Result<()> {
        let (segment, offset, len, crc) = place;
        let expected = stored_len(row.head.size, held.is_some());
        if u64::from(len) != expected {
            self.report.problem(Problem::WrongSize { what: what.to_owned(), expected, found: u64::from(len) });
            return Ok(());
        }
        match self.segments.read(segment, offset, len, crc) {
            Ok(Some(body)) => {
                self.report.verified_bytes += u64::from(len);
                let known = row.tail.sha256.filter(|_| self.options.verify);
                let found = known.and_then(|_| digest(&body, row.head.size, &self.keys.opens(held.as_ref())));
                if found.is_some_and(|found| known.is_some_and(|known| Some(*known.digest()) != found)) {
                    self.report.problem(Problem::Damaged { what: what.to_owned() });
                }
            }
            Ok(None) => self.report.problem(Problem::Missing { what: what.to_owned() }),
            Err(_) => self.report.problem(Problem::Damaged { what: what.to_owned() }),
        }
        Ok(())
    }

    /// Manifests come before `Versions`: whose they are may be known before or after.
    fn owned(&mut self, id: Id, owner: Owner) -> Result<()> {
        match self.unowned.remove(&id) {
            Some(manifest) => self.parts(id, owner, &manifest),
            None if self.proven.contains(&id) => Ok(()),
            None => {
                self.manifests.entry(id).or_insert(owner);
                Ok(())
            }
        }
    }

    fn manifest(&mut self, id: Id, manifest: Manifest) -> Result<()> {
        match self.manifests.remove(&id) {
            Some(owner) => self.parts(id, owner, &manifest),
            None => {
                self.unowned.insert(id, manifest);
                Ok(())
            }
        }
    }

    /// Without an object a manifest is about to be dropped, and its files with it.
    fn drop_unowned(&mut self) {
        let (scope, kind) = (Scope::new(&TenantId::operator(), KeyId::None), rows::DropKind::Part);
        for file in std::mem::take(&mut self.unowned).into_values().flat_map(|manifest| manifest.files) {
            self.dropping.insert(file.id, DropRow { scope: scope.clone(), kind, since: Timestamp::now() });
        }
    }

    fn parts(&mut self, id: Id, (scope, what, whole, held): Owner, manifest: &Manifest) -> Result<()> {
        self.proven.insert(id);
        let (mut hash, mut sound) = (sha2::Sha256::new(), true);
        let mut readable = self.options.verify && whole.is_some() && !manifest.files.is_empty();
        let opens = self.keys.opens(held.as_ref().filter(|_| readable));
        for (n, file) in manifest.files.iter().enumerate() {
            let path = self.layout.part(&scope, file.id);
            if readable {
                let number = manifest.parts.get(n).map_or(0, |part| part.number);
                let opens = opens.part(number, file.id, manifest.keys.get(n));
                let read = hash_into(&path, file.size, &opens, &mut hash, &mut self.report.verified_bytes);
                // One that is not there is told as such.
                sound &= held.is_none() || read.is_ok() || !path.exists();
                readable = read.unwrap_or(false);
            }
            let encrypted = held.is_some();
            self.expect(file.id, Expected { path, size: file.size, sha256: None, encrypted, held: None, what: what.clone(), found: false });
        }
        if !sound || readable && whole.is_some_and(|w| *w.digest() != Sha256(hash.finalize().into())) {
            self.report.problem(Problem::Damaged { what });
        }
        Ok(())
    }

    fn uses(&mut self, envelope: Option<&Envelope>) {
        self.keys.look_for(envelope);
        if let Some(used) = envelope.and_then(key::key_use) {
            *self.key_uses.entry(used).or_default() += 1;
        }
    }

    fn expect(&mut self, id: Id, expected: Expected) {
        self.files.entry(id).or_insert(expected);
    }

    /// `object`: its row key.
    fn use_bytes(&mut self, owner: &TenantId, object: Option<&[u8]>, more: Counted) -> Result<()> {
        for place in Places::of(owner, object)?.into_all() {
            let row = self.usage.entry(place).or_default();
            *row = more.onto(*row);
        }
        Ok(())
    }

    /// Rows that the index has and the journal has not, and the usage it derived.
    fn compare_rest_of_index(&mut self) -> Result<()> {
        let mut rows = 0;
        for t in Table::ALL.into_iter().filter(|t| t.is_truth()) {
            self.index.scan(t, b"", &mut |_, _| {
                rows += 1;
                Ok(Walk::Next)
            })?;
        }
        self.index_differences += self.rows.abs_diff(rows);
        for (tenant, usage) in &self.usage {
            let row = self.index.get(Table::Usage, tenant)?.map(|b| stored::decode::<UsageRow>(&b)).transpose()?;
            // What is shared follows from `Hashes`, which are hints.
            if (UsageRow { shared: 0, ..row.unwrap_or_default() }) != *usage {
                self.index_differences += 1;
            }
        }
        let mut left = Vec::new();
        self.index.scan(Table::Usage, b"", &mut |tenant, _| {
            left.push(tenant.to_vec());
            Ok(Walk::Next)
        })?;
        self.index_differences += left.iter().filter(|t| !self.usage.contains_key(*t)).count() as u64;
        let mut uses = HashMap::new();
        self.index.scan(Table::KeyUses, b"", &mut |used, n| {
            uses.insert(used.to_vec(), stored::decode::<u64>(n)?);
            Ok(Walk::Next)
        })?;
        self.index_differences += u64::from(uses != self.key_uses);
        // Content that can be found by its hash must be there: a stale row would lose a later write.
        let mut places = Vec::new();
        self.index.scan(Table::Hashes, b"", &mut |_, v| {
            places.push(stored::decode::<rows::HashRow>(v)?.place);
            Ok(Walk::Next)
        })?;
        let lost = |p: &BodyPlace| matches!(p, BodyPlace::File { id } if !self.files.contains_key(id));
        self.index_differences += places.iter().filter(|p| lost(p)).count() as u64;
        if self.index_differences > 0 {
            self.report.problem(Problem::Index { rows: self.index_differences });
        }
        Ok(())
    }

    fn walk(&mut self, dir: &Path) -> Result<()> {
        for entry in std::fs::read_dir(dir).map_err(Error::internal)? {
            let entry = entry.map_err(Error::internal)?;
            if entry.file_type().map_err(Error::internal)?.is_dir() {
                self.walk(&entry.path())?;
            } else {
                self.file(&entry.path(), entry.metadata().map_err(Error::internal)?.len())?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, size: u64) -> Result<()> {
        self.report.files += 1;
        self.report.file_bytes += size;
        let Some((_, _, id)) = parse_path(&self.layout, path) else {
            self.report.problem(Problem::Foreign { path: path.to_path_buf() });
            return Ok(());
        };
        let Some(expected) = self.files.get_mut(&id).filter(|e| e.path == path) else {
            if !self.dropping.contains_key(&id) {
                self.report.orphans.push(path.to_path_buf());
                if self.options.repair {
                    std::fs::remove_file(path).map_err(Error::internal)?;
                    self.report.orphans_removed += 1;
                }
            }
            return Ok(());
        };
        expected.found = true;
        let (what, sha256, body) = (expected.what.clone(), expected.sha256, expected.size);
        let (held, right) = (expected.held.clone(), stored_len(body, expected.encrypted));
        if right != size {
            self.report.problem(Problem::WrongSize { what, expected: right, found: size });
            return Ok(());
        }
        if let Some(sha256) = sha256.filter(|_| self.options.verify) {
            let mut hash = sha2::Sha256::new();
            let read = hash_into(path, body, &self.keys.opens(held.as_ref()), &mut hash, &mut self.report.verified_bytes);
            let is_right = || *sha256.digest() == Sha256(hash.finalize().into());
            // False: it can't be opened here.
            if !read.is_ok_and(|opened| !opened || is_right()) {
                self.report.problem(Problem::Damaged { what });
            }
        }
        Ok(())
    }

    fn missing(&mut self) {
        let mut missing: Vec<String> = self.files.values().filter(|e| !e.found).map(|e| e.what.clone()).collect();
        missing.sort();
        for what in missing {
            self.report.problem(Problem::Missing { what });
        }
        let mut dangling: Vec<String> = self.manifests.values().map(|(_, what, _, _)| what.clone()).collect();
        dangling.sort();
        for what in dangling {
            self.report.problem(Problem::Missing { what });
        }
    }
}
