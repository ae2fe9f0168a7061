//! KHR_draco_mesh_compression: the geometry of each primitive as one Draco stream, quantized as most exporters do.
//!
//! What several primitives share is encoded once. Each stream is decoded again before it is used, and one that is not smaller is not.
//! A primitive with morph targets keeps the order of its vertices, which the targets go by.

use std::collections::HashMap;

use draco_gltf::{
    ComponentType, CompressionOptions, DracoPrimitiveEncoding, PackedAttribute, PackedGeometry, PackedIndices, PrimitiveMode,
    QuantizationBits,
};

use crate::media::json::Json;
use crate::media::model::{Component, length};
use crate::media::optimize::Skipped;
use crate::media::optimize::scene::{Scene, Views};

pub const TOOL: &str = "draco-gltf 0.7";
const NAME: &str = "KHR_draco_mesh_compression";
const TRIANGLES: usize = 4;
/// Colors as gltf-transform has them; the rest is what Blender writes.
const BITS: QuantizationBits = QuantizationBits { color: Some(8), ..QuantizationBits::GLTF };
const POSITION_STEPS: f64 = 16_383.0;
/// In order.
const SEQUENTIAL: i32 = 1;

/// What a primitive is made of: attributes by name, and indices.
type Made = (Vec<(String, usize)>, Option<usize>, bool);

/// Of one encoding, for every primitive that is made of the same.
#[derive(Clone)]
struct Encoded {
    /// By name, the accessor.
    attributes: Vec<(String, u64)>,
    indices: u64,
    extension: Json,
}

pub struct Done {
    /// How far a position may lie from where it was, at most, along one axis.
    pub position_error: f64,
}

/// None: nothing was encoded.
pub fn encode(scene: &mut Scene, skipped: &mut Vec<Skipped>) -> Result<Option<Done>, String> {
    let mut known: HashMap<Made, Result<Encoded, String>> = HashMap::new();
    let (mut position_error, mut some) = (0f64, false);
    for m in 0..scene.json.list("meshes").len() {
        for p in 0..scene.json.list("meshes").get(m).map_or(0, |mesh| mesh.list("primitives").len()) {
            let primitive = scene.json.list("meshes").get(m).and_then(|mesh| mesh.list("primitives").get(p)).cloned().unwrap_or(Json::Null);
            let done = match made_of(&primitive) {
                Ok(made) => match known.get(&made) {
                    Some(done) => done.clone(),
                    None => {
                        let done = one(scene, &made, &mut position_error)?;
                        known.insert(made, done.clone());
                        done
                    }
                },
                Err(why) => Err(why),
            };
            match done {
                Ok(encoded) => {
                    some = true;
                    put(scene, m, p, &encoded);
                }
                Err(why) => skipped.push(Skipped { step: "draco", what: format!("primitive {p} of mesh {m}"), why }),
            }
        }
    }
    if !some {
        return Ok(None);
    }
    scene.require(NAME);
    Ok(Some(Done { position_error }))
}

fn made_of(primitive: &Json) -> Result<Made, String> {
    if primitive.get("extensions").and_then(|e| e.get(NAME)).is_some() {
        return Err("it is compressed by Draco already".to_owned());
    }
    if length(primitive, "mode")?.unwrap_or(TRIANGLES) != TRIANGLES {
        return Err("it is not drawn as single triangles".to_owned());
    }
    let attributes = primitive.get("attributes").map_or(&[][..], Json::members);
    let attributes = attributes.iter().map(|(name, n)| Ok((name.clone(), n.whole().ok_or("an attribute of it is no accessor")? as usize)));
    let attributes = attributes.collect::<Result<Vec<_>, String>>()?;
    if !attributes.iter().any(|(name, _)| name == "POSITION") {
        return Err("it has no positions".to_owned());
    }
    Ok((attributes, length(primitive, "indices")?, !primitive.list("targets").is_empty()))
}

/// The inner error: why it stays as it is.
fn one(scene: &mut Scene, made: &Made, position_error: &mut f64) -> Result<Result<Encoded, String>, String> {
    let (geometry, bytes) = match packed(&scene.json, &scene.model()?, made)? {
        Ok(packed) => packed,
        Err(why) => return Ok(Err(why)),
    };
    let encoding_method = if made.2 { SEQUENTIAL } else { 0 };
    let options =
        CompressionOptions { encoding_speed: 0, decoding_speed: 0, quantization: BITS, encoding_method, ..CompressionOptions::default() };
    let encoding = match DracoPrimitiveEncoding::encode(&geometry, &options) {
        Ok(encoding) => encoding,
        Err(e) => return Ok(Err(format!("the encoder refuses it: {e}"))),
    };
    if let Err(e) = encoding.decoded() {
        return Ok(Err(format!("what was encoded can't be decoded: {e}")));
    }
    if made.2 && !encoding.keeps_vertex_order(&geometry).unwrap_or(false) {
        return Ok(Err("its morph targets go by an order of vertices that the encoder does not keep".to_owned()));
    }
    if encoding.bytes().len() >= bytes {
        return Ok(Err(format!("it would be larger: {} bytes in the place of {bytes}", encoding.bytes().len())));
    }
    *position_error = position_error.max(half_a_step(&scene.json, made));
    let names = |semantic: &str| made.0.iter().find(|(name, _)| name == semantic).map(|(_, n)| *n);
    let mut attributes = Vec::new();
    for accessor in encoding.accessors() {
        let named = names(accessor.semantic()).and_then(|n| scene.json.list("accessors").get(n)?.get("name").cloned());
        let json = shown(accessor.component_type().to_gltf(), accessor.count(), accessor.accessor_type(), named);
        let mut json = json;
        if accessor.normalized() {
            json.set("normalized", Json::Bool(true));
        }
        if let Some((min, max)) = accessor.bounds() {
            json.set("min", floats(min));
            json.set("max", floats(max));
        }
        attributes.push((accessor.semantic().to_owned(), scene.add("accessors", json)));
    }
    let named = made.1.and_then(|n| scene.json.list("accessors").get(n)?.get("name").cloned());
    let indices = scene.add("accessors", shown(ComponentType::U32.to_gltf(), encoding.index_count(), "SCALAR", named));
    let view = scene.add_view(encoding.bytes().to_vec(), None);
    let ids = encoding.extension(view as usize).attributes().map(|(name, id)| (name.to_owned(), Json::number(id))).collect();
    let extension = Json::Object(vec![("bufferView".to_owned(), Json::number(view)), ("attributes".to_owned(), Json::Object(ids))]);
    Ok(Ok(Encoded { attributes, indices, extension }))
}

fn shown(component: u32, count: usize, kind: &str, name: Option<Json>) -> Json {
    let mut members = vec![
        ("componentType".to_owned(), Json::number(component)),
        ("count".to_owned(), Json::number(count as u64)),
        ("type".to_owned(), Json::Text(kind.to_owned())),
    ];
    members.extend(name.map(|name| ("name".to_owned(), name)));
    Json::Object(members)
}

fn floats(values: &[f64]) -> Json {
    Json::Array(values.iter().map(|v| Json::Number(v.to_string().into())).collect())
}

fn put(scene: &mut Scene, m: usize, p: usize, encoded: &Encoded) {
    let mesh = scene.json.get_mut("meshes").and_then(|meshes| meshes.items_mut().get_mut(m));
    let Some(primitive) = mesh.and_then(|mesh| mesh.get_mut("primitives")?.items_mut().get_mut(p)) else { return };
    if let Some(attributes) = primitive.get_mut("attributes") {
        encoded.attributes.iter().for_each(|(name, n)| attributes.set(name, Json::number(*n)));
    }
    primitive.set("indices", Json::number(encoded.indices));
    if primitive.get("extensions").is_none() {
        primitive.set("extensions", Json::Object(Vec::new()));
    }
    if let Some(extensions) = primitive.get_mut("extensions") {
        extensions.set(NAME, encoded.extension.clone());
    }
}

/// With how many bytes it is now. The inner error: why it can't be encoded.
fn packed(json: &Json, views: &Views<'_>, (attributes, indices, _): &Made) -> Result<Result<(PackedGeometry, usize), String>, String> {
    let plain = |n: usize| json.list("accessors").get(n).is_some_and(|a| a.get("extras").is_none() && a.get("extensions").is_none());
    let (mut packed, mut bytes, mut corners) = (Vec::new(), 0, 0);
    for (name, n) in attributes {
        let layout = views.layout(*n)?;
        let Some(tight) = views.tight(*n)?.filter(|_| plain(*n)) else {
            return Ok(Err(format!("more is said of its {name} than an encoder keeps")));
        };
        if layout.width > 4 || (name == "POSITION" && layout.component != Component::F32) {
            return Ok(Err(format!("its {name} is of a kind that is not encoded")));
        }
        (bytes, corners) = (bytes + tight.len(), layout.count);
        let made =
            PackedAttribute::new(name.as_str(), layout.count, layout.width as u8, component(layout.component), layout.normalized, tight);
        match made {
            Ok(attribute) => packed.push(attribute),
            Err(e) => return Ok(Err(format!("its {name} can't be encoded: {e}"))),
        }
    }
    let mut drawn = corners;
    let indices = match indices {
        None => None,
        Some(n) => {
            let layout = views.layout(*n)?;
            let Some(tight) = views.tight(*n)?.filter(|_| plain(*n)) else {
                return Ok(Err("more is said of its indices than an encoder keeps".to_owned()));
            };
            (bytes, drawn) = (bytes + tight.len(), layout.count);
            match PackedIndices::new(layout.count, component(layout.component), tight) {
                Ok(indices) => Some(indices),
                Err(e) => return Ok(Err(format!("its indices can't be encoded: {e}"))),
            }
        }
    };
    if drawn % 3 != 0 {
        return Ok(Err("it has corners beside its triangles".to_owned()));
    }
    Ok(PackedGeometry::new(PrimitiveMode::Triangles, packed, indices)
        .map(|packed| (packed, bytes))
        .map_err(|e| format!("it can't be encoded: {e}")))
}

fn component(of: Component) -> ComponentType {
    match of {
        Component::I8 => ComponentType::I8,
        Component::U8 => ComponentType::U8,
        Component::I16 => ComponentType::I16,
        Component::U16 => ComponentType::U16,
        Component::U32 => ComponentType::U32,
        Component::F32 => ComponentType::F32,
    }
}

/// The largest side of its box, in 2^14 - 1 steps, of which a position is rounded to the next.
fn half_a_step(json: &Json, (attributes, _, _): &Made) -> f64 {
    let position = attributes.iter().find(|(name, _)| name == "POSITION").and_then(|(_, n)| json.list("accessors").get(*n));
    let side = |name: &str| position.map_or(Vec::new(), |p| p.list(name).iter().filter_map(Json::float).collect::<Vec<f64>>());
    let longest = side("max").iter().zip(side("min")).map(|(max, min)| max - min).fold(0.0, f64::max);
    longest / POSITION_STEPS / 2.0
}
