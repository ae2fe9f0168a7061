//! The `[[site]]` tables: which objects a host name of the edge door shows.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::Reader;
use crate::base::names::BucketName;
use crate::http::gateway::Site;

/// Each request tries them in order.
const MAX_SITES: usize = 1000;

/// None: no `[[site]]`, the default stays.
pub fn take(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Vec<Site>> {
    let DeValue::Array(tables) = value.get_ref() else {
        reader.fault(value.span().start, "site", "expected [[site]] tables".into());
        return None;
    };
    if tables.len() > MAX_SITES {
        reader.fault(value.span().start, "site", format!("expected at most {MAX_SITES}, found {}", tables.len()));
        return None;
    }
    let mut sites = Vec::new();
    for (n, table) in tables.iter().enumerate() {
        match table.get_ref() {
            DeValue::Table(table) => sites.push(site(reader, n, table)),
            _ => reader.fault(table.span().start, &format!("site[{n}]"), "expected a table".into()),
        }
    }
    Some(sites)
}

fn site(reader: &mut Reader<'_>, n: usize, table: &DeTable<'_>) -> Site {
    let mut site = Site { host: None, bucket: None, prefix: String::new() };
    for (name, value) in table {
        let key = format!("site[{n}].{}", name.get_ref());
        let at = value.span().start;
        let Some(text) = value.get_ref().as_str().map(str::to_owned) else {
            reader.fault(at, &key, "expected a text in quotes".into());
            continue;
        };
        match name.get_ref().as_ref() {
            "host" => site.host = Some(text).filter(|h| !h.is_empty() && h != "*"),
            "bucket" => {
                if !text.is_empty() && BucketName::parse(&text).is_err() {
                    reader.fault(at, &key, format!("expected a bucket's name, found {text:?}"));
                }
                site.bucket = Some(text).filter(|b| !b.is_empty());
            }
            "prefix" if text.starts_with('/') => {
                reader.fault(
                    at,
                    &key,
                    format!("expected the start of a key, such as \"public/\", found {text:?}: keys don't begin with a slash"),
                );
            }
            "prefix" => site.prefix = text,
            _ => reader.fault(name.span().start, &key, "there is no such key: host, bucket and prefix are".into()),
        }
    }
    if site.prefix.is_empty() || site.bucket.is_some() {
        return site;
    }
    reader.fault(0, &format!("site[{n}].prefix"), "expected a bucket too: a prefix alone would apply to every bucket".into());
    site
}
