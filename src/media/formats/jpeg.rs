//! JPEG (T.81): segments up to the frame and through its scans, to the end of the picture.

use crate::base::inspection::Fact;
use crate::media::bytes::{Cursor, Looked};
use crate::media::found::Found;

pub fn look(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(bytes, "a JPEG segment");
    at.skip(2)?;
    let (mut has_frame, mut has_scan) = (false, false);
    loop {
        let Some(marker) = next_marker(&mut at)? else {
            let what = if has_scan { "the end of the picture is missing" } else { "there is no picture" };
            return Err(format!("it is cut short: {what}"));
        };
        match marker {
            0xd9 => break,
            0x01 | 0xd0..=0xd7 => continue,
            _ => {}
        }
        let length = at.u16_be()?;
        let body = at.take(usize::from(length).checked_sub(2).ok_or("a JPEG segment has a length under 2")?)?;
        match marker {
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                frame(body, found)?;
                has_frame = true;
            }
            0xda if !has_frame => return Err("it has a scan before its frame says a size".to_owned()),
            0xda => {
                has_scan = true;
                pass_scan(&mut at);
            }
            _ => {}
        }
    }
    if !has_scan {
        found.fault("it has no picture: there is no scan");
    }
    Ok(())
}

/// None: it ends here.
fn next_marker(at: &mut Cursor<'_>) -> Looked<Option<u8>> {
    if at.is_empty() {
        return Ok(None);
    }
    if at.u8()? != 0xff {
        return Err(format!("at byte {} there is no JPEG segment", at.at() - 1));
    }
    while !at.is_empty() {
        match at.u8()? {
            0xff => {}
            marker => return Ok(Some(marker)),
        }
    }
    Ok(None)
}

/// To the next marker that is none of the scan's own.
fn pass_scan(at: &mut Cursor<'_>) {
    let rest = at.rest();
    let mut from = 0;
    let end = loop {
        let Some(found) = memchr::memchr(0xff, rest.get(from..).unwrap_or_default()) else { break rest.len() };
        let sign = from + found;
        match rest.get(sign + 1) {
            Some(0x00 | 0xd0..=0xd7) => from = sign + 2,
            Some(0xff) => from = sign + 1,
            Some(_) => break sign,
            None => break rest.len(),
        }
    };
    // It lies inside the rest.
    let _ = at.skip(end as u64);
}

fn frame(body: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(body, "a JPEG frame");
    let depth = at.u8()?;
    let (height, width, channels) = (at.u16_be()?, at.u16_be()?, at.u8()?);
    found.size(u32::from(width), u32::from(height));
    found.fact(Fact::BitsPerSample, depth);
    found.fact(Fact::Channels, channels);
    at.skip(u64::from(channels) * 3)?;
    if !(1..=4).contains(&channels) {
        return Err(format!("its frame has {channels} components"));
    }
    Ok(())
}
