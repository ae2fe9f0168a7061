//! The parts that an object upstream was made of: asked only when a request is about them, since HEAD does not tell.

use std::sync::Arc;

use aws_sdk_s3::types::ObjectAttributes;

use crate::base::encryption::{CustomerKey, Encryption};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::object::{ObjectInfo, PartInfo, SharedObject};
use crate::base::object_ref::{ObjectRef, VersionId, VersionSelector};
use crate::upstream::conditions::no_such_key;
use crate::upstream::fault;
use crate::upstream::info::checksum_of;
use crate::upstream::open::Inner;
use crate::upstream::sse::with_key;

/// Parts of different sizes that the upstream does not list are asked for one by one, if they are not more.
const ASKED_SINGLY: u16 = 100;

/// The version whose parts are looked for, as the upstream knows it.
struct Asked<'a> {
    bucket: &'a str,
    key: &'a str,
    version: Option<String>,
    object: &'a ObjectInfo,
}

impl Asked<'_> {
    /// The client's key that it lies under.
    fn unlock(&self) -> Option<&CustomerKey> {
        self.object.encryption.as_ref().and_then(Encryption::customer_key).map(|key| &**key)
    }
}

impl Inner {
    pub async fn with_parts(&self, of: ObjectRef<'_>, object: &SharedObject) -> Result<SharedObject> {
        if object.etag.parts().is_none() || !object.parts.is_empty() {
            return Ok(object.clone());
        }
        let of = if of.version == VersionSelector::Current { of } else { self.meant(of).await?.1 };
        let place = self.place(of.bucket).await?;
        self.parts_at(&place.bucket, &place.key(of.key)?, of.version.id(), object).await
    }

    /// `bucket` and `key` upstream. `version`: none is the current one.
    pub async fn parts_at(&self, bucket: &str, key: &str, version: Option<&VersionId>, object: &SharedObject) -> Result<SharedObject> {
        let Some(count) = object.etag.parts().filter(|_| object.parts.is_empty()) else { return Ok(object.clone()) };
        let whole = |parts: &[PartInfo]| parts.len() == usize::from(count) && parts.iter().map(|p| p.size).sum::<u64>() == object.size;
        let at = Asked { bucket, key, version: version.map(VersionId::to_string), object };
        let mut parts = self.listed_parts(&at).await?;
        if !whole(&parts) {
            parts = self.measured_parts(&at, count).await?;
        }
        if !whole(&parts) {
            let text = "The storage behind this gateway does not tell of which parts this object was made.";
            return Err(Error::new(ErrorKind::NotImplemented, text));
        }
        Ok(Arc::new(ObjectInfo { parts, ..ObjectInfo::clone(object) }))
    }

    /// What GetObjectAttributes says: nothing, on S3, of objects without a checksum.
    async fn listed_parts(&self, at: &Asked<'_>) -> Result<Vec<PartInfo>> {
        let mut parts = Vec::new();
        let mut after = None;
        if !self.abilities().attributes {
            return Ok(parts);
        }
        loop {
            let ask = self.reader.get_object_attributes().bucket(at.bucket).key(at.key).set_version_id(at.version.clone());
            let ask = with_key!(ask, at.unlock());
            let ask = ask.object_attributes(ObjectAttributes::ObjectParts).object_attributes(ObjectAttributes::Etag);
            let got = match ask.set_part_number_marker(after.take()).send().await {
                Ok(got) => got,
                Err(e) if fault::is_no_such_version(&e) => return Err(no_such_key()),
                Err(e) if matches!(fault::status(&e), Some(400 | 403 | 405 | 501)) => return Ok(Vec::new()),
                Err(e) => return Err(fault::of(e)),
            };
            let same = got.e_tag().and_then(crate::base::etag::ETag::of_upstream) == Some(at.object.etag);
            let Some(page) = got.object_parts().filter(|_| same) else { return Ok(Vec::new()) };
            for part in page.parts() {
                let (number, size) =
                    (part.part_number().and_then(|n| u16::try_from(n).ok()), part.size().and_then(|n| u64::try_from(n).ok()));
                let (Some(number), Some(size)) = (number, size) else { return Ok(Vec::new()) };
                parts.push(PartInfo { number, size, checksum: checksum_of!(part) });
            }
            after = page.next_part_number_marker().map(str::to_owned).filter(|_| page.is_truncated() == Some(true));
            if after.is_none() || page.parts().is_empty() {
                return Ok(parts);
            }
        }
    }

    /// As a rule all parts but the last are alike: the first one tells.
    async fn measured_parts(&self, at: &Asked<'_>, count: u16) -> Result<Vec<PartInfo>> {
        let Some(first) = self.part_size(at, 1).await? else { return Ok(Vec::new()) };
        let before_last = first.saturating_mul(u64::from(count) - 1);
        let last = at.object.size.checked_sub(before_last).filter(|last| (1..=first).contains(last) || count == 1);
        if let Some(last) = last
            && self.part_size(at, count).await? == Some(last)
        {
            let of = |number: u16| PartInfo { number, size: if number == count { last } else { first }, checksum: None };
            return Ok((1..=count).map(of).collect());
        }
        let mut parts = Vec::new();
        for number in 1..=count.min(ASKED_SINGLY) {
            let Some(size) = self.part_size(at, number).await? else { return Ok(Vec::new()) };
            parts.push(PartInfo { number, size, checksum: None });
        }
        Ok(parts)
    }

    async fn part_size(&self, at: &Asked<'_>, number: u16) -> Result<Option<u64>> {
        let head = self.reader.head_object().bucket(at.bucket).key(at.key).set_version_id(at.version.clone());
        let head = with_key!(head, at.unlock());
        let head = head.part_number(i32::from(number)).if_match(at.object.etag.quoted());
        match head.send().await {
            Ok(head) => Ok(head.content_length().and_then(|n| u64::try_from(n).ok())),
            Err(e) if fault::status(&e).is_some_and(|s| (400..500).contains(&s)) => Ok(None),
            Err(e) => Err(fault::of(e)),
        }
    }
}
