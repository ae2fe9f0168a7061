//! The right to do something with an object, where tags may have a say in it: who asks for one on any door asks here.
//!
//! Tags are looked up only where something was refused without them and a policy asks for them: see `Auth::lacks_tags`.
//! Not here: rights on buckets and uploads (`exchange`), what a policy makes of tags (`auth::policy`).

use crate::auth::grant::Asked;
use crate::auth::{Action, Grant, TagsOf, Target};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{ObjectInfo, SharedBucket, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::base::tags::Tags;
use crate::http::body::Brought;
use crate::http::exchange::Exchange;
use crate::http::s3::route::Resource;
use crate::origin::Freshness;

impl Exchange<'_> {
    /// The right to do it with an object. Its tags are looked up where it was refused without them, and a policy asks for them.
    pub async fn authorize_object(
        &self,
        action: Action,
        bucket: &SharedBucket,
        of: ObjectRef<'_>,
        object: Option<&SharedObject>,
    ) -> Result<Grant> {
        let refused = match self.authorize_without_tags(action, bucket, of, object.map(|o| &**o)) {
            Ok(grant) => return self.metered(&bucket.name, grant),
            Err(e) => e,
        };
        if !self.lacks_tags(TagsOf::Existing, action, bucket, of) {
            self.record.saw_bucket(bucket.clone());
            return Err(refused);
        }
        match Box::pin(self.authorize_by_tags(action, bucket, of, object)).await {
            Ok(grant) => self.metered(&bucket.name, grant),
            Err(refused) => {
                self.record.saw_bucket(bucket.clone());
                Err(refused)
            }
        }
    }

    /// What may be done whatever the tags of the object are; all of what tags have no say in.
    pub fn authorize_without_tags(
        &self,
        action: Action,
        bucket: &SharedBucket,
        of: ObjectRef<'_>,
        object: Option<&ObjectInfo>,
    ) -> Result<Grant> {
        let target = Target::Object { bucket, key: of.key, version: of.version, object };
        Ok(self.gateway.auth.authorize(self.caller, action, target, &self.context())?.asked_by(|| self.asked_in(bucket)))
    }

    /// One request of those that the bucket of this one takes in a second. Who may do nothing there takes none away.
    pub(super) fn metered<T>(&self, bucket: &BucketName, right: T) -> Result<T> {
        let auth = &self.gateway.auth;
        if auth.bucket_limits().of(bucket).is_some()
            && self.record.resource().and_then(Resource::bucket) == Some(bucket)
            && !self.metered.replace(true)
        {
            auth.take_token_of(bucket)?;
        }
        Ok(right)
    }

    fn asked_in(&self, bucket: &SharedBucket) -> Asked {
        let by_form = matches!(self.body, Some(Brought::File(_)));
        Asked { id: self.id, address: self.peer.address.ip(), by_form, bucket: bucket.clone() }
    }

    async fn authorize_by_tags(
        &self,
        action: Action,
        bucket: &SharedBucket,
        of: ObjectRef<'_>,
        object: Option<&SharedObject>,
    ) -> Result<Grant> {
        let object = match object {
            Some(object) => Some(object.clone()),
            None => self.gateway.ops.object_for_decision(of, Freshness::Current).await?,
        };
        let tags = match &object {
            None => Some(Tags::default()),
            Some(object) => self.gateway.ops.tags_for_decision(of, object).await?,
        };
        let changed = || Error::new(ErrorKind::OperationAborted, "The object was replaced while it was looked at. Please try again.");
        let (tags, target) =
            (tags.ok_or_else(changed)?, Target::Object { bucket, key: of.key, version: of.version, object: object.as_deref() });
        let grant = self.gateway.auth.authorize(self.caller, action, target, &self.context_with(Some(&tags)))?;
        Ok(grant.asked_by(|| self.asked_in(bucket)))
    }

    /// Whether it may have been refused because these tags are not known.
    pub fn lacks_tags(&self, tags: TagsOf, action: Action, bucket: &SharedBucket, of: ObjectRef<'_>) -> bool {
        let target = Target::Object { bucket, key: of.key, version: of.version, object: None };
        self.gateway.auth.lacks_tags(self.caller, action, target, &self.context(), tags)
    }

    /// The right to make an object under the key with these tags: giving any takes a right of its own.
    pub async fn on_new_object(&mut self, bucket: &BucketName, key: &ObjectKey, tags: &Tags) -> Result<Grant> {
        self.given_tags = Some(tags.clone());
        let grant = self.on_object(Action::PutObject, bucket, key).await?;
        if !tags.is_empty() {
            self.on_object(Action::PutObjectTagging, bucket, key).await?;
        }
        Ok(grant)
    }
}
