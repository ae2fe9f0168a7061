//! Geometry that KHR_draco_mesh_compression or EXT_meshopt_compression keeps, as plain accessors: for who draws a model and has to see
//! every corner. (The second is decoded wherever a document is taken apart.)
//!
//! Limits: the decoder's own, below what a worker may use.

use std::collections::HashMap;

use draco_gltf::{DecodeLimits, DracoPrimitiveContract, DracoPrimitiveExtension, JsonValue, PackedGeometry};

use crate::media::bytes::Looked;
use crate::media::json::Json;
use crate::media::model::length;
use crate::media::optimize::scene::{EXT_MESHOPT, KHR_MESHOPT, Scene};

const DRACO: &str = "KHR_draco_mesh_compression";
const MAX_POINTS: u64 = 16 << 20;
const MAX_DECODED_BYTES: u64 = 512 << 20;

/// Accessors by name, and the indices.
type Unpacked = (Vec<(String, u64)>, Option<u64>);

pub fn is_packed(document: &Json) -> bool {
    document.list("extensionsUsed").iter().any(|name| matches!(name.text(), Some(DRACO | EXT_MESHOPT | KHR_MESHOPT)))
}

/// The same model without it.
pub fn unpacked(bytes: &[u8]) -> Looked<Vec<u8>> {
    let mut scene = Scene::parse(bytes)?;
    // What several primitives share is decoded once.
    let mut known: HashMap<String, Unpacked> = HashMap::new();
    for m in 0..scene.json.list("meshes").len() {
        for p in 0..scene.json.list("meshes").get(m).map_or(0, |mesh| mesh.list("primitives").len()) {
            let primitive = scene.json.list("meshes").get(m).and_then(|mesh| mesh.list("primitives").get(p)).cloned().unwrap_or(Json::Null);
            let Some(packed) = primitive.get("extensions").and_then(|e| e.get(DRACO)) else { continue };
            let mut text = String::new();
            packed.write(&mut text);
            let made = match known.get(&text) {
                Some(made) => made.clone(),
                None => {
                    let decoded = decode(&scene, &primitive, packed).map_err(|e| format!("mesh {m}, primitive {p}: {e}"))?;
                    let made = add(&mut scene, &decoded);
                    known.insert(text, made.clone());
                    made
                }
            };
            put(&mut scene, m, p, made);
        }
    }
    scene.forget(&[DRACO]);
    scene.write()
}

fn decode(scene: &Scene, primitive: &Json, packed: &Json) -> Looked<PackedGeometry> {
    let view = length(packed, "bufferView")?.and_then(|n| scene.views.get(n)).ok_or("its compressed geometry is not there")?;
    let attributes = packed.get("attributes").map_or(&[][..], Json::members);
    let limits = DecodeLimits::default().with_max_points(MAX_POINTS).with_max_faces(MAX_POINTS).with_max_decoded_bytes(MAX_DECODED_BYTES);
    let mut contract = DracoPrimitiveContract::new().with_limits(limits);
    let accessor = |n: Option<usize>| n.and_then(|n| scene.json.list("accessors").get(n));
    for (name, _) in attributes {
        let declared =
            accessor(primitive.get("attributes").map_or(Ok(None), |a| length(a, name))?).ok_or("an attribute of it is no accessor")?;
        let count = length(declared, "count")?.unwrap_or_default() as u64;
        contract = contract.with_attribute(name.as_str(), count, declared.get("normalized") == Some(&Json::Bool(true)));
    }
    let ids = attributes.iter().map(|(name, id)| (name.clone(), JsonValue::from(id.whole().unwrap_or(u64::MAX))));
    let extension = JsonValue::object([("bufferView", JsonValue::from(0u64)), ("attributes", JsonValue::Object(ids.collect()))]);
    let decoded = DracoPrimitiveExtension::from_json(&extension).and_then(|extension| extension.decode(view, &contract));
    decoded.map_err(|e| format!("its compressed geometry can't be decoded: {e}"))
}

fn add(scene: &mut Scene, decoded: &PackedGeometry) -> Unpacked {
    let mut one = |bytes: &[u8], component: u64, count: usize, kind: &str, normalized: bool| {
        let view = scene.add_view(bytes.to_vec(), None);
        let mut members = vec![
            ("bufferView".to_owned(), Json::number(view)),
            ("componentType".to_owned(), Json::number(component)),
            ("count".to_owned(), Json::number(count as u64)),
            ("type".to_owned(), Json::Text(kind.to_owned())),
        ];
        if normalized {
            members.push(("normalized".to_owned(), Json::Bool(true)));
        }
        scene.add("accessors", Json::Object(members))
    };
    let kind = |components: u8| match components {
        1 => "SCALAR",
        2 => "VEC2",
        3 => "VEC3",
        _ => "VEC4",
    };
    let mut attributes = Vec::new();
    for a in decoded.attributes() {
        let n = one(a.bytes(), u64::from(a.component_type().to_gltf()), a.count(), kind(a.components()), a.normalized());
        attributes.push((a.semantic().to_owned(), n));
    }
    let indices = decoded.indices().map(|i| one(i.bytes(), u64::from(i.component_type().to_gltf()), i.count(), "SCALAR", false));
    (attributes, indices)
}

fn put(scene: &mut Scene, m: usize, p: usize, (attributes, indices): Unpacked) {
    let mesh = scene.json.get_mut("meshes").and_then(|meshes| meshes.items_mut().get_mut(m));
    let Some(primitive) = mesh.and_then(|mesh| mesh.get_mut("primitives")?.items_mut().get_mut(p)) else { return };
    if let Some(named) = primitive.get_mut("attributes") {
        attributes.iter().for_each(|(name, n)| named.set(name, Json::number(*n)));
    }
    if let Some(indices) = indices {
        primitive.set("indices", Json::number(indices));
    }
    if let Some(extensions) = primitive.get_mut("extensions") {
        extensions.remove(DRACO);
    }
}
