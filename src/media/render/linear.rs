//! Vectors and matrices of three and four numbers, as glTF has them: columns, right-handed, in metres.

pub type V2 = [f32; 2];
pub type V3 = [f32; 3];
pub type V4 = [f32; 4];

/// By columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matrix(pub [V4; 4]);

pub fn add(a: V3, b: V3) -> V3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub fn sub(a: V3, b: V3) -> V3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub fn scale(a: V3, by: f32) -> V3 {
    [a[0] * by, a[1] * by, a[2] * by]
}

pub fn mul(a: V3, b: V3) -> V3 {
    [a[0] * b[0], a[1] * b[1], a[2] * b[2]]
}

pub fn dot(a: V3, b: V3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub fn cross(a: V3, b: V3) -> V3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub fn length(a: V3) -> f32 {
    dot(a, a).sqrt()
}

/// What has no direction stays as it is.
pub fn unit(a: V3) -> V3 {
    let length = length(a);
    if length > 0.0 && length.is_finite() { scale(a, 1.0 / length) } else { a }
}

pub fn mix(a: V3, b: V3, part: f32) -> V3 {
    add(scale(a, 1.0 - part), scale(b, part))
}

pub fn xyz(a: V4) -> V3 {
    [a[0], a[1], a[2]]
}

impl Matrix {
    pub const IDENTITY: Matrix = Matrix([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]);

    pub fn of(move_by: V3, turn: V4, stretch: V3) -> Self {
        let [x, y, z, w] = turn;
        let column = |c: V3, by: f32| [c[0] * by, c[1] * by, c[2] * by, 0.0];
        Matrix([
            column([1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + z * w), 2.0 * (x * z - y * w)], stretch[0]),
            column([2.0 * (x * y - z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + x * w)], stretch[1]),
            column([2.0 * (x * z + y * w), 2.0 * (y * z - x * w), 1.0 - 2.0 * (x * x + y * y)], stretch[2]),
            [move_by[0], move_by[1], move_by[2], 1.0],
        ])
    }

    pub fn times(&self, other: &Matrix) -> Matrix {
        Matrix(other.0.map(|column| self.of_four(column)))
    }

    pub fn of_four(&self, v: V4) -> V4 {
        let c = &self.0;
        std::array::from_fn(|row| c[0][row] * v[0] + c[1][row] * v[1] + c[2][row] * v[2] + c[3][row] * v[3])
    }

    pub fn of_point(&self, v: V3) -> V3 {
        xyz(self.of_four([v[0], v[1], v[2], 1.0]))
    }

    /// A normal, which a stretched surface turns the other way. Not of unit length.
    pub fn of_normal(&self, v: V3) -> V3 {
        let [x, y, z] = [xyz(self.0[0]), xyz(self.0[1]), xyz(self.0[2])];
        let (yz, zx, xy) = (cross(y, z), cross(z, x), cross(x, y));
        let sign = if dot(x, yz) < 0.0 { -1.0 } else { 1.0 };
        scale(add(add(scale(yz, v[0]), scale(zx, v[1])), scale(xy, v[2])), sign)
    }

    /// It turns what is right-handed into what is left-handed.
    pub fn mirrors(&self) -> bool {
        dot(xyz(self.0[0]), cross(xyz(self.0[1]), xyz(self.0[2]))) < 0.0
    }

    pub fn weighted_sum(parts: impl Iterator<Item = (Matrix, f32)>) -> Matrix {
        let mut sum = [[0.0; 4]; 4];
        for (matrix, weight) in parts {
            for (to, from) in sum.iter_mut().flatten().zip(matrix.0.iter().flatten()) {
                *to += from * weight;
            }
        }
        Matrix(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: V3, b: V3) -> bool {
        length(sub(a, b)) < 1e-5
    }

    #[test]
    fn a_quarter_turn_about_z_and_a_stretch() {
        let half = std::f32::consts::FRAC_1_SQRT_2;
        let turned = Matrix::of([10.0, 0.0, 0.0], [0.0, 0.0, half, half], [2.0, 1.0, 1.0]);
        assert!(near(turned.of_point([1.0, 0.0, 0.0]), [10.0, 2.0, 0.0]));
        assert!(near(turned.of_point([0.0, 1.0, 0.0]), [9.0, 0.0, 0.0]));
        // A plane that is stretched along x has a normal that leans away from it.
        let normal = unit(turned.of_normal(unit([1.0, 1.0, 0.0])));
        let along = sub(turned.of_point([1.0, -1.0, 0.0]), turned.of_point([0.0; 3]));
        assert!(dot(normal, along).abs() < 1e-5);
        let twice = turned.times(&turned);
        assert!(near(twice.of_point([1.0, 0.0, 0.0]), turned.of_point([10.0, 2.0, 0.0])));
        assert!(!turned.mirrors() && Matrix::of([0.0; 3], [0.0, 0.0, 0.0, 1.0], [-1.0, 1.0, 1.0]).mirrors());
    }
}
