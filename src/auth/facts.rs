//! What a request says of itself beside its signature: looked up where it is asked for, borrowed wherever it can be.
//!
//! Called by `authenticate` and by policy conditions.

use std::borrow::Cow;
use std::net::IpAddr;

use http::HeaderMap;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::auth::query::Query;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::{self, trim};
use crate::base::host::Host;
use crate::base::lock::LockAsked;
use crate::base::network::Network;
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;

/// Addresses looked at in an X-Forwarded-For header: more proxies than anyone chains.
const MAX_FORWARDED_ADDRESSES: usize = 16;

/// In the extensions of a request that a site's own CDN sent: it proved to be that, and asks for a viewer whom nobody here knows.
/// Put there by the edge door alone; nothing that comes over the wire can make one.
#[derive(Debug, Clone, Copy)]
pub struct FromProvenCdn;

/// What a door for browsers and CDNs knows beside the request.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Scheme and host that clients ask for, where a CDN or proxy in front asks for another.
    pub known_as: Option<&'a str>,
    /// What the door took off the front of the path.
    pub path_token: Option<&'a str>,
    /// Whether a host names the site that the request is for. What was signed for another site opens nothing here, whatever
    /// names a signature may be tried with.
    pub is_site: &'a dyn Fn(Host<'_>) -> bool,
}

/// The tags that conditions look at, as far as they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TagFacts<'a> {
    /// Of the object that is there. None: they were not looked up.
    pub existing: Option<&'a Tags>,
    /// That the request gives to an object. None: they stand in a body that was not read yet.
    pub given: Option<&'a Tags>,
}

/// What the door knows of a request before its body.
#[derive(Clone, Copy)]
pub struct RequestFacts<'a> {
    pub parts: &'a Parts,
    /// That of `parts`, decoded.
    pub query: &'a Query,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// TLS on this connection.
    pub secure: bool,
    pub now: Timestamp,
    pub tags: TagFacts<'a>,
    /// What it asks to be locked, as far as that was read.
    pub lock: LockAsked,
}

impl<'a> RequestFacts<'a> {
    /// What the header says, as everyone reads it: see `base::header`.
    pub fn header(&self, name: &str) -> Result<Option<&'a str>> {
        header::text(&self.parts.headers, name)
    }

    /// The host that was asked for, as a trusted proxy tells it. What is no host is not told.
    pub fn forwarded_host(&self, proxies: &[Network]) -> Option<Host<'a>> {
        let mut told = self.parts.headers.get_all("x-forwarded-host").iter();
        match (told.next(), told.next()) {
            // Of two the first may be the client's.
            (Some(value), None) if self.peer_is_trusted(proxies) => Host::parse(trim(value.to_str().ok()?)),
            _ => None,
        }
    }

    pub fn peer_is_trusted(&self, proxies: &[Network]) -> bool {
        is_trusted(proxies, self.peer)
    }

    pub fn source_ip(&self, proxies: &[Network]) -> IpAddr {
        source_ip(&self.parts.headers, self.peer, proxies)
    }

    /// TLS all the way from the client, as far as trusted proxies say so.
    pub fn is_secure(&self, proxies: &[Network]) -> bool {
        if !self.peer_is_trusted(proxies) {
            return self.secure;
        }
        match self.header("x-forwarded-proto") {
            Ok(Some(scheme)) => scheme.eq_ignore_ascii_case("https"),
            Ok(None) => self.secure,
            // Nobody can tell, so it is not shown to be.
            Err(_) => false,
        }
    }
}

/// Who asks: the peer, or where the peer is a trusted proxy, the last address in X-Forwarded-For that is not one.
/// Addresses further left are hearsay.
pub fn source_ip(headers: &HeaderMap, peer: IpAddr, proxies: &[Network]) -> IpAddr {
    let mut source = peer.to_canonical();
    let forwarded = headers.get_all("x-forwarded-for").iter().rev();
    let mut addresses = forwarded.flat_map(|v| v.to_str().unwrap_or_default().rsplit(',')).take(MAX_FORWARDED_ADDRESSES);
    while is_trusted(proxies, source) {
        let Some(Ok(address)) = addresses.next().map(|a| trim(a).parse::<IpAddr>()) else { break };
        source = address.to_canonical();
    }
    source
}

fn is_trusted(proxies: &[Network], address: IpAddr) -> bool {
    proxies.iter().any(|net| net.contains(address))
}

/// Names and values as signers wrote them, decoded; `+` is a space. For signatures alone: what a parameter means is `Query`'s.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|p| !p.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// In a signed request: which of two parameters of one name counts is no part of what is signed, since they are sorted there.
/// Also those that differ in case, which name one header.
pub(super) fn each_once(query: &str) -> Result<()> {
    if !query.contains('&') {
        return Ok(());
    }
    let mut names: Vec<Cow<'_, str>> = query_pairs(query).map(|(name, _)| name).collect();
    names.iter_mut().filter(|n| n.bytes().any(|c| c.is_ascii_uppercase())).for_each(|n| n.to_mut().make_ascii_lowercase());
    names.sort_unstable();
    match names.windows(2).find(|two| two[0] == two[1]) {
        None => Ok(()),
        Some(two) => Err(Error::new(ErrorKind::InvalidArgument, "A parameter of the signed request is there more than once.")
            .detail("ArgumentName", two[0].chars().filter(|c| !c.is_control()).take(64).collect::<String>())),
    }
}

pub fn decode(s: &str) -> Cow<'_, str> {
    if !s.bytes().any(|c| matches!(c, b'%' | b'+')) {
        return Cow::Borrowed(s);
    }
    if !s.contains('+') {
        return percent_decode_str(s).decode_utf8_lossy();
    }
    let spaced = s.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str, forwarded: &[&str]) -> String {
        let mut request = http::Request::get("/");
        for f in forwarded {
            request = request.header("x-forwarded-for", *f);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let facts = RequestFacts {
            parts: &parts,
            query: &Query::default(),
            peer: peer.parse().unwrap(),
            secure: false,
            now: Timestamp::from_secs(0),
            tags: TagFacts::default(),
            lock: LockAsked::default(),
        };
        facts.source_ip(&["10.0.0.0/8".parse().unwrap()]).to_string()
    }

    #[test]
    fn only_trusted_proxies_speak_for_others() {
        assert_eq!(source("1.2.3.4", &["9.9.9.9"]), "1.2.3.4");
        assert_eq!(source("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(source("10.0.0.1", &["9.9.9.9"]), "9.9.9.9");
        assert_eq!(source("::ffff:10.0.0.1", &["9.9.9.9"]), "9.9.9.9");
        assert_eq!(source("10.0.0.1", &["6.6.6.6, 9.9.9.9, 10.1.1.1"]), "9.9.9.9");
        assert_eq!(source("10.0.0.1", &["6.6.6.6", "9.9.9.9"]), "9.9.9.9");
        assert_eq!(source("10.0.0.1", &["9.9.9.9, junk"]), "10.0.0.1");
    }

    #[test]
    fn pairs_are_decoded() {
        let pairs: Vec<_> = query_pairs("a=1+2&b%20c=%2B&&d").map(|(n, v)| format!("{n}|{v}")).collect();
        assert_eq!(pairs, ["a|1 2", "b c|+", "d|"]);
    }
}
