//! A value from the file or the environment, and what it may be taken for. Errors say what was expected and what was found.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::de::DeValue;

use super::units::{parse_duration, parse_size};
use crate::base::host::Host;
use crate::base::object::Ownership;

/// What is wrong with a value: the reader adds where.
pub type Taken<T> = Result<T, String>;

pub enum Value<'v> {
    File {
        value: &'v DeValue<'v>,
        /// What relative paths start from.
        base: &'v Path,
    },
    /// Lists are separated by commas; relative paths start where the process does.
    Environment(&'v str),
}

impl Value<'_> {
    pub fn text(&self) -> Taken<String> {
        match self {
            Value::File { value, .. } => value.as_str().map(str::to_owned).ok_or_else(|| self.unexpected("a text in quotes")),
            Value::Environment(text) => Ok((*text).to_owned()),
        }
    }

    /// Empty: not set.
    pub fn optional_text(&self) -> Taken<Option<String>> {
        Ok(Some(self.text()?).filter(|t| !t.is_empty()))
    }

    /// Empty: none.
    pub fn ownership(&self) -> Taken<Option<Ownership>> {
        let expected = || self.unexpected("\"BucketOwnerEnforced\", \"BucketOwnerPreferred\", \"ObjectWriter\" or \"\"");
        self.optional_text()?.map(|name| Ownership::parse(&name).ok_or_else(expected)).transpose()
    }

    pub fn flag(&self) -> Taken<bool> {
        let found = match self {
            Value::File { value, .. } => value.as_bool(),
            Value::Environment(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
        };
        found.ok_or_else(|| self.unexpected("true or false"))
    }

    /// A whole number that is not negative.
    pub fn number<T: TryFrom<u64>>(&self) -> Taken<T> {
        let found: Option<u64> = match self {
            Value::File { value, .. } => value.as_integer().and_then(|i| u64::from_str_radix(i.as_str(), i.radix()).ok()),
            Value::Environment(text) => text.parse().ok(),
        };
        found.and_then(|n| T::try_from(n).ok()).ok_or_else(|| self.unexpected("a whole number, 0 or more"))
    }

    /// As `number`, and not 0.
    pub fn positive<T: TryFrom<u64>>(&self) -> Taken<T> {
        let n: u64 = self.number()?;
        T::try_from(n).ok().filter(|_| n > 0).ok_or_else(|| self.unexpected("a whole number, 1 or more"))
    }

    /// A number that need not be whole.
    pub fn decimal(&self) -> Taken<f64> {
        let found = match self {
            Value::File { value: DeValue::Float(n), .. } => n.as_str().parse().ok(),
            Value::File { value: DeValue::Integer(n), .. } => n.as_str().parse().ok(),
            Value::File { .. } => None,
            Value::Environment(text) => text.parse().ok(),
        };
        found.filter(|n: &f64| n.is_finite()).ok_or_else(|| self.unexpected("a number"))
    }

    pub fn size<T: TryFrom<u64>>(&self) -> Taken<T> {
        let found = self.text().ok().and_then(|t| parse_size(&t)).and_then(|n| T::try_from(n).ok());
        found.ok_or_else(|| self.unexpected("a size such as \"64MiB\", \"1GB\" or \"0B\""))
    }

    /// Never 0: a time-out of nothing would end everything at once.
    pub fn duration(&self) -> Taken<Duration> {
        let found = self.text().ok().and_then(|t| parse_duration(&t)).filter(|d| !d.is_zero());
        found.ok_or_else(|| self.unexpected("a time such as \"30s\", \"5m\" or \"250ms\""))
    }

    pub fn path(&self) -> Taken<PathBuf> {
        let path = PathBuf::from(self.text()?);
        if path.as_os_str().is_empty() {
            return Err("expected a path, found an empty text".into());
        }
        Ok(match self {
            Value::File { base, .. } => base.join(path),
            Value::Environment(_) => path,
        })
    }

    pub fn optional_path(&self) -> Taken<Option<PathBuf>> {
        if self.optional_text()?.is_none() { Ok(None) } else { self.path().map(Some) }
    }

    pub fn parsed<T: FromStr>(&self, expected: &str) -> Taken<T> {
        self.text().ok().and_then(|t| t.parse().ok()).ok_or_else(|| self.unexpected(expected))
    }

    /// Empty: none.
    pub fn optional_parsed<T: FromStr>(&self, expected: &str) -> Taken<Option<T>> {
        if self.text().is_ok_and(|text| text.is_empty()) { Ok(None) } else { self.parsed(expected).map(Some) }
    }

    /// One address, or a list of them; empty: none.
    pub fn addresses(&self) -> Taken<Vec<SocketAddr>> {
        self.list("an address with a port such as \"127.0.0.1:9000\" or \"[::]:9000\", or a list of them")
    }

    /// One text, or a list; empty: none.
    pub fn list<T: FromStr>(&self, expected: &str) -> Taken<Vec<T>> {
        let texts: Option<Vec<String>> = match self {
            Value::File { value: DeValue::Array(items), .. } => items.iter().map(|i| i.get_ref().as_str().map(str::to_owned)).collect(),
            Value::File { value, .. } => value.as_str().map(|t| vec![t.to_owned()]),
            Value::Environment(text) => Some(text.split(',').map(|t| t.trim().to_owned()).collect()),
        };
        let Some(texts) = texts else { return Err(self.unexpected(expected)) };
        let given = texts.iter().filter(|t| !t.is_empty());
        given.map(|t| t.parse().map_err(|_| format!("expected {expected}, found {t:?}"))).collect()
    }

    /// In lower case, without ports.
    pub fn host_names(&self, expected: &str) -> Taken<Vec<String>> {
        self.list::<String>(expected)?.into_iter().map(|text| host_name(&text, expected)).collect()
    }

    fn unexpected(&self, expected: &str) -> String {
        match self {
            Value::File { value, .. } => format!("expected {expected}, found {}", found(value)),
            Value::Environment(text) => format!("expected {expected}, found {text:?}"),
        }
    }
}

fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(n) => n.to_string(),
        DeValue::Float(n) => n.to_string(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// As it stands in the file: one item alone, several as a list.
pub fn host_name(text: &str, expected: &str) -> Taken<String> {
    match Host::parse(text) {
        Some(host) if host.name() == text => Ok(text.to_ascii_lowercase()),
        _ => Err(format!("expected {expected}, found {text:?}")),
    }
}

pub fn show_list<T: Display>(items: &[T]) -> String {
    match items {
        [one] => format!("{:?}", one.to_string()),
        _ => format!("[{}]", items.iter().map(|i| format!("{:?}", i.to_string())).collect::<Vec<_>>().join(", ")),
    }
}
