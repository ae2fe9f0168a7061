//! Makes smaller models of one, and a picture of it, as a recipe asks. Pure, and the same for the same bytes.
//!
//! ```text
//! scene, geometry     a document taken apart, and the vertices and triangles of one primitive
//! draco, meshopt      the same triangles in fewer bytes
//! textures            its pictures, for graphics cards
//! lod, distance       fewer triangles, and how far these lie from what they stand for
//! looks, manifest     the proof, and what is said of it all
//! ```
//! Each result is looked into before it counts: as many triangles (a level of detail has fewer), materials, animations and skins as the
//! original, and nothing that an inspection would refuse. What loses something is drawn beside the original, and is not used where it looks different. A step that can't
//! be done leaves what it would have changed as it is, and says why.
//! Called by the worker.

mod distance;
mod draco;
mod geometry;
mod lod;
mod looks;
pub mod manifest;
mod meshopt;
pub mod recipe;
pub(super) mod scene;
mod textures;

use serde::Serialize;
use serde_json::{Value, json};

use crate::base::inspection::{Fact, Inspection, Verdict};
use crate::media::format::Format;
use crate::media::inspect::{Declared, inspect};
use crate::media::optimize::looks::{Figures, Looks, Unproven};
use crate::media::optimize::recipe::{Bounds, Picture, Recipe, Step};
use crate::media::optimize::scene::Scene;
use crate::media::render;

/// What must not change, beside the number of triangles.
const SAME: [Fact; 7] = [Fact::Meshes, Fact::Materials, Fact::Textures, Fact::Animations, Fact::Skins, Fact::MorphTargets, Fact::Nodes];

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    pub step: &'static str,
    pub what: String,
    pub why: String,
}

pub struct File {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// What a step measured of its result, as a manifest names it.
type Measured = Vec<(&'static str, Value)>;

/// A result.
struct Variant {
    name: &'static str,
    format: Format,
    bytes: Vec<u8>,
    found: Inspection,
    measured: Measured,
    /// None: nothing is lost in it, so there is nothing to prove.
    looks: Option<Figures>,
}

/// A result that was made, and not used because of what it looks like.
struct Refused {
    name: &'static str,
    size: usize,
    looks: Figures,
    bounds: Bounds,
}

/// What a step says of the scene that it made.
struct Made {
    step: Step,
    measured: Measured,
    /// How alike it must look. None: nothing is lost in it.
    bounds: Option<Bounds>,
    /// It must have fewer triangles than this. None: as many as the original.
    triangles_under: Option<u64>,
    /// It must have fewer bytes than this.
    under: usize,
}

struct Making<'m> {
    original: &'m [u8],
    recipe: &'m Recipe,
    before: Inspection,
    /// Drawn when it is asked for the first time.
    looks: Option<Looks>,
    variants: Vec<Variant>,
    refused: Vec<Refused>,
    skipped: Vec<Skipped>,
    told: &'m mut dyn FnMut(&str),
}

/// The results, and `manifest.json` that lists them. `name`: of the original, without its ending; empty: results are called by what they are.
pub fn optimize(bytes: &[u8], name: &str, recipe: &Recipe, told: &mut dyn FnMut(&str)) -> Result<Vec<File>, String> {
    let content_type = if bytes.starts_with(b"glTF") { Format::Glb } else { Format::Gltf }.media_type();
    let before = inspect(bytes, &Declared { content_type, name: "" });
    if before.verdict == Verdict::Refused {
        let why = before.findings.iter().find(|f| f.fault).map_or("", |f| f.text.as_str());
        return Err(format!("it would be refused: {why}"));
    }
    let (variants, refused, skipped) = Default::default();
    let mut making = Making { original: bytes, recipe, before, looks: None, variants, refused, skipped, told };
    making.models()?;
    making.poster();
    Ok(manifest::files(making, name))
}

impl Making<'_> {
    fn models(&mut self) -> Result<(), String> {
        if self.recipe.steps().iter().all(|step| *step == Step::Poster) {
            return Ok(());
        }
        let mut scene = Scene::parse(self.original)?;
        if let Some(stranger) = scene.stranger() {
            let why = format!("{stranger} may lead to what would be moved, by a way that is not known here");
            self.skip("all", "the document", why);
            return Ok(());
        }
        (self.told)("sharing what is there twice, and taking away what nothing uses");
        scene.share()?;
        scene.prune();
        let mut under = self.original.len();
        let mut triangles = self.before.fact(Fact::Triangles).unwrap_or_default();
        for step in self.recipe.steps() {
            match *step {
                Step::Lossless => {
                    self.take(&scene, Made { step: *step, measured: Vec::new(), bounds: None, triangles_under: None, under })?;
                    under = self.variants.last().map_or(under, |lossless| lossless.bytes.len());
                }
                Step::Draco => self.draco(scene.clone(), under)?,
                Step::Meshopt => self.meshopt(scene.clone(), under)?,
                Step::Ktx2 => self.textures(scene.clone(), under)?,
                Step::Lod1 | Step::Lod2 | Step::Lod3 => {
                    self.lod(scene.clone(), *step, triangles, under)?;
                    let made = self.variants.last().filter(|made| made.name == step.name());
                    triangles = made.and_then(|made| made.found.fact(Fact::Triangles)).unwrap_or(triangles);
                }
                Step::Poster => {}
            }
        }
        Ok(())
    }

    fn draco(&mut self, mut scene: Scene, under: usize) -> Result<(), String> {
        (self.told)("encoding geometry");
        match draco::encode(&mut scene, &mut self.skipped)? {
            Some(done) => self.take_packed(scene, Step::Draco, done.position_error, under),
            None => self.nothing(Step::Draco, "none of its geometry gets smaller"),
        }
    }

    fn meshopt(&mut self, mut scene: Scene, under: usize) -> Result<(), String> {
        (self.told)("packing geometry");
        match meshopt::encode(&mut scene, self.recipe.khr_meshopt, &mut self.skipped)? {
            Some(done) => self.take_packed(scene, Step::Meshopt, done.position_error, under),
            None => self.nothing(Step::Meshopt, "none of its geometry can be packed"),
        }
    }

    fn textures(&mut self, mut scene: Scene, under: usize) -> Result<(), String> {
        let made = textures::encode(&mut scene, self.recipe.textures.max, &mut self.skipped, self.told);
        if made.is_empty() {
            return self.nothing(Step::Ktx2, "none of its pictures becomes a smaller texture");
        }
        scene.prune();
        let measured = vec![("textures", json!(made))];
        self.take(&scene, Made { step: Step::Ktx2, measured, bounds: Some(self.recipe.textures.bounds), triangles_under: None, under })
    }

    fn take_packed(&mut self, mut scene: Scene, step: Step, position_error: f64, under: usize) -> Result<(), String> {
        scene.prune();
        let measured = vec![("position_error", json!(position_error))];
        self.take(&scene, Made { step, measured, bounds: Some(self.recipe.bounds), triangles_under: None, under })
    }

    fn lod(&mut self, mut scene: Scene, step: Step, triangles: u64, under: usize) -> Result<(), String> {
        (self.told)(&format!("making {} of fewer triangles", step.name()));
        let (keeps, times) = match step {
            Step::Lod1 => (0.5, 1.0),
            Step::Lod2 => (0.25, 2.0),
            _ => (0.1, 4.0),
        };
        let level = lod::Level { step: step.name(), keeps, error: self.recipe.lods.error * times };
        match lod::make(&mut scene, level, &mut self.skipped)? {
            Some(done) => {
                scene.prune();
                let measured =
                    vec![("position_error", json!(done.distance)), ("error", json!(done.error)), ("error_bound", json!(level.error))];
                let (bounds, triangles_under) = (Some(self.recipe.lods.bounds), Some(triangles));
                self.take(&scene, Made { step, measured, bounds, triangles_under, under })
            }
            None => self.nothing(step, "nothing in it has fewer triangles within the error"),
        }
    }

    fn nothing(&mut self, step: Step, why: &str) -> Result<(), String> {
        self.skip(step.name(), "the document", why.to_owned());
        Ok(())
    }

    /// Takes the scene as it is now as a result, if it is what it should be.
    fn take(&mut self, scene: &Scene, made: Made) -> Result<(), String> {
        let (name, bytes) = (made.step.name(), scene.write()?);
        let found = inspect(&bytes, &Declared { content_type: Format::Glb.media_type(), name: "" });
        let lost = SAME.into_iter().find(|fact| found.fact(*fact) != self.before.fact(*fact));
        let triangles = found.fact(Fact::Triangles);
        let why = match (lost, made.triangles_under) {
            _ if found.verdict == Verdict::Refused => {
                Some(format!("the result is not whole: {:?}", found.findings.first().map(|f| &f.text)))
            }
            (Some(fact), _) => Some(format!("the result has another number of {}", fact.name())),
            (None, None) if triangles != self.before.fact(Fact::Triangles) => Some("the result has another number of triangles".to_owned()),
            (None, Some(under)) if triangles.unwrap_or_default() >= under => {
                Some(format!("the result has no fewer triangles than {under}"))
            }
            _ if bytes.len() >= made.under => Some(format!("the result is not smaller: {} bytes", bytes.len())),
            _ => None,
        };
        if let Some(why) = why {
            self.skip(name, "the document", why);
            return Ok(());
        }
        let looks = match made.bounds.map(|bounds| (bounds, self.prove(name, &bytes, bounds))) {
            None => None,
            Some((_, Ok(figures))) => Some(figures),
            Some((bounds, Err(unproven))) => {
                self.skip(name, "the document", unproven.why(bounds));
                if let Unproven::Other(looks) = unproven {
                    self.refused.push(Refused { name, size: bytes.len(), looks, bounds });
                }
                return Ok(());
            }
        };
        self.variants.push(Variant { name, format: Format::Glb, bytes, found, measured: made.measured, looks });
        Ok(())
    }

    fn prove(&mut self, name: &str, result: &[u8], bounds: Bounds) -> Result<Figures, Unproven> {
        (self.told)(&format!("comparing {name} with the original"));
        self.looks.get_or_insert_with(|| Looks::of(self.original)).prove(result, bounds)
    }

    fn poster(&mut self) {
        if !self.recipe.wants(Step::Poster) {
            return;
        }
        (self.told)("drawing the poster");
        let (name, poster) = (Step::Poster.name(), self.recipe.poster);
        match render::opened(self.original, |model| render::poster(model, &poster)) {
            Ok(bytes) => {
                let format = match poster.picture {
                    Picture::Png => Format::Png,
                    Picture::WebP => Format::WebP,
                };
                let found = inspect(&bytes, &Declared { content_type: format.media_type(), name: "" });
                self.variants.push(Variant { name, format, bytes, found, measured: Vec::new(), looks: None });
            }
            Err(why) => self.skip(name, "the document", format!("it can't be drawn: {why}")),
        }
    }

    fn skip(&mut self, step: &'static str, what: &str, why: String) {
        self.skipped.push(Skipped { step, what: what.to_owned(), why });
    }
}
