//! Numbered optional fields at the end of a stored form. A later program adds one without another version of the form.
//!
//! A program keeps the fields that it does not know, byte for byte, and writes them back with what they belong to. Nothing is
//! written where there are none: forms of before there were fields are read and written as they are.
//! Called by the stored forms of `local` and `upstream`. The rules for adding a field are in docs/architecture.md.

use serde::{Deserialize, Serialize};

use super::error::{Error, ErrorKind, Result};

/// What a field is, and what becomes of it at a program that does not know it. A number is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(u32);

const NEEDED: u32 = 1;
const TRAVELS: u32 = 2;

impl Tag {
    /// An ACL that no canned one says. Without it the ACL would be another.
    pub const GRANTS: Tag = Tag::new(8).needed();
    /// The number of the key that the bytes are encrypted with. Who does not know it would take them for plain.
    pub const KEY: Tag = Tag::new(1).needed();
    /// The name of a version in a bucket that keeps them. Who does not know it would take it for the only one of its key.
    pub const VERSION: Tag = Tag::new(2).needed();
    /// When the version that came after it was written.
    pub const NONCURRENT_SINCE: Tag = Tag::new(3);
    /// S3's tags, in the form of a query.
    pub const TAGS: Tag = Tag::new(4).travels();
    /// Until when a version may not be deleted, and who may do it sooner. Who does not know it would delete it.
    pub const RETENTION: Tag = Tag::new(5).needed();
    pub const LEGAL_HOLD: Tag = Tag::new(6).needed();
    /// A checksum of an algorithm that the form has no place for (`stored::with_checksums`), or that an upload announced. A copy has
    /// the bytes and so the checksum; a program that does not know it knows of none.
    pub const CHECKSUM: Tag = Tag::new(7).travels();
    /// How the bytes are encrypted, and the key of them, wrapped (`crypt::Envelope`).
    pub const ENVELOPE: Tag = Tag::new(9).needed();
    /// The keys of the parts of an object, each wrapped under the object's; of one part: its own.
    pub const PART_KEYS: Tag = Tag::new(10).needed();
    /// How an object is encrypted elsewhere, as its answers say it.
    pub const ENCRYPTION: Tag = Tag::new(11);
    /// What was found in the bytes. A copy may be declared otherwise, and is looked into by itself.
    pub const INSPECTION: Tag = Tag::new(12);
    /// The bucket upstream that a bucket is by itself. Who does not know it would look for its objects in a folder.
    pub const OWN_BUCKET: Tag = Tag::new(16).needed();

    /// How much of a run was stored on which day. Who does not know it measures from the meter's time on.
    pub const METER_DAYS: Tag = Tag::new(17);

    pub const fn new(number: u32) -> Self {
        Tag(number << 2)
    }

    /// What it belongs to means something else without it: who does not know it refuses to work on it.
    pub const fn needed(self) -> Self {
        Tag(self.0 | NEEDED)
    }

    /// A copy has it too, as S3's tags. Without it a field says something of one object alone, as a lock does.
    pub const fn travels(self) -> Self {
        Tag(self.0 | TRAVELS)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields(Vec<(u32, Vec<u8>)>);

impl Fields {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields that stand at the start of `bytes`, and what is behind them.
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8])> {
        if bytes.is_empty() { Ok((Fields::default(), bytes)) } else { postcard::take_from_bytes(bytes).map_err(Error::internal) }
    }

    /// Behind `form`.
    pub fn append(&self, form: Vec<u8>) -> Result<Vec<u8>> {
        if self.is_empty() { Ok(form) } else { postcard::to_extend(self, form).map_err(Error::internal) }
    }

    pub fn take(&mut self, tag: Tag) -> Option<Vec<u8>> {
        let at = self.0.iter().position(|(t, _)| *t == tag.0)?;
        Some(self.0.remove(at).1)
    }

    pub fn with(mut self, tag: Tag, value: Vec<u8>) -> Self {
        self.0.push((tag.0, value));
        self
    }

    /// These, and the others.
    pub fn and(mut self, others: Fields) -> Self {
        self.0.extend(others.0);
        self
    }

    /// What goes with a copy.
    pub fn of_copy(&self) -> Self {
        Fields(self.0.iter().filter(|(tag, _)| tag & TRAVELS != 0).cloned().collect())
    }

    /// Err: among those left is one that must be known.
    pub fn require_known(&self) -> Result<()> {
        match self.0.iter().find(|(tag, _)| tag & NEEDED != 0) {
            None => Ok(()),
            Some((tag, _)) => Err(newer(&format!("field {tag}"))),
        }
    }
}

/// What a newer program wrote of something and this one does not know: kept, and written back with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unknown {
    pub fields: Fields,
    /// All of a form of a version that is not known here, behind what every version begins with.
    pub newer: Option<(u8, Vec<u8>)>,
}

impl Unknown {
    pub fn of_copy(&self) -> Self {
        // What the rest of an unknown form says may hold for that one object alone.
        Unknown { fields: self.fields.of_copy(), newer: None }
    }
}

/// Another node may be newer, and can answer.
pub fn newer(what: &str) -> Error {
    let text = "This was written by a newer version of the gateway than the one that answers. Please try again.";
    Error::new(ErrorKind::LocalUnavailable, text).caused_by(format!("{what} is not known to this version: start a newer tidegate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: Tag = Tag::new(1000).travels();
    const KEY: Tag = Tag::new(999).needed();
    const LOCK: Tag = Tag::new(1001);

    #[test]
    fn no_fields_are_no_bytes_and_others_come_back_as_they_were() {
        assert_eq!(Fields::default().append(vec![7]).unwrap(), [7]);
        assert_eq!(Fields::parse(b"").unwrap(), (Fields::default(), &b""[..]));
        let fields = Fields::default().with(LOCK, vec![1, 2]).with(LABELS, Vec::new());
        let bytes = [fields.append(Vec::new()).unwrap(), vec![9, 9]].concat();
        assert_eq!(Fields::parse(&bytes).unwrap(), (fields.clone(), &[9, 9][..]));
        assert!(Fields::parse(&bytes[..3]).is_err(), "cut short");
        assert_eq!(fields.of_copy(), Fields::default().with(LABELS, Vec::new()));
    }

    #[test]
    fn what_must_be_known_is_refused_where_it_is_not() {
        let mut fields = Fields::default().with(KEY, vec![1]).with(LOCK, vec![2]);
        assert_eq!(fields.require_known().unwrap_err().kind(), ErrorKind::LocalUnavailable);
        assert_eq!(fields.take(KEY), Some(vec![1]));
        fields.require_known().unwrap();
        assert_eq!(fields.take(KEY), None);
    }
}
