//! Asks a bucket upstream what it keeps of what is replaced or deleted there, and tells it to. It says so itself: it may be changed
//! beside the gateway, so nothing of this is recorded, and what was heard counts for `FRESH`.
//!
//! A bucket of the gateway that is a whole bucket upstream has this as its own documents and may change it. One that is a folder
//! shows what its bucket upstream does, and can't change it: that bucket has others in it.

use std::sync::Arc;

use aws_sdk_s3::types::{
    BucketVersioningStatus, DefaultRetention as SaidRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode,
    ObjectLockRule, VersioningConfiguration,
};

use crate::base::bucket_lock::{BucketLock, DefaultRetention, Period};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lock::RetentionMode;
use crate::base::names::BucketName;
use crate::base::object::SharedBucket;
use crate::base::versions::Versioning;
use crate::upstream::buckets::{FRESH, PATIENCE, no_such_bucket};
use crate::upstream::fault;
use crate::upstream::keeping::{Keeping, lacks_locks, lacks_versions, of_a_folder};
use crate::upstream::open::Inner;

impl Inner {
    /// `bucket` upstream.
    pub async fn keeping(&self, bucket: &str) -> Result<Arc<Keeping>> {
        let Some(known) = self.keepings.heard.get(bucket) else { return self.ask_keeping(bucket).await };
        if known.at.elapsed() < FRESH {
            return Ok(known.keeping);
        }
        // Others go by what is known meanwhile, and so does this one where no answer comes.
        self.keepings.hear(bucket, known.keeping.clone());
        match tokio::time::timeout(PATIENCE, self.ask_keeping(bucket)).await {
            Ok(Ok(keeping)) => Ok(keeping),
            _ => Ok(known.keeping),
        }
    }

    pub fn forget_keeping(&self, bucket: &str) {
        self.keepings.heard.remove(bucket);
    }

    pub async fn ask_keeping(&self, bucket: &str) -> Result<Arc<Keeping>> {
        let (versioning, encryption) = tokio::try_join!(self.ask_versioning(bucket), self.ask_encryption(bucket))?;
        let lock = match versioning {
            // What locks keeps versions for good.
            Versioning::Enabled => self.ask_lock(bucket).await?,
            Versioning::Never | Versioning::Suspended => None,
        };
        let keeping = Arc::new(Keeping { versioning, lock, encryption });
        self.keepings.hear(bucket, keeping.clone());
        Ok(keeping)
    }

    /// What it refuses to tell is taken for no: it may not know of versions, or these credentials may not ask.
    async fn ask_versioning(&self, bucket: &str) -> Result<Versioning> {
        match self.reader.get_bucket_versioning().bucket(bucket).send().await {
            Ok(said) => Ok(match said.status() {
                Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
                Some(BucketVersioningStatus::Suspended) => Versioning::Suspended,
                _ => Versioning::Never,
            }),
            Err(e) if fault::is_not_told(&e) => {
                let why = fault::of(e);
                tracing::debug!(bucket, error = %why, "whether the bucket upstream keeps versions can't be told: as if it kept none");
                Ok(Versioning::Never)
            }
            Err(e) => Err(fault::of(e)),
        }
    }

    /// What it refuses to tell is taken for no.
    async fn ask_lock(&self, bucket: &str) -> Result<Option<BucketLock>> {
        match self.reader.get_object_lock_configuration().bucket(bucket).send().await {
            Ok(said) => Ok(said.object_lock_configuration().and_then(bucket_lock)),
            Err(e) if fault::is_not_told(&e) => Ok(None),
            Err(e) => Err(fault::of(e)),
        }
    }

    pub async fn with_keeping(&self, recorded: SharedBucket, upstream: &str) -> Result<SharedBucket> {
        Ok(self.keepings.show(recorded, self.keeping(upstream).await?))
    }

    pub async fn set_lock(&self, name: &BucketName, value: Option<&[u8]>) -> Result<()> {
        let place = self.place(name).await?;
        let wanted = value.and_then(BucketLock::read).ok_or_else(|| Error::internal("a bucket's lock can't be taken back"))?;
        if !place.is_whole() {
            return Err(of_a_folder("locks versions"));
        }
        let put = self.client.put_object_lock_configuration().bucket(&*place.bucket);
        match put.object_lock_configuration(lock_configuration(wanted)).send().await {
            Ok(_) => {}
            Err(e) if fault::status(&e) == Some(409) => {
                let text = "Object Lock can't be turned on for this bucket upstream.";
                return Err(Error::new(ErrorKind::InvalidBucketState, text).caused_by(fault::of(e)));
            }
            Err(e) if fault::status(&e).is_some_and(|s| matches!(s, 400 | 404 | 405 | 501)) => {
                return Err(lacks_locks().caused_by(fault::of(e)));
            }
            Err(e) => return Err(fault::of(e)),
        }
        // Some take it and do nothing.
        match self.ask_keeping(&place.bucket).await?.lock == Some(wanted) {
            true => Ok(()),
            false => Err(lacks_locks()),
        }
    }

    pub async fn set_versioning(&self, name: &BucketName, value: Option<&[u8]>) -> Result<()> {
        let place = self.place(name).await?;
        let wanted = match value {
            Some(b"Suspended") => Versioning::Suspended,
            Some(_) => Versioning::Enabled,
            None => return Err(Error::internal("versioning can't be taken back")),
        };
        if !self.abilities().versioning {
            return Err(lacks_versions());
        }
        if !place.is_whole() {
            return Err(of_a_folder("keeps versions"));
        }
        let status = BucketVersioningStatus::from(wanted.name().unwrap_or_default());
        let configuration = VersioningConfiguration::builder().status(status).build();
        let put = self.client.put_bucket_versioning().bucket(&*place.bucket).versioning_configuration(configuration);
        match put.send().await {
            Ok(_) => {}
            Err(e) if fault::status(&e).is_some_and(|s| matches!(s, 400 | 405 | 501)) => {
                return Err(lacks_versions().caused_by(fault::of(e)));
            }
            Err(e) if fault::status(&e) == Some(409) => {
                let text = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.";
                return Err(Error::new(ErrorKind::InvalidBucketState, text).caused_by(fault::of(e)));
            }
            Err(e) if fault::status(&e) == Some(404) => return Err(no_such_bucket()),
            Err(e) => return Err(fault::of(e)),
        }
        // Some take it and do nothing.
        match self.ask_keeping(&place.bucket).await?.versioning == wanted {
            true => Ok(()),
            false => Err(lacks_versions()),
        }
    }
}

fn bucket_lock(said: &ObjectLockConfiguration) -> Option<BucketLock> {
    said.object_lock_enabled().filter(|enabled| **enabled == ObjectLockEnabled::Enabled)?;
    let default = said.rule().and_then(ObjectLockRule::default_retention).and_then(|rule| {
        let number = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok());
        let period = number(rule.days()).and_then(Period::days).or_else(|| Period::years(number(rule.years())?))?;
        Some(DefaultRetention { mode: RetentionMode::parse(rule.mode()?.as_str())?, period })
    });
    Some(BucketLock { default })
}

fn lock_configuration(lock: BucketLock) -> ObjectLockConfiguration {
    let rule = lock.default.map(|DefaultRetention { mode, period }| {
        let retention = SaidRetention::builder().mode(ObjectLockRetentionMode::from(mode.name()));
        let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let retention = match period {
            Period::Days(days) => retention.days(number(days)),
            Period::Years(years) => retention.years(number(years)),
        };
        ObjectLockRule::builder().default_retention(retention.build()).build()
    });
    ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).set_rule(rule).build()
}
