//! `cdn = { kind = "cloudfront", distribution = "E…", delay = "5s" }` of a `[[site]]`.

use toml::Spanned;
use toml::de::DeValue;

use super::reader::Reader;
use super::units::parse_duration;
use crate::cdn::Distribution;

/// None: a fault was told.
pub fn take(reader: &mut Reader<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Distribution> {
    let at = value.span().start;
    let DeValue::Table(table) = value.get_ref() else {
        reader.fault(at, key, "expected { kind = \"cloudfront\", distribution = \"E…\" }".into());
        return None;
    };
    let (mut kind, mut id, mut delay) = (None, None, Some(Distribution::DELAY));
    for (name, value) in table {
        let (inner, at) = (format!("{key}.{}", name.get_ref()), value.span().start);
        let text = value.get_ref().as_str().unwrap_or_default();
        let expected = match name.get_ref().as_ref() {
            "kind" => {
                kind = Some(text).filter(|k| *k == "cloudfront");
                kind.is_none().then_some("\"cloudfront\"")
            }
            "distribution" => {
                // CloudFront's own form. It becomes part of a path.
                let sound = (8..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
                id = Some(text.to_owned()).filter(|_| sound);
                id.is_none().then_some("the id of a distribution, such as \"E2EXAMPLE1AB2C\"")
            }
            "delay" => {
                delay = parse_duration(text);
                delay.is_none().then_some("a time such as \"5s\" or \"0s\"")
            }
            _ => {
                reader.fault(name.span().start, &inner, "there is no such key: kind, distribution and delay are".into());
                continue;
            }
        };
        if let Some(expected) = expected {
            reader.fault(at, &inner, format!("expected {expected}, found {text:?}"));
        }
    }
    if !["kind", "distribution"].iter().all(|needed| table.iter().any(|(name, _)| name.get_ref() == needed)) {
        reader.fault(at, key, "expected kind and distribution".into());
    }
    kind.and(Some(Distribution { id: id?, delay: delay? }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::load::parse;

    #[test]
    fn a_site_with_a_cdn() {
        let text = "[[site]]\nbucket = \"media\"\ncdn = { kind = \"cloudfront\", distribution = \"E2EXAMPLE1AB2C\", delay = \"250ms\" }\n";
        let config = parse(Some((Path::new("g.toml"), text)), &[]).unwrap();
        let cdn = config.doors.sites.list()[0].cdn.clone().unwrap();
        assert_eq!((cdn.id.as_str(), cdn.delay.as_millis()), ("E2EXAMPLE1AB2C", 250));
    }

    #[test]
    fn every_fault_is_named() {
        let text = "[cdn]\nendpoint = \"nowhere\"\n[[site]]\ncdn = { kind = \"other\", distribution = \"../x\", delay = \"soon\", more = 1 }\n[[site]]\ncdn = \"E1\"\n";
        let found: Vec<String> = parse(Some((Path::new("g.toml"), text)), &[]).unwrap_err().iter().map(ToString::to_string).collect();
        for start in [
            "cdn.endpoint: expected an address",
            "site[0].cdn.kind: expected",
            "site[0].cdn.distribution: expected",
            "site[0].cdn.delay: expected",
            "site[0].cdn.more: there is no such key",
            "site[1].cdn: expected {",
        ] {
            assert!(found.iter().any(|f| f.contains(start)), "{start} not in {found:?}");
        }
    }
}
