//! What a bucket upstream keeps of what is replaced or deleted there, and how it encrypts, as it said last, and a bucket with that among its documents.
//!
//! Not here: how it is asked and told (`versioning`).

use std::sync::Arc;
use std::time::Instant;

use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::base::bucket_encryption::BucketEncryption;
use crate::base::bucket_lock::BucketLock;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::BucketName;
use crate::base::object::{Bucket, BucketDocument, SharedBucket};
use crate::base::versions::Versioning;

/// Buckets upstream that are remembered; of others it is asked each time.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keeping {
    pub versioning: Versioning,
    /// None: it locks nothing.
    pub lock: Option<BucketLock>,
    /// What new objects get there.
    pub encryption: BucketEncryption,
}

/// What of a bucket's documents is not recorded, since its bucket upstream says it.
const SAID_UPSTREAM: [BucketDocument; 3] = [BucketDocument::Versioning, BucketDocument::ObjectLock, BucketDocument::Encryption];

pub fn without_keeping(mut bucket: Bucket) -> Bucket {
    bucket.documents.retain(|document, _| !SAID_UPSTREAM.contains(document));
    bucket
}

/// For a bucket that is to be a folder.
pub fn require_no_keeping(bucket: &Bucket) -> Result<()> {
    if bucket.documents.contains_key(&BucketDocument::Encryption) {
        return Err(of_a_folder("encrypts what is written"));
    }
    match bucket.documents.keys().any(|document| SAID_UPSTREAM.contains(document)) {
        true => Err(of_a_folder("locks versions")),
        false => Ok(()),
    }
}

impl Keeping {
    fn documents(&self) -> impl Iterator<Item = (BucketDocument, Vec<u8>)> {
        let versioning = self.versioning.name().map(|name| (BucketDocument::Versioning, name.as_bytes().to_vec()));
        let lock = self.lock.map(|lock| (BucketDocument::ObjectLock, lock.document().into_bytes()));
        let encryption =
            (self.encryption != BucketEncryption::default()).then(|| (BucketDocument::Encryption, self.encryption.document().into_bytes()));
        versioning.into_iter().chain(lock).chain(encryption)
    }
}

#[derive(Clone)]
pub struct Heard {
    pub at: Instant,
    pub keeping: Arc<Keeping>,
}

pub struct Keepings {
    /// By the name of the bucket upstream.
    pub heard: Cache<String, Heard>,
    /// Buckets with these documents, of which record and keeping.
    shown: Cache<BucketName, (u64, Arc<Keeping>, SharedBucket)>,
}

impl Default for Keepings {
    fn default() -> Self {
        Keepings { heard: Cache::new(REMEMBERED), shown: Cache::new(REMEMBERED) }
    }
}

impl Keepings {
    /// Whether versions of the bucket may have to be locked when they are made, as far as it is known without asking.
    pub fn locks(&self, name: &BucketName) -> bool {
        self.shown.get(name).is_some_and(|(_, keeping, _)| keeping.lock.is_some())
    }

    pub fn hear(&self, bucket: &str, keeping: Arc<Keeping>) {
        self.heard.insert(bucket.to_owned(), Heard { at: Instant::now(), keeping });
    }

    /// The bucket as it is recorded, with what its bucket upstream says of itself.
    pub fn show(&self, recorded: SharedBucket, keeping: Arc<Keeping>) -> SharedBucket {
        // A replica's record is its origin's.
        let is_recorded = recorded.documents.keys().any(|document| SAID_UPSTREAM.contains(document));
        if *keeping == Keeping::default() && !is_recorded {
            return recorded;
        }
        if let Some((generation, of, shown)) = self.shown.get(&recorded.name)
            && generation == recorded.generation
            && of == keeping
            && shown.owner == recorded.owner
        {
            return shown;
        }
        let shown = Arc::new(shown(&recorded, &keeping));
        self.shown.insert(recorded.name.clone(), (recorded.generation, keeping, shown.clone()));
        shown
    }
}

fn shown(recorded: &Bucket, keeping: &Keeping) -> Bucket {
    let mut bucket = without_keeping(recorded.clone());
    bucket.documents.extend(keeping.documents());
    // What is compiled from a bucket counts for one keeping of it.
    bucket.generation ^= number_of(&format!("{keeping:?}"));
    bucket
}

/// Not for what is stored.
fn number_of(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b))
}

/// What a folder can't decide for itself.
pub fn of_a_folder(what: &str) -> Error {
    let text = format!(
        "This bucket is a part of a bucket upstream, which alone decides whether it {what}. With upstream.buckets = \"own\" a new \
         bucket is one of its own there, and can."
    );
    Error::new(ErrorKind::NotImplemented, text)
}

pub fn lacks_locks() -> Error {
    Error::new(ErrorKind::NotImplemented, "The storage behind this gateway locks no objects.")
}

pub fn lacks_versions() -> Error {
    Error::new(ErrorKind::NotImplemented, "The storage behind this gateway keeps no versions.")
}
