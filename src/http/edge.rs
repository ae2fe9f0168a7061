//! The edge door: GET and HEAD for browsers and CDNs. A site maps a host name to a bucket and a prefix.
//!
//! Not here yet: cache rules, CORS, compression, signed cookies; until then it answers plain reads, with the same
//! identity and the same Grant as the S3 door.

use http::{Method, Request};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::http::door::Visit;
use crate::http::gateway::{Gateway, Site};
use crate::http::query::{Query, decode};
use crate::http::respond::Answer;
use crate::http::s3::exchange::Exchange;
use crate::http::s3::get;
use crate::http::s3::route::{self, Operation, Resource};
use crate::net::request_body::RequestBody;
use crate::net::service::Peer;

/// The bucket and key that a site shows at this path.
pub fn locate(gateway: &Gateway, host: Option<&str>, raw_path: &str) -> Result<(BucketName, ObjectKey)> {
    let site = gateway.settings.sites.iter().find(|s| s.matches(host)).ok_or_else(not_found)?;
    let path = raw_path.strip_prefix('/').unwrap_or(raw_path);
    let (bucket, path) = match &site.bucket {
        Some(bucket) => (bucket.clone(), path),
        None => {
            let (bucket, path) = path.split_once('/').unwrap_or((path, ""));
            (decode(bucket)?, path)
        }
    };
    // A path that can't be a name is simply not there, to a browser.
    let bucket = BucketName::parse(&bucket).map_err(|_| not_found())?;
    let key = ObjectKey::parse(&format!("{}{}", site.prefix, decode(path)?)).map_err(|_| not_found())?;
    Ok((bucket, key))
}

pub async fn handle(gateway: &Gateway, visit: &mut Visit, request: Request<RequestBody>, peer: Peer) -> Result<Answer> {
    let (parts, body) = request.into_parts();
    let operation = match parts.method {
        Method::GET => Operation::GetObject,
        Method::HEAD => Operation::HeadObject,
        _ => {
            return Err(Error::new(ErrorKind::MethodNotAllowed, "This door only reads: use GET or HEAD, and write over the S3 door.")
                .detail("AllowedMethods", "GET, HEAD"));
        }
    };
    let (bucket, key) = locate(gateway, route::host(&parts), parts.uri.path())?;
    let query = Query::parse(parts.uri.query())?;
    visit.routed(operation.index(), operation.name(), operation.log_name(), &Resource::Object(bucket.clone(), key.clone()));

    let mut exchange = Exchange::open(gateway, visit, parts, query, body, peer)?;
    get::read(&mut exchange, &bucket, &key, operation == Operation::HeadObject).await
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "There is nothing at this address.")
}

impl Site {
    fn matches(&self, host: Option<&str>) -> bool {
        let Some(own) = &self.host else { return true };
        let name = host.map(|h| h.rsplit_once(':').map_or(h, |(name, _)| name));
        name.is_some_and(|n| n.eq_ignore_ascii_case(own))
    }
}
