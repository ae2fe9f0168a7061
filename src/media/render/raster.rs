//! Draws a scene from one side: triangles in the order of their depth, four samples a pixel.
//!
//! The camera stands outside of everything, so nothing is cut at it. What is seen through is drawn last, from the farthest on.

use super::linear::{V3, add, cross, dot, length, scale, sub, unit};
use super::material::Alpha;
use super::picture::{Pixels, to_light, to_srgb};
use super::scene::{Corner, Scene, Triangle};
use super::shade::{Point, Surface, View};

/// In each direction.
const SAMPLES: usize = 2;
/// Half of what the camera sees, as a tangent: 36 degrees across.
const HALF_SIGHT: f32 = 0.325;

/// Where the camera stands: around the model, in radians, and how it must stand to see all of it.
#[derive(Debug, Clone, Copy)]
pub struct Camera {
    pub middle: V3,
    pub reach: f32,
    pub around: f32,
    pub above: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Background {
    Clear,
    /// sRGB.
    Colour([u8; 3]),
}

impl Camera {
    fn view(&self) -> View {
        let (sin, cos) = self.around.sin_cos();
        let (up, flat) = self.above.sin_cos();
        let back = [sin * flat, up, cos * flat];
        let right = unit(cross([0.0, 1.0, 0.0], back));
        let distance = self.reach * (1.0 + HALF_SIGHT * HALF_SIGHT).sqrt() / HALF_SIGHT * 1.02;
        View { eye: add(self.middle, scale(back, distance)), right, up: cross(back, right), back }
    }
}

pub fn draw(scene: &Scene, camera: &Camera, size: usize, background: Background) -> Pixels {
    let side = size * SAMPLES;
    let mut canvas = Canvas { side, view: camera.view(), samples: vec![Sample::EMPTY; side * side] };
    let mut through = Vec::new();
    for triangle in &scene.triangles {
        let Some(material) = scene.materials.get(triangle.material) else { continue };
        if material.alpha == Alpha::Blend {
            through.push((canvas.depth_of(triangle), triangle, material));
        } else {
            canvas.triangle(triangle, material);
        }
    }
    through.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, triangle, material) in through {
        canvas.triangle(triangle, material);
    }
    canvas.pixels(size, background)
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    depth: f32,
    /// Multiplied by how much is hidden.
    light: V3,
    hidden: f32,
}

impl Sample {
    const EMPTY: Sample = Sample { depth: f32::INFINITY, light: [0.0; 3], hidden: 0.0 };
}

struct Canvas {
    side: usize,
    view: View,
    samples: Vec<Sample>,
}

/// A corner on the canvas, and one over its distance.
struct Projected {
    x: f32,
    y: f32,
    inverse: f32,
}

impl Canvas {
    fn depth_of(&self, triangle: &Triangle) -> f32 {
        triangle.corners.iter().map(|c| dot(sub(self.view.eye, c.position), self.view.back)).sum()
    }

    fn project(&self, corner: &Corner) -> Option<Projected> {
        let from_eye = sub(corner.position, self.view.eye);
        let distance = -dot(from_eye, self.view.back);
        if distance <= 0.0 || !distance.is_finite() {
            return None;
        }
        let half = self.side as f32 / 2.0;
        let on = |axis: V3| dot(from_eye, axis) / (distance * HALF_SIGHT) * half;
        Some(Projected { x: half + on(self.view.right), y: half - on(self.view.up), inverse: 1.0 / distance })
    }

    fn triangle(&mut self, triangle: &Triangle, material: &super::material::Material) {
        let [a, b, c] = &triangle.corners;
        let (Some(pa), Some(pb), Some(pc)) = (self.project(a), self.project(b), self.project(c)) else { return };
        // Screens grow downwards: what is seen from the front has a negative area.
        let area = (pb.x - pa.x) * (pc.y - pa.y) - (pc.x - pa.x) * (pb.y - pa.y);
        let behind = area > 0.0;
        if area == 0.0 || !area.is_finite() || (behind && !material.two_sided) {
            return;
        }
        let surface = Surface::new(material, triangle, area.abs() / 2.0);
        let range = |values: [f32; 3]| {
            let low = values.into_iter().fold(f32::INFINITY, f32::min).floor().max(0.0) as usize;
            let high = (values.into_iter().fold(0.0, f32::max).ceil() as usize).min(self.side);
            low..high
        };
        let (columns, rows) = (range([pa.x, pb.x, pc.x]), range([pa.y, pb.y, pc.y]));
        for y in rows {
            for x in columns.clone() {
                let (at_x, at_y) = (x as f32 + 0.5, y as f32 + 0.5);
                let edge = |p: &Projected, q: &Projected| ((q.x - p.x) * (at_y - p.y) - (q.y - p.y) * (at_x - p.x)) / area;
                let parts = [edge(&pb, &pc), edge(&pc, &pa), edge(&pa, &pb)];
                if parts.iter().any(|part| *part < 0.0) {
                    continue;
                }
                // Distances are straight on the canvas as their inverse only.
                let weights = [parts[0] * pa.inverse, parts[1] * pb.inverse, parts[2] * pc.inverse];
                let whole = weights[0] + weights[1] + weights[2];
                let depth = 1.0 / whole;
                let Some(sample) = self.samples.get_mut(y * self.side + x).filter(|s| depth < s.depth) else { continue };
                let point = point(&triangle.corners, weights.map(|w| w / whole), behind);
                if let Some(colour) = surface.colour(&point, &self.view) {
                    sample.take(colour, depth);
                }
            }
        }
    }

    fn pixels(&self, size: usize, background: Background) -> Pixels {
        let behind = match background {
            Background::Clear => None,
            Background::Colour(rgb) => Some(rgb.map(|b| to_light(f32::from(b) / 255.0))),
        };
        let mut rgba = Vec::with_capacity(size * size * 4);
        for y in 0..size {
            for x in 0..size {
                let (mut colour, mut hidden) = ([0.0; 3], 0.0);
                for n in 0..SAMPLES * SAMPLES {
                    let place = (y * SAMPLES + n / SAMPLES) * self.side + x * SAMPLES + n % SAMPLES;
                    let Some(sample) = self.samples.get(place) else { continue };
                    // By sample, so that what is very bright does not eat its edge.
                    let shown = tone(if sample.hidden > 0.0 { scale(sample.light, 1.0 / sample.hidden) } else { [0.0; 3] });
                    colour = add(colour, scale(shown, sample.hidden));
                    if let Some(behind) = behind {
                        colour = add(colour, scale(behind, 1.0 - sample.hidden));
                    }
                    hidden += if behind.is_some() { 1.0 } else { sample.hidden };
                }
                let byte = |light: f32| (to_srgb(light) * 255.0).round() as u8;
                let shown = if hidden > 0.0 { scale(colour, 1.0 / hidden) } else { [0.0; 3] };
                rgba.extend(shown.map(byte));
                rgba.push((hidden * 255.0 / (SAMPLES * SAMPLES) as f32).round() as u8);
            }
        }
        Pixels { width: size, height: size, rgba }
    }
}

impl Sample {
    fn take(&mut self, colour: [f32; 4], depth: f32) {
        let [r, g, b, alpha] = colour;
        if alpha >= 1.0 {
            *self = Sample { depth, light: [r, g, b], hidden: 1.0 };
        } else {
            // What is seen through hides nothing that is drawn later: it is drawn from the farthest on.
            self.light = add(scale([r, g, b], alpha), scale(self.light, 1.0 - alpha));
            self.hidden = alpha + self.hidden * (1.0 - alpha);
        }
    }
}

fn point(corners: &[Corner; 3], parts: [f32; 3], behind: bool) -> Point {
    fn mixed<const N: usize>(values: [[f32; N]; 3], parts: [f32; 3]) -> [f32; N] {
        std::array::from_fn(|n| values[0][n] * parts[0] + values[1][n] * parts[1] + values[2][n] * parts[2])
    }
    let [a, b, c] = corners;
    Point {
        position: mixed([a.position, b.position, c.position], parts),
        normal: mixed([a.normal, b.normal, c.normal], parts),
        uv: std::array::from_fn(|set| mixed([a.uv[set], b.uv[set], c.uv[set]], parts)),
        colour: mixed([a.colour, b.colour, c.colour], parts),
        behind,
    }
}

/// Khronos' neutral tone map: colours stay what they are until they are very bright.
fn tone(light: V3) -> V3 {
    const BEGIN: f32 = 0.76;
    const FADE: f32 = 0.15;
    let least = light.into_iter().fold(f32::INFINITY, f32::min);
    let offset = if least < 0.08 { least - 6.25 * least * least } else { 0.04 };
    let light = light.map(|c| (c - offset).max(0.0));
    let peak = light.into_iter().fold(0.0, f32::max);
    if peak < BEGIN || length(light) == 0.0 {
        return light;
    }
    let over = 1.0 - BEGIN;
    let new = 1.0 - over * over / (peak + over - BEGIN);
    let grey = 1.0 - 1.0 / (FADE * (peak - new) + 1.0);
    light.map(|c| c * new / peak * (1.0 - grey) + new * grey)
}
