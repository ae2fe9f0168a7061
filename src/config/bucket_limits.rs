//! The `[[bucket_limit]]` tables: what a bucket may hold, whosever it is. For the embedded store.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use super::reader::{Reader, nearest, tables};
use super::value::Value;
use crate::base::names::BucketName;
use crate::origin::Quota;

const MAX_LIMITS: usize = 10_000;
const KEYS: [&str; 3] = ["bucket", "bytes", "objects"];

pub fn take(reader: &mut Reader<'_>, content: &Spanned<DeValue<'_>>) -> BTreeMap<String, Quota> {
    let mut taken = BTreeMap::new();
    for (key, at, fields) in tables(reader, content, "bucket_limit", MAX_LIMITS) {
        let (mut bucket, mut limit, faults) = (None, Quota::default(), reader.faults.len());
        for (field, value) in fields {
            let (inner, name) = (format!("{key}.{}", field.get_ref()), field.get_ref().as_ref());
            let base = reader.base().to_owned();
            let value_of = Value::File { value: value.get_ref(), base: &base };
            let said = match name {
                "bucket" => value_of.parsed::<BucketName>("a bucket's name").map(|name| bucket = Some(name)),
                "bytes" => value_of.size().map(|bytes| limit.bytes = Some(bytes)),
                "objects" => value_of.number().map(|objects| limit.objects = Some(objects)),
                _ => Err(format!("there is no such key{}", nearest(name, KEYS.into_iter()))),
            };
            if let Err(message) = said {
                reader.fault(value.span().start, &inner, message);
            }
        }
        reader.has_all(&key, at, fields, &["bucket"]);
        if !limit.is_some() && reader.faults.len() == faults {
            reader.fault(at, &key, "expected bytes, objects or both: it limits nothing".into());
        }
        let Some(bucket) = bucket.filter(|_| reader.faults.len() == faults) else { continue };
        if taken.insert(bucket.to_string(), limit).is_some() {
            reader.fault(at, &format!("{key}.bucket"), format!("{bucket} has another [[bucket_limit]]"));
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::load::parse;

    #[test]
    fn limits_and_their_faults() {
        let config = |text: &str| parse(Some((Path::new("g.toml"), text)), &[]);
        let limits = config("[[bucket_limit]]\nbucket = \"media\"\nbytes = \"1TB\"\nobjects = 5\n").unwrap().store.bucket_limits;
        assert_eq!(limits["media"], Quota { bytes: Some(1_000_000_000_000), objects: Some(5) });
        let text = "[[bucket_limit]]\nbucket = \"media\"\n[[bucket_limit]]\nbytes = \"1\"\n[[bucket_limit]]\nbucket = \"a\"\nsize = 1\n\
                    [[bucket_limit]]\nbucket = \"twice\"\nobjects = 1\n[[bucket_limit]]\nbucket = \"twice\"\nobjects = 2\n";
        let found: Vec<String> = config(text).unwrap_err().iter().map(ToString::to_string).collect();
        for fault in [
            "g.toml:1: bucket_limit[0]: expected bytes, objects or both",
            "g.toml:4: bucket_limit[1].bytes: expected a size",
            "g.toml:3: bucket_limit[1].bucket: is missing",
            "g.toml:6: bucket_limit[2].bucket: expected a bucket's name",
            "g.toml:7: bucket_limit[2].size: there is no such key",
            "g.toml:11: bucket_limit[4].bucket: twice has another",
        ] {
            assert!(found.iter().any(|f| f.starts_with(fault)), "{fault}\nnot in\n{}", found.join("\n"));
        }
    }
}
