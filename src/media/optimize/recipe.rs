//! What is wanted of a model: which results, how alike they must look, and what its poster is like.
//!
//! Part of an order to a worker, of a job's payload and of every manifest, so it is read again as it was written.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::base::listed::listed;

/// Raised whenever the same recipe would make something else of the same bytes.
const OPTIMIZER: u16 = 2;

listed! {
    /// In the order in which they are done.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum Step {
        Lossless,
        Draco,
        Meshopt,
        Ktx2,
        Lod1,
        Lod2,
        Lod3,
        Poster,
    }
}

impl Step {
    /// Where nobody says which.
    pub const USUAL: [Step; 3] = [Step::Lossless, Step::Draco, Step::Poster];

    /// Also what its result is called.
    pub const fn name(self) -> &'static str {
        match self {
            Step::Lossless => "lossless",
            Step::Draco => "draco",
            Step::Meshopt => "meshopt",
            Step::Ktx2 => "ktx2",
            Step::Lod1 => "lod1",
            Step::Lod2 => "lod2",
            Step::Lod3 => "lod3",
            Step::Poster => "poster",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }
}

/// How alike a result must look, from every side. What is less alike is not used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Decibels.
    pub psnr: f64,
    pub ssim: f64,
}

impl Bounds {
    pub fn are_sound(self) -> bool {
        (0.0..=99.0).contains(&self.psnr) && (0.0..=1.0).contains(&self.ssim)
    }
}

impl Default for Bounds {
    /// Less than an eye sees that has both beside each other.
    fn default() -> Self {
        Bounds { psnr: 45.0, ssim: 0.99 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Picture {
    Png,
    /// Without loss.
    #[serde(rename = "webp")]
    WebP,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poster {
    /// Of the square, in pixels.
    pub side: u32,
    /// sRGB. None: clear.
    pub background: Option<[u8; 3]>,
    pub picture: Picture,
}

impl Picture {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "png" => Some(Picture::Png),
            "webp" => Some(Picture::WebP),
            _ => None,
        }
    }
}

/// As people write it: `#20242a`.
pub fn parse_colour(text: &str) -> Result<[u8; 3], String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let bytes = hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("expected a colour such as #20242a, not {text:?}"))
}

impl Default for Poster {
    fn default() -> Self {
        Poster { side: 512, background: None, picture: Picture::WebP }
    }
}

/// Of the levels of detail.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lods {
    /// Each shows that it is another one.
    pub bounds: Bounds,
    /// How far the first may lie from the original, in parts of the longest side of a primitive's box; the second twice, the third four times.
    pub error: f64,
}

impl Lods {
    pub fn are_sound(self) -> bool {
        self.bounds.are_sound() && self.error > 0.0 && self.error <= 1.0
    }
}

impl Default for Lods {
    fn default() -> Self {
        Lods { bounds: Bounds { psnr: 24.0, ssim: 0.8 }, error: 0.01 }
    }
}

/// Of textures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Textures {
    /// Of a lossy code of pictures more is seen than of one of geometry.
    pub bounds: Bounds,
    /// Of a side, in pixels.
    pub max: u32,
}

/// A texture's side at most.
pub const MAX_TEXTURE: u32 = 8192;

impl Textures {
    pub fn are_sound(self) -> bool {
        self.bounds.are_sound() && (4..=MAX_TEXTURE).contains(&self.max)
    }
}

impl Default for Textures {
    fn default() -> Self {
        Textures { bounds: Bounds { psnr: 36.0, ssim: 0.96 }, max: 2048 }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    steps: Vec<Step>,
    /// Of what keeps triangles and pictures.
    pub bounds: Bounds,
    pub poster: Poster,
    #[serde(default, skip_serializing_if = "is_usual")]
    pub lods: Lods,
    #[serde(default, skip_serializing_if = "is_usual")]
    pub textures: Textures,
    /// Whether streams are those of KHR_meshopt_compression, which fewer programs read.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub khr_meshopt: bool,
}

/// What is as usual is not written, and read as usual: so were recipes from before there was a choice.
fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Recipe {
    /// The same for the same steps, however often and in which order they are named.
    pub fn new(mut steps: Vec<Step>, bounds: Bounds, poster: Poster) -> Self {
        steps.sort();
        steps.dedup();
        Recipe { steps, bounds, poster, lods: Lods::default(), textures: Textures::default(), khr_meshopt: false }
    }

    /// This, and the steps of that.
    pub fn with(&self, other: &Recipe) -> Self {
        let Recipe { steps, .. } = Recipe::new([&self.steps[..], &other.steps].concat(), self.bounds, self.poster);
        Recipe { steps, ..self.clone() }
    }

    pub fn wants(&self, step: Step) -> bool {
        self.steps.contains(&step)
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Names what is made by it, by this program, of this content.
    pub fn fingerprint(&self, source: &[u8; 32]) -> String {
        let recipe = serde_json::to_vec(self).unwrap_or_default();
        let version = [&OPTIMIZER.to_le_bytes()[..], env!("CARGO_PKG_VERSION").as_bytes(), &[0]].concat();
        hex::encode(Sha256::new().chain_update(source).chain_update(version).chain_update(recipe).finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours() {
        assert_eq!(parse_colour("#20242a"), Ok([0x20, 0x24, 0x2a]));
        assert_eq!(parse_colour("FFFFFF"), Ok([255; 3]));
        for wrong in ["", "#fff", "#20242", "#20242a00", "red", "##20242a"] {
            assert!(parse_colour(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn equal_wishes_have_one_name() {
        let recipe = |steps: &[Step]| Recipe::new(steps.to_vec(), Bounds::default(), Poster::default());
        let (a, b) = (recipe(&[Step::Poster, Step::Draco, Step::Poster]), recipe(&[Step::Draco, Step::Poster]));
        assert_eq!((a.fingerprint(&[1; 32]), a.steps()), (b.fingerprint(&[1; 32]), b.steps()));
        assert_ne!(a.fingerprint(&[1; 32]), a.fingerprint(&[2; 32]));
        assert_ne!(a.fingerprint(&[1; 32]), recipe(&[Step::Draco]).fingerprint(&[1; 32]));
        let read: Recipe = serde_json::from_str(&serde_json::to_string(&a).unwrap()).unwrap();
        assert_eq!((read, Step::parse("draco"), Step::parse("Draco")), (a.clone(), Some(Step::Draco), None));
        let other = Recipe { khr_meshopt: true, lods: Lods { error: 0.5, ..Lods::default() }, ..a.clone() };
        let read: Recipe = serde_json::from_str(&serde_json::to_string(&other).unwrap()).unwrap();
        assert!(read == other && other.fingerprint(&[1; 32]) != a.fingerprint(&[1; 32]) && other.with(&a) == other);
        for step in Step::ALL {
            assert_eq!((Step::parse(step.name()), serde_json::to_value(step).unwrap()), (Some(step), step.name().into()));
        }
    }
}
