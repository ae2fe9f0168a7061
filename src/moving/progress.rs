//! Who waits at a terminal sees a bar; a log gets a line now and then. All on stderr: stdout is for results.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::run::Summary;

/// Between two lines of a log.
const LINE_EVERY: Duration = Duration::from_secs(10);

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
                    eprintln!("tidegate: {}", text(now, Duration::ZERO));
                }
            }
        }
    }

    /// What went wrong.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("tidegate: {line}")),
            None => eprintln!("tidegate: {line}"),
        }
    }

    /// What a dry run would do is its result.
    pub fn plan(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
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
