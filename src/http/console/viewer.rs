//! The viewer of models: a folder with a page and what it loads, made by `console/viewer/build.sh` and read once.
//!
//! Its page is sandboxed by its own policy, however it is opened: its origin is opaque, and what it may load are the files beside it. They
//! are open to every origin, since theirs is none.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_SECURITY_POLICY};

use super::files::{ASKED_FOR_AGAIN, content_type, file};
use crate::http::respond::Answer;

const MAX_FILES: usize = 64;
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Textures and workers of the decoders are made in memory; decoders are WebAssembly, and that of KTX2 makes its bindings out of text.
const POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox allow-scripts; default-src 'none'; script-src 'self' 'unsafe-eval' blob:; worker-src blob:; connect-src 'self' blob: data:; \
     img-src blob: data:; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
);

pub(super) struct Viewer(BTreeMap<String, Bytes>);

impl Viewer {
    pub fn load(folder: &Path) -> Result<Self, String> {
        let fault = |e: std::io::Error| format!("console.viewer: {}: {e}", folder.display());
        let mut files = BTreeMap::new();
        let mut room = MAX_BYTES;
        for entry in std::fs::read_dir(folder).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            if !entry.file_type().map_err(fault)?.is_file() {
                continue;
            }
            let Ok(name) = entry.file_name().into_string() else { continue };
            let size = entry.metadata().map_err(fault)?.len();
            room = room.checked_sub(size).filter(|_| files.len() < MAX_FILES).ok_or_else(|| {
                format!("console.viewer: {}: expected a viewer with at most {MAX_FILES} files and {MAX_BYTES} bytes", folder.display())
            })?;
            files.insert(name, std::fs::read(entry.path()).map_err(fault)?.into());
        }
        if !files.contains_key("index.html") {
            return Err(format!("console.viewer: {}: there is no index.html: console/viewer/build.sh makes the folder", folder.display()));
        }
        Ok(Viewer(files))
    }

    pub fn file(&self, name: &str) -> Option<Answer> {
        let name = if name.is_empty() { "index.html" } else { name };
        let mut answer = file(self.0.get(name)?.clone(), content_type(name), ASKED_FOR_AGAIN);
        answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        if name.ends_with(".html") {
            answer.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
        }
        Some(answer)
    }
}
