//! What can be stored wherever it may be kept: names and metadata that this store, one upstream, a replica and what waits for
//! either will all take. Asked once for each write, before its body: what was acknowledged must never be refused later.
//!
//! Not here: what one origin alone knows, such as how much of a key is left behind its bucket's folder (`Origin::takes`). Called by `ops`
//! for every write. Invariant: the answer depends on the request alone, not on how the gateway is set up.
//! Limits: S3's 2 KB of user metadata, which hold the gateway's own sealed value too where the object is on another S3, and its
//! 2 KB of all other stored headers. Grants one by one take of the former.

use super::acl::Acl;
use super::error::{Error, ErrorKind, Result};
use super::limits::{MAX_SYSTEM_METADATA_BYTES, MAX_USER_METADATA_BYTES};
use super::names::ObjectKey;
use super::object::ObjectHeaders;

/// The gateway's own folder in a bucket on another S3.
pub const STATE: &str = ".tidegate/";

/// The user metadata in which an object on another S3 carries what that S3 can't hold: `x-amz-meta-tidegate`.
pub const SEALED: &str = "tidegate";

/// That one at its longest, name and value, without names of encoded values: see the test of `upstream/info.rs`.
pub const SEALED_BYTES: usize = 392;

/// Around a value that is not ASCII (RFC 2047).
pub const ENCODED: (&str, &str) = ("=?UTF-8?B?", "?=");

/// Who writes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    Clients,
    /// Gateways that stand over a bucket of this one, too: what is reserved is theirs.
    Gateways,
}

pub fn check(key: &ObjectKey, headers: &ObjectHeaders, acl: &Acl, writers: Writers) -> Result<()> {
    let theirs = writers == Writers::Gateways;
    let path = as_path(key.as_str());
    if !theirs && path.as_deref().unwrap_or(key.as_str()).starts_with(STATE) {
        let text = format!(
            "Keys that begin with {STATE:?} belong to the gateway. A store that other gateways stand over needs s3.gateways_above = true."
        );
        return Err(Error::new(ErrorKind::InvalidRequest, text));
    }
    if headers.user.contains_key("") || !theirs && headers.user.contains_key(SEALED) {
        let text = "The metadata name x-amz-meta-tidegate belongs to the gateway, and one without a name to nobody.";
        return Err(Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", "x-amz-meta-tidegate"));
    }
    let too_large = |size: usize, max: usize| {
        Err(Error::new(
            ErrorKind::MetadataTooLarge,
            "Your metadata headers, with the grants of the ACL, exceed the maximum allowed metadata size.",
        )
        .detail("Size", size.to_string())
        .detail("MaxSizeAllowed", max.to_string()))
    };
    let (user, left) =
        (user_bytes(headers) + acl.stored_bytes().div_ceil(3) * 4, MAX_USER_METADATA_BYTES - if theirs { 0 } else { SEALED_BYTES });
    if user > left {
        return too_large(user, left);
    }
    let system = system_bytes(headers);
    if system > MAX_SYSTEM_METADATA_BYTES { too_large(system, MAX_SYSTEM_METADATA_BYTES) } else { Ok(()) }
}

/// As they travel: a value that is not ASCII is encoded, and its name is sealed besides.
fn user_bytes(headers: &ObjectHeaders) -> usize {
    let travels = |(name, value): (&String, &Vec<u8>)| match is_plain(value) {
        true => name.len() + value.len(),
        false => name.len() + ENCODED.0.len() + value.len().div_ceil(3) * 4 + ENCODED.1.len() + (name.len() + 2).div_ceil(3) * 4,
    };
    headers.user.iter().map(travels).sum()
}

fn system_bytes(headers: &ObjectHeaders) -> usize {
    let named = [
        ("cache-control", &headers.cache_control),
        ("content-disposition", &headers.content_disposition),
        ("content-encoding", &headers.content_encoding),
        ("content-language", &headers.content_language),
        ("expires", &headers.expires),
        ("x-amz-website-redirect-location", &headers.website_redirect),
    ];
    let named = named.iter().filter_map(|(name, value)| Some(name.len() + value.as_ref()?.len()));
    named.sum::<usize>() + "content-type".len() + headers.content_type.len()
}

pub fn is_plain(value: &[u8]) -> bool {
    value.iter().all(|b| (0x20..0x7f).contains(b))
}

/// What a file system would make of the key. None: it is one already. For S3 such parts mean nothing; a store behind us may think
/// otherwise, and must not be led to where the key does not say.
pub fn as_path(key: &str) -> Option<String> {
    // The last may be empty: a key that ends with a slash.
    let segments = key.strip_suffix('/').unwrap_or(key);
    if !segments.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return None;
    }
    let mut path: Vec<&str> = Vec::new();
    for segment in key.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(path.pop()),
            name => path.push(name),
        }
    }
    let mut path = path.join("/");
    if key.ends_with('/') && !path.is_empty() {
        path.push('/');
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_paths() {
        for plain in ["a", "a/b", "a/", "a/.b", ".a", "a/..b/c", "a...", ".tidegate/", "..a/b/"] {
            assert_eq!(as_path(plain), None, "{plain}");
        }
        for (key, path) in [
            ("a//b", "a/b"),
            ("/a", "a"),
            ("/", ""),
            ("a//", "a/"),
            ("./a", "a"),
            ("a/.", "a"),
            ("a/..", ""),
            ("..", ""),
            (".", ""),
            ("x/../.tidegate/b", ".tidegate/b"),
            ("a/../../../b/./c/", "b/c/"),
        ] {
            assert_eq!(as_path(key).as_deref(), Some(path), "{key}");
        }
    }

    fn kind(key: &str, user: &[(&str, &[u8])], disposition: usize) -> std::result::Result<(), ErrorKind> {
        let headers = ObjectHeaders {
            user: user.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect(),
            content_disposition: (disposition > 0).then(|| "d".repeat(disposition)),
            ..ObjectHeaders::default()
        };
        check(&ObjectKey::parse(key).unwrap(), &headers, &Acl::default(), Writers::Clients).map_err(|e| e.kind())
    }

    #[test]
    fn what_every_store_takes() {
        for key in ["k", ".tidegate", ".tidegate2/k", "a/.tidegate/k", "../x", "a/../b", "//a"] {
            assert_eq!(kind(key, &[], 0), Ok(()), "{key}");
        }
        for key in [".tidegate/", ".tidegate/k", "x/../.tidegate/k", "./.tidegate/k", "//.tidegate/k", "/.tidegate/./x"] {
            assert_eq!(kind(key, &[], 0), Err(ErrorKind::InvalidRequest), "{key}");
        }
        let left = MAX_USER_METADATA_BYTES - SEALED_BYTES;
        assert_eq!(kind("k", &[("a", &vec![b'v'; left - 1])], 0), Ok(()));
        assert_eq!(kind("k", &[("a", &vec![b'v'; left])], 0), Err(ErrorKind::MetadataTooLarge));
        assert_eq!(kind("k", &[("a", &vec![0xe9; left * 3 / 4])], 0), Err(ErrorKind::MetadataTooLarge));
        assert_eq!(kind("k", &[("a", &vec![0xe9; left * 3 / 4 - 30])], 0), Ok(()));
        assert_eq!(kind("k", &[], 2000), Ok(()));
        assert_eq!(kind("k", &[], 2048), Err(ErrorKind::MetadataTooLarge));
        assert_eq!(kind("k", &[("tidegate", b"x")], 0), Err(ErrorKind::InvalidArgument));
        assert_eq!(kind("k", &[("", b"x")], 0), Err(ErrorKind::InvalidArgument));
    }
}
