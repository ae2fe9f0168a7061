//! File names that hold their content's SHA-256: `app-<16>.js`, `app.<20>.min.js`, `<64>.glb`.

use crate::base::digest::Sha256;

/// A name with this much of the content's own hash in it names that content and no other.
const MIN_DIGITS: usize = 16;
const MAX_DIGITS: usize = 64;

/// Does the file name of the key hold a run of 16 or more digits that begins this hash, or all 64? A name alone is never believed: the
/// hash must be that of the bytes.
pub fn is_true(key: &str, sha256: &Sha256) -> bool {
    words(key).any(|word| begins(sha256, word))
}

/// Whether it may be true of some content.
pub fn is_possible(key: &str) -> bool {
    words(key).any(|word| word.iter().all(u8::is_ascii_hexdigit))
}

fn words(key: &str) -> impl Iterator<Item = &[u8]> {
    let name = key.rsplit('/').next().unwrap_or_default().as_bytes();
    name.split(|b| !b.is_ascii_alphanumeric()).filter(|word| (MIN_DIGITS..=MAX_DIGITS).contains(&word.len()))
}

fn begins(sha256: &Sha256, digits: &[u8]) -> bool {
    let nibbles = sha256.0.iter().flat_map(|b| [b >> 4, b & 15]);
    let value = |digit: u8| (digit as char).to_digit(16).map(|d| d as u8);
    digits.iter().zip(nibbles).all(|(d, n)| value(*d) == Some(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: Sha256 = Sha256(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef");

    #[test]
    fn a_name_counts_only_if_it_is_true() {
        let full = HASH.hex();
        for named in [
            "a/app-0123456789abcdef.js",
            "app.0123456789ABCDEF01.min.js",
            "0123456789abcdef0123",
            &format!("models/{full}.glb"),
            "x_y-0123456789abcdef",
            "mesh_0123456789abcdef.glb",
        ] {
            assert!(is_true(named, &HASH) && is_possible(named), "{named}");
        }
        for (not, possible) in [
            ("app-0123456789abcde.js", false),
            ("app-0123456789abcdee.js", true),
            ("app0123456789abcdef.js", false),
            ("0123456789abcdef/app.js", false),
            (&format!("{full}0.glb"), false),
            ("app-aaaaaaaaaaaaaaaa.js", true),
            ("app-0123456789abcdefg.js", false),
            ("", false),
        ] {
            assert!(!is_true(not, &HASH), "{not}");
            assert_eq!(is_possible(not), possible, "{not}");
        }
    }
}
