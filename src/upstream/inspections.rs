//! What was found in the content of an object, as a record of the gateway's own: nothing of an object upstream can be changed without
//! writing it anew. One record for a key, which says which version it is about; it goes with the key.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::base::error::Result;
use crate::base::inspection::Inspection;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::base::object_ref::ObjectRef;
use crate::base::stored::{inspection_bytes, inspection_of};
use crate::upstream::open::Inner;
use crate::upstream::records::Over;

const VERSION: u8 = 1;

/// A key may be longer than what is left of one behind the folder.
fn path(bucket: &BucketName, key: &ObjectKey) -> String {
    let mut hash = Sha256::new();
    hash.update(bucket.as_str());
    hash.update(b"/");
    hash.update(key.as_str());
    format!("media/{}", hex::encode(hash.finalize()))
}

/// The version that it is about, and what was found in it.
fn write(generation: u64, inspection: &Inspection) -> Result<Vec<u8>> {
    Ok([&[VERSION][..], &generation.to_le_bytes(), &inspection_bytes(inspection)?].concat())
}

/// None: it is of a newer program, or about another version.
fn read(record: &[u8], generation: u64) -> Option<Inspection> {
    let (version, rest) = record.split_first()?;
    let (about, form) = rest.split_first_chunk()?;
    (*version == VERSION && u64::from_le_bytes(*about) == generation).then(|| inspection_of(form))?
}

impl Inner {
    pub async fn inspection(&self, of: ObjectRef<'_>, object: &SharedObject) -> Result<Option<Arc<Inspection>>> {
        let record = self.record(&path(of.bucket, of.key)).await?;
        Ok(record.and_then(|record| read(&record.text, object.generation)).map(Arc::new))
    }

    pub async fn set_inspection(&self, of: ObjectRef<'_>, object: &SharedObject, inspection: &Inspection) -> Result<bool> {
        // By its ETag: the time of a write that was just made, and so its number, is known only now. What was written meanwhile has a
        // job of its own, which writes over this.
        let current = self.stat(ObjectRef::current(of.bucket, of.key)).await?.filter(|current| current.etag == object.etag);
        let Some(current) = current else { return Ok(false) };
        self.put_record(&path(of.bucket, of.key), &write(current.generation, inspection)?, Over::Anything).await?;
        Ok(true)
    }

    pub async fn forget_inspection(&self, of: ObjectRef<'_>) -> Result<()> {
        self.delete_record(&path(of.bucket, of.key)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::inspection::Verdict;

    /// As version 1 wrote it.
    #[test]
    fn a_record_is_about_one_version() {
        let inspection = Inspection::without_a_look(1, Verdict::Skipped, "why");
        let record = write(0x0102, &inspection).unwrap();
        assert_eq!(hex::encode(&record), "01020100000000000001010300000001000377 6879".replace(' ', ""));
        assert_eq!(read(&record, 0x0102), Some(inspection));
        assert_eq!((read(&record, 0x0103), read(&record[..8], 0x0102), read(b"", 0)), (None, None, None));
        let path = path(&BucketName::parse("media").unwrap(), &ObjectKey::parse("a/b.glb").unwrap());
        assert!(path.starts_with("media/") && path.len() == 70);
    }
}
