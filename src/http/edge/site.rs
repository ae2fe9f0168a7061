//! A site: the host names that show a part of one bucket (or every bucket by its name), and the rules they show it by.
//!
//! Not here: how it is written in `gateway.toml` (`config::sites`), what a rule does to an answer (`cache`, `compress`, `cors`, `isolation`).
//! Invariant: finding the site of a request costs one look-up, however many there are.

use std::collections::HashMap;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderName};

use crate::auth::query::decode;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::host::{Host, host_of};
use crate::base::names::{BucketName, ObjectKey};
use crate::cdn::{Distribution, Shown};
use crate::http::edge::cache;
use crate::http::edge::callers::Callers;
use crate::http::edge::compress;
use crate::http::edge::cors::Cors;
use crate::http::link::Form;

#[derive(Debug, Clone)]
pub struct Site {
    /// In lower case, without a port. Empty: every host that no other site has.
    pub hosts: Vec<String>,
    /// None: the first segment of the path names the bucket.
    pub bucket: Option<BucketName>,
    /// Put before the path to make the key. Empty, or ends with a slash.
    pub prefix: String,
    /// What a path that ends with a slash shows, such as `index.html`.
    pub index: Option<String>,
    pub cors: Cors,
    /// The first that fits decides, where neither the object nor its name does.
    pub cache: Vec<cache::Rule>,
    pub compress: compress::Rules,
    /// HTML, SVG and XML run in an origin of their own.
    pub sandbox: bool,
    /// They may be framed by pages with `Cross-Origin-Embedder-Policy`, and load only what may be embedded.
    pub coep: bool,
    /// The CDN in front checks every viewer's right itself, so it may keep what only a signature opens.
    pub cdn_verifies: bool,
    /// Scheme and host by which the world knows the site: what its links begin with, and what CloudFront's signatures are for
    /// where a CDN asks with another host. None: `https://` and the first host, where there is one.
    pub url: Option<String>,
    /// What a path token stands behind: begins and ends with a slash.
    pub token_path: String,
    /// The form of links to what not everyone may read.
    pub private: Form,
    /// Whose requests it takes; all others are refused.
    pub callers: Callers,
    /// The header in which a proven CDN gets cache tags; None: none.
    pub cache_tag: Option<HeaderName>,
    /// The CDN in front, which is told of changes.
    pub cdn: Option<Distribution>,
}

impl Default for Site {
    /// Any host, `/bucket/key`.
    fn default() -> Self {
        Site {
            hosts: Vec::new(),
            bucket: None,
            prefix: String::new(),
            index: None,
            cors: Cors::default(),
            cache: Vec::new(),
            compress: compress::Rules::default(),
            sandbox: true,
            coep: false,
            cdn_verifies: false,
            url: None,
            token_path: "/_t/".to_owned(),
            private: Form::default(),
            callers: Callers::default(),
            cache_tag: None,
            cdn: None,
        }
    }
}

impl Site {
    /// What a CDN in front of it may hold. None: there is none, or none that wants to be told.
    pub fn behind_cdn(&self) -> Option<Shown> {
        let distribution = self.cdn.clone()?;
        Some(Shown { bucket: self.bucket.clone(), prefix: self.prefix.clone(), index: self.index.clone(), distribution })
    }

    /// The bucket and key that this path shows. What can't be a name is simply not there, to a browser.
    /// A key is a name and not a way: `..` and `//` in it mean nothing, so no path leads out of the prefix.
    pub fn locate(&self, raw_path: &str) -> Result<(BucketName, ObjectKey)> {
        let path = raw_path.strip_prefix('/').unwrap_or(raw_path);
        let (bucket, path) = match &self.bucket {
            Some(bucket) => (bucket.clone(), path),
            None => {
                let (bucket, path) = path.split_once('/').unwrap_or((path, ""));
                (BucketName::parse(&decode(bucket)?).map_err(|_| nothing_here())?, path)
            }
        };
        let mut key = format!("{}{}", self.prefix, decode(path)?);
        if let Some(index) = &self.index
            && (path.is_empty() || key.ends_with('/'))
        {
            key.push_str(index);
        }
        Ok((bucket, ObjectKey::parse(&key).map_err(|_| nothing_here())?))
    }
}

impl Site {
    /// The token in front of a path, and the path behind it, which from there on is a path as any other.
    pub fn split_token<'p>(&self, path: &'p str) -> (Option<&'p str>, &'p str) {
        let Some(rest) = path.strip_prefix(self.token_path.as_str()) else { return (None, path) };
        let (token, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        (Some(token), path)
    }
}

pub fn nothing_here() -> Error {
    Error::new(ErrorKind::NotFound, "There is nothing at this address.")
}

/// All sites, by host.
#[derive(Debug, Clone)]
pub struct Sites {
    list: Vec<Site>,
    by_host: HashMap<String, usize>,
    any: Option<usize>,
}

/// Answers a host that has no site: the headers of its refusal.
static NOWHERE: LazyLock<Site> = LazyLock::new(Site::default);

impl Default for Sites {
    fn default() -> Self {
        Sites::new(vec![Site::default()])
    }
}

impl Sites {
    /// Where two sites claim one host the first has it; `config` refuses that before.
    pub fn new(list: Vec<Site>) -> Self {
        let mut sites = Sites { list, by_host: HashMap::new(), any: None };
        for (n, site) in sites.list.iter().enumerate() {
            for host in &site.hosts {
                sites.by_host.entry(host.clone()).or_insert(n);
            }
            if site.hosts.is_empty() && sites.any.is_none() {
                sites.any = Some(n);
            }
        }
        sites
    }

    /// Where it has none of its own.
    pub fn set_url_of_any(&mut self, url: &str) {
        if let Some(site) = self.any.and_then(|n| self.list.get_mut(n)) {
            site.url.get_or_insert_with(|| url.to_owned());
        }
    }

    pub fn list(&self) -> &[Site] {
        &self.list
    }

    /// The site of a request, or None with the site whose rules the refusal follows.
    pub fn of_request(&self, headers: &HeaderMap) -> (Option<&Site>, &Site) {
        // As a rule no site has a name of its own.
        let host = if self.by_host.is_empty() { None } else { Host::of(headers) };
        let found = self.of_host(host);
        (found, found.unwrap_or(&NOWHERE))
    }

    pub fn of_host(&self, host: Option<Host<'_>>) -> Option<&Site> {
        host.and_then(|h| self.index_of(h)).or(self.any).and_then(|n| self.list.get(n))
    }

    /// Whether a signer who signs for this host means that site. A name that browsers know a site by counts, too.
    pub fn is_named_by(&self, site: &Site, host: Host<'_>) -> bool {
        let by_url = || self.list.iter().position(|s| s.url.as_deref().and_then(host_of).is_some_and(|own| own.has_name(host.name())));
        let meant = self.index_of(host).or_else(by_url).or(self.any);
        meant.and_then(|n| self.list.get(n)).is_some_and(|meant| std::ptr::eq(meant, site))
    }

    fn index_of(&self, host: Host<'_>) -> Option<usize> {
        let name = host.name();
        match name.bytes().any(|b| b.is_ascii_uppercase()) {
            true => self.by_host.get(&name.to_ascii_lowercase()),
            false => self.by_host.get(name),
        }
        .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(hosts: &[&str]) -> Site {
        Site {
            hosts: hosts.iter().map(|h| h.to_string()).collect(),
            prefix: format!("{}/", hosts.first().unwrap_or(&"any")),
            ..Site::default()
        }
    }

    #[test]
    fn finds_the_site_of_a_host() {
        let sites = Sites::new(vec![site(&["a.test", "b.test"]), site(&["[::1]"]), site(&[])]);
        let of = |host: &str| sites.of_host(Host::parse(host)).unwrap().prefix.as_str();
        assert_eq!(of("a.test"), "a.test/");
        assert_eq!(of("B.Test:9080"), "a.test/");
        assert_eq!(of("a.test."), "a.test/");
        assert_eq!(of("[::1]:9080"), "[::1]/");
        for other in ["", "xa.test", "a.test.evil"] {
            assert_eq!(of(other), "any/", "{other:?}");
        }
        let named_only = Sites::new(vec![site(&["a.test"])]);
        assert!(named_only.of_host(Host::parse("evil.test")).is_none());
    }

    #[test]
    fn the_site_that_a_signer_means() {
        let known = Site { url: Some("https://cdn.test".into()), ..site(&["origin.test"]) };
        let liar = Site { url: Some("https://a.test".into()), ..site(&["liar.test"]) };
        let sites = Sites::new(vec![site(&["a.test"]), known, liar, site(&[])]);
        let named = |n: usize, host: &str| sites.is_named_by(&sites.list()[n], Host::parse(host).unwrap());
        assert!(named(0, "a.test:9080") && named(1, "origin.test") && named(1, "cdn.test") && named(3, "else.test"));
        for (n, host) in [(0, "cdn.test"), (1, "a.test"), (1, "else.test"), (2, "a.test"), (3, "a.test"), (3, "cdn.test")] {
            assert!(!named(n, host), "{n} {host}");
        }
    }

    #[test]
    fn tokens_stand_before_the_path() {
        let site = Site::default();
        for (path, expected) in [
            ("/media/a", (None, "/media/a")),
            ("/_t/TOKEN/media/a", (Some("TOKEN"), "/media/a")),
            ("/_t/TOKEN", (Some("TOKEN"), "")),
            ("/_t//media/a", (Some(""), "/media/a")),
            ("/_t", (None, "/_t")),
            ("//_t/TOKEN/x", (None, "//_t/TOKEN/x")),
        ] {
            assert_eq!(site.split_token(path), expected, "{path}");
        }
    }

    #[test]
    fn paths_are_names() {
        let of = |site: &Site, path: &str| site.locate(path).map(|(b, k)| format!("{b} {k}")).map_err(|e| e.kind());
        let any = Site::default();
        assert_eq!(of(&any, "/media/a/b.glb").unwrap(), "media a/b.glb");
        assert_eq!(of(&any, "/media/a%2Fb+c//../x").unwrap(), "media a/b+c//../x");
        for nothing in ["/", "/media", "/media/", "/Not_A_Bucket/x", "/media/a%00b", "/..%2fmedia/x"] {
            assert_eq!(of(&any, nothing), Err(ErrorKind::NotFound), "{nothing}");
        }
        let part =
            Site { bucket: BucketName::parse("media").ok(), prefix: "public/".into(), index: Some("index.html".into()), ..Site::default() };
        assert_eq!(of(&part, "/../secret").unwrap(), "media public/../secret");
        assert_eq!(of(&part, "/").unwrap(), "media public/index.html");
        assert_eq!(of(&part, "/game/").unwrap(), "media public/game/index.html");
        assert_eq!(of(&part, "/game").unwrap(), "media public/game");
    }
}
