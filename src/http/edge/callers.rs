//! Who may ask a site at all: callers that prove to be its CDN. Each proof that a site names must hold, and what proves
//! nothing is refused before anything is looked up.
//!
//! - a secret header that only the CDN knows, with two live values so that it can be changed without a gap
//! - the network that the connection comes from (an addition to the others: addresses of a CDN serve all its customers)
//! - a client certificate, on an `edge.mtls_listen` address
//!
//! Not here: who the viewer is, and what he may read (`auth`): a proven CDN has no rights but those that a policy gives on the
//! condition `tidegate:ProvenCdn`.
//! Invariants: the secret is compared in constant time, is taken out of the request once it was checked, and is never
//! written by `Debug`. Secrets that were not loaded match nothing.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName};

use crate::auth::facts::FromProvenCdn;
use crate::auth::live_secrets::Secrets;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::network::Network;
use crate::net::service::Peer;

/// A request id of CloudFront is 56 characters.
const MAX_CDN_ID_BYTES: usize = 128;

/// Names that CloudFront can't send as a custom header (its list), and those that it or this gateway gives a meaning.
const TAKEN: [&str; 34] = [
    "accept-encoding",
    "authorization",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "request-range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "warning",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// The proofs that a site asks for. None named: anyone may ask.
#[derive(Debug, Clone, Default)]
pub struct Callers {
    pub header: Option<SecretHeader>,
    pub networks: Vec<Network>,
    pub certificate: Option<Certificate>,
}

#[derive(Debug, Clone)]
pub struct SecretHeader {
    pub name: HeaderName,
    pub secrets: Arc<Secrets>,
}

#[derive(Debug, Clone, Default)]
pub struct Certificate {
    /// One of these must be a name of the certificate. Empty: any that an authority in `tls.client_ca` vouches for.
    pub names: Vec<String>,
}

/// The caller gave every proof that its site asks for, and the site asks for some. Made here only.
#[derive(Debug, Clone, Copy)]
pub struct ProvenCdn(());

impl Callers {
    pub fn anyone(&self) -> bool {
        self.header.is_none() && self.networks.is_empty() && self.certificate.is_none()
    }

    /// None: the site asks for no proof.
    pub fn check(&self, parts: &mut Parts, peer: &Peer) -> Result<Option<ProvenCdn>> {
        if self.anyone() {
            return Ok(None);
        }
        let by_header = self.header.as_ref().is_none_or(|h| h.is_shown(&parts.headers));
        if let Some(header) = &self.header {
            // Nothing behind this has a use for it.
            parts.headers.remove(&header.name);
        }
        let by_network = self.networks.is_empty() || self.networks.iter().any(|n| n.contains(peer.address.ip()));
        let by_certificate = self.certificate.as_ref().is_none_or(|c| c.is_held_by(peer));
        if by_header && by_network && by_certificate {
            parts.extensions.insert(FromProvenCdn);
            return Ok(Some(ProvenCdn(())));
        }
        tracing::debug!(peer = %peer.address, by_header, by_network, by_certificate, "not a caller that the site allows");
        Err(Error::new(ErrorKind::AccessDenied, "This address is served through its CDN only."))
    }
}

impl Certificate {
    fn is_held_by(&self, peer: &Peer) -> bool {
        peer.client.as_ref().is_some_and(|client| self.names.is_empty() || self.names.iter().any(|n| client.has_name(n)))
    }
}

impl SecretHeader {
    /// Why a header of that name can't carry a secret from CloudFront; None: it can.
    pub fn refusal(name: &str) -> Option<&'static str> {
        let name = name.to_ascii_lowercase();
        if HeaderName::try_from(name.as_str()).is_err() {
            return Some("a header's name such as \"x-origin-verify\"");
        }
        let taken = TAKEN.contains(&name.as_str()) || name.starts_with("x-amz-") || name.starts_with("x-edge-");
        taken.then_some("a header that CloudFront can add and nothing else uses, such as \"x-origin-verify\"")
    }

    /// Shown once: a second value is not the CDN's doing.
    fn is_shown(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(&self.name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => self.secrets.holds(value.as_bytes()),
            _ => false,
        }
    }
}

/// CloudFront's own id of the request, for the log and for error documents; what does not look like one is left out.
pub fn cdn_request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("x-amz-cf-id")?.to_str().ok()?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=' | b'+' | b'/' | b'.' | b'~');
    ((1..=MAX_CDN_ID_BYTES).contains(&id.len()) && id.bytes().all(legal)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::live_secrets::Source;
    use crate::telemetry::metrics::Door;
    use http::HeaderValue;

    const OLD: &str = "the-old-secret-of-the-cdn";
    const NEW: &str = "the-new-secret-of-the-cdn";

    fn peer(address: &str) -> Peer {
        let local = "127.0.0.1:1".parse().unwrap();
        Peer { address: address.parse().unwrap(), local, door: Door::Edge, secure: false, client: None, connection: 1 }
    }

    fn with_header() -> (Callers, Arc<Secrets>) {
        let secrets = Arc::new(Secrets::new(vec![Source::Environment("OLD".into()), Source::Environment("NEW".into())]));
        let header = SecretHeader { name: HeaderName::from_static("x-origin-verify"), secrets: secrets.clone() };
        (Callers { header: Some(header), ..Callers::default() }, secrets)
    }

    fn environment(name: &str) -> Option<String> {
        Some(if name == "OLD" { OLD } else { NEW }.to_owned())
    }

    fn asks(callers: &Callers, values: &[&str], from: &str) -> bool {
        let mut parts = http::Request::new(()).into_parts().0;
        for value in values {
            parts.headers.append("x-origin-verify", HeaderValue::from_str(value).unwrap());
        }
        let proven = callers.check(&mut parts, &peer(from));
        assert!(!parts.headers.contains_key("x-origin-verify") || callers.header.is_none(), "the secret goes no further");
        proven.is_ok()
    }

    #[test]
    fn two_values_are_live_and_nothing_else_is() {
        let (callers, secrets) = with_header();
        assert!(!asks(&callers, &[OLD], "10.0.0.1:1"), "not loaded yet: nothing matches");
        secrets.load(&environment).unwrap();
        assert!(asks(&callers, &[OLD], "10.0.0.1:1"));
        assert!(asks(&callers, &[NEW], "10.0.0.1:1"));
        for wrong in [&[][..], &[""], &["the-old-secret-of-the-cdN"], &[&OLD[1..]], &[OLD, OLD], &[OLD, "x"]] {
            assert!(!asks(&callers, wrong, "10.0.0.1:1"), "{wrong:?}");
        }
    }

    #[test]
    fn every_proof_that_is_named_must_hold() {
        let (mut callers, secrets) = with_header();
        secrets.load(&environment).unwrap();
        callers.networks = vec!["10.0.0.0/8".parse().unwrap()];
        assert!(asks(&callers, &[OLD], "10.1.2.3:1"));
        assert!(asks(&callers, &[OLD], "[::ffff:10.1.2.3]:1"), "as a socket for both families tells it");
        assert!(!asks(&callers, &[OLD], "11.1.2.3:1"));
        assert!(!asks(&callers, &[], "10.1.2.3:1"));
        callers.certificate = Some(Certificate::default());
        assert!(!asks(&callers, &[OLD], "10.1.2.3:1"));
        assert!(asks(&Callers::default(), &[], "11.1.2.3:1"), "no proof asked for");
    }

    #[test]
    fn headers_that_cloudfront_cannot_send() {
        for bad in ["X-Amz-Secret", "x-edge-key", "Host", "Cache-Control", "Range", "Via", "a b", "", "Authorization"] {
            assert!(SecretHeader::refusal(bad).is_some(), "{bad}");
        }
        for good in ["x-origin-verify", "X-Tidegate-Key"] {
            assert!(SecretHeader::refusal(good).is_none(), "{good}");
        }
    }

    #[test]
    fn ids_that_can_stand_in_a_log() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-cf-id", HeaderValue::from_str(value).unwrap());
            cdn_request_id(&headers).map(str::to_owned)
        };
        let real = "aBcD-_1w1-LhRqZrV6ZRtw1yAmtQA5L5gw4m9oOkXTX-dYzXZqaA==";
        assert_eq!(of(real).as_deref(), Some(real));
        for bad in ["", "a b", "<x>", &"a".repeat(129)] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
