//! Pictures as textures that stay small in a graphics card: KTX 2.0 under KHR_texture_basisu.
//!
//! Colours are ETC1S; normals and other numbers UASTC, because ETC1S knows one direction for sixteen of them. A picture is replaced
//! where all that leads to it is known, and where it gets smaller. Sides become multiples of four, which every card takes.

use std::collections::HashMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Skipped;
use super::scene::Scene;
use crate::media::basis::{self, Form};
use crate::media::formats::picture;
use crate::media::json::Json;
use crate::media::ktx2;
use crate::media::model::{data, length};
use crate::media::render::picture::{Pixels, to_light, to_srgb};

pub use crate::media::basis::TOOL;

const BASISU: &str = "KHR_texture_basisu";
const WEBP: &str = "EXT_texture_webp";
const STEP: &str = "ktx2";

/// What a picture is for. A picture with two uses has the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Role {
    Colour,
    Data,
    Normal,
}

impl Role {
    fn of(name: &str) -> Self {
        const COLOURS: [&str; 6] = [
            "baseColorTexture",
            "emissiveTexture",
            "diffuseTexture",
            "specularGlossinessTexture",
            "sheenColorTexture",
            "specularColorTexture",
        ];
        match name {
            _ if COLOURS.contains(&name) => Role::Colour,
            _ if name.to_ascii_lowercase().contains("normal") => Role::Normal,
            _ => Role::Data,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Role::Colour => "colour",
            Role::Data => "data",
            Role::Normal => "normal",
        }
    }
}

/// A texture that was made, as a manifest says it.
#[derive(Debug, Clone, Serialize)]
pub struct Made {
    image: usize,
    role: &'static str,
    form: &'static str,
    width: u32,
    height: u32,
    levels: usize,
    before: usize,
    bytes: usize,
    /// As a card holds it: eight bits a pixel (BC7, ASTC 4x4, ETC2 with alpha), with all levels.
    gpu_bytes: u64,
}

/// By content and role: what became of it.
type Known = HashMap<([u8; 32], Role), Result<(u64, Made), String>>;

/// Every picture by what leads to it.
struct Uses {
    roles: HashMap<usize, Vec<Role>>,
    /// Textures, and why the picture can't be replaced.
    pictures: HashMap<usize, Result<Vec<usize>, &'static str>>,
}

/// The number of the picture that is shown, if it is the only one.
fn shown(texture: &Json) -> Result<usize, &'static str> {
    let extension = |name: &str| texture.get("extensions").and_then(|e| e.get(name));
    if texture.get("extensions").is_some_and(|all| all.members().iter().any(|(name, _)| name != WEBP)) {
        return Err("an extension says which picture is shown");
    }
    let webp = extension(WEBP).and_then(|e| e.get("source")).and_then(Json::whole);
    match (webp, texture.get("source").and_then(Json::whole)) {
        (Some(webp), Some(source)) if webp != source => Err("there is a second picture, for who reads no WebP"),
        (Some(n), _) | (None, Some(n)) => usize::try_from(n).map_err(|_| "there is no such picture"),
        (None, None) => Err("it has no picture"),
    }
}

fn uses(json: &Json) -> Uses {
    let mut by_texture: HashMap<usize, Vec<Role>> = HashMap::new();
    json.list("materials").iter().for_each(|material| walk(material, &mut by_texture));
    let mut found = Uses { roles: HashMap::new(), pictures: HashMap::new() };
    for (n, texture) in json.list("textures").iter().enumerate() {
        let sources = [texture.get("source")].into_iter().chain([WEBP].map(|e| texture.get("extensions")?.get(e)?.get("source")));
        let sources: Vec<usize> = sources.flatten().filter_map(|s| usize::try_from(s.whole()?).ok()).collect();
        for picture in sources {
            let entry = found.pictures.entry(picture).or_insert_with(|| Ok(Vec::new()));
            match (shown(texture), &mut *entry) {
                (Ok(_), Ok(textures)) => textures.push(n),
                (Err(why), _) => *entry = Err(why),
                _ => {}
            }
            found.roles.entry(picture).or_default().extend(by_texture.get(&n).into_iter().flatten());
        }
    }
    found
}

/// Every `…Texture` with an index, wherever an extension has it.
fn walk(of: &Json, roles: &mut HashMap<usize, Vec<Role>>) {
    for (name, value) in of.members() {
        if name.ends_with("Texture")
            && let Some(index) = value.get("index").and_then(Json::whole)
        {
            roles.entry(index as usize).or_default().push(Role::of(name));
        }
        walk(value, roles);
    }
    of.items().iter().for_each(|item| walk(item, roles));
}

/// Empty: no picture was replaced. `most`: sides.
pub fn encode(scene: &mut Scene, most: u32, skipped: &mut Vec<Skipped>, told: &mut dyn FnMut(&str)) -> Vec<Made> {
    let (uses, count) = (uses(&scene.json), scene.json.list("images").len());
    let mut known = Known::new();
    let mut made = Vec::new();
    for n in 0..count {
        told(&format!("encoding picture {} of {count}", n + 1));
        match one(scene, n, &uses, most, &mut known) {
            Ok((view, done)) => {
                put(scene, n, view, &uses);
                made.push(Made { image: n, ..done });
            }
            Err(why) => skipped.push(Skipped { step: STEP, what: format!("picture {n}"), why }),
        }
    }
    if !made.is_empty() {
        scene.require(BASISU);
        let mut extensions = scene.json.list("textures").iter().filter_map(|t| t.get("extensions"));
        if !extensions.any(|e| e.get(WEBP).is_some()) {
            scene.forget(&[WEBP]);
        }
    }
    made
}

/// Err: why it stays.
fn one(scene: &mut Scene, n: usize, uses: &Uses, most: u32, known: &mut Known) -> Result<(u64, Made), String> {
    match uses.pictures.get(&n) {
        None => return Err("no texture shows it".to_owned()),
        Some(Err(why)) => return Err((*why).to_owned()),
        Some(Ok(_)) => {}
    }
    let roles = uses.roles.get(&n).map_or(&[][..], Vec::as_slice);
    let role = *roles.iter().max().ok_or("no material shows it")?;
    if role > Role::Colour && roles.contains(&Role::Colour) {
        return Err("it is a colour in one place and numbers in another".to_owned());
    }
    let bytes = bytes_of(scene, n)?;
    let key = (Sha256::digest(&bytes).into(), role);
    if let Some(done) = known.get(&key) {
        return done.clone();
    }
    let done = made_of(&bytes, role, most).map(|(file, made)| (scene.add_view(file, None), made));
    known.insert(key, done.clone());
    done
}

fn bytes_of(scene: &Scene, n: usize) -> Result<Vec<u8>, String> {
    let image = scene.json.list("images").get(n).ok_or("it is not there")?;
    if let Some(uri) = image.get("uri").and_then(Json::text) {
        return data(uri).ok_or_else(|| "it lies outside the file".to_owned());
    }
    let view = length(image, "bufferView")?.ok_or("it lies outside the file")?;
    scene.views.get(view).cloned().ok_or_else(|| "it lies outside the file".to_owned())
}

fn made_of(bytes: &[u8], role: Role, most: u32) -> Result<(Vec<u8>, Made), String> {
    if bytes.starts_with(&ktx2::MAGIC) {
        return Err("it is KTX 2.0 already".to_owned());
    }
    // Before anything is decoded.
    let (width, height) = picture::sides(bytes)?;
    if width.max(height) > basis::MAX_SIDE.into() {
        return Err(format!("it has {width} x {height} pixels: sides up to {} are encoded", basis::MAX_SIDE));
    }
    let pixels = fitting(Pixels::decode(bytes)?, most.clamp(4, basis::MAX_SIDE) as usize, role == Role::Colour);
    let (width, height) = (pixels.width as u32, pixels.height as u32);
    let form = if role == Role::Colour { Form::Etc1s } else { Form::Uastc };
    let texture = basis::encode(width, height, &pixels.rgba, form, role == Role::Colour)?;
    let file = ktx2::write(&texture)?;
    if file.len() >= bytes.len() {
        return Err(format!("the texture is not smaller: {} bytes, and the picture has {}", file.len(), bytes.len()));
    }
    let blocks = texture.levels.iter().map(ktx2::Level::blocks).map(|(x, y)| u64::from(x) * u64::from(y));
    let form = if form == Form::Etc1s { "ETC1S" } else { "UASTC" };
    let (levels, gpu_bytes) = (texture.levels.len(), blocks.sum::<u64>() * 16);
    let made = Made { image: 0, role: role.name(), form, width, height, levels, before: bytes.len(), bytes: file.len(), gpu_bytes };
    Ok((file, made))
}

fn put(scene: &mut Scene, n: usize, view: u64, uses: &Uses) {
    if let Some(image) = scene.json.get_mut("images").and_then(|images| images.items_mut().get_mut(n)) {
        image.remove("uri");
        image.set("bufferView", Json::number(view));
        image.set("mimeType", Json::Text("image/ktx2".to_owned()));
    }
    let Some(Ok(textures)) = uses.pictures.get(&n) else { return };
    for t in textures {
        let Some(texture) = scene.json.get_mut("textures").and_then(|all| all.items_mut().get_mut(*t)) else { continue };
        texture.remove("source");
        let source = Json::Object(vec![("source".to_owned(), Json::number(n as u64))]);
        texture.set("extensions", Json::Object(vec![(BASISU.to_owned(), source)]));
    }
}

/// With sides that are multiples of four, `most` at most, and as long beside each other as before.
fn fitting(pixels: Pixels, most: usize, colour: bool) -> Pixels {
    let longest = pixels.width.max(pixels.height).max(1);
    let scale = (most as f64 / longest as f64).min(1.0);
    let side = |n: usize| (((n as f64 * scale / 4.0).round() as usize).max(1) * 4).min((most / 4).max(1) * 4);
    let (width, height) = (side(pixels.width), side(pixels.height));
    if (width, height) == (pixels.width, pixels.height) {
        return pixels;
    }
    let (across, down) = (shares(pixels.width, width), shares(pixels.height, height));
    let light: Vec<f32> = (0..=255u8).map(|b| if colour { to_light(f32::from(b) / 255.0) } else { f32::from(b) / 255.0 }).collect();
    let value = |x: usize, y: usize, c: usize| pixels.rgba.get((y * pixels.width + x) * 4 + c).copied().unwrap_or_default();
    let mut rgba = Vec::with_capacity(width * height * 4);
    for rows in &down {
        for columns in &across {
            let (mut sum, mut weight) = ([0f32; 4], 0f32);
            for (y, of_row) in rows {
                for (x, of_column) in columns {
                    let (share, alpha) = (of_row * of_column, f32::from(value(*x, *y, 3)) / 255.0);
                    // Where nothing is seen, no colour counts.
                    let seen = if colour { share * alpha.max(1e-4) } else { share };
                    (0..3).for_each(|c| sum[c] += seen * light.get(usize::from(value(*x, *y, c))).copied().unwrap_or_default());
                    sum[3] += share * alpha;
                    weight += seen;
                }
            }
            let byte = |value: f32| (value * 255.0).round().clamp(0.0, 255.0) as u8;
            let channel = |sum: f32| if colour { to_srgb(sum / weight) } else { sum / weight };
            rgba.extend_from_slice(&[byte(channel(sum[0])), byte(channel(sum[1])), byte(channel(sum[2])), byte(sum[3])]);
        }
    }
    Pixels { width, height, rgba }
}

/// For each new place, the old ones and their shares in it: a mixture of neighbours, over as many as one new place covers.
fn shares(before: usize, now: usize) -> Vec<Vec<(usize, f32)>> {
    let step = before as f32 / now as f32;
    let reach = step.max(1.0);
    let one = |n: usize| {
        let middle = (n as f32 + 0.5) * step - 0.5;
        let places = (middle - reach).floor() as i64..=(middle + reach).ceil() as i64;
        let found: Vec<(usize, f32)> = places
            .map(|at| (at.clamp(0, before as i64 - 1) as usize, (1.0 - (at as f32 - middle).abs() / reach).max(0.0)))
            .filter(|(_, share)| *share > 0.0)
            .collect();
        let sum: f32 = found.iter().map(|(_, share)| share).sum();
        found.into_iter().map(|(at, share)| (at, share / sum)).collect()
    };
    (0..now).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_become_multiples_of_four_and_keep_their_colours() {
        let plain = |width: usize, height: usize| Pixels { width, height, rgba: [200, 100, 50, 255].repeat(width * height) };
        for ((width, height), most, expected) in
            [((1, 4001), 2048, (4, 2048)), ((64, 64), 2048, (64, 64)), ((101, 50), 64, (64, 32)), ((3, 5), 4, (4, 4))]
        {
            let made = fitting(plain(width, height), most, true);
            assert_eq!((made.width, made.height), expected);
            assert!(made.rgba.chunks(4).all(|p| p == [200, 100, 50, 255]), "{width} x {height}");
        }
    }

    #[test]
    fn a_picture_with_two_uses_has_the_stricter_or_stays() {
        let json = |materials: &str| {
            let text = format!(r#"{{"materials":[{materials}],"textures":[{{"source":0}},{{"source":0}}],"images":[{{}}]}}"#);
            Json::parse(text.as_bytes()).unwrap()
        };
        let both = uses(&json(r#"{"normalTexture":{"index":0},"occlusionTexture":{"index":1}}"#));
        assert_eq!((both.roles[&0].iter().max(), both.pictures[&0].clone()), (Some(&Role::Normal), Ok(vec![0, 1])));
        let mut scene = Scene { json: json(r#"{"emissiveTexture":{"index":0},"occlusionTexture":{"index":1}}"#), views: Vec::new() };
        let mut skipped = Vec::new();
        assert!(encode(&mut scene, 64, &mut skipped, &mut |_| {}).is_empty() && skipped[0].why.contains("colour in one place"));
        let deep = uses(&json(r#"{"extensions":{"KHR_materials_clearcoat":{"clearcoatNormalTexture":{"index":1}}}}"#));
        assert_eq!(deep.roles[&0], [Role::Normal]);
    }
}
