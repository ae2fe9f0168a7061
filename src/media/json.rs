//! A JSON document as it was written: members in their order, numbers in their own digits, so that what is not understood survives.
//!
//! Strict (RFC 8259): no comments, no NaN, nothing behind the end; a member that comes twice is refused, as readers differ in which one
//! counts. Not serde_json's `Value`: the features with which that would keep order and digits hold for the whole program.
//! Limits: 128 levels, and as many bytes as there are.

use std::borrow::Cow;
use std::collections::HashSet;

/// As deep as serde_json goes.
const MAX_DEPTH: usize = 128;
/// With fewer members the names are compared one by one.
const FEW: usize = 16;

#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// In its own digits.
    Number(Box<str>),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| format!("its JSON is not UTF-8 at byte {}", e.valid_up_to()))?;
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(0)?;
        parser.space();
        if parser.at == text.len() { Ok(value) } else { Err(parser.wrong("something behind its end")) }
    }

    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        match self {
            Json::Object(members) => members.iter_mut().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// In the place of what has the name, or at the end.
    pub fn set(&mut self, name: &str, value: Json) {
        let Json::Object(members) = self else { return };
        match members.iter_mut().find(|(n, _)| n == name) {
            Some((_, there)) => *there = value,
            None => members.push((name.to_owned(), value)),
        }
    }

    pub fn remove(&mut self, name: &str) -> Option<Json> {
        let Json::Object(members) = self else { return None };
        let at = members.iter().position(|(n, _)| n == name)?;
        Some(members.remove(at).1)
    }

    /// Of an array; empty for what is none.
    pub fn items(&self) -> &[Json] {
        match self {
            Json::Array(items) => items,
            _ => &[],
        }
    }

    pub fn items_mut(&mut self) -> &mut [Json] {
        match self {
            Json::Array(items) => items,
            _ => &mut [],
        }
    }

    /// The array under the name; empty where there is none.
    pub fn list(&self, name: &str) -> &[Json] {
        self.get(name).map_or(&[], Json::items)
    }

    pub fn members(&self) -> &[(String, Json)] {
        match self {
            Json::Object(members) => members,
            _ => &[],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number that is not negative; `1.0` is one too.
    pub fn whole(&self) -> Option<u64> {
        let Json::Number(digits) = self else { return None };
        digits.parse().ok().or_else(|| {
            let float: f64 = digits.parse().ok()?;
            (float.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&float)).then_some(float as u64)
        })
    }

    pub fn float(&self) -> Option<f64> {
        match self {
            Json::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    pub fn number(value: impl Into<u64>) -> Json {
        Json::Number(value.into().to_string().into())
    }

    pub fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Json::Number(digits) => out.push_str(digits),
            Json::Text(text) => write_text(text, out),
            Json::Array(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (n, (name, value)) in members.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn wrong(&self, what: &str) -> String {
        format!("its JSON has {what}, at byte {}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("more than 128 levels"));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(|text| Json::Text(text.into_owned())),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.digits(),
            Some(_) => Err(self.wrong("something that begins no value")),
            None => Err(self.wrong("an end where a value belongs")),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, String> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong("a word that is none of JSON's"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.wrong("an array that neither goes on nor ends")),
            }
        }
        self.at += 1;
        Ok(Json::Array(items))
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut members: Vec<(String, Json)> = Vec::new();
        let mut names = HashSet::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a member without a name"));
            }
            let name = self.string()?.into_owned();
            let twice = match members.len() {
                0..FEW => members.iter().any(|(n, _)| *n == name),
                FEW => {
                    names.extend(members.iter().map(|(n, _)| n.clone()));
                    !names.insert(name.clone())
                }
                _ => !names.insert(name.clone()),
            };
            if twice {
                return Err(self.wrong("a name twice in one object"));
            }
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.wrong("a name without a value"));
            }
            self.at += 1;
            members.push((name, self.value(depth + 1)?));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.wrong("an object that neither goes on nor ends")),
            }
        }
        self.at += 1;
        Ok(Json::Object(members))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, String> {
        let from = self.at;
        let bytes = self.text.as_bytes();
        let mut at = from + 1;
        let mut escaped = false;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(0x20..) => at += 1,
                _ => return Err(self.wrong("a text without an end")),
            }
        }
        self.at = at + 1;
        let quoted = self.text.get(from..self.at).ok_or_else(|| self.wrong("a broken escape"))?;
        if !escaped {
            return Ok(Cow::Borrowed(&quoted[1..quoted.len() - 1]));
        }
        serde_json::from_str(quoted).map(Cow::Owned).map_err(|_| self.wrong("a broken escape"))
    }

    fn digits(&mut self) -> Result<Json, String> {
        let from = self.at;
        let bytes = self.text.as_bytes();
        let run = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut at = from + usize::from(bytes.get(from) == Some(&b'-'));
        let begin = at;
        at = run(at);
        let leads_with_zero = bytes.get(begin) == Some(&b'0') && at > begin + 1;
        let mut whole = at > begin && !leads_with_zero;
        if bytes.get(at) == Some(&b'.') {
            let end = run(at + 1);
            whole &= end > at + 1;
            at = end;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let end = run(at);
            whole &= end > at;
            at = end;
        }
        if !whole {
            return Err(self.wrong("a number that is none"));
        }
        self.at = at;
        Ok(Json::Number(self.text[from..at].into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> String {
        let mut out = String::new();
        Json::parse(text.as_bytes()).unwrap().write(&mut out);
        out
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        for text in [
            r#"{"z":1,"a":[1.0,-0,1e+10,0.1000000000000000055,12345678901234567890123],"é":"\u0001\"\\","t":true,"n":null}"#,
            "[]",
            "{}",
            "\"\"",
            "-12.5E-3",
        ] {
            assert_eq!(again(text), text);
        }
        assert_eq!(again(" { \"a\" : [ 1 , 2 ] } \n"), r#"{"a":[1,2]}"#);
        assert_eq!(Json::parse(br#""\ud83d\ude00\/""#).unwrap(), Json::Text("\u{1f600}/".into()));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(200);
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "1e",
            "+1",
            "-",
            "NaN",
            "nul",
            "'a'",
            "\"a",
            "\"\u{1}\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "1 2",
            "// a\n1",
            "{\"a\":1,\"a\":2}",
            &deep,
            "\"\\",
        ] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
        let many: String = (0..40).map(|n| format!("\"k{n}\":{n},")).collect();
        assert!(Json::parse(format!("{{{many}\"x\":1}}").as_bytes()).is_ok());
        assert!(Json::parse(format!("{{{many}\"k7\":1}}").as_bytes()).is_err());
        assert!(Json::parse(format!("{{{many}\"k39\":1}}").as_bytes()).is_err());
    }

    #[test]
    fn numbers_are_whole_or_not() {
        let whole = |text: &str| Json::parse(text.as_bytes()).unwrap().whole();
        assert_eq!((whole("7"), whole("7.0"), whole("7.5"), whole("-1"), whole("1e3")), (Some(7), Some(7), None, None, Some(1000)));
    }
}
