//! How settings are kept: sealed with a key made of the operator's secret, since they hold the secrets of tenants' keys and of
//! path tokens. Who can read the data folder, a backup of it or a disk that was thrown away, reads none of them.
//!
//! Not here: what a setting means (`ops::operator`). Called by `serve` for each setting and by `open`, which seals anew what was
//! written by an older version, or under the operator's secret of before.
//! Invariant: a row that can't be opened stops the start, so nothing is ever made in place of what is only locked. What a row said
//! before lies in older segments of the journal until they are compacted.

use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::seal::{Purpose, Sealer};
use crate::index::{Index, Walk};
use crate::local::rows::Table;
use crate::local::stored;

/// No JSON document begins so, and all settings of before were JSON.
const MARK: &[u8] = b"sealed 1\n";

/// None: settings are kept as they are given. Only for stores that keep none, such as write-back's, and for tests.
#[derive(Debug, Clone, Default)]
pub struct Sealing(Option<Arc<Sealers>>);

#[derive(Debug)]
struct Sealers {
    now: Sealer,
    /// Of the operator's secret before it was changed.
    before: Option<Sealer>,
}

/// What a row holds.
struct Opened {
    document: Vec<u8>,
    /// It is not sealed as it would be today.
    is_stale: bool,
}

impl Sealing {
    /// With the operator's secret, and the one before, where it was changed.
    pub fn new(secret: &[u8], before: Option<&[u8]>) -> Result<Self> {
        let before = before.map(|secret| Sealer::new(secret, Purpose::Store)).transpose()?;
        Ok(Sealing(Some(Arc::new(Sealers { now: Sealer::new(secret, Purpose::Store)?, before }))))
    }

    pub fn seal(&self, row_key: &[u8], document: &[u8]) -> Result<Vec<u8>> {
        match &self.0 {
            Some(sealers) => Ok([MARK, &sealers.now.seal(&place(row_key), document)?].concat()),
            None => Ok(document.to_vec()),
        }
    }

    pub fn open(&self, row_key: &[u8], kept: &[u8]) -> Result<Vec<u8>> {
        self.look_into(row_key, kept).map(|opened| opened.document)
    }

    fn look_into(&self, row_key: &[u8], kept: &[u8]) -> Result<Opened> {
        let Some(sealed) = kept.strip_prefix(MARK) else {
            return Ok(Opened { document: kept.to_vec(), is_stale: self.0.is_some() });
        };
        let Some(sealers) = &self.0 else { return Err(locked()) };
        if let Some(document) = sealers.now.open(&place(row_key), sealed) {
            return Ok(Opened { document, is_stale: false });
        }
        let document = sealers.before.as_ref().and_then(|before| before.open(&place(row_key), sealed));
        document.map(|document| Opened { document, is_stale: true }).ok_or_else(locked)
    }

    /// Every row that is to be sealed anew, as it will be. Fails where one can't be opened.
    pub fn stale(&self, index: &Index) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut stale = Vec::new();
        index.scan(Table::Settings, &[], &mut |row_key, row| {
            let opened = self.look_into(row_key, &stored::decode::<Vec<u8>>(row)?)?;
            if opened.is_stale {
                stale.push((row_key.to_vec(), self.seal(row_key, &opened.document)?));
            }
            Ok(Walk::Next)
        })?;
        Ok(stale)
    }
}

/// A row that was put in place of another does not open.
fn place(row_key: &[u8]) -> String {
    String::from_utf8_lossy(row_key).into_owned()
}

fn locked() -> Error {
    let text = "what this store keeps of made keys and path tokens was sealed under another operator's secret. Start with the one of before \
                (TIDEGATE_ROOT_SECRET_KEY, or operator.key in the data folder). To change it, start once with the one of before in \
                TIDEGATE_ROOT_OLD_SECRET_KEY";
    Error::new(ErrorKind::LocalUnavailable, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"keys\0TGX";

    #[test]
    fn sealed_rows_open_with_the_secret_they_were_sealed_with() {
        let (old, new) = (Sealing::new(b"old secret", None).unwrap(), Sealing::new(b"new secret", None).unwrap());
        let changed = Sealing::new(b"new secret", Some(b"old secret")).unwrap();
        let kept = old.seal(KEY, b"{\"secret\":1}").unwrap();
        assert!(!kept.windows(6).any(|w| w == b"secret"));
        assert_eq!(old.open(KEY, &kept).unwrap(), b"{\"secret\":1}");
        assert!(old.open(b"keys\0TGY", &kept).is_err(), "moved to another row");
        for refused in [new.open(KEY, &kept), Sealing::default().open(KEY, &kept)] {
            assert!(refused.unwrap_err().to_string().contains("TIDEGATE_ROOT_OLD_SECRET_KEY"));
        }
        let opened = changed.look_into(KEY, &kept).unwrap();
        assert_eq!((opened.document.as_slice(), opened.is_stale), (&b"{\"secret\":1}"[..], true));
        let anew = changed.seal(KEY, &opened.document).unwrap();
        assert!(!new.look_into(KEY, &anew).unwrap().is_stale);
    }

    #[test]
    fn rows_of_before_are_read_and_sealed() {
        let sealing = Sealing::new(b"a secret", None).unwrap();
        let opened = sealing.look_into(KEY, b"{}").unwrap();
        assert_eq!((opened.document.as_slice(), opened.is_stale), (&b"{}"[..], true));
        assert!(!Sealing::default().look_into(KEY, b"{}").unwrap().is_stale);
    }
}
