//! `callers` and `cache_tag` of a `[[site]]`: how its CDN proves itself, and the header of its cache tags.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::Reader;
use crate::auth::live_secrets::{MAX_SECRETS, Secrets, Source};
use crate::http::edge::callers::{Callers, Certificate, SecretHeader};

/// A list of networks or names longer than this belongs into a firewall.
const MAX_LIST: usize = 1000;

/// `key` is `site[0].callers`.
pub fn take(reader: &mut Reader<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Callers {
    let mut callers = Callers::default();
    let at = value.span().start;
    let DeValue::Table(table) = value.get_ref() else {
        reader.fault(at, key, "expected a table such as { header = \"x-origin-verify\", secrets = [{ env = \"NAME\" }] }".into());
        return callers;
    };
    for (name, value) in table {
        let own = format!("{key}.{}", name.get_ref());
        match name.get_ref().as_ref() {
            "header" | "secrets" => {}
            "networks" => callers.networks = list(reader, &own, value, "a network such as \"10.0.0.0/8\""),
            "mtls" => match value.get_ref().as_bool() {
                Some(true) => callers.certificate = Some(callers.certificate.take().unwrap_or_default()),
                Some(false) => {}
                None => reader.fault(value.span().start, &own, "expected true or false".into()),
            },
            "names" => {
                let names = list(reader, &own, value, "a name in the client's certificate, such as \"cdn.example.com\"");
                if table.get("mtls").and_then(|m| m.get_ref().as_bool()) != Some(true) {
                    reader.fault(
                        value.span().start,
                        &own,
                        "expected mtls = true beside it: names are those of a client's certificate".into(),
                    );
                }
                callers.certificate = Some(Certificate { names });
            }
            _ => reader.fault(name.span().start, &own, "there is no such key: header, secrets, networks, mtls and names are".into()),
        }
    }
    callers.header = secret_header(reader, key, at, table);
    if callers.anyone() && !table.contains_key("header") && !table.contains_key("secrets") {
        reader.fault(at, key, "expected a proof: header and secrets, networks, or mtls = true; leave callers out to serve anyone".into());
    }
    if callers.certificate.is_some() {
        reader.needs_mutual_tls(at, key);
    }
    callers
}

fn secret_header(reader: &mut Reader<'_>, key: &str, at: usize, table: &DeTable<'_>) -> Option<SecretHeader> {
    let (name, secrets) = match (table.get("header"), table.get("secrets")) {
        (Some(name), Some(secrets)) => (name, secrets),
        (None, None) => return None,
        _ => {
            reader.fault(at, key, "expected header and secrets together".into());
            return None;
        }
    };
    let header = header_name(reader, &format!("{key}.header"), name, SecretHeader::refusal);
    let sources = self::secrets(reader, &format!("{key}.secrets"), secrets);
    Some(SecretHeader { name: header?, secrets: Arc::new(Secrets::new(sources?)) })
}

/// Where the values of a secret stand. None: a fault was told.
pub fn secrets(reader: &mut Reader<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<Source>> {
    match value.get_ref() {
        DeValue::Array(items) if (1..=MAX_SECRETS).contains(&items.len()) => {
            let taken: Vec<_> = items.iter().enumerate().map(|(n, item)| source(reader, &format!("{key}[{n}]"), item)).collect();
            taken.into_iter().collect()
        }
        _ => {
            let expected =
                "expected a list of one or two (the value in use and the next one), such as [{ env = \"NAME\" }, { file = \"path\" }]";
            reader.fault(value.span().start, key, expected.into());
            None
        }
    }
}

fn source(reader: &mut Reader<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Source> {
    let only = value.get_ref().as_table().filter(|t| t.len() == 1).and_then(|t| t.iter().next());
    let text = only.and_then(|(name, value)| Some((name.get_ref().as_ref(), value.get_ref().as_str().filter(|t| !t.is_empty())?)));
    match text {
        Some(("env", name)) => Some(Source::Environment(name.to_owned())),
        Some(("file", path)) => Some(Source::File(reader.base().join(path))),
        // Never the secret itself: this file is shared and kept in repositories.
        _ => {
            reader.fault(value.span().start, key, "expected { env = \"NAME\" } or { file = \"path\" }".into());
            None
        }
    }
}

/// The name of the header that carries cache tags.
pub fn cache_tag(reader: &mut Reader<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<HeaderName> {
    header_name(reader, key, value, |name| {
        let own = ["cache-tag", "edge-cache-tag"].contains(&name.to_ascii_lowercase().as_str());
        let free = own || name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("x-"));
        (!free || HeaderName::try_from(name).is_err())
            .then_some("a header for tags: \"Cache-Tag\", \"Edge-Cache-Tag\" or one that begins with X-")
    })
}

fn header_name(
    reader: &mut Reader<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    refusal: impl Fn(&str) -> Option<&'static str>,
) -> Option<HeaderName> {
    let text = value.get_ref().as_str().unwrap_or_default();
    match (refusal(text), HeaderName::try_from(text.to_ascii_lowercase())) {
        (None, Ok(name)) => Some(name),
        (expected, _) => {
            reader.fault(value.span().start, key, format!("expected {}, found {text:?}", expected.unwrap_or("a header's name")));
            None
        }
    }
}

fn list<T: FromStr + Display>(reader: &mut Reader<'_>, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> Vec<T> {
    let items = match value.get_ref() {
        DeValue::Array(items) if (1..=MAX_LIST).contains(&items.len()) => items,
        _ => {
            reader.fault(value.span().start, key, format!("expected a list of 1 to {MAX_LIST}: {expected}"));
            return Vec::new();
        }
    };
    let mut taken = Vec::new();
    for (n, item) in items.iter().enumerate() {
        match item.get_ref().as_str().filter(|t| !t.is_empty()).and_then(|t| t.parse().ok()) {
            Some(one) => taken.push(one),
            None => reader.fault(item.span().start, &format!("{key}[{n}]"), format!("expected {expected}")),
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::load::parse;

    fn faults(text: &str) -> Vec<String> {
        match parse(Some((Path::new("conf/g.toml"), text)), &[]) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn all_proofs_of_a_site() {
        let text = "[edge]\nmtls_listen = \"127.0.0.1:0\"\n[tls]\nclient_ca = \"certs/ca.pem\"\n[[site]]\ncache_tag = \"Cache-Tag\"\n\
                    callers = { header = \"X-Origin-Verify\", secrets = [{ env = \"A\" }, { file = \"s\" }], networks = [\"10.0.0.0/8\", \"fd00::/8\"], \
                    mtls = true, names = [\"cdn.test\"] }\n";
        let config = parse(Some((Path::new("conf/g.toml"), text)), &[]).unwrap();
        let site = &config.doors.sites.list()[0];
        let header = site.callers.header.as_ref().unwrap();
        assert_eq!(header.name, "x-origin-verify");
        assert_eq!(header.secrets.files().collect::<Vec<_>>(), [Path::new("conf/s")]);
        assert_eq!(site.callers.networks.len(), 2);
        assert_eq!(site.callers.certificate.as_ref().unwrap().names, ["cdn.test"]);
        assert_eq!(site.cache_tag.as_ref().unwrap(), "cache-tag");
        assert_eq!(config.client_authorities.as_deref(), Some(Path::new("conf/certs/ca.pem")));
    }

    #[test]
    fn each_fault_with_its_place() {
        let site = |text: &str| faults(&format!("[[site]]\n{text}\n"));
        for (text, key, expected) in [
            ("callers = 1", "site[0].callers", "expected a table"),
            ("callers = {}", "site[0].callers", "expected a proof"),
            ("callers = { mtls = false }", "site[0].callers", "expected a proof"),
            ("callers = { hedaer = \"x-a\" }", "site[0].callers.hedaer", "there is no such key"),
            ("callers = { header = \"x-a\" }", "site[0].callers", "expected header and secrets together"),
            (
                "callers = { header = \"X-Amz-A\", secrets = [{ env = \"A\" }] }",
                "site[0].callers.header",
                "expected a header that CloudFront can add",
            ),
            ("callers = { header = \"x-a\", secrets = [] }", "site[0].callers.secrets", "expected a list of one or two"),
            ("callers = { header = \"x-a\", secrets = [{ value = \"s3cret\" }] }", "site[0].callers.secrets[0]", "expected { env"),
            ("callers = { networks = [\"10.0.0.0\", \"x\"] }", "site[0].callers.networks[1]", "expected a network"),
            ("callers = { networks = [] }", "site[0].callers.networks", "expected a list"),
            ("callers = { names = [\"a\"] }", "site[0].callers.names", "expected mtls = true"),
            ("callers = { mtls = true }", "site[0].callers", "expected an address in edge.mtls_listen"),
            ("cache_tag = \"ETag\"\ncallers = { networks = [\"10.0.0.0/8\"] }", "site[0].cache_tag", "expected a header for tags"),
            ("cache_tag = \"Cache-Tag\"", "site[0].cache_tag", "expected callers too"),
        ] {
            let found = site(text);
            assert!(found.iter().any(|f| f.contains(&format!("{key}: {expected}"))), "{text}: {found:?}");
            assert!(!found.iter().any(|f| f.contains("s3cret")), "{found:?}");
        }
    }

    #[test]
    fn mutual_tls_needs_both_ends() {
        let found = faults("[edge]\nmtls_listen = \"127.0.0.1:0\"\n");
        assert!(found.iter().any(|f| f.contains("tls.client_ca: expected")), "{found:?}");
    }
}
