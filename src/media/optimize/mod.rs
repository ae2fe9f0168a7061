//! Makes a model smaller: once without any loss, and once more with its geometry under Draco. Pure, and the same for the same bytes.
//!
//! Each result is looked into before it counts: as many triangles, materials, animations and skins as the original, and nothing that an
//! inspection would refuse. A step that can't be done leaves what it would have changed as it is, and says why.
//! Called by the worker.

mod draco;
mod scene;

use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::base::inspection::{Fact, Inspection, Verdict};
use crate::media::format::Format;
use crate::media::inspect::{Declared, inspect};
use crate::media::optimize::scene::Scene;

/// Digits of its SHA-256 in the name of a result.
const DIGITS: usize = 16;
/// What must not change.
const SAME: [Fact; 8] =
    [Fact::Triangles, Fact::Meshes, Fact::Materials, Fact::Textures, Fact::Animations, Fact::Skins, Fact::MorphTargets, Fact::Nodes];

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

struct Variant {
    name: &'static str,
    bytes: Vec<u8>,
    found: Inspection,
    position_error: Option<f64>,
}

/// The results, and `manifest.json` that lists them. `name`: of the original, without its ending.
pub fn optimize(bytes: &[u8], name: &str, told: &mut dyn FnMut(&str)) -> Result<Vec<File>, String> {
    let content_type = if bytes.starts_with(b"glTF") { Format::Glb } else { Format::Gltf }.media_type();
    let before = inspect(bytes, &Declared { content_type, name: "" });
    if before.verdict == Verdict::Refused {
        let why = before.findings.iter().find(|f| f.fault).map_or("", |f| f.text.as_str());
        return Err(format!("it would be refused: {why}"));
    }
    let (mut skipped, mut variants) = (Vec::new(), Vec::new());
    let mut scene = Scene::parse(bytes)?;
    if let Some(stranger) = scene.stranger() {
        let why = format!("{stranger} may lead to what would be moved, by a way that is not known here");
        skipped.push(Skipped { step: "all", what: "the document".to_owned(), why });
    } else {
        told("sharing what is there twice, and taking away what nothing uses");
        let gone = scene.share()? + scene.prune();
        take("lossless", &scene, None, &before, bytes.len(), &mut variants, &mut skipped)?;
        let lossless = variants.last().map_or(bytes.len(), |v: &Variant| v.bytes.len());
        told(&format!("{gone} accessors and views went; encoding geometry"));
        match draco::encode(&mut scene, &mut skipped)? {
            Some(done) => {
                scene.prune();
                take("draco", &scene, Some(done.position_error), &before, lossless, &mut variants, &mut skipped)?;
            }
            None => skipped.push(Skipped {
                step: "draco",
                what: "the document".to_owned(),
                why: "none of its geometry gets smaller".to_owned(),
            }),
        }
    }
    Ok(files(bytes, name, &before, variants, &skipped))
}

/// Takes the scene as it is now as a variant, if it is what it should be.
fn take(
    name: &'static str,
    scene: &Scene,
    position_error: Option<f64>,
    before: &Inspection,
    largest: usize,
    variants: &mut Vec<Variant>,
    skipped: &mut Vec<Skipped>,
) -> Result<(), String> {
    let bytes = scene.write()?;
    let found = inspect(&bytes, &Declared { content_type: Format::Glb.media_type(), name: "" });
    let lost = SAME.into_iter().find(|fact| found.fact(*fact) != before.fact(*fact));
    let why = match lost {
        _ if found.verdict == Verdict::Refused => Some(format!("the result is not whole: {:?}", found.findings.first().map(|f| &f.text))),
        Some(fact) => Some(format!("the result has another number of {}", fact.name())),
        None if bytes.len() >= largest => Some(format!("the result is not smaller: {} bytes", bytes.len())),
        None => None,
    };
    match why {
        Some(why) => skipped.push(Skipped { step: name, what: "the document".to_owned(), why }),
        None => variants.push(Variant { name, bytes, found, position_error }),
    }
    Ok(())
}

fn files(original: &[u8], name: &str, before: &Inspection, variants: Vec<Variant>, skipped: &[Skipped]) -> Vec<File> {
    let mut files = Vec::new();
    let mut sources = Vec::new();
    let source = hex::encode(Sha256::digest(original));
    for Variant { name: variant, bytes, found, position_error } in variants {
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let url = format!("{name}.{variant}-{}.glb", sha256.get(..DIGITS).unwrap_or_default());
        sources.push(json!({
            "variant": variant,
            "url": url,
            "mime": Format::Glb.media_type(),
            "size": bytes.len(),
            "sha256": sha256,
            "source_sha256": source,
            "triangles": found.fact(Fact::Triangles),
            "vertices": found.fact(Fact::Vertices),
            "texture_side": found.fact(Fact::TextureSide),
            "texture_bytes": found.fact(Fact::TextureBytes),
            "position_error": position_error,
            "uses": found.names,
        }));
        files.push(File { name: url, bytes });
    }
    let manifest = json!({
        "version": 1,
        "source": {
            "name": name,
            "size": original.len(),
            "sha256": source,
            "triangles": before.fact(Fact::Triangles),
            "vertices": before.fact(Fact::Vertices),
            "texture_side": before.fact(Fact::TextureSide),
            "texture_bytes": before.fact(Fact::TextureBytes),
            "uses": before.names,
        },
        "sources": sources,
        "skipped": skipped,
        "tools": { "tidegate": env!("CARGO_PKG_VERSION"), "draco": draco::TOOL },
    });
    let mut bytes = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
    bytes.push(b'\n');
    files.push(File { name: "manifest.json".to_owned(), bytes });
    files
}
