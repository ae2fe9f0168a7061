//! The `[[encryption_key]]` tables: keys that clients name with `aws:kms`, each with its versions.
//!
//! Secrets are read at the start, from the environment or from files: this file is shared and kept in repositories.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::{Reader, nearest, tables};
use super::remote::{SecretFrom, secret_from};
use crate::base::crypt::ring::{NamedKey, NamedKeys, Versions};
use crate::base::encryption::KeyName;
use crate::base::names::TenantId;

const MAX_KEYS: usize = 1000;
const MAX_VERSIONS: usize = 1000;
const KEYS: [&str; 3] = ["name", "versions", "tenants"];
const VERSIONS: &str = "a list such as [{ number = 1, secret = { env = \"NAME\" } }, { number = 2, secret = { file = \"path\" } }]";
const SECRET: &str = "32 bytes, as 64 hex digits or in base64 (openssl rand -base64 32)";

/// A key as the file has it.
#[derive(Debug, Clone)]
pub struct EncryptionKey {
    name: KeyName,
    versions: BTreeMap<u32, SecretFrom>,
    tenants: Option<Vec<TenantId>>,
}

/// Err: what is wrong with each secret.
pub fn read(keys: &[EncryptionKey]) -> Result<NamedKeys, Vec<String>> {
    let (mut named, mut wrong) = (BTreeMap::new(), Vec::new());
    for key in keys {
        let mut versions = Versions::default();
        for (number, from) in &key.versions {
            let whose = format!("encryption key {:?}, version {number}", key.name.as_str());
            match from.read(&whose).and_then(|text| secret(&text).ok_or_else(|| format!("the secret of the {whose}: expected {SECRET}"))) {
                Ok(secret) => versions.add(*number, secret),
                Err(message) => wrong.push(message),
            }
        }
        named.insert(key.name.clone(), NamedKey { versions, tenants: key.tenants.clone() });
    }
    if wrong.is_empty() { Ok(NamedKeys::new(named)) } else { Err(wrong) }
}

fn secret(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok().or_else(|| STANDARD.decode(text).ok())?.try_into().ok()
}

pub fn take(reader: &mut Reader<'_>, content: &Spanned<DeValue<'_>>) -> Vec<EncryptionKey> {
    let mut taken: Vec<EncryptionKey> = Vec::new();
    for (key, at, fields) in tables(reader, content, "encryption_key", MAX_KEYS) {
        let Some(one) = take_one(reader, &key, at, fields) else { continue };
        if taken.iter().any(|k| k.name == one.name) {
            reader.fault(at, &format!("{key}.name"), format!("{:?} is the name of another [[encryption_key]]", one.name.as_str()));
        }
        taken.push(one);
    }
    taken
}

/// None: a fault was told.
fn take_one(reader: &mut Reader<'_>, key: &str, at: usize, fields: &DeTable<'_>) -> Option<EncryptionKey> {
    let (mut name, mut versions, mut tenants) = (None, None, None);
    for (field, value) in fields {
        let inner = format!("{key}.{}", field.get_ref());
        let (place, value) = (value.span().start, value.get_ref());
        let expected = match field.get_ref().as_ref() {
            "name" => {
                name = value.as_str().and_then(|text| KeyName::parse(text).ok());
                name.is_none().then_some("a name: 1 to 256 of A-Z, a-z, 0-9, '-', '_', '.', '/' and ':'")
            }
            "versions" => {
                versions = take_versions(reader, value);
                versions.is_none().then_some(VERSIONS)
            }
            "tenants" => {
                let all = |list: &toml::de::DeArray<'_>| list.iter().map(|t| TenantId::parse(t.get_ref().as_str()?).ok()).collect();
                tenants = value.as_array().and_then(all);
                tenants.is_none().then_some("a list of tenants, such as [\"acme\"]")
            }
            other => {
                let hint = nearest(other, KEYS.into_iter());
                reader.fault(field.span().start, &inner, format!("there is no such key{hint}"));
                continue;
            }
        };
        if let Some(expected) = expected {
            reader.fault(place, &inner, format!("expected {expected}"));
        }
    }
    let whole = reader.has_all(key, at, fields, &["name", "versions"]);
    Some(EncryptionKey { name: name?, versions: versions?, tenants }).filter(|_| whole)
}

/// None: it is no such list.
fn take_versions(reader: &Reader<'_>, value: &DeValue<'_>) -> Option<BTreeMap<u32, SecretFrom>> {
    let list = value.as_array().filter(|list| (1..=MAX_VERSIONS).contains(&list.len()))?;
    let mut versions = BTreeMap::new();
    for one in list {
        let fields = one.get_ref().as_table().filter(|fields| fields.len() == 2)?;
        let of = |name: &str| fields.iter().find(|(field, _)| field.get_ref() == name).map(|(_, value)| value.get_ref());
        // 0 says that a key is a client's.
        let number = of("number")?.as_integer()?.as_str().parse().ok().filter(|n| *n > 0)?;
        if versions.insert(number, secret_from(reader, of("secret")?)?).is_some() {
            return None;
        }
    }
    Some(versions)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::load::parse;

    fn faults(text: &str) -> Vec<String> {
        match parse(Some((Path::new("g.toml"), text)), &[]) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn keys_have_names_versions_and_tenants() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::write(&one, format!("{}\n", "ab".repeat(32))).unwrap();
        std::fs::write(&two, STANDARD.encode([7; 32])).unwrap();
        let text = format!(
            "[[encryption_key]]\nname = \"k-1\"\ntenants = [\"acme\"]\nversions = [{{ number = 1, secret = {{ file = {one:?} }} }}, {{ number = 3, secret = {{ file = {two:?} }} }}]\n"
        );
        let config = parse(Some((Path::new("g.toml"), &text)), &[]).unwrap();
        let keys = read(&config.encryption_keys).unwrap();
        let key = keys.get(&KeyName::parse("k-1").unwrap()).unwrap();
        assert_eq!(key.versions.numbers().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(key.tenants.as_ref().unwrap().len(), 1);
        assert!(!format!("{keys:?}").contains("abab"));
        std::fs::write(&two, "short").unwrap();
        let wrong = read(&config.encryption_keys).unwrap_err();
        assert!(wrong.len() == 1 && wrong[0].contains("version 3") && wrong[0].contains("32 bytes"), "{wrong:?}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let version = "versions = [{ number = 1, secret = { env = \"K\" } }]";
        let of = |text: &str| faults(&format!("[[encryption_key]]\n{text}\n"));
        assert!(of(&format!("name = \"a\"\n{version}")).is_empty());
        for (text, says) in [
            (version.to_owned(), "encryption_key[0].name: is missing"),
            ("name = \"a\"".to_owned(), "encryption_key[0].versions: is missing"),
            (format!("name = \"a b\"\n{version}"), "encryption_key[0].name: expected a name"),
            (format!("name = \"a\"\n{}", version.replace("1", "0")), "encryption_key[0].versions: expected a list"),
            (format!("name = \"a\"\n{}", version.replace("{ env = \"K\" }", "\"abc\"")), "encryption_key[0].versions: expected a list"),
            (format!("name = \"a\"\n{version}\ntenant = []"), "did you mean tenants?"),
            (format!("name = \"a\"\n{version}\n[[encryption_key]]\nname = \"a\"\n{version}"), "is the name of another"),
        ] {
            let found = of(&text);
            assert!(found.iter().any(|f| f.contains(says)), "{says}\nnot in\n{found:?}");
        }
    }
}
