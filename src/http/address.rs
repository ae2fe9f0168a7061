//! Which host a request is for. Decided here, once, before anything looks at it; from here on `Host` is the one place where
//! it stands, and the URI is path and query only.
//!
//! A request can name its host in two places: in the target (absolute-form of HTTP/1, `:authority` of HTTP/2) and in `Host`.
//! Were one of them signed and the other routed by, a link to one bucket would open another. So:
//! - both: they must be the same host; names know no case, and a port that is not written is that of the target's scheme
//!   (80, 443). `Host` stands as it was sent: its text is what HTTP/1 clients sign.
//! - the target alone (HTTP/2 as a rule): it becomes the `Host`.
//! - `Host` alone: as it is. Neither: HTTP/1.0 only.
//!
//! Refused: two `Host`s, what is no host (`base::host`), another scheme than http and https, and a target without a path: the
//! authority-form of CONNECT and the asterisk-form of OPTIONS have no meaning here.
//! Called by the door for every request; the usual HTTP/1 request is only looked at. Pure.

use http::header::HOST;
use http::uri::{Parts, Scheme};
use http::{HeaderMap, HeaderValue, Request, Uri, Version};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::host::Host;

/// Err leaves the request as it is: it is refused, and the log shows what came.
pub fn settle<B>(request: &mut Request<B>) -> Result<()> {
    let named = the_one_host(request.headers())?;
    if request.uri().scheme().is_some() || request.uri().authority().is_some() {
        return settle_absolute(request);
    }
    if !request.uri().path().starts_with('/') {
        return Err(refused("The request's target must be a path, or a URL with one."));
    }
    match named {
        None if request.version() > Version::HTTP_10 => Err(refused("The request names no host: a Host header is needed.")),
        _ => Ok(()),
    }
}

/// With the host in the target, too.
fn settle_absolute<B>(request: &mut Request<B>) -> Result<()> {
    let uri = request.uri();
    let default_port = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => 80,
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        Some(_) => return Err(refused("Only http and https are spoken here.")),
        None => return Err(refused("The request's target is a host without a path: this is no proxy.")),
    };
    if !uri.path().starts_with('/') {
        return Err(refused("The request's target must be a path, or a URL with one."));
    }
    let authority = uri.authority().map_or("", |a| a.as_str());
    let targeted = Host::parse(authority).ok_or_else(no_host)?;
    let host = match the_one_host(request.headers())? {
        Some(named) if named.is_same(targeted, default_port) => None,
        Some(_) => return Err(refused("The request names two hosts: its target and its Host header differ.")),
        None => Some(HeaderValue::from_str(authority).map_err(|_| no_host())?),
    };
    let mut origin_form = Parts::default();
    origin_form.path_and_query = uri.path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(origin_form).map_err(|_| refused("The request's target is no URL."))?;
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    Ok(())
}

/// What stands between could go by one of several and we by another (RFC 9112 3.2).
fn the_one_host(headers: &HeaderMap) -> Result<Option<Host<'_>>> {
    let mut values = headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().ok().and_then(Host::parse).map(Some).ok_or_else(no_host),
        (Some(_), Some(_)) => Err(refused("The request has more than one Host header.")),
    }
}

fn no_host() -> Error {
    refused("The request's host must be a name or an address, with a port or without.")
}

fn refused(text: &'static str) -> Error {
    Error::new(ErrorKind::BadRequest, text)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn settled(version: Version, target: &str, hosts: &[&str]) -> Result<(String, Option<String>), ()> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        let mut request = request.body(()).map_err(drop)?;
        settle(&mut request).map_err(drop)?;
        assert!(request.uri().authority().is_none() && request.uri().scheme().is_none());
        let host = request.headers().get(HOST).map(|h| h.to_str().unwrap().to_owned());
        Ok((request.uri().to_string(), host))
    }

    #[test]
    fn one_form_of_many() {
        let is = |target: &str, host: &str| Ok((target.to_owned(), Some(host.to_owned())));
        let (v1, v2) = (Version::HTTP_11, Version::HTTP_2);
        assert_eq!(settled(v1, "/b/k?x=1", &["a.test"]), is("/b/k?x=1", "a.test"));
        assert_eq!(settled(v1, "http://a.test/b/k?x=1", &["a.test"]), is("/b/k?x=1", "a.test"));
        assert_eq!(settled(v1, "http://A.test/b//../k", &["a.TEST:80"]), is("/b//../k", "a.TEST:80"), "the text that was signed");
        assert_eq!(settled(v1, "https://a.test:443/", &["a.test"]), is("/", "a.test"));
        assert_eq!(settled(v1, "http://a.test", &["a.test"]), is("/", "a.test"));
        assert_eq!(settled(v2, "https://a.test:9000/b/k", &[]), is("/b/k", "a.test:9000"));
        assert_eq!(settled(v2, "https://a.test/b/k", &["a.test"]), is("/b/k", "a.test"));
        assert_eq!(settled(v2, "/b/k", &["a.test"]), is("/b/k", "a.test"), "HTTP/2 without :authority");
        assert_eq!(settled(Version::HTTP_10, "/b/k", &[]), Ok(("/b/k".into(), None)));
        assert_eq!(settled(Version::HTTP_10, "http://a.test/b/k", &[]), is("/b/k", "a.test"));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            for (target, hosts) in [
                ("http://priv.s3.test/x", &["pubb.s3.test"][..]),
                ("http://a.test/x", &["a.test:81"]),
                ("http://a.test:443/x", &["a.test"]),
                ("https://a.test:80/x", &["a.test"]),
                ("http://a.test/x", &[""]),
                ("http://a.test/x", &["a.test", "a.test"]),
                ("/x", &["a.test", "b.test"]),
                ("/x", &["a.test", "a.test"]),
                ("/x", &[""]),
                ("/x", &["a.test, b.test"]),
                ("/x", &["u@a.test"]),
                ("/x", &["a.test/y"]),
                ("/x", &["a.test:80x"]),
                ("/x", &["a b"]),
                ("http://u@a.test/x", &[]),
                ("http://u@a.test/x", &["a.test"]),
                ("ftp://a.test/x", &["a.test"]),
                ("a.test:80", &["a.test:80"]),
                ("a.test", &["a.test"]),
                ("*", &["a.test"]),
            ] {
                assert_eq!(settled(version, target, hosts), Err(()), "{version:?} {target} {hosts:?}");
            }
        }
        assert!(settled(Version::HTTP_11, "/x", &[]).is_err() && settled(Version::HTTP_2, "/x", &[]).is_err());
        let mut latin = Request::builder().uri("/x").header("host", HeaderValue::from_bytes(b"a\xe9.test").unwrap()).body(()).unwrap();
        assert!(settle(&mut latin).is_err());
        let mut connect = Request::builder().method(Method::CONNECT).uri("a.test:443").header("host", "a.test:443").body(()).unwrap();
        assert!(settle(&mut connect).is_err());
    }
}
