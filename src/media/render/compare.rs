//! How alike two pictures are: PSNR of what is drawn in either, and SSIM by windows.

use serde::{Deserialize, Serialize};

use super::picture::Pixels;

/// Side of a window of SSIM, and how far the next one is.
const WINDOW: usize = 8;
const STEP: usize = 4;
/// Of pictures that are the same.
pub const SAME: f64 = 99.0;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    /// Decibels, at most `SAME`. Of the pixels that show something in either picture: a small model is judged as a large one.
    pub psnr: f64,
    /// 1 for the same; the mean over windows that show something.
    pub ssim: f64,
}

/// Both have the same size. None: there is nothing in either.
pub fn compare(a: &Pixels, b: &Pixels) -> Option<Likeness> {
    let shown = |n: usize| [a, b].iter().any(|p| p.rgba.get(n * 4 + 3).is_some_and(|alpha| *alpha > 0));
    let (mut squares, mut count) = (0.0, 0u64);
    for (n, (p, q)) in a.rgba.chunks_exact(4).zip(b.rgba.chunks_exact(4)).enumerate() {
        if shown(n) {
            let (p, q) = (over_grey(p), over_grey(q));
            squares += p.iter().zip(q).map(|(x, y)| (x - y) * (x - y)).sum::<f64>();
            count += 3;
        }
    }
    if count == 0 {
        return None;
    }
    let mean = squares / count as f64;
    let psnr = if mean > 0.0 { (10.0 * (255.0 * 255.0 / mean).log10()).min(SAME) } else { SAME };
    Some(Likeness { psnr, ssim: ssim(a, b, &shown) })
}

/// What is clear would be black, and a black model on it invisible.
fn over_grey(pixel: &[u8]) -> [f64; 3] {
    let alpha = pixel.get(3).map_or(1.0, |a| f64::from(*a) / 255.0);
    std::array::from_fn(|n| pixel.get(n).map_or(0.0, |c| f64::from(*c)) * alpha + 128.0 * (1.0 - alpha))
}

fn ssim(a: &Pixels, b: &Pixels, shown: &dyn Fn(usize) -> bool) -> f64 {
    let grey = |p: &Pixels| -> Vec<f64> {
        let of = |c: [f64; 3]| 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
        p.rgba.chunks_exact(4).map(|pixel| of(over_grey(pixel))).collect()
    };
    let (ga, gb) = (grey(a), grey(b));
    let (mut sum, mut windows) = (0.0, 0u64);
    for y in (0..a.height.saturating_sub(WINDOW - 1)).step_by(STEP) {
        for x in (0..a.width.saturating_sub(WINDOW - 1)).step_by(STEP) {
            let places = (0..WINDOW * WINDOW).map(|n| (y + n / WINDOW) * a.width + x + n % WINDOW);
            if places.clone().any(shown) {
                sum += window(places.filter_map(|n| Some((*ga.get(n)?, *gb.get(n)?))));
                windows += 1;
            }
        }
    }
    if windows == 0 { 1.0 } else { sum / windows as f64 }
}

fn window(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut n, mut a, mut b, mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, y) in pairs {
        n += 1.0;
        a += x;
        b += y;
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    let (ma, mb) = (a / n, b / n);
    let (va, vb, both) = (aa / n - ma * ma, bb / n - mb * mb, ab / n - ma * mb);
    let (c1, c2) = ((0.01f64 * 255.0).powi(2), (0.03f64 * 255.0).powi(2));
    ((2.0 * ma * mb + c1) * (2.0 * both + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(of: impl Fn(usize, usize) -> [u8; 4]) -> Pixels {
        Pixels { width: 32, height: 32, rgba: (0..32 * 32).flat_map(|n| of(n % 32, n / 32)).collect() }
    }

    #[test]
    fn what_is_the_same_is_and_what_is_not_is_measured() {
        let a = picture(|x, y| [x as u8 * 8, y as u8 * 8, 0, if x < 16 { 255 } else { 0 }]);
        assert_eq!(compare(&a, &a), Some(Likeness { psnr: SAME, ssim: 1.0 }));
        // Each byte one off: 10 log10(255²) dB, whatever is not shown.
        let b = picture(|x, y| [x as u8 * 8 + 1, y as u8 * 8 + 1, 1, if x < 16 { 255 } else { 0 }]);
        let near = compare(&a, &b).unwrap();
        assert!((near.psnr - 48.13).abs() < 0.01 && near.ssim > 0.99, "{near:?}");
        let turned = picture(|x, y| [y as u8 * 8, x as u8 * 8, 0, if x < 16 { 255 } else { 0 }]);
        assert!(compare(&a, &turned).unwrap().ssim < 0.7);
        let gone = picture(|_, _| [0; 4]);
        assert!(compare(&a, &gone).unwrap().psnr < 20.0);
        assert_eq!(compare(&gone, &gone), None);
    }
}
