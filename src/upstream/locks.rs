//! Object lock: retention and legal hold of a version are the upstream's to keep, and to refuse by.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lock::Retention;
use crate::base::object_ref::{ObjectRef, VersionId, no_such_version};
use crate::upstream::conditions::no_such_key;
use crate::upstream::fault;
use crate::upstream::info::date_time;
use crate::upstream::open::Inner;

impl Inner {
    pub async fn set_retention(&self, of: ObjectRef<'_>, retention: Option<Retention>, bypass: bool) -> Result<()> {
        let (_, of) = self.meant(of).await?;
        let (place, key) = self.writable(of.bucket, of.key).await?;
        let said = ObjectLockRetention::builder()
            .set_mode(retention.map(|r| ObjectLockRetentionMode::from(r.mode.name())))
            .set_retain_until_date(retention.map(|r| date_time(r.until)))
            .build();
        let put = self.client.put_object_retention().bucket(&*place.bucket).key(key).retention(said);
        let put = put.set_version_id(of.version.id().map(VersionId::to_string)).set_bypass_governance_retention(bypass.then_some(true));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(e) => Err(self.refused(of, e).await),
        }
    }

    pub async fn set_legal_hold(&self, of: ObjectRef<'_>, on: bool) -> Result<()> {
        let (_, of) = self.meant(of).await?;
        let (place, key) = self.writable(of.bucket, of.key).await?;
        let status = if on { ObjectLockLegalHoldStatus::On } else { ObjectLockLegalHoldStatus::Off };
        let put = self.client.put_object_legal_hold().bucket(&*place.bucket).key(key);
        let put =
            put.legal_hold(ObjectLockLegalHold::builder().status(status).build()).set_version_id(of.version.id().map(VersionId::to_string));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(e) => Err(self.refused(of, e).await),
        }
    }

    async fn refused<E>(&self, of: ObjectRef<'_>, e: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match fault::status(&e) {
            Some(404) if of.version.id().is_some() => no_such_version(of),
            Some(404) => no_such_key(),
            Some(405) => Error::new(ErrorKind::MethodNotAllowed, "The specified method is not allowed against this resource."),
            // The upstream refuses whom it does not know with the same word.
            Some(403) => match self.stat(of).await {
                Ok(Some(object)) if object.lock.retention.is_some() => fault::is_locked().caused_by(fault::of(e)),
                _ => fault::of(e),
            },
            _ => fault::of_lock(e),
        }
    }
}
