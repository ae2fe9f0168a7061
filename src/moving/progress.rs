//! Who waits at a terminal sees a bar; a log gets a line now and then. All on stderr: stdout is for results.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two lines of a log.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What a run did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub moved: u64,
    pub bytes: u64,
    pub same: u64,
    /// Taken for the same by size and time alone.
    pub unproven: u64,
    pub deleted: u64,
    pub failed: u64,
}

pub struct Progress {
    /// None: no terminal.
    bar: Option<ProgressBar>,
    said: Mutex<Instant>,
}

impl Progress {
    pub fn new(terminal: bool) -> Self {
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style("{spinner} {elapsed_precise} {msg}"));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Progress { bar, said: Mutex::new(Instant::now()) }
    }

    /// How many there will be, where that is known.
    pub fn expect(&self, objects: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(objects);
            bar.set_style(style("{spinner} {elapsed_precise} {wide_bar} {pos}/{len} {msg} {eta}"));
        }
    }

    pub fn step(&self, now: Summary) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(now.moved + now.same + now.unproven + now.failed);
                bar.set_message(text(now, bar.elapsed()));
            }
            None => {
                let mut said = self.said.lock().unwrap_or_else(|e| e.into_inner());
                if said.elapsed() >= LINE_EVERY {
                    *said = Instant::now();
                    write_line(std::io::stderr(), &format!("tidegate: {}", text(now, Duration::ZERO)));
                }
            }
        }
    }

    /// What went wrong.
    pub fn say(&self, line: &str) {
        self.aside(|| write_line(std::io::stderr(), &format!("tidegate: {line}")));
    }

    /// A result: the last word, and all that a dry run would do.
    pub fn tell(&self, line: &str) {
        self.aside(|| write_line(std::io::stdout(), line));
    }

    fn aside(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A key may hold what a terminal would obey. Who does not read on is no reason to stop.
fn write_line(mut to: impl Write, line: &str) {
    let mut plain = String::with_capacity(line.len() + 1);
    for c in line.chars() {
        if c.is_control() { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain.push('\n');
    let _ = to.write_all(plain.as_bytes());
}

/// The templates are ours: one that does not parse falls back to the plain bar.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn text(now: Summary, elapsed: Duration) -> String {
    let mut text = format!("{} moved ({})", HumanCount(now.moved), HumanBytes(now.bytes));
    if elapsed.as_secs() > 0 {
        text.push_str(&format!(", {}/s", HumanBytes(now.bytes / elapsed.as_secs())));
    }
    for (count, what) in [(now.same + now.unproven, "there already"), (now.deleted, "deleted"), (now.failed, "failed")] {
        if count > 0 {
            text.push_str(&format!(", {} {what}", HumanCount(count)));
        }
    }
    text
}

/// The last word, on stdout.
pub fn result(now: Summary, dry_run: bool) -> String {
    let word = if dry_run { "would be moved" } else { "moved" };
    let mut text = format!("{} {word} ({} bytes), {} there already", now.moved, now.bytes, now.same + now.unproven);
    if now.unproven > 0 {
        text.push_str(&format!(" ({} of them by size and time only: --verify full reads both sides)", now.unproven));
    }
    if now.deleted > 0 {
        text.push_str(&format!(", {} {}deleted", now.deleted, if dry_run { "would be " } else { "" }));
    }
    format!("{text}, {} failed", now.failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_commands_the_terminal() {
        let mut out = Vec::new();
        write_line(&mut out, "a\u{1b}[2Jé\n\u{9b}x");
        assert_eq!(String::from_utf8(out).unwrap(), "a\\u{1b}[2Jé\\n\\u{9b}x\n");
    }
}
