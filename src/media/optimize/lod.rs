//! Levels of detail: fewer triangles of the vertices that there are, so that all that a vertex says stays as it was.
//!
//! The bound on the error wins over the number of triangles: a level may have more than it should, and never lies farther from the
//! original than it may. How far it does is measured between the two surfaces; morph targets and skins are proved by pictures alone.

use std::collections::HashMap;

use crate::media::json::Json;
use crate::media::mesh_codec::simplify;
use crate::media::optimize::Skipped;
use crate::media::optimize::distance::Surface;
use crate::media::optimize::geometry::{Geometry, Part, Placed, bounds, named, put};
use crate::media::optimize::scene::Scene;

pub const TOOL: &str = "meshopt 0.7";
/// How often a smaller error is tried where the measured one is too large.
const TRIES: u32 = 5;
/// What is left at most of a primitive that is worth it.
const WORTH: f64 = 0.95;

#[derive(Debug, Clone, Copy)]
pub struct Level {
    pub step: &'static str,
    /// Of the triangles.
    pub keeps: f64,
    /// In parts of the longest side of a primitive's box.
    pub error: f64,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// How far both surfaces are from each other, at most; in the space of their node.
    pub distance: f64,
    /// The same, in parts of the longest side of the primitive's box.
    pub error: f64,
}

/// None: nothing has fewer triangles.
pub fn make(scene: &mut Scene, level: Level, skipped: &mut Vec<Skipped>) -> Result<Option<Done>, String> {
    let mut known: HashMap<String, Result<Placed, String>> = HashMap::new();
    let (mut worst, mut some) = (Done::default(), false);
    for m in 0..scene.json.list("meshes").len() {
        for p in 0..scene.json.list("meshes").get(m).map_or(0, |mesh| mesh.list("primitives").len()) {
            let found = scene.json.list("meshes").get(m).and_then(|mesh| mesh.list("primitives").get(p)).cloned();
            let primitive = found.unwrap_or(Json::Null);
            let done = known.entry(named(&primitive)).or_insert_with(|| {
                let (geometry, done) = one(scene, &primitive, level)?;
                worst = Done { distance: worst.distance.max(done.distance), error: worst.error.max(done.error) };
                Ok(write(scene, &geometry))
            });
            match done {
                Ok(placed) => {
                    some = true;
                    put(scene, m, p, placed);
                }
                Err(why) => skipped.push(Skipped { step: level.step, what: format!("primitive {p} of mesh {m}"), why: why.clone() }),
            }
        }
    }
    Ok(some.then_some(worst))
}

/// Err: why it stays as it is.
fn one(scene: &Scene, primitive: &Json, level: Level) -> Result<(Geometry, Done), String> {
    let mut geometry = Geometry::read(&scene.json, &scene.model()?, primitive)?;
    let own = |name: &str| geometry.parts.iter().find(|part| part.target.is_none() && part.name == name).and_then(Part::floats);
    let positions: Vec<[f32; 3]> = own("POSITION").ok_or("its positions are no floats")?.as_chunks().0.to_vec();
    let normals = own("NORMAL").filter(|normals| normals.len() == positions.len() * 3);
    let longest = longest_side(&positions);
    if longest <= 0.0 {
        return Err("it has no size".to_owned());
    }
    let (before, original) = (geometry.indices.len(), Surface::of(&positions, &geometry.indices));
    let target = (before as f64 / 3.0 * level.keeps) as usize * 3;
    let mut allowed = level.error;
    for _ in 0..TRIES {
        let left = simplify(&geometry.indices, &positions, normals.as_deref(), target, allowed as f32);
        let left = left.filter(|left| !left.is_empty() && left.len() as f64 <= before as f64 * WORTH);
        let left = left.ok_or_else(|| format!("it has no fewer triangles within an error of {allowed:.2e}"))?;
        let distance = f64::from(original.distance_to(&Surface::of(&positions, &left)));
        let error = distance / longest;
        if error <= level.error {
            geometry.indices = left;
            geometry.put_in_order().ok_or("its triangles can't be put in order")?;
            return Ok((geometry, Done { distance, error }));
        }
        allowed /= 2.0;
    }
    Err(format!("what has fewer triangles lies farther from it than {:.2e}", level.error))
}

fn longest_side(positions: &[[f32; 3]]) -> f64 {
    let side = |n: usize| {
        let of = || positions.iter().map(|p| f64::from(p[n]));
        of().fold(f64::NEG_INFINITY, f64::max) - of().fold(f64::INFINITY, f64::min)
    };
    (0..3).map(side).fold(0.0, f64::max)
}

fn write(scene: &mut Scene, geometry: &Geometry) -> Placed {
    let mut parts = Vec::new();
    for part in &geometry.parts {
        let mut accessor = scene.json.list("accessors").get(part.accessor).cloned().unwrap_or(Json::Null);
        let had_bounds = accessor.get("min").is_some();
        ["min", "max", "byteOffset"].into_iter().for_each(|name| drop(accessor.remove(name)));
        if let Some(floats) = part.floats().filter(|_| part.is_position() && had_bounds) {
            let (min, max) = bounds(&floats, part.layout.width);
            accessor.set("min", min);
            accessor.set("max", max);
        }
        let (element, stride) = (part.layout.element, part.layout.element.next_multiple_of(4));
        let padding = vec![0; stride - element];
        let bytes = part.bytes.chunks_exact(element.max(1)).flat_map(|e| [e, &padding[..]].concat()).collect();
        accessor.set("bufferView", Json::number(scene.add_view(bytes, Some(stride))));
        accessor.set("count", Json::number(geometry.vertices as u64));
        parts.push((part.target, part.name.clone(), scene.add("accessors", accessor)));
    }
    let found = geometry.named_by.and_then(|n| scene.json.list("accessors").get(n)).cloned();
    let mut accessor = found.unwrap_or(Json::Object(Vec::new()));
    ["min", "max", "byteOffset"].into_iter().for_each(|name| drop(accessor.remove(name)));
    let short = geometry.vertices <= usize::from(u16::MAX);
    let size = if short { 2 } else { 4 };
    let bytes = geometry.indices.iter().flat_map(|n| n.to_le_bytes().into_iter().take(size)).collect();
    accessor.set("bufferView", Json::number(scene.add_view(bytes, None)));
    accessor.set("componentType", Json::number(if short { 5123u64 } else { 5125 }));
    accessor.set("count", Json::number(geometry.indices.len() as u64));
    accessor.set("type", Json::Text("SCALAR".to_owned()));
    Placed { parts, indices: scene.add("accessors", accessor) }
}
