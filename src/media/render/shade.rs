//! How a surface answers light: glTF's metallic-roughness model under two lamps and a sky that is brighter above.
//!
//! The same lights for every model and picture, in the camera's own directions: what is compared differs by the model alone.

use super::linear::{V2, V3, add, cross, dot, length, mix, mul, scale, sub, unit, xyz};
use super::material::{Alpha, Material, Use};
use super::scene::Triangle;

/// Directions to the lamps as the camera sees them (right, up, towards it), and their colours.
const LAMPS: [(V3, V3); 2] = [([0.45, 0.65, 0.61], [2.6, 2.55, 2.45]), ([-0.75, 0.1, 0.35], [0.55, 0.6, 0.7])];
const SKY: V3 = [0.95, 1.0, 1.08];
const GROUND: V3 = [0.32, 0.3, 0.28];

/// A point of a triangle as it is seen.
pub struct Point {
    pub position: V3,
    pub normal: V3,
    pub uv: [V2; 2],
    pub colour: [f32; 4],
    /// Seen from behind.
    pub behind: bool,
}

/// What holds for a whole triangle.
pub struct Surface<'s> {
    pub material: &'s Material,
    /// The directions in which the coordinates of the normal map grow, where there is one.
    tangents: Option<(V3, V3)>,
    /// Of each set of coordinates: the part of a texture that one pixel covers.
    per_pixel: [f32; 2],
}

impl<'s> Surface<'s> {
    /// `pixels`: how many the triangle covers.
    pub fn new(material: &'s Material, triangle: &Triangle, pixels: f32) -> Self {
        let [a, b, c] = &triangle.corners;
        let (ab, ac) = (sub(b.position, a.position), sub(c.position, a.position));
        let tangents = material.normal_map.as_ref().and_then(|map| {
            let [ua, ub, uc] = [a, b, c].map(|corner| map.at(corner.uv.get(map.set).copied().unwrap_or_default()));
            let (b, c) = ([ub[0] - ua[0], ub[1] - ua[1]], [uc[0] - ua[0], uc[1] - ua[1]]);
            let area = b[0] * c[1] - c[0] * b[1];
            (area.abs() > f32::EPSILON).then(|| {
                let along = scale(sub(scale(ab, c[1]), scale(ac, b[1])), 1.0 / area);
                (along, scale(sub(scale(ac, b[0]), scale(ab, c[0])), 1.0 / area))
            })
        });
        let per_pixel = std::array::from_fn(|set| {
            let [a, b, c] = [a, b, c].map(|corner| corner.uv.get(set).copied().unwrap_or_default());
            let area = ((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])).abs() / 2.0;
            area / pixels.max(0.01)
        });
        Surface { material, tangents, per_pixel }
    }

    fn sample(&self, map: &Use, point: &Point) -> [f32; 4] {
        let per_pixel = self.per_pixel.get(map.set).copied().unwrap_or_default();
        // Texels under one pixel, as a side.
        let level = 0.5 * (per_pixel * map.texture.texels()).max(1.0).log2();
        map.texture.sample(map.at(point.uv.get(map.set).copied().unwrap_or_default()), map.wrap, level)
    }

    /// Linear light and how much of what is behind is hidden. None: there is a hole.
    pub fn colour(&self, point: &Point, view: &View) -> Option<[f32; 4]> {
        let material = self.material;
        let mut base: [f32; 4] = std::array::from_fn(|n| material.base[n] * point.colour[n]);
        if let Some(map) = &material.base_map {
            let sampled = self.sample(map, point);
            base = std::array::from_fn(|n| base[n] * sampled[n]);
        }
        let alpha = match material.alpha {
            Alpha::Opaque => 1.0,
            Alpha::Mask(least) if base[3] < least => return None,
            Alpha::Mask(_) => 1.0,
            Alpha::Blend => base[3].clamp(0.0, 1.0),
        };
        let base = xyz(base);
        if material.unlit {
            return Some([base[0], base[1], base[2], alpha]);
        }
        let (mut metallic, mut roughness) = (material.metallic, material.roughness);
        if let Some(map) = &material.surface_map {
            let sampled = self.sample(map, point);
            (metallic, roughness) = (metallic * sampled[2], roughness * sampled[1]);
        }
        let open =
            material.occlusion_map.as_ref().map_or(1.0, |map| 1.0 - material.occlusion_strength * (1.0 - self.sample(map, point)[0]));
        let skin = Skin {
            diffuse: scale(base, 1.0 - metallic),
            mirror: mix([0.04; 3], base, metallic),
            // What is perfectly smooth would show lamps as points.
            roughness: roughness.clamp(0.08, 1.0),
            open,
        };
        let mut light = skin.lit(self.normal(point), unit(sub(view.eye, point.position)), view);
        let glow = material.emissive_map.as_ref().map_or([1.0; 3], |map| xyz(self.sample(map, point)));
        light = add(light, mul(material.emissive, glow));
        Some([light[0], light[1], light[2], alpha])
    }

    fn normal(&self, point: &Point) -> V3 {
        let sign = if point.behind { -1.0 } else { 1.0 };
        let normal = scale(unit(point.normal), sign);
        let (Some(map), Some((along, across))) = (&self.material.normal_map, self.tangents) else { return normal };
        let sampled = self.sample(map, point);
        let by = |n: usize| (sampled[n] * 2.0 - 1.0) * if n < 2 { self.material.normal_scale } else { 1.0 };
        // Both lie in the surface that is seen, which may lean away from the triangle.
        let along = unit(sub(along, scale(normal, dot(along, normal))));
        let crossed = cross(normal, along);
        let across = if dot(crossed, across) < 0.0 { scale(crossed, -1.0) } else { crossed };
        // Textures grow downwards, and their normals' green points up.
        let bent = add(add(scale(along, by(0) * sign), scale(across, -by(1) * sign)), scale(normal, by(2)));
        if length(bent) > 0.0 { unit(bent) } else { normal }
    }
}

/// From where it is seen.
pub struct View {
    pub eye: V3,
    pub right: V3,
    pub up: V3,
    pub back: V3,
}

impl View {
    fn of(&self, seen: V3) -> V3 {
        unit(add(add(scale(self.right, seen[0]), scale(self.up, seen[1])), scale(self.back, seen[2])))
    }
}

struct Skin {
    diffuse: V3,
    mirror: V3,
    roughness: f32,
    open: f32,
}

impl Skin {
    fn lit(&self, normal: V3, to_eye: V3, view: &View) -> V3 {
        let facing = dot(normal, to_eye).max(1e-3);
        let mut light = [0.0; 3];
        for (direction, colour) in LAMPS {
            let to_lamp = view.of(direction);
            let lit = dot(normal, to_lamp);
            if lit > 0.0 {
                light = add(light, mul(scale(colour, lit), self.reflected(normal, to_eye, to_lamp, facing, lit)));
            }
        }
        let around = mul(self.diffuse, sky(normal, view, 1.0));
        let mirrored = sub(scale(normal, 2.0 * dot(normal, to_eye)), to_eye);
        let shown = mul(self.of_surroundings(facing), sky(mirrored, view, self.roughness));
        add(light, scale(add(scale(around, 0.8), shown), self.open))
    }

    /// Of one lamp: what is scattered, and what is mirrored by small facets (GGX).
    fn reflected(&self, normal: V3, to_eye: V3, to_lamp: V3, facing: f32, lit: f32) -> V3 {
        let half = unit(add(to_eye, to_lamp));
        let (upright, seen) = (dot(normal, half).max(0.0), dot(to_eye, half).max(0.0));
        let a2 = self.roughness.powi(4);
        let spread = upright * upright * (a2 - 1.0) + 1.0;
        let facets = a2 / (std::f32::consts::PI * spread * spread);
        let shadow = 0.5 / (lit * (facing * facing * (1.0 - a2) + a2).sqrt() + facing * (lit * lit * (1.0 - a2) + a2).sqrt()).max(1e-4);
        let grazing = (1.0 - seen).clamp(0.0, 1.0).powi(5);
        let mirror = mix(self.mirror, [1.0; 3], grazing);
        add(scale(self.diffuse, std::f32::consts::FRAC_1_PI), scale(mirror, (facets * shadow).min(16.0)))
    }

    /// Karis' approximation of how much of the surroundings is mirrored.
    fn of_surroundings(&self, facing: f32) -> V3 {
        let r = self.roughness;
        let [x, y, z, w] = [1.0 - r, 0.0425 - 0.0275 * r, 1.04 - 0.572 * r, 0.022 * r - 0.04];
        let a = (x * x).min((-9.28 * facing).exp2()) * x + y;
        let (more, least) = (-1.04 * a + z, 1.04 * a + w);
        add(scale(self.mirror, more), [least; 3])
    }
}

/// Blurred as far as the surface is rough.
fn sky(direction: V3, view: &View, roughness: f32) -> V3 {
    let sharp = 1.0 + 3.0 * (1.0 - roughness);
    let height = (dot(unit(direction), view.up) * sharp).clamp(-1.0, 1.0);
    mix(GROUND, SKY, 0.5 + 0.5 * height)
}
