//! The log: one line per event on stderr, as text or JSON.
//!
//! Every line is redacted on its way, whoever wrote it. Not here: the access log (one line per request, its own file). Lines are made with `tracing` everywhere else.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use super::redact::Redacted;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Text,
    Json,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err("\"text\" or \"json\""),
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Format::Text => "text",
            Format::Json => "json",
        })
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub format: Format,
    /// A level, or directives by module as `tracing_subscriber::EnvFilter` takes them (`info,tidegate::net=debug`).
    pub level: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { format: Format::Text, level: "info".into() }
    }
}

/// Whether `level` can be used; the config checks it before anything starts.
pub fn check_level(level: &str) -> Result<(), String> {
    EnvFilter::builder().parse(level).map(|_| ()).map_err(|e| e.to_string())
}

/// Installs the log for the whole process. A second call (tests) changes nothing.
pub fn init(settings: &Settings) {
    let filter = EnvFilter::builder().parse_lossy(&settings.level);
    // A line that can't be written (its disk is full) is lost. Telling so on stderr as well would panic, and end whoever logged.
    let lines = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(|| Redacted(std::io::stderr()))
        .with_target(false);
    let installed = match settings.format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    if let Err(e) = installed {
        tracing::debug!(error = %e, "a log was installed already");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_checked() {
        assert!(check_level("info").is_ok());
        assert!(check_level("info,tidegate::net=debug").is_ok());
        assert!(check_level("tidegate=loud").is_err());
    }
}
