//! Handing a body on: one version's bytes as a body that was received. A file is given a second name and not copied, so the
//! version may be replaced or collected meanwhile.

use tokio::task::spawn_blocking;

use bytes::Bytes;

use crate::base::digest::Md5;
use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::range::ByteRange;
use crate::files::open::unreadable;
use crate::ingest::{Content, Received};
use crate::local::Local;
use crate::local::hot::Entry;
use crate::local::rows::BodyPlace;
use crate::local::shared::Shared;

/// As for reads: more than a body that is moved needs.
const TRIES: usize = 4;

impl Local {
    /// None: it is no longer the current version. Not for multipart objects, whose bodies are many files.
    pub async fn hand_on(&self, bucket: &BucketName, key: &ObjectKey, generation: u64) -> Result<Option<Received>> {
        let (shared, bucket, key) = (self.shared.clone(), bucket.clone(), key.clone());
        let handed = spawn_blocking(move || {
            for _ in 0..TRIES {
                let entry = shared.load_entry(&bucket, &key)?.filter(|e| e.info.generation == generation);
                let Some(entry) = entry else { return Ok(None) };
                if let Some(handed) = shared.hand_on(&entry)? {
                    return Ok(Some(handed));
                }
                // The record names a place that is gone: it was replaced, or its body was moved. Look again.
            }
            Err(unreadable(std::io::Error::other("a body's file is missing: run `tidegate fsck`")))
        });
        handed.await.map_err(Error::internal)?
    }
}

impl Shared {
    /// None: the place is gone.
    fn hand_on(&self, entry: &Entry) -> Result<Option<Received>> {
        let info = &entry.info;
        if entry.held.is_some() {
            return Err(Error::internal("a body under a key was to be handed on as it lies"));
        }
        let content = match entry.place {
            BodyPlace::Empty => Content::Memory(Bytes::new()),
            BodyPlace::File { .. } => {
                let spans = self.spans(entry, ByteRange { start: 0, end: info.size });
                let span = spans.and_then(|s| s.into_iter().next()).ok_or_else(|| Error::internal("a file without a name"))?;
                match self.staging.link(&span.path) {
                    Ok(file) if file.len() == info.size => Content::File(file),
                    Ok(_) => return Err(unreadable(std::io::ErrorKind::UnexpectedEof.into())),
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    Err(e) => return Err(Error::storage(e)),
                }
            }
            _ => match self.read_whole(entry)? {
                Some(bytes) => Content::Memory(bytes),
                None => return Ok(None),
            },
        };
        let mut md5 = [0; 16];
        let single = info.parts.is_empty() && hex::decode_to_slice(info.etag.to_string(), &mut md5).is_ok();
        let Some(sha256) = info.sha256.filter(|_| single) else {
            return Err(Error::internal("an object that was not a single PUT was to be handed"));
        };
        Ok(Some(Received { size: info.size, md5: Some(Md5(md5)), sha256, checksum: info.checksum.clone(), content }))
    }
}
