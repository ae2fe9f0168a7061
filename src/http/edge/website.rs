//! A bucket's website on the site that shows it: index documents, redirects, error documents, as S3's website endpoints have them.
//!
//! It is honoured where a site shows one whole bucket, since its paths begin at the root of a host. Who may read stays the same: the
//! error document is read with the caller's own right.
//! Invariants: a request is sent to its own host by a path alone, which never begins with two slashes; to another only where the
//! bucket's owner, or the object's writer, named that one.

use std::sync::Arc;

use http::header::{ACCEPT_RANGES, ETAG, HeaderMap, LAST_MODIFIED, LOCATION};
use http::{HeaderValue, StatusCode};

use crate::auth::Action;
use crate::auth::canonical::{Part, encode_plain};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{Bucket, BucketDocument, ObjectInfo};
use crate::http::edge::site::Site;
use crate::http::exchange::Exchange;
use crate::http::gateway::Gateway;
use crate::http::read::{self, Read};
use crate::http::respond::{self, Answer, code_and_status, value};
use crate::http::s3::website::rules::{SentTo, Website};
use crate::ops::read::Shown;
use crate::origin::Freshness;

/// The website that the site shows of the bucket.
pub fn of(gateway: &Gateway, site: &Site, bucket: &Bucket) -> Option<Arc<Website>> {
    if site.bucket.is_none() || !site.prefix.is_empty() {
        return None;
    }
    let document = bucket.documents.get(&BucketDocument::Website)?;
    gateway.websites.of(bucket, document, Website::parse)
}

/// The same, where the bucket was not looked up yet.
pub async fn of_site(gateway: &Gateway, site: &Site) -> Result<Option<Arc<Website>>> {
    let Some(bucket) = &site.bucket else { return Ok(None) };
    let found = gateway.ops.bucket_for_decision(bucket).await?;
    Ok(found.and_then(|found| of(gateway, site, &found)))
}

/// What a path shows that names no object by itself: the root, or a folder. None: the site has no such thing.
pub fn index(website: &Website, key: &str) -> Option<String> {
    match website {
        Website::Pages(pages) if key.is_empty() || key.ends_with('/') => Some(format!("{key}{}", pages.index)),
        // Nobody looks at it: every request is sent on.
        Website::Elsewhere(_) if key.is_empty() => Some("/".to_owned()),
        Website::Pages(_) | Website::Elsewhere(_) => None,
    }
}

/// Where the site sends a request for what is there.
pub fn redirect(exchange: &Exchange<'_>, website: &Website, asked: &str, object: &ObjectInfo) -> Option<Answer> {
    if let Some(sent) = website.sends(asked, None) {
        return sent_to(exchange, &sent);
    }
    let location = object.headers.website_redirect.as_deref()?;
    sent(StatusCode::MOVED_PERMANENTLY, location)
}

/// What the site answers in place of `failed`. None: that.
pub async fn instead(exchange: &Exchange<'_>, website: &Website, bucket: &BucketName, asked: &str, failed: &Error) -> Option<Answer> {
    let status = code_and_status(failed.kind()).1;
    if let Some(sent) = website.sends(asked, None).or_else(|| website.sends(asked, Some(status))) {
        return sent_to(exchange, &sent);
    }
    let Website::Pages(pages) = website else { return None };
    if failed.kind() == ErrorKind::NoSuchKey && !asked.is_empty() && !asked.ends_with('/') {
        let folder = format!("{asked}/");
        if shown(exchange, bucket, &format!("{folder}{}", pages.index), true).await.is_some() {
            return sent(StatusCode::FOUND, &path(&folder));
        }
    }
    let head = exchange.parts.method == http::Method::HEAD;
    let mut answer = shown(exchange, bucket, pages.error.as_deref()?, head).await?;
    *answer.status_mut() = StatusCode::from_u16(status).ok()?;
    // They are of the document, and not of what was asked for.
    [ETAG, LAST_MODIFIED, ACCEPT_RANGES].iter().for_each(|name| _ = answer.headers_mut().remove(name));
    Some(answer)
}

/// All of an object, if the caller may read it.
async fn shown(exchange: &Exchange<'_>, bucket: &BucketName, key: &str, head: bool) -> Option<Answer> {
    let key = ObjectKey::parse(key).ok()?;
    let (found, object, _) = exchange.look_up_to_read(bucket, &key, Freshness::Cached, None).await.ok()?;
    let grant = exchange.authorize_object(Action::GetObject, &found, exchange.named(bucket, &key), Some(&object)).await.ok()?;
    let whole = Read::from_headers(&HeaderMap::new(), head, exchange.reads_by());
    read::answer(&exchange.gateway.ops, &grant, Shown::stored(&object), &whole).await.ok()?
}

fn sent_to(exchange: &Exchange<'_>, to: &SentTo<'_>) -> Option<Answer> {
    let path = path_of(to.written, &to.rest);
    if to.host.is_none() && to.scheme.is_none() {
        return sent(to.code, &path);
    }
    let own = exchange.base_url();
    let (own_scheme, own_host) = own.split_once("://")?;
    let scheme = to.scheme.map_or(own_scheme, |scheme| scheme.name());
    sent(to.code, &format!("{scheme}://{}{path}", to.host.unwrap_or(own_host)))
}

fn sent(code: StatusCode, location: &str) -> Option<Answer> {
    let mut answer = respond::empty(code);
    answer.headers_mut().insert(LOCATION, value(location)?);
    answer.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(0));
    Some(answer)
}

fn path(key: &str) -> String {
    path_of("", key)
}

/// The path of what was `written` by the owner, who may mean a fragment or a query, and of the `rest`, which a stranger chose.
fn path_of(written: &str, rest: &str) -> String {
    let mut out = b"/".to_vec();
    for byte in written.bytes() {
        match byte {
            // A second slash would make a host of what follows.
            b'/' if out.len() == 1 => out.extend_from_slice(b"%2F"),
            b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            byte if byte.is_ascii_graphic() => out.push(byte),
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    let rest = match (out.len(), rest.strip_prefix('/')) {
        (1, Some(behind)) => {
            out.extend_from_slice(b"%2F");
            behind
        }
        _ => rest,
    };
    encode_plain(rest.as_bytes(), Part::Path, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_on_its_host() {
        for (written, rest, expected) in [
            ("", "a b/c", "/a%20b/c"),
            ("", "/evil.example/", "/%2Fevil.example/"),
            ("", "\\evil.example", "/%5Cevil.example"),
            ("/evil.example", "", "/%2Fevil.example"),
            ("#!/", "x?y#z", "/#!/x%3Fy%23z"),
            ("documents/", "//a", "/documents///a"),
            ("a\u{e9} ", "", "/a%C3%A9%20"),
        ] {
            assert_eq!(path_of(written, rest), expected);
        }
    }
}
