//! Draws models: a poster for people to see, and the same views of two models for a proof that they look the same.
//!
//! ```text
//! elements, material, scene   a glTF's numbers, surfaces, and where each triangle stands
//! picture                     pictures and how they are sampled
//! shade, raster               light, and what covers what
//! compare                     how alike two pictures are
//! ```
//! Pure, in one thread. The same model gives the same picture on the same machine.

mod compare;
mod elements;
mod linear;
mod material;
pub(super) mod picture;
mod raster;
mod scene;
mod shade;
#[cfg(test)]
mod tests;

pub use compare::{Likeness, SAME};
use picture::Pixels;
use raster::{Background, Camera, draw};
use scene::{Pose, Scene};

use crate::media::bytes::Looked;
use crate::media::glb::Glb;
use crate::media::json::Json;
use crate::media::model::Model;
use crate::media::optimize::recipe::{Picture, Poster};
use crate::media::unpack::{is_packed, unpacked};

/// A poster's side at most.
pub const MAX_POSTER_SIDE: u32 = 1024;
/// From where a proof looks, in radians: around the model, and above it.
pub const VIEWS: [(f32, f32); 6] = [(0.5, 0.3), (2.1, 0.1), (3.7, 0.3), (5.2, -0.2), (0.5, 1.2), (2.6, -1.2)];

/// The model in a GLB, or in a document that holds its own bytes.
pub fn opened<T>(bytes: &[u8], what: impl FnOnce(&Model<'_>) -> Looked<T>) -> Looked<T> {
    let (json, bin) = document(bytes)?;
    if !is_packed(&json) {
        return what(&Model::new(&json, bin)?);
    }
    let plain = unpacked(bytes)?;
    let (json, bin) = document(&plain)?;
    what(&Model::new(&json, bin)?)
}

fn document(bytes: &[u8]) -> Looked<(Json, Option<&[u8]>)> {
    let glb = bytes.starts_with(b"glTF").then(|| Glb::parse(bytes)).transpose()?;
    let document = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let json = Json::parse(glb.as_ref().map_or(document, |glb| glb.json))?;
    Ok((json, glb.and_then(|glb| glb.bin)))
}

/// A square picture of the model, a little from the right and from above.
pub fn poster(model: &Model<'_>, poster: &Poster) -> Looked<Vec<u8>> {
    let scene = Scene::new(model, Pose::Rest)?;
    let (middle, reach) = scene.bounds().ok_or("there is nothing in it to see")?;
    let camera = Camera { middle, reach, around: 0.5, above: 0.3 };
    let background = poster.background.map_or(Background::Clear, Background::Colour);
    let pixels = draw(&scene, &camera, poster.side.clamp(1, MAX_POSTER_SIDE) as usize, background);
    match poster.picture {
        Picture::Png => pixels.to_png(),
        Picture::WebP => pixels.to_webp(),
    }
}

fn has_targets(json: &Json) -> bool {
    json.list("meshes").iter().flat_map(|mesh| mesh.list("primitives")).any(|primitive| !primitive.list("targets").is_empty())
}

/// A model from all sides, at rest and with joints and morph targets moved: what others are compared with.
pub struct Proof {
    cameras: Vec<(Pose, Camera)>,
    pictures: Vec<Pixels>,
}

impl Proof {
    /// `side`: of each picture, in pixels.
    pub fn of(original: &Model<'_>, side: usize) -> Looked<Self> {
        let mut proof = Proof { cameras: Vec::new(), pictures: Vec::new() };
        let moves = !original.json.list("skins").is_empty() || has_targets(original.json);
        for pose in [Pose::Rest, Pose::Bent].into_iter().take(if moves { 2 } else { 1 }) {
            let scene = Scene::new(original, pose)?;
            let (middle, reach) = scene.bounds().ok_or("there is nothing in it to see")?;
            for (around, above) in VIEWS {
                let camera = Camera { middle, reach, around, above };
                proof.pictures.push(draw(&scene, &camera, side, Background::Clear));
                proof.cameras.push((pose, camera));
            }
        }
        Ok(proof)
    }

    /// By view: those at rest first, then those moved, where the original can move.
    pub fn likeness(&self, result: &Model<'_>) -> Looked<Vec<Likeness>> {
        let (rest, bent) = (Scene::new(result, Pose::Rest)?, Scene::new(result, Pose::Bent)?);
        let views = self.cameras.iter().zip(&self.pictures).map(|((pose, camera), original)| {
            let scene = if *pose == Pose::Rest { &rest } else { &bent };
            compare::compare(original, &draw(scene, camera, original.width, Background::Clear))
        });
        Ok(views.map(|found| found.unwrap_or(Likeness { psnr: SAME, ssim: 1.0 })).collect())
    }
}
