//! `POST /-/v1/purge`: makes CDNs forget what sites show of a tenant's objects, by key, prefix, public path, cache
//! tag, tenant or run; and before them the cache of this node, and of its peers.
//!
//! A tenant may purge what it may write: each key is decided for `tidegate:Purge` and for `s3:PutObject`, a prefix as the
//! key `PREFIX*`. Tags are a tenant's own by their form (`t-TENANT`, `r-TENANT-RUN`); all others are the operator's.

use std::collections::HashSet;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::grant::Grant;
use crate::auth::{Action, Identity};
use crate::base::cache_tags;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::host::Host;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::cache::purge::Purged;
use crate::http::api::input::{parse_large, pattern};
use crate::http::edge::site::nothing_here;
use crate::http::exchange::Exchange;
use crate::http::pace::Pace;
use crate::http::respond::{self, Answer};
use crate::ops::cdn::TagGrant;
use crate::ops::peers::{PeerOutcome, PeerPurged};

/// What one invalidation may hold. More is another request.
const MAX_NAMED: usize = 3000;
/// CloudFront: of a cache tag.
const MAX_TAG_BYTES: usize = 256;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Request {
    /// What `keys` and `prefix` are in.
    bucket: Option<String>,
    keys: Vec<String>,
    prefix: Option<String>,
    /// As the edge door is asked, for the site of `host`; a star at the end stands for all that begins so.
    paths: Vec<String>,
    host: Option<String>,
    tags: Vec<String>,
    /// The tag of a tenant, or with `run` that of its run: of the caller, where none is named.
    tenant: Option<String>,
    run: Option<String>,
    /// The cache of this gateway asks before it shows them again, and keeps their blocks.
    soft: bool,
}

/// Names by which a CDN can be told.
#[derive(Default)]
struct Named {
    keys: Vec<(BucketName, ObjectKey)>,
    prefixes: Vec<(BucketName, ObjectKey)>,
}

pub async fn purge(exchange: &mut Exchange<'_>) -> Result<Answer> {
    let mut request: Request = parse_large(exchange).await?;
    if request.tenant.is_some() || request.run.is_some() {
        let tenant = match &request.tenant {
            Some(tenant) => TenantId::parse(tenant)?,
            None => exchange.caller.identity.id().clone(),
        };
        request.tags.push(request.run.as_deref().map_or_else(|| cache_tags::tenant(&tenant), |run| cache_tags::run(&tenant, run)));
    }
    if request.keys.len() + request.paths.len() + request.tags.len() > MAX_NAMED {
        return Err(Error::new(ErrorKind::InvalidRequest, format!("At most {MAX_NAMED} keys, paths and tags fit in one request.")));
    }
    let named = named(exchange, &request)?;
    let mut keys = Vec::with_capacity(named.keys.len());
    let mut pace = Pace::begin();
    for (bucket, key) in &named.keys {
        pace.next().await;
        keys.push(grant(exchange, bucket, key).await?);
    }
    let mut prefixes = Vec::with_capacity(named.prefixes.len());
    for (bucket, pattern) in &named.prefixes {
        pace.next().await;
        prefixes.push(grant(exchange, bucket, pattern).await?);
    }
    let tags = if request.tags.is_empty() { None } else { Some(tag_grant(exchange, request.tags)?) };
    let begun = exchange.gateway.ops.purge(&keys, &prefixes, tags, request.soft, exchange.caller.access_key.clone()).await?;
    let ids: Vec<String> = begun.jobs.iter().map(ToString::to_string).collect();
    let mut told = json!({ "jobs": ids });
    if let Some(purged) = begun.cached {
        told["cached"] = json!({ "objects": purged.objects, "blocks": purged.blocks });
    }
    if !begun.peers.is_empty() {
        told["peers"] = begun.peers.iter().map(shown).collect();
    }
    let mut answer = respond::json(&told)?;
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}

fn shown(purged: &PeerPurged) -> Value {
    let mut shown = match purged.outcome {
        PeerOutcome::Done(Purged { objects, blocks }) => json!({ "objects": objects, "blocks": blocks }),
        PeerOutcome::Later(job) => json!({ "job": job.to_string() }),
    };
    if let Some(peer) = &purged.peer {
        shown["peer"] = json!(peer);
    }
    shown
}

fn named(exchange: &Exchange<'_>, request: &Request) -> Result<Named> {
    let mut named = Named::default();
    if !request.keys.is_empty() || request.prefix.is_some() {
        let bucket = request.bucket.as_deref().ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "keys and prefix need a bucket."))?;
        let bucket = BucketName::parse(bucket)?;
        for key in &request.keys {
            named.keys.push((bucket.clone(), ObjectKey::parse(key)?));
        }
        if let Some(prefix) = &request.prefix {
            named.prefixes.push((bucket, pattern(prefix)?));
        }
    }
    for path in &request.paths {
        let site = exchange.gateway.settings.sites.of_host(request.host.as_deref().and_then(Host::parse)).ok_or_else(nothing_here)?;
        let (path, all) = path.strip_suffix('*').map_or((path.as_str(), false), |p| (p, true));
        // A viewer's link is taken for what it shows: no job keeps its token or signature.
        let (_, path) = site.split_token(path.split('?').next().unwrap_or_default());
        // A key needs a character: `x*` below any path stands for the path itself.
        let asked = if all { format!("{path}x") } else { path.to_owned() };
        let (bucket, key) = site.locate(&asked)?;
        match all {
            true => named.prefixes.push((bucket, pattern(key.as_str().strip_suffix('x').unwrap_or_default())?)),
            false => named.keys.push((bucket, key)),
        }
    }
    Ok(named)
}

async fn grant(exchange: &Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Grant> {
    exchange.on_object(Action::PutObject, bucket, key).await?;
    exchange.on_object(Action::Purge, bucket, key).await
}

fn tag_grant(exchange: &Exchange<'_>, tags: Vec<String>) -> Result<TagGrant> {
    let grant = exchange.authorize_service(Action::PurgeTags)?;
    let own = match &exchange.caller.identity {
        Identity::Tenant(tenant) => Some(OwnTags::of(&tenant.id, exchange.gateway.auth.tenants().iter().map(|t| &t.id))),
        Identity::Operator | Identity::Anonymous => None,
    };
    for tag in &tags {
        let sound = !tag.is_empty() && tag.len() <= MAX_TAG_BYTES && tag.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        if !sound {
            return Err(Error::new(ErrorKind::InvalidArgument, "A cache tag is 1 to 256 visible ASCII characters without a comma."));
        }
        let may = match &exchange.caller.identity {
            Identity::Operator => true,
            Identity::Tenant(_) => own.as_ref().is_some_and(|own| own.has(tag)),
            Identity::Anonymous => false,
        };
        if !may {
            return Err(Error::new(ErrorKind::AccessDenied, "Access Denied"));
        }
    }
    Ok(TagGrant { grant, tags })
}

/// CDNs compare tags without regard to case. Where one tenant's name begins another's (`a`, `a-b`), `r-a-b-1` is of the longer.
struct OwnTags {
    id: String,
    /// Those whose name goes on where this one's ends.
    longer: HashSet<String>,
}

impl OwnTags {
    fn of<'t>(tenant: &TenantId, all: impl Iterator<Item = &'t TenantId>) -> Self {
        let id = tenant.as_str().to_ascii_lowercase();
        let goes_on = |other: &String| other.strip_prefix(&id).is_some_and(|rest| rest.starts_with('-'));
        let longer = all.map(|other| other.as_str().to_ascii_lowercase()).filter(goes_on).collect();
        OwnTags { id, longer }
    }

    fn has(&self, tag: &str) -> bool {
        let tag = tag.to_ascii_lowercase();
        if let Some(id) = tag.strip_prefix("t-") {
            return id == self.id;
        }
        let Some(run) = tag.strip_prefix("r-") else { return false };
        let mut names = run.match_indices('-').filter_map(|(at, _)| run.get(..at));
        run.strip_prefix(&self.id).is_some_and(|rest| rest.starts_with('-')) && !names.any(|name| self.longer.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_tenant() {
        let all: Vec<TenantId> = ["a", "a-b", "C"].iter().map(|t| TenantId::parse(t).unwrap()).collect();
        let own = |tag: &str, n: usize| OwnTags::of(&all[n], all.iter()).has(tag);
        assert!(own("t-a", 0) && own("T-A", 0) && own("t-c", 2) && own("r-a-1", 0) && own("r-a-b-1", 1) && own("r-a-b", 0));
        assert!(!own("t-a-b", 0) && !own("r-a-b-1", 0) && !own("r-a-1", 1) && !own("h-00", 0) && !own("a-video", 0) && !own("r-a", 0));
    }
}
