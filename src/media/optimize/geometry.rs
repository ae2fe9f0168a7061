//! The geometry of one primitive, taken out of its document whole: its triangles, and every accessor that goes by the same order of
//! vertices, those of morph targets too. So vertices can change places, and those that no triangle names go.
//!
//! What is said of an accessor beside its bytes stays. Called by the steps that make other geometry.

use std::collections::HashMap;

use crate::media::json::Json;
use crate::media::mesh_codec::in_order;
use crate::media::model::{Component, Layout, length};
use crate::media::optimize::scene::{Scene, Views};

const TRIANGLES: usize = 4;
/// Of the vertices that no triangle names.
const NOWHERE: u32 = u32::MAX;

/// One accessor.
pub struct Part {
    /// Of which morph target. None: of the primitive itself.
    pub target: Option<usize>,
    /// What it is called in the document: POSITION, TEXCOORD_0.
    pub name: String,
    pub accessor: usize,
    pub layout: Layout,
    /// Its elements, without gaps.
    pub bytes: Vec<u8>,
}

pub struct Geometry {
    pub parts: Vec<Part>,
    pub indices: Vec<u32>,
    /// The accessor of the indices. None: the vertices were named one after the other.
    pub named_by: Option<usize>,
    pub vertices: usize,
}

/// Which accessors a primitive is made of: those that are made of the same have the same geometry.
pub fn named(primitive: &Json) -> String {
    let mut text = String::new();
    for name in ["attributes", "indices", "targets", "mode"] {
        primitive.get(name).unwrap_or(&Json::Null).write(&mut text);
        text.push(' ');
    }
    text
}

impl Part {
    pub fn is_position(&self) -> bool {
        self.name == "POSITION"
    }

    /// None: they are of another kind, or one is no number.
    pub fn floats(&self) -> Option<Vec<f32>> {
        let floats = (self.layout.component == Component::F32).then(|| {
            let float = |b: &[u8]| f32::from_le_bytes(std::array::from_fn(|n| b.get(n).copied().unwrap_or_default()));
            self.bytes.chunks_exact(4).map(float).collect::<Vec<f32>>()
        });
        floats.filter(|floats| floats.iter().all(|f| f.is_finite()))
    }
}

impl Geometry {
    /// Err: why it stays as it is.
    pub fn read(json: &Json, views: &Views<'_>, primitive: &Json) -> Result<Self, String> {
        if !primitive.get("extensions").map_or(&[][..], Json::members).iter().all(|(name, _)| name.starts_with("KHR_materials_")) {
            return Err("an extension keeps its geometry, or says more of it".to_owned());
        }
        if length(primitive, "mode")?.unwrap_or(TRIANGLES) != TRIANGLES {
            return Err("it is not drawn as single triangles".to_owned());
        }
        let mut parts = Vec::new();
        let targets = primitive.list("targets").iter().enumerate().map(|(n, target)| (Some(n), Some(target)));
        for (target, of) in [(None, primitive.get("attributes"))].into_iter().chain(targets) {
            for (name, n) in of.map_or(&[][..], Json::members) {
                let accessor = n.whole().ok_or("an attribute of it is no accessor")? as usize;
                let layout = views.layout(accessor)?;
                let bytes = views.tight(accessor)?.ok_or_else(|| format!("its {name} does not lie in one place"))?;
                parts.push(Part { target, name: name.clone(), accessor, layout, bytes });
            }
        }
        let position = parts.iter().find(|part| part.target.is_none() && part.is_position()).ok_or("it has no positions")?;
        let vertices = position.layout.count;
        if parts.iter().any(|part| part.layout.count != vertices) {
            return Err("its attributes are of other numbers of vertices".to_owned());
        }
        let whole = |part: &Part| part.layout.component != Component::F32 || part.floats().is_some();
        if let Some(part) = parts.iter().find(|part| !whole(part)) {
            return Err(format!("its {} has numbers that are none", part.name));
        }
        let named_by = length(primitive, "indices")?;
        let indices = match named_by {
            None => u32::try_from(vertices).map(|n| (0..n).collect()).map_err(|_| "it has too many vertices")?,
            Some(n) => wholes(json, views, n)?,
        };
        if !indices.len().is_multiple_of(3) || indices.iter().any(|n| *n as usize >= vertices) {
            return Err("it has corners beside its triangles, or an index past its vertices".to_owned());
        }
        let mut geometry = Geometry { parts, indices, named_by, vertices };
        if named_by.is_none() {
            geometry.share_vertices();
        }
        Ok(geometry)
    }

    /// Vertices with the same bytes are one.
    fn share_vertices(&mut self) {
        let mut first: HashMap<Vec<u8>, u32> = HashMap::new();
        for index in &mut self.indices {
            let at = *index as usize;
            let of = |part: &Part| part.bytes.get(at * part.layout.element..(at + 1) * part.layout.element).unwrap_or_default().to_vec();
            *index = *first.entry(self.parts.iter().flat_map(of).collect()).or_insert(*index);
        }
    }

    /// Triangles as they are drawn best, vertices in the order in which these name them, and no others.
    pub fn put_in_order(&mut self) -> Option<()> {
        self.indices = in_order(&self.indices, self.vertices)?;
        let (mut place, mut order) = (vec![NOWHERE; self.vertices], Vec::new());
        for index in &mut self.indices {
            let old = *index as usize;
            let new = place.get_mut(old)?;
            if *new == NOWHERE {
                *new = u32::try_from(order.len()).ok()?;
                order.push(old);
            }
            *index = *new;
        }
        for part in &mut self.parts {
            let element = part.layout.element;
            let moved = order.iter().filter_map(|old| part.bytes.get(old * element..(old + 1) * element)).flatten().copied().collect();
            part.bytes = moved;
            part.layout.count = order.len();
        }
        self.vertices = order.len();
        Some(())
    }
}

fn wholes(json: &Json, views: &Views<'_>, accessor: usize) -> Result<Vec<u32>, String> {
    let layout = views.layout(accessor)?;
    let is_index = layout.width == 1 && matches!(layout.component, Component::U8 | Component::U16 | Component::U32);
    let said = json.list("accessors").get(accessor).is_some_and(|a| a.get("extensions").is_some());
    let bytes = views.tight(accessor)?.filter(|_| is_index && !said).ok_or("its indices do not lie in one place")?;
    Ok(bytes.chunks_exact(layout.element).map(|b| b.iter().rev().fold(0, |n, byte| n << 8 | u32::from(*byte))).collect())
}

/// Where the new accessors of a primitive are: of the parts in their order, and of the indices.
#[derive(Clone)]
pub struct Placed {
    pub parts: Vec<(Option<usize>, String, u64)>,
    pub indices: u64,
}

/// Lets a primitive be made of them.
pub fn put(scene: &mut Scene, m: usize, p: usize, placed: &Placed) {
    let mesh = scene.json.get_mut("meshes").and_then(|meshes| meshes.items_mut().get_mut(m));
    let Some(primitive) = mesh.and_then(|mesh| mesh.get_mut("primitives")?.items_mut().get_mut(p)) else { return };
    for (target, name, accessor) in &placed.parts {
        let of = match target {
            None => primitive.get_mut("attributes"),
            Some(n) => primitive.get_mut("targets").and_then(|targets| targets.items_mut().get_mut(*n)),
        };
        if let Some(of) = of {
            of.set(name, Json::number(*accessor));
        }
    }
    primitive.set("indices", Json::number(placed.indices));
}

/// The least and the most at each place, as an accessor says them.
pub fn bounds(values: &[f32], width: usize) -> (Json, Json) {
    let of = |pick: fn(f32, f32) -> f32, from: f32| {
        let at = |place: usize| values.iter().skip(place).step_by(width.max(1)).copied().fold(from, pick);
        Json::Array((0..width).map(|place| Json::Number(f64::from(at(place)).to_string().into())).collect())
    };
    (of(f32::min, f32::INFINITY), of(f32::max, f32::NEG_INFINITY))
}
