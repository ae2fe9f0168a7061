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
use crate::auth::facts::{RequestFacts, query_pairs};
use crate::auth::identity::{Caller, Carrier, Payload, Via};
use crate::auth::settings::host_is_legal;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::timestamp::Timestamp;
pub use fields::{Fields, from_cookies, from_query, has_query_form};
use fields::{Limit, PARAMETERS};
use statement::Statement;

impl Auth {
    /// `known_as`: scheme and host under which the world knows what is asked, where a CDN or proxy stands before this door.
    pub(super) fn authenticate_cloudfront(
        &self,
        facts: &RequestFacts<'_>,
        fields: &Fields<'_>,
        carrier: Carrier,
        known_as: Option<&str>,
    ) -> Result<Caller> {
        let directory = self.directory.load();
        let entry = directory.url_key(&fields.key_pair).ok_or_else(|| refused("Unknown Key-Pair-Id."))?;
        let urls = urls(facts, &self.settings.trusted_proxies, known_as);
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
            via: Via::CloudFront { carrier, expires: statement.expires },
            payload: Payload::Unsigned,
            reach: entry.reach.clone(),
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
fn urls(facts: &RequestFacts<'_>, trusted: &[ipnet::IpNet], known_as: Option<&str>) -> Vec<String> {
    let uri = &facts.parts.uri;
    let host = uri.authority().map(|a| a.as_str()).or_else(|| facts.header("host"));
    let scheme = if facts.is_secure(trusted) { "https" } else { "http" };
    let forwarded = facts.header("x-forwarded-host").filter(|_| facts.peer_is_trusted(trusted)).map(str::trim);
    // The Host is the client's own word: a slash in it would move the path that the signature is for.
    let hosts = [host, forwarded].into_iter().flatten().filter(|h| host_is_legal(h));
    let bases = hosts.map(|h| format!("{scheme}://{}", h.to_ascii_lowercase())).chain(known_as.map(str::to_owned));
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

fn refused(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::AccessDenied, text)
}

fn mismatch() -> Error {
    refused("The signature does not match: it must be made by the named key pair for exactly this URL.")
}
