//! The `[[replica]]` tables: further S3s that everything is brought to.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::{Reader, nearest, tables};
use super::remote::{self, KeysFrom, Remote};
use super::units::parse_duration;
use crate::base::names::BucketName;
use crate::ops::replicas::{Part, Settings};
use crate::upstream::Settings as UpstreamSettings;
use crate::upstream::settings::{PREFIX_EXPECTED, is_prefix};

/// Each costs every write a record, and every object a copy.
const MAX_REPLICAS: usize = 8;
const MAX_PARTS: usize = 1000;
const SCAN: Duration = Duration::from_secs(24 * 3600);
const KEYS: [&str; 8] = ["name", "bucket", "prefix", "kms_key", "storage_class", "only", "read", "scan"];

/// A replica as the file has it; its secret is read at the start.
#[derive(Debug, Clone)]
pub struct Replica {
    settings: Settings,
    keys: Option<KeysFrom>,
}

impl Replica {
    /// Err: what is wrong with its secret.
    pub fn settings(&self) -> Result<Settings, String> {
        let mut settings = self.settings.clone();
        if let Some(keys) = &self.keys {
            settings.upstream.access.keys = Some(keys.read(&format!("replica {:?}", settings.name))?);
        }
        Ok(settings)
    }
}

pub fn take(reader: &mut Reader<'_>, content: &Spanned<DeValue<'_>>) -> Vec<Replica> {
    let mut taken: Vec<Replica> = Vec::new();
    for (key, at, fields) in tables(reader, content, "replica", MAX_REPLICAS) {
        let Some(replica) = take_one(reader, &key, at, fields) else { continue };
        if taken.iter().any(|r| r.settings.name == replica.settings.name) {
            reader.fault(at, &format!("{key}.name"), format!("{:?} is the name of another [[replica]]", replica.settings.name));
        }
        taken.push(replica);
    }
    taken
}

/// None: a fault was told.
fn take_one(reader: &mut Reader<'_>, key: &str, at: usize, fields: &DeTable<'_>) -> Option<Replica> {
    let (mut upstream, mut remote, mut whole) = (UpstreamSettings { shown: false, ..UpstreamSettings::default() }, Remote::default(), true);
    let mut settings = Settings { name: String::new(), upstream: UpstreamSettings::default(), only: Vec::new(), read: false, scan: SCAN };
    for (field, value) in fields {
        let (name, place) = (field.get_ref().as_ref(), value.span().start);
        let inner = format!("{key}.{name}");
        let value = value.get_ref();
        let text = value.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        let has_text = text.is_some();
        let needs_text = |taken: bool| (!taken).then_some("a text in quotes");
        let expected = match name {
            "name" => {
                settings.name = text.unwrap_or_default();
                (!is_name(&settings.name)).then_some("a name: 1 to 32 of a-z, 0-9 and '-'")
            }
            "bucket" => {
                upstream.bucket = text.unwrap_or_default();
                BucketName::parse(&upstream.bucket)
                    .is_err()
                    .then_some("the bucket that the replica lives in: 3 to 63 of a-z, 0-9, '.' and '-'")
            }
            "prefix" => {
                upstream.base_prefix = value.as_str().unwrap_or("/").to_owned();
                (!is_prefix(&upstream.base_prefix)).then_some(PREFIX_EXPECTED.trim_start_matches("expected "))
            }
            "kms_key" => {
                upstream.kms_key = text;
                needs_text(has_text)
            }
            "storage_class" => {
                upstream.storage_class = text;
                needs_text(has_text)
            }
            "only" => {
                let parts = parts(value);
                settings.only = parts.clone().unwrap_or_default();
                parts.is_none().then_some("a list of buckets, or of parts of them, such as [\"media\", \"logs/2026/\"]")
            }
            "read" => {
                settings.read = value.as_bool().unwrap_or_default();
                value.as_bool().is_none().then_some("true or false")
            }
            "scan" => {
                let time = value.as_str().and_then(parse_duration).filter(|d| !d.is_zero());
                settings.scan = time.unwrap_or(SCAN);
                time.is_none().then_some("a time such as \"24h\" or \"7d\"")
            }
            other => match remote.take(reader, other, value) {
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
    whole &= reader.has_all(key, at, fields, &["name", "bucket"]);
    let (access, keys) = remote.finish(reader, key, at, fields)?;
    settings.upstream = UpstreamSettings { access, ..upstream };
    whole.then_some(Replica { settings, keys })
}

fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=32).contains(&text.len()) && text.chars().all(legal)
}

fn parts(value: &DeValue<'_>) -> Option<Vec<Part>> {
    let items = value.as_array().filter(|a| a.len() <= MAX_PARTS)?;
    items.iter().map(|item| part(item.get_ref().as_str()?)).collect()
}

/// `BUCKET`, or `BUCKET/PREFIX`.
fn part(text: &str) -> Option<Part> {
    let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
    Some(Part { bucket: BucketName::parse(bucket).ok()?, prefix: prefix.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::load::parse;

    fn config(text: &str) -> Result<crate::config::Config, Vec<String>> {
        parse(Some((Path::new("g.toml"), text)), &[]).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_replica() {
        let text = "[[replica]]\nname = \"west\"\nbucket = \"media-west\"\nendpoint = \"http://127.0.0.1:1\"\nregion = \"us-west-2\"\nprefix = \"copy/\"\naccess_key = \"AK\"\nsecret = { file = \"no/such\" }\nonly = [\"media\", \"logs/2026/\"]\nread = true\nscan = \"6h\"\n[[replica]]\nname = \"east\"\nbucket = \"media-east\"\nprofile = \"east\"\n";
        let replicas = config(text).unwrap().replicas;
        assert!(replicas[0].settings().unwrap_err().contains("no/such"), "{:?}", replicas[0]);
        let west = &replicas[0].settings;
        assert_eq!(
            (west.name.as_str(), west.upstream.bucket.as_str(), west.read, west.scan.as_secs()),
            ("west", "media-west", true, 21_600)
        );
        assert_eq!((west.only[1].bucket.as_str(), west.only[1].prefix.as_str()), ("logs", "2026/"));
        assert!(west.upstream.access.path_style && !west.upstream.shown && west.upstream.base_prefix == "copy/");
        let east = replicas[1].settings().unwrap();
        assert!(east.only.is_empty() && !east.read && !east.upstream.access.path_style && east.upstream.access.keys.is_none());
    }

    #[test]
    fn every_fault_is_named() {
        let text = "[[replica]]\nname = \"A b\"\nbucket = \"X\"\nprefix = \"/x\"\nendpoint = \"nowhere\"\nsecret = \"s3cret\"\nonly = [\"?\"]\nread = 1\nscan = \"0s\"\nreed = true\n[[replica]]\nname = \"x\"\naccess_key = \"AK\"\n[[replica]]\nname = \"y\"\nbucket = \"abc\"\n[[replica]]\nname = \"y\"\nbucket = \"abc\"\n";
        let found = config(text).unwrap_err();
        for start in [
            "replica[0].name: expected",
            "replica[0].bucket: expected",
            "replica[0].prefix: expected",
            "replica[0].endpoint: expected",
            "replica[0].secret: expected { env",
            "replica[0].only: expected",
            "replica[0].read: expected",
            "replica[0].scan: expected",
            "replica[0].reed: there is no such key; did you mean read?",
            "replica[0].access_key: expected access_key and secret together",
            "replica[1].bucket: is missing",
            "replica[1].access_key: expected access_key and secret together",
            "replica[3].name: \"y\" is the name of another",
        ] {
            assert!(found.iter().any(|f| f.contains(start)), "{start} not in {found:#?}");
        }
        assert!(!found.iter().any(|f| f.contains("s3cret")), "{found:?}");
    }
}
