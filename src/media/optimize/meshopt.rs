//! EXT_meshopt_compression: geometry and animations as streams that a browser decodes in no time. Or KHR_meshopt_compression, its successor.
//!
//! What is of one kind in all primitives is one stream, so a document of many small parts does not grow by what is said of each. Positions
//! and texture coordinates stay the floats that they are, rounded to a grid; normals and tangents become 16 bits (KHR_mesh_quantization);
//! all else loses nothing. Triangles are put in another order, and vertices with them, in morph targets too.

use std::collections::HashMap;

use crate::media::json::Json;
use crate::media::mesh_codec::{Filter, Mode, encode_elements, encode_triangles, round, round_directions};
use crate::media::model::Component;
use crate::media::optimize::Skipped;
use crate::media::optimize::geometry::{Geometry, Part, Placed, bounds, named, put};
use crate::media::optimize::scene::{EXT_MESHOPT, KHR_MESHOPT, Scene, Way};

pub const TOOL: &str = "meshopt 0.7";
const QUANTIZATION: &str = "KHR_mesh_quantization";
/// Steps along the largest side of a primitive, as its Draco form has them.
const POSITION_STEPS: f32 = 16_383.0;
/// In a whole texture.
const COORDINATE_STEPS: f32 = 4096.0;
const COLOUR_STEPS: f32 = 1024.0;
const DIRECTION_STEPS: f32 = 1024.0;
/// Of each of the two numbers that say where a direction points.
const DIRECTION_BITS: i32 = 10;
/// More could not hold what it rounds up to.
const MAX_BITS: i32 = 23;
/// How far from one a direction's length may be.
const NEARLY: f32 = 0.01;

pub struct Done {
    /// How far a position lies from where it was, at most, along one axis. Measured.
    pub position_error: f64,
}

/// What is encoded as one.
#[derive(PartialEq, Eq)]
struct Kind {
    /// Accessors of other names are others' neighbours in no way.
    name: String,
    is_of_target: bool,
    stride: usize,
    filter: Filter,
    mode: Mode,
}

struct Stream {
    kind: Kind,
    /// As they are to be encoded; of indices, four bytes each.
    elements: Vec<u8>,
}

struct Packer<'s> {
    scene: &'s mut Scene,
    streams: Vec<Stream>,
    /// The number that the first stream will have as a view.
    first: usize,
    position_error: f64,
    quantizes: bool,
}

/// None: nothing was encoded.
pub fn encode(scene: &mut Scene, khr: bool, skipped: &mut Vec<Skipped>) -> Result<Option<Done>, String> {
    let first = scene.json.list("bufferViews").len();
    let mut packer = Packer { scene, streams: Vec::new(), first, position_error: 0.0, quantizes: false };
    let mut known: HashMap<String, Result<Placed, String>> = HashMap::new();
    for m in 0..packer.scene.json.list("meshes").len() {
        for p in 0..packer.scene.json.list("meshes").get(m).map_or(0, |mesh| mesh.list("primitives").len()) {
            let found = packer.scene.json.list("meshes").get(m).and_then(|mesh| mesh.list("primitives").get(p)).cloned();
            let primitive = found.unwrap_or(Json::Null);
            let done = known.entry(named(&primitive)).or_insert_with(|| packer.primitive(&primitive));
            match done {
                Ok(placed) => put(packer.scene, m, p, placed),
                Err(why) => {
                    skipped.push(Skipped { step: "meshopt", what: format!("primitive {p} of mesh {m}"), why: why.clone() });
                }
            }
        }
    }
    if packer.streams.is_empty() {
        return Ok(None);
    }
    packer.data()?;
    packer.finish(khr)
}

impl Packer<'_> {
    fn primitive(&mut self, primitive: &Json) -> Result<Placed, String> {
        let mut geometry = Geometry::read(&self.scene.json, &self.scene.model()?, primitive)?;
        geometry.put_in_order().ok_or("its triangles can't be put in order")?;
        let step = position_step(&geometry);
        let mut placed = Vec::new();
        for part in &geometry.parts {
            placed.push((part.target, part.name.clone(), self.part(&geometry, part, step)?));
        }
        let stride = if geometry.vertices <= usize::from(u16::MAX) { 2 } else { 4 };
        let kind = Kind { name: String::new(), is_of_target: false, stride, filter: Filter::None, mode: Mode::Triangles };
        let elements: Vec<u8> = geometry.indices.iter().flat_map(|n| n.to_le_bytes()).collect();
        let (view, offset) = self.add(kind, &elements);
        let named = geometry.named_by.and_then(|n| self.scene.json.list("accessors").get(n)).cloned();
        let mut accessor = named.unwrap_or(Json::Object(Vec::new()));
        ["min", "max"].into_iter().for_each(|name| drop(accessor.remove(name)));
        accessor.set("bufferView", Json::number(view));
        // The stream has four bytes for each while it is put together.
        accessor.set("byteOffset", Json::number((offset / 4 * stride) as u64));
        accessor.set("componentType", Json::number(if stride == 2 { 5123u64 } else { 5125 }));
        accessor.set("count", Json::number(geometry.indices.len() as u64));
        accessor.set("type", Json::Text("SCALAR".to_owned()));
        Ok(Placed { parts: placed, indices: self.scene.add("accessors", accessor) })
    }

    /// The number of its new accessor.
    fn part(&mut self, geometry: &Geometry, part: &Part, step: f32) -> Result<u64, String> {
        let found = self.scene.json.list("accessors").get(part.accessor).cloned();
        let mut accessor = found.ok_or("an attribute of it is no accessor")?;
        let had_bounds = accessor.get("min").is_some();
        ["min", "max"].into_iter().for_each(|name| drop(accessor.remove(name)));
        let packed = pack(geometry, part, step);
        if part.is_position()
            && let Some(before) = part.floats()
        {
            let now = packed.values.as_ref().unwrap_or(&before);
            let worst = before.iter().zip(now).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
            self.position_error = self.position_error.max(worst);
            if had_bounds {
                let (min, max) = bounds(now, part.layout.width);
                accessor.set("min", min);
                accessor.set("max", max);
            }
        }
        if let Some((component, normalized)) = packed.component {
            accessor.set("componentType", Json::number(component));
            accessor.set("normalized", Json::Bool(normalized));
            self.quantizes |= packed.quantizes;
        }
        let stride = packed.stride;
        let kind =
            Kind { name: part.name.clone(), is_of_target: part.target.is_some(), stride, filter: packed.filter, mode: Mode::Attributes };
        let (view, offset) = self.add(kind, &packed.elements);
        accessor.set("bufferView", Json::number(view));
        accessor.set("byteOffset", Json::number(offset as u64));
        accessor.set("count", Json::number(part.layout.count as u64));
        Ok(self.scene.add("accessors", accessor))
    }

    /// The number of its view, and where in it they begin.
    fn add(&mut self, kind: Kind, elements: &[u8]) -> (u64, usize) {
        let at = match self.streams.iter().position(|stream| stream.kind == kind) {
            Some(at) => at,
            None => {
                self.streams.push(Stream { kind, elements: Vec::new() });
                self.streams.len() - 1
            }
        };
        let offset = self.streams.get(at).map_or(0, |stream| stream.elements.len());
        if let Some(stream) = self.streams.get_mut(at) {
            stream.elements.extend_from_slice(elements);
        }
        ((self.first + at) as u64, offset)
    }

    /// What is neither of vertices nor of indices, such as animations: as it is, but packed.
    fn data(&mut self) -> Result<(), String> {
        let mut uses: HashMap<usize, bool> = HashMap::new();
        self.scene.each_way(&mut |way, number| {
            if let (Way::Data | Way::Indices | Way::Vertices, Some(n)) = (way, number.whole()) {
                *uses.entry(n as usize).or_insert(true) &= way == Way::Data;
            }
        });
        let mut of_data: Vec<usize> = uses.into_iter().filter(|(_, is_of_data)| *is_of_data).map(|(n, _)| n).collect();
        of_data.sort_unstable();
        let mut found = Vec::new();
        let views = self.scene.model()?;
        for n in of_data {
            let layout = views.layout(n)?;
            // An accessor with gaps between its elements would lose them.
            if layout.component == Component::F32
                && layout.width != 9
                && let Some(bytes) = views.tight(n)?
            {
                found.push((n, layout.element, bytes));
            }
        }
        for (n, stride, bytes) in found {
            let kind = Kind { name: String::new(), is_of_target: false, stride, filter: Filter::None, mode: Mode::Attributes };
            let (view, offset) = self.add(kind, &bytes);
            if let Some(accessor) = self.scene.json.get_mut("accessors").and_then(|all| all.items_mut().get_mut(n)) {
                accessor.set("bufferView", Json::number(view));
                accessor.set("byteOffset", Json::number(offset as u64));
            }
        }
        Ok(())
    }

    fn finish(self, khr: bool) -> Result<Option<Done>, String> {
        let Packer { scene, streams, position_error, quantizes, .. } = self;
        let name = if khr { KHR_MESHOPT } else { EXT_MESHOPT };
        for stream in streams {
            let Kind { stride, filter, mode, name: of, .. } = stream.kind;
            let (packed, count) = match mode {
                Mode::Triangles => {
                    let index = |b: &[u8]| u32::from_le_bytes(std::array::from_fn(|n| b.get(n).copied().unwrap_or_default()));
                    let indices: Vec<u32> = stream.elements.chunks_exact(4).map(index).collect();
                    (encode_triangles(&indices), indices.len())
                }
                _ => (encode_elements(&stream.elements, stride, u8::from(khr)), stream.elements.len() / stride.max(1)),
            };
            let packed = packed.ok_or_else(|| format!("its {of} can't be encoded"))?;
            let mut told = vec![
                ("buffer".to_owned(), Json::number(0u64)),
                ("byteOffset".to_owned(), Json::number(0u64)),
                ("byteLength".to_owned(), Json::number(packed.len() as u64)),
                ("byteStride".to_owned(), Json::number(stride as u64)),
                ("count".to_owned(), Json::number(count as u64)),
                ("mode".to_owned(), Json::Text(mode.name().to_owned())),
            ];
            if filter != Filter::None {
                told.push(("filter".to_owned(), Json::Text(filter.name().to_owned())));
            }
            let mut view =
                vec![("buffer".to_owned(), Json::number(0u64)), ("byteLength".to_owned(), Json::number((count * stride) as u64))];
            // Only views of vertices may say it.
            if mode == Mode::Attributes && !of.is_empty() {
                view.push(("byteStride".to_owned(), Json::number(stride as u64)));
            }
            view.push(("extensions".to_owned(), Json::Object(vec![(name.to_owned(), Json::Object(told))])));
            scene.add("bufferViews", Json::Object(view));
            scene.views.push(packed);
        }
        scene.require(name);
        if quantizes {
            scene.require(QUANTIZATION);
        }
        Ok(Some(Done { position_error }))
    }
}

/// A part as it is to be encoded.
struct Packed {
    elements: Vec<u8>,
    stride: usize,
    filter: Filter,
    /// As which numbers it is decoded, where these are others than before: and whether they stand for one at most.
    component: Option<(u64, bool)>,
    /// By the extension alone may it be such numbers.
    quantizes: bool,
    /// What its floats are then. None: what they were, or they are no floats.
    values: Option<Vec<f32>>,
}

fn pack(geometry: &Geometry, part: &Part, position_step: f32) -> Packed {
    let Some(floats) = part.floats() else { return as_it_is(part) };
    let kind = part.name.split('_').next().unwrap_or_default();
    let is_still = !geometry.parts.iter().any(|part| part.target.is_some());
    match kind {
        // Morph targets add to it: both stay numbers of one kind.
        "NORMAL" | "TANGENT" if is_still && are_directions(&floats, part.layout.width) => {
            directions(&floats, part.layout.width).unwrap_or_else(|| as_it_is(part))
        }
        "POSITION" => rounded(part, &floats, position_step),
        "TEXCOORD" => rounded(part, &floats, 1.0 / COORDINATE_STEPS),
        "COLOR" => rounded(part, &floats, 1.0 / COLOUR_STEPS),
        "NORMAL" | "TANGENT" => rounded(part, &floats, 1.0 / DIRECTION_STEPS),
        "WEIGHTS" if part.name == "WEIGHTS_0" && !geometry.parts.iter().any(|part| part.name == "WEIGHTS_1") => {
            weights(&floats).unwrap_or_else(|| as_it_is(part))
        }
        _ => as_it_is(part),
    }
}

fn as_it_is(part: &Part) -> Packed {
    let (element, stride) = (part.layout.element, part.layout.element.next_multiple_of(4));
    let padding = vec![0; stride - element];
    let elements = part.bytes.chunks_exact(element.max(1)).flat_map(|e| [e, &padding[..]].concat()).collect();
    Packed { elements, stride, filter: Filter::None, component: None, quantizes: false, values: None }
}

/// On a grid that is as fine as this, or finer.
fn rounded(part: &Part, floats: &[f32], step: f32) -> Packed {
    let (most, width) = (floats.iter().fold(0f32, |most, f| most.max(f.abs())), part.layout.width);
    let bits = if most > 0.0 && step > 0.0 { ((most / step).log2().floor() + 2.0).clamp(2.0, 64.0) as i32 } else { 2 };
    if bits > MAX_BITS {
        return as_it_is(part);
    }
    match round(floats, width, bits) {
        Some((elements, values)) if values.iter().all(|value| value.is_finite()) => {
            Packed { elements, stride: width * 4, filter: Filter::Exponential, component: None, quantizes: false, values: Some(values) }
        }
        _ => as_it_is(part),
    }
}

fn are_directions(floats: &[f32], width: usize) -> bool {
    let long = |of: &[f32]| of.iter().take(3).map(|f| f * f).sum::<f32>().sqrt();
    let side = |of: &[f32]| of.get(3).is_none_or(|side| side.abs() == 1.0);
    (3..=4).contains(&width) && floats.chunks_exact(width).all(|of| (long(of) - 1.0).abs() < NEARLY && side(of))
}

fn directions(floats: &[f32], width: usize) -> Option<Packed> {
    let four = |of: &[f32]| std::array::from_fn(|n| of.get(n).copied().unwrap_or_default());
    let all: Vec<[f32; 4]> = floats.chunks_exact(width.max(1)).map(four).collect();
    let elements = round_directions(&all, DIRECTION_BITS)?;
    Some(Packed { elements, stride: 8, filter: Filter::Octahedral, component: Some((5122, true)), quantizes: true, values: None })
}

/// As 16 bits that are one together, as they were. None: they were not.
fn weights(floats: &[f32]) -> Option<Packed> {
    let mut elements = Vec::new();
    for of in floats.chunks_exact(4) {
        let sum: f32 = of.iter().sum();
        if (sum - 1.0).abs() > NEARLY || of.iter().any(|weight| *weight < 0.0) {
            return None;
        }
        let mut whole: Vec<i64> = of.iter().map(|weight| (f64::from(weight / sum) * 65_535.0).round() as i64).collect();
        let missing = 65_535 - whole.iter().sum::<i64>();
        *whole.iter_mut().max()? += missing;
        elements.extend(whole.into_iter().flat_map(|weight| (weight.clamp(0, 65_535) as u16).to_le_bytes()));
    }
    Some(Packed { elements, stride: 8, filter: Filter::None, component: Some((5123, true)), quantizes: false, values: None })
}

/// From the longest side of its box.
fn position_step(geometry: &Geometry) -> f32 {
    let position = geometry.parts.iter().find(|part| part.target.is_none() && part.is_position());
    let Some(floats) = position.and_then(Part::floats) else { return 0.0 };
    let side = |place: usize| {
        let of = || floats.iter().skip(place).step_by(3).copied();
        of().fold(f32::NEG_INFINITY, f32::max) - of().fold(f32::INFINITY, f32::min)
    };
    (0..3).map(side).fold(0.0, f32::max) / POSITION_STEPS
}
