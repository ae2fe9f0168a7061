//! Providers of generated media, as configuration alone: a file for each says what is asked, what answers mean, what it can do and costs.
//!
//! Pure but for reading the files and the keys: requests are sent by `jobs`. No provider has a name in this code.
//! Invariants: everything in a file is parsed once, with all faults told together; a key goes to the provider's own hosts alone.

pub mod examples;
pub mod file;
pub mod kind;
pub mod provider;
pub mod select;
pub mod sign;
pub mod step;
pub mod template;
pub mod wanted;

use std::path::Path;
use std::sync::Arc;

use crate::base::timestamp::Timestamp;
use crate::vault::file::Model;
use crate::vault::kind::MediaKind;
use crate::vault::provider::Provider;
use crate::vault::wanted::Wanted;

const MAX_FILES: usize = 200;

/// All providers, by name.
#[derive(Debug, Default, Clone)]
pub struct Vault {
    providers: Vec<Arc<Provider>>,
}

/// A model that may be asked, and whose it is.
pub type Candidate = (Arc<Provider>, Arc<Model>);

impl Vault {
    /// The files `*.toml` of a folder; none where it is not there. Err: all that is wrong.
    pub fn load(folder: &Path) -> Result<Vault, Vec<String>> {
        let told = |e: std::io::Error| vec![format!("{}: {e}", folder.display())];
        let mut paths = Vec::new();
        match std::fs::read_dir(folder) {
            Ok(entries) => {
                for entry in entries.take(MAX_FILES) {
                    paths.push(entry.map_err(told)?.path());
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vault::default()),
            Err(e) => return Err(told(e)),
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        let (mut vault, mut faults) = (Vault::default(), Vec::new());
        for path in paths {
            match Provider::load(&path) {
                Ok(provider) if vault.find(&provider.name).is_some() => {
                    faults.push(format!("{}: {:?} is the name of another provider", path.display(), provider.name));
                }
                Ok(provider) => vault.providers.push(Arc::new(provider)),
                Err(wrong) => faults.extend(wrong),
            }
        }
        if faults.is_empty() { Ok(vault) } else { Err(faults) }
    }

    pub fn all(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    pub fn find(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// Who can make it, in order. `order`: names; empty: all, as their files are called. Err: what each of them can do.
    pub fn candidates(&self, wanted: &Wanted, order: &[String], now: Timestamp) -> Result<Vec<Candidate>, Vec<String>> {
        let named: Vec<&Arc<Provider>> = match (&wanted.provider, order) {
            (Some(name), _) => self.find(name).into_iter().collect(),
            (None, []) => self.providers.iter().collect(),
            (None, order) => order.iter().filter_map(|name| self.find(name)).collect(),
        };
        let (mut found, mut cannot) = (Vec::new(), Vec::new());
        for provider in named {
            let no = |what: &str| format!("{}: {what}", provider.name);
            let models = provider.models.iter().filter(|model| model.kind == wanted.kind);
            let models: Vec<_> = models.filter(|model| wanted.model.as_ref().is_none_or(|name| *name == model.name)).collect();
            if models.is_empty() {
                continue;
            }
            if provider.is_retired(now) {
                cannot.push(no("is retired"));
                continue;
            }
            if let Err(e) = provider.signer.has_keys() {
                cannot.push(no(&e));
                continue;
            }
            for model in models {
                match model.can(wanted) {
                    Ok(()) if provider.is_model_retired(model, now) => cannot.push(no(&format!("{} is retired", model.name))),
                    Ok(()) => found.push((provider.clone(), model.clone())),
                    Err(e) => cannot.push(no(&e)),
                }
            }
        }
        if found.is_empty() { Err(cannot) } else { Ok(found) }
    }

    /// The names of an order that no provider has.
    pub fn unknown<'o>(&self, order: &'o [String]) -> Vec<&'o str> {
        order.iter().map(String::as_str).filter(|name| self.find(name).is_none()).collect()
    }

    pub fn makes(&self, kind: MediaKind) -> bool {
        self.providers.iter().any(|provider| provider.models.iter().any(|model| model.kind == kind))
    }
}
