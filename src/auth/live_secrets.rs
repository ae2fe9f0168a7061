//! Secrets that the configuration names and that may change while the gateway serves: of sites' callers, and of webhooks.
//!
//! Invariants: a secret is compared in constant time, and is never written by `Debug`. Secrets that were not loaded match nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use subtle::{Choice, ConstantTimeEq as _};

use crate::auth::keys::Secret;

/// The value in use and the next one; more would be values that nobody takes away.
pub const MAX_SECRETS: usize = 2;
/// Below this a secret can be guessed.
const MIN_SECRET_BYTES: usize = 16;
/// What CloudFront takes as a custom header's value.
const MAX_SECRET_BYTES: usize = 1783;

/// Where a secret stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Environment(String),
    File(PathBuf),
}

/// The live values, which can change while the gateway serves.
#[derive(Debug)]
pub struct Secrets {
    sources: Vec<Source>,
    live: ArcSwap<Vec<Secret>>,
}

impl Secrets {
    pub fn new(sources: Vec<Source>) -> Self {
        Secrets { sources, live: ArcSwap::default() }
    }

    /// Takes all values as they are now, or none, with every fault.
    pub fn load(&self, env: &dyn Fn(&str) -> Option<String>) -> std::result::Result<(), Vec<String>> {
        let (mut secrets, mut faults) = (Vec::new(), Vec::new());
        for source in &self.sources {
            match source.read(env) {
                Ok(secret) => secrets.push(secret),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.live.store(Arc::new(secrets));
        Ok(())
    }

    /// As they are now. Empty: they were not loaded yet.
    pub fn live(&self) -> Arc<Vec<Secret>> {
        self.live.load_full()
    }

    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().filter_map(|s| match s {
            Source::Environment(_) => None,
            Source::File(path) => Some(path.as_path()),
        })
    }

    /// All values are compared whichever matches. That the time tells a value's length does not help to guess it.
    pub fn holds(&self, shown: &[u8]) -> bool {
        let live = self.live.load();
        live.iter().fold(Choice::from(0), |found, secret| found | secret.expose().as_bytes().ct_eq(shown)).into()
    }
}

impl Source {
    fn read(&self, env: &dyn Fn(&str) -> Option<String>) -> std::result::Result<Secret, String> {
        let (place, text) = match self {
            Source::Environment(name) => {
                let place = format!("the environment variable {name}");
                let text = env(name).ok_or_else(|| format!("{place} is not set; it should hold a secret"))?;
                (place, text)
            }
            Source::File(path) => (path.display().to_string(), read_small(path)?),
        };
        let secret = text.trim_end_matches(['\r', '\n']);
        if !(MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&secret.len()) || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("{place}: expected a secret of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} visible ASCII characters"));
        }
        Ok(Secret::new(secret))
    }
}

fn read_small(path: &Path) -> std::result::Result<String, String> {
    let told = |e: std::io::Error| format!("{}: can't be read: {e}", path.display());
    if std::fs::metadata(path).map_err(told)?.len() > 2 * MAX_SECRET_BYTES as u64 {
        return Err(format!("{}: is too large for a secret", path.display()));
    }
    std::fs::read_to_string(path).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "the-old-secret-of-the-cdn";
    const NEW: &str = "the-new-secret-of-the-cdn";

    fn environment(name: &str) -> Option<String> {
        Some(if name == "OLD" { OLD } else { NEW }.to_owned())
    }

    #[test]
    fn a_load_is_whole_or_leaves_what_was() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, format!("{NEW}\n")).unwrap();
        let secrets = Secrets::new(vec![Source::Environment("OLD".into()), Source::File(file.clone())]);
        secrets.load(&environment).unwrap();
        assert!(secrets.holds(OLD.as_bytes()) && secrets.holds(NEW.as_bytes()));

        std::fs::write(&file, "short").unwrap();
        let faults = secrets.load(&|_| None).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(secrets.holds(OLD.as_bytes()) && secrets.holds(NEW.as_bytes()));

        std::fs::write(&file, "another-secret-of-the-cdn").unwrap();
        secrets.load(&environment).unwrap();
        assert!(!secrets.holds(NEW.as_bytes()));
        assert!(!format!("{secrets:?}").contains("secret-of-the-cdn"));
    }
}
