//! From bucket and key to the public paths that show it, by distribution. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::base::names::BucketName;

/// What stands in an invalidation as it is. `*` is encoded: only ours, at the end, is a wildcard.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A CloudFront distribution whose origin is one of the sites.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Distribution {
    pub id: String,
    /// Changes are gathered for this long into one invalidation.
    pub delay: Duration,
}

impl Distribution {
    /// Long enough for all files of one upload, short beside the minute that an invalidation takes.
    pub const DELAY: Duration = Duration::from_secs(5);
}

/// What a site with a CDN shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// None: the first segment of the path names the bucket.
    pub bucket: Option<BucketName>,
    /// Put before the path to make the key.
    pub prefix: String,
    /// What a path that ends with a slash shows.
    pub index: Option<String>,
    pub distribution: Distribution,
}

impl Shown {
    fn path(&self, bucket: &str, key: &str) -> Option<String> {
        match &self.bucket {
            Some(own) if own.as_str() == bucket => key.strip_prefix(&self.prefix).map(|rest| format!("/{}", encode(rest))),
            Some(_) => None,
            None => Some(format!("/{bucket}/{}", encode(key))),
        }
    }

    /// `/game/` shows what `/game/index.html` does.
    fn paths(&self, bucket: &str, key: &str) -> Vec<String> {
        let Some(path) = self.path(bucket, key) else { return Vec::new() };
        let folder = self.index.as_deref().and_then(|index| path.strip_suffix(encode(index).as_str()));
        let folder = folder.filter(|f| f.ends_with('/')).map(str::to_owned);
        [path].into_iter().chain(folder).collect()
    }

    /// The wildcard over all keys that begin with `prefix`.
    fn wildcard(&self, bucket: &str, prefix: &str) -> Option<String> {
        match &self.bucket {
            // All that the site shows, and more that it does not.
            Some(own) if own.as_str() == bucket && self.prefix.starts_with(prefix) => Some("/*".to_owned()),
            _ => self.path(bucket, prefix).map(|path| path + "*"),
        }
    }
}

/// All sites with a CDN.
#[derive(Debug, Clone, Default)]
pub struct Map(Vec<Shown>);

/// What is to be forgotten of each distribution, without repeats.
pub type Items = BTreeMap<String, (Distribution, Vec<String>)>;

impl Map {
    pub fn new(sites: Vec<Shown>) -> Self {
        Map(sites)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key, or anything in the bucket.
    pub fn shows(&self, bucket: &str, key: Option<&str>) -> bool {
        self.0.iter().any(|s| key.map_or_else(|| s.wildcard(bucket, ""), |key| s.path(bucket, key)).is_some())
    }

    pub fn key(&self, bucket: &str, key: &str, items: &mut Items) {
        self.add(|s| s.paths(bucket, key), items);
    }

    pub fn prefix(&self, bucket: &str, prefix: &str, items: &mut Items) {
        self.add(|s| s.wildcard(bucket, prefix).into_iter().collect(), items);
    }

    /// All that is shown under the key with `?variant=`.
    pub fn variants(&self, bucket: &str, key: &str, items: &mut Items) {
        self.add(|s| s.path(bucket, key).map(|path| format!("{path}?variant=*")).into_iter().collect(), items);
    }

    /// A tag is one of the gateway's, whatever distribution holds what bears it.
    pub fn tag(&self, tag: &str, items: &mut Items) {
        self.add(|_| vec![format!("#{tag}")], items);
    }

    fn add(&self, named: impl Fn(&Shown) -> Vec<String>, items: &mut Items) {
        for (shown, item) in self.0.iter().flat_map(|s| named(s).into_iter().map(move |item| (s, item))) {
            let (_, list) = items.entry(shown.distribution.id.clone()).or_insert_with(|| (shown.distribution.clone(), Vec::new()));
            if !list.contains(&item) {
                list.push(item);
            }
        }
    }
}

fn encode(key: &str) -> String {
    utf8_percent_encode(key, IN_PATH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(bucket: Option<&str>, prefix: &str, id: &str) -> Shown {
        Shown {
            bucket: bucket.map(|b| BucketName::parse(b).unwrap()),
            prefix: prefix.into(),
            index: (id == "E3").then(|| "index.html".to_owned()),
            distribution: Distribution { id: id.into(), delay: Distribution::DELAY },
        }
    }

    fn items(add: impl Fn(&Map, &mut Items)) -> Vec<(String, Vec<String>)> {
        let map = Map::new(vec![
            site(Some("media"), "public/", "E1"),
            site(None, "", "E2"),
            site(Some("media"), "", "E1"),
            site(Some("games"), "", "E3"),
        ]);
        let mut items = Items::new();
        add(&map, &mut items);
        items.into_iter().map(|(id, (_, list))| (id, list)).collect()
    }

    fn expected(of: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
        of.iter().map(|(id, list)| (id.to_string(), list.iter().map(|i| i.to_string()).collect())).collect()
    }

    #[test]
    fn keys_become_paths_of_every_site_that_shows_them() {
        let found = items(|m, i| m.key("media", "public/a b/é*.glb", i));
        let paths: &[&str] = &["/a%20b/%C3%A9%2A.glb", "/public/a%20b/%C3%A9%2A.glb"];
        assert_eq!(found, expected(&[("E1", paths), ("E2", &["/media/public/a%20b/%C3%A9%2A.glb"])]));
        assert_eq!(items(|m, i| m.key("other", "x", i)), expected(&[("E2", &["/other/x"])]));
        assert_eq!(items(|m, i| m.variants("other", "x*", i)), expected(&[("E2", &["/other/x%2A?variant=*"])]));
    }

    #[test]
    fn a_folder_shows_its_index() {
        let found = |key: &str| items(|m, i| m.key("games", key, i))[1].1.clone();
        assert_eq!(found("a/index.html"), ["/a/index.html", "/a/"]);
        assert_eq!(found("index.html"), ["/index.html", "/"]);
        assert_eq!(found("a/myindex.html"), ["/a/myindex.html"]);
    }

    #[test]
    fn prefixes_become_wildcards() {
        assert_eq!(items(|m, i| m.prefix("media", "public/run/", i))[0].1, ["/run/*", "/public/run/*"]);
        assert_eq!(items(|m, i| m.prefix("media", "pub", i)), expected(&[("E1", &["/*", "/pub*"]), ("E2", &["/media/pub*"])]));
        assert_eq!(items(|m, i| m.prefix("media", "", i)), expected(&[("E1", &["/*"]), ("E2", &["/media/*"])]));
        let only = Map::new(vec![site(Some("media"), "public/", "E1")]);
        assert!(only.shows("media", None) && only.shows("media", Some("public/a")));
        assert!(!only.shows("media", Some("private/a")) && !only.shows("other", None));
        assert_eq!(items(|m, i| m.tag("t-acme", i)), expected(&[("E1", &["#t-acme"]), ("E2", &["#t-acme"]), ("E3", &["#t-acme"])]));
    }
}
