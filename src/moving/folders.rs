//! Which of the keys that pass in their order is a folder of another: `a` beside `a/b` can't be a file.
//!
//! Between the two may lie any number of others (`a-1`, `a.txt`). A key is held back while it may still turn out to be a
//! folder; all that are held are beginnings of the key that passed last, so they are few.

pub struct Folders<T> {
    held: Vec<(String, T, bool)>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Passed<T> {
    File(String, T),
    Folder(String),
}

impl<T> Default for Folders<T> {
    fn default() -> Self {
        Folders { held: Vec::new() }
    }
}

impl<T> Folders<T> {
    /// The next key; what it lets go of comes out.
    pub fn pass(&mut self, key: String, value: T) -> Vec<Passed<T>> {
        let mut out = Vec::new();
        // A slash sorts after a few signs: until a later one stands there, the slash may come.
        let may_be_folder = |held: &str| key.strip_prefix(held).and_then(|rest| rest.bytes().next()).is_some_and(|next| next <= b'/');
        while self.held.last().is_some_and(|(held, _, _)| !may_be_folder(held)) {
            out.extend(self.let_go());
        }
        for (held, _, is_folder) in &mut self.held {
            *is_folder |= key[held.len()..].starts_with('/');
        }
        self.held.push((key, value, false));
        out
    }

    /// After the last one, until nothing comes.
    pub fn let_go(&mut self) -> Option<Passed<T>> {
        let (key, value, is_folder) = self.held.pop()?;
        Some(if is_folder { Passed::Folder(key) } else { Passed::File(key, value) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn says_what_a_set_of_all_keys_would(keys in proptest::collection::btree_set("[a!/0]{1,5}", 0..40)) {
            let mut folders = Folders::default();
            let mut out = Vec::new();
            for key in &keys {
                out.extend(folders.pass(key.clone(), ()));
            }
            while let Some(passed) = folders.let_go() {
                out.push(passed);
            }
            let found: BTreeSet<(String, bool)> = out.into_iter().map(|p| match p {
                Passed::File(key, ()) => (key, false),
                Passed::Folder(key) => (key, true),
            }).collect();
            let is_folder = |key: &str| keys.iter().any(|k| k.starts_with(&format!("{key}/")));
            let expected: BTreeSet<(String, bool)> = keys.iter().map(|k| (k.clone(), is_folder(k))).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
