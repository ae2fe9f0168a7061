//! Tags beside a folder, where files have none: a line of JSON for each key that has some. An export writes it as it goes, an import
//! holds all of it.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Result};
use super::manifest::half;
use crate::base::tags::{Tagged, Tags};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Below the prefix.
    key: String,
    tags: BTreeMap<String, String>,
}

/// A half-written one has another name, and goes away with this.
pub struct Writer {
    file: BufWriter<File>,
    half: PathBuf,
}

impl Writer {
    pub fn begin(to: &Path) -> Result<Self> {
        let half = half(to);
        let file = File::create(&half).map_err(|e| Fault::new(format!("{}: {e}", half.display())))?;
        Ok(Writer { file: BufWriter::new(file), half })
    }

    pub fn add(&mut self, key: &str, tags: &Tags) -> Result<()> {
        if tags.is_empty() {
            return Ok(());
        }
        let tags = tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let line = Line { key: key.to_owned(), tags };
        serde_json::to_writer(&mut self.file, &line).map_err(|e| Fault::new(e.to_string()))?;
        Ok(self.file.write_all(b"\n")?)
    }

    pub fn finish(mut self, to: &Path) -> Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        Ok(fs::rename(&self.half, to)?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Gone already, where it was finished.
        let _ = fs::remove_file(&self.half);
    }
}

/// All of it, by key.
pub fn read(path: &Path) -> Result<HashMap<String, Tags>> {
    let file = File::open(path).map_err(|e| Fault::new(format!("{}: {e}", path.display())))?;
    read_lines(BufReader::new(file), &path.display().to_string())
}

fn read_lines(file: impl BufRead, shown: &str) -> Result<HashMap<String, Tags>> {
    let mut all = HashMap::new();
    for (number, line) in file.lines().enumerate() {
        let fault = |what: &str| Fault::new(format!("{shown}, line {}: {what}", number + 1));
        let line: Line = serde_json::from_str(&line?).map_err(|e| fault(&e.to_string()))?;
        let tags = Tags::new(line.tags.into_iter().collect(), Tagged::Object).map_err(|e| fault(e.message()))?;
        if all.insert(line.key, tags).is_some() {
            return Err(fault("a key stands here twice"));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tags");
        let mut writer = Writer::begin(&path).unwrap();
        let all = [("b", "x=1&y=a%20b"), ("a/b", ""), ("ü", "k=%C3%BC")].map(|(key, tags)| (key, Tags::parse(tags).unwrap()));
        all.iter().for_each(|(key, tags)| writer.add(key, tags).unwrap());
        writer.finish(&path).unwrap();
        let read = read(&path).unwrap();
        assert_eq!((read.len(), &read["b"], &read["ü"]), (2, &all[0].1, &all[2].1));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no half file is left");
    }

    #[test]
    fn faults_name_their_line() {
        let line = |key: &str| format!("{{\"key\":\"{key}\",\"tags\":{{\"k\":\"v\"}}}}\n");
        let fault = |text: &str| read_lines(text.as_bytes(), "t").unwrap_err().to_string();
        assert!(fault(&line("a").repeat(2)).contains("t, line 2: a key stands here twice"));
        assert!(fault(&[line("a"), "{}\n".into()].concat()).contains("t, line 2: missing field"));
        assert!(fault(&line("a").replace("\"v\"", &format!("{:?}", "v".repeat(300)))).contains("t, line 1: "));
    }
}
