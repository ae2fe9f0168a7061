//! The family of MP4 and AVIF (ISO base media): boxes in boxes, each inside the one around it. Headers, not samples.

use crate::base::inspection::Fact;
use crate::media::bytes::{Cursor, Looked, four};
use crate::media::found::Found;

const MAX_BOXES: usize = 10_000;
const MAX_TRACKS: usize = 64;

struct Part<'a> {
    name: [u8; 4],
    body: &'a [u8],
}

/// The boxes of a body. One that goes past its end is an error.
fn parts(body: &[u8]) -> Looked<Vec<Part<'_>>> {
    let mut at = Cursor::new(body, "a box");
    let mut found = Vec::new();
    while !at.is_empty() {
        // Some writers end a list of boxes so.
        if at.left() < 8 && at.rest().iter().all(|b| *b == 0) {
            break;
        }
        let (size, name) = (u64::from(at.u32_be()?), at.array::<4>()?);
        let length = match size {
            0 => at.left() as u64,
            1 => at.u64_be()?.checked_sub(16).ok_or("a box is said to be shorter than its header")?,
            size => size.checked_sub(8).ok_or("a box is said to be shorter than its header")?,
        };
        if length > at.left() as u64 {
            return Err(format!("it is cut short: its box {} is said to have {length} bytes and there are {}", four(&name), at.left()));
        }
        found.push(Part { name, body: at.take(length as usize)? });
        if found.len() > MAX_BOXES {
            return Err(format!("it has more than {MAX_BOXES} boxes in one"));
        }
    }
    Ok(found)
}

fn child<'a>(body: &'a [u8], name: &[u8; 4]) -> Looked<Option<&'a [u8]>> {
    Ok(parts(body)?.into_iter().find(|part| part.name == *name).map(|part| part.body))
}

/// By the path of names.
fn within<'a>(body: &'a [u8], path: &[&[u8; 4]]) -> Looked<Option<&'a [u8]>> {
    let mut body = body;
    for name in path {
        match child(body, name)? {
            Some(inner) => body = inner,
            None => return Ok(None),
        }
    }
    Ok(Some(body))
}

/// What follows version and flags.
fn full(body: &[u8]) -> Looked<(u8, Cursor<'_>)> {
    let mut at = Cursor::new(body, "a box");
    let version = at.u8()?;
    at.skip(3)?;
    Ok((version, at))
}

pub fn avif(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let top = parts(bytes)?;
    let meta = top.iter().find(|part| &part.name == b"meta").ok_or("it has no meta box")?;
    let (_, inside) = full(meta.body)?;
    let properties = within(inside.rest(), &[b"iprp", b"ipco"])?.ok_or("it says no properties of its picture")?;
    let mut sides: Option<(u32, u32)> = None;
    for property in parts(properties)? {
        match &property.name {
            b"ispe" => {
                let (_, mut at) = full(property.body)?;
                let (width, height) = (at.u32_be()?, at.u32_be()?);
                // Tiles and the alpha plane have theirs; the picture is the largest.
                if sides.is_none_or(|(w, h)| u64::from(w) * u64::from(h) < u64::from(width) * u64::from(height)) {
                    sides = Some((width, height));
                }
            }
            b"pixi" => {
                let (_, mut at) = full(property.body)?;
                let channels = at.u8()?;
                found.fact(Fact::Channels, channels);
                if channels > 0 {
                    found.fact(Fact::BitsPerSample, at.u8()?);
                }
            }
            b"av1C" => found.name("av01"),
            _ => {}
        }
    }
    let (width, height) = sides.ok_or("it says no size of its picture")?;
    found.size(width, height);
    if !top.iter().any(|part| &part.name == b"mdat") && child(inside.rest(), b"idat")?.is_none() {
        found.fault("it has no picture: there is no mdat box");
    }
    Ok(())
}

pub fn mp4(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let top = parts(bytes)?;
    let Some(movie) = top.iter().find(|part| &part.name == b"moov") else {
        return Err("it has no moov box: without it nothing of it can be played".to_owned());
    };
    let inside = parts(movie.body)?;
    let header = inside.iter().find(|part| &part.name == b"mvhd").ok_or("its moov box has no mvhd")?;
    let (version, mut at) = full(header.body)?;
    at.skip(if version == 1 { 16 } else { 8 })?;
    let scale = at.u32_be()?;
    let duration = if version == 1 { at.u64_be()? } else { u64::from(at.u32_be()?) };
    let fragments = inside.iter().any(|part| &part.name == b"mvex");
    if scale == 0 {
        return Err("it says that a second has no parts".to_owned());
    }
    // All ones: not known.
    if duration > 0 && duration != u64::MAX && duration != u64::from(u32::MAX) {
        found.fact(Fact::DurationMs, u64::try_from(u128::from(duration) * 1000 / u128::from(scale)).unwrap_or(u64::MAX));
    } else if !fragments {
        found.flag("it says no duration");
    }
    let tracks = inside.iter().filter(|part| &part.name == b"trak");
    let mut some = false;
    for track in tracks.take(MAX_TRACKS) {
        some |= self::track(track.body, found)?;
    }
    if !some {
        found.fault("it has neither pictures nor sound");
    }
    if !fragments && !top.iter().any(|part| &part.name == b"mdat") {
        found.fault("it has no data: there is no mdat box");
    }
    Ok(())
}

/// Whether it is of pictures or sound.
fn track(body: &[u8], found: &mut Found) -> Looked<bool> {
    let Some(media) = child(body, b"mdia")? else { return Ok(false) };
    let Some(handler) = child(media, b"hdlr")? else { return Ok(false) };
    let (_, mut at) = full(handler)?;
    at.skip(4)?;
    let kind = at.array::<4>()?;
    let Some(described) = within(media, &[b"minf", b"stbl", b"stsd"])? else { return Ok(false) };
    let (_, mut at) = full(described)?;
    let count = at.u32_be()?;
    let entry = match parts(at.rest())?.into_iter().next() {
        Some(entry) if count > 0 => entry,
        _ => return Ok(false),
    };
    found.name(&four(&entry.name));
    match &kind {
        b"vide" => {
            let mut at = Cursor::new(entry.body, "the description of its pictures");
            at.skip(24)?;
            let (width, height) = (at.u16_be()?, at.u16_be()?);
            found.size(u32::from(width), u32::from(height));
            Ok(true)
        }
        b"soun" => {
            let mut at = Cursor::new(entry.body, "the description of its sound");
            at.skip(16)?;
            let channels = at.u16_be()?;
            at.skip(6)?;
            let rate = at.u32_be()? >> 16;
            found.fact(Fact::Channels, channels);
            found.fact(Fact::SampleRate, rate);
            Ok(true)
        }
        _ => Ok(false),
    }
}
