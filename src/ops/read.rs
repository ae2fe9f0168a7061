//! Reads: which version, then bytes of exactly that version.

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::Result;
use crate::base::object::SharedObject;
use crate::base::range::ByteRange;
use crate::ops::{Ops, object};
use crate::origin::{Body, ReadBy};

impl Ops {
    /// The current version. None: there is none.
    pub async fn stat(&self, grant: &Grant) -> Result<Option<SharedObject>> {
        let (bucket, key) = object(grant, &[Action::GetObject, Action::GetObjectAttributes, Action::GetObjectAcl])?;
        match self.origin.stat_hot(bucket, key) {
            Some(found) => Ok(Some(found)),
            None => self.origin.stat(bucket, key).await,
        }
    }

    /// Bytes of the version `of`. None: it was replaced meanwhile; stat again.
    pub async fn open(&self, grant: &Grant, of: &SharedObject, range: ByteRange, by: ReadBy) -> Result<Option<Body>> {
        let (bucket, key) = object(grant, &[Action::GetObject])?;
        match self.origin.open_hot(bucket, key, of, range, by) {
            Some(body) => Ok(Some(body)),
            None => self.origin.open(bucket, key, of, range, by).await,
        }
    }
}
