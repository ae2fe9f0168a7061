//! What an action is asked on.

use crate::auth::policy::text::Text;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{Bucket, ObjectInfo, Upload};
use crate::base::object_ref::VersionSelector;

#[derive(Clone, Copy)]
pub enum Target<'a> {
    Service,
    Bucket(&'a Bucket),
    Object {
        bucket: &'a Bucket,
        key: &'a ObjectKey,
        version: VersionSelector<'a>,
        /// That version where there is one: its ACL and owner may open it.
        object: Option<&'a ObjectInfo>,
    },
    /// An upload in progress; None: there is none of that id.
    Upload {
        bucket: &'a Bucket,
        key: &'a ObjectKey,
        upload: Option<&'a Upload>,
    },
    /// A bucket that is about to be made.
    NewBucket(&'a BucketName),
}

impl<'a> Target<'a> {
    pub(super) fn bucket(&self) -> Option<&'a Bucket> {
        match self {
            Target::Bucket(bucket) | Target::Object { bucket, .. } | Target::Upload { bucket, .. } => Some(bucket),
            Target::Service | Target::NewBucket(_) => None,
        }
    }

    pub(super) fn names(&self) -> (Option<&'a BucketName>, Option<&'a ObjectKey>) {
        match self {
            Target::Service => (None, None),
            Target::Bucket(bucket) => (Some(&bucket.name), None),
            Target::Object { bucket, key, .. } | Target::Upload { bucket, key, .. } => (Some(&bucket.name), Some(key)),
            Target::NewBucket(name) => (Some(name), None),
        }
    }

    pub(super) fn version(&self) -> VersionSelector<'a> {
        match self {
            Target::Object { version, .. } => *version,
            Target::Service | Target::Bucket(_) | Target::Upload { .. } | Target::NewBucket(_) => VersionSelector::Current,
        }
    }

    pub(super) fn resource(&self) -> Text<'a> {
        let (bucket, key) = self.names();
        Text::joined(bucket.map_or("", |b| b.as_str()), key.map(|k| k.as_str()))
    }
}
