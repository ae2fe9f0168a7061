//! CloudFront's signed URLs and signed cookies, verified and minted: the same ones open this gateway directly and through a
//! distribution that trusts the same key. Canned policy (`Expires`) and custom (`Policy`), RSA and ECDSA, SHA-1 and SHA-256.
//!
//! Not here: the statement (`statement`), the keys and their files (`url_key`, `url_keys`), which doors take them (`reader`).
//! Invariants: a signature speaks for the one tenant that its key's file names, and opens what that tenant may read; nothing of
//! a policy is looked at before its signature is proven; the signed URL is one under which the door was really asked.

mod fields;
pub mod mint;
pub mod statement;

use std::net::IpAddr;

use crate::auth::Auth;
use crate::auth::facts::{Reading, RequestFacts, query_pairs};
use crate::auth::identity::{Caller, Carrier, Via};
use crate::auth::payload::Payload;
use crate::base::error::{Error, Result};
use crate::base::host::{Host, host_of, text_of};
use crate::base::network::Network;
use crate::base::timestamp::Timestamp;
pub use fields::{Fields, from_cookies, from_query, has_query_form};
use fields::{Limit, PARAMETERS, refused};
use statement::Statement;

impl Auth {
    pub(super) fn authenticate_cloudfront(
        &self,
        facts: &RequestFacts<'_>,
        fields: &Fields<'_>,
        carrier: Carrier,
        reading: Reading<'_>,
    ) -> Result<Caller> {
        let directory = self.directory.load();
        let entry = directory.url_key(&fields.key_pair).ok_or_else(|| refused("Unknown Key-Pair-Id."))?;
        let urls = urls(facts, &self.settings.trusted_proxies, reading);
        let statement = match &fields.limit {
            Limit::Canned(epoch) => {
                let genuine = |url: &String| entry.key.verify(fields.hash, statement::canned(url, *epoch).as_bytes(), &fields.signature);
                if !urls.iter().any(genuine) {
                    return Err(mismatch());
                }
                Statement { resource: None, expires: Timestamp::from_secs(*epoch), starts: None, source: None }
            }
            Limit::Custom(policy) => {
                if !entry.key.verify(fields.hash, policy, &fields.signature) {
                    return Err(mismatch());
                }
                let statement = Statement::parse(policy).map_err(|e| refused(format!("The signed policy is malformed: {e}.")))?;
                if !urls.iter().any(|url| statement.covers(url)) {
                    return Err(refused("The signed policy is for another URL."));
                }
                statement
            }
        };
        check_conditions(&statement, facts.now, facts.source_ip(&self.settings.trusted_proxies))?;
        Ok(Caller {
            identity: entry.identity.clone(),
            access_key: None,
            session: None,
            via: Via::CloudFront {
                carrier,
                one_url: statement.is_for_one_url() || matches!(fields.limit, Limit::Canned(_)),
                expires: statement.expires,
            },
            payload: Payload::Unsigned,
            reach: entry.reach.clone(),
            signed_for: None,
        })
    }
}

fn check_conditions(statement: &Statement, now: Timestamp, source: IpAddr) -> Result<()> {
    if now >= statement.expires {
        return Err(refused("The signature has expired.")
            .detail("Expires", statement.expires.iso8601())
            .detail("ServerTime", now.iso8601()));
    }
    if statement.starts.is_some_and(|s| now <= s) {
        return Err(refused("The signature is not valid yet.").detail("ServerTime", now.iso8601()));
    }
    if !statement.admits(source) {
        return Err(refused("The signature is not for this client's address."));
    }
    Ok(())
}

/// What the signer may have signed: the URL as it was asked for, without the parameters of the signature. One or two, three
/// behind a trusted proxy.
fn urls(facts: &RequestFacts<'_>, trusted: &[Network], reading: Reading<'_>) -> Vec<String> {
    let uri = &facts.parts.uri;
    let scheme = if facts.is_secure(trusted) { "https" } else { "http" };
    let headers = &facts.parts.headers;
    let asked = Host::of(headers).and(text_of(headers)).map(|host| format!("{scheme}://{}", host.to_ascii_lowercase()));
    // What else it may have been signed for must name the site that the request is for: another site shows other objects.
    let forwarded = facts.forwarded_host(trusted).filter(|host| (reading.is_site)(*host)).map(|host| format!("{scheme}://{host}"));
    let known_as = reading.known_as.filter(|url| host_of(url).is_some_and(reading.is_site)).map(str::to_owned);
    let bases = asked.into_iter().chain(forwarded).chain(known_as);
    let rest = match uri.query().map(without_parameters).filter(|q| !q.is_empty()) {
        Some(query) => format!("{}?{query}", uri.path()),
        None => uri.path().to_owned(),
    };
    let mut urls: Vec<String> = bases.map(|base| base + &rest).collect();
    urls.dedup();
    urls
}

/// The query as it was before it was signed.
fn without_parameters(query: &str) -> String {
    let own = |pair: &&str| query_pairs(pair).any(|(name, _)| PARAMETERS.contains(&&*name));
    query.split('&').filter(|pair| !own(pair)).collect::<Vec<_>>().join("&")
}

fn mismatch() -> Error {
    refused("The signature does not match: it must be made by the named key pair for exactly this URL.")
}
