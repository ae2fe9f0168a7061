//! Append-only files, one for each day of UTC, in a folder of their own: `2026-11-30.log`. What was appended is on the disk.
//!
//! Called by one log's thread. Limits: days and bytes of all files; the oldest go first, today's stays.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::line_log::Append;
use crate::base::timestamp::Timestamp;
use crate::private;

const SUFFIX: &str = ".log";

#[derive(Debug)]
pub struct DailyFiles {
    dir: PathBuf,
    keep: Duration,
    max_bytes: u64,
    today: Option<(Date, File)>,
    /// Of all files.
    bytes: u64,
    now: fn() -> Timestamp,
}

impl DailyFiles {
    pub fn start(dir: &Path, keep: Duration, max_bytes: u64) -> io::Result<Self> {
        Self::open(dir, keep, max_bytes, Timestamp::now)
    }

    fn open(dir: &Path, keep: Duration, max_bytes: u64, now: fn() -> Timestamp) -> io::Result<Self> {
        private::make_dir(dir)?;
        private::tighten(dir)?;
        let mut files = DailyFiles { dir: dir.to_owned(), keep, max_bytes, today: None, bytes: 0, now };
        files.begin_day(files.date())?;
        Ok(files)
    }

    fn date(&self) -> Date {
        OffsetDateTime::from_unix_timestamp((self.now)().secs() as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH).date()
    }

    fn begin_day(&mut self, date: Date) -> io::Result<()> {
        let file = private::options().create(true).append(true).open(self.path(date))?;
        // A name that is not on the disk would take its lines with it.
        File::open(&self.dir)?.sync_all()?;
        self.today = Some((date, file));
        self.remove_old(date, 0)
    }

    /// So that there is `room` for more.
    fn remove_old(&mut self, today: Date, room: u64) -> io::Result<()> {
        let mut days = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            if let Some(date) = entry.file_name().to_str().and_then(date_of) {
                days.push((date, entry.metadata()?.len()));
            }
        }
        days.sort();
        self.bytes = days.iter().map(|(_, len)| len).sum();
        for (date, len) in days.into_iter().filter(|(date, _)| *date < today) {
            let is_old = today - date > self.keep;
            if is_old || self.bytes + room > self.max_bytes {
                std::fs::remove_file(self.path(date))?;
                self.bytes -= len;
            }
        }
        Ok(())
    }

    fn path(&self, date: Date) -> PathBuf {
        self.dir.join(format!("{date}{SUFFIX}"))
    }
}

fn date_of(name: &str) -> Option<Date> {
    Date::parse(name.strip_suffix(SUFFIX)?, format_description!("[year]-[month]-[day]")).ok()
}

impl Append for DailyFiles {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let date = self.date();
        if self.today.as_ref().is_none_or(|(today, _)| *today != date) {
            self.begin_day(date)?;
        } else if self.bytes + lines.len() as u64 > self.max_bytes {
            self.remove_old(date, lines.len() as u64)?;
        }
        let Some((_, file)) = &mut self.today else { return Err(io::Error::other("there is no file of today")) };
        if self.bytes + lines.len() as u64 > self.max_bytes {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "today's file alone is as large as all may be"));
        }
        file.write_all(lines)?;
        self.bytes += lines.len() as u64;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    static DAY: AtomicU64 = AtomicU64::new(0);

    /// 20 000 days after 1970 and on.
    fn now() -> Timestamp {
        Timestamp::from_secs((20_000 + DAY.load(Ordering::Relaxed)) * 86_400)
    }

    #[test]
    fn a_file_for_each_day_until_it_is_old_or_too_much_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let names = || {
            let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let at = |day: u64| DAY.store(day, Ordering::Relaxed);
        std::fs::write(dir.path().join("note.txt"), "somebody's").unwrap();
        let mut files = DailyFiles::open(dir.path(), Duration::from_secs(2 * 86_400), 40, now).unwrap();
        for day in 0..4 {
            at(day);
            files.append(b"one line\n").unwrap();
        }
        assert_eq!(names(), ["2024-10-05.log", "2024-10-06.log", "2024-10-07.log", "note.txt"], "two days besides today's");
        files.append(b"a much longer line\n").unwrap();
        assert_eq!(names(), ["2024-10-06.log", "2024-10-07.log", "note.txt"], "the oldest went for it");
        drop(files);
        let mut files = DailyFiles::open(dir.path(), Duration::from_secs(2 * 86_400), 40, now).unwrap();
        assert_eq!(files.append(&[b'x'; 41]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        files.append(b"and more\n").unwrap();
        let today = std::fs::read_to_string(dir.path().join("2024-10-07.log")).unwrap();
        assert_eq!(today, "one line\na much longer line\nand more\n");
    }
}
