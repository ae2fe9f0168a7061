//! The proof that a result looks like its original: both are drawn from the same sides in the same light, and compared.
//!
//! An original that can't be drawn proves nothing: then nothing that loses something is made of it.

use serde::Serialize;

use super::recipe::Bounds;
use crate::media::render::{Likeness, Proof, opened};

/// Of each picture, in pixels.
const SIDE: usize = 256;

pub struct Looks(Result<Proof, String>);

/// How alike a result looks: from the side from which it does least, and from each.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub psnr: f64,
    pub ssim: f64,
    pub views: Vec<Likeness>,
}

pub enum Unproven {
    /// It looks different.
    Other(Figures),
    /// Nobody can tell.
    Undrawn(String),
}

impl Looks {
    pub fn of(original: &[u8]) -> Self {
        Looks(opened(original, |model| Proof::of(model, SIDE)).map_err(|e| format!("the original can't be drawn: {e}")))
    }

    pub fn prove(&self, result: &[u8], bounds: Bounds) -> Result<Figures, Unproven> {
        let proof = self.0.as_ref().map_err(|e| Unproven::Undrawn(e.clone()))?;
        let views = opened(result, |model| proof.likeness(model));
        let figures = Figures::of(views.map_err(|e| Unproven::Undrawn(format!("the result can't be drawn: {e}")))?);
        if figures.psnr < bounds.psnr || figures.ssim < bounds.ssim { Err(Unproven::Other(figures)) } else { Ok(figures) }
    }
}

impl Figures {
    fn of(views: Vec<Likeness>) -> Self {
        let round = |value: f64, digits: f64| (value * digits).round() / digits;
        let views: Vec<Likeness> =
            views.into_iter().map(|v| Likeness { psnr: round(v.psnr, 100.0), ssim: round(v.ssim, 10_000.0) }).collect();
        let least = |of: fn(&Likeness) -> f64| views.iter().map(of).fold(f64::INFINITY, f64::min);
        Figures { psnr: least(|v| v.psnr), ssim: least(|v| v.ssim), views }
    }
}

impl Unproven {
    pub fn why(&self, bounds: Bounds) -> String {
        match self {
            Unproven::Other(Figures { psnr, ssim, .. }) => {
                let Bounds { psnr: least, ssim: least_ssim } = bounds;
                format!("it looks different: {psnr:.2} dB and SSIM {ssim:.4} from one side, where {least} dB and {least_ssim} are demanded")
            }
            Unproven::Undrawn(why) => why.clone(),
        }
    }
}
