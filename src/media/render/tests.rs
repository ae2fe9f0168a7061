//! Models that are made here, drawn whole and sabotaged: what a proof must see is seen.

use super::picture::Pixels;
use super::*;

/// A ball of 24 x 12 patches with two sets of coordinates, two pictures, a morph target and two joints.
struct Ball {
    positions: Vec<[f32; 3]>,
    normals: Vec<[f32; 3]>,
    uv: [Vec<[f32; 2]>; 2],
    pull: Vec<[f32; 3]>,
    joints: Vec<[u8; 4]>,
    weights: Vec<[f32; 4]>,
    indices: Vec<u16>,
    colours: Pixels,
    bumps: Pixels,
    material: &'static str,
}

const MATERIAL: &str = r#"{"pbrMetallicRoughness":{"baseColorTexture":{"index":0},"metallicFactor":0.2,"roughnessFactor":0.5},
    "normalTexture":{"index":1}}"#;

impl Ball {
    fn new() -> Self {
        let (around, down) = (24u16, 12u16);
        let mut ball = Ball {
            positions: Vec::new(),
            normals: Vec::new(),
            uv: [Vec::new(), Vec::new()],
            pull: Vec::new(),
            joints: Vec::new(),
            weights: Vec::new(),
            indices: Vec::new(),
            colours: checks(),
            bumps: ridges(),
            material: MATERIAL,
        };
        for y in 0..=down {
            for x in 0..=around {
                let (u, v) = (f32::from(x) / f32::from(around), f32::from(y) / f32::from(down));
                let ((sin_a, cos_a), (sin_b, cos_b)) = ((u * std::f32::consts::TAU).sin_cos(), (v * std::f32::consts::PI).sin_cos());
                let normal = [sin_b * cos_a, cos_b, -sin_b * sin_a];
                ball.positions.push(normal);
                ball.normals.push(normal);
                ball.uv[0].push([u, v]);
                ball.uv[1].push([v * 0.5, u * 3.0]);
                ball.pull.push(if cos_b > 0.5 { [0.0, 0.6, 0.0] } else { [0.0; 3] });
                ball.joints.push([0, 1, 0, 0]);
                ball.weights.push([v, 1.0 - v, 0.0, 0.0]);
                if x < around && y < down {
                    let (here, below) = (y * (around + 1) + x, (y + 1) * (around + 1) + x);
                    ball.indices.extend([here, below, here + 1, here + 1, below, below + 1]);
                }
            }
        }
        ball
    }

    fn draw(&self) -> Drawn {
        let mut bin = Bin::default();
        let attributes = [
            ("POSITION", bin.floats(&self.positions, "VEC3")),
            ("NORMAL", bin.floats(&self.normals, "VEC3")),
            ("TEXCOORD_0", bin.floats(&self.uv[0], "VEC2")),
            ("TEXCOORD_1", bin.floats(&self.uv[1], "VEC2")),
            ("JOINTS_0", bin.add(&self.joints.concat(), self.joints.len(), 5121, "VEC4")),
            ("WEIGHTS_0", bin.floats(&self.weights, "VEC4")),
        ];
        let attributes: Vec<String> = attributes.iter().map(|(name, n)| format!("\"{name}\":{n}")).collect();
        let indices: Vec<u8> = self.indices.iter().flat_map(|n| n.to_le_bytes()).collect();
        let indices = bin.add(&indices, self.indices.len(), 5123, "SCALAR");
        let pull = bin.floats(&self.pull, "VEC3");
        let pictures = [&self.colours, &self.bumps].map(|p| bin.view(&p.to_png().unwrap()));
        let json = format!(
            r#"{{"asset":{{"version":"2.0"}},"scene":0,"scenes":[{{"nodes":[0,1]}}],
            "nodes":[{{"mesh":0,"skin":0}},{{"children":[2]}},{{"translation":[0,0.2,0]}}],
            "skins":[{{"joints":[1,2]}}],
            "meshes":[{{"primitives":[{{"attributes":{{{}}},"indices":{indices},"material":0,"targets":[{{"POSITION":{pull}}}]}}]}}],
            "materials":[{}],"textures":[{{"source":0}},{{"source":1}}],
            "images":[{{"bufferView":{},"mimeType":"image/png"}},{{"bufferView":{},"mimeType":"image/png"}}],
            "accessors":[{}],"bufferViews":[{}],"buffers":[{{"byteLength":{}}}]}}"#,
            attributes.join(","),
            self.material,
            pictures[0],
            pictures[1],
            bin.accessors.join(","),
            bin.views.join(","),
            bin.bytes.len(),
        );
        Drawn { json: Json::parse(json.as_bytes()).unwrap(), bin: bin.bytes }
    }
}

struct Drawn {
    json: Json,
    bin: Vec<u8>,
}

impl Drawn {
    fn model(&self) -> Model<'_> {
        Model::new(&self.json, Some(&self.bin)).unwrap()
    }
}

#[derive(Default)]
struct Bin {
    bytes: Vec<u8>,
    views: Vec<String>,
    accessors: Vec<String>,
}

impl Bin {
    fn view(&mut self, bytes: &[u8]) -> usize {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.views.push(format!(r#"{{"buffer":0,"byteOffset":{},"byteLength":{}}}"#, self.bytes.len(), bytes.len()));
        self.bytes.extend_from_slice(bytes);
        self.views.len() - 1
    }

    fn add(&mut self, bytes: &[u8], count: usize, component: u32, kind: &str) -> usize {
        let view = self.view(bytes);
        self.accessors.push(format!(r#"{{"bufferView":{view},"componentType":{component},"count":{count},"type":"{kind}"}}"#));
        self.accessors.len() - 1
    }

    fn floats<const N: usize>(&mut self, values: &[[f32; N]], kind: &str) -> usize {
        let bytes: Vec<u8> = values.iter().flatten().flat_map(|f| f.to_le_bytes()).collect();
        self.add(&bytes, values.len(), 5126, kind)
    }
}

fn square(side: usize, of: impl Fn(usize, usize) -> [u8; 3]) -> Pixels {
    let rgba = (0..side * side).flat_map(|n| {
        let [r, g, b] = of(n % side, n / side);
        [r, g, b, 255]
    });
    Pixels { width: side, height: side, rgba: rgba.collect() }
}

fn checks() -> Pixels {
    square(64, |x, y| if (x / 8 + y / 8) % 2 == 0 { [220, (x * 4) as u8, 40] } else { [30, 80, (y * 4) as u8] })
}

/// Ridges along one side, as a normal map.
fn ridges() -> Pixels {
    square(64, |x, _| if x % 8 < 4 { [178, 128, 217] } else { [78, 128, 217] })
}

/// Where it is least alike.
fn likeness(proof: &Proof, sabotage: impl FnOnce(&mut Ball)) -> Likeness {
    let mut broken = Ball::new();
    sabotage(&mut broken);
    let views = proof.likeness(&broken.draw().model()).unwrap();
    let least = |of: fn(&Likeness) -> f64| views.iter().map(of).fold(f64::INFINITY, f64::min);
    Likeness { psnr: least(|l| l.psnr), ssim: least(|l| l.ssim) }
}

fn proof() -> Proof {
    Proof::of(&Ball::new().draw().model(), 48).unwrap()
}

#[test]
fn what_is_kept_looks_the_same() {
    let proof = proof();
    assert_eq!(likeness(&proof, |_| {}), Likeness { psnr: SAME, ssim: 1.0 });
    // As quantisation to 14 bits leaves it.
    let quantised = likeness(&proof, |ball| {
        let round = |v: &mut f32| *v = (*v * 8192.0).round() / 8192.0;
        ball.positions.iter_mut().flatten().for_each(round);
        ball.uv.iter_mut().flatten().flatten().for_each(round);
    });
    assert!(quantised.psnr > 40.0 && quantised.ssim > 0.99, "{quantised:?}");
    // Another order of corners and triangles is no other model.
    let turned = likeness(&proof, |ball| {
        let threes: Vec<u16> = ball.indices.chunks(3).rev().flat_map(|t| [t[1], t[2], t[0]]).collect();
        ball.indices = threes;
    });
    assert!(turned.psnr > 50.0, "{turned:?}");
}

#[test]
fn sabotage_is_seen() {
    type Sabotage = fn(&mut Ball);
    let all: [(&str, Sabotage); 9] = [
        ("another picture", |b| b.colours = square(64, |_, _| [128; 3])),
        ("pictures swapped", |b| std::mem::swap(&mut b.colours, &mut b.bumps)),
        ("normals flipped", |b| b.normals.iter_mut().flatten().for_each(|v| *v = -*v)),
        ("the morph target dropped", |b| b.pull.fill([0.0; 3])),
        ("the other set of coordinates", |b| {
            b.material = r#"{"pbrMetallicRoughness":{"baseColorTexture":{"index":0,"texCoord":1},"metallicFactor":0.2,"roughnessFactor":0.5},
                "normalTexture":{"index":1}}"#
        }),
        ("no normal map", |b| {
            b.material = r#"{"pbrMetallicRoughness":{"baseColorTexture":{"index":0},"metallicFactor":0.2,"roughnessFactor":0.5}}"#
        }),
        ("weights of the wrong joint", |b| b.joints.fill([1, 0, 0, 0])),
        ("too few triangles", |b| {
            // Every fourth column is left.
            for position in 0..b.positions.len() {
                let (column, row) = (position % 25, position / 25);
                b.positions[position] = b.positions[row * 25 + column / 4 * 4];
            }
        }),
        ("a hole", |b| b.indices.truncate(b.indices.len() / 2)),
    ];
    let proof = proof();
    for (what, sabotage) in all {
        let found = likeness(&proof, sabotage);
        assert!(found.psnr < 35.0, "{what} was not seen: {found:?}");
    }
}

fn wanted(side: u32, background: Option<[u8; 3]>) -> Poster {
    Poster { side, background, picture: Picture::Png }
}

#[test]
fn a_poster_is_a_picture_of_the_model_and_the_same_each_time() {
    let ball = Ball::new().draw();
    let png = poster(&ball.model(), &wanted(64, None)).unwrap();
    assert_eq!(png, poster(&ball.model(), &wanted(64, None)).unwrap());
    let pixels = Pixels::decode(&png).unwrap();
    let alpha = |x: usize, y: usize| pixels.rgba[(y * 64 + x) * 4 + 3];
    assert_eq!((pixels.width, alpha(0, 0), alpha(32, 32)), (64, 0, 255));
    let coloured = Pixels::decode(&poster(&ball.model(), &wanted(64, Some([10, 20, 30]))).unwrap()).unwrap();
    assert_eq!(coloured.rgba[..4], [10, 20, 30, 255]);
    let webp = poster(&ball.model(), &Poster { picture: Picture::WebP, ..wanted(64, None) }).unwrap();
    assert!(webp.starts_with(b"RIFF") && Pixels::decode(&webp).unwrap() == pixels);
}

#[test]
fn through_glass_and_holes_is_seen_what_is_behind() {
    let seen = |material: &'static str| {
        let mut ball = Ball::new();
        ball.material = material;
        let pixels = Pixels::decode(&poster(&ball.draw().model(), &wanted(64, None)).unwrap()).unwrap();
        pixels.rgba[(32 * 64 + 32) * 4 + 3]
    };
    assert_eq!(seen(r#"{"alphaMode":"BLEND","pbrMetallicRoughness":{"baseColorFactor":[1,1,1,0.5]}}"#), 128);
    assert_eq!(seen(r#"{"alphaMode":"MASK","pbrMetallicRoughness":{"baseColorFactor":[1,1,1,0.4]}}"#), 0);
    assert_eq!(seen(r#"{"alphaMode":"BLEND","doubleSided":true,"pbrMetallicRoughness":{"baseColorFactor":[1,1,1,0.5]}}"#), 191);
}

#[test]
fn what_can_not_be_drawn_is_told() {
    let ball = Ball::new().draw();
    let with = |from: &str, to: &str| {
        let mut text = String::new();
        ball.json.write(&mut text);
        assert!(text.contains(from), "{from} in {text}");
        let json = Json::parse(text.replacen(from, to, 1).as_bytes()).unwrap();
        let model = Model::new(&json, Some(&ball.bin)).unwrap();
        poster(&model, &wanted(32, None)).err().unwrap_or_default()
    };
    let draco = r#""extensions":{"KHR_draco_mesh_compression":{"bufferView":0,"attributes":{}}},"targets""#;
    assert!(with("\"targets\"", draco).contains("KHR_draco_mesh_compression"));
    assert!(with("\"indices\":6", "\"indices\":5").contains("index"));
    assert!(with("\"mesh\":0,\"skin\":0", "\"skin\":0").contains("nothing in it to see"));
    assert!(with("\"source\":0", "\"source\":7").contains("there is no picture 7"));
    // A circle of nodes is walked once.
    assert_eq!(with("{\"translation\":[0,0.2,0]}", "{\"children\":[1]}"), "");
}
