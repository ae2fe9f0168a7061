//! Selective compression as browsers and CDNs meet it.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use flate2::Compression;
use tidegate::http::edge::cache::IMMUTABLE;
use tidegate::ingest::md5::Md5Hasher;
use tidegate::telemetry::metrics::Door;

use crate::edge::{World, ask, values, world, world_by};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{acme, files_under};

/// Text that compresses, a different one for each `seed`.
pub fn text(len: usize, seed: u64) -> Vec<u8> {
    let words = ["vertex", "normal", "tangent", "void main", "uniform", "{\"mesh\":", "0.125, ", "texture2D(", "\n"];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        out.extend_from_slice(words[(state >> 33) as usize % words.len()].as_bytes());
    }
    out.truncate(len);
    out
}

pub fn decode(encoding: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        None => out = body.to_vec(),
        Some("br") => drop(brotli::Decompressor::new(body, 4096).read_to_end(&mut out).unwrap()),
        Some("zstd") => out = zstd::decode_all(body).unwrap(),
        Some("gzip") => drop(flate2::read::GzDecoder::new(body).read_to_end(&mut out).unwrap()),
        other => panic!("{other:?}"),
    }
    out
}

/// One whole answer, decoded, with all that must be said of it.
#[track_caller]
fn check(answer: &Answer, plain: &[u8], encoding: Option<&str>) {
    assert_eq!((answer.status, answer.header("content-encoding")), (200, encoding), "{:?}", answer.headers);
    assert_eq!(values(answer, "vary"), ["Accept-Encoding"]);
    assert_eq!(answer.header("x-file-size"), Some(&*plain.len().to_string()));
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    assert!(decode(encoding, &answer.body) == plain);
    if encoding.is_some() {
        assert!(answer.body.len() < plain.len());
    }
}

impl World {
    fn metric(&self, line: &str) -> u64 {
        let text = ask(&mut Client::new(self.gateway.address(Door::Admin)), "GET", "/metrics", &[]).text();
        let value = text.lines().find_map(|l| l.strip_prefix(line)).unwrap_or_else(|| panic!("{line} not in {text}"));
        value.trim().parse().unwrap()
    }
}

const BR: [(&str, &str); 1] = [("accept-encoding", "br")];
/// Over `variants.small` of `quick_world`: brotli's best level is slow where it is not optimised.
const LARGE: usize = 100_000;
const SMALL: u64 = 64 * 1024;

fn quick_world() -> World {
    world_by(|setup| setup.variants.small_bytes = SMALL)
}

impl World {
    /// Asks until the answer is in this form.
    #[track_caller]
    fn wait_for(&mut self, key: &str, accept: &str, form: &str) -> Answer {
        let start = Instant::now();
        loop {
            let answer = self.get(key, &[("accept-encoding", accept)]).expect(200);
            if answer.etag().ends_with(form) {
                return answer;
            }
            // It is made at low priority: whoever asks too often keeps it from being made, and a busy machine needs minutes.
            assert!(start.elapsed() < Duration::from_secs(240), "{form} never came, but {:?}", answer.headers);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn variant_files(&self) -> Vec<PathBuf> {
        files_under(&self.gateway.data().join("variants"))
    }
}

#[test]
fn types_and_codings() {
    let mut world = world();
    let body = text(20_000, 1);
    let compressed = ["a.gltf", "a.bin", "a.glsl", "a.html", "a.js", "a.svg", "a.wasm", "a.hdr", "a.obj"];
    let stored = ["a.glb", "a.ktx2", "a.mp4", "a.mp3", "a.png", "a.jpg", "a.webp", "a.zip", "a.exr", "a.woff2", "unknown"];
    for name in compressed.iter().chain(&stored) {
        world.put(&format!("public/{name}"), &body, &[]);
    }
    for name in compressed {
        for (accept, encoding) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip, zstd", Some("zstd")),
            ("gzip", Some("gzip")),
            ("br;q=0, *;q=0.1", Some("zstd")),
            ("identity", None),
            ("", None),
            ("*;q=0", None),
        ] {
            let answer = world.get(&format!("public/{name}"), &[("accept-encoding", accept)]);
            check(&answer, &body, encoding);
        }
        check(&world.get(&format!("public/{name}"), &[]), &body, None);
    }
    for name in stored {
        let answer = world.get(&format!("public/{name}"), &[("accept-encoding", "br, gzip")]).expect(200);
        assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, None), "{name}");
        assert!(answer.body == body);
    }
}

#[test]
fn what_a_site_says() {
    let mut world = world();
    let body = text(20_000, 2);
    world.put("public/a.json", &body, &[]);
    world.put("public/fixed.json", &body, &[("cache-control", "max-age=5, No-Transform")]);
    world.put("public/tiny.json", &body[..1023], &[]);
    let plain = ask(&mut world.host("plain.test"), "GET", "/public/a.json", &BR).expect(200);
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, None));
    let fixed = world.get("public/fixed.json", &BR).expect(200);
    assert_eq!((fixed.header("content-encoding"), fixed.header("vary")), (None, None));
    check(&world.get("public/tiny.json", &BR), &body[..1023], None);
    // Beside the other reason to vary, on every kind of answer.
    let mut named = world.host("named.test");
    for (headers, status) in [(vec![], 200), (vec![("range", "bytes=0-1")], 206), (vec![("if-none-match", "*")], 304)] {
        let headers = [&headers[..], &BR].concat();
        let answer = ask(&mut named, "GET", "/public/a.json", &headers).expect(status);
        assert_eq!(values(&answer, "vary"), ["Accept-Encoding", "Origin"], "{status}");
    }
}

#[test]
fn each_form_is_a_version_of_its_own() {
    let mut world = world();
    let body = text(50_000, 3);
    world.put("public/a.json", &body, &[]);
    let plain = world.get("public/a.json", &[]).expect(200);
    let best = world.wait_for("public/a.json", "br", "-br2");
    check(&best, &body, Some("br"));
    assert_eq!(best.etag(), format!("{}-br2", plain.etag()));
    let (plain, best_tag) = (plain.header("etag").unwrap().to_owned(), best.header("etag").unwrap().to_owned());
    let weak = format!("W/{best_tag}");
    let gone = best_tag.replace("-br2", "-br1");

    // (accepts, headers) -> status, encoding of the answer, the tag in it
    let (br, no) = ("br", "identity");
    for (accept, headers, status, encoding, tag) in [
        (br, vec![("if-none-match", &*best_tag)], 304, None, &best_tag),
        (br, vec![("if-none-match", &*weak)], 304, None, &best_tag),
        (br, vec![("if-none-match", &*plain)], 200, Some("br"), &best_tag),
        (br, vec![("if-none-match", &*gone)], 200, Some("br"), &best_tag),
        (no, vec![("if-none-match", &*plain)], 304, None, &plain),
        (no, vec![("if-none-match", &*best_tag)], 200, None, &plain),
        (br, vec![("if-match", &*best_tag)], 200, Some("br"), &best_tag),
        // Who names the bytes that are stored gets them.
        (br, vec![("if-match", &*plain)], 200, None, &plain),
        (no, vec![("if-match", &*best_tag)], 412, None, &plain),
        (br, vec![("if-match", &*gone)], 412, None, &plain),
        (br, vec![("range", "bytes=5-14")], 206, None, &plain),
        (br, vec![("range", "bytes=5-14"), ("if-range", &*plain)], 206, None, &plain),
        (br, vec![("range", "bytes=5-14"), ("if-range", &*best_tag)], 206, Some("br"), &best_tag),
        (br, vec![("range", "bytes=5-14"), ("if-range", &*weak)], 200, Some("br"), &best_tag),
        (br, vec![("range", "bytes=5-14"), ("if-range", &*gone)], 200, Some("br"), &best_tag),
        (no, vec![("range", "bytes=5-14"), ("if-range", &*best_tag)], 200, None, &plain),
        (br, vec![("range", "bytes=0-1,4-5")], 206, None, &plain),
        (br, vec![("range", "bytes=0-1,4-5"), ("if-range", &*best_tag)], 206, Some("br"), &best_tag),
        (br, vec![("range", "bytes=49999-")], 206, None, &plain),
        (br, vec![("range", "bytes=49999-"), ("if-range", &*best_tag)], 416, None, &plain),
    ] {
        let headers = [&headers[..], &[("accept-encoding", accept)]].concat();
        let answer = world.get("public/a.json", &headers);
        assert_eq!(answer.status, status, "{headers:?} {:?}", answer.headers);
        if status >= 400 {
            continue;
        }
        assert_eq!((answer.header("content-encoding"), answer.header("etag")), (encoding, Some(&**tag)), "{headers:?}");
        assert_eq!(values(&answer, "vary"), ["Accept-Encoding"], "{headers:?}");
        assert_eq!(answer.header("x-file-size"), Some("50000"), "{headers:?}");
        let whole = if encoding.is_some() { &best.body } else { &body };
        match status {
            200 => assert!(answer.body == *whole),
            206 if !answer.header("content-type").unwrap().starts_with("multipart/") => {
                let range = if headers[0].1 == "bytes=49999-" { 49_999..50_000 } else { 5..15 };
                assert_eq!(answer.body, whole[range], "{headers:?}");
            }
            206 => assert!(answer.body.windows(2).any(|w| w == &whole[4..6])),
            _ => {}
        }
        // HEAD is GET without its body.
        let head = ask(&mut world.edge, "HEAD", "/media/public/a.json", &headers);
        let told = |a: &Answer| {
            let mut all: Vec<_> = a.headers.iter().filter(|(n, _)| !matches!(&**n, "date" | "x-amz-request-id")).cloned().collect();
            // The boundary is random.
            all.retain(|(n, v)| n != "content-type" || !v.starts_with("multipart/"));
            all
        };
        assert_eq!((head.status, told(&head)), (answer.status, told(&answer)), "{headers:?}");
    }
}

#[test]
fn small_ones_are_quick_at_first_and_best_later() {
    let mut world = world();
    let body = text(80_000, 4);
    world.put("public/a.gltf", &body, &[]);
    for (coding, accept) in [("br", "br"), ("zstd", "zstd"), ("gzip", "gzip")] {
        let first = world.get("public/a.gltf", &[("accept-encoding", accept)]);
        check(&first, &body, Some(coding));
        assert!(first.etag().ends_with(&format!("-{coding}1")), "{}", first.etag());
        let best = world.wait_for("public/a.gltf", accept, &format!("-{coding}2"));
        check(&best, &body, Some(coding));
        assert!(best.body.len() <= first.body.len(), "{coding}: {} > {}", best.body.len(), first.body.len());
        assert_eq!(world.metric(&format!("tidegate_variants_made_total{{encoding=\"{coding}\"}}")), 2);
    }
    assert!(world.metric("tidegate_variants_saved_bytes_total") > 0);
    assert!(world.metric("tidegate_variants_served_total{encoding=\"br\"}") >= 2);
    assert_eq!(world.variant_files().len(), 3);
    assert!(world.metric("tidegate_variants_bytes") >= 3 * 4096);
}

#[test]
fn large_ones_are_sent_as_they_are_until_the_best_is_made() {
    let mut world = quick_world();
    for (seed, (coding, accept)) in [("br", "gzip, br"), ("zstd", "zstd"), ("gzip", "gzip")].into_iter().enumerate() {
        // Brotli's best level is slow where it is not optimised: that one is of one piece.
        let (size, cut) = if coding == "br" { (LARGE, LARGE / 2) } else { (6_000_000, 5_500_000) };
        let (key, body) = (format!("public/{coding}.gltf"), text(size, seed as u64));
        if coding == "br" {
            world.put(&key, &body, &[]);
        } else {
            multipart(&mut world, &key, &[&body[..cut], &body[cut..]]);
        }
        let first = world.get(&key, &[("accept-encoding", accept)]);
        // A CDN comes back for the variant.
        assert!(first.header("cache-control").unwrap().ends_with(", s-maxage=10"), "{:?}", first.headers);
        assert!(first.body == body && first.header("content-encoding").is_none());
        assert_eq!(values(&first, "vary"), ["Accept-Encoding"]);
        // One who takes no coding has no reason to.
        assert!(!world.get(&key, &[]).header("cache-control").unwrap().contains("s-maxage"));
        let best = world.wait_for(&key, accept, &format!("-{coding}2"));
        assert!(!best.header("cache-control").unwrap().contains("s-maxage"));
        assert_eq!(best.header("x-file-size"), Some(&*size.to_string()));
        assert!(decode(Some(coding), &best.body) == body);
        assert_eq!(best.header("content-encoding"), Some(coding));
        let tag = best.header("etag").unwrap();
        let part = world.get(&key, &[("accept-encoding", accept), ("range", "bytes=100-2999"), ("if-range", tag)]).expect(206);
        assert!(part.body == best.body[100..3000]);
    }
}

fn multipart(world: &mut World, key: &str, parts: &[&[u8]]) {
    let upload = world.s3.create_upload(&acme(), "media", key);
    let mut tags = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let answer = world.s3.upload_part(&acme(), "media", key, &upload, n as u16 + 1, part).expect(200);
        tags.push((n as u16 + 1, answer.header("etag").unwrap().to_owned()));
    }
    world.s3.complete(&acme(), "media", key, &upload, &tags).expect(200);
}

#[test]
fn what_does_not_shrink_is_tried_once() {
    let mut world = quick_world();
    let mut state = 1u64;
    let noise = (0..LARGE).map(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    });
    let noise: Vec<u8> = noise.collect();
    world.put("public/small.bin", &noise[..50_000], &[]);
    world.put("public/large.bin", &noise, &[]);
    for _ in 0..3 {
        check(&world.get("public/small.bin", &BR), &noise[..50_000], None);
    }
    assert_eq!(world.metric("tidegate_variants_unfit_total"), 1);
    let start = Instant::now();
    // For as long as it is not known, a CDN shall ask again.
    while world.get("public/large.bin", &BR).header("cache-control").unwrap().contains("s-maxage") {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(world.metric("tidegate_variants_unfit_total"), 2);
    // Also after a start: that it is not worth it was kept.
    world.restart(|_| {});
    for _ in 0..3 {
        check(&world.get("public/large.bin", &BR), &noise, None);
    }
    assert_eq!(world.metric("tidegate_variants_unfit_total"), 0);
}

impl World {
    fn restart(&mut self, between: impl FnOnce(&std::path::Path)) {
        self.gateway.restart(between);
        self.s3 = self.gateway.client();
        self.edge = Client::new(self.gateway.address(Door::Edge));
    }
}

#[test]
fn one_is_made_however_many_ask() {
    let mut world = world_by(|setup| setup.variants.disk_bytes = 0);
    let body = text(60_000, 5);
    world.put("public/a.gltf", &body, &[]);
    let address = world.gateway.address(Door::Edge);
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                let mut client = Client::new(address);
                check(&ask(&mut client, "GET", "/media/public/a.gltf", &BR), &body, Some("br"));
            });
        }
    });
    assert_eq!(world.metric("tidegate_variants_made_total{encoding=\"br\"}"), 1);
    // Nothing is kept, so nothing large is made, and no CDN waits for it.
    world.put("public/large.gltf", &text(300_000, 5), &[]);
    assert!(!world.get("public/large.gltf", &BR).header("cache-control").unwrap().contains("s-maxage"));
    assert!(world.variant_files().is_empty());
}

#[test]
fn an_etag_is_never_on_other_bytes() {
    let mut world = quick_world();
    let versions: Vec<(String, Vec<u8>)> = (0..6)
        .map(|n| {
            let body = text(if n % 2 == 0 { 30_000 } else { LARGE }, 100 + n);
            (Md5Hasher::digest(&body).hex(), body)
        })
        .collect();
    world.put("public/a.gltf", &versions[0].1, &[]);
    let address = world.gateway.address(Door::Edge);
    let done = std::sync::atomic::AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|n| {
                let (done, versions) = (&done, &versions);
                scope.spawn(move || {
                    let accept = ["br", "zstd", "gzip"][n];
                    let mut client = Client::new(address);
                    let mut seen = 0;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let answer = ask(&mut client, "GET", "/media/public/a.gltf", &[("accept-encoding", accept)]).expect(200);
                        let etag = answer.etag();
                        let version = versions.iter().find(|(md5, _)| etag.starts_with(md5)).unwrap();
                        assert!(decode(answer.header("content-encoding"), &answer.body) == version.1, "{etag}");
                        assert_eq!(answer.header("content-encoding").is_some(), etag.contains('-'), "{etag}");
                        seen += usize::from(etag.contains('-'));
                    }
                    seen
                })
            })
            .collect();
        for round in 0..60 {
            world.put("public/a.gltf", &versions[round % versions.len()].1, &[]);
            std::thread::sleep(Duration::from_millis(25));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        readers.into_iter().map(|r| r.join().unwrap()).sum::<usize>()
    });
    assert!(seen > 0);
}

#[test]
fn the_folder_may_go_at_any_time() {
    let mut world = quick_world();
    let (small, large) = (text(60_000, 6), text(LARGE, 7));
    world.put("public/small.gltf", &small, &[]);
    world.put("public/large.gltf", &large, &[]);
    for _ in 0..2 {
        world.wait_for("public/small.gltf", "br", "-br2");
        let best = world.wait_for("public/large.gltf", "br", "-br2");
        assert!(decode(Some("br"), &best.body) == large);
        std::fs::remove_dir_all(world.gateway.data().join("variants")).unwrap();
        for (key, body) in [("public/small.gltf", &small), ("public/large.gltf", &large)] {
            let answer = world.get(key, &BR).expect(200);
            assert!(decode(answer.header("content-encoding"), &answer.body) == *body);
        }
        world.restart(|_| {});
    }
    // After a start they are found, and not made again.
    world.wait_for("public/small.gltf", "br", "-br2");
    world.wait_for("public/large.gltf", "br", "-br2");
    world.restart(|_| {});
    let found = world.get("public/small.gltf", &BR);
    check(&found, &small, Some("br"));
    assert!(found.etag().ends_with("-br2"));
    world.wait_for("public/large.gltf", "br", "-br2");
    assert_eq!(world.metric("tidegate_variants_made_total{encoding=\"br\"}"), 0);
}

#[test]
fn a_damaged_file_is_as_good_as_none() {
    let mut world = quick_world();
    let (small, large) = (text(60_000, 8), text(LARGE, 9));
    world.put("public/small.gltf", &small, &[]);
    world.put("public/large.gltf", &large, &[]);
    world.wait_for("public/small.gltf", "br", "-br2");
    world.wait_for("public/large.gltf", "br", "-br2");
    type Damage = fn(&mut Vec<u8>);
    let damages: [Damage; 6] = [
        |b| b.truncate(b.len() / 2),
        |b| b.clear(),
        |b| b.truncate(63),
        |b| {
            let middle = b.len() / 2;
            b[middle] ^= 1;
        },
        |b| b[20] ^= 1,
        |b| b.fill(0),
    ];
    for damage in damages {
        let files: Vec<PathBuf> = world.variant_files().into_iter().filter(|f| f.to_str().unwrap().ends_with(".br2")).collect();
        assert_eq!(files.len(), 2);
        world.restart(|data| {
            for file in &files {
                let mut bytes = std::fs::read(file).unwrap();
                damage(&mut bytes);
                std::fs::write(file, bytes).unwrap();
            }
            // What a kill leaves behind while one is being made.
            std::fs::create_dir_all(data.join("variants/.making")).unwrap();
            std::fs::write(data.join("variants/.making/7"), "half").unwrap();
        });
        for (key, body) in [("public/small.gltf", &small), ("public/large.gltf", &large)] {
            let answer = world.get(key, &BR).expect(200);
            assert!(decode(answer.header("content-encoding"), &answer.body) == *body);
            let made = world.wait_for(key, "br", "-br2");
            assert!(decode(Some("br"), &made.body) == *body);
        }
        assert!(!world.gateway.data().join("variants/.making/7").exists());
    }
    // A true file under another's name.
    let files: Vec<PathBuf> = world.variant_files();
    world.restart(|_| {
        let bytes = std::fs::read(&files[0]).unwrap();
        std::fs::write(&files[1], bytes).unwrap();
    });
    for (key, body) in [("public/small.gltf", &small), ("public/large.gltf", &large)] {
        assert!(decode(Some("br"), &world.wait_for(key, "br", "-br2").body) == *body);
    }
}

#[test]
fn the_folder_stays_inside_its_limit() {
    let mut world = world_by(|setup| setup.variants.disk_bytes = 100_000);
    for n in 0..12 {
        let key = format!("public/{n}.gltf");
        world.put(&key, &text(100_000, 200 + n), &[]);
        world.wait_for(&key, "gzip", "-gzip2");
    }
    assert!(world.metric("tidegate_variants_evicted_total") > 0);
    let start = Instant::now();
    while files_under(&world.gateway.data().join("variants")).iter().map(|f| std::fs::metadata(f).map_or(0, |m| m.len())).sum::<u64>()
        > 100_000
    {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_variant_opens_nothing() {
    let mut world = quick_world();
    let body = text(60_000, 10);
    world.put("private/a.gltf", &body, &[]);
    world.put("public/a.gltf", &body, &[]);
    // The same content is public elsewhere, and its variant is made.
    world.wait_for("public/a.gltf", "br", "-br2");
    world.get("private/a.gltf", &BR).expect(403);
    world.get("private/a.gltf", &[BR[0], ("if-none-match", "*")]).expect(403);
    let request = Request::new("GET", "/media/private/a.gltf").unsigned_header("accept-encoding", "br");
    let shown = world.edge.send(&request, Sign::Presigned(&acme())).expect(200);
    check(&shown, &body, Some("br"));
    assert!(shown.header("cache-control").unwrap().starts_with("private, max-age="));
    // One that is not there yet is private too.
    world.put("private/large.gltf", &text(LARGE, 11), &[]);
    let request = Request::new("GET", "/media/private/large.gltf").unsigned_header("accept-encoding", "br");
    let shown = world.edge.send(&request, Sign::Presigned(&acme())).expect(200);
    assert!(
        shown.header("cache-control").unwrap().starts_with("private, max-age=")
            && !shown.header("cache-control").unwrap().contains("s-maxage")
    );
}

#[test]
fn names_by_hash_are_for_ever_in_every_form() {
    let mut world = world();
    let body = text(60_000, 12);
    let key = format!("public/{}.gltf", crate::edge::hash_name(&body, 64));
    world.put(&key, &body, &[]);
    assert_eq!(world.get(&key, &BR).header("cache-control"), Some(IMMUTABLE));
}

fn encoded(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "br" => {
            let mut out = Vec::new();
            brotli::CompressorReader::new(body, 4096, 5, 20).read_to_end(&mut out).unwrap();
            out
        }
        "zstd" => zstd::encode_all(body, 3).unwrap(),
        "gzip" | "x-gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "bare" => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_stored_encoded_is_decoded_for_who_did_not_ask() {
    let mut world = world();
    let body = text(300_000, 13);
    for coding in ["br", "zstd", "gzip", "x-gzip", "deflate", "bare"] {
        let (key, stored) = (format!("public/{coding}.gltf"), encoded(coding, &body));
        assert!(stored.len() < 256 * 1024);
        let named = if coding == "bare" { "deflate" } else { coding };
        world.put(&key, &stored, &[("content-encoding", named), ("content-type", "model/gltf+json")]);
        for accept in ["identity", "", "compress"] {
            let answer = world.get(&key, &[("accept-encoding", accept)]);
            check(&answer, &body, None);
            assert!(answer.etag().ends_with("-id1"), "{coding}");
            let tag = answer.header("etag").unwrap().to_owned();
            world.get(&key, &[("accept-encoding", accept), ("if-none-match", &tag)]).expect(304);
            let part = world.get(&key, &[("range", "bytes=7-16"), ("if-range", &tag)]).expect(206);
            assert_eq!(part.body, body[7..17]);
        }
        // Who takes it, and who wants a part of it, gets what is stored.
        for headers in [vec![("accept-encoding", named)], vec![("accept-encoding", "*")], vec![("range", "bytes=0-")]] {
            let answer = world.get(&key, &headers);
            assert!(answer.body == stored, "{headers:?}");
            assert_eq!((answer.header("content-encoding"), answer.header("x-file-size")), (Some(named), None));
            assert_eq!(values(&answer, "vary"), ["Accept-Encoding"]);
        }
        assert!(ask(&mut world.host("plain.test"), "GET", &format!("/{key}"), &[]).body == stored);
    }
    let large = text(8_000_000, 14);
    let stored = encoded("gzip", &large);
    world.put("public/large.json", &stored, &[("content-encoding", "gzip")]);
    let first = world.get("public/large.json", &[]).expect(200);
    assert_eq!(first.header("content-encoding"), Some("gzip"));
    assert!(first.header("cache-control").unwrap().contains("s-maxage=10"));
    assert!(world.wait_for("public/large.json", "", "-id1").body == large);
    assert!(world.metric("tidegate_variants_served_total{encoding=\"identity\"}") > 0);
}

#[test]
fn what_can_not_be_decoded_stays_as_it_is() {
    let mut world = world_by(|setup| setup.variants.largest_bytes = 64 * 1024 * 1024);
    let good = encoded("gzip", &text(100_000, 15));
    let mut wrong = good.clone();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 0x55;
    let bomb = encoded("zstd", &vec![0; 100_000_000]);
    let brotli_bomb = encoded("br", &vec![0; 100_000_000]);
    assert!(bomb.len() < 20_000 && brotli_bomb.len() < 20_000);
    for (name, coding, stored) in [
        ("half", "gzip", good[..good.len() / 2].to_vec()),
        ("wrong", "gzip", wrong),
        ("none", "gzip", b"not gzip at all".to_vec()),
        ("none.br", "br", vec![0xff; 3000]),
        ("none.zstd", "zstd", b"not zstd".to_vec()),
        ("none.deflate", "deflate", vec![0xff; 3000]),
        ("more", "gzip", [&good[..], b"more behind it"].concat()),
        ("bomb", "zstd", bomb),
        ("bomb.br", "br", brotli_bomb),
        ("two", "gzip, br", good.clone()),
        ("strange", "lzma", good.clone()),
        ("empty", "gzip", Vec::new()),
    ] {
        let key = format!("public/{name}");
        world.put(&key, &stored, &[("content-encoding", coding)]);
        let start = Instant::now();
        // A bomb is tried at once, and once more in the background.
        while world.get(&key, &[]).expect(200).header("cache-control").unwrap().contains("s-maxage") {
            assert!(start.elapsed() < Duration::from_secs(60), "{name}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let answer = world.get(&key, &[]).expect(200);
        assert!(answer.body == stored, "{name}");
        assert_eq!(answer.header("content-encoding"), Some(coding), "{name}");
    }
    assert!(world.variant_files().iter().all(|f| std::fs::metadata(f).unwrap().len() <= 64));
}
