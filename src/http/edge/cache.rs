//! For how long, and by whom, an answer may be kept: the one place that writes `Cache-Control` of a read.
//!
//! The wish comes first from the object's own metadata, then from what was asked for (a version by its id, or a name with a content hash
//! that is true), then from the site's rules, then from the default. The right comes before the wish: only what anyone may read is ever `public`.
//! There is no `Age`: this is the origin. What it answers was current when it answered, or over a remote S3 as recently as `[cache]`
//! demands; `X-Cache` tells which.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, EXPIRES, HeaderValue};

use crate::auth::policy::pattern::Pattern;
use crate::base::hash_name;
use crate::base::header::trim;
use crate::base::names::ObjectKey;
use crate::base::object::ObjectInfo;
use crate::base::object_ref::VersionSelector;
use crate::http::respond::value;
use crate::origin::CacheState;

/// A year, the longest that caches take at its word.
pub const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// An object can be replaced at any moment, so: a minute. A CDN then asks once a minute for an object in demand, is
/// answered 304, and meanwhile shows what it has; while this origin can't be reached it may go on with that for a day.
pub const DEFAULT: &str = "public, max-age=60, stale-while-revalidate=60, stale-if-error=86400";
/// That nothing is there is kept by the CDN alone, just long enough that it need not ask for each viewer.
const ABSENT: HeaderValue = HeaderValue::from_static("public, max-age=0, s-maxage=10");

/// Long enough that a CDN need not ask for each viewer, short enough that few of them get the large form.
const UNTIL_VARIANT_SECONDS: u64 = 10;

/// Who may read what is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    Anyone,
    /// Whoever holds what was shown: a signature that is good for so many seconds more, or something that may be gone
    /// with the next request (0): an address, a header.
    Holder {
        seconds_left: u64,
    },
}

/// A `[[site.cache]]` table: where every condition that it names fits, its wish counts.
#[derive(Debug, Clone)]
pub struct Rule {
    pub key: Option<Pattern>,
    /// Of the content type without parameters, in lower case.
    pub content_type: Option<Pattern>,
    /// The third segment of `{tenantId}/{runId}/{artifactType}/{filename}`.
    pub artifact: Option<String>,
    pub control: HeaderValue,
}

impl Rule {
    fn fits(&self, key: &str, content_type: &str) -> bool {
        let fits = |pattern: &Option<Pattern>, text: &str| pattern.as_ref().is_none_or(|p| p.matches(text.into(), None));
        self.artifact.as_ref().is_none_or(|a| artifact_type(key) == Some(a))
            && fits(&self.key, key)
            && (self.content_type.is_none() || fits(&self.content_type, &essence(content_type)))
    }
}

fn artifact_type(key: &str) -> Option<&str> {
    let mut segments = key.split('/');
    let found = segments.nth(2)?;
    segments.next().is_some().then_some(found)
}

/// Without parameters, in lower case.
pub fn essence(content_type: &str) -> String {
    trim(content_type.split(';').next().unwrap_or_default()).to_ascii_lowercase()
}

/// `headers` hold the object's own `Cache-Control` and `Expires`, where it has them. `version`: which one was asked for.
pub fn apply(
    headers: &mut HeaderMap,
    rules: &[Rule],
    key: &ObjectKey,
    version: VersionSelector<'_>,
    object: &ObjectInfo,
    audience: Audience,
) {
    let own = headers.get(CACHE_CONTROL).cloned();
    let wish = own.clone().unwrap_or_else(|| match version.is_named() {
        true => HeaderValue::from_static(IMMUTABLE),
        false => wish(rules, key.as_str(), object),
    });
    match audience {
        // An `Expires` alone is the writer's wish as well, and a Cache-Control beside it would hide it.
        Audience::Anyone if own.is_none() && headers.contains_key(EXPIRES) => {}
        Audience::Anyone => {
            headers.insert(CACHE_CONTROL, wish);
        }
        Audience::Holder { seconds_left } => {
            headers.insert(CACHE_CONTROL, private(&wish, seconds_left));
            headers.remove(EXPIRES);
        }
    }
}

/// Where the answer came from, for those who watch the cache work.
pub fn tell(headers: &mut HeaderMap, state: CacheState) {
    let told = match state {
        CacheState::Hit => "HIT",
        CacheState::Stale => "STALE",
        CacheState::Miss => "MISS",
    };
    headers.insert("x-cache", HeaderValue::from_static(told));
}

/// A true 404 that anyone may know of.
pub fn absent(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, ABSENT);
}

/// What nobody else may get.
pub fn never(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
}

/// A better form of what is answered is being made: shared caches come back for it soon.
pub fn shorten(headers: &mut HeaderMap) {
    let Some(control) = headers.get(CACHE_CONTROL) else {
        // By `Expires` alone it could stay for years.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("s-maxage=0"));
        return;
    };
    let text = control.to_str().unwrap_or_default();
    let has = |name: &str| directives(text).any(|(n, _)| n.eq_ignore_ascii_case(name));
    if has("private") || has("no-store") {
        return;
    }
    let seconds = |name: &str| directives(text).find(|(n, _)| n.eq_ignore_ascii_case(name)).and_then(|(_, v)| v.parse::<u64>().ok());
    let shared = seconds("s-maxage").or(seconds("max-age")).unwrap_or(0).min(UNTIL_VARIANT_SECONDS);
    let others = text.split(',').map(trim).filter(|d| !d.get(..8).is_some_and(|name| name.eq_ignore_ascii_case("s-maxage")));
    let parts: Vec<&str> = others.filter(|d| !d.is_empty()).collect();
    if let Some(v) = value(&format!("{}, s-maxage={shared}", parts.join(", "))) {
        headers.insert(CACHE_CONTROL, v);
    }
}

fn wish(rules: &[Rule], key: &str, object: &ObjectInfo) -> HeaderValue {
    if object.sha256.as_ref().is_some_and(|hash| hash_name::is_true(key, hash.digest())) {
        return HeaderValue::from_static(IMMUTABLE);
    }
    match rules.iter().find(|r| r.fits(key, &object.headers.content_type)) {
        Some(rule) => rule.control.clone(),
        None => HeaderValue::from_static(DEFAULT),
    }
}

/// What is left of a wish for an answer that not everyone may read: never `public`, never for a shared cache, and no
/// longer than the right itself lasts.
fn private(wish: &HeaderValue, seconds_left: u64) -> HeaderValue {
    let text = wish.to_str().unwrap_or_default();
    let has = |name: &str| directives(text).any(|(n, _)| n.eq_ignore_ascii_case(name));
    if has("no-store") {
        return HeaderValue::from_static("private, no-store");
    }
    let wished = directives(text).find(|(n, _)| n.eq_ignore_ascii_case("max-age")).and_then(|(_, v)| v.parse::<u64>().ok());
    let seconds = wished.unwrap_or(0).min(seconds_left);
    if seconds == 0 || has("no-cache") {
        return HeaderValue::from_static("private, no-cache");
    }
    value(&format!("private, max-age={seconds}")).unwrap_or(HeaderValue::from_static("private, no-cache"))
}

fn directives(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(',').map(|d| d.split_once('=').map_or((trim(d), ""), |(n, v)| (trim(n), trim(v).trim_matches('"'))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::policy::pattern::Wildcards;

    #[test]
    fn a_private_answer_is_never_public() {
        let weak = |wish: &'static str, left| private(&HeaderValue::from_static(wish), left).to_str().unwrap().to_owned();
        assert_eq!(weak(IMMUTABLE, 300), "private, max-age=300");
        assert_eq!(weak(DEFAULT, 300), "private, max-age=60");
        assert_eq!(weak("Public, MAX-AGE=\"9\", s-maxage=99", 300), "private, max-age=9");
        assert_eq!(weak("s-maxage=99", 300), "private, no-cache");
        assert_eq!(weak("max-age=99", 0), "private, no-cache");
        assert_eq!(weak("max-age=99999999999999999999", 5), "private, no-cache");
        assert_eq!(weak("no-cache, max-age=5", 300), "private, no-cache");
        assert_eq!(weak("public, No-Store", 300), "private, no-store");
        assert_eq!(weak("", 300), "private, no-cache");
    }

    #[test]
    fn shared_caches_come_back_for_a_variant() {
        let shortened = |control: &'static str| {
            let mut headers = HeaderMap::new();
            if !control.is_empty() {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static(control));
            }
            shorten(&mut headers);
            headers.get(CACHE_CONTROL).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(shortened(IMMUTABLE), "public, max-age=31536000, immutable, s-maxage=10");
        assert_eq!(shortened("public, max-age=5"), "public, max-age=5, s-maxage=5");
        assert_eq!(shortened("S-MaxAge=3, max-age=60"), "max-age=60, s-maxage=3");
        assert_eq!(shortened("no-cache"), "no-cache, s-maxage=0");
        assert_eq!(shortened("private, max-age=60"), "private, max-age=60");
        assert_eq!(shortened("no-store"), "no-store");
        assert_eq!(shortened(""), "s-maxage=0");
    }

    #[test]
    fn rules_fit_by_all_they_name() {
        let glob = |p: &str| Some(Pattern::compile(p, Wildcards::Yes).unwrap());
        let rule = |key, content_type, artifact: Option<&str>| Rule {
            key,
            content_type,
            artifact: artifact.map(str::to_owned),
            control: HeaderValue::from_static("x"),
        };
        assert!(rule(None, None, None).fits("k", ""));
        assert!(rule(glob("*/bundle/*"), None, None).fits("t/r/bundle/a/b", ""));
        assert!(rule(None, glob("image/*"), None).fits("k", "Image/PNG; q=1"));
        assert!(!rule(None, glob("image/*"), None).fits("k", "text/html"));
        assert!(rule(glob("*.glb"), None, Some("model_3d")).fits("t/r/model_3d/x.glb", ""));
        assert!(!rule(glob("*.glb"), None, Some("model_3d")).fits("t/r/video/x.glb", ""));
        assert!(!rule(None, None, Some("model_3d")).fits("t/r/model_3d", ""));
    }
}
