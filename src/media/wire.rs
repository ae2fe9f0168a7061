//! What gateway and worker say to each other over two pipes: an order and the content one way, frames the other way.
//!
//! ```text
//! to the worker      u32 length, order as JSON;  u64 length, content
//! from the worker    any number of frames:  u8 what it is, u32 length, payload
//! ```
//! All numbers are little-endian, and every length is bounded before anything is read by it: the worker may have been taken over by
//! the file that it reads.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::base::inspection::{Finding, Inspection, MAX_FINDING_CHARS, MAX_FINDINGS, MAX_NAME_CHARS, MAX_NAMES, Verdict, cut};
use crate::media::optimize::recipe::{Poster, Recipe};

pub const MAX_ORDER_BYTES: u32 = 64 * 1024;
/// A poster, as it were noise.
pub const MAX_RESULT_BYTES: u32 = 6 * 1024 * 1024;
pub const MAX_TEXT_BYTES: u32 = 4096;
/// As many facts as a form of ours has room for in the future.
const MAX_FACTS: usize = 256;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    pub memory_bytes: u64,
    pub cpu_seconds: u64,
    pub task: Task,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    Inspect {
        content_type: String,
        name: String,
    },
    /// Of a model.
    Poster(Poster),
    /// How alike two models look: the first is so many bytes of the content, the rest is the second.
    Compare {
        first: u64,
        side: u32,
    },
    /// Of a model. `name`: what results are called, before what they are; empty: by that alone.
    Optimize {
        name: String,
        recipe: Recipe,
    },
    /// Does what it says, so that tests see that the limits hold.
    #[cfg(feature = "test-util")]
    Misbehave(Misdeed),
}

impl Task {
    /// Which keys of the configuration say how much CPU time and how much time it has.
    pub fn limits(&self) -> (&'static str, &'static str) {
        match self {
            Task::Optimize { .. } => ("media.optimize_cpu", "media.optimize_time"),
            _ => ("media.cpu", "media.time"),
        }
    }
}

#[cfg(feature = "test-util")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misdeed {
    Abort,
    Hang,
    Spin,
    TakeMemory,
    Panic,
    OpenFile,
    Connect,
    Flood,
    Lie,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// The result as JSON: the last frame.
    Result,
    /// Why there is none, in words: the last frame.
    Fault,
    /// What is being done, in words.
    Step,
    /// A result that is a file: the length of its name in a byte, its name, its content.
    File,
}

impl Frame {
    pub const fn byte(self) -> u8 {
        match self {
            Frame::Result => b'r',
            Frame::Fault => b'f',
            Frame::Step => b's',
            Frame::File => b'o',
        }
    }

    /// With the longest payload that it may have.
    pub const fn of(byte: u8) -> Option<(Self, u32)> {
        Some(match byte {
            b'r' => (Frame::Result, MAX_RESULT_BYTES),
            b'f' => (Frame::Fault, MAX_TEXT_BYTES),
            b's' => (Frame::Step, MAX_TEXT_BYTES),
            b'o' => (Frame::File, u32::MAX),
            _ => return None,
        })
    }
}

pub const FRAME_HEAD: usize = 5;

pub fn write_frame(to: &mut impl Write, frame: Frame, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    to.write_all(&[frame.byte()])?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(payload)?;
    to.flush()
}

/// A file's name and its content, as one payload.
pub fn file_payload(name: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u8::try_from(name.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok([&[length], name.as_bytes(), bytes].concat())
}

/// None: it has no name that a file may have beside others. The worker may have been taken over.
pub fn read_file_payload(mut payload: Vec<u8>) -> Option<(String, Vec<u8>)> {
    let length = usize::from(*payload.first()?);
    let name = std::str::from_utf8(payload.get(1..=length)?).ok()?.to_owned();
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if name.is_empty() || name.starts_with('.') || !plain {
        return None;
    }
    payload.drain(..=length);
    Some((name, payload))
}

/// A name as `read_file_payload` takes it.
pub fn plain_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let name: String = name.trim_start_matches('.').chars().map(plain).take(100).collect();
    if name.is_empty() { "model".to_owned() } else { name }
}

/// All that goes before the content.
pub fn opening(order: &Order, content: u64) -> io::Result<Vec<u8>> {
    let order = serde_json::to_vec(order)?;
    let length = u32::try_from(order.len()).ok().filter(|n| *n <= MAX_ORDER_BYTES).ok_or(io::ErrorKind::InvalidInput)?;
    Ok([&length.to_le_bytes()[..], &order, &content.to_le_bytes()].concat())
}

pub fn read_order(from: &mut impl Read) -> io::Result<(Order, u64)> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MAX_ORDER_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut order = vec![0; length as usize];
    from.read_exact(&mut order)?;
    let mut content = [0; 8];
    from.read_exact(&mut content)?;
    Ok((serde_json::from_slice(&order)?, u64::from_le_bytes(content)))
}

/// An inspection as it travels. Not the stored form: both ends are one program.
#[derive(Serialize, Deserialize)]
struct Told {
    inspector: u16,
    verdict: String,
    format: String,
    facts: Vec<(u16, u64)>,
    names: Vec<String>,
    findings: Vec<(bool, String)>,
}

pub fn write_inspection(inspection: Inspection) -> io::Result<Vec<u8>> {
    let Inspection { inspector, verdict, format, facts, names, findings } = inspection;
    let findings = findings.into_iter().map(|f| (f.fault, f.text)).collect();
    Ok(serde_json::to_vec(&Told { inspector, verdict: verdict.name().to_owned(), format, facts, names, findings })?)
}

/// None: it is not one that our own worker would tell.
pub fn read_inspection(bytes: &[u8]) -> Option<Inspection> {
    let Told { inspector, verdict, format, facts, names, findings } = serde_json::from_slice(bytes).ok()?;
    let name = |text: &String| text.chars().count() <= MAX_NAME_CHARS && *text == cut(text, MAX_NAME_CHARS);
    let text = |(_, text): &(bool, String)| text.chars().count() <= MAX_FINDING_CHARS && *text == cut(text, MAX_FINDING_CHARS);
    let bounded = facts.len() <= MAX_FACTS && names.len() <= MAX_NAMES && findings.len() <= MAX_FINDINGS;
    if !bounded || !facts.is_sorted_by(|a, b| a.0 < b.0) || !name(&format) || !names.iter().all(name) || !findings.iter().all(text) {
        return None;
    }
    let findings = findings.into_iter().map(|(fault, text)| Finding { fault, text }).collect();
    Some(Inspection { inspector, verdict: Verdict::parse(&verdict)?, format, facts, names, findings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let order =
            Order { memory_bytes: 1, cpu_seconds: 2, task: Task::Inspect { content_type: "image/png".into(), name: "a/b.png".into() } };
        let bytes = opening(&order, 7).unwrap();
        let (read, content) = read_order(&mut &bytes[..]).unwrap();
        assert_eq!((format!("{read:?}"), content), (format!("{order:?}"), 7));
        for end in 0..bytes.len() {
            assert!(read_order(&mut &bytes[..end]).is_err());
        }
        assert!(read_order(&mut &[0xff; 64][..]).is_err());
        for frame in [Frame::Result, Frame::Fault, Frame::Step, Frame::File] {
            assert_eq!(Frame::of(frame.byte()).map(|(f, _)| f), Some(frame));
        }
        assert_eq!(Frame::of(0), None);
    }

    #[test]
    fn files_have_plain_names() {
        let read = |name: &str| read_file_payload(file_payload(name, b"bytes").unwrap());
        assert_eq!(read("a.draco-0.glb"), Some(("a.draco-0.glb".to_owned(), b"bytes".to_vec())));
        for name in ["", "../a", "/etc/passwd", ".ssh", "a b", "a\0", "\u{e9}"] {
            assert_eq!(read(name), None, "{name:?}");
            assert!(read(&plain_name(name)).is_some(), "{name:?}");
        }
        assert_eq!((read_file_payload(Vec::new()), read_file_payload(vec![9, b'a'])), (None, None));
    }

    #[test]
    fn a_lie_is_no_inspection() {
        let inspection = Inspection {
            inspector: 1,
            verdict: Verdict::Flagged,
            format: "png".into(),
            facts: vec![(0, 5), (1, 6)],
            names: vec!["a".into()],
            findings: vec![Finding { fault: false, text: "odd".into() }],
        };
        let told = |i: &Inspection| read_inspection(&write_inspection(i.clone()).unwrap());
        assert_eq!(told(&inspection), Some(inspection.clone()));
        for lie in [
            Inspection { format: "x\r\nset-cookie: a".into(), ..inspection.clone() },
            Inspection { facts: vec![(1, 6), (1, 5)], ..inspection.clone() },
            Inspection { names: vec!["x".repeat(100)], ..inspection.clone() },
            Inspection { findings: vec![Finding { fault: true, text: "a".into() }; 17], ..inspection.clone() },
        ] {
            assert_eq!(told(&lie), None, "{lie:?}");
        }
        assert_eq!(read_inspection(b"{}"), None);
    }
}
