//! ETags as S3 makes them: the MD5 of the body, or for multipart objects the MD5 of the parts' MD5s and their number.
//! An upstream may have others: they are opaque, kept as they came, and mean only that two of them are equal or not.
//! A variant of a version has the version's ETag with its form behind it: `"<etag>-br1"`.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::coding::Form;
use crate::base::digest::Md5;
use crate::base::header::trim;

/// The longest opaque one: a SHA-256 in hex. Inline, so that an ETag stays a plain value.
const MAX_OPAQUE: usize = 64;
/// In records, where the number of parts would stand: an opaque one follows. No object has so many parts.
const OPAQUE: u16 = u16::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ETag {
    tag: Tag,
    /// None: the version itself. Never in a record: variants are derived.
    form: Option<Form>,
}

#[derive(Debug, Clone, Copy)]
enum Tag {
    Md5 {
        md5: Md5,
        /// 0: a single PUT; otherwise the `-N` of a multipart object.
        parts: u16,
        /// As its store writes it (Alibaba's does). Means nothing.
        upper: bool,
    },
    Opaque {
        len: u8,
        text: [u8; MAX_OPAQUE],
    },
}

impl Tag {
    /// None: empty, too long, or what can't stand in an ETag (RFC 9110 8.8.3, ASCII only).
    fn parse(s: &str) -> Option<Self> {
        Self::parse_md5(s).or_else(|| {
            let legal = s.bytes().all(|b| b == 0x21 || (0x23..=0x7e).contains(&b));
            if s.is_empty() || s == "*" || s.len() > MAX_OPAQUE || !legal {
                return None;
            }
            let mut text = [0; MAX_OPAQUE];
            text[..s.len()].copy_from_slice(s.as_bytes());
            Some(Tag::Opaque { len: s.len() as u8, text })
        })
    }

    fn parse_md5(s: &str) -> Option<Self> {
        let (digits, parts) = match s.split_once('-') {
            Some((digits, n)) => (digits, n.parse::<u16>().ok().filter(|p| (1..OPAQUE).contains(p) && p.to_string() == n)?),
            None => (s, 0),
        };
        let mut md5 = [0; 16];
        hex::decode_to_slice(digits, &mut md5).ok()?;
        let upper = digits.bytes().any(|b| b.is_ascii_uppercase());
        Some(Tag::Md5 { md5: Md5(md5), parts, upper })
    }

    /// What makes two of them the same.
    fn identity(&self) -> (&[u8], u16) {
        match self {
            Tag::Md5 { md5, parts, .. } => (&md5.0, *parts),
            Tag::Opaque { len, text } => (&text[..usize::from(*len)], OPAQUE),
        }
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Tag {}

impl Hash for Tag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl ETag {
    pub fn single(md5: Md5) -> Self {
        Self::multipart(md5, 0)
    }

    pub fn multipart(md5_of_md5s: Md5, parts: u16) -> Self {
        ETag { tag: Tag::Md5 { md5: md5_of_md5s, parts, upper: false }, form: None }
    }

    /// As an upstream has it, with or without quotes. None: it can't be told of here, being too long or no ETag at all.
    pub fn of_upstream(s: &str) -> Option<Self> {
        Some(ETag { tag: Tag::parse(unquoted(s))?, form: None })
    }

    /// That of a variant of this version.
    pub fn in_form(self, form: Form) -> Self {
        ETag { form: Some(form), ..self }
    }

    /// What looks like an MD5: whether it is that of the body is for the store to know.
    pub fn md5(&self) -> Option<&Md5> {
        match &self.tag {
            Tag::Md5 { md5, .. } => Some(md5),
            Tag::Opaque { .. } => None,
        }
    }

    pub fn parts(&self) -> Option<u16> {
        match self.tag {
            Tag::Md5 { parts, .. } => (parts > 0).then_some(parts),
            Tag::Opaque { .. } => None,
        }
    }

    /// With the quotes, as in headers and XML.
    pub fn quoted(&self) -> String {
        let mut text = String::with_capacity(2 + 32 + 6);
        text.push('"');
        self.write(&mut text);
        text.push('"');
        text
    }

    /// Goes into every answer to a read: by hand, since the formatter takes several times as long.
    fn write(&self, out: &mut String) {
        match &self.tag {
            Tag::Md5 { md5, parts, upper } => {
                let mut digits = [0; 32];
                // 16 bytes always make 32 digits.
                let _ = hex::encode_to_slice(md5.0, &mut digits);
                if *upper {
                    digits.make_ascii_uppercase();
                }
                out.push_str(std::str::from_utf8(&digits).unwrap_or_default());
                if *parts > 0 {
                    out.push('-');
                    out.push_str(&parts.to_string());
                }
            }
            Tag::Opaque { len, text } => out.push_str(std::str::from_utf8(&text[..usize::from(*len)]).unwrap_or_default()),
        }
        if let Some(form) = self.form {
            out.push('-');
            out.push_str(&form.to_string());
        }
    }

    /// For the name of a file: letters, digits and `-`, whatever an upstream's ETag holds.
    pub fn file_name(&self) -> String {
        match &self.tag {
            Tag::Md5 { .. } => self.to_string().to_ascii_lowercase(),
            Tag::Opaque { .. } => format!("x{}", hex::encode(self.to_string())),
        }
    }

    /// Accepts what clients send: with or without quotes, digits in either case. None: not an ETag of anything here.
    pub fn parse(s: &str) -> Option<Self> {
        let s = unquoted(s);
        let (version, form) = match s.rsplit_once('-').map(|(version, form)| (version, Form::parse(form))) {
            Some((version, Some(form))) => (version, Some(form)),
            _ => (s, None),
        };
        Some(ETag { tag: Tag::parse(version)?, form })
    }
}

fn unquoted(s: &str) -> &str {
    trim(s).trim_matches('"')
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(32 + 6);
        self.write(&mut text);
        f.write_str(&text)
    }
}

/// MD5 and number of parts; an opaque one is its text, after an MD5 of zeros and the number that no object has.
impl Serialize for ETag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let length = if matches!(self.tag, Tag::Md5 { .. }) { 2 } else { 3 };
        let mut tuple = serializer.serialize_tuple(length)?;
        match &self.tag {
            Tag::Md5 { md5, parts, .. } => {
                tuple.serialize_element(md5)?;
                tuple.serialize_element(parts)?;
            }
            Tag::Opaque { len, text } => {
                tuple.serialize_element(&Md5([0; 16]))?;
                tuple.serialize_element(&OPAQUE)?;
                tuple.serialize_element(std::str::from_utf8(&text[..usize::from(*len)]).unwrap_or_default())?;
            }
        }
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for ETag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = ETag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an ETag")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ETag, A::Error> {
                let missing = || A::Error::custom("an ETag that is cut short");
                let md5: Md5 = seq.next_element()?.ok_or_else(missing)?;
                let parts: u16 = seq.next_element()?.ok_or_else(missing)?;
                if parts != OPAQUE {
                    return Ok(ETag::multipart(md5, parts));
                }
                let text: String = seq.next_element()?.ok_or_else(missing)?;
                ETag::of_upstream(&text).ok_or_else(|| A::Error::custom("not an ETag"))
            }
        }
        deserializer.deserialize_tuple(3, Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::coding::Coding;

    #[test]
    fn round_trip() {
        for s in [
            "d41d8cd98f00b204e9800998ecf8427e",
            "d41d8cd98f00b204e9800998ecf8427e-3",
            "d41d8cd98f00b204e9800998ecf8427e-br1",
            "d41d8cd98f00b204e9800998ecf8427e-3-id2",
            "D41D8CD98F00B204E9800998ECF8427E",
            "CKih16GjycICEAE=",
            "CKih16GjycICEAE=-br1",
            "d41d8cd98f00b204e9800998ecf8427e-0",
            "d41d8cd98f00b204e9800998ecf8427e-br1-3",
            &"a".repeat(64),
        ] {
            let e = ETag::parse(s).unwrap();
            assert_eq!(e.to_string(), s);
            assert_eq!(e.quoted(), format!("\"{s}\""));
            assert_eq!(ETag::parse(&e.quoted()), Some(e));
        }
        for s in ["", "*", "a b", "a\"b", "\u{e9}", &"a".repeat(65)] {
            assert_eq!(ETag::parse(s), None);
        }
    }

    #[test]
    fn an_md5_is_the_same_in_either_case_and_an_opaque_one_is_not() {
        let lower = ETag::parse("d41d8cd98f00b204e9800998ecf8427e").unwrap();
        assert_eq!(ETag::parse("D41D8CD98F00B204E9800998ECF8427E"), Some(lower));
        assert_ne!(ETag::parse("abc"), ETag::parse("ABC"));
        assert_ne!(ETag::parse("abc"), ETag::parse("abcd"));
        assert_eq!(
            ETag::of_upstream("\"abc-br1\"").unwrap().in_form(Form { coding: Coding::Br, generation: 1 }).to_string(),
            "abc-br1-br1"
        );
    }

    #[test]
    fn in_records_md5s_stand_as_they_always_have() {
        #[derive(Serialize)]
        struct Old {
            md5: Md5,
            parts: u16,
        }
        let old = postcard::to_stdvec(&(Old { md5: Md5([7; 16]), parts: 300 }, 9u8)).unwrap();
        let read: (ETag, u8) = postcard::from_bytes(&old).unwrap();
        assert_eq!(read, (ETag::multipart(Md5([7; 16]), 300), 9));
        assert_eq!(postcard::to_stdvec(&read).unwrap(), old);
        let opaque = (ETag::parse("CKih16GjycICEAE=").unwrap(), 9u8);
        assert_eq!(postcard::from_bytes::<(ETag, u8)>(&postcard::to_stdvec(&opaque).unwrap()).unwrap(), opaque);
    }

    #[test]
    fn names_of_files_hold_nothing_that_means_something() {
        assert_eq!(ETag::parse("../../x").unwrap().file_name(), "x2e2e2f2e2e2f78");
    }
}
