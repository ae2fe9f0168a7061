//! Names of files and keys of objects, and which of them can't be the other. Pure.

use std::path::PathBuf;

use heck::ToKebabCase;

use crate::base::limits::MAX_KEY_BYTES;

/// Of one name in a folder, on every file system that matters here.
const MAX_NAME_BYTES: usize = 255;

/// A folder's name as it stands in a key: `My Topic_2` becomes `my-topic-2`. None: nothing of it is left.
pub fn kebab(folder: &str) -> Option<String> {
    Some(folder.to_kebab_case()).filter(|name| !name.is_empty())
}

pub fn check_key(key: &str) -> Result<(), String> {
    if key.len() > MAX_KEY_BYTES { Err(format!("its key would have {} bytes, of {MAX_KEY_BYTES} at most", key.len())) } else { Ok(()) }
}

/// Where the object of this name lies below the folder of an export; or why it can't be a file there. What comes back
/// has only ordinary names in it: joined to a folder it stays inside.
pub fn file_of(name: &str) -> Result<PathBuf, &'static str> {
    if name.is_empty() {
        return Err("its key is the prefix itself, and so no file's name");
    }
    if name.ends_with('/') {
        return Err("its key ends with a slash: it stands for a folder, and can't be a file");
    }
    let mut path = PathBuf::new();
    for part in name.split('/') {
        match part {
            "" => return Err("its key has an empty part, which no file can have"),
            "." | ".." => return Err("its key has a part `.` or `..`, which would be another place"),
            _ if part.contains('\0') => return Err("its key has a NUL, which no file can have"),
            _ if part.len() > MAX_NAME_BYTES => return Err("a part of its key is longer than 255 bytes, which no file can have"),
            _ => path.push(part),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn topics() {
        assert_eq!(kebab("My Topic_2").as_deref(), Some("my-topic-2"));
        assert_eq!(kebab("HeroVideos").as_deref(), Some("hero-videos"));
        assert_eq!(kebab("Été à Paris").as_deref(), Some("été-à-paris"));
        assert_eq!(kebab("--- !"), None);
        assert_eq!(kebab("already-so").as_deref(), Some("already-so"));
    }

    #[test]
    fn keys_that_are_no_files() {
        for bad in ["", "a/", "/a", "a//b", "..", "../a", "a/../b", "a/..", ".", "./a", "a\0b", &"x".repeat(256)] {
            assert!(file_of(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a/b.c", "...", "a/..b", " ", "\n", "a\\b", "C:", "~", &"x".repeat(255)] {
            assert_eq!(file_of(good).unwrap(), Path::new(good), "{good:?}");
        }
    }

    proptest! {
        #[test]
        fn no_key_leaves_the_folder(key in "[a./\\\\~\0]{0,12}") {
            if let Ok(path) = file_of(&key) {
                prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
                prop_assert_eq!(path.to_str(), Some(key.as_str()));
            }
        }
    }
}
