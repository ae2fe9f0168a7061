//! What follows from a change of a row: usage of its owner, content by hash, references, the key's null version.
//!
//! One place knows how they are derived, for what is decided now and for what a replay reads. Called by `Txn::put` and by nothing else.
//! Operations of a batch come in any order in a replay: each leaves what is derived right by itself.

use crate::base::crypt::{Envelope, Place};
use crate::base::error::Result;
use crate::local::rows::{BodyPlace, DropKind, HashRow, Held, ObjectRow, PartRow, Table, UploadRow, VersionRow, key};
use crate::local::stored;
use crate::local::txn::{Txn, Value};
use crate::local::usage::Counted;

impl Txn<'_> {
    pub fn derive_part(&mut self, before: Option<&Value>, after: Option<&Value>) -> Result<()> {
        for (value, sign) in [(after, 1), (before, -1)] {
            if let Some(Value::Bytes(bytes)) = value {
                let row: PartRow = stored::decode(bytes)?;
                self.count(&row.owner, None, Counted::part(row.part.size).times(sign))?;
            }
        }
        Ok(())
    }

    pub fn derive_upload(&mut self, before: Option<&Value>, after: Option<&Value>) -> Result<()> {
        let envelope = |value: Option<&Value>| match value {
            Some(Value::Bytes(bytes)) => stored::decode::<UploadRow>(bytes).map(|row| row.envelope),
            _ => Ok(None),
        };
        self.derive_key_uses(envelope(before)?, envelope(after)?)
    }

    /// How many rows need which version of which key.
    fn derive_key_uses(&mut self, before: Option<Envelope>, after: Option<Envelope>) -> Result<()> {
        for (envelope, more) in [(after, true), (before, false)] {
            let Some(row_key) = envelope.as_ref().and_then(key::key_use) else { continue };
            let uses: u64 = self.get_row(Table::KeyUses, &row_key)?.unwrap_or(0);
            // In a replay the one that goes may come first.
            let uses = if more { uses.wrapping_add(1) } else { uses.wrapping_sub(1) };
            let value = (uses != 0).then(|| stored::encode(&uses)).transpose()?;
            self.put_plain(Table::KeyUses, row_key, value.map(Value::Bytes));
        }
        Ok(())
    }

    pub fn derive_object(&mut self, key: &[u8], before: Option<&Value>, after: Option<&Value>) -> Result<()> {
        let row = |value: Option<&Value>| match value {
            Some(Value::Object(row)) => Some(VersionRow::Object(row.clone())),
            _ => None,
        };
        self.derive_counts(key, true, row(before), row(after))
    }

    pub fn derive_version(&mut self, row_key: &[u8], before: Option<&Value>, after: Option<&Value>) -> Result<()> {
        let row = |value: Option<&Value>| match value {
            Some(Value::Version(row)) => Some(row.clone()),
            _ => None,
        };
        let (object, generation) = key::split_version(row_key)?;
        let (before, after) = (row(before), row(after));
        if after.as_ref().is_some_and(|row| !row.standing().named) {
            self.put_plain(Table::NullVersions, object.to_vec(), Some(Value::Bytes(stored::encode(&generation)?)));
        } else if before.as_ref().is_some_and(|row| !row.standing().named)
            // In a replay the one that took its place may have come first.
            && self.get_row::<u64>(Table::NullVersions, object)? == Some(generation)
        {
            self.put_plain(Table::NullVersions, object.to_vec(), None);
        }
        self.derive_counts(object, false, before, after)
    }

    /// Usage and references of the version, or marker, that a row holds. Those of the new one come first, so that content which both
    /// share is never let go.
    fn derive_counts(&mut self, key: &[u8], newest: bool, before: Option<VersionRow>, after: Option<VersionRow>) -> Result<()> {
        if let (Some(VersionRow::Object(before)), Some(VersionRow::Object(after))) = (&before, &after)
            && self.derive_relocation(before, after)?
        {
            return Ok(());
        }
        let envelope = |row: &Option<VersionRow>| row.as_ref()?.object()?.tail.envelope.clone();
        self.derive_key_uses(envelope(&before), envelope(&after))?;
        let of = |row: &VersionRow| Counted::version(row, newest);
        match (&before, &after) {
            (Some(before), Some(after)) if before.owner_and_size().0 == after.owner_and_size().0 => {
                self.count(after.owner_and_size().0, Some(key), of(after).plus(of(before).times(-1)))?;
            }
            _ => {
                for (row, sign) in [(&after, 1), (&before, -1)] {
                    row.as_ref().map_or(Ok(()), |row| self.count(row.owner_and_size().0, Some(key), of(row).times(sign)))?;
                }
            }
        }
        after.as_ref().and_then(VersionRow::object).map_or(Ok(()), |row| self.refer(key, newest, row))?;
        before.as_ref().and_then(VersionRow::object).map_or(Ok(()), |row| self.release(row))
    }

    /// A small body that was moved forward in the journal: the same version at another place, and so is what finds it.
    fn derive_relocation(&mut self, before: &ObjectRow, after: &ObjectRow) -> Result<bool> {
        let inline = |p: BodyPlace| matches!(p, BodyPlace::Inline { .. } | BodyPlace::Pending(_));
        let (from, to) = (before.tail.place, after.tail.place);
        let moved = before.tail.generation == after.tail.generation && from != to && inline(from) && inline(to);
        if moved
            && let Some(sha256) = after.shared_hash()
            && let Some(c) = self.content(&after.scope(), sha256)?.filter(|c| c.place == from)
        {
            self.set_content(&after.scope(), sha256, Some(HashRow { place: to, ..c }));
        }
        Ok(moved)
    }

    /// `newest`: the key shows this version, so whoever looks for its content may be sent there.
    fn refer(&mut self, key: &[u8], newest: bool, row: &ObjectRow) -> Result<()> {
        for manifest in row.manifests() {
            let refs: u64 = self.get_row(Table::ManifestRefs, &key::id(manifest))?.unwrap_or(0);
            self.set_row(Table::ManifestRefs, key::id(manifest), &(refs + 1))?;
        }
        let Some(sha256) = row.shared_hash() else { return Ok(()) };
        let scope = &row.scope();
        let held = match &row.tail.envelope {
            Some(envelope) => {
                let (bucket, name) = key::names(key)?;
                let place = Place::of_version(&bucket, &name, row.tail.generation, row.head.size);
                Some(Held { envelope: envelope.clone(), place })
            }
            None => None,
        };
        match self.content(scope, sha256)? {
            None => self.set_content(scope, sha256, Some(HashRow { place: row.tail.place, refs: 1, held, newest: key.into() })),
            Some(c) if c.place == row.tail.place => {
                let newest = if newest { key.into() } else { c.newest };
                // The latest is under the newest version of its key.
                self.set_content(scope, sha256, Some(HashRow { place: c.place, refs: c.refs + 1, held, newest }));
                self.count_shared(&row.head.owner, i128::from(row.head.size))?;
            }
            // The same content lies elsewhere too (an upload not yet read through): that place is the known one.
            Some(_) => {}
        }
        Ok(())
    }

    fn release(&mut self, row: &ObjectRow) -> Result<()> {
        let scope = &row.scope();
        for manifest in row.manifests() {
            let refs: u64 = self.get_row(Table::ManifestRefs, &key::id(manifest))?.unwrap_or(0);
            if refs > 1 {
                self.set_row(Table::ManifestRefs, key::id(manifest), &(refs - 1))?;
            } else {
                self.del_row(Table::ManifestRefs, key::id(manifest))?;
                self.drop_later(scope, DropKind::Manifest, manifest)?;
            }
        }
        let known = match row.shared_hash() {
            Some(sha256) => self.content(scope, sha256)?.filter(|c| c.place == row.tail.place).map(|c| (sha256, c)),
            None => None,
        };
        match known {
            Some((sha256, c)) if c.refs > 1 => {
                self.set_content(scope, sha256, Some(HashRow { refs: c.refs - 1, ..c }));
                return self.count_shared(&row.head.owner, -i128::from(row.head.size));
            }
            // From here on nothing can find this content any more: a new write of the same bytes makes a new copy.
            Some((sha256, _)) => self.set_content(scope, sha256, None),
            None => {}
        }
        match (row.tail.place, row.tail.sha256) {
            (BodyPlace::File { id }, Some(sha256)) => self.drop_later(scope, DropKind::Blob(sha256), id),
            _ => Ok(()),
        }
    }
}
