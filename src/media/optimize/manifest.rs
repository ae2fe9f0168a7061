//! What `manifest.json` says of the results, and what they are called.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{File, Making, Variant, draco, lod, meshopt, textures};
use crate::base::inspection::{Fact, Inspection};
use crate::media::format::Format;
use crate::media::json::Json;
use crate::media::model::Model;
use crate::media::render::opened;

pub const MANIFEST: &str = "manifest.json";
/// Digits of its SHA-256 in the name of a result.
const DIGITS: usize = 16;

pub(super) fn files(making: Making<'_>, name: &str) -> Vec<File> {
    let Making { original, recipe, before, variants, refused, skipped, .. } = making;
    let (mut files, mut sources) = (Vec::new(), Vec::new());
    let hash: [u8; 32] = Sha256::digest(original).into();
    let source = hex::encode(hash);
    for variant in variants {
        let sha256 = hex::encode(Sha256::digest(&variant.bytes));
        let own = format!("{}-{}.{}", variant.name, sha256.get(..DIGITS).unwrap_or_default(), variant.format.name());
        let url = if name.is_empty() { own } else { format!("{name}.{own}") };
        let mut told = json!({
            "variant": variant.name,
            "url": url,
            "mime": variant.format.media_type(),
            "size": variant.bytes.len(),
            "sha256": sha256,
            "source_sha256": source,
        });
        for (field, value) in said_of(&variant) {
            told[field] = value;
        }
        sources.push(told);
        files.push(File { name: url, bytes: variant.bytes });
    }
    let refused: Vec<Value> =
        refused.into_iter().map(|r| json!({ "variant": r.name, "size": r.size, "looks": r.looks, "bounds": r.bounds })).collect();
    let mut of_source = json!({ "name": (!name.is_empty()).then_some(name), "size": original.len(), "sha256": source });
    for (field, value) in said_of_model(&before, original) {
        of_source[field] = value;
    }
    let manifest = json!({
        "version": 1,
        "source": of_source,
        "sources": sources,
        "refused": refused,
        "skipped": skipped,
        "recipe": recipe,
        "made": recipe.fingerprint(&hash),
        "tools": { "tidegate": env!("CARGO_PKG_VERSION"), "draco": draco::TOOL, "meshopt": meshopt::TOOL, "lod": lod::TOOL, "ktx2": textures::TOOL },
    });
    let mut bytes = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
    bytes.push(b'\n');
    files.push(File { name: MANIFEST.to_owned(), bytes });
    files
}

fn said_of(variant: &Variant) -> Vec<(&'static str, Value)> {
    if variant.format != Format::Glb {
        return vec![("width", json!(variant.found.fact(Fact::Width))), ("height", json!(variant.found.fact(Fact::Height)))];
    }
    let mut said = said_of_model(&variant.found, &variant.bytes);
    said.extend(variant.measured.iter().cloned());
    if let Some(looks) = &variant.looks {
        said.extend([("psnr", json!(looks.psnr)), ("ssim", json!(looks.ssim)), ("views", json!(looks.views))]);
    }
    said
}

fn said_of_model(found: &Inspection, bytes: &[u8]) -> Vec<(&'static str, Value)> {
    let textures = found.fact(Fact::TextureBytes);
    let geometry = opened(bytes, |model| Ok(geometry_bytes(model))).unwrap_or_default();
    vec![
        ("triangles", json!(found.fact(Fact::Triangles))),
        ("vertices", json!(found.fact(Fact::Vertices))),
        ("texture_side", json!(found.fact(Fact::TextureSide))),
        ("texture_bytes", json!(textures)),
        ("gpu_bytes", json!(textures.unwrap_or_default() + geometry)),
        ("uses", json!(found.names)),
    ]
}

/// What its vertices and indices take once they are unpacked.
fn geometry_bytes(model: &Model<'_>) -> u64 {
    let primitives = model.json.list("meshes").iter().flat_map(|mesh| mesh.list("primitives"));
    let accessors = |primitive: &Json| -> Vec<usize> {
        let attributes = primitive.get("attributes").map_or(&[][..], Json::members).iter().map(|(_, n)| n);
        attributes.chain(primitive.get("indices")).filter_map(|n| usize::try_from(n.whole()?).ok()).collect()
    };
    let mut all: Vec<usize> = primitives.flat_map(accessors).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().filter_map(|n| model.layout(n).ok()).map(|layout| layout.count as u64 * layout.element as u64).sum()
}
