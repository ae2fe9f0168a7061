//! Where upstream a bucket of the gateway lives: a bucket there, and a prefix in it.
//!
//! Four kinds: *home* (`upstream.bucket`) under its own name, buckets that the configuration adopts, and buckets that clients
//! made, each a folder in home or a bucket of its own (`own_buckets`). What belongs to the gateway itself, or to a bucket in a folder, is
//! hidden from all others.

use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MAX_KEY_BYTES;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::storable::{STATE, as_path};
use crate::upstream::settings::{BucketsAre, Settings};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The bucket upstream.
    pub bucket: Arc<str>,
    /// Before each key.
    pub prefix: Arc<str>,
}

impl Place {
    fn new(bucket: &str, prefix: &str) -> Self {
        Place { bucket: bucket.into(), prefix: prefix.into() }
    }

    /// It is all of the bucket upstream, and so may say what that bucket keeps.
    pub fn is_whole(&self) -> bool {
        self.prefix.is_empty()
    }

    pub fn key(&self, key: &ObjectKey) -> Result<String> {
        let full = format!("{}{key}", self.prefix);
        if full.len() > MAX_KEY_BYTES {
            let left = MAX_KEY_BYTES.saturating_sub(self.prefix.len());
            return Err(Error::new(ErrorKind::KeyTooLong, format!("Your key is too long: in this bucket at most {left} bytes of UTF-8."))
                .detail("Size", key.as_str().len().to_string())
                .detail("MaxSizeAllowed", left.to_string()));
        }
        Ok(full)
    }
}

/// Whether a replica that lives so can have a copy of the key.
pub fn takes_copy(settings: &Settings, bucket: &BucketName, key: &ObjectKey) -> Result<()> {
    let map = Map::new(settings);
    let place = map.folder(bucket);
    match map.hidden_folder(&place, &place.key(key)?, |_| true) {
        Some(_) => {
            Err(Error::new(ErrorKind::InvalidRequest, "Read as a path, the key leads out of its bucket: a replica could not keep it."))
        }
        None => Ok(()),
    }
}

/// What the configuration says of a bucket.
#[derive(Debug, Clone)]
pub struct Configured {
    pub name: BucketName,
    pub place: Place,
    pub owner: TenantId,
}

/// The buckets that the configuration names; where others are stands in their records.
#[derive(Debug)]
pub struct Map {
    home: Arc<str>,
    base: Arc<str>,
    /// What the names of buckets of their own begin with upstream. None: buckets that clients make are folders.
    own: Option<String>,
    configured: Vec<Configured>,
}

impl Map {
    pub fn new(settings: &Settings) -> Self {
        let or_operator = |owner: &Option<TenantId>| owner.clone().unwrap_or_else(TenantId::operator);
        let mut configured = Vec::new();
        if let Ok(name) = BucketName::parse(&settings.bucket)
            && settings.shown
        {
            let place = Place::new(&settings.bucket, &format!("{}{}", settings.base_prefix, settings.prefix));
            configured.push(Configured { name, place, owner: or_operator(&settings.owner) });
        }
        for adopted in &settings.adopted {
            let place = Place::new(&adopted.bucket, &adopted.prefix);
            configured.push(Configured { name: adopted.name.clone(), place, owner: or_operator(&adopted.owner) });
        }
        let own = (settings.buckets == BucketsAre::Own).then(|| settings.bucket_prefix.clone());
        Map { home: settings.bucket.as_str().into(), base: settings.base_prefix.as_str().into(), own, configured }
    }

    pub fn home(&self) -> &str {
        &self.home
    }

    pub fn configured(&self) -> &[Configured] {
        &self.configured
    }

    pub fn find(&self, name: &BucketName) -> Option<&Configured> {
        self.configured.iter().find(|c| c.name == *name)
    }

    /// Where a bucket lives that is not configured, if there is one of that name.
    pub fn folder(&self, name: &BucketName) -> Place {
        Place { bucket: self.home.clone(), prefix: format!("{}{name}/", self.base).into() }
    }

    /// The bucket upstream that a new one is to be. None: it is to be a folder.
    pub fn own(&self, name: &BucketName) -> Result<Option<String>> {
        let Some(prefix) = &self.own else { return Ok(None) };
        let own = format!("{prefix}{name}");
        if BucketName::parse(&own).is_err() {
            let text =
                format!("The specified bucket is not valid: behind {prefix:?}, which is put before it upstream, its name is too long.");
            return Err(Error::new(ErrorKind::InvalidBucketName, text));
        }
        Ok(Some(own))
    }

    /// Whether the configuration gave the bucket upstream another use.
    pub fn is_in_use(&self, upstream: &str) -> bool {
        *self.home == *upstream || self.configured.iter().any(|c| *c.place.bucket == *upstream)
    }

    pub fn state(&self) -> String {
        format!("{}{STATE}", self.base)
    }

    /// An adopted bucket that the folder of a new one would lie in, or that would lie in it.
    pub fn overlaps(&self, folder: &Place) -> bool {
        let home = |c: &&Configured| *c.name.as_str() != *self.home;
        self.configured.iter().filter(home).any(|c| {
            c.place.bucket == folder.bucket
                && !c.place.prefix.is_empty()
                && (c.place.prefix.starts_with(&*folder.prefix) || folder.prefix.starts_with(&*c.place.prefix))
        })
    }

    /// May a folder that is hidden from those who look at `place` begin with `start` (in full) and go on after it? Then a name that
    /// stands for all that begins so may stand for what is hidden. `begins`: whether the folder of a bucket begins so.
    pub fn begins_hidden(&self, place: &Place, start: &str, begins: impl Fn(&str) -> bool) -> bool {
        if place.bucket != self.home {
            return false;
        }
        match start.strip_prefix(&*self.base) {
            // What stands under a folder is decided by it alone.
            Some(rest) => !rest.contains('/') && (STATE.starts_with(rest) || begins(rest)),
            None => self.base.starts_with(start),
        }
    }

    /// What `key` (in full) stands under, if that is not for those who look at `place`: the state, or the folder of a bucket.
    ///
    /// Some stores read a key as a path: to them `x/../.tidegate/` is `.tidegate/`, and `made//../../other/` is `other/`. A key that
    /// would lead there, or out of its place, is hidden as if it did.
    pub fn hidden_folder<'k>(&self, place: &Place, key: &'k str, is_bucket: impl Fn(&BucketName) -> bool) -> Option<&'k str> {
        match as_path(key) {
            Some(path) if !path.starts_with(&*place.prefix) || self.hidden(place, &path, &is_bucket).is_some() => Some(key),
            _ => self.hidden(place, key, is_bucket),
        }
    }

    fn hidden<'k>(&self, place: &Place, key: &'k str, is_bucket: impl Fn(&BucketName) -> bool) -> Option<&'k str> {
        if place.bucket != self.home {
            return None;
        }
        let rest = key.strip_prefix(&*self.base)?;
        let first = rest.find('/')?;
        let folder = &key[..self.base.len() + first + 1];
        if &rest[..=first] == STATE {
            return Some(folder);
        }
        if place.prefix.starts_with(folder) {
            return None;
        }
        BucketName::parse(&rest[..first]).ok().filter(|name| self.find(name).is_none() && is_bucket(name)).map(|_| folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::settings::Adopted;

    fn name(s: &str) -> BucketName {
        BucketName::parse(s).unwrap()
    }

    fn map(base: &str, prefix: &str) -> Map {
        let photos = Adopted { name: name("photos"), bucket: "home".into(), prefix: format!("{base}pics/"), owner: None };
        let other = Adopted { name: name("other"), bucket: "elsewhere".into(), prefix: String::new(), owner: None };
        Map::new(&Settings {
            bucket: "home".into(),
            base_prefix: base.into(),
            prefix: prefix.into(),
            adopted: vec![photos, other],
            ..Settings::default()
        })
    }

    #[test]
    fn what_is_hidden() {
        let made = |n: &BucketName| n.as_str() == "made";
        for base in ["", "b/", "b/c/"] {
            let map = map(base, "");
            let hides = |bucket: &str, key: &str| {
                let place = map.find(&name(bucket)).map_or_else(|| map.folder(&name(bucket)), |c| c.place.clone());
                map.hidden_folder(&place, &format!("{base}{key}"), made).is_some()
            };
            assert!(hides("home", ".tidegate/buckets/made") && hides("photos", ".tidegate/x"));
            assert!(hides("home", "made/x") && hides("home", "made/") && hides("photos", "made/x"));
            assert!(!hides("made", "made/x") && !hides("made", "made/made/x"));
            assert!(!hides("home", "made") && !hides("home", "other/x") && !hides("home", "not.made/x") && !hides("home", ".tidegate"));
            assert!(!hides("other", ".tidegate/x"), "another bucket upstream");
            assert!(hides("made", ".tidegate/x"));
        }
    }

    #[test]
    fn what_a_path_would_lead_to_is_hidden() {
        let made = |n: &BucketName| n.as_str() == "made";
        for base in ["", "b/"] {
            let map = map(base, "");
            let hides = |bucket: &str, key: &str| {
                let place = map.find(&name(bucket)).map_or_else(|| map.folder(&name(bucket)), |c| c.place.clone());
                map.hidden_folder(&place, &format!("{}{key}", place.prefix), made).is_some()
            };
            for key in ["x/../.tidegate/b", "/.tidegate/b", "./.tidegate/b", "x/./../made/s", "//made/s", "a/b/../../made/s"] {
                assert!(hides("home", key), "{key}");
            }
            for key in ["../.tidegate/b", "../other/x", "x/../../home2/y", "..", "x/../.."] {
                assert!(hides("made", key) && hides("photos", key), "{key}");
            }
            for key in ["x/../y", "a//b", "./x", "a/../b/", "x/..y", ".../z"] {
                assert!(!hides("home", key) && !hides("made", key) && !hides("photos", key) && !hides("other", key), "{key}");
            }
        }
    }

    #[test]
    fn what_may_stand_for_something_hidden() {
        let begins = |start: &str| "made/".starts_with(start);
        for base in ["", "b/"] {
            let map = map(base, "");
            let home = map.find(&name("home")).unwrap().place.clone();
            let may = |start: &str| map.begins_hidden(&home, &format!("{base}{start}"), begins);
            assert!(may(".") && may(".tide") && may(".tidegate") && may("m") && may("made"));
            assert!(!may(".tidegate/") && !may("made/") && !may("x") && !may(".tidy") && !may("made2"));
            assert!(!map.begins_hidden(&map.find(&name("other")).unwrap().place, ".t", begins));
            assert!(!map.begins_hidden(&map.folder(&name("made")), &format!("{base}made/m"), begins));
        }
        assert!(map("b/", "").begins_hidden(&Place::new("home", ""), "b", |_| false), "a folder further up");
    }

    #[test]
    fn folders_do_not_meet_adopted_buckets() {
        let map = map("b/", "");
        assert!(map.overlaps(&map.folder(&name("pics"))));
        assert!(!map.overlaps(&map.folder(&name("pics2"))) && !map.overlaps(&map.folder(&name("elsewhere"))));
        assert_eq!(map.folder(&name("pics2")).key(&ObjectKey::parse("k").unwrap()).unwrap(), "b/pics2/k");
        assert!(map.folder(&name("pics2")).key(&ObjectKey::parse(&"k".repeat(1020)).unwrap()).is_err());
    }
}
