//! Files as they should be, and files that are made to break their reader: each is told for what it is, and none ends the inspection.

use super::format::Format;
use super::inspect::{Declared, inspect};
use super::samples::{self, triangle_with};
use crate::base::inspection::{Fact, Inspection, Verdict};

fn look(bytes: &[u8], content_type: &str) -> Inspection {
    inspect(bytes, &Declared { content_type, name: "" })
}

fn refused(bytes: &[u8], content_type: &str, why: &str) {
    let found = look(bytes, content_type);
    assert_eq!(found.verdict, Verdict::Refused, "{why}: {found:?}");
    assert!(found.findings.iter().any(|f| f.text.contains(why)), "{why:?} not in {:?}", found.findings);
}

const GLB: &str = "model/gltf-binary";

#[test]
fn whole_files_pass_and_say_what_is_in_them() {
    let facts: &[(Format, &[(Fact, u64)])] = &[
        (Format::Glb, &[(Fact::Triangles, 1), (Fact::Vertices, 3), (Fact::Meshes, 1), (Fact::Nodes, 1)]),
        (Format::Gltf, &[(Fact::Triangles, 1)]),
        (Format::Png, &[(Fact::Width, 2), (Fact::Height, 3), (Fact::Channels, 4)]),
        (Format::Jpeg, &[(Fact::Width, 2), (Fact::Height, 3), (Fact::Channels, 1)]),
        (Format::WebP, &[(Fact::Width, 2), (Fact::Height, 3)]),
        (Format::Gif, &[(Fact::Width, 2), (Fact::Height, 3), (Fact::Frames, 1)]),
        (Format::Avif, &[(Fact::Width, 2), (Fact::Height, 3), (Fact::Channels, 3)]),
        (Format::Hdr, &[(Fact::Width, 2), (Fact::Height, 3)]),
        (Format::Exr, &[(Fact::Width, 2), (Fact::Height, 3), (Fact::Channels, 1)]),
        (Format::Ktx2, &[(Fact::Width, 4), (Fact::Height, 4), (Fact::Levels, 1), (Fact::Faces, 1)]),
        (Format::Mp3, &[(Fact::DurationMs, 104), (Fact::Channels, 2), (Fact::SampleRate, 44_100), (Fact::Frames, 4)]),
        (Format::Wav, &[(Fact::DurationMs, 100), (Fact::Channels, 2), (Fact::SampleRate, 44_100)]),
        (Format::Ogg, &[(Fact::DurationMs, 1000), (Fact::Channels, 2), (Fact::SampleRate, 48_000)]),
        (Format::Flac, &[(Fact::DurationMs, 2000), (Fact::Channels, 2), (Fact::SampleRate, 48_000)]),
        (Format::Mp4, &[(Fact::DurationMs, 2500), (Fact::Width, 64), (Fact::Height, 32)]),
        (Format::WebM, &[(Fact::DurationMs, 1500), (Fact::Width, 64), (Fact::Height, 32)]),
        (Format::Json, &[]),
    ];
    for (format, facts) in facts {
        let found = look(&samples::of(*format), format.media_type());
        assert_eq!((found.verdict, found.format.as_str()), (Verdict::Passed, format.name()), "{found:?}");
        for (fact, value) in *facts {
            assert_eq!(found.fact(*fact), Some(*value), "{format:?} {fact:?}");
        }
    }
    assert_eq!(facts.len(), Format::ALL.len());
}

#[test]
fn a_file_is_what_its_bytes_are() {
    let page = b"<!DOCTYPE html><html><title>502 Bad Gateway</title></html>";
    refused(page, GLB, "declared as glb and its bytes are an HTML page");
    refused(b"", "image/png", "it is empty");
    refused(b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>", "image/jpeg", "an XML error document");
    for format in Format::ALL {
        // glTF is JSON.
        let others = Format::ALL.into_iter().filter(|o| *o != format && *o != Format::Gltf && *o != Format::Json);
        for other in others {
            let found = look(&samples::of(format), other.media_type());
            assert_eq!(found.verdict, Verdict::Refused, "{format:?} as {other:?}");
        }
        refused(page, format.media_type(), "an HTML page");
    }
    let by_name = inspect(&samples::of(Format::Png), &Declared { content_type: "image/png", name: "a.jpg" });
    assert_eq!(by_name.verdict, Verdict::Flagged, "{by_name:?}");
    assert_eq!(look(&samples::of(Format::Png), "application/octet-stream").verdict, Verdict::Passed);
}

#[test]
fn what_is_cut_short_is_found() {
    for format in Format::ALL {
        let whole = samples::of(format);
        for end in 0..whole.len() {
            let found = look(&whole[..end], format.media_type());
            let half = match format {
                // Frames are whole by themselves.
                Format::Mp3 => end >= 417,
                // Between header and data there is nothing that says how much there is.
                Format::Exr => end >= whole.len() - 16,
                Format::Flac => end > whole.len() - 3,
                _ => false,
            };
            assert!(half || found.verdict != Verdict::Passed, "{format:?} at {end} of {}: {found:?}", whole.len());
        }
    }
}

#[test]
fn numbers_that_lie_are_found() {
    for (from, to, why) in [
        ("\"count\":3,\"type\":\"VEC3\"", "\"count\":4,\"type\":\"VEC3\"", "its buffer view has 36 bytes"),
        ("\"count\":3,\"type\":\"VEC3\"", "\"count\":18446744073709551615,\"type\":\"VEC3\"", "no whole number"),
        ("\"count\":3,\"type\":\"VEC3\"", "\"count\":0,\"type\":\"VEC3\"", "no elements"),
        ("\"byteLength\":36", "\"byteLength\":360", "of a buffer of 44"),
        ("\"byteOffset\":8", "\"byteOffset\":9007199254740991", "of a buffer of 44"),
        ("\"byteLength\":44", "\"byteLength\":4400000", "buffer 0 is said to have"),
        ("\"POSITION\":1", "\"POSITION\":7", "there is no accessor 7"),
        ("\"nodes\":[0]", "\"nodes\":[5]", "scene 0 names something"),
        ("{\"mesh\":0}", "{\"mesh\":1}", "node 0 is of mesh 1"),
        ("{\"mesh\":0}", "{\"mesh\":0,\"children\":[0]}", "its own ancestor"),
        ("[{\"mesh\":0}]", "[{\"children\":[1]},{\"children\":[2]},{\"children\":[0]}]", "its own ancestor"),
        ("[{\"mesh\":0}]", "[{\"children\":[2]},{\"children\":[2]},{}]", "two parents"),
        ("\"version\":\"2.0\"", "\"version\":\"1.0\"", "glTF 1.0"),
        ("\"max\":[1,1,0]", "\"max\":[1e999,1,0]", "a max that is no number"),
        ("\"indices\":0", "\"indices\":0,\"mode\":9", "that there is not"),
        ("\"scene\":0", "\"scene\":0,\"scene\":0", "a name twice"),
        ("\"scene\":0", "\"scene\":NaN", "begins no value"),
        ("\"scene\":0", "\"materials\":[{\"extensions\":{\"X\":{\"someTexture\":{\"index\":3}}}}]", "material 0 is of index 3"),
    ] {
        refused(&triangle_with(from, to), GLB, why);
    }
    // 580 bytes that say 18 GB: a sparse accessor without a view of its own.
    let sparse = r#""sparse":{"count":1,"indices":{"bufferView":0,"componentType":5123},"values":{"bufferView":1}}"#;
    let bomb = triangle_with(
        "{\"bufferView\":1,\"componentType\":5126,\"count\":3",
        &format!("{{{sparse},\"componentType\":5126,\"count\":1500000000"),
    );
    refused(&bomb, GLB, "18000000000 bytes");
    let mut outside = samples::buffer();
    outside[4] = 3;
    refused(&super::glb::write(samples::GLTF, &outside).unwrap(), GLB, "has the index 3, and there are 3 vertices");
    let mut nan = samples::buffer();
    nan[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
    refused(&super::glb::write(samples::GLTF, &nan).unwrap(), GLB, "numbers that are none");
    let deep = format!("{{\"asset\":{{\"version\":\"2.0\"}},\"extras\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    refused(deep.as_bytes(), "model/gltf+json", "more than 128 levels");
    refused("[".repeat(100_000).as_bytes(), "application/json", "it is no JSON");
}

#[test]
fn bombs_are_named() {
    let huge = samples::png(65_535, 65_535, &[("IDAT", b"x")]);
    let found = look(&huge, "image/png");
    assert_eq!(found.verdict, Verdict::Flagged);
    assert!(found.findings[0].text.contains("65535 x 65535 pixels"), "{found:?}");
    refused(&samples::png(0, 1, &[("IDAT", b"x")]), "image/png", "0 x 1 pixels");
    refused(&samples::ktx2(4, 4, 1 << 40), "image/ktx2", "unpacked");
    let mut broken = samples::of(Format::Png);
    broken[17] ^= 1;
    refused(&broken, "image/png", "the checksum of its IHDR chunk");
}

#[test]
fn many_triangles_are_flagged_and_not_refused() {
    let count = 150_006u32;
    let mut bin = vec![0u8; 36];
    for n in 0..count {
        bin.extend_from_slice(&(n % 3).to_le_bytes());
    }
    let json = format!(
        r#"{{"asset":{{"version":"2.0"}},"meshes":[{{"primitives":[{{"attributes":{{"POSITION":0}},"indices":1}}]}}],
        "buffers":[{{"byteLength":{0}}}],"bufferViews":[{{"buffer":0,"byteLength":36}},{{"buffer":0,"byteOffset":36,"byteLength":{1}}}],
        "accessors":[{{"bufferView":0,"componentType":5126,"count":3,"type":"VEC3"}},
        {{"bufferView":1,"componentType":5125,"count":{count},"type":"SCALAR"}}]}}"#,
        bin.len(),
        count * 4
    );
    let found = look(&super::glb::write(&json, &bin).unwrap(), GLB);
    assert_eq!((found.verdict, found.fact(Fact::Triangles)), (Verdict::Flagged, Some(50_002)), "{found:?}");
}

/// What a fuzzer does for longer.
#[test]
fn bytes_that_were_changed_end_no_inspection() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below.max(1) as u64) as usize
    };
    for format in Format::ALL {
        let whole = samples::of(format);
        for _ in 0..1500 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random(4) {
                let at = random(bytes.len());
                bytes[at] = [0, 0xff, 0x7f, 0x80, random(256) as u8][random(5)];
            }
            bytes.truncate(whole.len() - if random(3) == 0 { random(whole.len()) } else { 0 });
            look(&bytes, format.media_type());
        }
    }
}
