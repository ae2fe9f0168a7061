//! Parameters of an STS request, in a form body or in the query. Each once.

use percent_encoding::percent_decode_str;

use crate::auth::roles::MIN_SECONDS;
use crate::base::error::{Error, ErrorKind, Result};

const MAX_PARAMETERS: usize = 200;

pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub fn parse(body: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|_| invalid("The parameters are not UTF-8.".into()))?;
        Self::of_query(Some(text))
    }

    pub fn of_query(text: Option<&str>) -> Result<Self> {
        let decoded = |text: &str| {
            let decoded = percent_decode_str(&text.replace('+', " ")).decode_utf8().map(|t| t.into_owned());
            decoded.map_err(|_| invalid("The parameters are not UTF-8.".into()))
        };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.unwrap_or_default().trim_end().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if pairs.len() == MAX_PARAMETERS {
                return Err(invalid(format!("More than {MAX_PARAMETERS} parameters.")));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(invalid(format!("{} is there more than once.", shortened(&name))));
            }
            pairs.push((name, value));
        }
        Ok(Parameters(pairs))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn needed(&self, name: &'static str) -> Result<&str> {
        let missing = || {
            let kind = if name == "Action" { ErrorKind::MissingAction } else { ErrorKind::ValidationError };
            Error::new(kind, format!("The request must contain the parameter {name}."))
        };
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(missing)
    }

    /// Refuses what would narrow a session, and is not known here. Lists and structures too (`Tags.member.1.Key`).
    pub fn refuse(&self, names: &[&str]) -> Result<()> {
        let is_of = |given: &str, name: &str| given == name || given.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        match self.0.iter().find_map(|(given, _)| names.iter().find(|name| is_of(given, name))) {
            Some(name) => Err(invalid(format!("{name} is not supported by this gateway: a session is narrowed by Policy."))),
            None => Ok(()),
        }
    }

    pub fn session_name(&self) -> Result<&str> {
        let name = self.needed("RoleSessionName")?;
        let legal = (2..=64).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_+=,.@-".contains(&c));
        let text = "RoleSessionName has 2 to 64 of A-Z a-z 0-9 _ + = , . @ -";
        if legal { Ok(name) } else { Err(invalid(text.into())) }
    }

    /// `arn:aws:iam::<account>:role/<path>/<name>`
    pub fn role_name(&self) -> Result<&str> {
        let arn = self.needed("RoleArn")?;
        let fields: Vec<&str> = arn.splitn(6, ':').collect();
        let name = match fields.as_slice() {
            ["arn", "aws", "iam", "", _, role] => role.strip_prefix("role/").and_then(|path| path.rsplit('/').next()),
            _ => None,
        };
        name.filter(|name| !name.is_empty())
            .ok_or_else(|| invalid(format!("{} is not a role: arn:aws:iam::ACCOUNT:role/NAME", shortened(arn))))
    }

    /// How long a session is to live.
    pub fn seconds(&self, default: u64, max: u64) -> Result<u64> {
        match self.get("DurationSeconds").filter(|text| !text.is_empty()) {
            None => Ok(default),
            Some(text) => {
                let wrong = || invalid(format!("DurationSeconds: {MIN_SECONDS} to {max} are possible here."));
                text.parse().ok().filter(|seconds| (MIN_SECONDS..=max).contains(seconds)).ok_or_else(wrong)
            }
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::ValidationError, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Parameters {
        Parameters::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn parameters() {
        let all = of("Action=AssumeRole&Policy=%7B%22a%22%3A+1%7D&Empty=\n");
        assert_eq!((all.get("Policy"), all.get("Empty"), all.get("None")), (Some("{\"a\": 1}"), Some(""), None));
        assert_eq!(all.needed("Empty").map(drop).map_err(|e| e.kind()), Err(ErrorKind::ValidationError));
        assert!(Parameters::parse(b"A=1&A=1").is_err() && Parameters::parse(b"A=%ff").is_err() && Parameters::parse(b"\xff").is_err());
        assert!(of("Tags.member.1.Key=a").refuse(&["Tags"]).is_err() && of("TagsX=a").refuse(&["Tags"]).is_ok());
    }

    #[test]
    fn names_and_lives() {
        let role = |arn: &str| of(&format!("RoleArn={arn}")).role_name().map(str::to_owned).ok();
        assert_eq!(role("arn:aws:iam::acme:role/uploader").as_deref(), Some("uploader"));
        assert_eq!(role("arn:aws:iam::123456789012:role/a/b/uploader").as_deref(), Some("uploader"));
        for bad in ["uploader", "arn:aws:iam::acme:user/x", "arn:aws:iam::acme:role/", "arn:aws:sts::acme:role/x"] {
            assert_eq!(role(bad), None, "{bad}");
        }
        let seconds = |text: &str| of(&format!("DurationSeconds={text}")).seconds(3600, 7200).ok();
        assert_eq!((seconds(""), seconds("900"), seconds("7200")), (Some(3600), Some(900), Some(7200)));
        assert!([seconds("899"), seconds("7201"), seconds("x"), seconds("-1")].iter().all(Option::is_none));
        let name = |text: &str| of(&format!("RoleSessionName={text}")).session_name().is_ok();
        assert!(name("a.b@c-1") && !name("a") && !name("a%20b") && !name(&"a".repeat(65)));
    }
}
