//! The `policies` folder: `*.json` are policies, `tenants/*.toml` are tenants with their keys and limits, `cdn-keys/*.toml` (in
//! `url_keys`) sign URLs. Read all at once; every fault is found in one reading.
//!
//! Not here: who may do what. Called by `directory` at start and at each reload.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use crate::auth::fault::Fault;
use crate::auth::keys::Secret;
use crate::auth::limit_values::{NAMES, expected, is_size, parse_bytes};
use crate::auth::limits::Limits;
use crate::auth::policy::Policy;
use crate::auth::role::{Provider, Role};
use crate::auth::url_keys::{self, UrlKeyFile};
use crate::base::names::{AccessKeyId, TenantId};
use crate::base::timestamp::Timestamp;

/// A policy or tenant file larger than this is not one.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// Files in each of the two folders: all are read at each reload.
const MAX_FILES: usize = 10_000;
const MAX_SECRET_BYTES: u64 = 4096;
const MAX_KEYS_PER_TENANT: usize = 100;
const MAX_POLICIES_PER_TENANT: usize = 10;

pub const ROLES: &str = "roles";
pub const IDENTITY_PROVIDERS: &str = "identity-providers";

/// What else stands in the folder, read with it.
pub type More = fn(&mut Reader<'_>, &Path, &BTreeMap<String, Arc<Policy>>);

pub struct TenantFile {
    pub file: PathBuf,
    pub id: TenantId,
    pub display: Option<String>,
    pub policies: Vec<Arc<Policy>>,
    pub limits: Limits,
    pub keys: Vec<FileKey>,
    /// Sessions that began before are ended.
    pub tokens_valid_after: Option<Timestamp>,
}

#[derive(Clone)]
pub struct FileKey {
    pub id: AccessKeyId,
    pub secret: Secret,
    pub enabled: bool,
    pub expires: Option<Timestamp>,
}

#[derive(Default)]
pub struct Folder {
    pub tenants: Vec<TenantFile>,
    pub url_keys: Vec<UrlKeyFile>,
    pub roles: Vec<Arc<Role>>,
    pub providers: Vec<Arc<Provider>>,
    pub policies: BTreeMap<String, Arc<Policy>>,
    /// Not wrong, but the operator should know.
    pub warnings: Vec<String>,
    /// Secrets and keys in files of their own: their change is a change of the folder.
    pub secret_files: Vec<PathBuf>,
    /// Hashes of all that was read but secrets.
    pub texts: BTreeMap<PathBuf, [u8; 32]>,
}

impl Folder {
    /// What is not as it was.
    pub fn changes_since(&self, before: &Folder, dir: &Path) -> Vec<String> {
        let gone = before.texts.keys().filter(|file| !self.texts.contains_key(*file)).map(|file| (file, "gone"));
        let come = self.texts.iter().filter_map(|(file, hash)| match before.texts.get(file) {
            None => Some((file, "new")),
            Some(old) => (old != hash).then_some((file, "changed")),
        });
        come.chain(gone).map(|(file, how)| format!("{} {how}", file.strip_prefix(dir).unwrap_or(file).display())).collect()
    }
}

/// `env` looks up the environment variables that hold secrets.
pub fn read(dir: &Path, env: &dyn Fn(&str) -> Option<String>, more: More) -> Result<Folder, Vec<Fault>> {
    let mut reader = Reader { env, folder: Folder::default(), faults: Vec::new() };
    let policies = reader.policies(dir);
    // A gateway may have no tenants yet; its policies folder it must have.
    for file in reader.list_if_there(&dir.join("tenants")) {
        reader.tenant(&file, &policies);
    }
    for file in reader.list_if_there(&dir.join(url_keys::FOLDER)) {
        reader.url_key(&file);
    }
    more(&mut reader, dir, &policies);
    reader.check_duplicates();
    if reader.faults.is_empty() { Ok(reader.folder) } else { Err(reader.faults) }
}

pub struct Reader<'e> {
    env: &'e dyn Fn(&str) -> Option<String>,
    pub folder: Folder,
    pub faults: Vec<Fault>,
}

impl Reader<'_> {
    pub fn fault(&mut self, file: &Path, path: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault::new(file, path, message));
    }

    pub(super) fn list_if_there(&mut self, folder: &Path) -> Vec<PathBuf> {
        if folder.exists() { self.list(folder, "toml") } else { Vec::new() }
    }

    /// In order of name, so that faults come in the same order each time.
    fn list(&mut self, dir: &Path, extension: &str) -> Vec<PathBuf> {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) => {
                self.fault(dir, "", format!("the folder can't be read: {e}"));
                return Vec::new();
            }
        };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| p.extension().is_some_and(|e| e == extension) && !hidden(p) && p.is_file())
            .take(MAX_FILES + 1)
            .collect();
        if files.len() > MAX_FILES {
            self.fault(dir, "", format!("more than {MAX_FILES} files"));
            files.clear();
        }
        files.sort();
        files
    }

    fn policies(&mut self, dir: &Path) -> BTreeMap<String, Arc<Policy>> {
        let mut policies = BTreeMap::new();
        for file in self.list(dir, "json") {
            let Some(name) = file.file_stem().and_then(|s| s.to_str()) else {
                self.fault(&file, "", "the file's name is not UTF-8");
                continue;
            };
            let name = name.to_owned();
            let Some(text) = self.read_file(&file) else { continue };
            match Policy::compile(&file, text.as_bytes()) {
                Ok(policy) => {
                    policies.insert(name, Arc::new(policy));
                }
                Err(faults) => self.faults.extend(faults),
            }
        }
        self.folder.policies = policies.clone();
        policies
    }

    fn read_file(&mut self, file: &Path) -> Option<String> {
        match read_limited(file, MAX_FILE_BYTES) {
            Ok(text) => {
                self.folder.texts.insert(file.to_owned(), Sha256::digest(&text).into());
                Some(text)
            }
            Err(e) => {
                self.fault(file, "", e);
                None
            }
        }
    }

    pub fn table(&mut self, file: &Path) -> Option<Table> {
        let text = self.read_file(file)?;
        match text.parse::<Table>() {
            Ok(table) => Some(table),
            Err(e) => {
                // The parser's long form quotes the line, which may hold a secret.
                let line = e.span().map_or(1, |s| text.bytes().take(s.start).filter(|c| *c == b'\n').count() + 1);
                self.fault(file, format!("line {line}"), e.message().to_owned());
                None
            }
        }
    }

    fn tenant(&mut self, file: &Path, known: &BTreeMap<String, Arc<Policy>>) {
        let Some(table) = self.table(file) else { return };
        let before = self.faults.len();
        self.unknown_names(file, "", &table, &["id", "display", "policies", "keys", "limits", "tokens_valid_after"]);
        let id = self.tenant_id(file, table.get("id"));
        let display = self.text(file, "display", table.get("display"));
        let policies = self.tenant_policies(file, table.get("policies"), known);
        let limits = self.limits(file, table.get("limits"));
        let tokens_valid_after = self.time(file, "tokens_valid_after", table.get("tokens_valid_after"));
        let keys = self.keys(file, table.get("keys"));
        self.warn_inline(file, keys.iter().any(|(_, inline)| *inline));
        let keys = keys.into_iter().map(|(k, _)| k).collect();
        if let Some(id) = id.filter(|_| self.faults.len() == before) {
            self.folder.tenants.push(TenantFile { file: file.to_owned(), id, display, policies, limits, keys, tokens_valid_after });
        }
    }

    /// `inline`: a secret stands in the file itself.
    pub fn warn_inline(&mut self, file: &Path, inline: bool) {
        if inline && readable_by_others(file) {
            self.folder.warnings.push(format!("{}: holds a secret and can be read by others; use mode 0600", file.display()));
        }
    }

    pub fn unknown_names(&mut self, file: &Path, at: &str, table: &Table, known: &[&str]) {
        for name in table.keys().filter(|n| !known.contains(&n.as_str())) {
            self.fault(file, format!("{at}{name}"), format!("not known here; known are {}", known.join(", ")));
        }
    }

    pub fn text(&mut self, file: &Path, at: &str, value: Option<&Value>) -> Option<String> {
        match value? {
            Value::String(s) => Some(s.clone()),
            other => {
                self.fault(file, at, format!("a string is needed here, not {}", article(other)));
                None
            }
        }
    }

    fn tenant_id(&mut self, file: &Path, value: Option<&Value>) -> Option<TenantId> {
        if value.is_none() {
            self.fault(file, "id", "missing: a tenant needs an id");
        }
        let text = self.text(file, "id", value)?;
        match TenantId::parse(&text) {
            Ok(id) if id == TenantId::operator() || id == TenantId::anonymous() => {
                self.fault(file, "id", format!("{text:?} is a reserved name"));
                None
            }
            Ok(id) => Some(id),
            Err(e) => {
                self.fault(file, "id", e.message().to_owned());
                None
            }
        }
    }

    pub(super) fn tenant_policies(
        &mut self,
        file: &Path,
        value: Option<&Value>,
        known: &BTreeMap<String, Arc<Policy>>,
    ) -> Vec<Arc<Policy>> {
        let names = match value {
            None => return Vec::new(),
            Some(Value::Array(names)) if names.len() <= MAX_POLICIES_PER_TENANT => names,
            Some(_) => {
                self.fault(file, "policies", format!("a list of at most {MAX_POLICIES_PER_TENANT} names is needed here"));
                return Vec::new();
            }
        };
        let mut policies = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let at = format!("policies[{i}]");
            let Some(name) = self.text(file, &at, Some(name)) else { continue };
            match known.get(&name) {
                Some(policy) => policies.push(Arc::clone(policy)),
                None => self.fault(file, at, format!("there is no usable policy {name:?}: policies/{name}.json is missing or at fault")),
            }
        }
        policies
    }

    fn limits(&mut self, file: &Path, value: Option<&Value>) -> Limits {
        let table = match value {
            None => return Limits::default(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.fault(file, "limits", format!("a table is needed here, not {}", article(other)));
                return Limits::default();
            }
        };
        self.unknown_names(file, "limits.", table, &NAMES);
        let mut limits = Limits::default();
        for name in NAMES {
            let Some(value) = table.get(name) else { continue };
            let number = match value {
                Value::Integer(n) => u64::try_from(*n).ok(),
                Value::String(text) if is_size(name) => parse_bytes(text),
                _ => None,
            };
            let set = number.ok_or_else(|| expected(name)).and_then(|number| limits.set(name, Some(number)));
            if let Err(expected) = set {
                self.fault(file, format!("limits.{name}"), format!("{expected} is needed here"));
            }
        }
        limits
    }

    /// Each with whether its secret stands in the file itself.
    fn keys(&mut self, file: &Path, value: Option<&Value>) -> Vec<(FileKey, bool)> {
        match value {
            None => Vec::new(),
            Some(Value::Array(keys)) if keys.len() <= MAX_KEYS_PER_TENANT => {
                keys.iter().enumerate().filter_map(|(i, k)| self.key(file, &format!("keys[{i}]"), k)).collect()
            }
            Some(_) => {
                self.fault(file, "keys", format!("a list of at most {MAX_KEYS_PER_TENANT} keys is needed here"));
                Vec::new()
            }
        }
    }

    fn key(&mut self, file: &Path, at: &str, value: &Value) -> Option<(FileKey, bool)> {
        let Value::Table(table) = value else {
            self.fault(file, at, format!("a table is needed here, not {}", article(value)));
            return None;
        };
        self.unknown_names(file, &format!("{at}."), table, &["access_key", "secret", "enabled", "expires"]);
        let id = match self.text(file, &format!("{at}.access_key"), table.get("access_key")).map(|s| AccessKeyId::parse(&s)) {
            Some(Ok(id)) => Some(id),
            _ => {
                self.fault(file, format!("{at}.access_key"), "an access key of 3 to 128 of A-Z a-z 0-9 - _ . is needed here");
                None
            }
        };
        let enabled = self.flag(file, &format!("{at}.enabled"), table.get("enabled"));
        let expires = self.time(file, &format!("{at}.expires"), table.get("expires"));
        let (secret, inline) = self.secret(file, &format!("{at}.secret"), table.get("secret"))?;
        Some((FileKey { id: id?, secret, enabled, expires }, inline))
    }

    fn time(&mut self, file: &Path, at: &str, value: Option<&Value>) -> Option<Timestamp> {
        let value = value?;
        let parsed = Timestamp::parse_iso8601(value.as_str().map_or_else(|| value.to_string(), str::to_owned).trim());
        if parsed.is_none() {
            self.fault(file, at, "a time such as 2027-01-31T00:00:00Z is needed here");
        }
        parsed
    }

    /// True where it is not given.
    pub fn flag(&mut self, file: &Path, at: &str, value: Option<&Value>) -> bool {
        match value {
            None => true,
            Some(Value::Boolean(b)) => *b,
            Some(_) => {
                self.fault(file, at, "true or false is needed here");
                false
            }
        }
    }

    fn secret(&mut self, file: &Path, at: &str, value: Option<&Value>) -> Option<(Secret, bool)> {
        self.source(file, at, value, true).map(|(text, inline)| (Secret::new(&text), inline))
    }

    /// A text that stands elsewhere, and whether that is the file itself after all.
    pub fn source(&mut self, file: &Path, at: &str, value: Option<&Value>, secret: bool) -> Option<(String, bool)> {
        const FORMS: &str = "{ env = \"NAME\" }, { file = \"path\" } or { value = \"…\" } is needed here";
        let source = value.and_then(Value::as_table).filter(|t| t.len() == 1).and_then(|t| t.iter().next());
        let Some((form, Value::String(text))) = source else {
            self.fault(file, at, FORMS);
            return None;
        };
        let (found, inline) = match form.as_str() {
            "value" => (Ok(text.clone()), true),
            "env" => ((self.env)(text).ok_or_else(|| format!("the environment variable {text} is not set")), false),
            "file" => {
                let path = file.parent().unwrap_or(Path::new(".")).join(text);
                if secret && readable_by_others(&path) {
                    self.folder.warnings.push(format!("{}: holds a secret and can be read by others; use mode 0600", path.display()));
                }
                let found = read_limited(&path, MAX_SECRET_BYTES).map(|s| s.trim_end_matches(['\r', '\n']).to_owned());
                self.folder.secret_files.push(path);
                (found, false)
            }
            _ => (Err(FORMS.to_owned()), false),
        };
        match found {
            Ok(s) if s.is_empty() => {
                self.fault(file, at, if secret { "the secret is empty" } else { "it is empty" });
                None
            }
            Ok(s) => Some((s, inline)),
            Err(e) => {
                self.fault(file, at, e);
                None
            }
        }
    }

    fn check_duplicates(&mut self) {
        let mut tenants: BTreeMap<&TenantId, &Path> = BTreeMap::new();
        let mut keys: BTreeMap<&AccessKeyId, &Path> = BTreeMap::new();
        let mut faults = Vec::new();
        for tenant in &self.folder.tenants {
            if let Some(first) = tenants.insert(&tenant.id, &tenant.file) {
                faults.push(Fault::new(&tenant.file, "id", format!("{} is in {} already", tenant.id, first.display())));
            }
            for (i, key) in tenant.keys.iter().enumerate() {
                if let Some(first) = keys.insert(&key.id, &tenant.file) {
                    let message = format!("{} is in {} already", key.id, first.display());
                    faults.push(Fault::new(&tenant.file, format!("keys[{i}].access_key"), message));
                }
            }
        }
        let mut url_keys: BTreeMap<&AccessKeyId, &Path> = BTreeMap::new();
        for key in &self.folder.url_keys {
            if let Some(first) = url_keys.insert(&key.id, &key.file) {
                faults.push(Fault::new(&key.file, "id", format!("{} is in {} already", key.id, first.display())));
            }
            if !key.tenant.is_operator() && !tenants.contains_key(&key.tenant) {
                faults.push(Fault::new(&key.file, "tenant", format!("there is no usable tenant {}", key.tenant)));
            }
        }
        self.faults.extend(faults);
    }
}

/// Names and times of everything that `read` would read: equal as long as nothing changed. Cheap: no file is opened.
pub fn fingerprint(dir: &Path, secret_files: &[PathBuf]) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    use std::os::unix::fs::MetadataExt as _;
    let mut hasher = DefaultHasher::new();
    let mut files: Vec<PathBuf> = ["", "tenants", url_keys::FOLDER, ROLES, IDENTITY_PROVIDERS]
        .iter()
        .filter_map(|name| std::fs::read_dir(dir.join(name)).ok())
        .flat_map(|entries| entries.filter_map(|e| Some(e.ok()?.path())).take(MAX_FILES))
        .filter(|p| !hidden(p) && p.extension().is_some_and(|e| e == "json" || e == "toml"))
        .chain(secret_files.iter().cloned())
        .collect();
    files.sort();
    for file in files {
        let meta = std::fs::metadata(&file).ok().map(|m| (m.mtime(), m.mtime_nsec(), m.len(), m.ino()));
        (file, meta).hash(&mut hasher);
    }
    hasher.finish()
}

/// Editors leave such files while they save.
fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."))
}

fn read_limited(file: &Path, max: u64) -> Result<String, String> {
    let mut text = String::new();
    let opened = std::fs::File::open(file).and_then(|f| f.take(max + 1).read_to_string(&mut text));
    match opened {
        Err(e) => Err(format!("can't be read: {e}")),
        Ok(n) if n as u64 > max => Err(format!("larger than {max} bytes")),
        Ok(_) => Ok(text),
    }
}

fn readable_by_others(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|m| m.permissions().mode() & 0o044 != 0)
}

pub(super) fn article(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "a boolean",
        Value::Datetime(_) => "a time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}
