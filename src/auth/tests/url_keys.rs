//! The folder of keys that sign URLs: what is read, and how what is wrong in it is told. And those keys, for other tests.

use super::{auth_in, folder, write};
use crate::auth::Auth;

pub const RSA_PRIVATE: &str = include_str!("keys/rsa.key");
pub const RSA_PKCS1: &str = include_str!("keys/rsa-pkcs1.key");
pub const RSA_PUBLIC: &str = include_str!("keys/rsa.pem");
pub const RSA_1024_PUBLIC: &str = include_str!("keys/rsa1024.pem");
pub const EC_PRIVATE: &str = include_str!("keys/ec.key");
pub const EC_PUBLIC: &str = include_str!("keys/ec.pem");
pub const OTHER_PRIVATE: &str = include_str!("keys/other.key");

/// KRSA and KEC speak for acme, KRIVAL for rival, KTOP for the operator in one prefix.
pub fn folder_with_keys() -> tempfile::TempDir {
    let dir = folder();
    let file = |name: &str, text: &str| write(dir.path(), &format!("cdn-keys/{name}"), text);
    file("rsa.key", RSA_PRIVATE);
    file("rsa.pem", RSA_PUBLIC);
    file("ec.key", EC_PRIVATE);
    file("other.key", OTHER_PRIVATE);
    file("krsa.toml", "id = \"KRSA\"\ntenant = \"acme\"\npublic_key = { file = \"rsa.pem\" }\nprivate_key = { file = \"rsa.key\" }\n");
    file("kec.toml", "id = \"KEC\"\ntenant = \"acme\"\nprivate_key = { file = \"ec.key\" }\nprefixes = [\"media/acme/\"]\n");
    file("krival.toml", "id = \"KRIVAL\"\ntenant = \"rival\"\nprivate_key = { file = \"other.key\" }\n");
    file("ktop.toml", "id = \"KTOP\"\ntenant = \"*\"\nprivate_key = { file = \"other.key\" }\nprefixes = [\"media/top/\"]\n");
    dir
}

pub fn auth_with_keys() -> Auth {
    auth_in(folder_with_keys().path())
}

#[test]
fn keys_are_read_with_the_policies() {
    let auth = auth_with_keys();
    let directory = auth.directory.load();
    let ids: Vec<&str> = directory.url_keys().map(|k| k.id.as_str()).collect();
    assert_eq!(ids, ["KEC", "KRIVAL", "KRSA", "KTOP"]);
    assert!(directory.url_key("KEC").unwrap().reach.is_some() && directory.url_key("KRSA").unwrap().reach.is_none());
    assert_eq!(directory.url_key("KTOP").unwrap().identity.id().as_str(), "operator");
}

#[test]
fn every_fault_is_told_and_nothing_is_taken() {
    let dir = folder_with_keys();
    let auth = auth_in(dir.path());
    let before = auth.fingerprint();
    let file = |name: &str, text: &str| write(dir.path(), &format!("cdn-keys/{name}"), text);
    file("small.pem", RSA_1024_PUBLIC);
    file("a.toml", "id = \"KRSA\"\ntenant = \"nobody\"\npublic_key = { file = \"rsa.pem\" }\n");
    file("b.toml", "id = \"x\"\ntenant = \"operator\"\nprefix = \"a/\"\nprefixes = [\"media\"]\n");
    file(
        "c.toml",
        "id = \"KC1\"\ntenant = \"acme\"\npublic_key = { file = \"small.pem\" }\nprivate_key = { file = \"none\" }\nenabled = 1\n",
    );
    file("d.toml", "id = \"KD1\"\ntenant = \"acme\"\npublic_key = { file = \"rsa.pem\" }\nprivate_key = { file = \"ec.key\" }\n");
    let faults: Vec<String> = auth.reload().unwrap_err().iter().map(ToString::to_string).collect();
    let text = faults.join("\n");
    for expected in [
        "krsa.toml: id: KRSA is in",
        "a.toml: tenant: there is no usable tenant nobody",
        "b.toml: id:",
        "b.toml: tenant:",
        "b.toml: prefix: not known here",
        "b.toml: prefixes[0]:",
        "b.toml: public_key: missing",
        "c.toml: public_key: an RSA key of 1024 bits",
        "c.toml: private_key: can't be read",
        "c.toml: enabled:",
        "d.toml: private_key: does not belong",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert_eq!(auth.directory.load().url_keys().count(), 4, "what was good stays");
    assert_ne!(auth.fingerprint(), before, "a change in this folder is seen");
}

#[test]
fn a_key_that_is_taken_away_is_gone_with_the_reload() {
    let dir = folder_with_keys();
    let auth = auth_in(dir.path());
    std::fs::remove_file(dir.path().join("cdn-keys/krsa.toml")).unwrap();
    write(dir.path(), "cdn-keys/kec.toml", "id = \"KEC\"\ntenant = \"acme\"\nenabled = false\nprivate_key = { file = \"ec.key\" }\n");
    auth.reload().unwrap();
    let directory = auth.directory.load();
    assert!(directory.url_key("KRSA").is_none() && directory.url_key("KEC").is_none());
}
