//! CloudFront's policy statement: which URLs, until when, from when, from where. Pure.
//!
//! Called with text whose signature was proven already: what is odd in it is its signer's mistake, and refused.
//! Limits: one statement, 4 KiB; a name that is not known is refused, since it may narrow what was meant.

use std::net::IpAddr;

use crate::auth::policy::json::Json;
use crate::auth::policy::pattern::Pattern;
use crate::base::network::Network;
use crate::base::timestamp::Timestamp;

/// CloudFront's whole URL has 8 KiB, and a policy is in it in base64.
pub const MAX_STATEMENT_BYTES: usize = 4096;
/// Seconds of the year 9999: a larger number is a mistake, such as milliseconds.
const MAX_EPOCH: f64 = 253_402_300_799.0;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// With `*` and `?`; None: every URL.
    pub resource: Option<String>,
    /// `DateLessThan`
    pub expires: Timestamp,
    /// `DateGreaterThan`
    pub starts: Option<Timestamp>,
    /// `IpAddress`; None: from anywhere.
    pub source: Option<Network>,
}

/// What the signer of a canned policy signs: nothing in it but URL and end, byte for byte in this form.
pub fn canned(url: &str, expires_epoch: u64) -> String {
    format!("{{\"Statement\":[{{\"Resource\":{},\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":{expires_epoch}}}}}}}]}}", quoted(url))
}

/// As JSON writes a string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Statement {
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > MAX_STATEMENT_BYTES {
            return Err(format!("longer than {MAX_STATEMENT_BYTES} bytes"));
        }
        let document = Json::parse(text)?;
        let [list] = fields(&document, "the policy", &["Statement"])?;
        let statement = match list {
            Some(Json::List(items)) if items.len() == 1 => items.first(),
            _ => None,
        };
        let statement = statement.ok_or("Statement must be a list of one")?;
        let [resource, condition] = fields(statement, "Statement", &["Resource", "Condition"])?;
        let resource = match resource {
            None => None,
            Some(Json::Text(url)) if !url.is_empty() => Some(url.clone()),
            Some(_) => return Err("Resource must be a URL".into()),
        };
        let condition = condition.ok_or("Condition is missing")?;
        let [until, from, source] = fields(condition, "Condition", &["DateLessThan", "DateGreaterThan", "IpAddress"])?;
        let expires = epoch(until.ok_or("DateLessThan is missing")?, "DateLessThan")?;
        let starts = from.map(|f| epoch(f, "DateGreaterThan")).transpose()?;
        Ok(Statement { resource, expires, starts, source: source.map(network).transpose()?.flatten() })
    }

    /// As CloudFront's documentation writes it: without white space, and in its order.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{\"Statement\":[{");
        if let Some(resource) = &self.resource {
            out.push_str(&format!("\"Resource\":{},", quoted(resource)));
        }
        out.push_str(&format!("\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":{}}}", self.expires.secs()));
        if let Some(source) = self.source {
            out.push_str(&format!(",\"IpAddress\":{{\"AWS:SourceIp\":\"{source}\"}}"));
        }
        if let Some(starts) = self.starts {
            out.push_str(&format!(",\"DateGreaterThan\":{{\"AWS:EpochTime\":{}}}", starts.secs()));
        }
        out.push_str("}}]}");
        out
    }

    /// `*`: any characters, slashes and question marks too; `?`: exactly one.
    pub fn covers(&self, url: &str) -> bool {
        self.resource.as_ref().is_none_or(|r| Pattern::glob(r).matches(url.into(), None))
    }

    /// Whether the signer wrote a URL to its end. A `?` stands for itself in one, and for any other character.
    pub fn is_for_one_url(&self) -> bool {
        self.resource.as_ref().is_some_and(|r| !r.contains('*'))
    }

    pub fn admits(&self, address: IpAddr) -> bool {
        self.source.is_none_or(|net| net.contains(address))
    }
}

/// The values of the known names, in their order; any other name is refused.
fn fields<'j, const N: usize>(value: &'j Json, what: &str, known: &[&str; N]) -> Result<[Option<&'j Json>; N], String> {
    let Json::Object(entries) = value else { return Err(format!("{what} must be an object, not {}", value.kind())) };
    if let Some((name, _)) = entries.iter().find(|(n, _)| !known.contains(&n.as_str())) {
        return Err(format!("{name:?} is not known in {what}"));
    }
    Ok(known.map(|k| entries.iter().find(|(n, _)| n == k).map(|(_, v)| v)))
}

fn epoch(value: &Json, what: &str) -> Result<Timestamp, String> {
    let [time] = fields(value, what, &["AWS:EpochTime"])?;
    match time {
        Some(Json::Number(n)) if n.fract() == 0.0 && (0.0..=MAX_EPOCH).contains(n) => Ok(Timestamp::from_secs(*n as u64)),
        _ => Err(format!("{what} must be {{\"AWS:EpochTime\": seconds}}")),
    }
}

/// `0.0.0.0/0` is how CloudFront's documentation says "from anywhere", so it means IPv6 as well.
fn network(value: &Json) -> Result<Option<Network>, String> {
    let [source] = fields(value, "IpAddress", &["AWS:SourceIp"])?;
    let text = source.and_then(Json::as_text).ok_or("IpAddress must be {\"AWS:SourceIp\": \"address/bits\"}")?;
    let net: Network = text.parse().map_err(|_| "AWS:SourceIp must be an address or a network such as 192.0.2.0/24")?;
    Ok(Some(net).filter(|n| !n.is_any_ipv4()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, url, expected) in [
            ("https://h/a", "https://h/a", true),
            ("https://h/a", "https://h/ab", false),
            ("https://h/a", "https://h/", false),
            ("http*://h/*", "https://h/a/b?c", true),
            ("https://h/*.glb", "https://h/x.glb.png", false),
            ("https://h/*.glb", "https://h/x.glb.glb", true),
            ("https://h/a?.png", "https://h/a1.png", true),
            ("https://h/a?.png", "https://h/a.png", false),
            ("https://h/a?x=1", "https://h/a?x=1", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("**a*b**", "xxaxxb", true),
            ("a*a*a*a*a*a*a*a*b", &"a".repeat(2000), false),
            (&format!("*{}b", "?".repeat(2000)), &"a".repeat(8000), false),
            ("https://h/${tenant}/*", "https://h/${tenant}/x", true),
        ] {
            let statement = Statement { resource: Some(pattern.to_owned()), expires: Timestamp::from_secs(1), starts: None, source: None };
            assert_eq!(statement.covers(url), expected, "{pattern:.40} {url:.40}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        let full = Statement {
            resource: Some("https://h/\"*\\".into()),
            expires: Timestamp::from_secs(200),
            starts: Some(Timestamp::from_secs(100)),
            source: Some("192.0.2.0/24".parse().unwrap()),
        };
        let bare = Statement { resource: None, starts: None, source: None, ..full.clone() };
        for statement in [full, bare] {
            assert_eq!(Statement::parse(statement.to_json().as_bytes()), Ok(statement));
        }
        assert_eq!(Statement::parse(canned("https://h/a", 7).as_bytes()).unwrap().expires, Timestamp::from_secs(7));
    }

    #[test]
    fn anywhere_and_one_address() {
        let of = |ip: &str| {
            let text = format!(
                r#"{{"Statement":[{{"Condition":{{"DateLessThan":{{"AWS:EpochTime":1}},"IpAddress":{{"AWS:SourceIp":"{ip}"}}}}}}]}}"#
            );
            Statement::parse(text.as_bytes())
        };
        let admits = |ip: &str, address: &str| of(ip).unwrap().admits(address.parse().unwrap());
        assert!(admits("0.0.0.0/0", "2001:db8::1") && admits("0.0.0.0/0", "1.2.3.4"));
        assert!(admits("192.0.2.7", "192.0.2.7") && !admits("192.0.2.7", "192.0.2.8"));
        assert!(admits("2001:db8::/32", "2001:db8::1") && !admits("2001:db8::/32", "192.0.2.7"));
        assert!(of("192.0.2").is_err() && of("192.0.2.0/33").is_err() && of("").is_err());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let until = r#""DateLessThan":{"AWS:EpochTime":9}"#;
        let long = format!(r#"{{"Statement":[{{"Resource":"{}","Condition":{{{until}}}}}]}}"#, "a".repeat(10_000));
        for text in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"Statement":[]}"#,
            &format!(r#"{{"Statement":{{"Condition":{{{until}}}}}}}"#),
            &format!(r#"{{"Statement":[{{"Condition":{{{until}}}}},{{"Condition":{{{until}}}}}]}}"#),
            &format!(r#"{{"Statement":[{{"Condition":{{{until}}}}}],"Version":"x"}}"#),
            &format!(r#"{{"Statement":[{{"Condition":{{{until}}}}}]}} x"#),
            &format!(r#"{{"Statement":[{{"Resource":"a","Resource":"*","Condition":{{{until}}}}}]}}"#),
            &format!(r#"{{"Statement":[{{"Resource":["a"],"Condition":{{{until}}}}}]}}"#),
            &format!(r#"{{"Statement":[{{"Resource":"","Condition":{{{until}}}}}]}}"#),
            &format!(r#"{{"Statement":[{{"Condition":{{{until},"StringEquals":{{}}}}}}]}}"#),
            r#"{"Statement":[{"Resource":"*","Condition":{}}]}"#,
            r#"{"Statement":[{"Resource":"*"}]}"#,
            r#"{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":"9"}}}]}"#,
            r#"{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":-1}}}]}"#,
            r#"{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":1.5}}}]}"#,
            r#"{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":1e300}}}]}"#,
            r#"{"Statement":[{"Condition":{"DateLessThan":{"aws:epochtime":9}}}]}"#,
            r#"{"Statement":[{"Condition":{"DateLessThan":9}}]}"#,
            &long,
            &"[".repeat(4000),
        ] {
            assert!(Statement::parse(text.as_bytes()).is_err(), "{}", &text[..text.len().min(200)]);
        }
    }
}
