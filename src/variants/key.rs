//! What a variant is made of, and the name that it has by that.

use crate::base::digest::Sha256;
use crate::base::etag::ETag;
use crate::base::names::TenantId;
use crate::base::object::ObjectInfo;
use crate::base::timestamp::Timestamp;
use crate::origin::{Body, Pending};
use crate::variants::codec::{Change, Effort};

/// The bytes of the one version that a variant is made of, from their first to their last. None: it is gone.
pub trait Original: Send + Sync {
    fn open(&self) -> Pending<'_, Option<Body>>;
}

/// Which bytes a variant was made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Content {
    Hash(Sha256),
    /// Of a version whose hash is not known yet.
    Version {
        etag: ETag,
        size: u64,
        modified: Timestamp,
        generation: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub(super) scope: TenantId,
    content: Content,
    pub(super) change: Change,
}

impl Key {
    pub fn of(object: &ObjectInfo, change: Change) -> Self {
        let content = match &object.sha256 {
            Some(hash) => Content::Hash(*hash.digest()),
            None => Content::Version { etag: object.etag, size: object.size, modified: object.modified, generation: object.generation },
        };
        Key { scope: object.owner.clone(), content, change }
    }

    /// That of its best form; only that is kept in files.
    pub(super) fn file_name(&self) -> String {
        let content = match &self.content {
            Content::Hash(hash) => hash.hex(),
            Content::Version { etag, size, modified, generation } => {
                format!("{}-{size}-{}-{generation}", etag.file_name(), modified.millis())
            }
        };
        let form = self.change.form(Effort::Best);
        match self.change {
            Change::Encode(_) => format!("{content}.{form}"),
            Change::Decode(from) => format!("{content}.{}.{form}", from.name()),
        }
    }
}
