//! The file that says which keys of `[[encryption_key]]` something stored needs, so that `tidegate check` can refuse to let one go while
//! the store serves and nobody else may open it.
//!
//! Written by the writer alone: before a batch that is the first to need a version of a key, and after one that was the last. So the file
//! never says too little. It is derived: each start, and each rebuild of the index, makes it anew.
//! Not here: the store's own key, which no configuration names; whether a start goes on without a key (`own_key::require_all`).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::crypt::ring::NamedKeys;
use crate::base::encryption::KeyName;
use crate::base::error::{Error, ErrorKind, Result};
use crate::index::Index;
use crate::journal::log::sync_dir;
use crate::local::layout::Layout;
use crate::local::own_key;
use crate::local::rows::{Table, key};
use crate::local::txn::Txn;

const VERSION: u32 = 1;
/// A thousand keys, each with a thousand versions.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    needed: Vec<Needed>,
}

/// A version of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Needed {
    pub key: String,
    pub version: u32,
}

/// What the data folder says. Empty where it says nothing.
pub fn read(dir: &Path) -> io::Result<Vec<Needed>> {
    let path = Layout::new(dir.to_owned()).needed_keys();
    let bytes = match File::open(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(file, MAX_BYTES), &mut bytes)?;
            bytes
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let document: Document = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
    if document.version != VERSION {
        return Err(io::Error::other(format!("it has version {}, this program reads {VERSION}", document.version)));
    }
    Ok(document.needed)
}

/// Those that are not in gateway.toml.
pub fn missing(needed: Vec<Needed>, keys: &NamedKeys) -> Vec<Needed> {
    let is_there = |needed: &Needed| {
        let key = KeyName::parse(&needed.key).ok().and_then(|name| keys.get(&name));
        key.is_some_and(|key| key.versions.numbers().any(|number| number == needed.version))
    };
    needed.into_iter().filter(|needed| !is_there(needed)).collect()
}

pub struct NeededKeys {
    path: PathBuf,
    /// As the file has them.
    needed: BTreeSet<Needed>,
}

impl NeededKeys {
    /// Makes the file say what the index does.
    pub fn open(layout: &Layout, index: &Index) -> Result<Self> {
        let mut keys = NeededKeys { path: layout.needed_keys(), needed: BTreeSet::new() };
        match read(layout.root()) {
            Ok(written) => {
                keys.needed = written.into_iter().collect();
                keys.renew(index)?;
            }
            // Damaged: replaced, whatever it says.
            Err(_) => keys.write(needed_by(index)?)?,
        }
        Ok(keys)
    }

    pub fn renew(&mut self, index: &Index) -> Result<()> {
        self.set(needed_by(index)?)
    }

    /// Before the batch is written. Err: it must not be.
    pub fn before(&mut self, txn: &Txn<'_>) -> Result<()> {
        let new: Vec<_> = of_batch(txn, true).filter(|needed| !self.needed.contains(needed)).collect();
        if new.is_empty() { Ok(()) } else { self.set(self.needed.iter().cloned().chain(new).collect()) }
    }

    /// What the batch, once it is durable, needs no more.
    pub fn let_go_by(txn: &Txn<'_>) -> Vec<Needed> {
        of_batch(txn, false).collect()
    }

    pub fn let_go(&mut self, gone: &[Needed]) {
        if !gone.is_empty()
            && let Err(e) = self.set(self.needed.iter().filter(|needed| !gone.contains(needed)).cloned().collect())
        {
            tracing::warn!(error = %e, "what says which encryption keys are needed names one that is not any more: the next start sets it right");
        }
    }

    fn set(&mut self, needed: BTreeSet<Needed>) -> Result<()> {
        if needed == self.needed { Ok(()) } else { self.write(needed) }
    }

    fn write(&mut self, needed: BTreeSet<Needed>) -> Result<()> {
        let document = Document { version: VERSION, needed: needed.iter().cloned().collect() };
        let bytes = serde_json::to_vec(&document).map_err(Error::internal)?;
        replace(&self.path, &bytes).map_err(|e| {
            let text = "The store can't note which encryption keys are needed. Please try again.";
            Error::new(ErrorKind::LocalUnavailable, text).caused_by(e)
        })?;
        self.needed = needed;
        Ok(())
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("tmp");
    let mut file = crate::private::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn needed_by(index: &Index) -> Result<BTreeSet<Needed>> {
    let named = own_key::uses(index)?.into_iter().filter(|(name, _, _)| !name.is_empty());
    Ok(named.map(|(key, version, _)| Needed { key, version }).collect())
}

/// Named keys whose uses the batch changes, and that are then needed, or not.
fn of_batch(txn: &Txn<'_>, needed: bool) -> impl Iterator<Item = Needed> {
    let of_key = txn.touched().filter(move |(table, _, value)| *table == Table::KeyUses && value.is_some() == needed);
    let parsed = of_key.filter_map(|(_, row_key, _)| key::parse_key_use(row_key).ok());
    parsed.filter(|(name, _)| !name.is_empty()).map(|(name, version)| Needed { key: name.to_owned(), version })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in the file stays as it is.
    #[test]
    fn the_file_as_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), []);
        let path = Layout::new(dir.path().to_owned()).needed_keys();
        let mut keys = NeededKeys { path: path.clone(), needed: BTreeSet::new() };
        let needed = |key: &str, version| Needed { key: key.into(), version };
        keys.set([needed("media", 2), needed("a", 1)].into()).unwrap();
        let text = r#"{"version":1,"needed":[{"key":"a","version":1},{"key":"media","version":2}]}"#;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(missing(read(dir.path()).unwrap(), &NamedKeys::default()), [needed("a", 1), needed("media", 2)]);
        keys.let_go(&[needed("a", 1)]);
        assert_eq!(read(dir.path()).unwrap(), [needed("media", 2)]);
        std::fs::write(&path, text.replace("\"version\":1,\"needed\"", "\"version\":2,\"needed\"")).unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains("version 2"));
    }
}
