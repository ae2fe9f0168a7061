//! Object lock: what keeps a version from being deleted.

use super::error::{Error, Result};
use super::fields::{Fields, Tag};
use super::timestamp::Timestamp;

/// Of one version. The default is no lock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lock {
    pub retention: Option<Retention>,
    pub legal_hold: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub mode: RetentionMode,
    pub until: Timestamp,
}

/// What a request asks to be locked: headers of a write, or a document of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LockAsked {
    pub retention: Option<Retention>,
    /// None: it does not speak of it.
    pub legal_hold: Option<bool>,
}

impl LockAsked {
    /// Of a new version, for which nothing else is said.
    pub fn lock(self) -> Lock {
        Lock { retention: self.retention, legal_hold: self.legal_hold.unwrap_or(false) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionMode {
    /// Who has the right may end it early.
    Governance,
    /// Nobody may.
    Compliance,
}

impl RetentionMode {
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Governance, Self::Compliance].into_iter().find(|mode| mode.name() == text)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

impl Lock {
    /// Behind a stored form. No lock is no field.
    pub fn append_to(self, mut fields: Fields) -> Fields {
        if let Some(Retention { mode, until }) = self.retention {
            let mode = match mode {
                RetentionMode::Governance => 1,
                RetentionMode::Compliance => 2,
            };
            let mut bytes = vec![mode];
            bytes.extend_from_slice(&until.millis().to_le_bytes());
            fields = fields.with(Tag::RETENTION, bytes);
        }
        if self.legal_hold { fields.with(Tag::LEGAL_HOLD, Vec::new()) } else { fields }
    }

    pub fn take_from(fields: &mut Fields) -> Result<Self> {
        let retention = fields.take(Tag::RETENTION).map(|bytes| retention_of(&bytes)).transpose()?;
        Ok(Lock { retention, legal_hold: fields.take(Tag::LEGAL_HOLD).is_some() })
    }
}

fn retention_of(bytes: &[u8]) -> Result<Retention> {
    let unknown = || Error::internal("a stored retention can't be read");
    let (mode, until) = bytes.split_first().ok_or_else(unknown)?;
    let mode = match mode {
        1 => RetentionMode::Governance,
        2 => RetentionMode::Compliance,
        _ => return Err(unknown()),
    };
    let until = until.try_into().map(u64::from_le_bytes).map_err(|_| unknown())?;
    Ok(Retention { mode, until: Timestamp::from_millis(until) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_kept_in_fields() {
        let until = Timestamp::from_millis(1_800_000_000_000);
        for mode in [RetentionMode::Governance, RetentionMode::Compliance] {
            assert_eq!(RetentionMode::parse(mode.name()), Some(mode));
            let lock = Lock { retention: Some(Retention { mode, until }), legal_hold: true };
            let mut fields = lock.append_to(Fields::default());
            assert_eq!(Lock::take_from(&mut fields).unwrap(), lock);
            assert!(fields.is_empty());
        }
        assert!(Lock::default().append_to(Fields::default()).is_empty());
        assert!(Lock::take_from(&mut Fields::default().with(Tag::RETENTION, vec![3; 9])).is_err());
        assert!(Lock::take_from(&mut Fields::default().with(Tag::RETENTION, vec![1])).is_err());
    }
}
