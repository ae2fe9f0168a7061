//! ListObjects (v1), ListObjectsV2, ListObjectVersions: three documents, over the objects that there are or all versions.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::auth::query::Query;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MAX_LIST_KEYS;
use crate::base::names::BucketName;
use crate::base::object::{ListEntry, ListPage, ListQuery, ListedObject};
use crate::base::object_ref::VersionId;
use crate::base::versions::{ListedMarker, ListedVersion, VersionEntry, VersionsPage, VersionsQuery};
use crate::http::exchange::Exchange;
use crate::http::query::encode_listed;
use crate::http::read::REPLICA;
use crate::http::respond::{self, Answer};
use crate::http::xml::Writer;

/// What the three have in common.
struct Listing {
    max: usize,
    encoded: bool,
    prefix: String,
    delimiter: String,
}

impl Listing {
    fn parse(exchange: &Exchange<'_>) -> Result<Self> {
        let query = &exchange.query;
        let max = match query.number::<i64>("max-keys")? {
            None => MAX_LIST_KEYS,
            Some(n) if !(0..=i64::from(i32::MAX)).contains(&n) => {
                return Err(Error::new(ErrorKind::InvalidArgument, "Argument maxKeys must be an integer between 0 and 2147483647")
                    .detail("ArgumentName", "maxKeys")
                    .detail("ArgumentValue", n.to_string()));
            }
            Some(n) => (n as usize).min(MAX_LIST_KEYS),
        };
        let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
        Ok(Listing { max, encoded: is_encoded(query)?, prefix: text("prefix"), delimiter: text("delimiter") })
    }

    async fn page(&self, exchange: &Exchange<'_>, grant: &Grant, after: &str) -> Result<ListPage> {
        if self.max == 0 {
            return Ok(ListPage::default());
        }
        let query = ListQuery { prefix: self.prefix.clone(), delimiter: self.delimiter.clone(), after: after.to_owned(), max: self.max };
        exchange.gateway.ops.list(grant, &query).await
    }

    fn name(&self, key: &str) -> String {
        if self.encoded { encode_listed(key) } else { key.to_owned() }
    }

    fn head(&self, w: &mut Writer, bucket: &BucketName, prefix: &str) {
        w.leaf("Name", bucket).leaf("Prefix", prefix);
        if !self.delimiter.is_empty() {
            w.leaf("Delimiter", self.name(&self.delimiter));
        }
        w.leaf("MaxKeys", self.max);
        if self.encoded {
            w.leaf("EncodingType", "url");
        }
    }

    fn entries(&self, w: &mut Writer, exchange: &Exchange<'_>, page: &ListPage, with_owner: bool) {
        for entry in &page.entries {
            if let ListEntry::Object(object) = entry {
                w.open("Contents");
                self.object(w, object);
                if with_owner {
                    exchange.owner(w, "Owner", &object.owner);
                }
                w.close("Contents");
            }
        }
        self.common_prefixes(w, page);
    }

    fn object(&self, w: &mut Writer, object: &ListedObject) {
        w.leaf("Key", self.name(object.key.as_str())).leaf("LastModified", object.modified.iso8601());
        if let Some(etag) = &object.etag {
            w.leaf("ETag", etag.quoted());
        }
        if let Some((algorithm, kind)) = object.checksum {
            w.leaf("ChecksumAlgorithm", algorithm.name()).leaf("ChecksumType", kind.name());
        }
        w.leaf("Size", object.size).leaf("StorageClass", object.storage_class.as_deref().unwrap_or("STANDARD"));
    }

    fn common_prefixes(&self, w: &mut Writer, page: &ListPage) {
        for entry in &page.entries {
            if let ListEntry::CommonPrefix(prefix) = entry {
                self.common_prefix(w, prefix);
            }
        }
    }

    fn common_prefix(&self, w: &mut Writer, prefix: &str) {
        w.open("CommonPrefixes").leaf("Prefix", self.name(prefix)).close("CommonPrefixes");
    }

    fn version(&self, w: &mut Writer, exchange: &Exchange<'_>, listed: &ListedVersion) {
        w.open("Version");
        self.object(w, &listed.object);
        w.leaf("VersionId", &listed.version).leaf("IsLatest", listed.latest);
        exchange.owner(w, "Owner", &listed.object.owner);
        w.close("Version");
    }

    fn marker(&self, w: &mut Writer, exchange: &Exchange<'_>, listed: &ListedMarker) {
        let ListedMarker { key, marker, latest } = listed;
        w.open("DeleteMarker").leaf("Key", self.name(key.as_str())).leaf("VersionId", &marker.version).leaf("IsLatest", latest);
        w.leaf("LastModified", marker.modified.iso8601());
        exchange.owner(w, "Owner", &marker.owner);
        w.close("DeleteMarker");
    }
}

pub fn is_encoded(query: &Query) -> Result<bool> {
    match query.value("encoding-type") {
        None => Ok(false),
        Some("url") => Ok(true),
        Some(other) => Err(Error::new(ErrorKind::InvalidArgument, "Invalid Encoding Method specified in Request")
            .detail("ArgumentName", "encoding-type")
            .detail("ArgumentValue", other)),
    }
}

fn answer(exchange: &Exchange<'_>, w: Writer, page: &ListPage) -> Answer {
    let mut answer = respond::xml(w.finish("ListBucketResult"));
    if let Some(name) = page.replica.as_deref().and_then(respond::value) {
        answer.headers_mut().insert(REPLICA, name);
    }
    exchange.coded(answer)
}

pub async fn v1(exchange: &mut Exchange<'_>, bucket: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::ListBucket, bucket).await?;
    let listing = Listing::parse(exchange)?;
    let marker = exchange.query.get("marker").unwrap_or_default();
    let page = listing.page(exchange, &grant, marker).await?;
    let mut w = Writer::document("ListBucketResult");
    // SDKs decode every name of this document but the prefix.
    listing.head(&mut w, bucket, &listing.prefix);
    w.leaf("Marker", listing.name(marker)).leaf("IsTruncated", page.next.is_some());
    // S3 gives NextMarker only with a delimiter; without one the client takes the last key.
    if let Some(next) = page.next.as_ref().filter(|_| !listing.delimiter.is_empty()) {
        w.leaf("NextMarker", listing.name(next));
    }
    listing.entries(&mut w, exchange, &page, true);
    Ok(answer(exchange, w, &page))
}

pub async fn v2(exchange: &mut Exchange<'_>, bucket: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::ListBucket, bucket).await?;
    let listing = Listing::parse(exchange)?;
    let start_after = exchange.query.get("start-after").unwrap_or_default();
    let token = exchange.query.get("continuation-token");
    let after = match token {
        Some(token) if !token.is_empty() => from_token(token)?,
        // An empty token stands for none.
        _ => start_after.to_owned(),
    };
    let page = listing.page(exchange, &grant, &after).await?;
    let mut w = Writer::document("ListBucketResult");
    listing.head(&mut w, bucket, &listing.name(&listing.prefix));
    w.leaf("KeyCount", page.entries.len()).leaf("IsTruncated", page.next.is_some());
    w.leaf_if("ContinuationToken", token);
    if let Some(next) = &page.next {
        w.leaf("NextContinuationToken", token_of(next));
    }
    if !start_after.is_empty() {
        w.leaf("StartAfter", listing.name(start_after));
    }
    let with_owner = exchange.query.get("fetch-owner").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    listing.entries(&mut w, exchange, &page, with_owner);
    Ok(answer(exchange, w, &page))
}

pub fn token_of(next: &str) -> String {
    URL_SAFE_NO_PAD.encode(next)
}

/// A token is the place where the page before ended; opaque to clients.
pub fn from_token(token: &str) -> Result<String> {
    let decoded = URL_SAFE_NO_PAD.decode(token).ok().and_then(|b| String::from_utf8(b).ok()).filter(|s| !s.is_empty());
    decoded.ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, "The continuation token provided is incorrect").detail("ArgumentName", "continuation-token")
    })
}

pub async fn versions(exchange: &mut Exchange<'_>, bucket: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::ListBucketVersions, bucket).await?;
    let listing = Listing::parse(exchange)?;
    let key_marker = exchange.query.get("key-marker").unwrap_or_default();
    let version_marker = version_marker(&exchange.query)?;
    let query = VersionsQuery {
        prefix: listing.prefix.clone(),
        delimiter: listing.delimiter.clone(),
        key_marker: key_marker.to_owned(),
        version_marker: version_marker.clone(),
        max: listing.max,
    };
    let page = match listing.max {
        0 => VersionsPage::default(),
        _ => exchange.gateway.ops.list_versions(&grant, &query).await?,
    };
    let mut w = Writer::document("ListVersionsResult");
    listing.head(&mut w, bucket, &listing.name(&listing.prefix));
    w.leaf("KeyMarker", listing.name(key_marker)).leaf("VersionIdMarker", version_marker.as_ref().map_or("", VersionId::as_str));
    w.leaf("IsTruncated", page.next.is_some());
    if let Some((key, version)) = &page.next {
        w.leaf("NextKeyMarker", listing.name(key)).leaf_if("NextVersionIdMarker", version.as_ref());
    }
    for entry in &page.entries {
        match entry {
            VersionEntry::Version(version) => listing.version(&mut w, exchange, version),
            VersionEntry::Marker(marker) => listing.marker(&mut w, exchange, marker),
            VersionEntry::CommonPrefix(_) => {}
        }
    }
    for entry in &page.entries {
        if let VersionEntry::CommonPrefix(prefix) = entry {
            listing.common_prefix(&mut w, prefix);
        }
    }
    Ok(exchange.coded(respond::xml(w.finish("ListVersionsResult"))))
}

/// Without a key it would be nobody's. An empty one is none: some clients send back what was not there.
fn version_marker(query: &Query) -> Result<Option<VersionId>> {
    match query.value("version-id-marker") {
        None => Ok(None),
        Some(_) if query.value("key-marker").is_none() => {
            let e = Error::new(ErrorKind::InvalidArgument, "A version-id marker cannot be specified without a key marker.");
            Err(e.detail("ArgumentName", "version-id-marker"))
        }
        Some(text) => VersionId::parse(text).map(Some),
    }
}
