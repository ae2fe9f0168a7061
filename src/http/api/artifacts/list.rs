//! Artifacts by tenant, run, type, session, project and template; runs, what one of them holds, and versions of a document.
//!
//! All of it is read from the bucket's listing, which is in the order of keys: there is no index beside it that could be behind. Results that were made of
//! an object are shown with the object. Limits: pages and rows are bounded; a page may hold less than asked for, and still have a next one.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::auth::query::{Query, decode};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{Place, artifact};
use crate::base::limits::MAX_LIST_KEYS;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{ListEntry, ListPage, ListQuery, ListedObject};
use crate::base::object_ref::VersionId;
use crate::base::versions::{VersionEntry, VersionsQuery};
use crate::http::api::artifacts::place::{Named, invalid, told};
use crate::http::api::artifacts::show;
use crate::http::exchange::Exchange;
use crate::http::pace::Pace;
use crate::http::s3::list::{from_token, token_of};
use crate::ops::renditions::source_of;

const DEFAULT_PAGE: usize = 100;
/// Where each is to have its address, which takes a look at it.
const MAX_PAGE_WITH_URIS: usize = 100;
/// Listings that one page may read: a type that is rare must not read the whole bucket.
const MAX_LISTINGS: usize = 10;
/// Of one run, in its manifest.
const MAX_OF_RUN: usize = 10_000;

/// What a list is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    pub bucket: BucketName,
    pub tenant: Option<TenantId>,
    pub run: Option<String>,
    #[serde(rename = "type")]
    pub artifact_type: Option<String>,
    pub session: Option<String>,
    pub project: Option<String>,
    pub template: Option<String>,
    pub max: Option<usize>,
    pub after: Option<String>,
    #[serde(default)]
    pub uris: bool,
}

impl Asked {
    pub fn of_query(query: &Query) -> Result<Self> {
        let text = |name: &str| query.value(name).map(str::to_owned);
        let bucket = query.value("bucket").ok_or_else(|| invalid("bucket", "Say which bucket: bucket=NAME.".to_owned()))?;
        Ok(Asked {
            bucket: BucketName::parse(bucket)?,
            tenant: query.value("tenant").map(TenantId::parse).transpose()?,
            run: text("run"),
            artifact_type: text("type"),
            session: text("session"),
            project: text("project"),
            template: text("template"),
            max: query.number("max")?,
            after: text("after"),
            uris: query.value("uris") == Some("true"),
        })
    }

    fn named(&self) -> Named {
        Named {
            tenant: self.tenant.clone(),
            run: self.run.clone(),
            artifact_type: self.artifact_type.clone(),
            session: self.session.clone(),
            project: self.project.clone(),
            template: self.template.clone(),
        }
    }
}

pub async fn page(exchange: &mut Exchange<'_>, asked: &Asked) -> Result<Value> {
    let wanted = asked.named().wanted(exchange.caller.identity.id())?;
    let most = if asked.uris { MAX_PAGE_WITH_URIS } else { MAX_LIST_KEYS };
    let max = asked.max.unwrap_or(DEFAULT_PAGE).clamp(1, most);
    let mut after = asked.after.as_deref().map(from_token).transpose()?.unwrap_or_default();
    let mut listing = Listing::open(exchange, &asked.bucket, &wanted.prefix, "").await?;
    let (mut found, mut next) = (Vec::new(), None);
    for _ in 0..MAX_LISTINGS {
        let page = listing.page(exchange, &after, MAX_LIST_KEYS).await?;
        let mut is_cut = false;
        for object in objects(&page) {
            if found.len() == max {
                is_cut = true;
                break;
            }
            after = object.key.as_str().to_owned();
            if source_of(object.key.as_str()).is_none() && is_of(object.key.as_str(), wanted.artifact_type) {
                found.push(object.clone());
            }
        }
        // It goes on behind the last key that was looked at.
        next = if is_cut { Some(after.clone()) } else { page.next };
        if found.len() == max || next.is_none() {
            break;
        }
        after = next.clone().unwrap_or_default();
    }
    let (mut shown, mut pace) = (Vec::with_capacity(found.len()), Pace::begin());
    for object in &found {
        pace.next().await;
        let mut row = row(&asked.bucket, object);
        if asked.uris {
            // Whoever may list it may not be one who may read it.
            show::put_link(&mut row, show::link(exchange, &asked.bucket, &object.key, None).await.ok().flatten());
        }
        shown.push(row);
    }
    Ok(json!({ "artifacts": shown, "next": next.map(|next| token_of(&next)) }))
}

/// `<bucket>/<tenant>`: the names of its runs. `<bucket>/<tenant>/<run>`: the manifest of that one.
pub async fn runs(exchange: &mut Exchange<'_>, path: &str) -> Result<Value> {
    let mut segments = path.splitn(3, '/').map(decode);
    let (bucket, tenant, run) = (segments.next().transpose()?, segments.next().transpose()?, segments.next().transpose()?);
    let bucket = BucketName::parse(bucket.as_deref().unwrap_or_default())?;
    let tenant = TenantId::parse(tenant.as_deref().unwrap_or_default())?;
    match run.filter(|run| !run.is_empty()) {
        Some(run) => manifest(exchange, &bucket, tenant, run).await,
        None => names(exchange, &bucket, &tenant).await,
    }
}

async fn names(exchange: &mut Exchange<'_>, bucket: &BucketName, tenant: &TenantId) -> Result<Value> {
    let max = exchange.query.number("max")?.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_LIST_KEYS);
    let after = exchange.query.value("after").map(from_token).transpose()?.unwrap_or_default();
    let prefix = format!("{tenant}/");
    let mut listing = Listing::open(exchange, bucket, &prefix, "/").await?;
    let page = listing.page(exchange, &after, max).await?;
    let run = |entry: &ListEntry| match entry {
        ListEntry::CommonPrefix(folder) => folder.strip_prefix(&prefix)?.strip_suffix('/').map(str::to_owned),
        ListEntry::Object(_) => None,
    };
    let runs: Vec<String> = page.entries.iter().filter_map(run).collect();
    Ok(json!({ "bucket": bucket.as_str(), "tenant": tenant.as_str(), "runs": runs, "next": page.next.as_deref().map(token_of) }))
}

#[derive(Default)]
struct Sum {
    artifacts: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, object: &ListedObject) {
        self.artifacts += 1;
        self.bytes += object.size;
    }

    fn shown(&self) -> Value {
        json!({ "artifacts": self.artifacts, "bytes": self.bytes })
    }
}

/// What a run holds: all of it, by type, and how much of it is there once.
async fn manifest(exchange: &mut Exchange<'_>, bucket: &BucketName, tenant: TenantId, run: String) -> Result<Value> {
    let named = Named { tenant: Some(tenant.clone()), run: Some(run.clone()), ..Named::default() };
    let prefix = named.wanted(exchange.caller.identity.id())?.prefix;
    let mut listing = Listing::open(exchange, bucket, &prefix, "").await?;
    let (mut all, mut made, mut distinct, mut types) = (Sum::default(), Sum::default(), Sum::default(), BTreeMap::<&str, Sum>::new());
    let (mut contents, mut rows, mut after) = (HashSet::new(), Vec::new(), String::new());
    let complete = loop {
        let page = listing.page(exchange, &after, MAX_LIST_KEYS).await?;
        for object in objects(&page) {
            let key = object.key.as_str();
            if source_of(key).is_some() {
                made.add(object);
                continue;
            }
            let Some((Place::Run { artifact_type, .. }, _)) = artifact(key) else { continue };
            all.add(object);
            types.entry(artifact_type).or_default().add(object);
            // Equal bytes have one ETag, as far as they were sent in one piece.
            if contents.insert((object.size, object.etag.map(|etag| etag.quoted()))) {
                distinct.add(object);
            }
            rows.push(row(bucket, object));
        }
        match page.next {
            None => break true,
            Some(_) if rows.len() + made.artifacts as usize >= MAX_OF_RUN => break false,
            Some(next) => after = next,
        }
    };
    if all.artifacts == 0 && made.artifacts == 0 {
        return Err(Error::new(ErrorKind::NotFound, "There is no artifact of such a run."));
    }
    let types: BTreeMap<&str, Value> = types.iter().map(|(name, sum)| (*name, sum.shown())).collect();
    Ok(json!({
        "bucket": bucket.as_str(), "tenant": tenant.as_str(), "run": run, "complete": complete,
        "total": all.shown(), "distinct": distinct.shown(), "renditions": made.shown(), "by_type": types, "artifacts": rows,
    }))
}

/// Of one key, the newest first.
pub async fn versions(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Value> {
    let max = exchange.query.number("max")?.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_LIST_KEYS);
    let after = exchange.query.value("after").map(from_token).transpose()?;
    let is_first = after.is_none();
    asks_for(exchange, key.as_str(), "");
    let grant = exchange.on_bucket(Action::ListBucketVersions, bucket).await?;
    let version_marker = after.map(|id| VersionId::parse(&id)).transpose()?;
    let key_marker = version_marker.as_ref().map_or_else(String::new, |_| key.to_string());
    let query = VersionsQuery { prefix: key.to_string(), delimiter: String::new(), key_marker, version_marker, max };
    let page = exchange.gateway.ops.list_versions(&grant, &query).await?;
    let shown = |entry: &VersionEntry| match entry {
        VersionEntry::Version(v) if v.object.key == *key => Some(json!({
            "version_id": v.version.as_str(), "latest": v.latest, "deleted": false, "size": v.object.size,
            "etag": v.object.etag.map(|etag| etag.quoted()), "last_modified": v.object.modified.iso8601(),
        })),
        VersionEntry::Marker(m) if m.key == *key => Some(json!({
            "version_id": m.marker.version.as_str(), "latest": m.latest, "deleted": true, "last_modified": m.marker.modified.iso8601(),
        })),
        _ => None,
    };
    let versions: Vec<Value> = page.entries.iter().filter_map(shown).collect();
    if versions.is_empty() && is_first {
        return Err(Error::new(ErrorKind::NoSuchKey, "The specified key does not exist.").detail("Key", key.as_str()));
    }
    let next = page.next.filter(|(last, _)| last == key.as_str()).and_then(|(_, version)| version);
    let next = next.map(|version| token_of(version.as_str()));
    Ok(json!({ "bucket": bucket.as_str(), "key": key.as_str(), "versions": versions, "next": next }))
}

/// The right to list, and what is listed.
struct Listing {
    grant: Grant,
    prefix: String,
    delimiter: &'static str,
}

impl Listing {
    async fn open(exchange: &mut Exchange<'_>, bucket: &BucketName, prefix: &str, delimiter: &'static str) -> Result<Self> {
        asks_for(exchange, prefix, delimiter);
        let grant = exchange.on_bucket(Action::ListBucket, bucket).await?;
        Ok(Listing { grant, prefix: prefix.to_owned(), delimiter })
    }

    async fn page(&mut self, exchange: &Exchange<'_>, after: &str, max: usize) -> Result<ListPage> {
        let (prefix, delimiter, after) = (self.prefix.clone(), self.delimiter.to_owned(), after.to_owned());
        exchange.gateway.ops.list(&self.grant, &ListQuery { prefix, delimiter, after, max }).await
    }
}

/// Policies look at the parameters of a listing: they see those of the one that is made, and no others.
fn asks_for(exchange: &mut Exchange<'_>, prefix: &str, delimiter: &str) {
    let max = MAX_LIST_KEYS.to_string();
    exchange.query = match delimiter {
        "" => Query::of([("prefix", prefix.to_owned()), ("max-keys", max)]),
        _ => Query::of([("prefix", prefix.to_owned()), ("delimiter", delimiter.to_owned()), ("max-keys", max)]),
    };
}

fn objects(page: &ListPage) -> impl Iterator<Item = &ListedObject> {
    page.entries.iter().filter_map(|entry| match entry {
        ListEntry::Object(object) => Some(object),
        ListEntry::CommonPrefix(_) => None,
    })
}

fn is_of(key: &str, artifact_type: Option<&str>) -> bool {
    let Some(wanted) = artifact_type else { return true };
    matches!(artifact(key), Some((Place::Run { artifact_type, .. }, _)) if artifact_type == wanted)
}

fn row(bucket: &BucketName, object: &ListedObject) -> Value {
    let mut row = told(object.key.as_str());
    row["bucket"] = json!(bucket.as_str());
    row["key"] = json!(object.key.as_str());
    row["size"] = json!(object.size);
    row["etag"] = json!(object.etag.map(|etag| etag.quoted()));
    row["last_modified"] = json!(object.modified.iso8601());
    row
}
