//! Forms of a model beside Draco's: packed by meshoptimizer, and with fewer triangles. All that a model can do survives; what is hostile
//! has a reason.

use serde_json::{Value, json};
use tidegate::media::glb;

use super::optimize::{document, grid_of, optimized_with};
use crate::support::binary::Place;

/// A bar of rings that two joints bend and a morph target widens, with all that may be said of a vertex, an animation, and extras everywhere.
fn bar(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (around, along) = (24u32, 40u32);
    let mut parts: [Vec<u8>; 9] = Default::default();
    let put = |part: &mut Vec<u8>, floats: &[f32]| part.extend(floats.iter().flat_map(|f| f.to_le_bytes()));
    for y in 0..=along {
        for x in 0..=around {
            let (u, v) = (x as f32 / around as f32, y as f32 / along as f32);
            let (sin, cos) = (u * std::f32::consts::TAU).sin_cos();
            let wide = 0.3 + 0.05 * (v * 9.0).sin();
            put(&mut parts[0], &[cos * wide, v * 3.0, -sin * wide]);
            put(&mut parts[1], &[cos, 0.0, -sin]);
            put(&mut parts[2], &[u, v]);
            put(&mut parts[3], &[v, 1.0 - v, 0.0, 0.0]);
            parts[4].extend([1u8, 0, 0, 0]);
            put(&mut parts[5], &[cos * 0.1 * v, 0.0, -sin * 0.1 * v]);
            parts[6].extend([(u * 255.0) as u8, (v * 255.0) as u8, 90]);
            if x < around && y < along {
                let (here, above) = (y * (around + 1) + x, (y + 1) * (around + 1) + x);
                parts[7].extend([here, here + 1, above, above, here + 1, above + 1].iter().flat_map(|n| (*n as u16).to_le_bytes()));
            }
        }
    }
    for n in 0..64 {
        put(&mut parts[8], &[n as f32 / 16.0]);
    }
    let mut turns = Vec::new();
    (0..64).for_each(|n| put(&mut turns, &[0.0, 0.0, (n as f32 / 80.0).sin(), (n as f32 / 80.0).cos()]));
    let (mut bin, mut views) = (Vec::new(), Vec::new());
    for part in parts.iter().chain([&turns]) {
        bin.resize(bin.len().next_multiple_of(4), 0);
        views.push(json!({ "buffer": 0, "byteOffset": bin.len(), "byteLength": part.len() }));
        bin.extend_from_slice(part);
    }
    // Three bytes for each vertex lie four apart in a file.
    let colours: Vec<u8> = parts[6].chunks(3).flat_map(|c| [c[0], c[1], c[2], 0]).collect();
    views.push(json!({ "buffer": 0, "byteOffset": bin.len(), "byteLength": colours.len(), "byteStride": 4 }));
    bin.extend_from_slice(&colours);
    let vertices = (around + 1) * (along + 1);
    let of =
        |view: u32, component: u32, kind: &str| json!({ "bufferView": view, "componentType": component, "count": vertices, "type": kind });
    let bounds = |mut accessor: Value, x: f32, low: f32, high: f32| {
        accessor["min"] = json!([-x, low, -x]);
        accessor["max"] = json!([x, high, x]);
        accessor
    };
    let mut document = json!({
        "asset": { "version": "2.0", "extras": { "by": "a test" } },
        "scene": 0,
        "scenes": [{ "nodes": [0, 1] }],
        "nodes": [{ "mesh": 0, "skin": 0, "name": "bar" }, { "children": [2] }, { "translation": [0, 1.5, 0], "extras": { "kept": [1.0] } }],
        "skins": [{ "joints": [1, 2] }],
        "meshes": [{ "weights": [0.25], "extras": { "targetNames": ["wide"] }, "primitives": [{
            "attributes": { "POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2, "WEIGHTS_0": 3, "JOINTS_0": 4, "COLOR_0": 6 },
            "indices": 7, "material": 0, "targets": [{ "POSITION": 5 }],
        }] }],
        "materials": [{ "name": "red", "pbrMetallicRoughness": { "baseColorFactor": [0.9, 0.2, 0.1, 1], "metallicFactor": 0.1 } }],
        "animations": [{
            "channels": [{ "sampler": 0, "target": { "node": 2, "path": "rotation" } }],
            "samplers": [{ "input": 8, "output": 9 }],
        }],
        "buffers": [{ "byteLength": bin.len() }],
        "bufferViews": views,
        "accessors": [
            bounds(of(0, 5126, "VEC3"), 0.35, 0.0, 3.0), of(1, 5126, "VEC3"), of(2, 5126, "VEC2"), of(3, 5126, "VEC4"), of(4, 5121, "VEC4"),
            bounds(of(5, 5126, "VEC3"), 0.1, 0.0, 0.0),
            json!({ "bufferView": 10, "componentType": 5121, "normalized": true, "count": vertices, "type": "VEC3", "name": "tint" }),
            json!({ "bufferView": 7, "componentType": 5123, "count": around * along * 6, "type": "SCALAR" }),
            json!({ "bufferView": 8, "componentType": 5126, "count": 64, "type": "SCALAR", "min": [0], "max": [3.9375] }),
            json!({ "bufferView": 9, "componentType": 5126, "count": 64, "type": "VEC4" }),
        ],
    });
    change(&mut document);
    glb::write(&document.to_string(), &bin).unwrap()
}

/// Of the two, which are the same.
fn one_mesh(document: &mut Value) {
    document["nodes"] = json!([{ "mesh": 0 }]);
    document["scenes"] = json!([{ "nodes": [0] }]);
}

fn source<'m>(manifest: &'m Value, variant: &str) -> &'m Value {
    let found = manifest["sources"].as_array().unwrap().iter().find(|s| s["variant"] == variant);
    found.unwrap_or_else(|| panic!("no {variant}: {manifest:#}"))
}

/// What a bar has beside its geometry.
fn assert_all_is_there(made: &Value, original: &Value) {
    for part in ["nodes", "skins", "materials", "scenes", "asset"] {
        assert_eq!(made[part], original[part], "{part}");
    }
    let (mesh, before) = (&made["meshes"][0], &original["meshes"][0]);
    assert_eq!((&mesh["weights"], &mesh["extras"]), (&before["weights"], &before["extras"]));
    let names = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let primitive = |of: &Value| names(&of["primitives"][0]["attributes"]);
    assert_eq!((primitive(mesh), names(&mesh["primitives"][0]["targets"][0])), (primitive(before), vec!["POSITION".to_owned()]));
    let tint = mesh["primitives"][0]["attributes"]["COLOR_0"].as_u64().unwrap() as usize;
    assert_eq!((&made["accessors"][tint]["name"], &made["accessors"][tint]["normalized"]), (&json!("tint"), &json!(true)));
    assert_eq!(made["animations"][0]["channels"], original["animations"][0]["channels"]);
}

#[test]
fn meshopt_packs_all_that_a_model_has() {
    let place = Place::new();
    let original = bar(|_| {});
    let (manifest, files) = optimized_with(&place, "bar.glb", &original, &["--steps", "meshopt", "--psnr", "36", "--ssim", "0.97"]);
    let packed = source(&manifest, "meshopt");
    let bytes = &files[packed["url"].as_str().unwrap()];
    assert!(bytes.len() * 3 < original.len(), "{} of {}", bytes.len(), original.len());
    assert!(packed["psnr"].as_f64().unwrap() > 36.0 && packed["views"].as_array().unwrap().len() == 12, "{packed}");
    let error = packed["position_error"].as_f64().unwrap();
    assert!(error > 0.0 && error <= 3.0 / 16_383.0, "{error}");
    let made = document(bytes);
    assert_all_is_there(&made, &document(&original));
    // Its normals stay floats: a morph target adds to what it moves.
    assert_eq!(made["extensionsRequired"], json!(["EXT_meshopt_compression"]));
    // All is in streams; the buffer that they are unpacked into has no bytes in the file.
    assert!(made["bufferViews"].as_array().unwrap().iter().all(|v| v["extensions"]["EXT_meshopt_compression"]["buffer"] == 0), "{made}");
    assert_eq!(made["buffers"][1]["extensions"]["EXT_meshopt_compression"]["fallback"], true);
    // What is packed can be read and drawn.
    std::fs::write(place.path("packed.glb"), bytes).unwrap();
    assert!(place.run(&["inspect", "packed.glb"]).status.success());
    assert!(place.run(&["poster", "packed.glb", "-o", "packed.webp", "--size", "32"]).status.success());
}

#[test]
fn levels_of_detail_state_an_error_that_they_keep() {
    let place = Place::new();
    let original = grid_of(30, one_mesh);
    // Seen along its plane, a grid with fewer triangles looks like another one.
    let steps = ["--steps", "meshopt,lod1,lod2", "--khr-meshopt", "--lod-error", "0.03", "--lod-psnr", "10", "--lod-ssim", "0"];
    let (manifest, files) = optimized_with(&place, "grid.glb", &original, &steps);
    assert_eq!(optimized_with(&place, "grid.glb", &original, &steps).1, files, "the same bytes each time");
    let mut triangles = manifest["source"]["triangles"].as_u64().unwrap();
    for variant in ["lod1", "lod2"] {
        let level = source(&manifest, variant);
        let (now, error) = (level["triangles"].as_u64().unwrap(), level["error"].as_f64().unwrap());
        assert!(now < triangles && error <= level["error_bound"].as_f64().unwrap() && error > 0.0, "{level}");
        assert!((level["position_error"].as_f64().unwrap() - error).abs() < 1e-6, "it is 1 wide: {level}");
        triangles = now;
    }
    let packed = document(&files[source(&manifest, "meshopt")["url"].as_str().unwrap()]);
    assert_eq!((&packed["extensionsRequired"], &manifest["recipe"]["khr_meshopt"]), (&json!(["KHR_meshopt_compression"]), &json!(true)));
    // The bound wins over the number of triangles, and pictures over both.
    let (manifest, _) = optimized_with(&place, "grid.glb", &original, &["--steps", "lod3", "--lod-error", "0.0000001"]);
    assert!(manifest["sources"].as_array().unwrap().is_empty() && manifest["skipped"].to_string().contains("error"), "{manifest}");
    let (manifest, _) = optimized_with(&place, "grid.glb", &original, &["--steps", "lod3", "--lod-psnr", "90"]);
    assert_eq!((&manifest["refused"][0]["variant"], &manifest["refused"][0]["bounds"]["psnr"]), (&json!("lod3"), &json!(90.0)));
    // Skins, morph targets and animations come along.
    let original = bar(|_| {});
    let (manifest, files) = optimized_with(&place, "bar.glb", &original, &["--steps", "lod1", "--lod-psnr", "10", "--lod-ssim", "0"]);
    assert_all_is_there(&document(&files[source(&manifest, "lod1")["url"].as_str().unwrap()]), &document(&original));
}

/// A grid with a picture on it as its colour, its normals, and its roughness.
fn textured(side: u32, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    // As a photograph has it, so that PNG can't make it small.
    let noise = |n: u32| {
        let mixed = n.wrapping_mul(0x9e37_79b1);
        ((mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca6b) >> 24) as u8
    };
    let picture = |of: &dyn Fn(u32, u32) -> [u8; 3]| {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, side, side);
        encoder.set_color(png::ColorType::Rgb);
        let pixels: Vec<u8> = (0..side * side).flat_map(|n| of(n % side, n / side)).collect();
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        out
    };
    let colour =
        picture(&|x, y| [(x * 127 / side) as u8 + noise(y * side + x) / 16, (y * 127 / side) as u8 + noise(x * side + y) / 16, 90]);
    let normal = picture(&|x, y| [112 + noise(y * side + x) / 8, 112 + noise(x * side + y) / 8, 240 + noise(x * 7 + y * 977) / 16]);
    let surface = picture(&|x, y| [noise(x * 977 + y * 31), 128 + noise(y * side + x) / 8, noise(x * 3 + y * 641)]);
    let plain = grid_of(20, one_mesh);
    let container = glb::Glb::parse(&plain).unwrap();
    let (mut document, mut bin): (Value, _) = (serde_json::from_slice(container.json).unwrap(), container.bin.unwrap().to_vec());
    (document["images"], document["textures"]) = (json!([]), json!([]));
    for (n, bytes) in [colour, normal, surface].iter().enumerate() {
        bin.resize(bin.len().next_multiple_of(4), 0);
        let view = json!({ "buffer": 0, "byteOffset": bin.len(), "byteLength": bytes.len() });
        bin.extend_from_slice(bytes);
        let mut add = |to: &str, what: Value| {
            let all = document[to].as_array_mut().unwrap();
            all.push(what);
            all.len() - 1
        };
        let view = add("bufferViews", view);
        add("images", json!({ "bufferView": view, "mimeType": "image/png", "name": format!("picture {n}") }));
        add("textures", json!({ "source": n, "extras": n }));
    }
    document["materials"] = json!([{
        "pbrMetallicRoughness": { "baseColorTexture": { "index": 0 }, "metallicRoughnessTexture": { "index": 2 }, "metallicFactor": 0 },
        "normalTexture": { "index": 1 },
    }]);
    document["meshes"][0]["primitives"][0]["material"] = json!(0);
    document["buffers"][0]["byteLength"] = json!(bin.len());
    change(&mut document);
    glb::write(&document.to_string(), &bin).unwrap()
}

#[test]
fn pictures_become_textures_that_look_the_same() {
    let place = Place::new();
    let original = textured(128, |_| {});
    let steps = ["--steps", "ktx2", "--texture-psnr", "28", "--texture-ssim", "0.8"];
    let (manifest, files) = optimized_with(&place, "grid.glb", &original, &steps);
    assert_eq!(optimized_with(&place, "grid.glb", &original, &steps).1, files, "the same bytes each time");
    let made = source(&manifest, "ktx2");
    let bytes = &files[made["url"].as_str().unwrap()];
    assert!(bytes.len() < original.len() && made["psnr"].as_f64().unwrap() > 28.0, "{made}");
    let (after, before) = (document(bytes), document(&original));
    assert!(after["extensionsRequired"] == json!(["KHR_texture_basisu"]) && after["materials"] == before["materials"], "{after}");
    let textures = made["textures"].as_array().unwrap();
    assert!(!textures.is_empty() && made["gpu_bytes"].as_u64() < manifest["source"]["gpu_bytes"].as_u64(), "{made}");
    let colour = textures.iter().find(|t| t["image"] == 0).unwrap();
    assert_eq!((&colour["form"], &colour["width"], &colour["levels"]), (&json!("ETC1S"), &json!(128), &json!(8)), "{made}");
    for texture in textures {
        let n = texture["image"].as_u64().unwrap() as usize;
        assert_eq!(after["images"][n]["mimeType"], "image/ktx2");
        assert_eq!(after["textures"][n], json!({ "extras": n, "extensions": { "KHR_texture_basisu": { "source": n } } }));
    }
    // Everything that reads models reads these.
    std::fs::write(place.path("made.glb"), bytes).unwrap();
    assert!(place.run(&["inspect", "made.glb"]).status.success());
    assert!(place.run(&["poster", "made.glb", "-o", "made.webp", "--size", "32"]).status.success());
    let alike = |a: &str, b: &str| place.run(&["compare", a, b, "--psnr", "28", "--ssim", "0.8"]).status.success();
    assert!(alike("grid.glb", "made.glb"));
    // Sabotage is seen: another texture as the colour.
    let container = glb::Glb::parse(bytes).unwrap();
    let mut swapped = after.clone();
    swapped["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]["index"] = json!(1);
    std::fs::write(place.path("swapped.glb"), glb::write(&swapped.to_string(), container.bin.unwrap()).unwrap()).unwrap();
    assert!(!alike("grid.glb", "swapped.glb"));
    // The proof decides.
    let (manifest, _) = optimized_with(&place, "grid.glb", &original, &["--steps", "ktx2", "--texture-psnr", "99"]);
    assert_eq!((&manifest["refused"][0]["variant"], &manifest["refused"][0]["bounds"]["psnr"]), (&json!("ktx2"), &json!(99.0)));
}

#[test]
fn pictures_that_can_not_be_textures_are_left_and_told() {
    let place = Place::new();
    let two_uses = textured(64, |d| d["materials"][0]["emissiveTexture"] = json!({ "index": 2 }));
    let (manifest, _) = optimized_with(&place, "two.glb", &two_uses, &["--steps", "ktx2", "--texture-psnr", "0", "--texture-ssim", "0"]);
    assert!(manifest["skipped"].to_string().contains("a colour in one place"), "{manifest}");
    // A texture that lies: a reason, and never the end of the worker.
    let (_, files) =
        optimized_with(&place, "whole.glb", &textured(64, |_| {}), &["--steps", "ktx2", "--texture-psnr", "0", "--texture-ssim", "0"]);
    let whole = files.iter().find(|(name, _)| name.ends_with(".glb")).unwrap().1;
    let at = whole.windows(5).position(|w| w == b"\xabKTX ").unwrap();
    for n in (12..400).step_by(31) {
        let mut turned = whole.clone();
        turned[at + n] ^= 0x55;
        std::fs::write(place.path("turned.glb"), turned).unwrap();
        let done = place.run(&["poster", "turned.glb", "-o", "turned.webp", "--size", "32"]);
        assert!(!String::from_utf8_lossy(&done.stderr).contains("worker"), "{n}: {done:?}");
    }
}

#[test]
fn what_forms_can_not_change_is_left_and_told() {
    let place = Place::new();
    let lines = bar(|d| d["meshes"][0]["primitives"][0]["mode"] = json!(1));
    let (manifest, _) = optimized_with(&place, "lines.glb", &lines, &["--steps", "meshopt,lod1"]);
    assert!(manifest["skipped"].to_string().contains("not drawn as single triangles"), "{manifest}");
    let sparse = bar(|d| {
        d["accessors"][5]["sparse"] =
            json!({ "count": 1, "indices": { "bufferView": 4, "componentType": 5121 }, "values": { "bufferView": 0 } });
    });
    let (manifest, _) = optimized_with(&place, "sparse.glb", &sparse, &["--steps", "meshopt,lod1"]);
    assert!(manifest["skipped"].to_string().contains("does not lie in one place"), "{manifest}");
    // Hostile: nothing of them reaches an encoder.
    let hostile = [
        ("an index past the vertices", bar(|d| d["accessors"][0]["count"] = json!(500)), "vertices"),
        ("an accessor that says more than there is", bar(|d| d["accessors"][1]["count"] = json!(4_000_000)), "accessor 1"),
        ("more elements than a file can have", bar(|d| d["accessors"][5]["count"] = json!(1u64 << 62)), "accessor 5"),
        ("numbers that are none", with_nan(), "numbers that are none"),
    ];
    for (what, bytes, why) in hostile {
        std::fs::write(place.path("hostile.glb"), bytes).unwrap();
        let done = place.run(&["optimize", "hostile.glb", "-o", "none", "--steps", "meshopt,lod1,lod2,lod3"]);
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code() == Some(1) && told.contains(why), "{what}: {told}");
    }
}

fn with_nan() -> Vec<u8> {
    let mut bytes = bar(|_| {});
    let bin = bytes.len() - glb::Glb::parse(&bytes).unwrap().bin.unwrap().len();
    bytes[bin + 4..bin + 8].copy_from_slice(&f32::NAN.to_le_bytes());
    bytes
}

#[test]
fn streams_that_lie_are_a_reason() {
    let place = Place::new();
    let grid = grid_of(20, one_mesh);
    let (manifest, files) = optimized_with(&place, "grid.glb", &grid, &["--steps", "meshopt"]);
    let packed = &files[source(&manifest, "meshopt")["url"].as_str().unwrap()];
    let lie = |field: &str, value: Value| {
        let container = glb::Glb::parse(packed).unwrap();
        let mut document: Value = serde_json::from_slice(container.json).unwrap();
        document["bufferViews"][0]["extensions"]["EXT_meshopt_compression"][field] = value;
        glb::write(&document.to_string(), container.bin.unwrap()).unwrap()
    };
    let mut broken = packed.clone();
    let bin = broken.len() - glb::Glb::parse(&broken).unwrap().bin.unwrap().len();
    broken[bin..].fill(0xa5);
    for (bytes, why) in [
        (lie("count", json!(1u64 << 40)), "elements"),
        (lie("byteStride", json!(7)), "elements"),
        (lie("byteLength", json!(1u64 << 40)), "outside the file"),
        (lie("byteOffset", json!(1u64 << 52)), "outside the file"),
        (lie("buffer", json!(1)), "outside the file"),
        (lie("mode", json!("NONE")), "mode"),
        (lie("filter", json!("QUATERNION")), "elements"),
        (broken, "can't be decoded"),
    ] {
        std::fs::write(place.path("lie.glb"), bytes).unwrap();
        let done = place.run(&["poster", "lie.glb", "-o", "lie.webp"]);
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code() == Some(1) && told.contains(why), "{why}: {told}");
    }
    // Turned anywhere: a reason or a picture, and never the end of the worker.
    for n in 0..8 {
        let mut bytes = packed.clone();
        let at = bin + n * (bytes.len() - bin) / 8;
        bytes[at] ^= 0x55;
        std::fs::write(place.path("turned.glb"), bytes).unwrap();
        let done = place.run(&["poster", "turned.glb", "-o", "turned.webp", "--size", "32"]);
        assert!(!String::from_utf8_lossy(&done.stderr).contains("worker"), "{n}: {done:?}");
    }
}
