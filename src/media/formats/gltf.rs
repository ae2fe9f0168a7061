//! glTF 2.0, as one binary file or as a document: every number that leads somewhere is followed, what is used is counted, and
//! geometry that lies in the file is read through for indices that point nowhere and for numbers that are none.

use std::collections::BTreeSet;

use crate::base::inspection::Fact;
use crate::media::bytes::Looked;
use crate::media::formats::picture;
use crate::media::found::Found;
use crate::media::glb::Glb;
use crate::media::json::Json;
use crate::media::ktx2;
use crate::media::model::{Component, Layout, Model, data, length};

/// More is slow on the devices that most players have.
const MANY_TRIANGLES: u64 = 50_000;
/// What an accessor may be once it is laid out: more is a bomb.
const MAX_ACCESSOR_BYTES: u64 = 1 << 30;
const LARGE_TEXTURE: u64 = 4096;

pub fn glb(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let container = Glb::parse(bytes)?;
    if container.behind > 0 {
        found.flag(format!("{} bytes stand behind its end", container.behind));
    }
    document(&Json::parse(container.json)?, container.bin, found)
}

pub fn gltf(bytes: &[u8], found: &mut Found) -> Looked<()> {
    document(&Json::parse(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))?, None, found)
}

fn document(json: &Json, bin: Option<&[u8]>, found: &mut Found) -> Looked<()> {
    match json.get("asset").and_then(|asset| asset.get("version")).and_then(Json::text) {
        Some(version) if version.starts_with("2.") => {}
        Some(version) => return Err(format!("it is of glTF {version}, and 2 is what is read")),
        None => return Err("it does not say which glTF it is: there is no asset.version".to_owned()),
    }
    for extension in json.list("extensionsUsed") {
        found.name(extension.text().unwrap_or_default());
    }
    let count = |name: &str| json.list(name).len() as u64;
    found.fact(Fact::Meshes, count("meshes"));
    found.fact(Fact::Materials, count("materials"));
    found.fact(Fact::Textures, count("textures"));
    found.fact(Fact::Skins, count("skins"));
    found.fact(Fact::Nodes, count("nodes"));
    let model = Model::new(json, bin)?;
    for view in 0..json.list("bufferViews").len() {
        model.place(view)?;
    }
    for (n, accessor) in json.list("accessors").iter().enumerate() {
        let Layout { count, element, .. } = model.layout(n)?;
        if (count as u64).saturating_mul(element as u64) > MAX_ACCESSOR_BYTES {
            return Err(format!("accessor {n} is said to have {count} elements: {} bytes", (count as u64).saturating_mul(element as u64)));
        }
        bounds(accessor, n, found);
    }
    references(json)?;
    tree(json)?;
    meshes(&model, found)?;
    animations(json, found)?;
    images(&model, found)
}

/// What has a number under a name, and the list it is a number of.
fn leads(of: &Json, name: &str, what: &str, list: &[Json]) -> Looked<()> {
    match length(of, name) {
        Ok(Some(n)) if n >= list.len() => Err(format!("{what} is of {name} {n}, and there are {}", list.len())),
        Ok(_) => Ok(()),
        Err(e) => Err(format!("{what}: {e}")),
    }
}

fn all_lead(items: &[Json], what: &str, list: &[Json]) -> Looked<()> {
    for item in items {
        match item.whole() {
            Some(n) if n < list.len() as u64 => {}
            _ => return Err(format!("{what} names something of which there are only {}", list.len())),
        }
    }
    Ok(())
}

fn references(json: &Json) -> Looked<()> {
    let list = |name: &str| json.list(name);
    leads(json, "scene", "the document", list("scenes"))?;
    for (n, scene) in list("scenes").iter().enumerate() {
        all_lead(scene.list("nodes"), &format!("scene {n}"), list("nodes"))?;
    }
    for (n, node) in list("nodes").iter().enumerate() {
        let what = format!("node {n}");
        leads(node, "mesh", &what, list("meshes"))?;
        leads(node, "skin", &what, list("skins"))?;
        leads(node, "camera", &what, list("cameras"))?;
        all_lead(node.list("children"), &what, list("nodes"))?;
    }
    for (n, skin) in list("skins").iter().enumerate() {
        let what = format!("skin {n}");
        leads(skin, "inverseBindMatrices", &what, list("accessors"))?;
        leads(skin, "skeleton", &what, list("nodes"))?;
        all_lead(skin.list("joints"), &what, list("nodes"))?;
    }
    for (n, texture) in list("textures").iter().enumerate() {
        leads(texture, "source", &format!("texture {n}"), list("images"))?;
        leads(texture, "sampler", &format!("texture {n}"), list("samplers"))?;
    }
    for (n, image) in list("images").iter().enumerate() {
        leads(image, "bufferView", &format!("image {n}"), list("bufferViews"))?;
    }
    for (n, material) in list("materials").iter().enumerate() {
        textures_of(material, &format!("material {n}"), list("textures"), 0)?;
    }
    Ok(())
}

/// Every `…Texture` of a material, in its extensions too.
fn textures_of(of: &Json, what: &str, textures: &[Json], depth: u8) -> Looked<()> {
    for (name, value) in of.members() {
        if (name.ends_with("Texture") || name.ends_with("texture")) && value.get("index").is_some() {
            leads(value, "index", what, textures)?;
        } else if depth < 4 && name != "extras" {
            textures_of(value, what, textures, depth + 1)?;
        }
    }
    Ok(())
}

/// Nodes are trees: each has one parent at most, and no way leads back.
fn tree(json: &Json) -> Looked<()> {
    let nodes = json.list("nodes");
    let mut parent = vec![None; nodes.len()];
    for (n, node) in nodes.iter().enumerate() {
        for child in node.list("children").iter().filter_map(Json::whole) {
            match parent.get_mut(child as usize) {
                Some(of @ None) => *of = Some(n),
                _ => return Err(format!("node {child} has two parents")),
            }
        }
    }
    // With one parent each, what does not end at a root is a circle.
    let mut rooted = vec![false; nodes.len()];
    for start in 0..nodes.len() {
        let mut way = Vec::new();
        let mut at = Some(start);
        while let Some(n) = at.filter(|n| !rooted[*n]) {
            if way.len() > nodes.len() {
                return Err(format!("node {start} is its own ancestor"));
            }
            way.push(n);
            at = parent[n];
        }
        way.into_iter().for_each(|n| rooted[n] = true);
    }
    Ok(())
}

fn bounds(accessor: &Json, n: usize, found: &mut Found) {
    for name in ["min", "max"] {
        if accessor.list(name).iter().any(|v| v.float().is_none_or(|f| !f.is_finite())) {
            found.fault(format!("accessor {n} has a {name} that is no number"));
        }
    }
}

fn meshes(model: &Model<'_>, found: &mut Found) -> Looked<()> {
    let json = model.json;
    let (mut triangles, mut vertices, mut targets) = (0u64, 0u64, 0u64);
    let mut read = BTreeSet::new();
    let mut positions = BTreeSet::new();
    for (m, mesh) in json.list("meshes").iter().enumerate() {
        if mesh.list("primitives").is_empty() {
            return Err(format!("mesh {m} has no primitives"));
        }
        for (p, primitive) in mesh.list("primitives").iter().enumerate() {
            let what = format!("primitive {p} of mesh {m}");
            leads(primitive, "material", &what, json.list("materials"))?;
            let position = primitive.get("attributes").map_or(Ok(None), |a| length(a, "POSITION"))?;
            let layout = position.map(|n| model.layout(n)).transpose()?;
            let corners = layout.as_ref().map_or(0, |l| l.count);
            if let Some(position) = position.filter(|n| positions.insert(*n)) {
                vertices += model.layout(position)?.count as u64;
            }
            for accessor in numbers(primitive)? {
                if read.insert(accessor) {
                    finite(model, accessor, found)?;
                }
            }
            let drawn = match length(primitive, "indices")? {
                None => corners,
                Some(indices) => {
                    indices_inside(model, indices, corners, &what)?;
                    model.layout(indices)?.count
                }
            } as u64;
            triangles += match length(primitive, "mode")?.unwrap_or(4) {
                4 => drawn / 3,
                5 | 6 => drawn.saturating_sub(2),
                0..=3 => 0,
                mode => return Err(format!("{what} is drawn in a way {mode} that there is not")),
            };
            targets = targets.max(primitive.list("targets").len() as u64);
        }
    }
    found.fact(Fact::Triangles, triangles);
    found.fact(Fact::Vertices, vertices);
    if targets > 0 {
        found.fact(Fact::MorphTargets, targets);
    }
    if triangles > MANY_TRIANGLES {
        found.flag(format!("it has {triangles} triangles: more than {MANY_TRIANGLES}"));
    }
    if json.list("meshes").is_empty() {
        found.flag("it has no mesh");
    }
    Ok(())
}

/// The accessors of a primitive's corners and of its morph targets.
fn numbers(primitive: &Json) -> Looked<Vec<usize>> {
    let own = primitive.get("attributes").map_or(&[][..], Json::members);
    let all = primitive.list("targets").iter().flat_map(Json::members).chain(own);
    all.map(|(name, n)| n.whole().map(|n| n as usize).ok_or_else(|| format!("its attribute {name} is no accessor"))).collect()
}

fn finite(model: &Model<'_>, accessor: usize, found: &mut Found) -> Looked<()> {
    let layout = model.layout(accessor)?;
    if layout.component != Component::F32 {
        return Ok(());
    }
    let Some(elements) = model.elements(&layout)? else { return Ok(()) };
    let wrong = elements.filter(|e| e.chunks_exact(4).any(|f| f.try_into().is_ok_and(|f| !f32::from_le_bytes(f).is_finite()))).count();
    if wrong > 0 {
        found.fault(format!("{wrong} elements of accessor {accessor} have numbers that are none"));
    }
    Ok(())
}

fn indices_inside(model: &Model<'_>, accessor: usize, corners: usize, what: &str) -> Looked<()> {
    let layout = model.layout(accessor)?;
    if layout.width != 1 || !matches!(layout.component, Component::U8 | Component::U16 | Component::U32) {
        return Err(format!("{what} has indices of a type that they can't have"));
    }
    let Some(mut elements) = model.elements(&layout)? else { return Ok(()) };
    let outside = elements.find_map(|e| {
        let n = e.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
        (n >= corners as u64).then_some(n)
    });
    match outside {
        Some(n) => Err(format!("{what} has the index {n}, and there are {corners} vertices")),
        None => Ok(()),
    }
}

fn animations(json: &Json, found: &mut Found) -> Looked<()> {
    let accessors = json.list("accessors");
    let mut longest = 0f64;
    for (n, animation) in json.list("animations").iter().enumerate() {
        let what = format!("animation {n}");
        for sampler in animation.list("samplers") {
            leads(sampler, "input", &what, accessors)?;
            leads(sampler, "output", &what, accessors)?;
            let input = length(sampler, "input")?.and_then(|n| accessors.get(n));
            let end = input.and_then(|a| a.list("max").first()).and_then(Json::float).filter(|f| f.is_finite());
            longest = longest.max(end.unwrap_or(0.0));
        }
        for channel in animation.list("channels") {
            leads(channel, "sampler", &what, animation.list("samplers"))?;
            if let Some(target) = channel.get("target") {
                leads(target, "node", &what, json.list("nodes"))?;
            }
        }
    }
    found.fact(Fact::Animations, json.list("animations").len() as u64);
    if longest > 0.0 {
        found.fact(Fact::DurationMs, (longest * 1000.0) as u64);
    }
    Ok(())
}

fn images(model: &Model<'_>, found: &mut Found) -> Looked<()> {
    let (mut largest, mut total) = (0u64, 0u64);
    for (n, image) in model.json.list("images").iter().enumerate() {
        let owned = image.get("uri").and_then(Json::text).filter(|uri| uri.starts_with("data:")).map(data);
        let bytes = match (&owned, length(image, "bufferView")?) {
            (Some(None), _) => {
                found.fault(format!("image {n} has a data URI that can't be read"));
                continue;
            }
            (Some(Some(bytes)), _) => bytes.as_slice(),
            (None, Some(view)) => match model.view(view)? {
                Some(bytes) => bytes,
                None => continue,
            },
            // Outside the file.
            (None, None) => continue,
        };
        match picture::sides(bytes) {
            Ok((width, height)) => {
                largest = largest.max(width.max(height));
                // Four bytes a pixel, or one where it stays packed; with its smaller levels it is a third more.
                let bytes_of_four = if bytes.starts_with(&ktx2::MAGIC) { 4 } else { 16 };
                total = total.saturating_add(width.saturating_mul(height).saturating_mul(bytes_of_four) / 3);
            }
            Err(fault) => found.fault(format!("image {n}: {fault}")),
        }
    }
    if largest > 0 {
        found.fact(Fact::TextureSide, largest);
        found.fact(Fact::TextureBytes, total);
    }
    if largest > LARGE_TEXTURE {
        found.flag(format!("it has a texture with a side of {largest} pixels: more than {LARGE_TEXTURE}"));
    }
    Ok(())
}
