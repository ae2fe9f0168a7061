//! Listings of versions and delete markers: two tables walked together, in one order. Blocking reads of the index.
//!
//! A key's newest version comes first; where it is in `Objects` it is before all that `Versions` has of the key. A common prefix costs
//! one seek in each table, however many versions are under it.
//! A version moves to `Objects` when the one after it is deleted. Who read that table before, and the other one after it, would miss
//! it: then the key is looked at once more.

use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object_ref::VersionId;
use crate::base::versions::{ListedMarker, ListedVersion, VersionEntry, VersionsPage, VersionsQuery};
use crate::index::{Index, Moment, Rows};
use crate::local::exact;
use crate::local::list::{common_prefix, listed, start, successor};
use crate::local::rows::{ObjectRow, Table, VersionRow, generation_of, key};
use crate::local::stored;

/// How often one key is looked at again while it is written to.
const TRIES: usize = 8;

pub fn page(index: &Index, bucket: &BucketName, query: &VersionsQuery) -> Result<VersionsPage> {
    if query.max == 0 {
        return Ok(VersionsPage::default());
    }
    let base = key::joined(bucket.as_str(), "");
    let inside = inside_of(query)?;
    let mut listing = match &inside {
        // The version marker goes on inside the marker's own key.
        Some((name, marker)) => {
            let below = generation_of_marker(index, bucket, name, marker)?;
            let mut listing = Listing::at(index, bucket, query, &base, &key::object(bucket, name))?;
            listing.key(name, below)?;
            listing
        }
        None => Listing::at(index, bucket, query, &base, &start(&base, &query.prefix, &query.delimiter, &query.key_marker))?,
    };
    while !listing.is_full && listing.next()? {}
    Ok(listing.page)
}

/// The key whose versions the page begins in the middle of, and after which of them.
fn inside_of(query: &VersionsQuery) -> Result<Option<(ObjectKey, &VersionId)>> {
    let VersionsQuery { prefix, delimiter, key_marker, version_marker, .. } = query;
    let Some(marker) = version_marker.as_ref().filter(|_| !key_marker.is_empty() && key_marker.starts_with(prefix)) else {
        return Ok(None);
    };
    // What is under this prefix was summed up on the page before.
    if common_prefix(key_marker.as_bytes(), prefix, delimiter).is_some() {
        return Ok(None);
    }
    Ok(Some((ObjectKey::parse(key_marker)?, marker)))
}

/// None: nobody can say where that was in the order. Then the key begins anew: rather one version twice than one left out.
fn generation_of_marker(index: &Index, bucket: &BucketName, key: &ObjectKey, marker: &VersionId) -> Result<Option<u64>> {
    match marker {
        VersionId::Named(name) => Ok(generation_of(name)),
        VersionId::Null => match exact::current(index, bucket, key)?.filter(|row| !row.tail.standing.named) {
            Some(row) => Ok(Some(row.tail.generation)),
            None => exact::null_generation(index, bucket, key),
        },
    }
}

struct Listing<'q> {
    index: &'q Index,
    bucket: &'q BucketName,
    query: &'q VersionsQuery,
    base: &'q [u8],
    objects: Rows<'q>,
    versions: Rows<'q>,
    /// When the rows were first asked for.
    begun: Moment,
    page: VersionsPage,
    is_full: bool,
}

impl<'q> Listing<'q> {
    fn at(index: &'q Index, bucket: &'q BucketName, query: &'q VersionsQuery, base: &'q [u8], from: &[u8]) -> Result<Self> {
        let begun = index.moment();
        let (objects, versions) = (index.rows(Table::Objects, from)?, index.rows(Table::Versions, from)?);
        Ok(Listing { index, bucket, query, base, objects, versions, begun, page: VersionsPage::default(), is_full: false })
    }

    /// The next key, or common prefix. False: there is none.
    fn next(&mut self) -> Result<bool> {
        let of_version = self.versions.at().map(|(row_key, _)| key::split_version(row_key)).transpose()?.map(|(object, _)| object);
        let object = match (self.objects.at().map(|(row_key, _)| row_key), of_version) {
            (Some(a), Some(b)) => a.min(b),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Ok(false),
        };
        let (prefix, delimiter) = (&self.query.prefix, &self.query.delimiter);
        let Some(name) = object.strip_prefix(self.base).filter(|name| name.starts_with(prefix.as_bytes())) else { return Ok(false) };
        if let Some(common) = common_prefix(name, prefix, delimiter) {
            let (entry, behind) = (String::from_utf8_lossy(common).into_owned(), [self.base, &successor(common)].concat());
            if self.add(VersionEntry::CommonPrefix(entry)) {
                self.objects.seek_forward(&behind)?;
                self.versions.seek_forward(&behind)?;
            }
            return Ok(true);
        }
        let name = ObjectKey::parse(std::str::from_utf8(name).map_err(Error::internal)?)?;
        self.key(&name, None)?;
        Ok(true)
    }

    /// All versions of the key, or those whose generation is below.
    fn key(&mut self, name: &ObjectKey, below: Option<u64>) -> Result<()> {
        let before = self.page.entries.len();
        for _ in 0..TRIES {
            let shown = self.versions_of(name, below)?;
            if self.index.is_still(&self.begun) {
                return Ok(());
            }
            let now = exact::current(self.index, self.bucket, name)?;
            if now.map(|row| row.tail.generation) == shown {
                return Ok(());
            }
            self.page.entries.truncate(before);
            (self.page.next, self.is_full) = (None, false);
            let from = key::object(self.bucket, name);
            (self.objects, self.versions) = (self.index.rows(Table::Objects, &from)?, self.index.rows(Table::Versions, &from)?);
        }
        Ok(())
    }

    /// Answers the generation of what `Objects` had of the key.
    fn versions_of(&mut self, name: &ObjectKey, below: Option<u64>) -> Result<Option<u64>> {
        let (object, prefix) = (key::object(self.bucket, name), key::versions(self.bucket, name));
        let is_below = |generation: u64| below.is_none_or(|below| generation < below);
        // In the middle of a key the first of the page is not its newest, unless those before it are gone.
        let mut newest = match below {
            Some(_) => exact::newest(self.index, self.bucket, name)?.map(|row| row.generation()),
            None => None,
        };
        let mut shown = None;
        if let Some((_, value)) = self.objects.at().filter(|(row_key, _)| *row_key == object) {
            let row: ObjectRow = stored::decode(value)?;
            let generation = row.tail.generation;
            shown = Some(generation);
            newest = newest.or(shown);
            if is_below(generation) && !self.add(version(name, &row, newest == shown)) {
                return Ok(shown);
            }
            self.objects.step()?;
        }
        if let Some(below) = below {
            self.versions.seek_forward(&[&key::version(self.bucket, name, below)[..], &[0]].concat())?;
        }
        while let Some((_, value)) = self.versions.at().filter(|(row_key, _)| row_key.starts_with(&prefix)) {
            let row: VersionRow = stored::decode(value)?;
            let generation = row.generation();
            newest = newest.or(Some(generation));
            let latest = newest == Some(generation);
            let entry = match &row {
                VersionRow::Object(row) => version(name, row, latest),
                VersionRow::Marker(row) => VersionEntry::Marker(ListedMarker { key: name.clone(), marker: row.marker(), latest }),
            };
            // What was written after the newest had been looked at is the next page's, or the next listing's.
            let is_new = shown.is_some_and(|shown| generation >= shown);
            if !is_new && !self.add(entry) {
                return Ok(shown);
            }
            self.versions.step()?;
        }
        Ok(shown)
    }

    /// False: there is no room for it.
    fn add(&mut self, entry: VersionEntry) -> bool {
        if self.page.entries.len() >= self.query.max {
            self.is_full = true;
            self.page.next = self.page.entries.last().map(|last| match last {
                VersionEntry::Version(v) => (v.object.key.as_str().to_owned(), Some(v.version.clone())),
                VersionEntry::Marker(m) => (m.key.as_str().to_owned(), Some(m.marker.version.clone())),
                VersionEntry::CommonPrefix(prefix) => (prefix.clone(), None),
            });
            return false;
        }
        self.page.entries.push(entry);
        true
    }
}

fn version(name: &ObjectKey, row: &ObjectRow, latest: bool) -> VersionEntry {
    VersionEntry::Version(ListedVersion { object: listed(name.clone(), row.head.clone()), version: row.id(), latest })
}
