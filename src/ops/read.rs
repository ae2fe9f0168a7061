//! Reads: which version, then bytes of exactly that version.

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::Result;

use crate::base::names::ObjectKey;
use crate::base::object::SharedObject;
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::ops::{Ops, object};
use crate::origin::{Body, CacheState, Freshness, Prefetch, ReadBy};
use crate::variants::Variant;

/// What is sent of a version: the version itself, or a variant of it.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// A variant is described like an object of its own: see `Variant::describe`.
    pub info: &'a SharedObject,
    variant: Option<&'a Variant>,
    /// Of an object beside the one that the grant is for: see `ops::renditions`.
    beside: Option<&'a ObjectKey>,
}

impl<'a> Shown<'a> {
    pub fn stored(object: &'a SharedObject) -> Self {
        Shown { info: object, variant: None, beside: None }
    }

    pub fn variant(info: &'a SharedObject, variant: &'a Variant) -> Self {
        Shown { info, variant: Some(variant), beside: None }
    }

    /// A result that was made of the object, which whoever may read that may read.
    pub(super) fn beside(info: &'a SharedObject, key: &'a ObjectKey) -> Self {
        Shown { info, variant: None, beside: Some(key) }
    }

    fn place<'r>(&'r self, of: ObjectRef<'r>) -> ObjectRef<'r> {
        self.beside.map_or(of, |key| ObjectRef::current(of.bucket, key))
    }
}

impl Ops {
    pub(super) async fn look(&self, of: ObjectRef<'_>, freshness: Freshness) -> Result<Option<SharedObject>> {
        match self.origin.reads.stat_hot(of, freshness) {
            Some(found) => Ok(Some(found)),
            None => self.origin.reads.stat(of, freshness).await,
        }
    }

    /// The current version. None: there is none.
    pub async fn stat(&self, grant: &Grant) -> Result<Option<SharedObject>> {
        let of = object(grant, &[Action::GetObject, Action::GetObjectAttributes, Action::GetObjectAcl])?;
        self.look(of, Freshness::Current).await
    }

    /// The version with the parts that it was made of: `stat` may leave them out.
    pub async fn with_parts(&self, grant: &Grant, version: &SharedObject) -> Result<SharedObject> {
        let of = object(grant, &[Action::GetObject, Action::GetObjectAttributes])?;
        self.origin.reads.with_parts(of, version).await
    }

    /// None: the version was replaced meanwhile; stat again.
    pub async fn tags(&self, grant: &Grant, version: &SharedObject) -> Result<Option<Tags>> {
        let of = object(grant, &[Action::GetObjectTagging])?;
        self.origin.reads.tags(of, version).await
    }

    /// What a cache has of what is shown, from `offset` on. None: nothing stands behind one.
    pub fn cache_state(&self, grant: &Grant, shown: Shown<'_>, offset: u64) -> Result<Option<CacheState>> {
        let of = shown.place(object(grant, &[Action::GetObject])?);
        let state = self.origin.reads.cache_state(of, shown.info, offset);
        // A variant is at hand.
        Ok(if shown.variant.is_some() { state.and(Some(CacheState::Hit)) } else { state })
    }

    /// A first read of this is about to follow: see `Reads::prefetch`. The grant does not tell what the key shows: it is for
    /// whatever that is.
    pub fn prefetch(&self, grant: &Grant, range: ByteRange) -> Result<Option<Prefetch>> {
        let of = object(grant, &[Action::GetObject])?;
        Ok(self.origin.reads.prefetch(of, range))
    }

    /// Bytes of what is shown. None: it was replaced meanwhile; stat again.
    pub async fn open(&self, grant: &Grant, shown: Shown<'_>, range: ByteRange, by: ReadBy) -> Result<Option<Body>> {
        let of = object(grant, &[Action::GetObject])?;
        self.note_read(of.bucket, of.key);
        let of = shown.place(of);
        if let Some(variant) = shown.variant {
            return self.variants.open(variant, range, by).await;
        }
        match self.origin.reads.open_hot(of, shown.info, range, by) {
            Some(body) => Ok(Some(body)),
            None => self.origin.reads.open(of, shown.info, range, by).await,
        }
    }
}
