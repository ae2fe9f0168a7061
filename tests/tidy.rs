//! What can be checked of the style is checked: the direction of imports, headers, sizes, and what must not be there.

use std::fs;
use std::path::{Path, PathBuf};

/// The layer of each top-level module. A file imports only from layers below its own, or from its own folder.
const LAYERS: &[(&str, u8)] = &[
    ("base", 0),
    ("private", 0),
    ("telemetry", 1),
    ("files", 2),
    ("ingest", 2),
    ("journal", 2),
    ("index", 2),
    ("net", 2),
    ("follow", 3),
    ("origin", 3),
    ("queue", 4),
    ("auth", 4),
    ("local", 4),
    ("upstream", 4),
    ("cache", 4),
    ("variants", 4),
    ("cdn", 4),
    ("cluster", 4),
    ("media", 4),
    ("ops", 5),
    ("http", 6),
    ("jobs", 6),
    ("moving", 6),
    ("config", 7),
    ("app", 8),
    ("cli", 9),
    ("main", 10),
    ("lib", 10),
];

/// Files with `unsafe`, each for one reason that its header gives.
const UNSAFE_FILES: &[&str] = &["auth/evp.rs", "files/sys.rs", "ingest/md5.rs", "net/descriptors.rs", "net/give_back.rs"];

/// Of the files that hear requests, those that read the operator's own text too: any white space in it is his.
const OWN_TEXT: &[&str] = &["auth/tenants.rs"];

/// Longer than this a file holds more than one idea, as a rule. Exceptions say why.
const MAX_LINES: usize = 500;
/// Tables of cases may be longer: splitting one hides what is missing in it.
const MAX_TEST_LINES: usize = 800;
const LONG_FILES: &[(&str, &str)] = &[];

struct Source {
    /// Relative to src/.
    name: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut dirs: Vec<PathBuf> = vec![root.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push(Source { name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    assert!(found.len() > 10);
    found
}

impl Source {
    fn module(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap_or_default()
    }

    /// Code without comment lines, with line numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(n, l)| (n + 1, l)).filter(|(_, l)| !l.trim_start().starts_with("//"))
    }
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(m, _)| *m == module).map(|(_, l)| *l)
}

/// The top-level modules that `line` names by `crate::`, also in `use crate::{a, b::c}`.
fn imports(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        // `$crate::` and `other_crate::` are other things.
        if line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        let word = |s: &str| s.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                for (i, c) in list.char_indices() {
                    if start && depth == 0 && (c.is_alphanumeric() || c == '_') {
                        found.push(word(&list[i..]));
                        start = false;
                    }
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        _ => {}
                    }
                }
            }
            None => found.push(word(rest)),
        }
    }
    found
}

fn assert_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn imports_go_down() {
    let mut faults = Vec::new();
    for source in sources() {
        let module = source.module();
        let Some(own) = layer(module) else {
            faults.push(format!("{}: module `{module}` has no layer in tests/tidy.rs", source.name));
            continue;
        };
        for (n, line) in source.code() {
            for import in imports(line) {
                let below = layer(&import).is_some_and(|theirs| theirs < own);
                if import != module && !below {
                    faults.push(format!("{}:{n}: `{module}` (layer {own}) must not know `{import}`", source.name));
                }
            }
        }
    }
    assert_none(faults);
}

#[test]
fn files_say_what_they_are() {
    let faults =
        sources().iter().filter(|s| !s.text.trim_start().starts_with("//! ")).map(|s| format!("{}: no //! header", s.name)).collect();
    assert_none(faults);
}

#[test]
fn files_hold_one_idea() {
    let mut faults = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        let excused = LONG_FILES.iter().any(|(name, _)| *name == source.name);
        let max = if source.name.contains("/tests/") { MAX_TEST_LINES } else { MAX_LINES };
        if lines > max && !excused {
            faults.push(format!("{}: {lines} lines: split it, or list it in tests/tidy.rs with the reason", source.name));
        }
        if lines <= max && excused {
            faults.push(format!("{}: is not long any more: take it off the list in tests/tidy.rs", source.name));
        }
    }
    assert_none(faults);
}

#[test]
fn what_must_not_be_there() {
    let mut faults = Vec::new();
    for source in sources() {
        for (n, line) in source.code() {
            let fault = |what: &str| format!("{}:{n}: {what}", source.name);
            for word in ["super::super", "todo!(", "unimplemented!(", "dbg!("] {
                if line.contains(word) {
                    faults.push(fault(word));
                }
            }
            // A host in the URI is looked at before everything else, and by nothing else: see there.
            let reads_requests = matches!(source.module(), "auth" | "http") && source.name != "http/address.rs";
            if reads_requests && (line.contains(".authority()") || line.contains(".scheme()")) {
                faults.push(fault("the host of a request is what http::address made of it"));
            }
            if source.name == "lib.rs" && line.trim_start().starts_with("pub use") {
                faults.push(fault("a re-export hides where names come from"));
            }
            let trims = line.contains(".trim()") || line.contains("str::trim)");
            let of_requests = ["http", "auth", "base", "ingest", "net"].contains(&source.module());
            if trims && of_requests && !OWN_TEXT.contains(&source.name.as_str()) {
                faults.push(fault("takes off more than white space is in HTTP: base::header::trim, or trim_ascii for XML"));
            }
            let unsafe_code =
                line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl") || line.contains("unsafe extern");
            if unsafe_code && !UNSAFE_FILES.contains(&source.name.as_str()) {
                faults.push(fault("unsafe outside the files named in tests/tidy.rs"));
            }
        }
    }
    assert_none(faults);
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert_eq!(imports("use crate::base::error::Error;"), ["base"]);
    assert_eq!(imports("use crate::{base::{a, b}, net, ops::x};"), ["base", "net", "ops"]);
    assert_eq!(imports("let x = crate::ops::go(crate::net::y);"), ["ops", "net"]);
    assert!(imports("use other_crate::base; $crate::x").is_empty());
}
