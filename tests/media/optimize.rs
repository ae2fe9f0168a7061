//! `tidegate optimize`: what it makes is smaller, whole, and the same each time; what it can't do it leaves and says so.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate::media::glb;

use crate::support::binary::Place;

const SIDE: u32 = 40;

/// A wavy grid with positions and texture coordinates, each of its two meshes with accessors of its own of the same content.
pub fn grid(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    grid_of(SIDE, change)
}

/// With so many vertices on each side.
pub fn grid_of(side: u32, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (mut positions, mut coordinates, mut indices) = (Vec::new(), Vec::new(), Vec::new());
    for y in 0..side {
        for x in 0..side {
            let (u, v) = (x as f32 / (side - 1) as f32, y as f32 / (side - 1) as f32);
            positions.extend([u, (u * 9.0).sin() * (v * 7.0).cos() * 0.1, v].iter().flat_map(|f| f.to_le_bytes()));
            coordinates.extend([u, v].iter().flat_map(|f| f.to_le_bytes()));
            if x + 1 < side && y + 1 < side {
                let at = y * side + x;
                let corners = [at, at + side, at + 1, at + 1, at + side, at + side + 1];
                indices.extend(corners.iter().flat_map(|n| n.to_le_bytes()));
            }
        }
    }
    let (mut bin, mut views) = (Vec::new(), Vec::new());
    for part in [&positions, &coordinates, &indices, &positions, &coordinates, &indices, &vec![7; 5000]] {
        bin.resize(bin.len().next_multiple_of(4), 0);
        views.push(json!({ "buffer": 0, "byteOffset": bin.len(), "byteLength": part.len() }));
        bin.extend_from_slice(part);
    }
    let (vertices, corners) = (side * side, (side - 1) * (side - 1) * 6);
    let accessors: Vec<Value> = [0, 3]
        .into_iter()
        .flat_map(|view| {
            [
                json!({ "bufferView": view, "componentType": 5126, "count": vertices, "type": "VEC3", "min": [0, -0.1, 0], "max": [1, 0.1, 1] }),
                json!({ "bufferView": view + 1, "componentType": 5126, "count": vertices, "type": "VEC2" }),
                json!({ "bufferView": view + 2, "componentType": 5125, "count": corners, "type": "SCALAR" }),
            ]
        })
        .collect();
    let mesh =
        |first: u32| json!({ "primitives": [{ "attributes": { "POSITION": first, "TEXCOORD_0": first + 1 }, "indices": first + 2 }] });
    let mut document = json!({
        "asset": { "version": "2.0", "extras": { "by": "a test" } },
        "scene": 0,
        "scenes": [{ "nodes": [0, 1] }],
        "nodes": [{ "mesh": 0, "extras": { "z": 1, "a": 0.1 } }, { "mesh": 1, "translation": [2, 0, 0] }],
        "meshes": [mesh(0), mesh(3)],
        "buffers": [{ "byteLength": bin.len() }],
        "bufferViews": views,
        "accessors": accessors,
    });
    change(&mut document);
    glb::write(&document.to_string(), &bin).unwrap()
}

fn optimized(place: &Place, name: &str, bytes: &[u8]) -> (Value, BTreeMap<String, Vec<u8>>) {
    optimized_with(place, name, bytes, &[])
}

pub fn optimized_with(place: &Place, name: &str, bytes: &[u8], more: &[&str]) -> (Value, BTreeMap<String, Vec<u8>>) {
    std::fs::write(place.path(name), bytes).unwrap();
    let out = format!("{name}{}.out", more.join(""));
    let done = place.run(&[&["optimize", name, "-o", &out, "--json"][..], more].concat());
    assert!(done.status.success(), "{done:?}");
    let files = std::fs::read_dir(place.path(&out)).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
    });
    let files: BTreeMap<_, _> = files.collect();
    let manifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(manifest, serde_json::from_slice::<Value>(&done.stdout).unwrap());
    (manifest, files)
}

pub fn document(bytes: &[u8]) -> Value {
    serde_json::from_slice(glb::Glb::parse(bytes).unwrap().json).unwrap()
}

#[test]
fn a_model_gets_smaller_and_stays_whole() {
    let place = Place::new();
    let original = grid(|_| {});
    let (manifest, files) = optimized(&place, "grid.glb", &original);
    let variants: Vec<&str> = manifest["sources"].as_array().unwrap().iter().map(|s| s["variant"].as_str().unwrap()).collect();
    assert_eq!(variants, ["lossless", "draco"], "{manifest}");
    let mut smaller = original.len();
    for source in manifest["sources"].as_array().unwrap() {
        let name = source["url"].as_str().unwrap();
        let bytes = &files[name];
        let hash = hex::encode(Sha256::digest(bytes));
        assert_eq!((&source["sha256"], source["size"].as_u64().unwrap() as usize), (&json!(hash), bytes.len()));
        assert!(name.contains(&hash[..16]) && bytes.len() < smaller, "{name}: {} of {smaller}", bytes.len());
        smaller = bytes.len();
        assert_eq!(source["triangles"], manifest["source"]["triangles"]);
        let made = document(bytes);
        assert_eq!((&made["asset"]["extras"]["by"], &made["nodes"]), (&json!("a test"), &document(&original)["nodes"]));
        std::fs::write(place.path(name), bytes).unwrap();
        assert!(place.run(&["inspect", name]).status.success());
    }
    // The second mesh shares what it has twice, and what nothing leads to is gone.
    let lossless = document(&files[manifest["sources"][0]["url"].as_str().unwrap()]);
    assert_eq!((lossless["accessors"].as_array().unwrap().len(), lossless["bufferViews"].as_array().unwrap().len()), (3, 3));
    let draco = document(&files[manifest["sources"][1]["url"].as_str().unwrap()]);
    assert_eq!(draco["extensionsRequired"], json!(["KHR_draco_mesh_compression"]));
    assert_eq!(draco["bufferViews"].as_array().unwrap().len(), 1, "both meshes are one stream");
    assert!(smaller * 6 < original.len(), "{smaller} of {}", original.len());
    let error = manifest["sources"][1]["position_error"].as_f64().unwrap();
    assert!(error > 0.0 && error < 0.0001, "{error}");
    // The same bytes each time.
    assert_eq!(optimized(&place, "grid.glb", &original).1, files);
    let table = place.run(&["optimize", "grid.glb", "-o", "again"]);
    assert!(String::from_utf8(table.stdout).unwrap().contains("% less"));
}

#[test]
fn what_loses_something_is_proved_to_look_the_same() {
    let place = Place::new();
    let (manifest, files) = optimized(&place, "grid.glb", &grid(|_| {}));
    let (lossless, draco) = (&manifest["sources"][0], &manifest["sources"][1]);
    assert!(lossless["psnr"].is_null() && draco["psnr"].as_f64().unwrap() > 40.0 && draco["ssim"].as_f64().unwrap() > 0.98, "{draco}");
    // What `compare` says of the two files.
    let name = draco["url"].as_str().unwrap();
    std::fs::write(place.path(name), &files[name]).unwrap();
    let told = place.run(&["compare", "grid.glb", name, "--json"]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert!((told["psnr"].as_f64().unwrap() - draco["psnr"].as_f64().unwrap()).abs() < 0.01, "{told} {draco}");
    // What must look the very same can't be quantized.
    let (manifest, files) = optimized_with(&place, "grid.glb", &grid(|_| {}), &["--psnr", "99", "--steps", "draco,poster"]);
    assert_eq!((&manifest["sources"][0]["variant"], manifest["sources"].as_array().unwrap().len(), files.len()), (&json!("poster"), 1, 2));
    let refused = &manifest["refused"][0];
    assert_eq!((&refused["looks"]["psnr"], &refused["bounds"]["psnr"]), (&draco["psnr"], &json!(99.0)), "{manifest}");
    assert!(manifest["skipped"].to_string().contains("it looks different"), "{manifest}");
    // What can't be drawn proves nothing: this has no triangle that is seen from anywhere.
    let flat = |d: &mut Value| d["nodes"] = json!([{ "mesh": 0, "scale": [0, 0, 0] }, { "mesh": 1, "scale": [0, 0, 0] }]);
    let (manifest, _) = optimized(&place, "flat.glb", &grid(flat));
    assert!(manifest["skipped"].to_string().contains("the original can't be drawn"), "{manifest}");
    assert_eq!(manifest["sources"].as_array().unwrap().len(), 1, "{manifest}");
}

#[test]
fn what_can_not_be_done_is_left_and_told() {
    let place = Place::new();
    // An extension that may lead anywhere.
    let strange = grid(|d| {
        d["extensionsUsed"] = json!(["ACME_layers"]);
        d["extensions"] = json!({ "ACME_layers": { "accessor": 5 } });
    });
    let (manifest, files) = optimized(&place, "strange.glb", &strange);
    assert_eq!((manifest["sources"].as_array().unwrap().len(), files.len()), (0, 1));
    assert!(manifest["skipped"][0]["why"].as_str().unwrap().contains("ACME_layers"), "{manifest}");
    // Lines are no triangles; the other mesh is encoded.
    let (manifest, _) = optimized(&place, "lines.glb", &grid(|d| d["meshes"][0]["primitives"][0]["mode"] = json!(1)));
    assert!(manifest["skipped"].to_string().contains("not drawn as single triangles"), "{manifest}");
    // Morph targets go by the order of vertices, and survive.
    let morphed = grid(|d| d["meshes"][0]["primitives"][0]["targets"] = json!([{ "POSITION": 3 }]));
    let (manifest, files) = optimized(&place, "morphed.glb", &morphed);
    let draco = manifest["sources"].as_array().unwrap().iter().find(|s| s["variant"] == "draco").expect("is encoded");
    let made = document(&files[draco["url"].as_str().unwrap()]);
    let primitive = &made["meshes"][0]["primitives"][0];
    let target = made["accessors"][primitive["targets"][0]["POSITION"].as_u64().unwrap() as usize].clone();
    let position = made["accessors"][primitive["attributes"]["POSITION"].as_u64().unwrap() as usize].clone();
    assert_eq!((&target["count"], target["bufferView"].is_u64()), (&position["count"], true), "{made}");

    for (name, bytes, why) in [
        ("page.glb", b"<html>502</html>".to_vec(), "an HTML page"),
        ("short.glb", grid(|_| {})[..4000].to_vec(), "cut short"),
        (
            "outside.gltf",
            br#"{"asset":{"version":"2.0"},"buffers":[{"byteLength":4,"uri":"a.bin"}],"bufferViews":[{"buffer":0,"byteLength":4}]}"#
                .to_vec(),
            "other files",
        ),
    ] {
        std::fs::write(place.path(name), bytes).unwrap();
        let done = place.run(&["optimize", name, "-o", "none"]);
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code() == Some(1) && told.contains(why), "{name}: {told}");
        assert!(!place.path("none").exists());
    }
}
