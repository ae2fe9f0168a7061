//! A glTF document with the bytes of its buffer views apart, so that views and accessors can be taken away, put in and shared; and the
//! one place that knows where a document leads to them.
//!
//! Everything else of the document stays as it was written. A document with an extension that may lead to views or accessors by a way
//! that is not known here is not taken apart. Views that EXT_meshopt_compression keeps are decoded on the way in.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::media::glb::{self, Glb};
use crate::media::json::Json;
use crate::media::mesh_codec::{Filter, Mode, decode};
use crate::media::model::{Layout, Model, length};

pub const EXT_MESHOPT: &str = "EXT_meshopt_compression";
pub const KHR_MESHOPT: &str = "KHR_meshopt_compression";

/// Extensions that lead to neither, or by ways that `Scene::each_way` goes. By their beginning.
const KNOWN: &[&str] = &[
    "KHR_materials_",
    "KHR_texture_",
    "KHR_lights_",
    "KHR_node_",
    "KHR_draco_mesh_compression",
    "KHR_mesh_quantization",
    "KHR_animation_pointer",
    "KHR_xmp",
    "EXT_texture_",
    "EXT_mesh_gpu_instancing",
    "EXT_lights_",
    "MSFT_lod",
    "MSFT_texture_dds",
    "VRM",
];

/// More than any file has.
const ROOM: u64 = 1 << 40;

/// Where a way leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    View,
    /// To a view whose bytes are a picture.
    Picture,
    /// To an accessor: of indices, of vertices, of anything else.
    Indices,
    Vertices,
    Data,
}

impl Way {
    fn is_to_view(self) -> bool {
        matches!(self, Way::View | Way::Picture)
    }
}

#[derive(Clone)]
pub struct Scene {
    pub json: Json,
    pub views: Vec<Vec<u8>>,
}

impl Scene {
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (json, bin) = if bytes.starts_with(b"glTF") {
            let container = Glb::parse(bytes)?;
            (Json::parse(container.json)?, container.bin)
        } else {
            (Json::parse(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))?, None)
        };
        let said = |b: &Json| b.get("extras").is_some() || b.get("extensions").is_some();
        let buffers = || json.list("buffers").iter().filter(|buffer| packed_by(buffer).is_none());
        if buffers().count() > 1 && buffers().any(said) {
            return Err("it has several buffers, and more is said of them than their length".to_owned());
        }
        let model = Model::new(&json, bin)?;
        let mut views = Vec::new();
        for (n, view) in json.list("bufferViews").iter().enumerate() {
            views.push(match packed_by(view) {
                Some(packed) => unpacked(&model, view, packed).map_err(|e| format!("buffer view {n} {e}"))?,
                None => model.view(n)?.ok_or("its buffers lie in other files: put it into one (.glb) first")?.to_vec(),
            });
        }
        let mut scene = Scene { json, views };
        scene.lay_apart();
        scene.forget(&[EXT_MESHOPT, KHR_MESHOPT]);
        Ok(scene)
    }

    /// Each view begins a buffer that has room for all: where they lie is said anew when it is written.
    fn lay_apart(&mut self) {
        for view in self.json.get_mut("bufferViews").map_or(&mut [][..], Json::items_mut) {
            view.set("buffer", Json::number(0u64));
            view.remove("byteOffset");
            forget_in(view, &[EXT_MESHOPT, KHR_MESHOPT]);
        }
        let mut own = self.json.list("buffers").iter().filter(|buffer| packed_by(buffer).is_none());
        let mut buffer = match (own.next(), own.next()) {
            (Some(one), None) => one.clone(),
            _ => Json::Object(Vec::new()),
        };
        buffer.remove("uri");
        buffer.set("byteLength", Json::number(ROOM));
        self.json.set("buffers", Json::Array(vec![buffer]));
    }

    /// An extension that is not known here, anywhere in the document.
    pub fn stranger(&self) -> Option<String> {
        let listed = self.json.list("extensionsUsed").iter().filter_map(Json::text).map(str::to_owned).find(|name| !is_known(name));
        listed.or_else(|| stranger_in(&self.json))
    }

    pub fn model(&self) -> Result<Views<'_>, String> {
        Ok(Views { model: Model::new(&self.json, None)?, views: &self.views })
    }

    /// Every number of the document that leads to a view or an accessor.
    pub fn each_way(&mut self, with: &mut dyn FnMut(Way, &mut Json)) {
        let Json::Object(members) = &mut self.json else { return };
        for (name, list) in members {
            for item in list.items_mut() {
                match name.as_str() {
                    "accessors" => {
                        at(item, &["bufferView"], Way::View, with);
                        at(item, &["sparse", "indices", "bufferView"], Way::View, with);
                        at(item, &["sparse", "values", "bufferView"], Way::View, with);
                    }
                    "images" => at(item, &["bufferView"], Way::Picture, with),
                    "skins" => at(item, &["inverseBindMatrices"], Way::Data, with),
                    "nodes" => all_at(item, &["extensions", "EXT_mesh_gpu_instancing", "attributes"], Way::Data, with),
                    "meshes" => {
                        for primitive in item.get_mut("primitives").map_or(&mut [][..], Json::items_mut) {
                            at(primitive, &["indices"], Way::Indices, with);
                            at(primitive, &["extensions", "KHR_draco_mesh_compression", "bufferView"], Way::View, with);
                            all_at(primitive, &["attributes"], Way::Vertices, with);
                            for target in primitive.get_mut("targets").map_or(&mut [][..], Json::items_mut) {
                                all_at(target, &[], Way::Vertices, with);
                            }
                        }
                    }
                    "animations" => {
                        for sampler in item.get_mut("samplers").map_or(&mut [][..], Json::items_mut) {
                            at(sampler, &["input"], Way::Data, with);
                            at(sampler, &["output"], Way::Data, with);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Lets what is equal be there once: accessors of the same use and content, and pictures. Answers how many went.
    pub fn share(&mut self) -> Result<usize, String> {
        let mut uses: HashMap<(bool, usize), Way> = HashMap::new();
        self.each_way(&mut |way, number| {
            if let Some(n) = number.whole() {
                uses.entry((way.is_to_view(), n as usize)).or_insert(way);
            }
        });
        let mut same: HashMap<(bool, usize), usize> = HashMap::new();
        let mut first: HashMap<[u8; 32], usize> = HashMap::new();
        let views = self.model()?;
        for (n, accessor) in self.json.list("accessors").iter().enumerate() {
            let Some(bytes) = views.tight(n)? else { continue };
            let mut rest = accessor.clone();
            rest.remove("bufferView");
            rest.remove("byteOffset");
            let way = uses.get(&(false, n)).copied();
            let original = *first.entry(hash(&format!("{way:?}"), &rest, &bytes)).or_insert(n);
            if original != n {
                same.insert((false, n), original);
            }
        }
        let mut first: HashMap<[u8; 32], usize> = HashMap::new();
        for (n, view) in self.json.list("bufferViews").iter().enumerate().filter(|(n, _)| uses.get(&(true, *n)) == Some(&Way::Picture)) {
            let mut rest = view.clone();
            ["buffer", "byteOffset"].iter().for_each(|name| drop(rest.remove(name)));
            let original = *first.entry(hash("picture", &rest, self.views.get(n).map_or(&[][..], Vec::as_slice))).or_insert(n);
            if original != n {
                same.insert((true, n), original);
            }
        }
        self.each_way(&mut |way, number| {
            let leads = number.whole().and_then(|n| same.get(&(way.is_to_view(), n as usize)));
            if let Some(original) = leads {
                *number = Json::number(*original as u64);
            }
        });
        Ok(same.len())
    }

    /// Takes away the accessors that nothing leads to, and then such views. Answers how many went.
    pub fn prune(&mut self) -> usize {
        let accessors = self.keep("accessors", false);
        let views = self.keep("bufferViews", true);
        let mut kept = views.iter();
        self.views.retain(|_| kept.next().copied().unwrap_or(true));
        accessors.iter().chain(&views).filter(|kept| !**kept).count()
    }

    fn keep(&mut self, list: &str, views: bool) -> Vec<bool> {
        let mut kept = vec![false; self.json.list(list).len()];
        self.each_way(&mut |way, number| {
            if way.is_to_view() == views
                && let Some(place) = number.whole().and_then(|n| kept.get_mut(n as usize))
            {
                *place = true;
            }
        });
        let mut next = 0u64;
        let now: Vec<u64> = kept
            .iter()
            .map(|kept| {
                next += u64::from(*kept);
                next.saturating_sub(1)
            })
            .collect();
        self.each_way(&mut |way, number| {
            if way.is_to_view() == views
                && let Some(now) = number.whole().and_then(|n| now.get(n as usize))
            {
                *number = Json::number(*now);
            }
        });
        let mut each = kept.iter();
        if let Some(Json::Array(items)) = self.json.get_mut(list) {
            items.retain(|_| each.next().copied().unwrap_or(true));
        }
        // An empty array is not allowed.
        if self.json.get(list).is_some_and(|items| items.items().is_empty()) {
            self.json.remove(list);
        }
        kept
    }

    pub fn add(&mut self, list: &str, item: Json) -> u64 {
        if self.json.get(list).is_none() {
            self.json.set(list, Json::Array(Vec::new()));
        }
        let Some(Json::Array(items)) = self.json.get_mut(list) else { return 0 };
        items.push(item);
        items.len() as u64 - 1
    }

    /// Its number. `stride`: of vertices.
    pub fn add_view(&mut self, bytes: Vec<u8>, stride: Option<usize>) -> u64 {
        let mut view = vec![("buffer".to_owned(), Json::number(0u64)), ("byteLength".to_owned(), Json::number(bytes.len() as u64))];
        view.extend(stride.map(|stride| ("byteStride".to_owned(), Json::number(stride as u64))));
        self.views.push(bytes);
        self.add("bufferViews", Json::Object(view))
    }

    /// Says that who reads the document must know the extension.
    pub fn require(&mut self, name: &str) {
        for list in ["extensionsUsed", "extensionsRequired"] {
            if !self.json.list(list).iter().any(|known| known.text() == Some(name)) {
                self.add(list, Json::Text(name.to_owned()));
            }
        }
    }

    /// Takes extensions off both lists.
    pub fn forget(&mut self, names: &[&str]) {
        for list in ["extensionsUsed", "extensionsRequired"] {
            if let Some(Json::Array(known)) = self.json.get_mut(list) {
                known.retain(|name| !name.text().is_some_and(|name| names.contains(&name)));
                // An empty array is not allowed.
                if known.is_empty() {
                    self.json.remove(list);
                }
            }
        }
    }

    /// As one binary file.
    pub fn write(&self) -> Result<Vec<u8>, String> {
        let mut json = self.json.clone();
        let (mut bin, mut unpacked) = (Vec::new(), Unpacked::default());
        for (view, bytes) in json.get_mut("bufferViews").map_or(&mut [][..], Json::items_mut).iter_mut().zip(&self.views) {
            bin.resize(bin.len().next_multiple_of(4), 0);
            unpacked.place(view, bin.len());
            bin.extend_from_slice(bytes);
        }
        match json.get_mut("buffers").and_then(|buffers| buffers.items_mut().first_mut()).filter(|_| !bin.is_empty()) {
            Some(buffer) => buffer.set("byteLength", Json::number(bin.len() as u64)),
            None => drop(json.remove("buffers")),
        }
        unpacked.write(&mut json);
        let mut text = String::new();
        json.write(&mut text);
        glb::write(&text, &bin).ok_or_else(|| "it is larger than a binary glTF can be".to_owned())
    }
}

/// The buffer that streams are decoded into: its bytes are in no file.
#[derive(Default)]
struct Unpacked {
    extension: Option<String>,
    bytes: usize,
}

impl Unpacked {
    /// `offset`: where the bytes of the view lie in the file.
    fn place(&mut self, view: &mut Json, offset: usize) {
        view.set("buffer", Json::number(0u64));
        view.set("byteOffset", Json::number(offset as u64));
        let Some(name) = packed_by(view).map(str::to_owned) else { return };
        if let Some(packed) = view.get_mut("extensions").and_then(|e| e.get_mut(&name)) {
            packed.set("byteOffset", Json::number(offset as u64));
        }
        self.bytes = self.bytes.next_multiple_of(4);
        view.set("buffer", Json::number(1u64));
        view.set("byteOffset", Json::number(self.bytes as u64));
        self.bytes += view.get("byteLength").and_then(Json::whole).unwrap_or_default() as usize;
        self.extension = Some(name);
    }

    fn write(self, json: &mut Json) {
        let (Some(name), Some(Json::Array(buffers))) = (self.extension, json.get_mut("buffers")) else { return };
        let fallback = Json::Object(vec![(name, Json::Object(vec![("fallback".to_owned(), Json::Bool(true))]))]);
        buffers.push(Json::Object(vec![("byteLength".to_owned(), Json::number(self.bytes as u64)), ("extensions".to_owned(), fallback)]));
    }
}

/// The accessors of a scene, with their bytes.
pub struct Views<'s> {
    model: Model<'s>,
    views: &'s [Vec<u8>],
}

impl Views<'_> {
    pub fn layout(&self, accessor: usize) -> Result<Layout, String> {
        self.model.layout(accessor)
    }

    /// Its elements without gaps. None: they do not lie in one view.
    pub fn tight(&self, accessor: usize) -> Result<Option<Vec<u8>>, String> {
        let layout = self.layout(accessor)?;
        let is_plain = |view: &usize| !layout.sparse && self.model.json.list("bufferViews").get(*view).and_then(packed_by).is_none();
        let Some(view) = layout.view.filter(is_plain).and_then(|view| self.views.get(view)) else { return Ok(None) };
        let elements = view.get(layout.offset..).unwrap_or_default().chunks(layout.stride).take(layout.count);
        Ok(Some(elements.filter_map(|e| e.get(..layout.element)).flatten().copied().collect()))
    }
}

/// The extension that keeps the bytes of a view packed, or whose buffer it is that they are unpacked into.
pub fn packed_by(of: &Json) -> Option<&'static str> {
    let extensions = of.get("extensions")?;
    [EXT_MESHOPT, KHR_MESHOPT].into_iter().find(|name| extensions.get(name).is_some())
}

fn unpacked(model: &Model<'_>, view: &Json, by: &str) -> Result<Vec<u8>, String> {
    let packed = view.get("extensions").and_then(|e| e.get(by)).ok_or("is packed by nothing")?;
    let need = |name: &str| length(packed, name)?.ok_or_else(|| format!("is packed, and says no {name}"));
    let (buffer, bytes, stride, count) = (need("buffer")?, need("byteLength")?, need("byteStride")?, need("count")?);
    let offset = length(packed, "byteOffset")?.unwrap_or(0);
    let text = |name: &str| packed.get(name).and_then(Json::text);
    let mode = text("mode").and_then(Mode::parse).ok_or("is packed in a mode that is not known here")?;
    let filter = text("filter").map_or(Some(Filter::None), Filter::parse).ok_or("is packed with a filter that is not known here")?;
    let packed = model.part(buffer, offset, bytes).ok_or("is packed, and lies outside the file")?;
    let said = length(view, "byteLength")?.unwrap_or_default();
    if count.checked_mul(stride) != Some(said) {
        return Err(format!("has {said} bytes, and is packed as {count} elements of {stride}"));
    }
    decode(mode, filter, count, stride, packed)
}

/// Takes extensions out of what is said of one thing.
fn forget_in(of: &mut Json, names: &[&str]) {
    if let Some(extensions) = of.get_mut("extensions") {
        names.iter().for_each(|name| drop(extensions.remove(name)));
        if extensions.members().is_empty() {
            of.remove("extensions");
        }
    }
}

fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|known| name.starts_with(known))
}

fn stranger_in(of: &Json) -> Option<String> {
    for (name, value) in of.members() {
        // What programs say for themselves leads nowhere that a reader goes.
        if name == "extras" {
            continue;
        }
        if name == "extensions"
            && let Some((stranger, _)) = value.members().iter().find(|(name, _)| !is_known(name))
        {
            return Some(stranger.clone());
        }
        if let Some(stranger) = stranger_in(value) {
            return Some(stranger);
        }
    }
    of.items().iter().find_map(stranger_in)
}

fn at(of: &mut Json, path: &[&str], way: Way, with: &mut dyn FnMut(Way, &mut Json)) {
    let mut of = of;
    for name in path {
        match of.get_mut(name) {
            Some(inner) => of = inner,
            None => return,
        }
    }
    with(way, of);
}

fn all_at(of: &mut Json, path: &[&str], way: Way, with: &mut dyn FnMut(Way, &mut Json)) {
    at(of, path, way, &mut |way, object| {
        if let Json::Object(members) = object {
            members.iter_mut().for_each(|(_, number)| with(way, number));
        }
    });
}

fn hash(what: &str, rest: &Json, bytes: &[u8]) -> [u8; 32] {
    let mut text = String::new();
    rest.write(&mut text);
    Sha256::new().chain_update(what).chain_update([0]).chain_update(text).chain_update([0]).chain_update(bytes).finalize().into()
}
