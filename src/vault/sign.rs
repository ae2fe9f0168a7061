//! How a request shows who asks: the provider's key, read where its file says it stands, each time.
//!
//! Only requests to hosts of the provider's own are given it. A key is in no log, no reason and no `Debug`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::base::timestamp::Timestamp;
use crate::vault::file::{Auth, KeySource};
use crate::vault::template::{Text, Values};

const MAX_KEY_BYTES: u64 = 16 * 1024;

#[derive(Debug)]
pub struct Signer {
    how: How,
    keys: Vec<(String, Place)>,
}

#[derive(Debug)]
enum How {
    Nothing,
    Header(HeaderName, Text),
    Query(String, Text),
    Jwt { header: HeaderName, value: Text, issuer: String, secret: String, lives: u64, before: u64 },
}

#[derive(Debug, Clone)]
enum Place {
    Environment(String),
    File(PathBuf),
}

impl Signer {
    pub fn new(auth: &Auth, keys: &std::collections::BTreeMap<String, KeySource>, folder: &Path) -> Result<Self, String> {
        let place = |(name, source): (&String, &KeySource)| match (&source.env, &source.file) {
            (Some(env), None) => Ok((name.clone(), Place::Environment(env.clone()))),
            (None, Some(file)) => Ok((name.clone(), Place::File(folder.join(file)))),
            _ => Err(format!("keys.{name}: expected {{ env = \"NAME\" }} or {{ file = \"PATH\" }}")),
        };
        let keys = keys.iter().map(place).collect::<Result<_, _>>()?;
        let header = |name: &str| HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("auth: {name:?} is no header"));
        let how = match auth {
            Auth::None => How::Nothing,
            Auth::Header { name, value } => How::Header(header(name)?, Text::parse(value)?),
            Auth::Query { name, value } => How::Query(name.clone(), Text::parse(value)?),
            Auth::JwtHs256 { name, value, issuer, secret, lives, before } => How::Jwt {
                header: header(name)?,
                value: Text::parse(value)?,
                issuer: issuer.clone(),
                secret: secret.clone(),
                lives: *lives,
                before: *before,
            },
        };
        Ok(Signer { how, keys })
    }

    /// Err: which key is not there.
    pub fn has_keys(&self) -> Result<(), String> {
        self.keys.iter().try_for_each(|(_, place)| place.read().map(drop))
    }

    /// Adds what shows the key to the headers, or to the address.
    pub fn sign(&self, url: &mut String, headers: &mut HeaderMap, now: Timestamp) -> Result<(), String> {
        let mut values = Values::new();
        for (name, place) in &self.keys {
            values.insert(name.clone(), Value::String(place.read()?));
        }
        let (name, value) = match &self.how {
            How::Nothing => return Ok(()),
            How::Query(name, value) => {
                let query = Text::parse(&format!("{name}={{value}}"))?;
                let filled = Values::from_iter([("value".to_owned(), Value::String(value.fill(&values)?))]);
                let joint = if url.contains('?') { '&' } else { '?' };
                *url = format!("{url}{joint}{}", query.fill_url(&filled)?);
                return Ok(());
            }
            How::Header(name, value) => (name, value.fill(&values)?),
            How::Jwt { header, value, issuer, secret, lives, before } => {
                let text =
                    |name: &String| values.get(name).and_then(Value::as_str).ok_or_else(|| format!("auth: there is no key {name:?}"));
                let claims = json!({ "iss": text(issuer)?, "exp": now.secs() + lives, "nbf": now.secs().saturating_sub(*before) });
                let jwt = jwt(&claims, text(secret)?)?;
                (header, value.fill(&Values::from_iter([("jwt".to_owned(), Value::String(jwt))]))?)
            }
        };
        let mut value = HeaderValue::from_str(&value).map_err(|_| "the key holds what no header may".to_owned())?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }
}

fn jwt(claims: &Value, secret: &str) -> Result<String, String> {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|e| e.to_string())?;
    mac.update(signed.as_bytes());
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
}

impl Place {
    fn read(&self) -> Result<String, String> {
        let text = match self {
            Place::Environment(name) => std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?,
            Place::File(path) => {
                let told = |e: std::io::Error| format!("{}: {e}", path.display());
                if std::fs::metadata(path).map_err(told)?.len() > MAX_KEY_BYTES {
                    return Err(format!("{} is too large for a key", path.display()));
                }
                std::fs::read_to_string(path).map_err(told)?
            }
        };
        let text = text.trim();
        if text.is_empty() { Err("a key is empty".into()) } else { Ok(text.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_as_jwt_io_makes_it() {
        let token = jwt(&json!({ "iss": "ak", "exp": 2 }), "secret").unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(URL_SAFE_NO_PAD.decode(parts[1]).unwrap(), br#"{"exp":2,"iss":"ak"}"#);
        assert_eq!(parts[0], "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9");
        assert_eq!(URL_SAFE_NO_PAD.decode(parts[2]).unwrap().len(), 32);
    }

    #[test]
    fn keys_come_from_files_and_are_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "s3cr et\n").unwrap();
        let keys = [("key".to_owned(), KeySource { env: None, file: Some("key".into()) })].into();
        let header = Auth::Header { name: "authorization".into(), value: "Bearer {key}".into() };
        let signer = Signer::new(&header, &keys, dir.path()).unwrap();
        let (mut url, mut headers) = ("https://a.example/x".to_owned(), HeaderMap::new());
        signer.sign(&mut url, &mut headers, Timestamp::now()).unwrap();
        assert_eq!(headers["authorization"].to_str().unwrap(), "Bearer s3cr et");
        assert!(!format!("{signer:?} {headers:?}").contains("s3cr"));
        let query = Signer::new(&Auth::Query { name: "key".into(), value: "{key}".into() }, &keys, dir.path()).unwrap();
        query.sign(&mut url, &mut HeaderMap::new(), Timestamp::now()).unwrap();
        assert_eq!(url, "https://a.example/x?key=s3cr%20et");
        std::fs::remove_file(dir.path().join("key")).unwrap();
        assert!(signer.has_keys().is_err());
        let both = [("key".to_owned(), KeySource { env: Some("A".into()), file: Some("b".into()) })].into();
        assert!(Signer::new(&header, &both, dir.path()).is_err());
    }
}
