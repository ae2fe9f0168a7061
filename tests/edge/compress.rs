//! Selective compression as browsers and CDNs meet it.

use std::io::Read;

use tidegate::telemetry::metrics::Door;

use crate::edge::{World, ask, values, world};
use crate::support::client::{Answer, Client, Request, Sign};

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
