//! What identity and policy must hold, told as requests. Each file is one promise; here is the gateway they are made to.

mod acls;
mod attacks;
mod chunks;
mod cloudfront;
mod documents;
mod folder;
mod for_jobs;
mod forms;
mod injective;
mod oracle;
mod path_tokens;
mod policies;
mod policy_cost;
mod rewrites;
mod sessions;
mod tags;
pub mod url_keys;
mod vectors;

use std::net::IpAddr;
use std::path::Path;

use http::request::Parts;

use crate::auth::facts::{RequestFacts, TagFacts};
use crate::auth::presign::{self, Credentials, Presign};
use crate::auth::query::Query;
use crate::auth::{Auth, Caller, OperatorKey, Reading, Settings};
use crate::base::error::Result;
use crate::base::names::{AccessKeyId, BucketName, ObjectKey};
use crate::base::timestamp::Timestamp;

pub const HOST: &str = "s3.example.com";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// The key of the S3 documentation's examples is the operator's here. (Not the suite's: a `/` for its `+`.)
const DOCUMENTED_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// 2013-05-24T00:00:00Z, the moment of AWS's examples.
pub const NOW: Timestamp = Timestamp::from_secs(1_369_353_600);

pub fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub fn tenant_file(id: &str, access_key: &str, secret: &str) -> String {
    format!(
        "id = \"{id}\"\npolicies = [\"tenant-default\"]\nkeys = [{{ access_key = \"{access_key}\", secret = {{ value = \"{secret}\" }} }}]\n"
    )
}

/// The shipped policy, and the tenants acme (AKACME) and rival (AKRIVAL).
pub fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "tenant-default.json", include_str!("../../../policies/tenant-default.json"));
    write(dir.path(), "tenants/acme.toml", &tenant_file("acme", "AKACME", SECRET));
    write(dir.path(), "tenants/rival.toml", &tenant_file("rival", "AKRIVAL", "another-secret"));
    dir
}

pub fn operator() -> OperatorKey {
    OperatorKey::from_strings("AKIAIOSFODNN7EXAMPLE", DOCUMENTED_SECRET).unwrap()
}

pub fn auth_with(settings: Settings) -> Auth {
    let dir = folder();
    Auth::new(settings, dir.path().to_owned(), operator()).unwrap()
}

pub fn auth_in(dir: &Path) -> Auth {
    Auth::new(Settings::default(), dir.to_owned(), operator()).unwrap_or_else(|faults| panic!("{faults:?}"))
}

pub fn auth() -> Auth {
    auth_with(Settings::default())
}

pub fn facts(parts: &Parts) -> RequestFacts<'_> {
    // Lives as long as the test's process, so that tests can make facts in passing.
    let query = Box::leak(Box::new(Query::parse(parts.uri.query()).unwrap_or_default()));
    RequestFacts {
        parts,
        query,
        peer: IpAddr::from([192, 0, 2, 1]),
        secure: false,
        now: NOW,
        tags: TagFacts::default(),
        lock: Default::default(),
    }
}

pub fn parts(request: http::request::Builder) -> Parts {
    request.body(()).unwrap().into_parts().0
}

/// A door with one site, which every host names.
impl Default for Reading<'_> {
    fn default() -> Self {
        Reading { known_as: None, path_token: None, is_site: &|_| true }
    }
}

pub fn ask(auth: &Auth, parts: &Parts) -> Result<Caller> {
    auth.authenticate(&facts(parts))
}

pub fn bucket_name(s: &str) -> BucketName {
    BucketName::parse(s).unwrap()
}

pub fn key(s: &str) -> ObjectKey {
    ObjectKey::parse(s).unwrap()
}

/// A presigned URL of acme's, as path and query.
pub fn presigned(method: http::Method, object: &str, query: &[(&str, &str)]) -> String {
    let (access_key, secret) = (AccessKeyId::parse("AKACME").unwrap(), crate::auth::keys::Secret::new(SECRET));
    let credentials = Credentials { access_key: &access_key, secret: &secret, region: "us-east-1" };
    let url = presign::presign(
        &credentials,
        &Presign {
            method,
            endpoint: &format!("http://{HOST}"),
            bucket: &bucket_name("bucket"),
            key: &key(object),
            expires_seconds: 3600,
            now: NOW,
            query,
        },
    );
    url.unwrap().split_once(HOST).unwrap().1.to_owned()
}

/// Signs as acme by hand: `signed` are the names of headers in the list, all others of `request` are left out of it.
/// The payload hash is that of the header, or UNSIGNED-PAYLOAD.
pub fn sign(request: http::request::Builder, signed: &[&str]) -> Parts {
    let mut parts = parts(request);
    let set = |parts: &mut Parts, name: &'static str, value: &str| {
        if !parts.headers.contains_key(name) {
            parts.headers.insert(name, value.parse().unwrap());
        }
    };
    set(&mut parts, "host", HOST);
    set(&mut parts, "x-amz-date", &NOW.amz_date());
    set(&mut parts, "x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    let amz_date = parts.headers["x-amz-date"].to_str().unwrap().to_owned();
    let hash = parts.headers["x-amz-content-sha256"].to_str().unwrap().to_owned();
    let mut names: Vec<&str> = signed.to_vec();
    names.extend(["host", "x-amz-content-sha256", "x-amz-date"]);
    names.sort();
    names.dedup();
    let signed_headers = names.join(";");
    let scope = format!("{}/us-east-1/s3/aws4_request", &amz_date[..8]);
    let canonical = crate::auth::canonical::Request::new(&parts, &signed_headers, &hash).canonical(&Default::default());
    let string = crate::auth::canonical::string_to_sign(&amz_date, &scope, &canonical);
    let key = crate::auth::keys::SigningKey::derive(&crate::auth::keys::Secret::new(SECRET), &amz_date[..8], "us-east-1");
    let signature = hex::encode(key.sign(string.as_bytes()));
    let header = format!("AWS4-HMAC-SHA256 Credential=AKACME/{scope}, SignedHeaders={signed_headers}, Signature={signature}");
    parts.headers.insert("authorization", header.parse().unwrap());
    parts
}
