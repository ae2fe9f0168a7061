//! What can be checked of the style is checked: the direction of imports, headers, sizes, and what must not be there.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/source.rs"]
mod source;

use self::circles::Graph;
use self::source::{Import, Source, functions, imports, sources};

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
    ("outbound", 2),
    ("follow", 3),
    ("origin", 3),
    ("queue", 4),
    ("auth", 4),
    ("local", 4),
    ("media", 4),
    ("upstream", 4),
    ("cache", 4),
    ("variants", 4),
    ("cdn", 4),
    ("cluster", 4),
    ("usage", 4),
    ("vault", 4),
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
const UNSAFE_FILES: &[&str] =
    &["auth/evp.rs", "files/sys.rs", "ingest/md5.rs", "media/basis.rs", "media/mesh_codec.rs", "net/descriptors.rs", "net/give_back.rs"];

/// Of the files that hear requests, those that read the operator's own text too: any white space in it is his.
const OWN_TEXT: &[&str] = &["auth/limit_values.rs", "auth/tenants.rs"];

/// Longer than this a file holds more than one idea, as a rule. Exceptions say why.
const MAX_LINES: usize = 500;
/// Tables of cases may be longer: splitting one hides what is missing in it.
const MAX_TEST_LINES: usize = 800;
const LONG_FILES: &[(&str, &str)] = &[];
/// What does not fit on a screen is not seen as a whole.
const MAX_FUNCTION_LINES: usize = 70;
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[
    ("app.rs", "start", "every part is made here, in the order that they need"),
    ("base/error.rs", "on_side", "a table: a line for each kind"),
    ("http/respond.rs", "code_and_status", "a table: a line for each kind"),
    ("http/s3/operation.rs", "log_name", "a table: a line for each operation"),
    ("http/s3/headers.rs", "changes", "a table: a line for each operation"),
];

/// Ends of the process where an error belongs. `expect` with a text: other functions have that name too.
const PANICS: &[&str] = &[".unwrap()", ".unwrap_err()", ".expect(\"", ".expect_err(\"", "panic!(", "unreachable!("];
/// Lines that may have one, each with its reason beside it.
const PANICS_ALLOWED: &[(&str, &str)] = &[
    ("auth/keys.rs", "HMAC takes a key of any length"),
    ("auth/sigv2.rs", "HMAC takes a key of any length"),
    ("cluster/seal.rs", "HMAC takes a key of any length"),
];

/// Files that import each other in a circle, and why they still do. This list only gets shorter: a new circle is cut, by a file of its
/// own for what both sides need.
const CIRCLES: &[(&[&str], &str)] = &[
    (&["auth/tenants.rs", "auth/url_keys.rs"], "one reader of the folder of policies, for its two kinds of files"),
    (
        &[
            "cache/blocks.rs",
            "cache/body.rs",
            "cache/disk.rs",
            "cache/fetch.rs",
            "cache/known_keys.rs",
            "cache/memory.rs",
            "cache/mod.rs",
            "cache/purge.rs",
        ],
        "`Shared` holds what the parts of the cache are, and each of them is given it",
    ),
    (
        &["local/blobs.rs", "local/gc.rs", "local/placing.rs", "local/shared.rs", "local/upkeep.rs", "local/writer.rs"],
        "`Shared` holds the inlets of the threads that work on it",
    ),
    (&["local/layout.rs", "local/upgrade.rs"], "a folder of an older version is brought up to date as it is opened"),
    (&["ops/cdn.rs", "ops/peers.rs"], "a purge is told to the CDN and to peers, and the answer holds both"),
    (&["ops/shadow/copy.rs", "ops/shadow/marks.rs", "ops/shadow/mod.rs"], "parts of one overlay, over its `Inner`"),
    (
        &[
            "upstream/ahead.rs",
            "upstream/buckets.rs",
            "upstream/conditions.rs",
            "upstream/contents.rs",
            "upstream/counting.rs",
            "upstream/info.rs",
            "upstream/multipart.rs",
            "upstream/open.rs",
            "upstream/parts.rs",
            "upstream/prefetch.rs",
            "upstream/probe.rs",
            "upstream/records.rs",
            "upstream/sweep.rs",
            "upstream/write.rs",
        ],
        "`Inner` holds the parts of the upstream, and each of them asks by it",
    ),
];

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(m, _)| *m == module).map(|(_, l)| *l)
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
        for Import { path, line, .. } in imports(&source.code).iter().filter(|i| i.path[0] == "crate") {
            let Some(import) = path.get(1) else { continue };
            let below = layer(import).is_some_and(|theirs| theirs < own);
            if import != module && !below {
                faults.push(format!("{}:{line}: `{module}` (layer {own}) must not know `{import}`", source.name));
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
        let max = if source.is_test { MAX_TEST_LINES } else { MAX_LINES };
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
        for (n, line) in source.lines() {
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
fn files_import_in_one_direction() {
    let sources = sources();
    let graph = Graph::of(&sources);
    let found = graph.circles();
    let mut faults = Vec::new();
    for circle in &found {
        if !CIRCLES.iter().any(|(files, _)| circle.iter().all(|f| files.contains(f))) {
            faults.push(format!("these files import each other in a circle:\n{}", graph.describe(circle)));
        }
    }
    for (files, _) in CIRCLES {
        for file in files.iter().filter(|f| !found.iter().any(|circle| circle.contains(*f))) {
            faults.push(format!("{file} is in no circle any more: take it off the list in tests/tidy.rs"));
        }
    }
    assert_none(faults);
}

#[test]
fn functions_fit_on_a_screen() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| !s.is_test) {
        for (name, line, length) in functions(source.production()) {
            let excused = LONG_FUNCTIONS.iter().any(|(file, function, _)| *file == source.name && *function == name);
            if length <= MAX_FUNCTION_LINES && excused {
                faults.push(format!("{}:{line}: `{name}` is not long any more: take it off the list in tests/tidy.rs", source.name));
            }
            if length > MAX_FUNCTION_LINES && !excused {
                faults.push(format!("{}:{line}: `{name}` has {length} lines: say its steps by names", source.name));
            }
        }
    }
    assert_none(faults);
}

#[test]
fn errors_are_values() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| !s.is_test) {
        for (n, line) in source.production().lines().enumerate() {
            let allowed = PANICS_ALLOWED.iter().any(|(file, _)| *file == source.name);
            for panic in PANICS.iter().filter(|p| line.contains(**p) && !allowed) {
                faults.push(format!("{}:{}: {panic}: an error belongs here, or a way that can't fail", source.name, n + 1));
            }
        }
    }
    assert_none(faults);
}

#[test]
fn the_checks_see_what_they_look_for() {
    let of = |code: &str| imports(&Source::new("a/b.rs", code.into()).code).iter().map(|i| i.path.join("::")).collect::<Vec<_>>();
    assert_eq!(of("use crate::base::error::Error;"), ["crate::base::error::Error"]);
    assert_eq!(
        of("use crate::{base::{a, b as c}, net,\n    ops::x::{self, y}};"),
        ["crate::base::a", "crate::base::b", "crate::net", "crate::ops::x", "crate::ops::x::y"]
    );
    assert_eq!(of("let x = crate::ops::go(crate::net::y);"), ["crate::ops::go", "crate::net::y"]);
    assert_eq!(of("other_crate::base; $crate::x; // crate::y\nlet s = \"crate::z // \"; r#\"crate::\"#; '\"'; super::w"), ["super::w"]);

    let file = |name: &str, code: &str| Source::new(name, code.into());
    let sources = [
        file("a/mod.rs", "mod b;\nmod c;\npub use b::B;"),
        file("a/b.rs", "use super::c::C;"),
        file("a/c.rs", "#[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::a::B;\n}"),
        file("d.rs", "use crate::e;\nuse crate::a::B;"),
        file("e.rs", "fn f() {\n    crate::f::g();\n}"),
        file("f/mod.rs", "pub use g::G;\nuse crate::{\n    a,\n    d,\n};"),
    ];
    let circles = Graph::of(&sources).circles();
    assert_eq!(circles.iter().flatten().copied().collect::<Vec<_>>(), ["d.rs", "e.rs", "f/mod.rs"]);

    let code = "fn one() {}\n\n    pub(super) async fn two(\n        a: u8,\n    ) {\n        if a {\n        }\n    }\n";
    assert_eq!(functions(code), [("two", 3, 6)]);
}
