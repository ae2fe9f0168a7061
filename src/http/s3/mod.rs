//! The S3 door, top to bottom: `handle`, `answer`, `dispatch`; the files beside it are one family of operations each.

pub mod acl;
pub mod buckets;
pub mod copy;
pub mod cors;
pub mod encryption;
pub mod get;
pub mod headers;
pub mod lifecycle;
pub mod list;
pub mod lock;
pub mod logging;
pub mod multipart;
pub mod never_set;
pub mod notification;
pub mod objects;
pub mod operation;
pub mod ownership;
pub mod params;
pub mod policy;
pub mod post;
pub mod public_access;
pub mod publish;
mod region;
pub mod restore;
pub mod route;
pub mod tagging;
pub mod versions;
pub mod website;

use std::future::ready;
use std::pin::Pin;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, Request};

use crate::auth::query::Query;
use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::http::api;
use crate::http::exchange::Exchange;
use crate::http::gateway::Gateway;
use crate::http::health;
use crate::http::isolation;
use crate::http::mcp;
use crate::http::respond::Answer;
use crate::http::s3::operation::{OnBucket, OnForm, OnObject, OnService};
use crate::http::s3::route::{Resource, Routed};
use crate::http::sts;
use crate::http::visit::Visit;
use crate::net::request_body::RequestBody;
use crate::net::service::Peer;

/// One request from its head to its answer. What needs no waiting is done before there is a future, and has no place in it: a
/// future is copied on its way to where it runs.
pub fn handle<'a>(
    gateway: &'a Gateway,
    visit: &'a Visit,
    request: Request<RequestBody>,
    peer: Peer,
) -> impl Future<Output = Answer> + use<'a> {
    let (parts, body) = request.into_parts();
    let (uri, head) = (parts.uri.clone(), parts.method == Method::HEAD);
    let asked = cors::Asked::of(&parts);
    let unsigned = !parts.headers.contains_key(AUTHORIZATION);
    let mut begun = begin(gateway, visit, parts, body, peer);

    async move {
        let answered = match &mut begun {
            Begun::Routed(exchange, routed) => dispatch(exchange, routed).await,
            Begun::Elsewhere(answered) => answered.await,
        };
        let mut answer = answered.unwrap_or_else(|e| visit.failed(gateway, &e, uri.path(), head));
        cors::apply(gateway, visit.record(), asked, answer.headers_mut()).await;
        // What is signed in a header is no address that a browser opens.
        if unsigned && !visit.bucket_in_host.get() {
            isolation::apply_shared(answer.headers_mut());
        }
        answer
    }
}

/// What a request's head led to.
#[expect(clippy::large_enum_variant, reason = "a box would cost each request an allocation")]
enum Begun<'a> {
    Routed(Exchange<'a>, Routed<'a>),
    /// Refused, or answered by what is no operation of S3 on a bucket or an object.
    Elsewhere(Pin<Box<dyn Future<Output = Result<Answer>> + 'a>>),
}

fn begin<'a>(gateway: &'a Gateway, visit: &'a Visit, parts: Parts, body: RequestBody, peer: Peer) -> Begun<'a> {
    route(gateway, visit, parts, body, peer).unwrap_or_else(|e| at_hand(Err(e)))
}

fn at_hand<'a>(answer: Result<Answer>) -> Begun<'a> {
    Begun::Elsewhere(Box::pin(ready(answer)))
}

fn route<'a>(gateway: &'a Gateway, visit: &'a Visit, parts: Parts, body: RequestBody, peer: Peer) -> Result<Begun<'a>> {
    let bucket_in_host = gateway.auth.settings().bucket_in_host(&parts.headers);
    visit.bucket_in_host.set(bucket_in_host.is_some());
    if bucket_in_host.is_none() {
        isolation::refuse_service_worker(&parts.headers)?;
    }
    if let Some(reserved) = route::reserved(&parts, bucket_in_host) {
        if let Some(path) = reserved.strip_prefix("console") {
            return Ok(at_hand(gateway.console.answer(&parts, peer.door, path)));
        }
        let reserved = reserved.to_owned();
        return Ok(Begun::Elsewhere(Box::pin(async move {
            match reserved.strip_prefix("v1/") {
                Some(path) => Ok(api::handle(gateway, visit, parts, body, peer, path).await),
                None if reserved == mcp::PATH => Ok(mcp::handle(gateway, visit, parts, body, peer).await),
                None => health::answer(gateway, &reserved).await,
            }
        })));
    }
    let resource = route::resource(bucket_in_host, parts.uri.path())?;
    if parts.method == Method::OPTIONS {
        return Ok(Begun::Elsewhere(Box::pin(async move { cors::preflight(gateway, &resource, &parts).await })));
    }
    let resource = visit.record().names(resource);
    let query = Query::parse(parts.uri.query())?;
    if *resource == Resource::Service && sts::is_asked(&parts, &query) {
        return Ok(Begun::Elsewhere(Box::pin(async move { Ok(sts::handle(gateway, visit, parts, query, body, peer).await) })));
    }
    if *resource == Resource::Service
        && let Some(answer) = gateway.console.front(&parts, peer.door)
    {
        return Ok(at_hand(Ok(answer)));
    }
    let routed = route::route(&parts.method, resource, &query, &parts.headers)?;
    let operation = routed.operation();
    visit.record().routed(operation.label(), operation.log_name(), operation.audited());

    if let Routed::Form(OnForm::PostObject, bucket) = routed {
        return Ok(Begun::Elsewhere(Box::pin(post::object(gateway, visit, parts, query, body, peer, bucket))));
    }
    let exchange = Exchange::open(gateway, visit, parts, query, body, peer)?;
    headers::check(operation, &exchange.parts.headers)?;
    Ok(Begun::Routed(exchange, routed))
}

/// Carries out one routed operation. Each function asks for the grants that it needs.
/// Reads of objects are what a hot request is made of. The state of all others goes into a box: in place it would make every
/// request's future as large as the largest of them.
async fn dispatch(exchange: &mut Exchange<'_>, routed: &mut Routed<'_>) -> Result<Answer> {
    match *routed {
        Routed::Object(read @ (OnObject::GetObject | OnObject::HeadObject), bucket, key, ref mut version) => {
            exchange.version = version.take();
            get::read(exchange, bucket, key, read == OnObject::HeadObject).await
        }
        Routed::Service(OnService::ListBuckets) => Box::pin(buckets::list(exchange)).await,
        Routed::Form(..) => Err(Error::internal("a form was taken for a request that says in its head who asks")),
        Routed::Bucket(operation, bucket) => Box::pin(on_bucket(exchange, operation, bucket)).await,
        Routed::Object(operation, bucket, key, ref mut version) => {
            exchange.version = version.take();
            Box::pin(on_object(exchange, operation, bucket, key)).await
        }
    }
}

async fn on_bucket(exchange: &mut Exchange<'_>, operation: OnBucket, bucket: &BucketName) -> Result<Answer> {
    use OnBucket::*;
    match operation {
        CreateBucket => buckets::create(exchange, bucket).await,
        HeadBucket => buckets::head(exchange, bucket).await,
        DeleteBucket => buckets::delete(exchange, bucket).await,
        GetBucketLocation => buckets::location(exchange, bucket).await,
        GetBucketVersioning => versions::get_bucket(exchange, bucket).await,
        PutBucketVersioning => versions::put_bucket(exchange, bucket).await,
        GetObjectLockConfiguration => lock::get_bucket(exchange, bucket).await,
        PutObjectLockConfiguration => lock::put_bucket(exchange, bucket).await,
        ListObjects => list::v1(exchange, bucket).await,
        ListObjectsV2 => list::v2(exchange, bucket).await,
        ListObjectVersions => list::versions(exchange, bucket).await,
        ListMultipartUploads => multipart::list_uploads(exchange, bucket).await,
        DeleteObjects => objects::delete_many(exchange, bucket).await,
        GetBucketPolicy => policy::get(exchange, bucket).await,
        GetBucketPolicyStatus => policy::status(exchange, bucket).await,
        PutBucketPolicy => policy::put(exchange, bucket).await,
        DeleteBucketPolicy => policy::delete(exchange, bucket).await,
        GetBucketAcl => acl::get_bucket(exchange, bucket).await,
        PutBucketAcl => acl::put_bucket(exchange, bucket).await,
        GetBucketCors => cors::get(exchange, bucket).await,
        PutBucketCors => cors::put(exchange, bucket).await,
        DeleteBucketCors => cors::delete(exchange, bucket).await,
        GetBucketTagging => tagging::get_bucket(exchange, bucket).await,
        PutBucketTagging => tagging::put_bucket(exchange, bucket).await,
        DeleteBucketTagging => tagging::delete_bucket(exchange, bucket).await,
        GetBucketLifecycleConfiguration => lifecycle::get(exchange, bucket).await,
        PutBucketLifecycleConfiguration => lifecycle::put(exchange, bucket).await,
        DeleteBucketLifecycle => lifecycle::delete(exchange, bucket).await,
        GetBucketEncryption => encryption::get_bucket(exchange, bucket).await,
        PutBucketEncryption => encryption::put_bucket(exchange, bucket).await,
        DeleteBucketEncryption => encryption::delete_bucket(exchange, bucket).await,
        GetBucketLogging => logging::get(exchange, bucket).await,
        PutBucketLogging => logging::put(exchange, bucket).await,
        GetBucketNotificationConfiguration => notification::get(exchange, bucket).await,
        PutBucketNotificationConfiguration => notification::put(exchange, bucket).await,
        GetBucketRequestPayment => never_set::get(exchange, bucket, &never_set::REQUEST_PAYMENT).await,
        GetBucketAccelerateConfiguration => never_set::get(exchange, bucket, &never_set::ACCELERATE).await,
        GetBucketReplication => never_set::get(exchange, bucket, &never_set::REPLICATION).await,
        GetBucketWebsite => website::get(exchange, bucket).await,
        PutBucketWebsite => website::put(exchange, bucket).await,
        DeleteBucketWebsite => website::delete(exchange, bucket).await,
        GetBucketInventoryConfiguration => never_set::get(exchange, bucket, &never_set::ONE_INVENTORY).await,
        ListBucketInventoryConfigurations => never_set::get(exchange, bucket, &never_set::ALL_INVENTORY).await,
        GetBucketAnalyticsConfiguration => never_set::get(exchange, bucket, &never_set::ONE_ANALYTICS).await,
        ListBucketAnalyticsConfigurations => never_set::get(exchange, bucket, &never_set::ALL_ANALYTICS).await,
        GetBucketMetricsConfiguration => never_set::get(exchange, bucket, &never_set::ONE_METRICS).await,
        ListBucketMetricsConfigurations => never_set::get(exchange, bucket, &never_set::ALL_METRICS).await,
        GetBucketIntelligentTieringConfiguration => never_set::get(exchange, bucket, &never_set::ONE_INTELLIGENT_TIERING).await,
        ListBucketIntelligentTieringConfigurations => never_set::get(exchange, bucket, &never_set::ALL_INTELLIGENT_TIERING).await,
        GetBucketOwnershipControls => ownership::get(exchange, bucket).await,
        PutBucketOwnershipControls => ownership::put(exchange, bucket).await,
        DeleteBucketOwnershipControls => ownership::delete(exchange, bucket).await,
        GetPublicAccessBlock => public_access::get(exchange, bucket).await,
        PutPublicAccessBlock => public_access::put(exchange, bucket).await,
        DeletePublicAccessBlock => public_access::delete(exchange, bucket).await,
    }
}

async fn on_object(exchange: &mut Exchange<'_>, operation: OnObject, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    use OnObject::*;
    match operation {
        GetObject | HeadObject => get::read(exchange, bucket, key, operation == HeadObject).await,
        GetObjectAttributes => get::attributes(exchange, bucket, key).await,
        PutObject => objects::put(exchange, bucket, key).await,
        PublishObject => publish::put(exchange, bucket, key).await,
        CopyObject => copy::object(exchange, bucket, key).await,
        DeleteObject => objects::delete(exchange, bucket, key).await,
        GetObjectAcl => acl::get_object(exchange, bucket, key).await,
        PutObjectAcl => acl::put_object(exchange, bucket, key).await,
        GetObjectTagging => tagging::get_object(exchange, bucket, key).await,
        PutObjectTagging => tagging::put_object(exchange, bucket, key).await,
        DeleteObjectTagging => tagging::delete_object(exchange, bucket, key).await,
        CreateMultipartUpload => multipart::create(exchange, bucket, key).await,
        UploadPart => multipart::upload_part(exchange, bucket, key).await,
        UploadPartCopy => copy::part(exchange, bucket, key).await,
        CompleteMultipartUpload => multipart::complete(exchange, bucket, key).await,
        AbortMultipartUpload => multipart::abort(exchange, bucket, key).await,
        ListParts => multipart::list_parts(exchange, bucket, key).await,
        RestoreObject => restore::object(exchange, bucket, key).await,
        GetObjectRetention => lock::get_retention(exchange, bucket, key).await,
        PutObjectRetention => lock::put_retention(exchange, bucket, key).await,
        GetObjectLegalHold => lock::get_legal_hold(exchange, bucket, key).await,
        PutObjectLegalHold => lock::put_legal_hold(exchange, bucket, key).await,
    }
}
