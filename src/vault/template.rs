//! What is sent to a provider, with places for values: filled in the JSON tree and never in its text, so that no value becomes structure.
//!
//! `{name}` alone in a string stands for the value itself, of whatever kind; within a string for its text. `{name?}` is left out with its field
//! where there is no such value. A form follows a colon: `text` (a number as text), `ms` (seconds as milliseconds), `int`, `path` (in an
//! address: slashes stay). `{{` is a brace. In an address every value is percent-encoded, unless it is all of the address.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Number, Value};

pub type Values = Map<String, Value>;

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const ENCODED_PATH: &AsciiSet = &ENCODED.remove(b'/').remove(b':');

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    AsIs,
    Text,
    Millis,
    Int,
    Path,
}

#[derive(Debug, Clone)]
struct Slot {
    name: String,
    form: Form,
    optional: bool,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Slot(Slot),
}

/// A value with places in it.
#[derive(Debug, Clone)]
enum Node {
    Fixed(Value),
    Slot(Slot),
    Text(Vec<Piece>),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

#[derive(Debug, Clone)]
pub struct Tree(Node);

/// An address, a header's value: text alone.
#[derive(Debug, Clone)]
pub struct Text(Vec<Piece>);

impl Tree {
    pub fn parse(value: &Value) -> Result<Self, String> {
        node(value).map(Tree)
    }

    pub fn fill(&self, values: &Values) -> Result<Value, String> {
        Ok(filled(&self.0, values)?.unwrap_or(Value::Null))
    }
}

impl Text {
    pub fn parse(text: &str) -> Result<Self, String> {
        pieces(text).map(Text)
    }

    pub fn fill(&self, values: &Values) -> Result<String, String> {
        joined(&self.0, values, |text, _| Ok(text))
    }

    /// As an address.
    pub fn fill_url(&self, values: &Values) -> Result<String, String> {
        if let [Piece::Slot(slot)] = self.0.as_slice() {
            return found(slot, values)?.map(|value| plain(&value)).ok_or_else(|| missing(&slot.name));
        }
        joined(&self.0, values, |text, form| match form {
            Form::Path if text.split('/').any(|part| part == "..") => Err("a value leads up in an address".into()),
            Form::Path => Ok(utf8_percent_encode(&text, ENCODED_PATH).to_string()),
            _ => Ok(utf8_percent_encode(&text, ENCODED).to_string()),
        })
    }

    /// What stands before the first place.
    pub fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            Some(Piece::Slot(_)) | None => "",
        }
    }
}

fn node(value: &Value) -> Result<Node, String> {
    Ok(match value {
        Value::String(text) => match pieces(text)?.as_slice() {
            [Piece::Slot(slot)] => Node::Slot(slot.clone()),
            [] => Node::Fixed(value.clone()),
            [Piece::Text(text)] => Node::Fixed(Value::String(text.clone())),
            pieces => Node::Text(pieces.to_vec()),
        },
        Value::Array(items) => Node::List(items.iter().map(node).collect::<Result<_, _>>()?),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| Ok((name.clone(), node(value)?)));
            Node::Table(fields.collect::<Result<_, String>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Node::Fixed(value.clone()),
    })
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find('{') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            plain.push('{');
            rest = after;
            continue;
        }
        let (inside, after) = rest.split_once('}').ok_or_else(|| format!("{text:?} has a brace that is not closed"))?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Slot(slot(inside)?));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

fn slot(inside: &str) -> Result<Slot, String> {
    let (inside, optional) = inside.strip_suffix('?').map_or((inside, false), |inside| (inside, true));
    let (name, form) = inside.split_once(':').unwrap_or((inside, ""));
    let form = match form {
        "" => Form::AsIs,
        "text" => Form::Text,
        "ms" => Form::Millis,
        "int" => Form::Int,
        "path" => Form::Path,
        other => return Err(format!("there is no form {other:?} of a value: text, ms, int and path are")),
    };
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then(|| Slot { name: name.to_owned(), form, optional }).ok_or_else(|| format!("{name:?} is no name of a value"))
}

/// None: the field that it stands in is left out.
fn filled(node: &Node, values: &Values) -> Result<Option<Value>, String> {
    Ok(Some(match node {
        Node::Fixed(value) => value.clone(),
        Node::Slot(slot) => match found(slot, values)? {
            Some(value) => value,
            None if slot.optional => return Ok(None),
            None => return Err(missing(&slot.name)),
        },
        Node::Text(pieces) => Value::String(joined(pieces, values, |text, _| Ok(text))?),
        Node::List(items) => {
            let items: Result<Vec<Option<Value>>, String> = items.iter().map(|item| filled(item, values)).collect();
            Value::Array(items?.into_iter().flatten().collect())
        }
        Node::Table(fields) => {
            let mut table = Map::new();
            for (name, node) in fields {
                if let Some(value) = filled(node, values)? {
                    table.insert(name.clone(), value);
                }
            }
            // What held nothing but values that are not there is not there either.
            if table.is_empty() && !fields.is_empty() {
                return Ok(None);
            }
            Value::Object(table)
        }
    }))
}

fn joined(pieces: &[Piece], values: &Values, shown: impl Fn(String, Form) -> Result<String, String>) -> Result<String, String> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(plain) => text.push_str(plain),
            Piece::Slot(slot) => match found(slot, values)? {
                Some(value) => text.push_str(&shown(plain(&value), slot.form)?),
                None if slot.optional => {}
                None => return Err(missing(&slot.name)),
            },
        }
    }
    Ok(text)
}

fn missing(name: &str) -> String {
    format!("there is no value {name:?}")
}

/// In the form that is wanted.
fn found(slot: &Slot, values: &Values) -> Result<Option<Value>, String> {
    let Some(value) = values.get(&slot.name).filter(|value| !value.is_null()) else { return Ok(None) };
    let number = || value.as_f64().ok_or_else(|| format!("{} is no number", slot.name));
    Ok(Some(match slot.form {
        Form::AsIs | Form::Path => value.clone(),
        Form::Text => Value::String(plain(value)),
        Form::Millis => Value::Number(Number::from((number()? * 1000.0).round() as i64)),
        Form::Int => Value::Number(Number::from(number()?.round() as i64)),
    }))
}

/// A whole number has no point, whatever it was made of.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => format!("{}", float as i64),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values() -> Values {
        json!({ "prompt": "a \"red\" {car}\",\"x\":1", "duration": 5, "loop": true, "task": "models/v/operations/7 8", "url": "https://a/b?c=d" })
            .as_object()
            .cloned()
            .unwrap()
    }

    #[test]
    fn values_stay_values() {
        let tree = Tree::parse(&json!({
            "prompt": "{prompt}", "text": "make {prompt} of {{wood}", "seconds": "{duration:text}", "ms": "{duration:ms}", "loop": "{loop}",
            "none": "{seed?}", "inner": { "seed": "{seed?}" }, "list": ["{seed?}", "{duration}"], "fixed": 1,
        }));
        let filled = tree.unwrap().fill(&values()).unwrap();
        let prompt = "a \"red\" {car}\",\"x\":1";
        let text = format!("make {prompt} of {{wood}}");
        assert_eq!(filled, json!({ "prompt": prompt, "text": text, "seconds": "5", "ms": 5000, "loop": true, "list": [5], "fixed": 1 }));
        assert!(Tree::parse(&json!("{seed}")).unwrap().fill(&values()).is_err());
        for wrong in ["{", "{a", "{}", "{a b}", "{a:upper}"] {
            assert!(Text::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_encoded() {
        let of = |text: &str| Text::parse(text).unwrap().fill_url(&values()).unwrap();
        assert_eq!(of("https://x/{task:path}?p={duration}"), "https://x/models/v/operations/7%208?p=5");
        assert_eq!(of("https://x/{task}"), "https://x/models%2Fv%2Foperations%2F7%208");
        assert_eq!(of("{url}"), "https://a/b?c=d");
        let up = json!({ "task": "a/../b" }).as_object().cloned().unwrap();
        assert!(Text::parse("https://x/{task:path}").unwrap().fill_url(&up).is_err());
    }
}
