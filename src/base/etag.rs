//! ETags as S3 makes them: the MD5 of the body, or for multipart objects the MD5 of the parts' MD5s and their number.
//! A variant of a version has the version's ETag with its form behind it: `"<etag>-br1"`.

use serde::{Deserialize, Serialize};

use crate::base::coding::Form;
use crate::base::digest::Md5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ETag {
    md5: Md5,
    /// 0: a single PUT; otherwise the `-N` of a multipart object.
    parts: u16,
    /// None: the version itself. Never in a record: variants are derived.
    #[serde(skip)]
    form: Option<Form>,
}

impl ETag {
    pub fn single(md5: Md5) -> Self {
        ETag { md5, parts: 0, form: None }
    }

    pub fn multipart(md5_of_md5s: Md5, parts: u16) -> Self {
        ETag { md5: md5_of_md5s, parts, form: None }
    }

    /// That of a variant of this version.
    pub fn in_form(self, form: Form) -> Self {
        ETag { form: Some(form), ..self }
    }

    pub fn md5(&self) -> &Md5 {
        &self.md5
    }

    pub fn parts(&self) -> Option<u16> {
        (self.parts > 0).then_some(self.parts)
    }

    fn digits(&self) -> [u8; 32] {
        let mut digits = [0; 32];
        // 16 bytes always make 32 digits.
        let _ = hex::encode_to_slice(self.md5.0, &mut digits);
        digits
    }

    /// With the quotes, as in headers and XML.
    pub fn quoted(&self) -> String {
        let mut text = String::with_capacity(2 + 32 + 6);
        text.push('"');
        // Goes into every answer to a read: by hand, since the formatter takes several times as long.
        text.push_str(std::str::from_utf8(&self.digits()).unwrap_or_default());
        if self.parts > 0 {
            text.push('-');
            text.push_str(&self.parts.to_string());
        }
        if let Some(form) = self.form {
            text.push('-');
            text.push_str(&form.to_string());
        }
        text.push('"');
        text
    }

    /// Accepts what clients send: with or without quotes, in either case. None: not an ETag of ours.
    pub fn parse(s: &str) -> Option<Self> {
        let s = s.trim().trim_matches('"');
        let (s, form) = match s.rsplit_once('-').map(|(version, form)| (version, Form::parse(form))) {
            Some((version, Some(form))) => (version, Some(form)),
            _ => (s, None),
        };
        let (hex_part, parts) = match s.split_once('-') {
            Some((h, n)) => (h, n.parse::<u16>().ok().filter(|n| *n > 0)?),
            None => (s, 0),
        };
        let mut md5 = [0; 16];
        hex::decode_to_slice(hex_part, &mut md5).ok()?;
        Some(ETag { md5: Md5(md5), parts, form })
    }
}

impl std::fmt::Display for ETag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())?;
        if self.parts > 0 {
            write!(f, "-{}", self.parts)?;
        }
        match self.form {
            Some(form) => write!(f, "-{form}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for s in [
            "d41d8cd98f00b204e9800998ecf8427e",
            "d41d8cd98f00b204e9800998ecf8427e-3",
            "d41d8cd98f00b204e9800998ecf8427e-br1",
            "d41d8cd98f00b204e9800998ecf8427e-3-id2",
        ] {
            let e = ETag::parse(s).unwrap();
            assert_eq!(e.to_string(), s);
            assert_eq!(e.quoted(), format!("\"{s}\""));
            assert_eq!(ETag::parse(&e.quoted()), Some(e));
        }
        for s in [
            "",
            "abc",
            "d41d8cd98f00b204e9800998ecf8427e-0",
            "d41d8cd98f00b204e9800998ecf8427e-x",
            "d41d8cd98f00b204e9800998ecf8427e-br1-3",
            "*",
        ] {
            assert_eq!(ETag::parse(s), None);
        }
    }
}
