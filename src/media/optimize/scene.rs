//! A glTF document with the bytes of its buffer views apart, so that views and accessors can be taken away, put in and shared; and the
//! one place that knows where a document leads to them.
//!
//! Everything else of the document stays as it was written. A document with an extension that may lead to views or accessors by a way
//! that is not known here is not taken apart.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::media::glb::{self, Glb};
use crate::media::json::Json;
use crate::media::model::{Layout, Model};

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
        let buffers = json.list("buffers");
        if buffers.len() > 1 && buffers.iter().any(|b| b.get("extras").is_some() || b.get("extensions").is_some()) {
            return Err("it has several buffers, and more is said of them than their length".to_owned());
        }
        let model = Model::new(&json, bin)?;
        let mut views = Vec::new();
        for view in 0..json.list("bufferViews").len() {
            let bytes = model.view(view)?.ok_or("its buffers lie in other files: put it into one (.glb) first")?;
            views.push(bytes.to_vec());
        }
        let mut scene = Scene { json, views };
        scene.lay_apart();
        Ok(scene)
    }

    /// Each view begins a buffer that has room for all: where they lie is said anew when it is written.
    fn lay_apart(&mut self) {
        for view in self.json.get_mut("bufferViews").map_or(&mut [][..], Json::items_mut) {
            view.set("buffer", Json::number(0u64));
            view.remove("byteOffset");
        }
        let mut buffer = match self.json.list("buffers") {
            [one] => one.clone(),
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

    /// As one binary file.
    pub fn write(&self) -> Result<Vec<u8>, String> {
        let mut json = self.json.clone();
        let mut bin = Vec::new();
        for (view, bytes) in json.get_mut("bufferViews").map_or(&mut [][..], Json::items_mut).iter_mut().zip(&self.views) {
            bin.resize(bin.len().next_multiple_of(4), 0);
            view.set("buffer", Json::number(0u64));
            view.set("byteOffset", Json::number(bin.len() as u64));
            bin.extend_from_slice(bytes);
        }
        match json.get_mut("buffers").and_then(|buffers| buffers.items_mut().first_mut()).filter(|_| !bin.is_empty()) {
            Some(buffer) => buffer.set("byteLength", Json::number(bin.len() as u64)),
            None => drop(json.remove("buffers")),
        }
        let mut text = String::new();
        json.write(&mut text);
        glb::write(&text, &bin).ok_or_else(|| "it is larger than a binary glTF can be".to_owned())
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
        let Some(view) = layout.view.filter(|_| !layout.sparse).and_then(|view| self.views.get(view)) else { return Ok(None) };
        let elements = view.get(layout.offset..).unwrap_or_default().chunks(layout.stride).take(layout.count);
        Ok(Some(elements.filter_map(|e| e.get(..layout.element)).flatten().copied().collect()))
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
