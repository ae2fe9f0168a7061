//! The `[[shadow]]` tables: old stores that buckets grew out of.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::{Reader, nearest, tables};
use super::remote::{self, KeysFrom, Remote};
use crate::base::names::BucketName;
use crate::ops::shadow::Settings;
use crate::upstream::Settings as UpstreamSettings;
use crate::upstream::old::Settings as OldSettings;
use crate::upstream::settings::{PREFIX_EXPECTED, is_prefix};

/// Looked through on each request.
const MAX_SHADOWS: usize = 32;
const KEYS: [&str; 3] = ["name", "bucket", "prefix"];

/// A bucket's old store as the file has it; its secret is read at the start.
#[derive(Debug, Clone)]
pub struct Shadow {
    settings: Settings,
    keys: Option<KeysFrom>,
}

impl Shadow {
    /// It would be its own old store.
    pub fn is_upstream(&self, upstream: &UpstreamSettings) -> bool {
        let old = &self.settings.old;
        let home = format!("{}{}", upstream.base_prefix, upstream.prefix);
        let adopted = upstream.adopted.iter().map(|a| (&a.bucket, &a.prefix));
        let mut shown = adopted.chain([(&upstream.bucket, &home)]);
        old.access.endpoint == upstream.access.endpoint && shown.any(|place| place == (&old.bucket, &old.prefix))
    }

    /// Err: what is wrong with its secret.
    pub fn settings(&self) -> Result<Settings, String> {
        let mut settings = self.settings.clone();
        if let Some(keys) = &self.keys {
            settings.old.access.keys = Some(keys.read(&format!("old store of {:?}", settings.bucket.as_str()))?);
        }
        Ok(settings)
    }
}

pub fn take(reader: &mut Reader<'_>, content: &Spanned<DeValue<'_>>) -> Vec<Shadow> {
    let mut taken: Vec<Shadow> = Vec::new();
    for (key, at, fields) in tables(reader, content, "shadow", MAX_SHADOWS) {
        let Some(shadow) = take_one(reader, &key, at, fields) else { continue };
        if taken.iter().any(|s| s.settings.bucket == shadow.settings.bucket) {
            let name = shadow.settings.bucket.as_str();
            reader.fault(at, &format!("{key}.name"), format!("{name:?} has another [[shadow]] already"));
        }
        taken.push(shadow);
    }
    taken
}

/// None: a fault was told.
fn take_one(reader: &mut Reader<'_>, key: &str, at: usize, fields: &DeTable<'_>) -> Option<Shadow> {
    let (mut name, mut bucket, mut prefix, mut remote) = (None, None, Some(String::new()), Remote::default());
    let mut whole = true;
    for (field, value) in fields {
        let (inner, place) = (format!("{key}.{}", field.get_ref()), value.span().start);
        let text = value.get_ref().as_str().unwrap_or_default();
        let expected = match field.get_ref().as_ref() {
            "name" => {
                name = BucketName::parse(text).ok();
                name.is_none().then_some("the name of the gateway's bucket: 3 to 63 of a-z, 0-9, '.' and '-'")
            }
            "bucket" => {
                bucket = Some(text.to_owned()).filter(|t| !t.is_empty() && t.len() <= 255 && !t.contains(['/', '\0']));
                bucket.is_none().then_some("the name of the bucket that it grew out of")
            }
            "prefix" => {
                prefix = value.get_ref().as_str().filter(|t| is_prefix(t)).map(str::to_owned);
                prefix.is_none().then_some(PREFIX_EXPECTED.trim_start_matches("expected "))
            }
            other => match remote.take(reader, other, value.get_ref()) {
                Some(taken) => taken.err(),
                None => {
                    let hint = nearest(other, KEYS.into_iter().chain(remote::KEYS));
                    reader.fault(field.span().start, &inner, format!("there is no such key{hint}"));
                    continue;
                }
            },
        };
        if let Some(expected) = expected {
            reader.fault(place, &inner, format!("expected {expected}"));
            whole = false;
        }
    }
    for needed in ["name", "bucket"] {
        if !fields.iter().any(|(field, _)| field.get_ref() == needed) {
            reader.fault(at, &format!("{key}.{needed}"), "is missing".into());
        }
    }
    let (access, keys) = remote.finish(reader, key, at, fields)?;
    let old = OldSettings { access, bucket: bucket?, prefix: prefix? };
    let settings = Settings { bucket: name?, old };
    whole.then_some(Shadow { settings, keys })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::load::parse;

    fn config(text: &str) -> Result<crate::config::Config, Vec<String>> {
        parse(Some((Path::new("g.toml"), text)), &[]).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_old_store() {
        let text = "[[shadow]]\nname = \"media\"\nbucket = \"Old_Media\"\nendpoint = \"http://127.0.0.1:1\"\nregion = \"eu-west-1\"\nprefix = \"www/\"\naccess_key = \"AK\"\nsecret = { file = \"no/such\" }\n[[shadow]]\nname = \"logs\"\nbucket = \"logs\"\nprofile = \"old\"\n";
        let config = config(text).unwrap();
        assert!(config.shadow_settings().unwrap_err()[0].contains("no/such"));
        let media = &config.shadows[0].settings;
        assert_eq!((media.bucket.as_str(), media.old.bucket.as_str(), media.old.prefix.as_str()), ("media", "Old_Media", "www/"));
        assert!(media.old.access.path_style);
        let logs = config.shadows[1].settings().unwrap();
        assert!(!logs.old.access.path_style && logs.old.access.keys.is_none() && logs.old.prefix.is_empty());
    }

    #[test]
    fn none_is_its_own_old_store() {
        let upstream = "[upstream]\nbucket = \"home\"\nendpoint = \"http://127.0.0.1:1\"\n";
        let shadow =
            |bucket: &str| format!("{upstream}[[shadow]]\nname = \"media\"\nbucket = \"{bucket}\"\nendpoint = \"http://127.0.0.1:1\"\n");
        assert!(config(&shadow("old")).is_ok());
        assert!(config(&shadow("home")).unwrap_err()[0].contains("shadow.bucket"));
    }

    #[test]
    fn every_fault_is_named() {
        let text = "[[shadow]]\nname = \"A b\"\nbucket = \"\"\nprefix = \"x\"\nendpoint = \"nowhere\"\nsecret = \"s3cret\"\nbuket = 1\n[[shadow]]\nname = \"abc\"\naccess_key = \"AK\"\n[[shadow]]\nname = \"abc\"\nbucket = \"x\"\n[[shadow]]\nname = \"abc\"\nbucket = \"y\"\n";
        let found = config(text).unwrap_err();
        for start in [
            "shadow[0].name: expected",
            "shadow[0].bucket: expected",
            "shadow[0].prefix: expected",
            "shadow[0].endpoint: expected",
            "shadow[0].secret: expected { env",
            "shadow[0].buket: there is no such key; did you mean bucket?",
            "shadow[0].access_key: expected access_key and secret together",
            "shadow[1].bucket: is missing",
            "shadow[1].access_key: expected access_key and secret together",
            "shadow[3].name: \"abc\" has another [[shadow]] already",
        ] {
            assert!(found.iter().any(|f| f.contains(start)), "{start} not in {found:#?}");
        }
        assert!(!found.iter().any(|f| f.contains("s3cret")), "{found:?}");
    }
}
