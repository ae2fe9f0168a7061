//! Listings: pages of objects, and of uploads in progress, with prefix and delimiter. Blocking reads of the index.
//!
//! A common prefix costs one seek, however many keys are under it.

use crate::base::error::Result;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{ListEntry, ListPage, ListQuery, ListedObject};
use crate::index::{Index, Walk};
use crate::local::rows::{ObjectHead, Table, UploadRow, key};
use crate::local::stored;
use crate::origin::{UploadsPage, UploadsQuery};

pub fn objects(index: &Index, bucket: &BucketName, query: &ListQuery) -> Result<ListPage> {
    let mut page = ListPage::default();
    if query.max == 0 {
        return Ok(page);
    }
    let base = key::joined(bucket.as_str(), "");
    let from = start(&base, &query.prefix, &query.delimiter, &query.after);
    index.scan(Table::Objects, &from, &mut |row_key, value| {
        let Some(name) = row_key.strip_prefix(base.as_slice()).filter(|k| k.starts_with(query.prefix.as_bytes())) else {
            return Ok(Walk::Stop);
        };
        if page.entries.len() >= query.max {
            page.next = page.entries.last().map(entry_name);
            return Ok(Walk::Stop);
        }
        if let Some(common) = common_prefix(name, &query.prefix, &query.delimiter) {
            let next = joined(&base, &successor(common));
            page.entries.push(ListEntry::CommonPrefix(String::from_utf8_lossy(common).into_owned()));
            return Ok(Walk::Seek(next));
        }
        let head = stored::decode_head(value)?;
        page.entries.push(ListEntry::Object(listed(ObjectKey::parse(&String::from_utf8_lossy(name))?, head)));
        Ok(Walk::Next)
    })?;
    Ok(page)
}

pub fn listed(key: ObjectKey, head: ObjectHead) -> ListedObject {
    ListedObject {
        key,
        size: head.size,
        etag: Some(head.etag),
        modified: head.modified,
        owner: head.owner,
        checksum: head.checksum.map(|c| (c.algorithm, c.kind())),
        storage_class: None,
    }
}

pub fn uploads(index: &Index, bucket: &BucketName, query: &UploadsQuery) -> Result<UploadsPage> {
    let mut page = UploadsPage::default();
    if query.max == 0 {
        return Ok(page);
    }
    let base = key::joined(bucket.as_str(), "");
    let marker = query.key_marker.as_str();
    let mut from = start(&base, &query.prefix, &query.delimiter, marker);
    // An upload id goes on inside the marker's own key.
    let within = !query.upload_marker.is_empty() && !marker.is_empty();
    if within && marker.starts_with(&query.prefix) && common_prefix(marker.as_bytes(), &query.prefix, &query.delimiter).is_none() {
        from = joined(&base, &joined(&joined(marker.as_bytes(), b"\0"), &joined(query.upload_marker.as_bytes(), b"\0")));
    }
    let mut last = None;
    index.scan(Table::Uploads, &from, &mut |row_key, value| {
        let Some(rest) = row_key.strip_prefix(base.as_slice()).filter(|k| k.starts_with(query.prefix.as_bytes())) else {
            return Ok(Walk::Stop);
        };
        let name = rest.split(|b| *b == 0).next().unwrap_or_default();
        if page.uploads.len() + page.common_prefixes.len() >= query.max {
            page.next = last.take();
            return Ok(Walk::Stop);
        }
        if let Some(common) = common_prefix(name, &query.prefix, &query.delimiter) {
            let text = String::from_utf8_lossy(common).into_owned();
            last = Some((text.clone(), String::new()));
            page.common_prefixes.push(text);
            return Ok(Walk::Seek(joined(&base, &successor(common))));
        }
        let UploadRow { upload, .. } = stored::decode(value)?;
        last = Some((upload.key.as_str().to_owned(), upload.id.as_str().to_owned()));
        page.uploads.push(upload);
        Ok(Walk::Next)
    })?;
    Ok(page)
}

/// The first row key that can be on the page.
pub fn start(base: &[u8], prefix: &str, delimiter: &str, after: &str) -> Vec<u8> {
    if after < prefix || after.is_empty() {
        return joined(base, prefix.as_bytes());
    }
    match common_prefix(after.as_bytes(), prefix, delimiter) {
        // What is under this prefix was summed up on the page before.
        Some(common) => joined(base, &successor(common)),
        // A byte that sorts below any that a key can hold, but above the end of the key: "after" itself is left out
        // with its uploads, "after" + more is not.
        None => joined(base, &joined(after.as_bytes(), b"\x01")),
    }
}

/// The part of the key up to and with the first delimiter after the prefix.
pub fn common_prefix<'k>(key: &'k [u8], prefix: &str, delimiter: &str) -> Option<&'k [u8]> {
    if delimiter.is_empty() || !key.starts_with(prefix.as_bytes()) {
        return None;
    }
    // As text: its search takes time in the key's length, whatever the delimiter is.
    let at = std::str::from_utf8(key.get(prefix.len()..)?).ok()?.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

/// The least string above all that start with `prefix`. UTF-8 has no byte 0xff, so the last byte can be raised.
pub fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.pop() {
        if last < 0xff {
            next.push(last + 1);
            break;
        }
    }
    next
}

fn joined(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    out.extend_from_slice(a);
    out.extend_from_slice(b);
    out
}

fn entry_name(entry: &ListEntry) -> String {
    match entry {
        ListEntry::Object(object) => object.key.as_str().to_owned(),
        ListEntry::CommonPrefix(prefix) => prefix.clone(),
    }
}
