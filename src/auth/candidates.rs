//! What CDNs and proxies rewrite of a signed request, as a small bounded set of forms that the signature may have been made
//! for. A signature that fits one of them proves that the key's holder signed that request.
//!
//! Safety: a Host is only ever replaced by a name from the operator's list, and by none that means another bucket than the one
//! that the request is routed to; a path prefix only counts under such a name. So a signature made for another service, or for
//! another bucket, never fits. Where a host also names a site, the edge door asks that it is the same (`reader`).

use http::header::ACCEPT_ENCODING;

use crate::auth::canonical::{PathForm, Request, Rewrite};
use crate::auth::facts::RequestFacts;
use crate::auth::settings::Settings;
use crate::base::host::{Host, text_of};

/// Each costs one hash of the request and one HMAC, about 3 µs: the most that a forged signature can make us work.
pub const MAX_CANDIDATES: usize = 32;

/// What SDKs send, and what nginx, CloudFront and others make of it; "" is an absent header.
const ACCEPT_ENCODINGS: [&str; 7] =
    ["identity", "gzip", "", "gzip, deflate", "gzip, deflate, br", "gzip,deflate", "gzip, deflate, br, zstd"];

pub struct Candidates<'a> {
    hosts: Vec<String>,
    accept_encoding_is_signed: bool,
    path_differs_as_sent: bool,
    prefix: Option<&'a str>,
    /// The Host that arrived is one of the public names itself.
    arrived_public: bool,
}

impl<'a> Candidates<'a> {
    pub fn new(settings: &'a Settings, facts: &RequestFacts<'_>, request: &Request<'_>) -> Self {
        let arrived = Host::of(request.headers);
        let mut canonical_path = Vec::new();
        crate::auth::canonical::encode_again(request.path.as_bytes(), crate::auth::canonical::Part::Path, &mut canonical_path);
        Candidates {
            hosts: hosts(settings, facts, arrived),
            accept_encoding_is_signed: request.signed_headers.split(';').any(|n| n == ACCEPT_ENCODING.as_str()),
            path_differs_as_sent: canonical_path != request.path.as_bytes(),
            prefix: settings.path_prefix.as_deref(),
            arrived_public: arrived.is_some_and(|host| settings.bucket_of_host(host).is_none() && is_public(settings, host)),
        }
    }

    /// All but the form that arrived; those with the fewest changes first.
    pub fn rewrites(&self) -> Vec<Rewrite<'_>> {
        let hosts = std::iter::once(None).chain(self.hosts.iter().map(|h| Some(h.as_str())));
        let encodings: Vec<Option<&str>> = match self.accept_encoding_is_signed {
            true => std::iter::once(None).chain(ACCEPT_ENCODINGS.into_iter().map(Some)).collect(),
            false => vec![None],
        };
        let mut all = Vec::new();
        for host in hosts {
            let mut paths = vec![PathForm::Encoded];
            if self.path_differs_as_sent {
                paths.push(PathForm::AsSent);
            }
            if let Some(prefix) = self.prefix.filter(|_| host.is_some() || self.arrived_public) {
                paths.push(PathForm::Prefixed(prefix));
            }
            for path in paths {
                for accept_encoding in &encodings {
                    all.push(Rewrite { host, accept_encoding: *accept_encoding, path, payload_hash: None });
                }
            }
        }
        let changes =
            |r: &Rewrite<'_>| u8::from(r.host.is_some()) + u8::from(r.accept_encoding.is_some()) + u8::from(r.path != PathForm::Encoded);
        all.retain(|r| changes(r) > 0);
        all.sort_by_key(changes);
        all.truncate(MAX_CANDIDATES);
        all
    }
}

fn is_public(settings: &Settings, host: Host<'_>) -> bool {
    settings.public_hosts.iter().filter_map(|p| Host::parse(p)).any(|public| host.has_name(public.name()))
}

/// The public names, with and without port. In virtual-host style with the very bucket that the arrived Host names: another
/// one would turn a signature for that bucket into one for this.
fn hosts(settings: &Settings, facts: &RequestFacts<'_>, arrived: Option<Host<'_>>) -> Vec<String> {
    let routed = arrived.and_then(|host| settings.bucket_of_host(host));
    let mut hosts: Vec<String> = Vec::new();
    let mut add = |name: &str, port: Option<&str>| {
        let host = port.map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    };
    // A trusted proxy knows what was asked for; still only a name from the list.
    let forwarded = facts.forwarded_host(&settings.trusted_proxies);
    for public in settings.public_hosts.iter().filter_map(|p| Host::parse(p)) {
        let name = match routed {
            Some(bucket) => format!("{bucket}.{}", public.name()),
            None => public.name().to_owned(),
        };
        // Whatever it was put together from: what counts is what it means to who signs for it.
        if Host::parse(&name).is_none_or(|host| settings.bucket_meant_by(host) != routed) {
            continue;
        }
        if let Some(asked_for) = forwarded.filter(|f| f.has_name(&name)) {
            add(&name, asked_for.port());
        }
        add(&name, public.port());
        add(&name, None);
        add(&name, arrived.and_then(Host::port));
    }
    hosts.retain(|host| Some(host.as_str()) != text_of(&facts.parts.headers));
    hosts
}

/// What an operator should look at where nothing fitted. `genuine` only ever says here that a name is missing in the list; it
/// lets nobody in.
pub fn advice(facts: &RequestFacts<'_>, request: &Request<'_>, genuine: impl Fn(&Rewrite<'_>) -> bool) -> Option<String> {
    if let Ok(Some(host)) = facts.header("x-forwarded-host")
        && genuine(&Rewrite { host: Some(host), ..Rewrite::default() })
    {
        return Some("A proxy rewrote the Host header: the signature is for the one in X-Forwarded-Host. Name it in public_hosts.".into());
    }
    let missing: Vec<&str> = request.signed_headers.split(';').filter(|n| *n != "host" && !request.headers.contains_key(*n)).collect();
    if !missing.is_empty() {
        return Some(format!("Signed headers did not arrive and were probably removed by a proxy: {}.", missing.join(", ")));
    }
    let proxied = ["via", "x-forwarded-for", "x-amz-cf-id", "cf-ray"].iter().any(|n| facts.parts.headers.contains_key(*n));
    proxied.then(|| {
        let suspects: Vec<&str> =
            request.signed_headers.split(';').filter(|n| matches!(*n, "host" | "accept-encoding" | "user-agent" | "range")).collect();
        format!("The request came through a proxy, which may have rewritten a signed header: {}.", suspects.join(", "))
    })
}
