//! How far two surfaces of triangles are from each other: measured, and not what a simplifier says of itself.
//!
//! Corners and middles of each are held against the nearest point of the other. A tree of boxes makes that quick: as many steps as a
//! logarithm, for each point.

type V3 = [f32; 3];

const LEAF: usize = 8;

fn sub(a: V3, b: V3) -> V3 {
    std::array::from_fn(|n| a[n] - b[n])
}

fn dot(a: V3, b: V3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// `a`, and so much of the way from it.
fn along(a: V3, way: V3, by: f32) -> V3 {
    std::array::from_fn(|n| a[n] + way[n] * by)
}

#[derive(Clone, Copy)]
struct Box3 {
    low: V3,
    high: V3,
}

impl Box3 {
    fn of(triangles: &[[V3; 3]]) -> Self {
        let corners = || triangles.iter().flatten();
        let fold = |pick: fn(f32, f32) -> f32, from: f32| corners().fold([from; 3], |at, p| std::array::from_fn(|n| pick(at[n], p[n])));
        Box3 { low: fold(f32::min, f32::INFINITY), high: fold(f32::max, f32::NEG_INFINITY) }
    }

    fn longest(&self) -> usize {
        let side = |n: usize| self.high[n] - self.low[n];
        (0..3).max_by(|a, b| side(*a).total_cmp(&side(*b))).unwrap_or(0)
    }

    /// Squared, from a point.
    fn distance(&self, p: V3) -> f32 {
        (0..3).map(|n| (self.low[n] - p[n]).max(p[n] - self.high[n]).max(0.0)).map(|d| d * d).sum()
    }
}

struct Node {
    bounds: Box3,
    begin: usize,
    end: usize,
    /// None: a leaf.
    halves: Option<[usize; 2]>,
}

pub struct Surface {
    triangles: Vec<[V3; 3]>,
    nodes: Vec<Node>,
}

impl Surface {
    /// Indices lead inside.
    pub fn of(positions: &[V3], indices: &[u32]) -> Self {
        let at = |n: &u32| positions.get(*n as usize).copied();
        let triangle = |t: &[u32]| Some([at(t.first()?)?, at(t.get(1)?)?, at(t.get(2)?)?]);
        let mut surface = Surface { triangles: indices.chunks_exact(3).filter_map(triangle).collect(), nodes: Vec::new() };
        let count = surface.triangles.len();
        surface.divide(0, count);
        surface
    }

    fn divide(&mut self, begin: usize, end: usize) -> usize {
        let Some(here) = self.triangles.get_mut(begin..end) else { return 0 };
        let bounds = Box3::of(here);
        let number = self.nodes.len();
        self.nodes.push(Node { bounds, begin, end, halves: None });
        if end - begin > LEAF {
            let (axis, half) = (bounds.longest(), (end - begin) / 2);
            let middle = |t: &[V3; 3]| t.iter().map(|p| p[axis]).sum::<f32>();
            here.select_nth_unstable_by(half, |a, b| middle(a).total_cmp(&middle(b)));
            let halves = [self.divide(begin, begin + half), self.divide(begin + half, end)];
            if let Some(node) = self.nodes.get_mut(number) {
                node.halves = Some(halves);
            }
        }
        number
    }

    /// Squared. Infinite where there is no triangle.
    fn distance(&self, p: V3) -> f32 {
        let (mut best, mut waiting) = (f32::INFINITY, vec![0usize]);
        while let Some(node) = waiting.pop().and_then(|n| self.nodes.get(n)) {
            if node.bounds.distance(p) >= best {
                continue;
            }
            match node.halves {
                None => {
                    let here = self.triangles.get(node.begin..node.end).unwrap_or_default();
                    best = here.iter().map(|t| from_triangle(p, t)).fold(best, f32::min);
                }
                Some([a, b]) => {
                    let far = |n: usize| self.nodes.get(n).map_or(f32::INFINITY, |node| node.bounds.distance(p));
                    // The nearer one last: it is looked at first.
                    waiting.extend(if far(a) < far(b) { [b, a] } else { [a, b] });
                }
            }
        }
        best
    }

    fn farthest_from(&self, other: &Surface) -> f32 {
        let middle = |t: &[V3; 3]| std::array::from_fn(|n| (t[0][n] + t[1][n] + t[2][n]) / 3.0);
        let points = self.triangles.iter().flat_map(|t| [t[0], t[1], t[2], middle(t)]);
        points.map(|p| other.distance(p)).fold(0.0, f32::max)
    }

    /// Of the point of either that is farthest from the other.
    pub fn distance_to(&self, other: &Surface) -> f32 {
        self.farthest_from(other).max(other.farthest_from(self)).sqrt()
    }
}

/// Squared, to the nearest point of a triangle (Ericson, Real-Time Collision Detection, 5.1.5).
fn from_triangle(p: V3, [a, b, c]: &[V3; 3]) -> f32 {
    let (ab, ac, ap) = (sub(*b, *a), sub(*c, *a), sub(p, *a));
    let (d1, d2) = (dot(ab, ap), dot(ac, ap));
    let bp = sub(p, *b);
    let (d3, d4) = (dot(ab, bp), dot(ac, bp));
    let cp = sub(p, *c);
    let (d5, d6) = (dot(ab, cp), dot(ac, cp));
    let (va, vb, vc) = (d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2);
    let nearest = if d1 <= 0.0 && d2 <= 0.0 {
        *a
    } else if d3 >= 0.0 && d4 <= d3 {
        *b
    } else if d6 >= 0.0 && d5 <= d6 {
        *c
    } else if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 {
        along(*a, ab, d1 / (d1 - d3))
    } else if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 {
        along(*a, ac, d2 / (d2 - d6))
    } else if va <= 0.0 && d4 >= d3 && d5 >= d6 {
        along(*b, sub(*c, *b), (d4 - d3) / ((d4 - d3) + (d5 - d6)))
    } else {
        let whole = va + vb + vc;
        along(along(*a, ab, vb / whole), ac, vc / whole)
    };
    let away = sub(p, nearest);
    let squared = dot(away, away);
    if squared.is_finite() { squared } else { [a, b, c].into_iter().map(|q| dot(sub(p, *q), sub(p, *q))).fold(f32::INFINITY, f32::min) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(side: u32, height: impl Fn(f32, f32) -> f32) -> Surface {
        let mut positions = Vec::new();
        let mut indices = Vec::new();
        for y in 0..side {
            for x in 0..side {
                let (u, v) = (x as f32 / (side - 1) as f32, y as f32 / (side - 1) as f32);
                positions.push([u, height(u, v), v]);
                if x + 1 < side && y + 1 < side {
                    let at = y * side + x;
                    indices.extend([at, at + side, at + 1, at + 1, at + side, at + side + 1]);
                }
            }
        }
        Surface::of(&positions, &indices)
    }

    #[test]
    fn surfaces_are_as_far_as_they_are() {
        let (flat, fine) = (grid(2, |_, _| 0.0), grid(30, |_, _| 0.0));
        assert!(flat.distance_to(&fine) < 1e-6 && fine.distance_to(&flat) < 1e-6);
        let raised = grid(30, |_, _| 0.25);
        assert!((raised.distance_to(&flat) - 0.25).abs() < 1e-6);
        // One corner of 900 stands out, seen from either.
        let spike = grid(30, |u, v| if (u - 1.0).abs() < 1e-6 && (v - 1.0).abs() < 1e-6 { 0.5 } else { 0.0 });
        assert!((spike.distance_to(&flat) - 0.5).abs() < 1e-6 && (flat.distance_to(&spike) - 0.5).abs() < 1e-6);
        assert!(flat.distance_to(&Surface::of(&[], &[])).is_infinite());
        let line = Surface::of(&[[0.0; 3], [1.0, 0.0, 0.0]], &[0, 1, 0]);
        assert!((line.distance_to(&Surface::of(&[[0.0, 2.0, 0.0], [1.0, 2.0, 0.0]], &[0, 1, 1])) - 2.0).abs() < 1e-6);
    }
}
