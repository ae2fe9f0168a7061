//! A file of src/ as the rules look at it: its code without comments and the contents of texts, what it imports, its functions.

use std::fs;
use std::path::{Path, PathBuf};

pub struct Source {
    /// Relative to src/.
    pub name: String,
    pub text: String,
    /// The text, with spaces for comments and for what is in quotes: of the same length and the same lines.
    pub code: String,
    /// There for tests alone.
    pub is_test: bool,
}

/// All files, in the order of their names.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut dirs: Vec<PathBuf> = vec![root.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                found.push(Source::new(name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 10);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let tests: Vec<String> = found.iter().flat_map(Source::test_modules).collect();
    for source in &mut found {
        source.is_test = source.name.contains("/tests/") || tests.contains(&source.path().join("::"));
    }
    found
}

impl Source {
    pub fn new(name: &str, text: String) -> Self {
        Source { name: name.to_owned(), code: blank(&text), text, is_test: false }
    }

    /// The top-level module.
    pub fn module(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap_or_default()
    }

    /// Its own path, such as `http::s3::get`.
    pub fn path(&self) -> Vec<&str> {
        let name = self.name.trim_end_matches(".rs");
        let name = name.strip_suffix("/mod").unwrap_or(name);
        name.split('/').collect()
    }

    /// The modules under it that are there for tests alone.
    fn test_modules(&self) -> Vec<String> {
        let behind = self.code.split("#[cfg(test)]").skip(1).map(|behind| behind.trim_start().trim_start_matches("pub "));
        let names = behind.filter_map(|behind| behind.strip_prefix("mod ")?.split_once(';')).map(|(name, _)| name);
        names.filter(|name| !name.contains('{')).map(|name| [&self.path()[..], &[name]].concat().join("::")).collect()
    }

    /// Without the tests at its end.
    pub fn production(&self) -> &str {
        let mut end = self.code.len();
        for (at, mark) in self.code.match_indices("#[cfg(test)]") {
            let behind = self.code[at + mark.len()..].trim_start();
            if behind.strip_prefix("mod ").is_some_and(|rest| rest.lines().next().is_some_and(|line| line.ends_with('{'))) {
                end = at;
                break;
            }
        }
        &self.code[..end]
    }

    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(n, l)| (n + 1, l))
    }
}

fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text.as_bytes()[at..];
        let (from, length) = if rest.starts_with(b"//") {
            (0, rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()))
        } else if rest.starts_with(b"/*") {
            (0, find(rest, b"*/").map_or(rest.len(), |n| n + 2))
        } else if let Some(hashes) = raw_text(rest, at.checked_sub(1).map(|before| bytes[before])) {
            let end = [&b"\""[..], &vec![b'#'; hashes]].concat();
            let begin = hashes + 2;
            (begin, find(&rest[begin..], &end).map_or(rest.len(), |n| begin + n))
        } else if rest.starts_with(b"\"") {
            (1, quoted(rest))
        } else if rest.starts_with(b"'\\") {
            (1, find(&rest[2..], b"'").map_or(2, |n| n + 2))
        } else if rest.starts_with(b"'") && text[at + 1..].chars().next().is_some_and(|c| rest.get(1 + c.len_utf8()) == Some(&b'\'')) {
            (1, text[at + 1..].chars().next().map_or(1, |c| 1 + c.len_utf8()))
        } else {
            at += 1;
            continue;
        };
        out[at + from..at + length].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        // Behind what closes it.
        at += (length + from.min(1)).max(1);
    }
    String::from_utf8(out).unwrap()
}

/// The length of a text up to its closing quote.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at.min(rest.len())
}

/// How many `#` a raw text has, where one begins here.
fn raw_text(rest: &[u8], before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|b| b.is_ascii_alphanumeric() && b != b'b' || b == b'_') {
        return None;
    }
    let hashes = rest.strip_prefix(b"r")?.iter().take_while(|b| **b == b'#').count();
    (rest.get(1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|w| w == what)
}

/// A path that a file names, and the line.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    pub path: Vec<String>,
    pub line: usize,
    /// `pub use`: shown to others under the file's own name.
    pub shown: bool,
}

/// Every `use`, over however many lines, and every path in the code that begins with `crate` or `super`.
pub fn imports(code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    let mut rest = code.to_owned();
    let mut at = 0;
    for line in code.split_inclusive('\n') {
        let begin = at + line.len() - line.trim_start().len();
        at += line.len();
        let (shown, statement) = match line.trim_start().split_once("use ") {
            Some(("", _)) => (false, begin),
            Some((before, _)) if before.starts_with("pub") && !before.contains(['{', ';', '=']) => (true, begin + before.len()),
            _ => continue,
        };
        let Some(length) = code[statement..].find(';') else { continue };
        let tree = &code[statement + "use ".len()..statement + length];
        let n = code[..statement].matches('\n').count() + 1;
        expand(tree, &[], &mut |path| found.push(Import { path, line: n, shown }));
        rest.replace_range(statement..statement + length, &" ".repeat(length));
    }
    for start in ["crate::", "super::"] {
        for (at, _) in rest.match_indices(start) {
            // `$crate::` and `other_crate::` are other things, and `super::super` is looked at once.
            if rest[..at].ends_with(|c: char| c.is_alphanumeric() || "_$:".contains(c)) {
                continue;
            }
            let end = rest[at..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).map_or(rest.len(), |n| at + n);
            let path = rest[at..end].split("::").filter(|s| !s.is_empty()).map(str::to_owned).collect();
            found.push(Import { path, line: rest[..at].matches('\n').count() + 1, shown: false });
        }
    }
    found
}

/// The paths of a `use` tree.
fn expand(tree: &str, prefix: &[&str], found: &mut impl FnMut(Vec<String>)) {
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in tree.char_indices().chain([(tree.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let item = tree[begin..at].trim();
                begin = at + 1;
                let (path, list) = item.split_once('{').unwrap_or((item, ""));
                let path = path.split(" as ").next().unwrap_or_default();
                let whole: Vec<&str> =
                    prefix.iter().copied().chain(path.split("::").map(str::trim).filter(|s| !s.is_empty() && *s != "self")).collect();
                match list.rsplit_once('}') {
                    Some((list, _)) => expand(list, &whole, found),
                    None if item.is_empty() => {}
                    None => found(whole.iter().map(|s| s.to_string()).collect()),
                }
            }
            _ => {}
        }
    }
}

/// Name, first line and number of lines of each function that is written over several. Formatted code ends one where it began.
pub fn functions(code: &str) -> Vec<(&str, usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some((before, rest)) = line.trim_start().split_once("fn ") else { continue };
        let head =
            before.split_whitespace().all(|w| w.starts_with("pub") || ["const", "async", "unsafe", "extern", "\"C\"", "in"].contains(&w));
        if !head {
            continue;
        }
        let end = format!("{}}}", " ".repeat(indent));
        let ends = |l: &&str| l.trim_end() == end || (l.len() - l.trim_start().len() == indent && l.trim_end().ends_with(';'));
        if line.trim_end().ends_with(['}', ';']) {
            continue;
        }
        if let Some(length) = lines[n..].iter().position(ends) {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            found.push((name, n + 1, length + 1));
        }
    }
    found
}
