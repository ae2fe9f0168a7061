//! `manifest.json` beside the results of an object: what the worker said of them, and which version of the object they are of.
//!
//! A stored form: `version` 1. What a newer program adds to it is passed on as it is. Whoever may write there may write anything, so
//! nothing in it is believed that is not looked at: names are plain, and owner, size and hash of what they name are compared.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::error::{Error, Result};
use crate::base::object::ObjectInfo;
use crate::media::optimize::recipe::Recipe;
use crate::media::wire::plain_name;

const VERSION: u16 = 1;
/// More is none of ours.
pub const MAX_BYTES: u64 = 1 << 20;
const MAX_RESULTS: usize = 64;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    version: u16,
    /// The very version that was read.
    #[serde(default)]
    pub of: Of,
    /// Names content, recipe and program: what is made of equal ones is equal.
    pub made: String,
    pub recipe: Recipe,
    pub sources: Vec<Source>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Of {
    pub etag: String,
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub variant: String,
    /// Beside the manifest.
    pub url: String,
    pub mime: String,
    pub size: u64,
    pub sha256: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Of {
    pub fn the(object: &ObjectInfo) -> Self {
        Of { etag: object.etag.quoted(), size: object.size }
    }
}

impl Manifest {
    /// None: it is not one that this program would write, or a newer one's.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let manifest: Manifest = serde_json::from_slice(bytes).ok()?;
        let plain = |source: &Source| plain_name(&source.url) == source.url && source.sha256.len() == 64;
        (manifest.version == VERSION && manifest.sources.len() <= MAX_RESULTS && manifest.sources.iter().all(plain)).then_some(manifest)
    }

    pub fn write(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(Error::internal)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub fn about(self, object: &ObjectInfo) -> Self {
        Manifest { of: Of::the(object), ..self }
    }

    pub fn is_of(&self, object: &ObjectInfo) -> bool {
        self.of == Of::the(object)
    }

    /// Steps that could not be done.
    pub fn skipped(&self) -> usize {
        self.rest.get("skipped").and_then(Value::as_array).map_or(0, Vec::len)
    }

    pub fn source(&self, variant: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.variant == variant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 1 wrote it, with a field of a newer program.
    const STORED: &str = r#"{"version":1,"of":{"etag":"\"a\"","size":7},"made":"00","newer":[1],
        "recipe":{"steps":["draco","poster"],"bounds":{"psnr":36.0,"ssim":0.97},"poster":{"side":512,"background":null,"picture":"webp"}},
        "sources":[{"variant":"draco","url":"a.draco-0123456789abcdef.glb","mime":"model/gltf-binary","size":3,
        "sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","psnr":50.5}]}"#;

    #[test]
    fn what_is_stored_is_read_and_kept() {
        let manifest = Manifest::parse(STORED.as_bytes()).unwrap();
        let written: Value = serde_json::from_slice(&manifest.write().unwrap()).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(STORED).unwrap());
        assert_eq!((manifest.source("draco").unwrap().size, manifest.source("poster")), (3, None));
        for (from, to) in [("\"version\":1", "\"version\":2"), ("a.draco", "../draco"), ("\"made\":\"00\",", ""), ("0123456789abcdef0", "")]
        {
            assert!(STORED.contains(from) && Manifest::parse(STORED.replacen(from, to, 1).as_bytes()).is_none(), "{from}");
        }
    }
}
