//! Tags of an object are the upstream's own: nothing of them is sealed or recorded here, and whoever reads the bucket sees them.
//!
//! Invariant: an upstream that keeps no tags is given none in silence: the write is refused.

use aws_sdk_s3::operation::get_object_tagging::GetObjectTaggingOutput;
use aws_sdk_s3::types::{Tag, Tagging, TaggingDirective};

use crate::base::encryption::Encryption;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::object::ObjectInfo;
use crate::base::object_ref::{ObjectRef, VersionId, VersionSelector, no_such_version};
use crate::base::tags::Tags;
use crate::upstream::conditions::no_such_key;
use crate::upstream::fault;
use crate::upstream::open::Inner;
use crate::upstream::write::Copying;

impl Inner {
    /// As the header of a request that makes an object. None: it gets no tags.
    pub fn tagging(&self, tags: &Tags) -> Result<Option<String>> {
        match tags.is_empty() {
            true => Ok(None),
            false => self.require_tags().map(|()| Some(tags.query())),
        }
    }

    /// The same of a copy. Where neither source nor copy has tags nothing is said of them: it may take a right of its own.
    pub fn tagging_of_copy(&self, copying: &Copying) -> Result<(Option<TaggingDirective>, Option<String>)> {
        let Some(tags) = &copying.tags else { return Ok((None, None)) };
        let tagging = self.tagging(tags)?;
        let replaces = self.abilities().tags && (tagging.is_some() || copying.object.tag_count != Some(0));
        Ok((replaces.then_some(TaggingDirective::Replace), tagging))
    }

    pub fn require_tags(&self) -> Result<()> {
        if self.abilities().tags {
            return Ok(());
        }
        let text = "The storage behind this gateway keeps no tags of objects, so the gateway takes none.";
        Err(Error::new(ErrorKind::NotImplemented, text))
    }

    /// How many tags an answer says that the object has. None: it does not say, and it may have some.
    pub fn tag_count(&self, told: Option<i32>) -> Option<u16> {
        match told.and_then(|n| u16::try_from(n).ok()) {
            Some(count) => Some(count),
            None if self.abilities().tag_counts || !self.abilities().tags => Some(0),
            None => None,
        }
    }

    /// None: that version is not there any more. The tags come without an ETag, so it is looked at once more behind them.
    pub async fn tags(&self, of: ObjectRef<'_>, object: &ObjectInfo) -> Result<Option<Tags>> {
        self.require_tags()?;
        let (_, of) = self.meant(of).await?;
        let place = self.place(of.bucket).await?;
        let Ok(full) = place.key(of.key) else { return Ok(None) };
        if self.hidden_folder(&place, &full).await?.is_some() {
            return Ok(None);
        }
        let Some(tags) = self.tags_at(&place.bucket, &full, of.version).await? else { return Ok(None) };
        let unlock = object.encryption.as_ref().and_then(Encryption::customer_key).map(|key| &**key).or(of.unlock);
        let Some(head) = self.look_at_under(&place.bucket, &full, of.version, unlock).await?.object() else { return Ok(None) };
        let now = self.info(&place.bucket, &full, &TenantId::operator(), &head)?;
        Ok((now.generation == object.generation).then_some(tags))
    }

    /// None: there is no such object.
    pub async fn tags_at(&self, bucket: &str, key: &str, version: VersionSelector<'_>) -> Result<Option<Tags>> {
        let get = self.reader.get_object_tagging().bucket(bucket).key(key);
        match get.set_version_id(version.id().map(VersionId::to_string)).send().await {
            Ok(told) => Ok(Some(told_tags(&told))),
            Err(e) if fault::is_no_such_version(&e) => Ok(None),
            Err(e) => Err(fault::of(e)),
        }
    }

    pub async fn set_tags(&self, of: ObjectRef<'_>, tags: &Tags) -> Result<()> {
        self.require_tags()?;
        let (_, of) = self.meant(of).await?;
        let (place, full) = self.writable(of.bucket, of.key).await?;
        let version = of.version.id().map(VersionId::to_string);
        let absent = || if version.is_some() { no_such_version(of) } else { no_such_key() };
        if tags.is_empty() {
            let deleted = self.client.delete_object_tagging().bucket(&*place.bucket).key(full).set_version_id(version.clone()).send().await;
            return deleted.map(drop).map_err(|e| if fault::is_no_such_version(&e) { absent() } else { fault::of(e) });
        }
        let tag = |(key, value): (&str, &str)| Tag::builder().key(key).value(value).build().map_err(Error::internal);
        let set = tags.iter().map(tag).collect::<Result<Vec<Tag>>>()?;
        let tagging = Tagging::builder().set_tag_set(Some(set)).build().map_err(Error::internal)?;
        let put =
            self.client.put_object_tagging().bucket(&*place.bucket).key(full).set_version_id(version.clone()).tagging(tagging).send().await;
        put.map(drop).map_err(|e| if fault::is_no_such_version(&e) { absent() } else { fault::of(e) })
    }
}

pub fn told_tags(told: &GetObjectTaggingOutput) -> Tags {
    Tags::told(told.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
}
