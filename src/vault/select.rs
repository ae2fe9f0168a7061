//! What is read out of a provider's answer: values by RFC 9535 paths, and conditions by RFC 9535 filters.
//!
//! A path is of the body (`$.data.taskId`). A condition is of the whole answer: `@.status == 200 && @.body.code != 200`, with `@.headers` by their
//! names in lower case. Pure.

use http::HeaderMap;
use serde_json::{Value, json};
use serde_json_path::JsonPath;

#[derive(Debug, Clone)]
pub struct Path(JsonPath);

#[derive(Debug, Clone)]
pub struct Condition(JsonPath);

/// An answer as paths and conditions see it.
#[derive(Debug)]
pub struct Seen(Value);

impl Seen {
    /// A body that is no JSON is null.
    pub fn new(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let headers: serde_json::Map<String, Value> =
            headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), json!(value.to_str().ok()?)))).collect();
        Seen(json!([{ "status": status, "headers": headers, "body": body }]))
    }

    fn body(&self) -> &Value {
        self.0.pointer("/0/body").unwrap_or(&Value::Null)
    }
}

impl Path {
    pub fn parse(text: &str) -> Result<Self, String> {
        JsonPath::parse(text).map(Path).map_err(|e| format!("{text:?} is no path: {e}"))
    }

    /// All that it names, without nulls.
    pub fn all<'s>(&self, seen: &'s Seen) -> Vec<&'s Value> {
        self.0.query(seen.body()).all().into_iter().filter(|value| !value.is_null()).collect()
    }

    pub fn first<'s>(&self, seen: &'s Seen) -> Option<&'s Value> {
        self.all(seen).into_iter().next()
    }

    pub fn text(&self, seen: &Seen) -> Option<String> {
        self.first(seen).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// Also of a number that is written as text.
    pub fn number(&self, seen: &Seen) -> Option<f64> {
        let value = self.first(seen)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|number| number.is_finite())
    }
}

impl Condition {
    pub fn parse(text: &str) -> Result<Self, String> {
        JsonPath::parse(&format!("$[?{text}]")).map(Condition).map_err(|e| format!("{text:?} is no condition: {e}"))
    }

    pub fn holds(&self, seen: &Seen) -> bool {
        !self.0.query(&seen.0).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_conditions() {
        let body = br#"{"code": 531, "data": {"id": "7", "list": [{"url": "a"}, {"url": null}, {"url": "b"}], "n": "2.5"}}"#;
        let mut headers = HeaderMap::new();
        headers.insert("x-left", "3".parse().unwrap());
        let seen = Seen::new(200, &headers, body);
        assert_eq!(Path::parse("$.data.id").unwrap().text(&seen).as_deref(), Some("7"));
        assert_eq!(Path::parse("$.data.n").unwrap().number(&seen), Some(2.5));
        assert_eq!(Path::parse("$.data.list[*].url").unwrap().all(&seen).len(), 2);
        assert!(Path::parse("$.none").unwrap().first(&seen).is_none());
        let holds = |text: &str| Condition::parse(text).unwrap().holds(&seen);
        assert!(holds("@.status == 200 && @.body.code != 200") && holds("@.headers['x-left'] == '3'") && holds("!@.body.error"));
        assert!(!holds("@.body.error") && !holds("@.status >= 400"));
        assert!(Condition::parse("@.status = 1").is_err() && Path::parse("data.id").is_err());
        assert!(Path::parse("$.a").unwrap().first(&Seen::new(200, &headers, b"\xffraw")).is_none());
    }
}
