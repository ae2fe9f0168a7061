//! The `[[bucket_limit]]` tables: what a bucket may hold and what may happen in it, whosever it is.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use super::reader::{Reader, nearest, tables};
use super::value::Value;
use crate::auth::limits::Limits;
use crate::base::names::BucketName;

const MAX_LIMITS: usize = 10_000;
const KEYS: [&str; 8] =
    ["bucket", "bytes", "objects", "requests_per_second", "bytes_in_per_second", "bytes_out_per_second", "uploads", "egress_per_month"];

pub fn take(reader: &mut Reader<'_>, content: &Spanned<DeValue<'_>>) -> BTreeMap<BucketName, Limits> {
    let mut taken = BTreeMap::new();
    for (key, at, fields) in tables(reader, content, "bucket_limit", MAX_LIMITS) {
        let (mut bucket, mut limits, faults) = (None, Limits::default(), reader.faults.len());
        for (field, value) in fields {
            let (inner, name) = (format!("{key}.{}", field.get_ref()), field.get_ref().as_ref());
            let base = reader.base().to_owned();
            let value_of = Value::File { value: value.get_ref(), base: &base };
            let said = match name {
                "bucket" => value_of.parsed::<BucketName>("a bucket's name").map(|name| bucket = Some(name)),
                "bytes" => value_of.size().map(|bytes| limits.bytes = Some(bytes)),
                "objects" => value_of.number().map(|objects| limits.objects = Some(objects)),
                "requests_per_second" => value_of.number().map(|requests| limits.requests_per_second = Some(requests)),
                "bytes_in_per_second" => value_of.size().map(|bytes| limits.bytes_in_per_second = Some(bytes)),
                "bytes_out_per_second" => value_of.size().map(|bytes| limits.bytes_out_per_second = Some(bytes)),
                "uploads" => value_of.number().map(|uploads| limits.uploads = Some(uploads)),
                "egress_per_month" => value_of.size().map(|bytes| limits.egress_per_month = Some(bytes)),
                _ => Err(format!("there is no such key{}", nearest(name, KEYS.into_iter()))),
            };
            if let Err(message) = said {
                reader.fault(value.span().start, &inner, message);
            }
        }
        reader.has_all(&key, at, fields, &["bucket"]);
        if limits == Limits::default() && reader.faults.len() == faults {
            reader.fault(at, &key, format!("expected one or more of {}: it limits nothing", KEYS.split_at(1).1.join(", ")));
        }
        let Some(bucket) = bucket.filter(|_| reader.faults.len() == faults) else { continue };
        let text = bucket.to_string();
        if taken.insert(bucket, limits).is_some() {
            reader.fault(at, &format!("{key}.bucket"), format!("{text} has another [[bucket_limit]]"));
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::load::parse;
    use crate::origin::Quota;

    #[test]
    fn limits_and_their_faults() {
        let config = |text: &str| parse(Some((Path::new("g.toml"), text)), &[]);
        let text = "[[bucket_limit]]\nbucket = \"media\"\nbytes = \"1TB\"\nobjects = 5\nrequests_per_second = 7\nuploads = 3\n\
                    bytes_in_per_second = \"1MB\"\nbytes_out_per_second = \"2MB\"\negress_per_month = \"3GB\"\n\
                    [[bucket_limit]]\nbucket = \"slow\"\nrequests_per_second = 1\n";
        let taken = config(text).unwrap();
        assert_eq!(taken.store.bucket_limits["media"], Quota { bytes: Some(1_000_000_000_000), objects: Some(5) });
        assert!(!taken.store.bucket_limits.contains_key("slow"), "the store is held to nothing");
        let all = Limits {
            bytes: Some(1_000_000_000_000),
            objects: Some(5),
            requests_per_second: Some(7),
            uploads: Some(3),
            bytes_in_per_second: Some(1_000_000),
            bytes_out_per_second: Some(2_000_000),
            egress_per_month: Some(3_000_000_000),
            jobs: None,
        };
        assert_eq!(taken.auth.bucket_limits[&BucketName::parse("media").unwrap()], all);
        assert_eq!(taken.usage_settings().limited_buckets, ["media".to_owned()].into());
        let text = "[[bucket_limit]]\nbucket = \"media\"\n[[bucket_limit]]\nbytes = \"1\"\n[[bucket_limit]]\nbucket = \"a\"\nsize = 1\n\
                    [[bucket_limit]]\nbucket = \"twice\"\nobjects = 1\n[[bucket_limit]]\nbucket = \"twice\"\nobjects = 2\n";
        let found: Vec<String> = config(text).unwrap_err().iter().map(ToString::to_string).collect();
        for fault in [
            "g.toml:1: bucket_limit[0]: expected one or more of bytes, objects, requests_per_second",
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
