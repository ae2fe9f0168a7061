//! What a table says of an S3: where it is, and in whose name it is asked. Shared by `[[replica]]` and `[[shadow]]`.

use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::reader::Reader;
use crate::upstream::client::{Access, Keys};

/// The keys that are taken here.
pub const KEYS: [&str; 6] = ["endpoint", "region", "path_style", "profile", "access_key", "secret"];

/// What was read of a table so far.
#[derive(Debug, Default)]
pub struct Remote {
    access: Access,
    path_style: Option<bool>,
    access_key: Option<String>,
    secret: Option<SecretFrom>,
}

/// Keys whose secret is read at the start.
#[derive(Debug, Clone)]
pub struct KeysFrom {
    access_key: String,
    secret: SecretFrom,
}

#[derive(Debug, Clone)]
pub enum SecretFrom {
    Environment(String),
    File(PathBuf),
}

impl SecretFrom {
    /// Err: what is wrong with it. `whose`: such as `replica "west"`.
    pub fn read(&self, whose: &str) -> Result<String, String> {
        let (place, text) = match self {
            SecretFrom::Environment(name) => (format!("the environment variable {name}"), std::env::var(name).map_err(|e| e.to_string())),
            SecretFrom::File(path) => (path.display().to_string(), std::fs::read_to_string(path).map_err(|e| e.to_string())),
        };
        let text = text.map_err(|e| format!("{place}, the secret of the {whose}: {e}"))?;
        let secret = text.trim_end_matches(['\r', '\n']).to_owned();
        if secret.is_empty() {
            return Err(format!("{place} is empty; it should hold the secret of the {whose}"));
        }
        Ok(secret)
    }
}

impl KeysFrom {
    pub fn read(&self, whose: &str) -> Result<Keys, String> {
        Ok(Keys { access_key: self.access_key.clone(), secret: self.secret.read(whose)?, session_token: None })
    }
}

impl Remote {
    /// Err: what was expected. None: it is none of these keys.
    pub fn take(&mut self, reader: &Reader<'_>, name: &str, value: &DeValue<'_>) -> Option<Result<(), &'static str>> {
        let text = value.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        let in_quotes = if text.is_some() { Ok(()) } else { Err("a text in quotes") };
        Some(match name {
            "endpoint" => {
                self.access.endpoint = text.filter(|e| e.starts_with("http://") || e.starts_with("https://"));
                self.access.endpoint.as_ref().map(drop).ok_or("an address that begins with http:// or https://")
            }
            "region" => {
                self.access.region = text;
                in_quotes
            }
            "path_style" => {
                self.path_style = value.as_bool();
                self.path_style.map(drop).ok_or("true or false")
            }
            "profile" => {
                self.access.profile = text;
                in_quotes
            }
            "access_key" => {
                self.access_key = text;
                in_quotes
            }
            "secret" => {
                self.secret = secret_from(reader, value);
                // Never the secret itself: this file is shared and kept in repositories.
                self.secret.as_ref().map(drop).ok_or("{ env = \"NAME\" } or { file = \"path\" }")
            }
            _ => return None,
        })
    }

    /// Once all fields were taken. None: a fault was told.
    pub fn finish(self, reader: &mut Reader<'_>, key: &str, at: usize, fields: &DeTable<'_>) -> Option<(Access, Option<KeysFrom>)> {
        let has = |name: &str| fields.iter().any(|(field, _)| field.get_ref() == name);
        if has("access_key") != has("secret") {
            reader.fault(at, &format!("{key}.access_key"), "expected access_key and secret together".into());
            return None;
        }
        let path_style = self.path_style.unwrap_or(self.access.endpoint.is_some());
        let keys = self.access_key.zip(self.secret).map(|(access_key, secret)| KeysFrom { access_key, secret });
        Some((Access { path_style, ..self.access }, keys))
    }
}

pub fn secret_from(reader: &Reader<'_>, value: &DeValue<'_>) -> Option<SecretFrom> {
    let (name, text) = value.as_table().filter(|t| t.len() == 1)?.iter().next()?;
    let text = text.get_ref().as_str().filter(|t| !t.is_empty())?;
    match name.get_ref().as_ref() {
        "env" => Some(SecretFrom::Environment(text.to_owned())),
        "file" => Some(SecretFrom::File(reader.base().join(text))),
        _ => None,
    }
}
