//! What an inspection gathers, within bounds, and the verdict that follows from it.

use crate::base::inspection::{Fact, Finding, Inspection, MAX_FINDING_CHARS, MAX_FINDINGS, MAX_NAME_CHARS, MAX_NAMES, Verdict, cut};
use crate::media::format::Format;

/// Raised whenever an inspector would say something else of the same bytes.
pub const INSPECTOR: u16 = 2;

#[derive(Debug, Default)]
pub struct Found {
    format: Option<Format>,
    facts: Vec<(u16, u64)>,
    names: Vec<String>,
    findings: Vec<Finding>,
    more: usize,
}

impl Found {
    pub fn is(&mut self, format: Format) {
        self.format = Some(format);
    }

    pub fn fact(&mut self, fact: Fact, value: impl Into<u64>) {
        let (number, value) = (fact.number(), value.into());
        match self.facts.binary_search_by_key(&number, |(n, _)| *n) {
            Ok(at) => self.facts[at].1 = value,
            Err(at) => self.facts.insert(at, (number, value)),
        }
    }

    pub fn size(&mut self, width: u32, height: u32) {
        self.fact(Fact::Width, width);
        self.fact(Fact::Height, height);
    }

    /// What is known of it so far.
    pub fn of(&self, fact: Fact) -> Option<u64> {
        self.facts.iter().find(|(number, _)| *number == fact.number()).map(|(_, value)| *value)
    }

    /// An extension of a model, or a codec.
    pub fn name(&mut self, name: &str) {
        let name = cut(name, MAX_NAME_CHARS);
        if self.names.len() < MAX_NAMES && !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    pub fn fault(&mut self, text: impl AsRef<str>) {
        self.find(true, text.as_ref());
    }

    pub fn flag(&mut self, text: impl AsRef<str>) {
        self.find(false, text.as_ref());
    }

    pub fn first_fault(&self) -> Option<&str> {
        self.findings.iter().find(|f| f.fault).map(|f| f.text.as_str())
    }

    fn find(&mut self, fault: bool, text: &str) {
        if self.findings.len() >= MAX_FINDINGS {
            self.more += 1;
            // A fault is never lost behind what is only to be looked at.
            match self.findings.iter().position(|f| !f.fault).filter(|_| fault) {
                Some(at) => drop(self.findings.remove(at)),
                None => return,
            }
        }
        self.findings.push(Finding { fault, text: cut(text, MAX_FINDING_CHARS) });
    }

    pub fn inspection(self) -> Inspection {
        let verdict = match () {
            () if self.findings.iter().any(|f| f.fault) => Verdict::Refused,
            () if !self.findings.is_empty() => Verdict::Flagged,
            () => Verdict::Passed,
        };
        let mut findings = self.findings;
        if self.more > 0 && findings.len() == MAX_FINDINGS {
            findings.pop();
            findings.push(Finding { fault: false, text: format!("and {} things more", self.more + 1) });
        }
        let format = self.format.map(|f| f.name().to_owned()).unwrap_or_default();
        Inspection { inspector: INSPECTOR, verdict, format, facts: self.facts, names: self.names, findings }
    }
}
