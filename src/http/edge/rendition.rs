//! `?variant=draco`: a result that was made of what the path shows, by the right to read that.
//!
//! It has an ETag of its own, and is kept as long as what it was made of: the next version has another one under the same address. Under its
//! own key, which holds its hash, it is kept for good.

use http::header::CACHE_CONTROL;

use super::callers::ProvenCdn;
use super::site::Site;
use super::{answer, audience, cache, tags};
use crate::auth::Grant;
use crate::base::error::Result;
use crate::base::names::ObjectKey;
use crate::base::object::{SharedBucket, SharedObject};
use crate::http::exchange::Exchange;
use crate::http::read::Read;
use crate::http::respond::{Answer, value};
use crate::http::s3::get;
use crate::origin::Freshness;

/// What the path shows, and who may read it.
pub struct Rendered<'r> {
    pub site: &'r Site,
    pub proven: Option<ProvenCdn>,
    pub found: &'r SharedBucket,
    pub key: &'r ObjectKey,
    pub object: &'r SharedObject,
    pub grant: &'r Grant,
    pub freshness: Freshness,
}

/// None: it was replaced.
pub async fn show(exchange: &Exchange<'_>, of: &Rendered<'_>, variant: &str, wanted: &mut Read) -> Result<Option<Answer>> {
    let gateway = exchange.gateway;
    let found = gateway.ops.rendition(of.grant, of.object, variant, of.freshness).await?;
    let state = gateway.ops.cache_state(of.grant, found.shown(), wanted.first_byte(found.shown().info))?;
    let Some(mut answer) = answer(gateway, of.grant, found.shown(), wanted).await? else { return Ok(None) };
    get::apply_overrides(exchange, &mut answer)?;
    let headers = answer.headers_mut();
    state.into_iter().for_each(|state| cache::tell(headers, state));
    if let Some(wish) = of.object.headers.cache_control.as_deref().and_then(value).filter(|_| !headers.contains_key(CACHE_CONTROL)) {
        headers.insert(CACHE_CONTROL, wish);
    }
    let audience = audience(exchange, of.site, of.grant, of.found, of.object);
    cache::apply(headers, &of.site.cache, of.key, of.grant.version(), of.object, audience);
    if let (Some(proven), Some(header)) = (of.proven, &of.site.cache_tag) {
        tags::put(headers, header, proven, of.key, of.object);
    }
    exchange.record.saw_bucket(of.found.clone());
    exchange.record.saw_object(of.object.clone());
    Ok(Some(answer))
}
