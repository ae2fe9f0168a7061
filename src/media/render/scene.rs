//! A model as it stands: every triangle where its node, skin and morph targets put it, with its material.
//!
//! What would be drawn wrong is refused with its reason: geometry that an extension keeps, or that lies outside the file.
//! Limits: `MAX_TRIANGLES`; nodes are visited once.

use super::elements::{floats, matrices, wholes};
use super::linear::{Matrix, V2, V3, V4, add, cross, scale, sub, unit};
use super::material::{Material, Materials, numbers};
use crate::media::bytes::Looked;
use crate::media::json::Json;
use crate::media::model::{Model, length};

const MAX_TRIANGLES: usize = 4 << 20;
const MAX_INSTANCES: usize = 1 << 16;
const TRIANGLES: usize = 4;
const STRIP: usize = 5;
const FAN: usize = 6;

/// How the model is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pose {
    Rest,
    /// Every morph target is pulled and every joint bent a little: what a model can do shows, not only how it stands.
    Bent,
}

#[derive(Debug, Clone, Copy)]
pub struct Corner {
    pub position: V3,
    pub normal: V3,
    pub uv: [V2; 2],
    pub colour: V4,
}

#[derive(Debug, Clone, Copy)]
pub struct Triangle {
    pub corners: [Corner; 3],
    pub material: usize,
}

#[derive(Debug)]
pub struct Scene {
    pub triangles: Vec<Triangle>,
    /// The last is glTF's own, of what names none.
    pub materials: Vec<Material>,
}

impl Scene {
    pub fn new(model: &Model<'_>, pose: Pose) -> Looked<Self> {
        let mut materials = Materials::new(model).all()?;
        materials.push(Material::default());
        let mut builder = Builder { model, pose, worlds: Vec::new(), triangles: Vec::new(), default: materials.len() - 1 };
        builder.walk()?;
        Ok(Scene { triangles: builder.triangles, materials })
    }

    /// The middle of all corners' box, and how far the farthest corner is from it. None: there is nothing to see.
    pub fn bounds(&self) -> Option<(V3, f32)> {
        let corners = || self.triangles.iter().flat_map(|t| &t.corners).map(|c| c.position);
        let first = corners().next()?;
        let (low, high) = corners()
            .fold((first, first), |(low, high), p| (std::array::from_fn(|n| low[n].min(p[n])), std::array::from_fn(|n| high[n].max(p[n]))));
        let middle = scale(add(low, high), 0.5);
        let reach = corners().map(|p| super::linear::length(sub(p, middle))).fold(0.0, f32::max);
        (reach.is_finite() && reach > 0.0).then_some((middle, reach))
    }
}

struct Builder<'m, 'a> {
    model: &'m Model<'a>,
    pose: Pose,
    /// Where each node stands. None: it is in no scene.
    worlds: Vec<Option<Matrix>>,
    triangles: Vec<Triangle>,
    default: usize,
}

impl Builder<'_, '_> {
    fn walk(&mut self) -> Looked<()> {
        let json = self.model.json;
        let nodes = json.list("nodes");
        self.worlds = vec![None; nodes.len()];
        let scene = json.list("scenes").get(length(json, "scene")?.unwrap_or(0));
        let mut waiting: Vec<(usize, Matrix)> = match scene {
            Some(scene) => scene.list("nodes").iter().filter_map(Json::whole).map(|n| (n as usize, Matrix::IDENTITY)).collect(),
            None => (0..nodes.len()).map(|n| (n, Matrix::IDENTITY)).collect(),
        };
        let bend = self.bends()?;
        while let Some((n, above)) = waiting.pop() {
            let Some(node) = nodes.get(n) else { continue };
            let world = above.times(&local(node)).times(&bend[n]);
            match self.worlds.get_mut(n) {
                Some(of @ None) => *of = Some(world),
                _ => continue,
            }
            waiting.extend(node.list("children").iter().filter_map(Json::whole).map(|child| (child as usize, world)));
        }
        for (n, node) in nodes.iter().enumerate() {
            if let (Some(Some(world)), Some(mesh)) = (self.worlds.get(n).copied(), length(node, "mesh")?) {
                self.mesh(node, world, mesh).map_err(|e| format!("mesh {mesh}: {e}"))?;
            }
        }
        Ok(())
    }

    /// How each node is turned beside what it says itself.
    fn bends(&self) -> Looked<Vec<Matrix>> {
        let mut bends = vec![Matrix::IDENTITY; self.worlds.len()];
        if self.pose == Pose::Bent {
            for skin in self.model.json.list("skins") {
                for (n, joint) in skin.list("joints").iter().filter_map(Json::whole).enumerate() {
                    // Each another way; the first holds the others.
                    let angle = if n == 0 { 0.0 } else { 0.12 * (n % 3) as f32 - 0.1 };
                    let (sin, cos) = angle.sin_cos();
                    if let Some(bend) = bends.get_mut(joint as usize) {
                        *bend = Matrix::of([0.0; 3], [sin * 0.6, 0.0, sin * 0.8, cos], [1.0; 3]);
                    }
                }
            }
        }
        Ok(bends)
    }

    fn mesh(&mut self, node: &Json, world: Matrix, mesh: usize) -> Looked<()> {
        let found = self.model.json.list("meshes").get(mesh).ok_or("there is none of this number")?;
        let skin = length(node, "skin")?.map(|skin| self.joints(skin)).transpose()?;
        let instances = match &skin {
            Some(_) => vec![Matrix::IDENTITY],
            None => self.instances(node)?.iter().map(|instance| world.times(instance)).collect(),
        };
        let weights = [node, found].iter().map(|of| of.list("weights")).find(|list| !list.is_empty()).unwrap_or_default();
        let pull = if self.pose == Pose::Bent { 0.5 } else { 0.0 };
        let weight = |n: usize| super::material::number(weights.get(n), 0.0) + pull;
        for (p, primitive) in found.list("primitives").iter().enumerate() {
            let read = Primitive::read(self.model, primitive, &weight, skin.as_deref()).map_err(|e| format!("primitive {p}: {e}"))?;
            let Some(read) = read else { continue };
            let material = length(primitive, "material")?.filter(|n| *n < self.default).unwrap_or(self.default);
            for instance in &instances {
                if self.triangles.len() + read.triangles.len() > MAX_TRIANGLES {
                    return Err(format!("more than {MAX_TRIANGLES} triangles are not drawn"));
                }
                read.place(instance, material, &mut self.triangles);
            }
        }
        Ok(())
    }

    /// From the bound shape to where the joints are now.
    fn joints(&self, skin: usize) -> Looked<Vec<Matrix>> {
        let found = self.model.json.list("skins").get(skin).ok_or_else(|| format!("there is no skin {skin}"))?;
        let inverse = length(found, "inverseBindMatrices")?.map(|n| matrices(self.model, n)).transpose()?;
        let of = |(n, joint): (usize, u64)| {
            let world = self.worlds.get(joint as usize).copied().flatten().unwrap_or(Matrix::IDENTITY);
            match &inverse {
                None => world,
                Some(inverse) => world.times(inverse.get(n).unwrap_or(&Matrix::IDENTITY)),
            }
        };
        Ok(found.list("joints").iter().filter_map(Json::whole).enumerate().map(of).collect())
    }

    /// EXT_mesh_gpu_instancing; one where there is none.
    fn instances(&self, node: &Json) -> Looked<Vec<Matrix>> {
        let attributes = node.get("extensions").and_then(|e| e.get("EXT_mesh_gpu_instancing")).and_then(|e| e.get("attributes"));
        let Some(attributes) = attributes else { return Ok(vec![Matrix::IDENTITY]) };
        let moves = length(attributes, "TRANSLATION")?.map(|n| floats::<3>(self.model, n)).transpose()?.unwrap_or_default();
        let turns = length(attributes, "ROTATION")?.map(|n| floats::<4>(self.model, n)).transpose()?.unwrap_or_default();
        let sizes = length(attributes, "SCALE")?.map(|n| floats::<3>(self.model, n)).transpose()?.unwrap_or_default();
        let count = moves.len().max(turns.len()).max(sizes.len());
        if count > MAX_INSTANCES {
            return Err(format!("{count} instances are not drawn"));
        }
        let of = |n: usize| {
            let turn = turns.get(n).copied().unwrap_or([0.0, 0.0, 0.0, 1.0]);
            Matrix::of(moves.get(n).copied().unwrap_or_default(), turn, sizes.get(n).copied().unwrap_or([1.0; 3]))
        };
        Ok((0..count).map(of).collect())
    }
}

fn local(node: &Json) -> Matrix {
    if let Some(flat) = node.get("matrix") {
        let flat: [f32; 16] = numbers(Some(flat), [0.0; 16]);
        return Matrix(std::array::from_fn(|c| std::array::from_fn(|r| flat[c * 4 + r])));
    }
    let turn = numbers(node.get("rotation"), [0.0, 0.0, 0.0, 1.0]);
    Matrix::of(numbers(node.get("translation"), [0.0; 3]), turn, numbers(node.get("scale"), [1.0; 3]))
}

/// Corners in the space of their node, or of the scene where a skin put them there.
struct Primitive {
    corners: Vec<Corner>,
    triangles: Vec<[usize; 3]>,
    /// It says no normals: each triangle has its own.
    flat: bool,
}

impl Primitive {
    /// None: it is points or lines.
    fn read(model: &Model<'_>, of: &Json, weight: &dyn Fn(usize) -> f32, skin: Option<&[Matrix]>) -> Looked<Option<Self>> {
        let mode = length(of, "mode")?.unwrap_or(TRIANGLES);
        if !(TRIANGLES..=FAN).contains(&mode) {
            return Ok(None);
        }
        if let Some((name, _)) = of.get("extensions").map_or(&[][..], Json::members).iter().find(|(name, _)| name.contains("draco")) {
            return Err(format!("its geometry is kept by {name}, which is not drawn"));
        }
        let attributes = of.get("attributes").ok_or("it has no attributes")?;
        let attribute = |name: &str| length(attributes, name);
        let Some(position) = attribute("POSITION")? else { return Ok(None) };
        let mut positions = floats::<3>(model, position)?;
        let mut normals = attribute("NORMAL")?.map(|n| floats::<3>(model, n)).transpose()?;
        for (n, target) in of.list("targets").iter().enumerate() {
            pull(model, target, "POSITION", weight(n), Some(&mut positions))?;
            pull(model, target, "NORMAL", weight(n), normals.as_mut())?;
        }
        if let Some(joints) = skin {
            bend(model, attributes, joints, &mut positions, normals.as_mut())?;
        }
        let uv = |name: &str| attribute(name)?.map(|n| floats::<2>(model, n)).transpose().map(Option::unwrap_or_default);
        let (uv0, uv1) = (uv("TEXCOORD_0")?, uv("TEXCOORD_1")?);
        let colours = attribute("COLOR_0")?.map(|n| colours(model, n)).transpose()?.unwrap_or_default();
        let corner = |(n, position): (usize, &V3)| Corner {
            position: *position,
            normal: normals.as_ref().and_then(|normals| normals.get(n)).copied().unwrap_or_default(),
            uv: [uv0.get(n).copied().unwrap_or_default(), uv1.get(n).copied().unwrap_or_default()],
            colour: colours.get(n).copied().unwrap_or([1.0; 4]),
        };
        let corners: Vec<Corner> = positions.iter().enumerate().map(corner).collect();
        let order: Vec<usize> = match length(of, "indices")? {
            Some(indices) => wholes::<1>(model, indices)?.into_iter().flatten().collect(),
            None => (0..corners.len()).collect(),
        };
        if let Some(wrong) = order.iter().find(|n| **n >= corners.len()) {
            return Err(format!("it has the index {wrong}, and there are {} vertices", corners.len()));
        }
        Ok(Some(Primitive { corners, triangles: in_threes(mode, &order), flat: normals.is_none() }))
    }

    fn place(&self, at: &Matrix, material: usize, out: &mut Vec<Triangle>) {
        let mirrors = at.mirrors();
        for &[a, b, c] in &self.triangles {
            let order = if mirrors { [a, c, b] } else { [a, b, c] };
            let Some(mut corners) = corners_at(&self.corners, order) else { continue };
            for corner in &mut corners {
                corner.position = at.of_point(corner.position);
                corner.normal = unit(at.of_normal(corner.normal));
            }
            if self.flat {
                let [p, q, r] = corners.map(|corner| corner.position);
                let normal = unit(cross(sub(q, p), sub(r, p)));
                corners.iter_mut().for_each(|corner| corner.normal = normal);
            }
            out.push(Triangle { corners, material });
        }
    }
}

fn corners_at(corners: &[Corner], order: [usize; 3]) -> Option<[Corner; 3]> {
    let [a, b, c] = order;
    Some([*corners.get(a)?, *corners.get(b)?, *corners.get(c)?])
}

fn in_threes(mode: usize, order: &[usize]) -> Vec<[usize; 3]> {
    match mode {
        STRIP => {
            let windows = order.windows(3).enumerate();
            windows
                .filter_map(|(n, w)| {
                    if n % 2 == 0 { Some([*w.first()?, *w.get(1)?, *w.get(2)?]) } else { Some([*w.get(1)?, *w.first()?, *w.get(2)?]) }
                })
                .collect()
        }
        FAN => {
            let Some((first, rest)) = order.split_first() else { return Vec::new() };
            rest.windows(2).filter_map(|w| Some([*first, *w.first()?, *w.get(1)?])).collect()
        }
        _ => order.chunks_exact(3).filter_map(|c| Some([*c.first()?, *c.get(1)?, *c.get(2)?])).collect(),
    }
}

/// One morph target's part of what it changes.
fn pull(model: &Model<'_>, target: &Json, name: &str, weight: f32, what: Option<&mut Vec<V3>>) -> Looked<()> {
    if let (Some(what), Some(accessor)) = (what, length(target, name)?)
        && weight != 0.0
    {
        for (to, by) in what.iter_mut().zip(floats::<3>(model, accessor)?) {
            *to = add(*to, scale(by, weight));
        }
    }
    Ok(())
}

fn bend(model: &Model<'_>, attributes: &Json, joints: &[Matrix], positions: &mut [V3], mut normals: Option<&mut Vec<V3>>) -> Looked<()> {
    let mut sets = Vec::new();
    for n in 0..4 {
        let (Some(joints), Some(weights)) = (length(attributes, &format!("JOINTS_{n}"))?, length(attributes, &format!("WEIGHTS_{n}"))?)
        else {
            break;
        };
        sets.push((wholes::<4>(model, joints)?, floats::<4>(model, weights)?));
    }
    if sets.is_empty() {
        return Ok(());
    }
    for (n, position) in positions.iter_mut().enumerate() {
        let parts = sets.iter().filter_map(|(joints, weights)| Some(joints.get(n)?.iter().zip(weights.get(n)?))).flatten();
        let parts: Vec<(Matrix, f32)> = parts.filter_map(|(joint, weight)| Some((*joints.get(*joint)?, *weight))).collect();
        let whole: f32 = parts.iter().map(|(_, weight)| weight).sum();
        if whole <= 0.0 {
            continue;
        }
        let at = Matrix::weighted_sum(parts.into_iter().map(|(matrix, weight)| (matrix, weight / whole)));
        *position = at.of_point(*position);
        if let Some(normal) = normals.as_mut().and_then(|normals| normals.get_mut(n)) {
            *normal = unit(at.of_normal(*normal));
        }
    }
    Ok(())
}

/// Of three numbers, which are opaque, or of four.
fn colours(model: &Model<'_>, accessor: usize) -> Looked<Vec<V4>> {
    let width = model.layout(accessor)?.width;
    let mut colours = floats::<4>(model, accessor)?;
    if width < 4 {
        colours.iter_mut().for_each(|colour| colour[3] = 1.0);
    }
    Ok(colours)
}
