//! What the parts of the configuration share while it is read: faults with their place, tables of a kind, names that were meant.
//!
//! Not here: which parts there are (`load`).

use std::cmp::Reverse;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::fault::Fault;
use super::value::{Taken, Value};

pub struct Reader<'t> {
    pub(super) file: &'t Path,
    pub(super) text: &'t str,
    pub(super) config: Config,
    pub(super) faults: Vec<Fault>,
    /// Sites that stand on client certificates: where, and their key.
    pub(super) mutual_tls_users: Vec<(usize, String)>,
}

impl Reader<'_> {
    /// `at` is a byte of the file.
    pub fn fault(&mut self, at: usize, key: &str, message: String) {
        let line = 1 + self.text.bytes().take(at).filter(|b| *b == b'\n').count();
        self.faults.push(Fault { place: format!("{}:{line}", self.file.display()), key: key.to_owned(), message });
    }

    /// False: one is missing, and a fault was told.
    pub fn has_all(&mut self, table: &str, at: usize, fields: &DeTable<'_>, needed: &[&str]) -> bool {
        let missing: Vec<_> = needed.iter().filter(|name| !fields.iter().any(|(field, _)| field.get_ref() == **name)).collect();
        for name in &missing {
            self.fault(at, &format!("{table}.{name}"), "is missing".into());
        }
        missing.is_empty()
    }

    /// Each key of a table that is known goes to `take`; of one that is not, and of what `take` did not expect, a fault is told.
    pub fn take_fields(
        &mut self,
        table: &str,
        fields: &DeTable<'_>,
        known: &[&'static str],
        mut take: impl FnMut(&str, &Value<'_>) -> Taken<()>,
    ) {
        let base = self.base().to_owned();
        for (field, value) in fields {
            let (key, name) = (format!("{table}.{}", field.get_ref()), field.get_ref().as_ref());
            if !known.contains(&name) {
                let hint = nearest(name, known.iter().copied());
                self.fault(field.span().start, &key, format!("there is no such key{hint}"));
            } else if let Err(message) = take(name, &Value::File { value: value.get_ref(), base: &base }) {
                self.fault(value.span().start, &key, message);
            }
        }
    }

    /// What relative paths in the file start from.
    pub fn base(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    /// Checked at the end: the environment may set the address.
    pub fn needs_mutual_tls(&mut self, at: usize, key: &str) {
        self.mutual_tls_users.push((at, key.to_owned()));
    }
}

/// A known name that was probably meant.
pub fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    // Of those that are equally near, the one that begins alike.
    let alike = |k: &str| k.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    let best = known.map(|k| (distance(name, k), k)).min_by_key(|(d, k)| (*d, Reverse(alike(k))));
    // Further away it would be a guess.
    best.filter(|(d, _)| *d <= 2 + name.len() / 5).map(|(_, k)| format!("; did you mean {k}?")).unwrap_or_default()
}

/// Letters to add, drop or change.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, cb) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            let changed = diagonal + usize::from(ca != *cb);
            *cell = changed.min(above + 1).min(left + 1);
            diagonal = above;
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// The `[[name]]` tables, each with its key in faults and where it begins. Of what is no such table, a fault is told.
pub fn tables<'t, 'v>(
    reader: &mut Reader<'_>,
    content: &'t Spanned<DeValue<'v>>,
    name: &str,
    most: usize,
) -> Vec<(String, usize, &'t DeTable<'v>)> {
    let at = content.span().start;
    let DeValue::Array(tables) = content.get_ref() else {
        reader.fault(at, name, format!("expected [[{name}]], in two brackets: there may be several"));
        return Vec::new();
    };
    if tables.len() > most {
        reader.fault(at, name, format!("expected at most {most} tables"));
        return Vec::new();
    }
    let mut found = Vec::with_capacity(tables.len());
    for (i, table) in tables.iter().enumerate() {
        let (key, at) = (format!("{name}[{i}]"), table.span().start);
        match table.get_ref() {
            DeValue::Table(fields) => found.push((key, at, fields)),
            _ => reader.fault(at, &key, "expected a table".into()),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("listen", "listen"), 0);
        assert_eq!(distance("listn", "listen"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
