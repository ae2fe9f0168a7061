//! The `[[site]]` tables: which objects a host name of the edge door shows, and by which rules.

use std::collections::BTreeMap;
use std::path::Path;

use http::header::HeaderValue;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::callers;
use super::cdn;
use super::reader::{Reader, nearest};
use super::value::{Taken, Value, host_name};
use crate::auth::policy::pattern::{Pattern, Wildcards};
use crate::base::host::host_of;
use crate::base::names::BucketName;
use crate::http::edge::cache::{IMMUTABLE, Rule};
use crate::http::edge::compress;
use crate::http::edge::cors::{Cors, OriginPattern};
use crate::http::edge::site::{Site, Sites};

/// Held in memory, and read in one go.
const MAX_SITES: usize = 10_000;
/// Tried in order for an object without a wish of its own.
const MAX_RULES: usize = 100;
const MAX_ORIGINS: usize = 100;

const SITE_KEYS: [&str; 16] = [
    "host",
    "bucket",
    "prefix",
    "index",
    "cors",
    "cache",
    "compress",
    "sandbox",
    "coep",
    "cdn_verifies",
    "url",
    "token_path",
    "private",
    "cdn",
    "callers",
    "cache_tag",
];
const CORS_KEYS: [&str; 2] = ["origins", "credentials"];
const COMPRESS_KEYS: [&str; 3] = ["types", "min", "decode"];
const CACHE_KEYS: [&str; 5] = ["match", "type", "artifact", "control", "immutable"];

type Item<'v> = Spanned<DeValue<'v>>;

/// None: no `[[site]]`, the default stays.
pub fn take(reader: &mut Reader<'_>, value: &Item<'_>) -> Option<Sites> {
    let tables = tables(reader, "site", "[[site]]", MAX_SITES, value)?;
    let mut sites = Vec::new();
    // The site that has a host already; "" is any host.
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for (n, table) in tables.iter().enumerate() {
        let DeValue::Table(fields) = table.get_ref() else { continue };
        let site = site(reader, n, fields);
        let any = if site.hosts.is_empty() { vec![String::new()] } else { Vec::new() };
        for host in site.hosts.iter().cloned().chain(any) {
            let shown = if host.is_empty() { "any host".to_owned() } else { format!("{host:?}") };
            if let Some(other) = taken.insert(host, n) {
                reader.fault(table.span().start, &format!("site[{n}].host"), format!("{shown} is that of site[{other}] already"));
            }
        }
        sites.push(site);
    }
    Some(Sites::new(sites))
}

fn site(reader: &mut Reader<'_>, n: usize, fields: &DeTable<'_>) -> Site {
    let mut site = Site::default();
    for (name, value) in fields {
        let key = format!("site[{n}].{}", name.get_ref());
        let given = Value::File { value: value.get_ref(), base: Path::new("") };
        let taken = match name.get_ref().as_ref() {
            "host" => hosts(&given).map(|v| site.hosts = v),
            "bucket" => bucket(&given).map(|v| site.bucket = v),
            "prefix" => prefix(&given).map(|v| site.prefix = v),
            "index" => index(&given).map(|v| site.index = v),
            "sandbox" => given.flag().map(|v| site.sandbox = v),
            "coep" => given.flag().map(|v| site.coep = v),
            "cdn_verifies" => given.flag().map(|v| site.cdn_verifies = v),
            "url" => link_base(&given).map(|v| site.url = v),
            "token_path" => token_path(&given).map(|v| site.token_path = v),
            "private" => given.parsed("\"s3\", \"cloudfront\", \"cookie\" or \"path-token\"").map(|v| site.private = v),
            "callers" => {
                site.callers = callers::take(reader, &key, value);
                Ok(())
            }
            "cache_tag" => {
                site.cache_tag = callers::cache_tag(reader, &key, value);
                Ok(())
            }
            "cors" => {
                site.cors = cors(reader, &key, value);
                Ok(())
            }
            "compress" => {
                site.compress = compress(reader, &key, value);
                Ok(())
            }
            "cdn" => {
                site.cdn = cdn::take(reader, &key, value);
                Ok(())
            }
            "cache" => {
                site.cache = rules(reader, &key, value);
                Ok(())
            }
            unknown => Err(format!("there is no such key{}; there are {}", nearest(unknown, SITE_KEYS.into_iter()), SITE_KEYS.join(", "))),
        };
        if let Err(message) = taken {
            reader.fault(value.span().start, &key, message);
        }
    }
    if let Some((_, value)) = fields.iter().find(|(name, _)| name.get_ref() == "cache_tag" && !fields.contains_key("callers")) {
        let expected = "expected callers too: tags name tenants and are for a proven CDN only";
        reader.fault(value.span().start, &format!("site[{n}].cache_tag"), expected.into());
    }
    if site.cdn_verifies && !fields.contains_key("callers") {
        let at = fields.iter().find(|(name, _)| name.get_ref() == "cdn_verifies").map_or(0, |(_, value)| value.span().start);
        let expected = "expected callers too: who asks without the CDN would be told to keep what only a signature opens";
        reader.fault(at, &format!("site[{n}].cdn_verifies"), expected.into());
    }
    if !site.prefix.is_empty() && site.bucket.is_none() {
        let at = fields.iter().find(|(name, _)| name.get_ref() == "prefix").map_or(0, |(_, value)| value.span().start);
        reader.fault(at, &format!("site[{n}].prefix"), "expected a bucket too: a prefix alone would apply to every bucket".into());
    }
    site
}

fn hosts(value: &Value<'_>) -> Taken<Vec<String>> {
    const EXPECTED: &str = "a host name without a port, such as \"cdn.example.com\", or a list of them; \"\" or \"*\": every other host";
    let given: Vec<String> = value.list(EXPECTED)?;
    given.iter().filter(|h| *h != "*").map(|h| host_name(h, EXPECTED)).collect()
}

fn bucket(value: &Value<'_>) -> Taken<Option<BucketName>> {
    let text = value.optional_text()?;
    text.map(|t| BucketName::parse(&t).map_err(|_| format!("expected a bucket's name, found {t:?}"))).transpose()
}

fn prefix(value: &Value<'_>) -> Taken<String> {
    let text = value.text()?;
    // "public" would also show "public-drafts/x", under the path "-drafts/x".
    if text.starts_with('/') || !(text.is_empty() || text.ends_with('/')) {
        return Err(format!(
            "expected the start of a key that ends with a slash, such as \"public/\", found {text:?}: keys don't begin with a slash, and without one at the end keys with longer names would show too"
        ));
    }
    Ok(text)
}

fn index(value: &Value<'_>) -> Taken<Option<String>> {
    match value.optional_text()? {
        Some(name) if name.contains('/') => Err(format!("expected a file name such as \"index.html\", found {name:?}")),
        name => Ok(name),
    }
}

/// Without the slash that people put at its end.
pub fn link_base(value: &Value<'_>) -> Taken<Option<String>> {
    let Some(text) = value.optional_text()? else { return Ok(None) };
    let url = text.trim_end_matches('/').to_ascii_lowercase();
    match host_of(&url).is_some() {
        true => Ok(Some(url)),
        false => Err(format!("expected scheme and host, such as \"https://cdn.example.com\", found {text:?}")),
    }
}

fn token_path(value: &Value<'_>) -> Taken<String> {
    let text = value.text()?;
    let inner = text.strip_prefix('/').and_then(|t| t.strip_suffix('/'));
    let fits = |t: &str| !t.is_empty() && t.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'~' | b'/'));
    // On a site without a bucket each path begins with one.
    match inner.is_some_and(|t| fits(t) && BucketName::parse(t.split('/').next().unwrap_or(t)).is_err()) {
        true => Ok(text),
        false => Err(format!("expected a path such as \"/_t/\" whose first part can't be a bucket's name, found {text:?}")),
    }
}

fn cors(reader: &mut Reader<'_>, key: &str, value: &Item<'_>) -> Cors {
    let Some(fields) = table(reader, key, "a table such as { origins = [\"https://app.example.com\"], credentials = true }", value) else {
        return Cors::default();
    };
    let (mut origins, mut credentials) = (vec!["*".to_owned()], false);
    for (name, value) in fields {
        let key = format!("{key}.{}", name.get_ref());
        let given = Value::File { value: value.get_ref(), base: Path::new("") };
        let taken = match name.get_ref().as_ref() {
            "origins" => given.list("\"*\", an origin such as \"https://app.example.com\", or a list of them").map(|v| origins = v),
            "credentials" => given.flag().map(|v| credentials = v),
            unknown => Err(format!("there is no such key{}; there are {}", nearest(unknown, CORS_KEYS.into_iter()), CORS_KEYS.join(", "))),
        };
        if let Err(message) = taken {
            reader.fault(value.span().start, &key, message);
        }
    }
    let at = value.span().start;
    if origins.iter().any(|o| o == "*") {
        if credentials {
            reader.fault(
                at,
                &format!("{key}.credentials"),
                "expected origins that are named: with \"*\" browsers send no credentials".into(),
            );
        }
        return Cors::Anyone;
    }
    if origins.is_empty() || origins.len() > MAX_ORIGINS {
        reader.fault(at, &format!("{key}.origins"), format!("expected 1 to {MAX_ORIGINS} origins, found {}", origins.len()));
    }
    let mut named = Vec::new();
    for origin in &origins {
        match OriginPattern::parse(origin) {
            Ok(pattern) => named.push(pattern),
            Err(expected) => reader.fault(at, &format!("{key}.origins"), format!("expected {expected}, found {origin:?}")),
        }
    }
    Cors::Named { origins: named, credentials }
}

fn compress(reader: &mut Reader<'_>, key: &str, value: &Item<'_>) -> compress::Rules {
    const EXPECTED: &str = "true, false, or a table such as { types = [\"text/*\", \"model/*\"], min = \"1KiB\", decode = true }";
    let mut rules = compress::Rules::default();
    match value.get_ref() {
        DeValue::Boolean(true) => return rules,
        DeValue::Boolean(false) => return compress::Rules::off(),
        _ => {}
    }
    let Some(fields) = table(reader, key, EXPECTED, value) else { return rules };
    for (name, value) in fields {
        let given = Value::File { value: value.get_ref(), base: Path::new("") };
        let taken = match name.get_ref().as_ref() {
            "types" => types(&given).map(|v| rules.types = v),
            "min" => given.size().map(|v| rules.min = v),
            "decode" => given.flag().map(|v| rules.decode = v),
            unknown => {
                Err(format!("there is no such key{}; there are {}", nearest(unknown, COMPRESS_KEYS.into_iter()), COMPRESS_KEYS.join(", ")))
            }
        };
        if let Err(message) = taken {
            reader.fault(value.span().start, &format!("{key}.{}", name.get_ref()), message);
        }
    }
    rules
}

fn types(value: &Value<'_>) -> Taken<compress::Types> {
    const EXPECTED: &str = "a content type such as \"text/*\" or \"model/gltf+json\", or a list of them";
    let given: Vec<String> = value.list(EXPECTED)?;
    if given.len() > MAX_RULES {
        return Err(format!("expected at most {MAX_RULES}, found {}", given.len()));
    }
    let pattern = |text: &String| {
        let found = Pattern::compile(&text.to_ascii_lowercase(), Wildcards::Yes).ok().filter(|_| text.contains('/') && !text.contains('$'));
        found.ok_or_else(|| format!("expected {EXPECTED}, found {text:?}"))
    };
    given.iter().map(pattern).collect::<Taken<_>>().map(compress::Types::Listed)
}

fn rules(reader: &mut Reader<'_>, key: &str, value: &Item<'_>) -> Vec<Rule> {
    let tables = tables(reader, key, "[[site.cache]]", MAX_RULES, value).unwrap_or_default();
    let rule = |(n, table): (usize, &Item<'_>)| match table.get_ref() {
        DeValue::Table(fields) => rule(reader, &format!("{key}[{n}]"), table.span().start, fields),
        _ => None,
    };
    tables.iter().enumerate().filter_map(rule).collect()
}

fn rule(reader: &mut Reader<'_>, key: &str, at: usize, fields: &DeTable<'_>) -> Option<Rule> {
    let (mut rule, mut control, mut immutable) =
        (Rule { key: None, content_type: None, artifact: None, control: HeaderValue::from_static(IMMUTABLE) }, None, false);
    for (name, value) in fields {
        let given = Value::File { value: value.get_ref(), base: Path::new("") };
        let taken = match name.get_ref().as_ref() {
            "match" => glob(&given, |t| t).map(|v| rule.key = Some(v)),
            "type" => glob(&given, |t| t.to_ascii_lowercase()).map(|v| rule.content_type = Some(v)),
            "artifact" => artifact(&given).map(|v| rule.artifact = Some(v)),
            "control" => header(&given).map(|v| control = Some(v)),
            "immutable" => given.flag().map(|v| immutable = v),
            unknown => {
                Err(format!("there is no such key{}; there are {}", nearest(unknown, CACHE_KEYS.into_iter()), CACHE_KEYS.join(", ")))
            }
        };
        if let Err(message) = taken {
            reader.fault(value.span().start, &format!("{key}.{}", name.get_ref()), message);
            // What is wrong there has been said; it is not missing as well.
            control = control.or(Some(HeaderValue::from_static(IMMUTABLE)));
        }
    }
    match (control, immutable) {
        (Some(_), true) => {
            reader.fault(at, key, format!("expected one of control and immutable, found both: immutable means {IMMUTABLE:?}"))
        }
        (None, false) => reader.fault(at, key, "expected control = \"…\" (a Cache-Control) or immutable = true".into()),
        (Some(control), false) => rule.control = control,
        (None, true) => {}
    }
    Some(rule)
}

fn glob(value: &Value<'_>, change: fn(String) -> String) -> Taken<Pattern> {
    let text = value.text()?;
    let expected =
        |why: &str| format!("expected a pattern such as \"*/bundle/*.js\", where * is any characters and ? is one, found {text:?}{why}");
    if text.is_empty() || text.contains("${") {
        return Err(expected(""));
    }
    Pattern::compile(&change(text.clone()), Wildcards::Yes).map_err(|why| expected(&format!(": {why}")))
}

fn artifact(value: &Value<'_>) -> Taken<String> {
    let text = value.text()?;
    match text.is_empty() || text.contains('/') {
        true => Err(format!("expected an artifact type such as \"model_3d\": the third part of tenant/run/type/file, found {text:?}")),
        false => Ok(text),
    }
}

fn header(value: &Value<'_>) -> Taken<HeaderValue> {
    let text = value.text()?;
    let header = HeaderValue::try_from(&text).ok().filter(|v| v.to_str().is_ok_and(|t| !t.trim().is_empty()));
    header.ok_or_else(|| format!("expected a Cache-Control such as \"public, max-age=600\", found {text:?}"))
}

/// A list of tables, with a fault for everything in it that is none.
fn tables<'v>(reader: &mut Reader<'_>, key: &str, written: &str, max: usize, value: &'v Item<'v>) -> Option<&'v [Item<'v>]> {
    let DeValue::Array(items) = value.get_ref() else {
        reader.fault(value.span().start, key, format!("expected {written} tables"));
        return None;
    };
    if items.len() > max {
        reader.fault(value.span().start, key, format!("expected at most {max}, found {}", items.len()));
        return None;
    }
    for (n, item) in items.iter().enumerate() {
        table(reader, &format!("{key}[{n}]"), "a table", item);
    }
    Some(items)
}

fn table<'v>(reader: &mut Reader<'_>, key: &str, expected: &str, value: &'v Item<'v>) -> Option<&'v DeTable<'v>> {
    match value.get_ref() {
        DeValue::Table(fields) => Some(fields),
        _ => {
            reader.fault(value.span().start, key, format!("expected {expected}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::base::host::Host;
    use crate::config::Config;
    use crate::config::load::parse;
    use crate::http::edge::compress::{Rules, Types};
    use std::path::Path;

    fn read(text: &str) -> Result<Config, Vec<String>> {
        parse(Some((Path::new("g.toml"), text)), &[]).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_site_with_everything() {
        let text = r#"
            [[site]]
            host = ["CDN.example.com", "media.example.com"]
            bucket = "media"
            prefix = "public/"
            index = "index.html"
            cors = { origins = ["https://app.example.com", "https://*.play.example.com"], credentials = true }
            sandbox = false
            cdn_verifies = true
            callers = { networks = ["10.0.0.0/8"] }
            coep = true
            url = "https://CDN.example.com/"
            token_path = "/_open/"
            private = "path-token"
            compress = { types = ["text/*", "Model/*"], min = "2KiB", decode = false }
            [[site.cache]]
            match = "*/bundle/*"
            control = "no-cache"
            [[site.cache]]
            type = "Image/*"
            artifact = "texture"
            immutable = true
            [[site]]
            host = "*"
            compress = false
        "#;
        let sites = read(text).unwrap().doors.sites;
        let site = sites.of_host(Host::parse("media.example.com:443")).unwrap();
        assert_eq!((site.hosts[0].as_str(), site.prefix.as_str(), site.cache.len()), ("cdn.example.com", "public/", 2));
        assert!(!site.sandbox && site.coep && site.cdn_verifies && site.index.is_some());
        assert_eq!((site.url.as_deref(), site.token_path.as_str()), (Some("https://cdn.example.com"), "/_open/"));
        assert_eq!(site.private, crate::http::link::Form::PathToken);
        assert!(matches!(&site.compress, Rules { types: Types::Listed(types), min: 2048, decode: false } if types.len() == 2));
        let other = sites.of_host(Host::parse("other.example.com")).unwrap();
        assert!(other.bucket.is_none() && matches!(other.compress.types, Types::None));
    }

    #[test]
    fn every_fault_at_once() {
        let text = r#"
            [[site]]
            host = "a.test:80"
            prefix = "public"
            bucket = "No"
            hosts = "x"
            sandbox = "yes"
            cors = { origins = "*", credentials = true, origin = "" }
            [[site.cache]]
            match = "a"
            [[site.cache]]
            control = "a\nb"
            immutable = true
            typ = "x"
            [[site]]
            cors = { origins = ["https://a.test/path", "null"] }
            [[site]]
            prefix = "p/"
            index = "a/b"
            cache = 3
            url = "cdn.example.com"
            token_path = "/media/"
            private = "public"
            compress = { types = "html", mim = "1KiB", min = 5 }
            cdn_verifies = true
            coep = "require-corp"
            [[site.cach]]
        "#;
        let text = text.replace("            [[site.cach]]\n", "");
        let found = read(&text).unwrap_err();
        for expected in [
            "g.toml:3: site[0].host: expected a host name without a port",
            "g.toml:4: site[0].prefix: expected the start of a key that ends with a slash",
            "g.toml:5: site[0].bucket: expected a bucket's name, found \"No\"",
            "g.toml:6: site[0].hosts: there is no such key; did you mean host?",
            "g.toml:7: site[0].sandbox: expected true or false",
            "g.toml:8: site[0].cors.credentials: expected origins that are named",
            "g.toml:8: site[0].cors.origin: there is no such key; did you mean origins?",
            "site[0].cache[0]: expected control",
            "g.toml:12: site[0].cache[1].control: expected a Cache-Control",
            "g.toml:14: site[0].cache[1].typ: there is no such key; did you mean type?",
            "g.toml:16: site[1].cors.origins: expected an origin such as \"https://app.example.com\"",
            "site[1].host: any host is that of site[0] already",
            "g.toml:18: site[2].prefix: expected a bucket too",
            "g.toml:19: site[2].index: expected a file name",
            "g.toml:20: site[2].cache: expected [[site.cache]] tables",
            "g.toml:21: site[2].url: expected scheme and host",
            "g.toml:22: site[2].token_path: expected a path such as",
            "g.toml:23: site[2].private: expected \"s3\", \"cloudfront\"",
            "g.toml:24: site[2].compress.types: expected a content type such as",
            "g.toml:24: site[2].compress.mim: there is no such key; did you mean min?",
            "g.toml:24: site[2].compress.min: expected a size",
            "g.toml:25: site[2].cdn_verifies: expected callers too",
            "g.toml:26: site[2].coep: expected true or false",
        ] {
            assert!(found.iter().any(|f| f.contains(expected)), "{expected}\nnot in\n{}", found.join("\n"));
        }
    }

    #[test]
    fn a_thousand_sites() {
        let text: String = (0..1000).map(|n| format!("[[site]]\nhost = \"h{n}.test\"\nbucket = \"bucket-{n}\"\n")).collect();
        let sites = read(&text).unwrap().doors.sites;
        assert_eq!(sites.of_host(Host::parse("h777.test")).unwrap().bucket.as_ref().unwrap().as_str(), "bucket-777");
        assert!(sites.of_host(Host::parse("h1000.test")).is_none());
    }
}
