//! The beginning of keys with wildcards: `sessions/*/logs/`. Pure.
//!
//! A `*` stands for anything but a slash, so that a pattern never reaches deeper than it says.

use std::fmt;

/// As many as a key layout has segments, and some.
const MAX_STARS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixPattern(String);

impl PrefixPattern {
    /// None: more wildcards than a layout of keys needs.
    pub fn parse(text: &str) -> Option<Self> {
        (text.matches('*').count() <= MAX_STARS).then(|| PrefixPattern(text.to_owned()))
    }

    /// What every key that it is the beginning of begins with.
    pub fn literal(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    /// Whether `key` begins so. Only the last star is ever tried again: an earlier one ends where the text after it must stand.
    pub fn begins(&self, key: &str) -> bool {
        let (pattern, key) = (self.0.as_bytes(), key.as_bytes());
        let (mut p, mut k) = (0, 0);
        // Where the last star stands, and up to where of the key it reaches.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&wanted) = pattern.get(p) {
            if wanted == b'*' {
                star = Some((p, k));
                p += 1;
            } else if key.get(k) == Some(&wanted) {
                (p, k) = (p + 1, k + 1);
            } else {
                match star {
                    Some((at, reaches)) if key.get(reaches).is_some_and(|b| *b != b'/') => {
                        star = Some((at, reaches + 1));
                        (p, k) = (at + 1, reaches + 1);
                    }
                    _ => return false,
                }
            }
        }
        true
    }
}

impl fmt::Display for PrefixPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn begins(pattern: &str, key: &str) -> bool {
        PrefixPattern::parse(pattern).unwrap().begins(key)
    }

    #[test]
    fn a_star_ends_at_a_slash() {
        for (pattern, key) in [
            ("", "x"),
            ("*", ""),
            ("sessions/*/logs/", "sessions/7/logs/a/b"),
            ("sessions/*/logs/", "sessions//logs/"),
            ("*/tmp-*", "acme/tmp-1"),
            ("a*b*c/", "axbxbc/x"),
            ("*x/y*z", "xxx/yyz"),
        ] {
            assert!(begins(pattern, key), "{pattern} {key}");
        }
        for (pattern, key) in [
            ("sessions/*/logs/", "sessions/7/8/logs/a"),
            ("sessions/*/logs/", "sessions/7/logs"),
            ("sessions/*/logs/", "Sessions/7/logs/"),
            ("*/x", "a/b/x"),
            ("a*", "b"),
        ] {
            assert!(!begins(pattern, key), "{pattern} {key}");
        }
        assert_eq!(PrefixPattern::parse("sessions/*/logs/").unwrap().literal(), "sessions/");
        assert!(PrefixPattern::parse(&"*".repeat(MAX_STARS + 1)).is_none());
    }

    /// Tries every way.
    fn slowly(pattern: &[u8], key: &[u8]) -> bool {
        match pattern.split_first() {
            None => true,
            Some((b'*', rest)) => slowly(rest, key) || key.first().is_some_and(|b| *b != b'/' && slowly(pattern, &key[1..])),
            Some((wanted, rest)) => key.first() == Some(wanted) && slowly(rest, &key[1..]),
        }
    }

    proptest! {
        #[test]
        fn is_as_if_every_way_were_tried(pattern in "[ab/*]{0,9}", key in "[ab/]{0,12}") {
            prop_assert_eq!(begins(&pattern, &key), slowly(pattern.as_bytes(), key.as_bytes()));
        }
    }
}
