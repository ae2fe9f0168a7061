//! Where the edge door shows an object: the way back from bucket and key to a site's path. Pure.

use crate::auth::canonical::{Part, encode_plain};
use crate::base::names::{BucketName, ObjectKey};
use crate::http::edge::site::Site;
use crate::http::gateway::Settings;
use crate::http::link::Form;

/// An object's place on a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnSite {
    /// Scheme and host; None: nobody said under which name the site is known.
    pub base: Option<String>,
    /// Begins with a slash.
    pub path: String,
    /// What stands before a path token.
    pub token_path: String,
    pub form: Form,
    /// How much of the key the path leaves out.
    hidden: usize,
    /// How much of the path is not of the key.
    before_key: usize,
}

impl Settings {
    /// On the first site that shows it.
    pub fn place_of(&self, bucket: &BucketName, key: &ObjectKey) -> Option<OnSite> {
        self.sites.list().iter().find_map(|site| site.place_of(bucket, key))
    }
}

impl Site {
    fn place_of(&self, bucket: &BucketName, key: &ObjectKey) -> Option<OnSite> {
        let (head, shown) = match &self.bucket {
            Some(own) if own == bucket => ("/".to_owned(), key.as_str().strip_prefix(&*self.prefix)?),
            Some(_) => return None,
            None => (format!("/{bucket}/"), key.as_str()),
        };
        let base = self.url.clone().or_else(|| self.hosts.first().map(|h| format!("https://{h}")));
        Some(OnSite {
            base,
            path: format!("{head}{}", encoded(shown)),
            token_path: self.token_path.clone(),
            form: self.private,
            hidden: key.as_str().len() - shown.len(),
            before_key: head.len(),
        })
    }
}

impl OnSite {
    /// The path that all keys with this prefix begin with. None: the key doesn't, or the site does not show all of them.
    pub fn path_of_prefix(&self, key: &ObjectKey, prefix: &str) -> Option<String> {
        let shown = prefix.get(self.hidden..).filter(|_| key.as_str().starts_with(prefix))?;
        Some(format!("{}{}", self.path.get(..self.before_key)?, encoded(shown)))
    }

    pub fn on_s3_door(bucket: &BucketName, key: &ObjectKey) -> String {
        format!("/{bucket}/{}", encoded(key.as_str()))
    }
}

/// As AWS encodes a path: a `*` in a key is no wildcard in a policy then.
fn encoded(text: &str) -> String {
    let mut out = Vec::new();
    encode_plain(text.as_bytes(), Part::Path, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::edge::site::Sites;

    #[test]
    fn there_and_back() {
        let site = |host: Option<&str>, bucket: Option<&str>, prefix: &str| Site {
            hosts: host.into_iter().map(str::to_owned).collect(),
            bucket: bucket.map(|b| BucketName::parse(b).unwrap()),
            prefix: prefix.to_owned(),
            ..Site::default()
        };
        let sites = vec![site(Some("cdn.test"), Some("media"), "public/"), site(None, None, "")];
        let settings = Settings { sites: Sites::new(sites), ..Settings::default() };
        let bucket = |s: &str| BucketName::parse(s).unwrap();
        let key = |s: &str| ObjectKey::parse(s).unwrap();
        let shown = settings.place_of(&bucket("media"), &key("public/a b/*.glb")).unwrap();
        assert_eq!((shown.base.as_deref(), &*shown.path), (Some("https://cdn.test"), "/a%20b/%2A.glb"));
        assert_eq!(shown.path_of_prefix(&key("public/a b/x"), "public/a b/").as_deref(), Some("/a%20b/"));
        assert_eq!(shown.path_of_prefix(&key("public/a b/x"), "pub"), None, "the site shows no more than public/");
        assert_eq!(shown.path_of_prefix(&key("public/a b/x"), "other/"), None);
        let any = settings.place_of(&bucket("media"), &key("private/x")).unwrap();
        assert_eq!((any.base, &*any.path), (None, "/media/private/x"));
    }
}
