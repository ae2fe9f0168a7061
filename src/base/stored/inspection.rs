//! What was found in a version's content, as it is kept beside it. One of another version is left where it is, and not shown.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::base::fields::{Fields, Tag};
use crate::base::inspection::{self, Finding, Verdict};

const VERSION: u8 = 1;

/// A newer inspector knows more facts by number, and says more in words; another verdict is another version.
#[derive(Serialize, Deserialize)]
struct Inspection {
    inspector: u16,
    verdict: u8,
    format: String,
    facts: Vec<(u16, u64)>,
    names: Vec<String>,
    findings: Vec<(bool, String)>,
}

pub fn inspection_bytes(inspection: &inspection::Inspection) -> Result<Vec<u8>> {
    let inspection::Inspection { inspector, verdict, format, facts, names, findings } = inspection.clone();
    let findings = findings.into_iter().map(|Finding { fault, text }| (fault, text)).collect();
    let form = Inspection { inspector, verdict: verdict.number(), format, facts, names, findings };
    postcard::to_extend(&form, vec![VERSION]).map_err(Error::internal)
}

/// None: a newer program wrote it.
pub fn inspection_of(bytes: &[u8]) -> Option<inspection::Inspection> {
    let (version, form) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let Inspection { inspector, verdict, format, facts, names, findings } = postcard::from_bytes(form).ok()?;
    let verdict = Verdict::ALL.into_iter().find(|v| v.number() == verdict)?;
    let findings = findings.into_iter().map(|(fault, text)| Finding { fault, text }).collect();
    Some(inspection::Inspection { inspector, verdict, format, facts, names, findings })
}

pub fn take_inspection(fields: &mut Fields) -> Option<Arc<inspection::Inspection>> {
    let bytes = fields.take(Tag::INSPECTION)?;
    let known = inspection_of(&bytes).map(Arc::new);
    if known.is_none() {
        *fields = std::mem::take(fields).with(Tag::INSPECTION, bytes);
    }
    known
}

pub fn with_inspection(fields: Fields, inspection: Option<&inspection::Inspection>) -> Result<Fields> {
    Ok(match inspection {
        Some(inspection) => fields.with(Tag::INSPECTION, inspection_bytes(inspection)?),
        None => fields,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_newer_program_is_kept_as_it_is() {
        let newer = Fields::default().with(Tag::INSPECTION, vec![2, 7, 7]);
        let mut fields = newer.clone();
        assert!(take_inspection(&mut fields).is_none() && fields == newer);
        let verdict = Fields::default().with(Tag::INSPECTION, vec![1, 1, 9, 0, 0, 0, 0]);
        let mut fields = verdict.clone();
        assert!(take_inspection(&mut fields).is_none() && fields == verdict);
    }
}
