//! Making and deleting the buckets of clients: a record in home, which one of all nodes makes, and a folder or a bucket of its own
//! (`own_buckets`) that it stands for.

use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, TenantId};
use crate::base::object::{Bucket, SharedBucket};
use crate::base::versions::Versioning;
use crate::upstream::buckets::{FOLDER, Found, generation};
use crate::upstream::fault;
use crate::upstream::keeping::{require_no_keeping, without_keeping};
use crate::upstream::open::Inner;
use crate::upstream::place::Place;
use crate::upstream::records::Over;
use crate::upstream::stored;

impl Inner {
    pub async fn create_bucket(&self, bucket: Bucket) -> Result<SharedBucket> {
        let name = bucket.name.clone();
        if let Some(configured) = self.map.find(&name) {
            return Err(taken(&bucket, &configured.owner));
        }
        let own = self.map.own(&name)?;
        if own.as_ref().is_some_and(|own| self.map.is_in_use(own)) {
            return Err(not_available());
        }
        // Who makes it asks anew, here and below.
        self.buckets.absent.invalidate(name.as_str());
        if let Some(there) = self.recorded(&name).await? {
            return self.made_already(&bucket, there).await;
        }
        let folder = self.map.folder(&name);
        // Whatever lies there was put there by somebody whom this tenant has no right to ask about. A bucket of its own would hide it.
        let may_see_home = bucket.owner.is_operator() || self.settings.owner.as_ref() == Some(&bucket.owner);
        if self.map.overlaps(&folder) || ((!may_see_home || own.is_some()) && !self.is_empty(&folder).await?) {
            return Err(not_available());
        }
        let Some(own) = own else { return self.claim(bucket, None).await };
        let (asked, bucket) = (bucket.clone(), without_keeping(bucket));
        let made = self.claim(bucket, Some(own.as_str().into())).await?;
        match self.make_own(&own, &asked).await {
            Ok(()) => Ok(made),
            Err(e) => {
                self.forget_bucket(&name).await?;
                Err(e)
            }
        }
    }

    /// Of all nodes one makes a bucket of this name.
    async fn claim(&self, bucket: Bucket, own: Option<Arc<str>>) -> Result<SharedBucket> {
        require_no_keeping(&bucket)?;
        let name = bucket.name.clone();
        let text = stored::write_bucket(&bucket, own.as_deref())?;
        match self.put_record(&format!("{FOLDER}{name}"), &text, Over::Nothing).await {
            Ok(etag) => {
                let made = Arc::new(Bucket { generation: generation(&etag), ..bucket });
                self.remember(name.as_str(), Some(Found { etag, bucket: made.clone(), own }));
                Ok(made)
            }
            Err(e) if e.kind() == ErrorKind::PreconditionFailed => {
                self.buckets.absent.invalidate(name.as_str());
                match self.recorded(&name).await? {
                    Some(there) => Err(taken(&bucket, &there.bucket.owner)),
                    None => Err(not_available()),
                }
            }
            Err(e) => Err(e),
        }
    }

    /// A node that ended in the middle may have left a record without its bucket upstream.
    async fn made_already(&self, bucket: &Bucket, there: Found) -> Result<SharedBucket> {
        match &there.own {
            Some(own) if there.bucket.owner == bucket.owner && !self.is_there(own).await? => {
                self.make_own(own, bucket).await?;
                Ok(there.bucket)
            }
            _ => Err(taken(bucket, &there.bucket.owner)),
        }
    }

    async fn forget_bucket(&self, name: &BucketName) -> Result<()> {
        self.delete_record(&format!("{FOLDER}{name}")).await?;
        self.remember(name.as_str(), None);
        Ok(())
    }

    pub async fn delete_bucket(&self, name: &BucketName) -> Result<()> {
        if self.map.find(name).is_some() {
            let text = "This bucket is named in the gateway's configuration: it is given up there.";
            return Err(Error::new(ErrorKind::MethodNotAllowed, text));
        }
        let place = self.place(name).await?;
        if !self.is_empty(&place).await? {
            return Err(not_empty());
        }
        if place.is_whole() {
            self.delete_own(&place).await?;
        } else {
            self.abort_all_uploads(&place).await?;
        }
        self.forget_bucket(name).await
    }

    /// Versions that nobody sees count too, and would be shown to whoever makes a bucket of that name again.
    async fn is_empty(&self, place: &Place) -> Result<bool> {
        if self.keeping(&place.bucket).await?.versioning != Versioning::Never {
            let list = self.reader.list_object_versions().bucket(&*place.bucket).prefix(&*place.prefix).max_keys(1);
            let found = list.send().await.map_err(fault::of)?;
            return Ok(found.versions().is_empty() && found.delete_markers().is_empty());
        }
        let list = self.reader.list_objects_v2().bucket(&*place.bucket).prefix(&*place.prefix).max_keys(1);
        match list.send().await {
            Ok(found) => Ok(found.contents().is_empty()),
            Err(e) if place.is_whole() && fault::code(&e) == Some("NoSuchBucket") => Ok(true),
            Err(e) => Err(fault::of(e)),
        }
    }
}

/// There is one of that name, and whose it is.
fn taken(wanted: &Bucket, owner: &TenantId) -> Error {
    if *owner != wanted.owner {
        return not_available();
    }
    let text = "Your previous request to create the named bucket succeeded and you already own it.";
    Error::new(ErrorKind::BucketAlreadyOwnedByYou, text)
}

pub fn not_empty() -> Error {
    Error::new(ErrorKind::BucketNotEmpty, "The bucket you tried to delete is not empty.")
}

pub fn not_available() -> Error {
    let text = "The requested bucket name is not available. Please select a different name and try again.";
    Error::new(ErrorKind::BucketAlreadyExists, text)
}
