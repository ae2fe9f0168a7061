//! Listings: ListObjectsV2 of the folder that a bucket is, without what is hidden from those who look at it.
//!
//! The upstream groups by the delimiter before anything is hidden. A common prefix that ends inside the name of a hidden folder
//! (`.tide`, of the delimiter `e`) is shown only where something else begins so too, which takes a look.

use percent_encoding::percent_decode_str;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::EncodingType;

use crate::base::checksum::{ChecksumAlgorithm, ChecksumType};
use crate::base::error::Result;
use crate::base::etag::ETag;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{ListEntry, ListPage, ListQuery, ListedObject};
use crate::upstream::buckets::{Made, no_such_bucket};
use crate::upstream::fault;
use crate::upstream::info;
use crate::upstream::open::Inner;
use crate::upstream::place::Place;

/// S3's page.
pub const PAGE: usize = 1000;
/// Sorts after all that a key goes on with: what is under a prefix is stepped over by it.
pub const LAST: char = char::MAX;

/// An entry by its full name.
struct Entry {
    name: String,
    /// None: it has no name here, such as the marker that consoles make of a folder.
    entry: Option<ListEntry>,
}

impl Inner {
    pub async fn list(&self, bucket: &BucketName, query: &ListQuery) -> Result<ListPage> {
        let owner = self.bucket(bucket).await?.ok_or_else(no_such_bucket)?.owner.clone();
        let place = self.place(bucket).await?;
        let made = self.made().await?;
        self.list_place(&place, &owner, query, &made).await
    }

    /// `made`: the folders in home that are buckets of their own.
    pub async fn list_place(&self, place: &Place, owner: &TenantId, query: &ListQuery, made: &Made) -> Result<ListPage> {
        let mut page = ListPage::default();
        if query.max == 0 {
            return Ok(page);
        }
        let skipped = common_prefix(&query.after, &query.prefix, &query.delimiter).map(str::to_owned);
        let mut after = match &skipped {
            // What is under it was summed up on the page before.
            Some(common) => format!("{}{common}{LAST}", place.prefix),
            None if query.after.is_empty() => String::new(),
            None => format!("{}{}", place.prefix, query.after),
        };
        loop {
            let max = PAGE.min(query.max - page.entries.len());
            let got = self.list_page(place, query, &after, max).await?;
            let more = got.is_truncated() == Some(true);
            let mut entries = self.entries(&got, place, owner);
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            let Some(last) = entries.last().map(|e| e.name.clone()) else { return Ok(page) };
            // A common prefix stands for all that is under it.
            let ends_in_prefix = entries.last().is_some_and(|e| matches!(e.entry, Some(ListEntry::CommonPrefix(_))));
            after = if ends_in_prefix { format!("{last}{LAST}") } else { last.clone() };
            for Entry { name, entry } in entries {
                let Some(entry) = entry else { continue };
                match self.map.hidden_folder(place, &name, |name| made.has(name)) {
                    Some(folder) => {
                        if name == last {
                            after = format!("{folder}{LAST}");
                        }
                    }
                    None if is(&entry, skipped.as_deref()) => {}
                    None if !self.stands_for_something(place, owner, &name, &entry, made).await? => {}
                    None => page.entries.push(entry),
                }
            }
            if !more {
                return Ok(page);
            }
            if page.entries.len() >= query.max {
                page.next = page.entries.last().map(entry_name);
                return Ok(page);
            }
        }
    }

    /// False: all that the common prefix stands for is hidden.
    async fn stands_for_something(&self, place: &Place, owner: &TenantId, name: &str, entry: &ListEntry, made: &Made) -> Result<bool> {
        let ListEntry::CommonPrefix(common) = entry else { return Ok(true) };
        if !self.map.begins_hidden(place, name, |start| made.begins(start)) {
            return Ok(true);
        }
        let below = ListQuery { prefix: common.clone(), max: 1, ..ListQuery::default() };
        Ok(!Box::pin(self.list_place(place, owner, &below, made)).await?.entries.is_empty())
    }

    async fn list_page(&self, place: &Place, query: &ListQuery, after: &str, max: usize) -> Result<ListObjectsV2Output> {
        let list = self.reader.list_objects_v2().bucket(&*place.bucket).prefix(format!("{}{}", place.prefix, query.prefix));
        let list = list
            .set_delimiter(Some(query.delimiter.clone()).filter(|d| !d.is_empty()))
            .set_start_after(Some(after.to_owned()).filter(|a| !a.is_empty()))
            .max_keys(i32::try_from(max).unwrap_or(i32::MAX))
            .encoding_type(EncodingType::Url);
        list.send().await.map_err(fault::of)
    }

    fn entries(&self, got: &ListObjectsV2Output, place: &Place, owner: &TenantId) -> Vec<Entry> {
        let decoded = |name: &str| self.listed_name(got.encoding_type(), name);
        let objects = got.contents().iter().filter_map(|object| {
            let name = decoded(object.key()?);
            let Ok(key) = ObjectKey::parse(name.strip_prefix(&*place.prefix)?) else { return Some(Entry { name, entry: None }) };
            let algorithm = object.checksum_algorithm().first().and_then(|a| ChecksumAlgorithm::parse(a.as_str()));
            let kind = object.checksum_type().and_then(|t| ChecksumType::parse(t.as_str()));
            let listed = ListedObject {
                key,
                size: object.size().and_then(|n| u64::try_from(n).ok())?,
                etag: object.e_tag().and_then(ETag::of_upstream),
                modified: info::timestamp(object.last_modified()),
                owner: owner.clone(),
                checksum: algorithm.map(|a| (a, kind.unwrap_or(ChecksumType::FullObject))),
                storage_class: object.storage_class().map(|c| c.as_str().to_owned()),
            };
            Some(Entry { name, entry: Some(ListEntry::Object(listed)) })
        });
        let prefixes = got.common_prefixes().iter().filter_map(|common| {
            let name = decoded(common.prefix()?);
            let shown = name.strip_prefix(&*place.prefix)?.to_owned();
            Some(Entry { name, entry: Some(ListEntry::CommonPrefix(shown)) })
        });
        objects.chain(prefixes).collect()
    }

    /// A name in an answer that says how its names are encoded.
    pub fn listed_name(&self, encoding: Option<&EncodingType>, name: &str) -> String {
        let encoded = encoding == Some(&EncodingType::Url) && self.abilities().encoded_names;
        // S3 writes a space as `+`.
        if encoded { percent_decode_str(&name.replace('+', " ")).decode_utf8_lossy().into_owned() } else { name.to_owned() }
    }
}

fn is(entry: &ListEntry, skipped: Option<&str>) -> bool {
    matches!((entry, skipped), (ListEntry::CommonPrefix(common), Some(skipped)) if common == skipped)
}

fn entry_name(entry: &ListEntry) -> String {
    match entry {
        ListEntry::Object(object) => object.key.to_string(),
        ListEntry::CommonPrefix(common) => common.clone(),
    }
}

/// The part of the key up to and with the first delimiter after the prefix.
pub fn common_prefix<'k>(key: &'k str, prefix: &str, delimiter: &str) -> Option<&'k str> {
    if delimiter.is_empty() {
        return None;
    }
    let at = key.strip_prefix(prefix)?.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}
