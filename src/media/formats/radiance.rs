//! Radiance HDR (.hdr): the header in words, then each line of pixels, as far as it is counted.

use crate::media::bytes::{Cursor, Looked};
use crate::media::found::Found;

/// A header is a few lines.
const MAX_LINE: usize = 4096;
const MAX_LINES: usize = 1000;

pub fn look(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(bytes, "its header");
    let mut known_format = false;
    for _ in 0..MAX_LINES {
        let line = line(&mut at)?;
        if line.is_empty() {
            break;
        }
        if let Some(format) = line.strip_prefix(b"FORMAT=") {
            known_format = matches!(format.trim_ascii(), b"32-bit_rle_rgbe" | b"32-bit_rle_xyze");
        }
    }
    if !known_format {
        return Err("its header has no FORMAT that is known".to_owned());
    }
    let size = line(&mut at)?;
    let words: Vec<&[u8]> = size.split(|b| *b == b' ').filter(|w| !w.is_empty()).collect();
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<u32>().ok();
    // A line of pixels runs along the second axis.
    let (lines, along, upright) = match words[..] {
        [[b'-' | b'+', b'Y'], y, [b'-' | b'+', b'X'], x] => (number(y), number(x), true),
        [[b'-' | b'+', b'X'], x, [b'-' | b'+', b'Y'], y] => (number(x), number(y), false),
        _ => return Err("its header says no size".to_owned()),
    };
    let (Some(lines), Some(along)) = (lines, along) else { return Err("its header says a size that is no number".to_owned()) };
    let (width, height) = if upright { (along, lines) } else { (lines, along) };
    found.size(width, height);
    if width == 0 || height == 0 {
        return Ok(());
    }
    pixels(&mut at, lines, along)
}

fn line<'a>(at: &mut Cursor<'a>) -> Looked<&'a [u8]> {
    let within = &at.rest()[..at.left().min(MAX_LINE)];
    let end = memchr::memchr(b'\n', within).ok_or("its header has no end")?;
    let line = at.take(end + 1)?;
    Ok(line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]))
}

/// Lines of before there was a run length for each channel can't be counted without being decoded: they need a byte each at least.
fn pixels(at: &mut Cursor<'_>, lines: u32, along: u32) -> Looked<()> {
    for n in 0..lines {
        let packed = matches!(at.rest(), [2, 2, high, low, ..] if u32::from(*high) << 8 | u32::from(*low) == along);
        if !packed || !(8..=0x7fff).contains(&along) {
            let left = u64::from(lines - n).saturating_mul(u64::from(along));
            let old_runs = at.rest().chunks_exact(4).any(|pixel| pixel[..3] == [1, 1, 1]);
            let needed = if old_runs { u64::from(lines - n) } else { left.saturating_mul(4) };
            return if at.left() as u64 >= needed { Ok(()) } else { Err(short(n, lines)) };
        }
        at.skip(4).map_err(|_| short(n, lines))?;
        for _ in 0..4 {
            let mut done = 0u32;
            while done < along {
                let count = at.u8().map_err(|_| short(n, lines))?;
                let (run, bytes) = if count > 128 { (u32::from(count) - 128, 1) } else { (u32::from(count), u64::from(count)) };
                at.skip(bytes).map_err(|_| short(n, lines))?;
                if run == 0 || done + run > along {
                    return Err(format!("line {n} of its pixels has a run that goes past its end"));
                }
                done += run;
            }
        }
    }
    Ok(())
}

fn short(n: u32, lines: u32) -> String {
    format!("it is cut short: {n} of {lines} lines of pixels are there")
}
