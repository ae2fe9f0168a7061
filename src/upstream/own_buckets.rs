//! Buckets of clients that are buckets of their own upstream (`upstream.buckets = "own"`): made and deleted there.
//!
//! The record in home comes first and goes last: it is what keeps nodes from making one bucket twice, and what a bucket upstream is
//! known by. So a node that ends in between leaves a record whose bucket is not there, which the next CreateBucket of its owner, or a
//! DeleteBucket, puts right. A bucket that is there already is never taken over: nobody knows whose it is.

use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::object::{Bucket, BucketDocument};
use crate::upstream::fault;
use crate::upstream::keeping::lacks_locks;
use crate::upstream::making::{not_available, not_empty};
use crate::upstream::open::Inner;
use crate::upstream::place::Place;

/// S3's region without a name: naming it is an error there.
const FIRST_REGION: &str = "us-east-1";

impl Inner {
    /// Whosever it is.
    pub async fn is_there(&self, own: &str) -> Result<bool> {
        match self.client.head_bucket().bucket(own).send().await {
            Ok(_) => Ok(true),
            Err(e) => match fault::status(&e) {
                Some(404) => Ok(false),
                Some(301 | 400 | 403) => Ok(true),
                _ => Err(fault::of(e)),
            },
        }
    }

    /// As `bucket` asks for it.
    pub async fn make_own(&self, own: &str, bucket: &Bucket) -> Result<()> {
        if self.is_there(own).await? {
            return Err(not_available());
        }
        let region = self.client.config().region().map(ToString::to_string).filter(|region| region != FIRST_REGION);
        let place =
            region.map(|region| CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(&*region)).build());
        let locks = bucket.documents.contains_key(&BucketDocument::ObjectLock);
        let create = self.client.create_bucket().bucket(own).set_create_bucket_configuration(place);
        match create.set_object_lock_enabled_for_bucket(locks.then_some(true)).send().await {
            Ok(_) => {}
            // Another node was faster with the same record, or the answer of a first try was lost.
            Err(e) if fault::code(&e) == Some("BucketAlreadyOwnedByYou") => {}
            Err(e) if fault::status(&e) == Some(409) => return Err(not_available().caused_by(fault::of(e))),
            Err(e) if fault::code(&e) == Some("InvalidBucketName") => {
                return Err(Error::new(ErrorKind::InvalidBucketName, "The storage behind this gateway takes no bucket of this name.")
                    .caused_by(fault::of(e)));
            }
            Err(e) if fault::code(&e) == Some("TooManyBuckets") => {
                let text = "The storage behind this gateway takes no more buckets.";
                return Err(Error::new(ErrorKind::TooManyBuckets, text).caused_by(fault::of(e)));
            }
            Err(e) => return Err(fault::of(e)),
        }
        // Some take the wish and do nothing.
        if locks && self.ask_keeping(own).await?.lock.is_none() {
            self.client.delete_bucket().bucket(own).send().await.map_err(fault::of)?;
            return Err(lacks_locks());
        }
        Ok(())
    }

    pub async fn delete_own(&self, place: &Place) -> Result<()> {
        if self.is_there(&place.bucket).await? {
            self.abort_all_uploads(place).await?;
        }
        match self.client.delete_bucket().bucket(&*place.bucket).send().await {
            Ok(_) => {}
            Err(e) if fault::status(&e) == Some(404) => {}
            Err(e) if fault::code(&e) == Some("BucketNotEmpty") => return Err(not_empty()),
            Err(e) => return Err(fault::of(e)),
        }
        self.forget_keeping(&place.bucket);
        Ok(())
    }
}
