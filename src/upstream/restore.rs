//! RestoreObject: the archive is the upstream's, and so is the answer.

use aws_sdk_s3::types::{GlacierJobParameters, RestoreRequest, Tier};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::object_ref::{ObjectRef, VersionId, no_such_version};
use crate::origin::{Restore, Restored, not_archived};
use crate::upstream::conditions::no_such_key;
use crate::upstream::fault;
use crate::upstream::open::Inner;

impl Inner {
    pub async fn restore(&self, of: ObjectRef<'_>, wanted: Restore) -> Result<Restored> {
        let (_, of) = self.meant(of).await?;
        let (place, full) = self.writable(of.bucket, of.key).await?;
        let Some(head) = self.look_at(&place.bucket, &full, of.version).await?.object() else {
            return Err(if of.version.id().is_some() { no_such_version(of) } else { no_such_key() });
        };
        // The SDK keeps the status of the answer to itself.
        let is_back = head.restore().is_some_and(|said| said.contains("ongoing-request=\"false\""));
        let days = wanted.days.and_then(|n| i32::try_from(n).ok());
        let tier = wanted.tier.as_deref().map(|tier| GlacierJobParameters::builder().tier(Tier::from(tier)).build());
        let tier = tier.transpose().map_err(Error::internal)?;
        let request = RestoreRequest::builder().set_days(days).set_glacier_job_parameters(tier).build();
        let restore = self.client.restore_object().bucket(&*place.bucket).key(full).restore_request(request);
        match restore.set_version_id(of.version.id().map(VersionId::to_string)).send().await.map_err(fault::of) {
            Ok(_) => Ok(if is_back { Restored::Prolonged } else { Restored::Begun }),
            Err(e) if e.kind() == ErrorKind::InvalidObjectState => Err(not_archived().caused_by(e)),
            Err(e) => Err(e),
        }
    }
}
