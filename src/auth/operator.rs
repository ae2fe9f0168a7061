//! The operator's key: from the environment, or made at the first start and kept in the data directory.
//!
//! Invariants: the file is readable by its owner only from its first byte on; a file that others can read is refused.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::auth::keys::Secret;
use crate::base::names::AccessKeyId;
use crate::private;

pub const FILE_NAME: &str = "operator.key";
/// The file holds two short lines.
const MAX_FILE_BYTES: u64 = 4096;
/// Shorter ones can be guessed; AWS's have 40 characters.
const MIN_SECRET_CHARS: usize = 8;

#[derive(Debug, Clone)]
pub struct OperatorKey {
    pub access_key: AccessKeyId,
    pub secret: Secret,
    /// What it was before it was changed: opens what was sealed under it.
    pub before: Option<Secret>,
    /// Made by this very start: show it once.
    pub is_new: bool,
    /// None: from the environment.
    pub file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    access_key: String,
    secret_key: String,
}

impl OperatorKey {
    /// `env` is asked for TIDEGATE_ROOT_ACCESS_KEY, TIDEGATE_ROOT_SECRET_KEY and TIDEGATE_ROOT_OLD_SECRET_KEY. Err: a text for the
    /// operator.
    pub fn load_or_create(data_dir: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        const ACCESS: &str = "TIDEGATE_ROOT_ACCESS_KEY";
        const SECRET: &str = "TIDEGATE_ROOT_SECRET_KEY";
        let given = |name| env(name).filter(|v| !v.is_empty());
        let before = given("TIDEGATE_ROOT_OLD_SECRET_KEY").map(|secret| Secret::new(&secret));
        let key = match (given(ACCESS), given(SECRET)) {
            (Some(access), Some(secret)) => Self::from_strings(&access, &secret).map_err(|e| format!("{ACCESS} / {SECRET}: {e}")),
            (None, None) => {
                let path = data_dir.join(FILE_NAME);
                let loaded = match File::open(&path) {
                    Ok(file) => Self::read(file, &path),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Self::create(data_dir, &path).map_err(|e| e.to_string()),
                    Err(e) => Err(e.to_string()),
                };
                loaded.map_err(|e| format!("{}: {e}", path.display()))
            }
            _ => Err(format!("{ACCESS} and {SECRET} belong together: set both or none")),
        }?;
        Ok(OperatorKey { before, ..key })
    }

    pub fn from_strings(access_key: &str, secret: &str) -> Result<Self, String> {
        let access_key = AccessKeyId::parse(access_key).map_err(|_| "the access key is not well formed: 3 to 128 of A-Z a-z 0-9 - _ .")?;
        if secret.len() < MIN_SECRET_CHARS {
            return Err(format!("the secret key must have at least {MIN_SECRET_CHARS} characters"));
        }
        Ok(OperatorKey { access_key, secret: Secret::new(secret), before: None, is_new: false, file: None })
    }

    fn read(file: File, path: &Path) -> Result<Self, String> {
        let meta = file.metadata().map_err(|e| e.to_string())?;
        if meta.permissions().mode() & 0o077 != 0 {
            return Err("others can read this file: it must have mode 0600".into());
        }
        let mut text = String::new();
        file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(|e| e.to_string())?;
        // The parser's message would quote the secret.
        let document: Document =
            toml::from_str(&text).map_err(|_| "not an operator key: access_key = \"…\" and secret_key = \"…\" are needed")?;
        let key = Self::from_strings(&document.access_key, &document.secret_key)?;
        Ok(OperatorKey { file: Some(path.to_owned()), ..key })
    }

    fn create(data_dir: &Path, path: &Path) -> io::Result<Self> {
        // The folder will hold everybody's data as well.
        private::make_dir(data_dir)?;
        let (access, secret) = generate_pair()?;
        let document = Document { access_key: access.to_string(), secret_key: secret.expose().to_owned() };
        let text = toml::to_string(&document).map_err(io::Error::other)?;
        // Whole or not there: a crash half way must not leave a key that nobody can read.
        let draft = data_dir.join(format!("{FILE_NAME}.new"));
        let _ = std::fs::remove_file(&draft);
        let mut file = private::create_new(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        File::open(data_dir)?.sync_all()?;
        Ok(OperatorKey { access_key: access, secret, before: None, is_new: true, file: Some(path.to_owned()) })
    }
}

/// A new key pair: `TG` and 18 characters, and a secret of 40 (238 bits).
pub fn generate_pair() -> io::Result<(AccessKeyId, Secret)> {
    let access = format!("TG{}", random_text(18, b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789")?);
    let secret = random_text(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")?;
    let access = AccessKeyId::parse(&access).map_err(io::Error::other)?;
    Ok((access, Secret::new(&secret)))
}

/// The alphabets have 32 and 64 characters, so that each is equally likely.
fn random_text(len: usize, alphabet: &[u8]) -> io::Result<String> {
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|b| char::from(alphabet[usize::from(*b) % alphabet.len()])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let none = |_: &str| None;
        let made = OperatorKey::load_or_create(dir.path(), none).unwrap();
        assert!(made.is_new);
        let mode = std::fs::metadata(dir.path().join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = OperatorKey::load_or_create(dir.path(), none).unwrap();
        assert!(!again.is_new);
        assert_eq!((&again.access_key, &again.secret), (&made.access_key, &made.secret));
        assert!(!format!("{again:?}").contains(made.secret.expose()));

        std::fs::set_permissions(dir.path().join(FILE_NAME), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(OperatorKey::load_or_create(dir.path(), none).unwrap_err().contains("0600"));
    }

    #[test]
    fn damage_is_told_without_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let mut file = private::create_new(&path).unwrap();
        file.write_all(b"secret_key = \"hush-hush-hush\"").unwrap();
        let e = OperatorKey::load_or_create(dir.path(), |_| None).unwrap_err();
        assert!(e.contains("not an operator key") && !e.contains("hush"), "{e}");
    }

    #[test]
    fn from_the_environment() {
        let dir = Path::new("/nonexistent");
        let env = |n: &str| Some(if n.contains("ACCESS") { "AKROOT" } else { "long-enough" }.to_owned());
        assert_eq!(OperatorKey::load_or_create(dir, env).unwrap().access_key.as_str(), "AKROOT");
        let half = |n: &str| n.contains("ACCESS").then(|| "AKROOT".to_owned());
        assert!(OperatorKey::load_or_create(dir, half).unwrap_err().contains("both"));
        assert!(OperatorKey::from_strings("AKROOT", "short").is_err());
    }

    #[test]
    fn pairs_differ() {
        assert_ne!(generate_pair().unwrap().1, generate_pair().unwrap().1);
    }
}
