//! Links to objects: `/-/v1/presign` makes one in the form that is asked for, `/-/v1/url` the one that fits the object: its plain
//! address where anyone may read it, a signed one otherwise.
//!
//! Invariants: the caller is granted what the link will do before there is one; who opens it may what the caller's tenant may at
//! that time, so a link outlives no right; only a request that was signed itself makes links, not one that came by a link.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::auth::cloudfront::mint::Wanted;
use crate::auth::cloudfront::statement::Statement;
use crate::auth::presign::Presign;
use crate::auth::url_key::Hash;
use crate::auth::{Action, Grant, PathToken, Within};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::host::host_of;
use crate::base::limits::MAX_PRESIGN_SECONDS;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::network::Network;
use crate::base::object::{SharedBucket, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::base::timestamp::Timestamp;
use crate::http::api::input::parse;
use crate::http::exchange::Exchange;
use crate::http::link::Form;
use crate::http::respond::{self, Answer};
use crate::http::site::OnSite;
use crate::origin::Freshness;
use crate::telemetry::audit::Kind;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    bucket: BucketName,
    key: ObjectKey,
    #[serde(default)]
    form: Option<Form>,
    method: Option<String>,
    /// Seconds.
    expires: Option<u64>,
    /// Not before this second of the epoch. Only in CloudFront's forms.
    starts: Option<u64>,
    /// Opens every key that begins so, not only `key`. A path token and cookies have the key's folder by default.
    prefix: Option<String>,
    /// For clients of this address or network only.
    source_ip: Option<String>,
    /// Scheme and host of the link, where it is not the site's (or the S3 door's, as it was asked).
    base: Option<String>,
    /// "SHA256" (the default) or "SHA1", in CloudFront's forms.
    hash: Option<String>,
}

impl Request {
    /// To read it.
    pub fn to_read(bucket: &BucketName, key: &ObjectKey, expires: Option<u64>) -> Self {
        let (form, method, starts, prefix, source_ip, base, hash) = Default::default();
        Request { bucket: bucket.clone(), key: key.clone(), form, method, expires, starts, prefix, source_ip, base, hash }
    }
}

#[derive(Serialize)]
pub struct Link {
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<Form>,
    /// Anyone may read it, with no signature.
    pub public: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    cookies: BTreeMap<&'static str, String>,
}

pub async fn presign(exchange: &mut Exchange<'_>) -> Result<Answer> {
    let request: Request = parse(exchange).await?;
    respond::json(&signed(exchange, &request).await?)
}

/// In the form that is asked for.
pub async fn signed(exchange: &Exchange<'_>, request: &Request) -> Result<Link> {
    let subject = Subject::of(exchange, request).await?;
    subject.link(exchange, request, request.form.unwrap_or_default())
}

pub async fn url(exchange: &mut Exchange<'_>) -> Result<Answer> {
    let request: Request = parse(exchange).await?;
    respond::json(&fitting(exchange, &request).await?)
}

/// The one that fits the object.
pub async fn fitting(exchange: &Exchange<'_>, request: &Request) -> Result<Link> {
    if request.method.as_deref().is_some_and(|m| m != "GET") {
        return Err(invalid("method", "An object's URL is for GET."));
    }
    let subject = Subject::of(exchange, request).await?;
    let place = exchange.gateway.settings.place_of(&request.bucket, &request.key);
    let public = subject.object.as_ref().is_some_and(|o| exchange.is_for_anyone(&subject.grant, &subject.bucket, o));
    if public && request.form.is_none() {
        let shown = place.as_ref().filter(|p| p.base.is_some() || request.base.is_some());
        let base = subject.base(exchange, request, shown)?;
        // What nobody named a site's address of is public on the S3 door as well.
        let path = shown.map_or_else(|| OnSite::on_s3_door(&request.bucket, &request.key), |p| p.path.clone());
        return Ok(Link { url: format!("{base}{path}"), form: None, public, expires: None, cookies: BTreeMap::new() });
    }
    // What opens a folder would open more than a session may.
    let of_site = place.as_ref().map(|p| p.form).filter(|_| exchange.caller.session.is_none());
    subject.link(exchange, request, request.form.or(of_site).unwrap_or_default())
}

/// What a link is made for, and that the caller may do it.
struct Subject {
    bucket: SharedBucket,
    object: Option<SharedObject>,
    method: Method,
    grant: Grant,
    expires: Timestamp,
    seconds: u64,
    source: Option<Network>,
}

impl Subject {
    async fn of(exchange: &Exchange<'_>, request: &Request) -> Result<Self> {
        require_own(exchange)?;
        let (method, action) = match request.method.as_deref().unwrap_or("GET") {
            "GET" => (Method::GET, Action::GetObject),
            "HEAD" => (Method::HEAD, Action::GetObject),
            "PUT" => (Method::PUT, Action::PutObject),
            "DELETE" => (Method::DELETE, Action::DeleteObject),
            _ => return Err(invalid("method", "GET, HEAD, PUT or DELETE is needed.")),
        };
        let ops = &exchange.gateway.ops;
        let bucket = exchange.existing(ops.bucket_for_decision(&request.bucket).await?, &request.bucket)?;
        let object = ops.object_for_decision(ObjectRef::current(&request.bucket, &request.key), Freshness::Current).await?;
        let of_object = if action == Action::GetObject { object.as_ref() } else { None };
        let grant = exchange.authorize_object(action, &bucket, ObjectRef::current(&request.bucket, &request.key), of_object).await?;
        let source = request.source_ip.as_deref().map(network).transpose()?;
        let settings = &exchange.gateway.settings;
        let seconds = request.expires.unwrap_or(settings.presign_expires.min(settings.link_max).as_secs());
        let seconds = within_session(exchange, seconds);
        let expires = Timestamp::from_secs(exchange.now.secs()).plus(Duration::from_secs(seconds));
        Ok(Subject { bucket, object, method, grant, expires, seconds, source })
    }

    fn link(&self, exchange: &Exchange<'_>, request: &Request, form: Form) -> Result<Link> {
        let max = match form {
            Form::S3 => MAX_PRESIGN_SECONDS,
            Form::Cloudfront | Form::Cookie | Form::PathToken => exchange.gateway.settings.link_max.as_secs(),
        };
        if !(1..=max).contains(&self.seconds) {
            return Err(invalid("expires", format!("1 to {max} seconds are possible.")));
        }
        let (url, cookies) = match form {
            Form::S3 => (self.s3_url(exchange, request)?, BTreeMap::new()),
            _ if exchange.caller.session.is_some() => {
                return Err(invalid("form", "Temporary credentials make links of the form s3 alone."));
            }
            _ if !matches!(self.method, Method::GET | Method::HEAD) => {
                return Err(invalid("method", "Only links of the form s3 can write."));
            }
            Form::Cloudfront | Form::Cookie => self.cloudfront(exchange, request, form)?,
            Form::PathToken => (self.path_token(exchange, request)?, BTreeMap::new()),
        };
        exchange.record.audit_as(Kind::Presign, || {
            let reach = request.prefix.as_deref().map(|prefix| format!(" and all keys that begin with {prefix}")).unwrap_or_default();
            let until = self.expires.iso8601();
            format!("{} of {}/{}{reach}, form {form:?}, until {until}", self.method, request.bucket, request.key)
        });
        Ok(Link { url, form: Some(form), public: false, expires: Some(self.expires.iso8601()), cookies })
    }

    fn s3_url(&self, exchange: &Exchange<'_>, request: &Request) -> Result<String> {
        if request.prefix.is_some() || request.source_ip.is_some() || request.starts.is_some() || request.hash.is_some() {
            return Err(invalid("form", "A presigned URL of S3 has no prefix, source_ip, starts or hash: use another form."));
        }
        let own = exchange.base_url();
        let presign = Presign {
            method: self.method.clone(),
            endpoint: request.base.as_deref().unwrap_or(&own),
            bucket: &request.bucket,
            key: &request.key,
            expires_seconds: self.seconds,
            now: exchange.now,
            query: &[],
        };
        exchange.gateway.auth.presign_for(exchange.caller, &presign)
    }

    fn cloudfront(&self, exchange: &Exchange<'_>, request: &Request, form: Form) -> Result<(String, BTreeMap<&'static str, String>)> {
        let place = self.place(exchange, request)?;
        let base = self.base(exchange, request, Some(&place))?;
        let url = format!("{base}{}", place.path);
        let within = match (form, &request.prefix) {
            (Form::Cookie, None) => Some(folder(&request.key)),
            (_, prefix) => prefix.as_deref(),
        };
        let resource = match within {
            None => url.clone(),
            Some(prefix) => format!("{base}{}*", place.path_of_prefix(&request.key, prefix).ok_or_else(|| bad_prefix(prefix))?),
        };
        let hash = match request.hash.as_deref() {
            None | Some("SHA256") => Hash::Sha256,
            Some("SHA1") => Hash::Sha1,
            Some(_) => return Err(invalid("hash", "SHA256 or SHA1 is needed.")),
        };
        let starts = request.starts.map(Timestamp::from_secs);
        let statement = Statement { resource: Some(resource), expires: self.expires, starts, source: self.source };
        let wanted = Wanted { bucket: &request.bucket, key: &request.key, statement: &statement, hash };
        let signature = exchange.gateway.auth.sign_cloudfront(&exchange.caller.identity, &wanted)?;
        Ok(match form {
            Form::Cookie => (url, signature.cookies().map(|(n, v)| (n, v.to_owned())).collect()),
            _ => (signature.on_url(&url), BTreeMap::new()),
        })
    }

    fn path_token(&self, exchange: &Exchange<'_>, request: &Request) -> Result<String> {
        if request.starts.is_some() || request.hash.is_some() {
            return Err(invalid("form", "A path token has no starts and no hash."));
        }
        let place = self.place(exchange, request)?;
        let base = self.base(exchange, request, Some(&place))?;
        let within = match (&request.prefix, folder(&request.key)) {
            (Some(prefix), _) if !request.key.as_str().starts_with(prefix.as_str()) => return Err(bad_prefix(prefix)),
            (Some(prefix), _) => Within::Prefix(format!("{}/{prefix}", request.bucket)),
            // The folder of all folders is more than was asked for.
            (None, "") => Within::Exactly(format!("{}/{}", request.bucket, request.key)),
            (None, folder) => Within::Prefix(format!("{}/{folder}", request.bucket)),
        };
        let tenant = exchange.caller.identity.id().clone();
        let token = PathToken { tenant, within, expires: self.expires, source: self.source };
        let token = exchange.gateway.auth.mint_path_token(&token)?;
        Ok(format!("{base}{}{token}{}", place.token_path, place.path))
    }

    fn place(&self, exchange: &Exchange<'_>, request: &Request) -> Result<OnSite> {
        exchange.gateway.settings.place_of(&request.bucket, &request.key).ok_or_else(|| {
            Error::new(ErrorKind::InvalidRequest, "No [[site]] of the edge door shows this object: use the form s3, or add a site.")
        })
    }

    fn base(&self, exchange: &Exchange<'_>, request: &Request, place: Option<&OnSite>) -> Result<String> {
        match (&request.base, place) {
            (Some(given), _) => {
                let given = given.trim_end_matches('/');
                match host_of(given) {
                    Some(_) => Ok(given.to_owned()),
                    None => Err(invalid("base", "Scheme and host are needed, such as https://cdn.example.com.")),
                }
            }
            (None, None) => Ok(exchange.base_url()),
            (None, Some(place)) => place.base.clone().ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidRequest,
                    "It is not known under which name browsers reach the site: set url in its [[site]], or give base.",
                )
            }),
        }
    }
}

/// A request that came by a link makes no other.
pub fn require_own(exchange: &Exchange<'_>) -> Result<()> {
    let text = "Links are made for requests that are signed in their Authorization header.";
    if exchange.caller.via.is_own() { Ok(()) } else { Err(Error::new(ErrorKind::AccessDenied, text)) }
}

/// A link that is signed by a session ends with it.
pub fn within_session(exchange: &Exchange<'_>, seconds: u64) -> u64 {
    let ends = exchange.caller.session.as_ref().map(|of| of.session.expires.secs());
    ends.map_or(seconds, |ends| seconds.min(ends.saturating_sub(exchange.now.secs())))
}

/// All of the key up to its last slash.
fn folder(key: &ObjectKey) -> &str {
    let key = key.as_str();
    key.rfind('/').and_then(|at| key.get(..=at)).unwrap_or("")
}

fn network(text: &str) -> Result<Network> {
    text.parse().map_err(|_| invalid("source_ip", "An address or a network is needed, such as 192.0.2.0/24."))
}

fn invalid(name: &'static str, text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", name)
}

fn bad_prefix(prefix: &str) -> Error {
    invalid("prefix", format!("The key does not begin with {prefix:?}, or the site does not show all of it."))
}
