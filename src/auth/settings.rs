//! What an operator can set of identity and policy, with the shipped defaults.

use std::collections::BTreeMap;
use std::path::Path;

use http::HeaderMap;

use crate::auth::fault::Fault;
use crate::auth::limits::Limits;
use crate::base::host::Host;
use crate::base::names::BucketName;
use crate::base::network::Network;

/// Each public host makes more candidates of a signature that failed.
const MAX_PUBLIC_HOSTS: usize = 8;

#[derive(Debug, Clone)]
pub struct Settings {
    /// What GetBucketLocation answers; the only region taken in signatures where `strict_region` is on.
    pub region: String,
    pub strict_region: bool,
    /// Canned ACLs count.
    pub acl: bool,
    /// SigV2 query signatures for GET, HEAD and PUT of objects: boto3 and aws-cli still presign with them by default.
    pub sigv2_presigned: bool,
    /// Base domains of virtual-host style addresses: `bucket.<domain>`.
    pub domains: Vec<String>,
    /// Names under which clients know this gateway when a proxy in front of it rewrites Host.
    pub public_hosts: Vec<String>,
    /// Whose X-Forwarded-* headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// What a proxy takes off the front of the path, such as `/s3`. Its first segment must not be a possible bucket name, or a
    /// signature for that bucket could be taken for one with the prefix.
    pub path_prefix: Option<String>,
    /// Of buckets, whoever uses them; without what a store holds them to.
    pub bucket_limits: BTreeMap<BucketName, Limits>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            region: "us-east-1".into(),
            strict_region: false,
            acl: true,
            sigv2_presigned: true,
            domains: Vec::new(),
            public_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            path_prefix: None,
            bucket_limits: BTreeMap::new(),
        }
    }
}

impl Settings {
    pub fn check(&self) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |path: &str, message: String| faults.push(Fault::new(Path::new(""), path, message));
        if self.public_hosts.len() > MAX_PUBLIC_HOSTS {
            fault("public_hosts", format!("at most {MAX_PUBLIC_HOSTS} names"));
        }
        for host in self.public_hosts.iter().chain(&self.domains) {
            if Host::parse(host).is_none() {
                fault("public_hosts", format!("{host:?} is not a host name, with or without a port"));
            }
        }
        if let Some(domain) = self.domains.iter().find(|d| Host::parse(d).is_some_and(|h| h.name() != d.as_str())) {
            fault("domains", format!("{domain:?}: a domain has no port, and no dot at its end"));
        }
        if let Some(prefix) = &self.path_prefix {
            let first = prefix.strip_prefix('/').and_then(|p| p.split('/').next());
            match first {
                _ if prefix.ends_with('/') || !prefix.bytes().all(plain_path_byte) => {
                    fault("path_prefix", "must not end in a slash, and be made of letters, digits, / - _ . ~ only".into());
                }
                Some(first) if !first.is_empty() && BucketName::parse(first).is_err() => {}
                _ => fault(
                    "path_prefix",
                    "must begin with a slash and a segment that can't be a bucket's name, such as /s3 or /_files".into(),
                ),
            }
        }
        if self.region.is_empty() || !self.region.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            fault("region", "letters, digits and - only".into());
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// The bucket that a request's Host names in virtual-host style: what it is routed to.
    pub fn bucket_in_host<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        // As a rule there are no domains.
        if self.domains.is_empty() { None } else { Host::of(headers).and_then(|host| self.bucket_of_host(host)) }
    }

    pub fn bucket_of_host<'h>(&self, host: Host<'h>) -> Option<&'h str> {
        let bases = || self.domains.iter().map(String::as_str);
        if bases().any(|base| host.has_name(base)) { None } else { label_below(host.name(), bases()) }
    }

    /// The bucket that the signer meant by this host: a public name is one to put a bucket before, too, whether or not
    /// a request that arrives under it is routed so.
    pub(super) fn bucket_meant_by<'h>(&self, host: Host<'h>) -> Option<&'h str> {
        let public = self.public_hosts.iter().filter_map(|p| Host::parse(p)).map(Host::name);
        let bases: Vec<&str> = self.domains.iter().map(String::as_str).chain(public).collect();
        if bases.iter().any(|base| host.has_name(base)) { None } else { label_below(host.name(), bases.into_iter()) }
    }
}

/// What stands before the longest base that the name ends with: of `b.eu.s3.test` it is `b` where `s3.test` and `eu.s3.test`
/// are bases.
fn label_below<'n, 'b>(name: &'n str, bases: impl Iterator<Item = &'b str>) -> Option<&'n str> {
    let below = |base: &str| {
        let (label, rest) = name.split_at_checked(name.len().checked_sub(base.len() + 1)?)?;
        let matches = rest.strip_prefix('.').is_some_and(|d| d.eq_ignore_ascii_case(base));
        (matches && !label.is_empty()).then_some(label)
    };
    bases.filter_map(below).min_by_key(|label| label.len())
}

/// Such a path is its own canonical form.
fn plain_path_byte(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'/' | b'-' | b'_' | b'.' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_hosts() {
        let s = Settings { domains: vec!["s3.example.com".into(), "eu.s3.example.com".into()], ..Settings::default() };
        for (host, bucket) in [
            ("b.s3.example.com", Some("b")),
            ("a.b.S3.example.com:9000", Some("a.b")),
            ("b.s3.example.com.", Some("b")),
            ("s3.example.com", None),
            ("eu.s3.example.com", None),
            ("b.eu.s3.example.com", Some("b")),
            ("xs3.example.com", None),
            ("example.com", None),
        ] {
            assert_eq!(s.bucket_of_host(Host::parse(host).unwrap()), bucket, "{host}");
        }
    }

    #[test]
    fn what_a_signers_host_means() {
        let s = Settings {
            domains: vec!["internal".into(), "s3.test".into()],
            public_hosts: vec!["cdn.test:8443".into(), "one.cdn.test".into(), "files.s3.test".into()],
            ..Settings::default()
        };
        for (host, bucket) in [
            ("cdn.test", None),
            ("two.cdn.test:1", Some("two")),
            ("one.cdn.test", None),
            ("a.one.cdn.test", Some("a")),
            ("files.s3.test", None),
            ("a.files.s3.test", Some("a")),
            ("b.s3.test", Some("b")),
            ("elsewhere.test", None),
        ] {
            assert_eq!(s.bucket_meant_by(Host::parse(host).unwrap()), bucket, "{host}");
        }
        assert!(s.check().is_ok());
        assert!(Settings { domains: vec!["s3.test:80".into()], ..Settings::default() }.check().is_err());
    }

    #[test]
    fn prefixes_that_could_be_buckets_are_refused() {
        let check = |p: &str| Settings { path_prefix: Some(p.into()), ..Settings::default() }.check().is_ok();
        assert!(Settings::default().check().is_ok());
        for good in ["/s3", "/_files", "/s3/files", "/Storage"] {
            assert!(check(good), "{good}");
        }
        for bad in ["", "/", "s3", "/s3/", "/storage", "/files/s3", "/a b"] {
            assert!(!check(bad), "{bad}");
        }
    }
}
