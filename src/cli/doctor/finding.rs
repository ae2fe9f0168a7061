//! What a check found: how it stands, in words, and what to do about it.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The gateway answers and can do its work
    Ready,
    /// Names lead somewhere
    Dns,
    /// Certificates: chain, name, end
    Tls,
    /// The gateway's clock and this machine's
    Clock,
    /// Signed requests: a bucket, a write, reads, ranges, conditions, a listing
    S3,
    /// The S3 below the gateway lets it do its work
    Upstream,
    /// Presigned URLs, and that a changed one opens nothing
    Links,
    /// What browsers need of the S3 door
    Cors,
    /// Reads through the edge door or the CDN, as a browser makes them
    Edge,
    /// The operator's door, and what the gateway counts that should be nothing
    Admin,
    /// Speed and free space of the data folder, where it is on this machine
    Disk,
    /// How many files the gateway's process may open, where it is on this machine
    Files,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Good,
    Skipped,
    Warning,
    Bad,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    pub check: Check,
    pub state: State,
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

/// In the order of the checks.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub fn good(&mut self, check: Check, what: impl Into<String>) {
        self.0.push(Finding { check, state: State::Good, what: what.into(), todo: None });
    }

    /// Could not be looked at, and how it could.
    pub fn skipped(&mut self, check: Check, what: impl Into<String>) {
        self.0.push(Finding { check, state: State::Skipped, what: what.into(), todo: None });
    }

    pub fn warning(&mut self, check: Check, what: impl Into<String>, todo: impl Into<String>) {
        self.0.push(Finding { check, state: State::Warning, what: what.into(), todo: Some(todo.into()) });
    }

    pub fn bad(&mut self, check: Check, what: impl Into<String>, todo: impl Into<String>) {
        self.0.push(Finding { check, state: State::Bad, what: what.into(), todo: Some(todo.into()) });
    }

    /// Good where it holds.
    pub fn expect(&mut self, check: Check, holds: bool, good: &str, bad: impl Into<String>, todo: &str) {
        if holds { self.good(check, good) } else { self.bad(check, bad, todo) }
    }

    pub fn count(&self, state: State) -> usize {
        self.0.iter().filter(|f| f.state == state).count()
    }

    pub fn list(&self) -> &[Finding] {
        &self.0
    }

    pub fn print(&self) {
        for finding in &self.0 {
            let state = match finding.state {
                State::Good => "good",
                State::Skipped => "skipped",
                State::Warning => "WARNING",
                State::Bad => "BAD",
            };
            println!("{state:<8} {:<9} {}", format!("{:?}", finding.check).to_ascii_lowercase(), finding.what);
            if let Some(todo) = &finding.todo {
                println!("{:<18} -> {todo}", "");
            }
        }
        let count = |state| self.count(state);
        println!(
            "{} good, {} skipped, {} warnings, {} bad",
            count(State::Good),
            count(State::Skipped),
            count(State::Warning),
            count(State::Bad)
        );
    }
}
