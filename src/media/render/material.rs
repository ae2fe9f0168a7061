//! What a surface looks like: glTF's metallic-roughness materials, with the extensions that say something about one picture's colours.

use std::collections::HashMap;
use std::rc::Rc;

use super::linear::{V2, V3, V4, scale};
use super::picture::{Meaning, Pixels, Texture, Wrap};
use crate::media::bytes::Looked;
use crate::media::json::Json;
use crate::media::model::{Model, data, length};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Alpha {
    Opaque,
    Mask(f32),
    Blend,
}

/// A texture as a material uses it.
#[derive(Debug, Clone)]
pub struct Use {
    pub texture: Rc<Texture>,
    pub wrap: [Wrap; 2],
    /// Which of the two sets of coordinates.
    pub set: usize,
    /// KHR_texture_transform: two rows.
    shift: [V3; 2],
}

impl Use {
    pub fn at(&self, uv: V2) -> V2 {
        self.shift.map(|row| row[0] * uv[0] + row[1] * uv[1] + row[2])
    }
}

#[derive(Debug, Clone)]
pub struct Material {
    pub base: V4,
    pub base_map: Option<Use>,
    pub metallic: f32,
    pub roughness: f32,
    /// Green is roughness, blue metallic.
    pub surface_map: Option<Use>,
    pub normal_map: Option<Use>,
    pub normal_scale: f32,
    /// Red.
    pub occlusion_map: Option<Use>,
    pub occlusion_strength: f32,
    pub emissive: V3,
    pub emissive_map: Option<Use>,
    pub alpha: Alpha,
    pub two_sided: bool,
    pub unlit: bool,
}

impl Default for Material {
    fn default() -> Self {
        Material {
            base: [1.0; 4],
            base_map: None,
            metallic: 1.0,
            roughness: 1.0,
            surface_map: None,
            normal_map: None,
            normal_scale: 1.0,
            occlusion_map: None,
            occlusion_strength: 1.0,
            emissive: [0.0; 3],
            emissive_map: None,
            alpha: Alpha::Opaque,
            two_sided: false,
            unlit: false,
        }
    }
}

/// Reads materials, and each picture once for what it means.
pub struct Materials<'m, 'a> {
    model: &'m Model<'a>,
    textures: HashMap<(usize, Meaning), Rc<Texture>>,
}

impl<'m, 'a> Materials<'m, 'a> {
    pub fn new(model: &'m Model<'a>) -> Self {
        Materials { model, textures: HashMap::new() }
    }

    pub fn all(mut self) -> Looked<Vec<Material>> {
        let list = self.model.json.list("materials");
        list.iter().enumerate().map(|(n, m)| self.material(m).map_err(|e| format!("material {n}: {e}"))).collect()
    }

    fn material(&mut self, of: &Json) -> Looked<Material> {
        let mut material = Material::default();
        if let Some(pbr) = of.get("pbrMetallicRoughness") {
            material.base = numbers(pbr.get("baseColorFactor"), material.base);
            material.base_map = self.used(pbr.get("baseColorTexture"), Meaning::Colour)?;
            material.metallic = number(pbr.get("metallicFactor"), 1.0).clamp(0.0, 1.0);
            material.roughness = number(pbr.get("roughnessFactor"), 1.0).clamp(0.0, 1.0);
            material.surface_map = self.used(pbr.get("metallicRoughnessTexture"), Meaning::Data)?;
        }
        let (normal, occlusion) = (of.get("normalTexture"), of.get("occlusionTexture"));
        material.normal_map = self.used(normal, Meaning::Data)?;
        material.normal_scale = number(normal.and_then(|n| n.get("scale")), 1.0);
        material.occlusion_map = self.used(occlusion, Meaning::Data)?;
        material.occlusion_strength = number(occlusion.and_then(|o| o.get("strength")), 1.0).clamp(0.0, 1.0);
        let extension = |name: &str| of.get("extensions").and_then(|e| e.get(name));
        let strength = number(extension("KHR_materials_emissive_strength").and_then(|e| e.get("emissiveStrength")), 1.0);
        material.emissive = scale(numbers(of.get("emissiveFactor"), [0.0; 3]), strength);
        material.emissive_map = self.used(of.get("emissiveTexture"), Meaning::Colour)?;
        material.alpha = match of.get("alphaMode").and_then(Json::text) {
            Some("MASK") => Alpha::Mask(number(of.get("alphaCutoff"), 0.5)),
            Some("BLEND") => Alpha::Blend,
            _ => Alpha::Opaque,
        };
        material.two_sided = of.get("doubleSided") == Some(&Json::Bool(true));
        material.unlit = extension("KHR_materials_unlit").is_some();
        Ok(material)
    }

    fn used(&mut self, of: Option<&Json>, meaning: Meaning) -> Looked<Option<Use>> {
        let Some((of, index)) = of.and_then(|of| Some((of, of.get("index")?.whole()? as usize))) else { return Ok(None) };
        let json = self.model.json;
        let texture = json.list("textures").get(index).ok_or_else(|| format!("there is no texture {index}"))?;
        let other =
            ["EXT_texture_webp", "KHR_texture_basisu"].iter().find_map(|e| texture.get("extensions")?.get(e)?.get("source")?.whole());
        let source = other.or_else(|| texture.get("source")?.whole()).ok_or("a texture has no picture that can be drawn")? as usize;
        let sampler = texture.get("sampler").and_then(Json::whole).and_then(|n| json.list("samplers").get(n as usize));
        let wrap = ["wrapS", "wrapT"].map(|name| match sampler.and_then(|s| s.get(name)).and_then(Json::whole) {
            Some(33_071) => Wrap::Clamp,
            Some(33_648) => Wrap::Mirror,
            _ => Wrap::Repeat,
        });
        let transform = of.get("extensions").and_then(|e| e.get("KHR_texture_transform"));
        let set = transform.and_then(|t| t.get("texCoord")).or(of.get("texCoord")).and_then(Json::whole).unwrap_or(0);
        let texture = match self.textures.get(&(source, meaning)) {
            Some(texture) => texture.clone(),
            None => {
                let pixels = Pixels::decode(&self.picture(source)?).map_err(|e| format!("picture {source}: {e}"))?;
                let texture = Rc::new(Texture::new(&pixels, meaning));
                self.textures.insert((source, meaning), texture.clone());
                texture
            }
        };
        Ok(Some(Use { texture, wrap, set: set.min(1) as usize, shift: shift(transform) }))
    }

    fn picture(&self, source: usize) -> Looked<Vec<u8>> {
        let image = self.model.json.list("images").get(source).ok_or_else(|| format!("there is no picture {source}"))?;
        let outside = || format!("picture {source} lies outside the file");
        if let Some(uri) = image.get("uri").and_then(Json::text) {
            return data(uri).ok_or_else(outside);
        }
        let view = length(image, "bufferView")?.ok_or_else(outside)?;
        Ok(self.model.view(view)?.ok_or_else(outside)?.to_vec())
    }
}

/// Offset, rotation and scale, as the extension puts them together.
fn shift(transform: Option<&Json>) -> [V3; 2] {
    let Some(transform) = transform else { return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]] };
    let offset = numbers(transform.get("offset"), [0.0; 2]);
    let by = numbers(transform.get("scale"), [1.0; 2]);
    let (sin, cos) = number(transform.get("rotation"), 0.0).sin_cos();
    [[cos * by[0], sin * by[1], offset[0]], [-sin * by[0], cos * by[1], offset[1]]]
}

pub fn number(of: Option<&Json>, otherwise: f32) -> f32 {
    of.and_then(Json::float).map(|f| f as f32).filter(|f| f.is_finite()).unwrap_or(otherwise)
}

pub fn numbers<const N: usize>(of: Option<&Json>, otherwise: [f32; N]) -> [f32; N] {
    match of.map(Json::items) {
        Some(items) if items.len() == N => std::array::from_fn(|n| number(items.get(n), otherwise[n])),
        _ => otherwise,
    }
}
