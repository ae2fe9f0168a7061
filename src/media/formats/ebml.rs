//! WebM and Matroska (EBML): the header, what is said of the whole, and the tracks. Clusters are passed over.

use crate::base::inspection::Fact;
use crate::media::bytes::{Cursor, Looked};
use crate::media::found::Found;

const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_A966;
const TRACKS: u32 = 0x1654_AE6B;
const CLUSTER: u32 = 0x1F43_B675;
const MAX_ELEMENTS: usize = 100_000;
/// A live stream does not know its length.
const UNKNOWN: u64 = u64::MAX;

pub fn look(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(bytes, "an element");
    let (_, length) = head(&mut at)?;
    let header = at.take(usize::try_from(length).unwrap_or(usize::MAX))?;
    let mut kind = None;
    each(header, |id, body| {
        if id == 0x4282 {
            kind = Some(body.to_vec());
        }
        Ok(())
    })?;
    match kind.as_deref() {
        Some(b"webm" | b"matroska") => {}
        _ => return Err("its header says neither webm nor matroska".to_owned()),
    }
    let (id, length) = head(&mut at)?;
    if id != SEGMENT {
        return Err("there is no segment behind its header".to_owned());
    }
    let short = length != UNKNOWN && length > at.left() as u64;
    segment(at, found)?;
    if short {
        found.fault(format!("it is cut short: its segment is said to have {length} bytes"));
    }
    Ok(())
}

fn segment(mut at: Cursor<'_>, found: &mut Found) -> Looked<()> {
    let (mut has_tracks, mut has_clusters) = (false, false);
    for _ in 0..MAX_ELEMENTS {
        if at.is_empty() {
            break;
        }
        let (id, length) = head(&mut at)?;
        match id {
            CLUSTER => {
                has_clusters = true;
                break;
            }
            INFO => info(at.take(usize::try_from(length).unwrap_or(usize::MAX))?, found)?,
            TRACKS => {
                has_tracks = true;
                each(
                    at.take(usize::try_from(length).unwrap_or(usize::MAX))?,
                    |id, body| if id == 0xae { track(body, found) } else { Ok(()) },
                )?;
            }
            _ => at.skip(length)?,
        }
    }
    if !has_tracks {
        return Err("it says nothing of its tracks".to_owned());
    }
    if !has_clusters {
        found.fault("it has no data: there is no cluster");
    }
    Ok(())
}

fn info(body: &[u8], found: &mut Found) -> Looked<()> {
    let (mut scale, mut duration) = (1_000_000u64, None);
    each(body, |id, body| {
        match id {
            0x002A_D7B1 => scale = unsigned(body),
            0x4489 => duration = float(body),
            _ => {}
        }
        Ok(())
    })?;
    let milliseconds = duration.map(|d| d * scale as f64 / 1e6).filter(|d| d.is_finite() && *d >= 0.0);
    match milliseconds {
        Some(milliseconds) => found.fact(Fact::DurationMs, milliseconds as u64),
        None => found.flag("it says no duration"),
    }
    Ok(())
}

fn track(body: &[u8], found: &mut Found) -> Looked<()> {
    each(body, |id, body| match id {
        0x86 => {
            found.name(&String::from_utf8_lossy(body));
            Ok(())
        }
        0xe0 => {
            let (mut width, mut height) = (0, 0);
            each(body, |id, body| {
                match id {
                    0xb0 => width = unsigned(body),
                    0xba => height = unsigned(body),
                    _ => {}
                }
                Ok(())
            })?;
            found.fact(Fact::Width, width);
            found.fact(Fact::Height, height);
            if width == 0 || height == 0 {
                found.fault("its pictures have no size");
            }
            Ok(())
        }
        0xe1 => each(body, |id, body| {
            match id {
                0x9f => found.fact(Fact::Channels, unsigned(body)),
                0xb5 => found.fact(Fact::SampleRate, float(body).filter(|f| f.is_finite() && *f >= 0.0).unwrap_or_default() as u64),
                _ => {}
            }
            Ok(())
        }),
        _ => Ok(()),
    })
}

fn each<'a>(body: &'a [u8], mut with: impl FnMut(u32, &'a [u8]) -> Looked<()>) -> Looked<()> {
    let mut at = Cursor::new(body, "an element");
    while !at.is_empty() {
        let (id, length) = head(&mut at)?;
        with(id, at.take(usize::try_from(length).unwrap_or(usize::MAX))?)?;
    }
    Ok(())
}

/// The id with its marker, and the length.
fn head(at: &mut Cursor<'_>) -> Looked<(u32, u64)> {
    let first = at.u8()?;
    let more = first.leading_zeros();
    if more > 3 {
        return Err(format!("at byte {} there is no element", at.at() - 1));
    }
    let mut id = u32::from(first);
    for _ in 0..more {
        id = id << 8 | u32::from(at.u8()?);
    }
    let first = at.u8()?;
    let more = first.leading_zeros();
    if more > 7 {
        return Err(format!("at byte {} there is no length of an element", at.at() - 1));
    }
    let mask = (1u64 << (7 - more)) - 1;
    let (mut length, mut ones) = (u64::from(first) & mask, u64::from(first) & mask == mask);
    for _ in 0..more {
        let next = at.u8()?;
        ones &= next == 0xff;
        length = length << 8 | u64::from(next);
    }
    Ok((id, if ones { UNKNOWN } else { length }))
}

fn unsigned(body: &[u8]) -> u64 {
    body.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b))
}

fn float(body: &[u8]) -> Option<f64> {
    match body.len() {
        4 => body.try_into().ok().map(|b| f64::from(f32::from_be_bytes(b))),
        8 => body.try_into().ok().map(f64::from_be_bytes),
        _ => None,
    }
}
