//! The certificates in a folder: pairs `NAME.crt` (or `.pem`) and `NAME.key`, found by the server name a client asks for.
//!
//! A pair serves the DNS names in its certificate, or its file name where it has none. Unknown names and clients without SNI
//! get the pair called `default`, or else the first by file name. All pairs are good or none is taken: every fault is
//! reported with its file.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// What is wrong with which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub file: PathBuf,
    pub message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.message)
    }
}

#[derive(Debug)]
pub struct Certificates {
    /// Lower case; `*.example.com` is kept under `.example.com`.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
    pub pairs: usize,
}

impl Certificates {
    /// `except`: a file of the folder that is no certificate of ours, the clients' authorities.
    pub fn load(dir: &Path, except: Option<&Path>, provider: &CryptoProvider) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut by_name = HashMap::new();
        let mut default = None;
        let pairs = find_pairs(dir, except, &mut faults);
        for (stem, pair) in &pairs {
            match load_pair(pair, provider) {
                Ok((key, mut names)) => {
                    let key = Arc::new(key);
                    if names.is_empty() {
                        names.push(stem.clone());
                    }
                    for name in names {
                        // The first by file name keeps a name that two certificates hold.
                        by_name.entry(name.to_ascii_lowercase().trim_start_matches('*').to_owned()).or_insert_with(|| key.clone());
                    }
                    if default.is_none() || stem == "default" {
                        default = Some(key);
                    }
                }
                Err(fault) => faults.push(fault),
            }
        }
        match default {
            Some(default) if faults.is_empty() => Ok(Certificates { by_name, default, pairs: pairs.len() }),
            None if faults.is_empty() => Err(vec![Fault {
                file: dir.to_owned(),
                message: "no certificate found: expected a pair NAME.crt (or NAME.pem) and NAME.key".into(),
            }]),
            _ => Err(faults),
        }
    }

    /// A certificate for `name` itself, or a wildcard one level up, or the default.
    pub fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let Some(name) = name else { return self.default.clone() };
        let name = name.to_ascii_lowercase();
        let wildcard = name.find('.').map(|dot| &name[dot..]);
        self.by_name.get(&name).or_else(|| wildcard.and_then(|w| self.by_name.get(w))).unwrap_or(&self.default).clone()
    }
}

struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

/// By file name without its ending.
fn find_pairs(dir: &Path, except: Option<&Path>, faults: &mut Vec<Fault>) -> BTreeMap<String, Pair> {
    let mut certificates = BTreeMap::new();
    let mut keys = BTreeMap::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) => {
            faults.push(Fault { file: dir.to_owned(), message: format!("can't be read: {e}") });
            return BTreeMap::new();
        }
    };
    // However its path was written.
    let except = except.and_then(|e| e.canonicalize().ok());
    let is_ours = |path: &PathBuf| except.is_none() || path.canonicalize().ok() != except;
    for path in entries.flatten().map(|e| e.path()).filter(is_ours) {
        let (Some(stem), Some(ending)) = (path.file_stem().and_then(|s| s.to_str()), path.extension().and_then(|s| s.to_str())) else {
            continue;
        };
        let stem = stem.to_owned();
        match ending {
            "crt" | "pem" => {
                if let Some(other) = certificates.insert(stem, path.clone()) {
                    faults.push(Fault { file: path, message: format!("a second certificate beside {}", other.display()) });
                }
            }
            "key" => {
                keys.insert(stem, path);
            }
            _ => {}
        }
    }
    let mut pairs = BTreeMap::new();
    for (stem, certificate) in certificates {
        match keys.remove(&stem) {
            Some(key) => {
                pairs.insert(stem, Pair { certificate, key });
            }
            None => faults.push(Fault { message: format!("its key {stem}.key is missing"), file: certificate }),
        }
    }
    faults.extend(keys.into_iter().map(|(stem, file)| Fault { message: format!("its certificate {stem}.crt is missing"), file }));
    pairs
}

fn load_pair(pair: &Pair, provider: &CryptoProvider) -> Result<(CertifiedKey, Vec<String>), Fault> {
    let bad = |file: &Path, message: String| Fault { file: file.to_owned(), message };
    let chain = CertificateDer::pem_file_iter(&pair.certificate)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|e| bad(&pair.certificate, format!("is not a PEM certificate: {e}")))?;
    let Some(leaf) = chain.first() else { return Err(bad(&pair.certificate, "holds no certificate".into())) };
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|e| bad(&pair.certificate, format!("is not a certificate: {e}")))?;
    let names = leaf.valid_dns_names().map(str::to_owned).collect();
    let key = PrivateKeyDer::from_pem_file(&pair.key).map_err(|e| bad(&pair.key, format!("is not a PEM private key: {e}")))?;
    let certified = CertifiedKey::from_der(chain, key, provider)
        .map_err(|e| bad(&pair.key, format!("does not work with {}: {e}", pair.certificate.display())))?;
    Ok((certified, names))
}

/// What tells one state of a file from another without reading it.
pub type FileStamp = (PathBuf, Option<SystemTime>, u64);

/// Changes when a file of the folder does; cheap enough to ask every few seconds.
pub fn fingerprint(dir: &Path) -> Vec<FileStamp> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.filter_map(|e| stamp(&e.path())).collect();
    files.sort();
    files
}

pub fn stamp(file: &Path) -> Option<FileStamp> {
    // Followed: certificate managers swap symbolic links.
    let metadata = std::fs::metadata(file).ok()?;
    Some((file.to_owned(), metadata.modified().ok(), metadata.len()))
}
