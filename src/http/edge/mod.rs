//! The edge door: GET, HEAD and OPTIONS for browsers and CDNs. `handle` is the whole of it, top to bottom.
//!
//! A `site` says which objects a host shows and `callers` whose requests it takes; `compress` in which form they are shown;
//! `rendition` shows what was made of a model; `website` a bucket's website, where it is one; `tags` name what a CDN keeps;
//! `cache` and `cors` write the headers that make an answer good for a CDN and a page on another
//! origin, `http::isolation` those that keep its documents apart; `multirange` answers several ranges at once.
//! Not here: who may read (the same identity and Grant as on the S3 door), what a read is (`http::read`).
//! Invariants: every answer says its length; refusals carry the same CORS headers; nothing is `public` that not everyone may read.

pub mod cache;
pub mod callers;
pub mod compress;
pub mod cors;
pub mod multirange;
mod rendition;
pub mod site;
pub mod tags;
pub mod website;

use http::header::ORIGIN;
use http::request::Parts;
use http::{Method, Request};

use crate::auth::query::{Query, decode};
use crate::auth::{Action, Grant, Reading, Via};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::host::Host;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{Bucket, ObjectInfo};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::http::edge::cache::Audience;
use crate::http::edge::callers::ProvenCdn;
use crate::http::edge::multirange::Chosen;
use crate::http::edge::site::{Site, nothing_here};
use crate::http::exchange::Exchange;
use crate::http::gateway::Gateway;
use crate::http::isolation;
use crate::http::ranges::Requested;
use crate::http::read::{self, IfRange, Read};
use crate::http::respond::Answer;
use crate::http::s3::operation::Operation;
use crate::http::s3::route::{self, Resource};
use crate::http::s3::{get, versions};
use crate::http::visit::Visit;
use crate::net::request_body::RequestBody;
use crate::net::service::Peer;
use crate::ops::read::Shown;
use crate::origin::Freshness;
use crate::variants::Lookup;

/// One request from its head to its answer. What needs no waiting is done before there is a future, as on the S3 door.
pub fn handle<'a>(
    gateway: &'a Gateway,
    visit: &'a mut Visit,
    request: Request<RequestBody>,
    peer: Peer,
) -> impl Future<Output = Answer> + use<'a> {
    let (mut parts, body) = request.into_parts();
    let (uri, method) = (parts.uri.clone(), parts.method.clone());
    let origin = parts.headers.get(ORIGIN).cloned();
    let (site, rules) = gateway.settings.sites.of_request(&parts.headers);
    let admitted = admit(visit, site, &mut parts, &peer);
    let visit: &Visit = visit;

    async move {
        let answered = match (admitted, &method) {
            (Err(refused), _) => Err(refused),
            (Ok(_), &Method::OPTIONS) => Ok(cors::preflight()),
            (Ok(proven), &Method::GET | &Method::HEAD) => match site {
                Some(site) => read(gateway, visit, site, proven, parts, body, peer).await,
                None => Err(nothing_here()),
            },
            _ => Err(read_only()),
        };

        let mut answer = answered.unwrap_or_else(|e| visit.failed(gateway, &e, uri.path(), method == Method::HEAD));
        rules.cors.apply(answer.headers_mut(), origin);
        let status = answer.status();
        isolation::apply(answer.headers_mut(), status, rules.sandbox, rules.coep);
        answer
    }
}

/// Whether the site takes requests of this caller, and whether he proved to be its CDN.
fn admit(visit: &mut Visit, site: Option<&Site>, parts: &mut Parts, peer: &Peer) -> Result<Option<ProvenCdn>> {
    let Some(site) = site else { return Ok(None) };
    let proven = site.callers.check(parts, peer)?;
    if proven.is_some() {
        visit.record().came_through_cdn();
    }
    if site.sandbox {
        isolation::refuse_service_worker(&parts.headers)?;
    }
    visit.came_through(callers::cdn_request_id(&parts.headers));
    Ok(proven)
}

fn read_only() -> Error {
    Error::new(ErrorKind::MethodNotAllowed, "This door only reads: use GET or HEAD, and write over the S3 door.")
        .detail("AllowedMethods", cors::METHODS)
}

/// GET or HEAD of what the site shows at this path.
fn read<'a>(
    gateway: &'a Gateway,
    visit: &'a Visit,
    site: &'a Site,
    proven: Option<ProvenCdn>,
    parts: Parts,
    body: RequestBody,
    peer: Peer,
) -> impl Future<Output = Result<Answer>> + use<'a> {
    let uri = parts.uri.clone();
    // Not `async fn`: that would keep its arguments beside what becomes of them.
    async move {
        let (token, path) = site.split_token(uri.path());
        let operation = if parts.method == Method::HEAD { Operation::HeadObject } else { Operation::GetObject };
        let (bucket, key, folder) = &locate(gateway, site, path).await?;
        let record = visit.record();
        record.names(Resource::Object(bucket.clone(), key.clone()));
        let query = Query::parse(uri.query())?;
        let version = route::version_of(&query)?;
        record.routed(operation.label(), operation.log_name(), operation.audited());

        let is_site = |host: Host<'_>| gateway.settings.sites.is_named_by(site, host);
        let reading = Reading { known_as: site.url.as_deref(), path_token: token, is_site: &is_site };
        let mut exchange = Exchange::open_for_reading(gateway, visit, parts, query, body, peer, reading)?;
        exchange.version = version;
        check_meaning(&exchange, bucket, key)?;
        let asked = folder.as_deref().unwrap_or(key.as_str());
        let failed = match show(&exchange, visit, site, proven, exchange.named(bucket, key), asked).await {
            Err(failed) if matches!(failed.kind(), ErrorKind::NoSuchKey | ErrorKind::AccessDenied) => failed,
            shown => return shown,
        };
        // Rarely needed, and then large: no part of every read's future.
        Box::pin(refused(&exchange, visit, site, exchange.named(bucket, key), asked, failed)).await
    }
}

/// What the path names. A folder of a website is shown by its index; then what was asked for is told besides.
async fn locate(gateway: &Gateway, site: &Site, path: &str) -> Result<(BucketName, ObjectKey, Option<String>)> {
    let is_folder = matches!(path, "" | "/") || path.ends_with('/');
    if is_folder
        && site.index.is_none()
        && let (Some(bucket), Some(website)) = (&site.bucket, Box::pin(website::of_site(gateway, site)).await?)
    {
        let asked = decode(path.strip_prefix('/').unwrap_or(path))?;
        if let Some(index) = website::index(&website, &asked) {
            return Ok((bucket.clone(), ObjectKey::parse(&index).map_err(|_| nothing_here())?, Some(asked)));
        }
    }
    site.locate(path).map(|(bucket, key)| (bucket, key, None))
}

/// What the key does not show: an answer of the bucket's website, or the refusal.
async fn refused(exchange: &Exchange<'_>, visit: &Visit, site: &Site, of: ObjectRef<'_>, asked: &str, failed: Error) -> Result<Answer> {
    let gateway = exchange.gateway;
    let for_anyone = failed.kind() == ErrorKind::NoSuchKey && absence_is_for_anyone(exchange, of.bucket, of.key).await?;
    let instead = match website::of_site(gateway, site).await?.filter(|_| of.version == VersionSelector::Current) {
        Some(website) => website::instead(exchange, &website, of.bucket, asked, &failed).await,
        None => None,
    };
    if !for_anyone && instead.is_none() {
        return Err(failed);
    }
    let refusal = visit.failed(gateway, &failed, exchange.parts.uri.path(), exchange.parts.method == Method::HEAD);
    let mut answer = instead.unwrap_or(refusal);
    if for_anyone {
        cache::absent(answer.headers_mut())
    } else {
        cache::never(answer.headers_mut())
    }
    Ok(answer)
}

/// What the key shows.
async fn show(
    exchange: &Exchange<'_>,
    visit: &Visit,
    site: &Site,
    proven: Option<ProvenCdn>,
    of: ObjectRef<'_>,
    asked: &str,
) -> Result<Answer> {
    let (gateway, record, ObjectRef { bucket, key, .. }) = (exchange.gateway, visit.record(), of);
    let mut wanted = wanted(exchange, exchange.parts.method == Method::HEAD)?;
    for attempt in 0..get::ATTEMPTS {
        // What a cache remembered has proven to be gone.
        let freshness = if attempt == 0 { Freshness::Cached } else { Freshness::Current };
        let (found, mut object, _prefetch) = exchange.look_up_to_read(bucket, key, freshness, wanted.certain()).await?;
        let grant = exchange.authorize_object(Action::GetObject, &found, exchange.named(bucket, key), Some(&object)).await?;
        if let Some(variant) = exchange.query.value("variant") {
            let read = rendition::Rendered { site, proven, found: &found, key, object: &object, grant: &grant, freshness };
            let Some(answer) = Box::pin(rendition::show(exchange, &read, variant, &mut wanted)).await? else { continue };
            return Ok(answer);
        }
        if gateway.ops.asks_for_inspections() {
            object = Box::pin(gateway.ops.with_inspection(exchange.named(bucket, key), object, wanted.head)).await;
        }
        if exchange.version.is_none()
            && let Some(website) = website::of(gateway, site, &found)
            && let Some(mut answer) = website::redirect(exchange, &website, asked, &object)
        {
            cache::apply(
                answer.headers_mut(),
                &site.cache,
                key,
                grant.version(),
                &object,
                audience(exchange, site, &grant, &found, &object),
            );
            return Ok(answer);
        }
        let altered = exchange.query.get("response-content-encoding").is_some() || gateway.ops.seals(&object);
        let choice = compress::choose(&site.compress, &exchange.parts.headers, key, &object, &wanted, altered);
        let form = match choice.change {
            Some(change) => Box::pin(gateway.ops.variant(&grant, &object, change)).await?,
            None => Lookup::Never,
        };
        let described = if let Lookup::Ready(variant) = &form { Some((variant.describe(&object), variant)) } else { None };
        let shown = described.as_ref().map_or(Shown::stored(&object), |(info, variant)| Shown::variant(info, variant));
        let state = gateway.ops.cache_state(&grant, shown, wanted.first_byte(shown.info))?;
        if let Some(mut answer) = answer(gateway, &grant, shown, &mut wanted).await? {
            get::apply_overrides(exchange, &mut answer)?;
            state.into_iter().for_each(|state| cache::tell(answer.headers_mut(), state));
            let audience = audience(exchange, site, &grant, &found, &object);
            cache::apply(answer.headers_mut(), &site.cache, key, grant.version(), &object, audience);
            versions::tell_read(answer.headers_mut(), &found, &object);
            if object.layer.replica().is_some() {
                // It may be older than what was acknowledged last.
                cache::shorten(answer.headers_mut());
            }
            if let (Some(proven), Some(header)) = (proven, &site.cache_tag) {
                tags::put(answer.headers_mut(), header, proven, key, &object);
            }
            compress::finish(&mut answer, &choice, &form, &object);
            compress::count(&gateway.metrics, &answer, &form, &object);
            drop(described);
            record.saw_bucket(found);
            record.saw_object(object);
            return Ok(answer);
        }
    }
    Err(get::replaced_too_often())
}

/// As on the S3 door, but for what caches and browsers could put together wrongly.
fn wanted(exchange: &Exchange<'_>, head: bool) -> Result<Read> {
    let mut wanted = get::wanted(exchange, head)?;
    if matches!(wanted.if_range, Some(IfRange::Date(_))) {
        // Two versions of one second share a date, so it does not prove that the parts fit together (RFC 9110 13.1.5).
        wanted.if_range = Some(IfRange::never());
    }
    if exchange.query.has("response-content-type") && matches!(wanted.range, Requested::Several(_)) {
        // The type of such an answer is what tells where its parts begin.
        wanted.range = Requested::Whole;
    }
    Ok(wanted)
}

/// S3's signatures name an object in S3's way, and a site may show another one at the same path. SigV4 covers the host, and so the
/// site; but SigV2 covers no host, and a host that names a bucket on the S3 door may fall to the site for any host here.
fn check_meaning(exchange: &Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<()> {
    let bucket_in_host = exchange.gateway.auth.settings().bucket_in_host(&exchange.parts.headers);
    let named_as_on_s3 = match exchange.caller.via {
        Via::SigV2Query { .. } | Via::Form { .. } | Via::SigV2Form { .. } | Via::Bearer { .. } => true,
        Via::Header { .. } | Via::Query { .. } => bucket_in_host.is_some(),
        Via::Anonymous | Via::CloudFront { .. } | Via::PathToken { .. } => false,
    };
    if !named_as_on_s3 {
        return Ok(());
    }
    match route::resource(bucket_in_host, exchange.parts.uri.path()) {
        Ok(Resource::Object(named, name)) if named == *bucket && name == *key => Ok(()),
        _ => {
            Err(Error::new(ErrorKind::AccessDenied, "The signature is for an object of the S3 door, and this site shows another one here."))
        }
    }
}

/// None: what is shown was replaced meanwhile.
async fn answer(gateway: &Gateway, grant: &Grant, shown: Shown<'_>, wanted: &mut Read) -> Result<Option<Answer>> {
    if let (false, Some(bucket)) = (wanted.head, grant.bucket()) {
        gateway.require_egress(&shown.info.owner, bucket)?;
    }
    let Requested::Several(specs) = &wanted.range else { return read::answer(&gateway.ops, grant, shown, wanted).await };
    if !wanted.may_be_partial(shown.info) {
        return read::answer(&gateway.ops, grant, shown, wanted).await;
    }
    match multirange::choose(specs, shown.info.size) {
        Chosen::Several(ranges) => Box::pin(multirange::answer(&gateway.ops, grant, shown, wanted, &ranges)).await,
        Chosen::Plain(range) => {
            let asked = std::mem::replace(&mut wanted.range, range);
            let answered = read::answer(&gateway.ops, grant, shown, wanted).await;
            wanted.range = asked;
            answered
        }
    }
}

fn audience(exchange: &Exchange<'_>, site: &Site, grant: &Grant, bucket: &Bucket, object: &ObjectInfo) -> Audience {
    // What a signature changed of the answer is for whoever holds that signature.
    let altered = !exchange.is_anonymous() && exchange.query.names().any(|n| n.starts_with("response-"));
    if site.cdn_verifies || (!altered && exchange.is_for_anyone(grant, bucket, object)) {
        return Audience::Anyone;
    }
    let expires = exchange.caller.via.expires().unwrap_or(exchange.now);
    Audience::Holder { seconds_left: expires.since(exchange.now).as_secs() }
}

async fn absence_is_for_anyone(exchange: &Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<bool> {
    let found = exchange.gateway.ops.bucket_for_decision(bucket).await?;
    Ok(found.is_some_and(|found| exchange.absence_is_for_anyone(&found, key)))
}
