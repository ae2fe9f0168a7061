//! ListObjectVersions: versions and delete markers of a bucket in one order, without what is hidden from those who look at it.
//!
//! The SDK hands versions and markers over apart, and their times can't tell which came first within a second. So the order is read from
//! the answer itself. Hidden folders are stepped over as in `list`.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::types::EncodingType;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::base::checksum::{ChecksumAlgorithm, ChecksumType};
use crate::base::error::Result;
use crate::base::etag::ETag;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::ListedObject;
use crate::base::object_ref::VersionId;
use crate::base::versions::{ListedMarker, ListedVersion, Marker, VersionEntry, Versioning, VersionsPage, VersionsQuery};
use crate::upstream::buckets::{Made, no_such_bucket};
use crate::upstream::fault;
use crate::upstream::info;
use crate::upstream::list::{LAST, PAGE, common_prefix};
use crate::upstream::open::Inner;
use crate::upstream::place::Place;

/// Where a page goes on, in full names.
#[derive(Debug, Clone, Default)]
struct From {
    key: String,
    version: Option<String>,
}

/// An entry by its full name.
struct Entry {
    name: String,
    /// None: it has no name here.
    entry: Option<VersionEntry>,
}

impl Inner {
    pub async fn list_versions(&self, bucket: &BucketName, query: &VersionsQuery) -> Result<VersionsPage> {
        let described = self.bucket(bucket).await?.ok_or_else(no_such_bucket)?;
        if described.versioning() == Versioning::Never {
            return self.list(bucket, &query.of_objects()).await.map(VersionsPage::from);
        }
        let place = self.place(bucket).await?;
        let made = self.made().await?;
        self.list_versions_at(&place, &described.owner, query, &made).await
    }

    async fn list_versions_at(&self, place: &Place, owner: &TenantId, query: &VersionsQuery, made: &Made) -> Result<VersionsPage> {
        let mut page = VersionsPage::default();
        if query.max == 0 {
            return Ok(page);
        }
        let mut from = first(place, query);
        let skipped = common_prefix(&query.key_marker, &query.prefix, &query.delimiter);
        loop {
            let max = PAGE.min(query.max - page.entries.len());
            let (got, order) = self.versions_page(place, query, &from, max).await?;
            for Entry { name, entry } in self.version_entries(&got, &order, place, owner) {
                let Some(entry) = entry else { continue };
                let is_skipped = matches!((&entry, skipped), (VersionEntry::CommonPrefix(common), Some(skipped)) if common == skipped);
                if !is_skipped
                    && self.map.hidden_folder(place, &name, |name| made.has(name)).is_none()
                    && self.stands_for_versions(place, owner, &name, &entry, made).await?
                {
                    page.entries.push(entry);
                }
            }
            let Some(next) = self.goes_on_from(&got, place, made) else { return Ok(page) };
            if page.entries.len() >= query.max {
                page.next = page.entries.last().map(name_of);
                return Ok(page);
            }
            from = next;
        }
    }

    /// False: all that the common prefix stands for is hidden.
    async fn stands_for_versions(&self, place: &Place, owner: &TenantId, name: &str, entry: &VersionEntry, made: &Made) -> Result<bool> {
        let VersionEntry::CommonPrefix(common) = entry else { return Ok(true) };
        if !self.map.begins_hidden(place, name, |start| made.begins(start)) {
            return Ok(true);
        }
        let below = VersionsQuery { prefix: common.clone(), max: 1, ..VersionsQuery::default() };
        Ok(!Box::pin(self.list_versions_at(place, owner, &below, made)).await?.entries.is_empty())
    }

    async fn versions_page(
        &self,
        place: &Place,
        query: &VersionsQuery,
        from: &From,
        max: usize,
    ) -> Result<(ListObjectVersionsOutput, Vec<Kind>)> {
        let list = self.reader.list_object_versions().bucket(&*place.bucket).prefix(format!("{}{}", place.prefix, query.prefix));
        let list = list
            .set_delimiter(Some(query.delimiter.clone()).filter(|d| !d.is_empty()))
            .set_key_marker(Some(from.key.clone()).filter(|k| !k.is_empty()))
            .set_version_id_marker(from.version.clone())
            .max_keys(i32::try_from(max).unwrap_or(i32::MAX))
            .encoding_type(EncodingType::Url);
        let order = Order::default();
        let got = list.customize().interceptor(order.clone()).send().await.map_err(fault::of)?;
        Ok((got, order.take()))
    }

    /// Where the listing upstream goes on; what is hidden is stepped over.
    fn goes_on_from(&self, got: &ListObjectVersionsOutput, place: &Place, made: &Made) -> Option<From> {
        if got.is_truncated() != Some(true) {
            return None;
        }
        let key = self.listed_name(got.encoding_type(), got.next_key_marker()?);
        if let Some(folder) = self.map.hidden_folder(place, &key, |name| made.has(name)) {
            return Some(From { key: format!("{folder}{LAST}"), version: None });
        }
        let version = got.next_version_id_marker().filter(|v| !v.is_empty()).map(str::to_owned);
        Some(From { key, version })
    }

    fn version_entries(&self, got: &ListObjectVersionsOutput, order: &[Kind], place: &Place, owner: &TenantId) -> Vec<Entry> {
        let decoded = |name: &str| self.listed_name(got.encoding_type(), name);
        let named = |name: String, make: &dyn Fn(ObjectKey) -> Option<VersionEntry>| {
            let key = name.strip_prefix(&*place.prefix).and_then(|key| ObjectKey::parse(key).ok());
            Entry { entry: key.and_then(make), name }
        };
        let versions = got.versions().iter().filter_map(|v| {
            let make = |key| listed_version(v, key, owner);
            Some((info::timestamp(v.last_modified()), named(decoded(v.key()?), &make)))
        });
        let markers = got.delete_markers().iter().filter_map(|m| {
            let make = |key| {
                let version = info::version(m.version_id());
                let marker = Marker { version, modified: info::timestamp(m.last_modified()), owner: owner.clone() };
                Some(VersionEntry::Marker(ListedMarker { key, marker, latest: m.is_latest() == Some(true) }))
            };
            Some((info::timestamp(m.last_modified()), named(decoded(m.key()?), &make)))
        });
        let mut entries = in_order(versions.collect(), markers.collect(), order);
        let prefixes = got.common_prefixes().iter().filter_map(|common| {
            let name = decoded(common.prefix()?);
            let entry = name.strip_prefix(&*place.prefix).map(|shown| VersionEntry::CommonPrefix(shown.to_owned()));
            Some(Entry { name, entry })
        });
        entries.extend(prefixes);
        // The versions of a key stay as they are.
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }
}

fn listed_version(v: &aws_sdk_s3::types::ObjectVersion, key: ObjectKey, owner: &TenantId) -> Option<VersionEntry> {
    let algorithm = v.checksum_algorithm().first().and_then(|a| ChecksumAlgorithm::parse(a.as_str()));
    let kind = v.checksum_type().and_then(|t| ChecksumType::parse(t.as_str()));
    let object = ListedObject {
        key,
        size: v.size().and_then(|n| u64::try_from(n).ok())?,
        etag: v.e_tag().and_then(ETag::of_upstream),
        modified: info::timestamp(v.last_modified()),
        owner: owner.clone(),
        checksum: algorithm.map(|a| (a, kind.unwrap_or(ChecksumType::FullObject))),
        storage_class: v.storage_class().map(|c| c.as_str().to_owned()),
    };
    let version = info::version(v.version_id());
    Some(VersionEntry::Version(ListedVersion { object, version, latest: v.is_latest() == Some(true) }))
}

/// Where the first page begins.
fn first(place: &Place, query: &VersionsQuery) -> From {
    match common_prefix(&query.key_marker, &query.prefix, &query.delimiter) {
        // What is under it was summed up on the page before.
        Some(common) => From { key: format!("{}{common}{LAST}", place.prefix), version: None },
        None if query.key_marker.is_empty() => From::default(),
        None => {
            let version = query.version_marker.as_ref().map(VersionId::to_string);
            From { key: format!("{}{}", place.prefix, query.key_marker), version }
        }
    }
}

fn name_of(entry: &VersionEntry) -> (String, Option<VersionId>) {
    match entry {
        VersionEntry::Version(v) => (v.object.key.to_string(), Some(v.version.clone())),
        VersionEntry::Marker(m) => (m.key.to_string(), Some(m.marker.version.clone())),
        VersionEntry::CommonPrefix(common) => (common.clone(), None),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Version,
    Marker,
}

/// As they stand in the answer. Where that could not be read, by key and time.
fn in_order(
    versions: Vec<(crate::base::timestamp::Timestamp, Entry)>,
    markers: Vec<(crate::base::timestamp::Timestamp, Entry)>,
    order: &[Kind],
) -> Vec<Entry> {
    let count = |kind| order.iter().filter(|k| **k == kind).count();
    if (count(Kind::Version), count(Kind::Marker)) != (versions.len(), markers.len()) {
        let mut all: Vec<_> = versions.into_iter().chain(markers).collect();
        all.sort_by(|(a_time, a), (b_time, b)| a.name.cmp(&b.name).then(b_time.cmp(a_time)));
        return all.into_iter().map(|(_, entry)| entry).collect();
    }
    let (mut versions, mut markers) = (versions.into_iter(), markers.into_iter());
    let next = order.iter().filter_map(|kind| match kind {
        Kind::Version => versions.next(),
        Kind::Marker => markers.next(),
    });
    next.map(|(_, entry)| entry).collect()
}

/// Reads in which order versions and markers stand in an answer.
#[derive(Debug, Clone, Default)]
struct Order(Arc<Mutex<Vec<Kind>>>);

impl Order {
    fn take(&self) -> Vec<Kind> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Intercept for Order {
    fn name(&self) -> &'static str {
        "OrderOfVersions"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let order = context.response().body().bytes().map(order_in).unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = order;
        Ok(())
    }
}

fn order_in(document: &[u8]) -> Vec<Kind> {
    let (mut reader, mut order, mut depth) = (Reader::from_reader(document), Vec::new(), 0);
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                depth += 1;
                match element.local_name().as_ref() {
                    "Version" if depth == 2 => order.push(Kind::Version),
                    "DeleteMarker" if depth == 2 => order.push(Kind::Marker),
                    _ => {}
                }
            }
            Ok(Event::End(_)) => depth -= 1,
            Ok(Event::Eof) | Err(_) => return order,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::timestamp::Timestamp;

    fn entry(name: &str) -> (Timestamp, Entry) {
        (Timestamp::from_millis(7), Entry { name: name.to_owned(), entry: None })
    }

    #[test]
    fn versions_and_markers_of_one_second_stay_in_the_order_of_the_answer() {
        let document = br#"<?xml version="1.0"?><ListVersionsResult xmlns="x"><Name>b</Name>
            <DeleteMarker><Key>k</Key></DeleteMarker><Version><Key>k</Key><Owner><Version/></Owner></Version>
            <DeleteMarker><Key>k</Key></DeleteMarker><Version><Key>l</Key></Version></ListVersionsResult>"#;
        let order = order_in(document);
        assert_eq!(order, [Kind::Marker, Kind::Version, Kind::Marker, Kind::Version]);
        let (versions, markers) = (vec![entry("v1"), entry("v2")], vec![entry("m1"), entry("m2")]);
        let names: Vec<String> = in_order(versions, markers, &order).into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["m1", "v1", "m2", "v2"]);
        // An answer that can't be read.
        let names: Vec<String> = in_order(vec![entry("b")], vec![entry("a")], &[]).into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
