//! Words by which objects can be purged: `t-<tenant>` whose it is, `r-<tenant>-<run>` and `a-<artifactType>` where the key says so,
//! `h-<start of its SHA-256>`. CDNs know them as cache tags.
//!
//! Pure. Invariant: CloudFront's limits hold: at most 50 tags of at most 256 ASCII characters, no comma in any. It compares them
//! without regard to case, and so does whoever else goes by them.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::digest;
use super::layout::Layout;
use super::names::{ObjectKey, TenantId};
use super::object::ObjectInfo;

const MAX_TAG_BYTES: usize = 256;

pub fn tenant(id: &TenantId) -> String {
    format!("t-{id}")
}

/// A run is any text: what can't stand in a tag is percent-encoded, and what is too long is named by its hash.
pub fn run(tenant: &TenantId, run: &str) -> String {
    let mut tag = format!("r-{tenant}-");
    for byte in run.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => tag.push(char::from(byte)),
            _ => {
                let _ = write!(tag, "%{byte:02X}");
            }
        }
    }
    if tag.len() > MAX_TAG_BYTES { format!("r-{tenant}-%{}", hex::encode(Sha256::digest(run))) } else { tag }
}

/// `kind`: one of `layout::ARTIFACT_TYPES`.
pub fn artifact_type(kind: &str) -> String {
    format!("a-{kind}")
}

/// Sixteen digits of hash: no two of a gateway's objects will share them by chance, and a purge too many does no harm.
pub fn content(sha256: &digest::Sha256) -> String {
    format!("h-{}", hex::encode(&sha256.0[..8]))
}

/// All of an object's.
pub fn of(key: &ObjectKey, object: &ObjectInfo) -> Vec<String> {
    let mut tags = vec![tenant(&object.owner)];
    if let Some(layout) = Layout::of(key.as_str()) {
        // Written for the tenant by another, such as the operator.
        if layout.tenant != object.owner {
            tags.push(tenant(&layout.tenant));
        }
        tags.push(run(&layout.tenant, layout.run));
        tags.push(artifact_type(layout.artifact_type));
    }
    tags.extend(object.sha256.as_ref().map(|sha256| content(sha256.digest())));
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> TenantId {
        TenantId::parse("acme").unwrap()
    }

    #[test]
    fn runs_that_are_no_words() {
        assert_eq!(run(&acme(), "2026-01_a.b"), "r-acme-2026-01_a.b");
        assert_eq!(run(&acme(), "a,b é\n"), "r-acme-a%2Cb%20%C3%A9%0A");
        assert_ne!(run(&acme(), "a,b"), run(&acme(), "a%2Cb"));
        for long in ["x".repeat(1000), ",".repeat(90)] {
            let tag = run(&acme(), &long);
            assert!(tag.len() <= MAX_TAG_BYTES && tag.starts_with("r-acme-%"), "{tag}");
            assert_ne!(tag, run(&acme(), &format!("{long}y")));
        }
    }

    #[test]
    fn the_longest_tags_are_legal() {
        let longest = TenantId::parse(&"t".repeat(64)).unwrap();
        for tag in
            [tenant(&longest), run(&longest, &"é".repeat(400)), artifact_type("environment_map"), content(&digest::Sha256([255; 32]))]
        {
            assert!(tag.len() <= MAX_TAG_BYTES && tag.bytes().all(|b| b.is_ascii_graphic() && b != b','), "{tag}");
        }
    }
}
