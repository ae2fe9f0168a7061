//! MP3 (MPEG audio, layers I to III): tags are passed over, frames are counted by their headers.

use crate::base::inspection::Fact;
use crate::media::bytes::Looked;
use crate::media::found::Found;

/// More than this that is no frame is worth a word.
const STRAY: usize = 4096;
/// How far a first frame is looked for behind a tag that says a wrong length.
const SEARCH: usize = 64 * 1024;

struct Frame {
    bytes: usize,
    samples: u32,
    rate: u32,
    channels: u8,
}

pub fn look(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + 10).filter(|h| h.starts_with(b"ID3")) {
        let size = header[6..10].iter().fold(0usize, |n, b| n << 7 | usize::from(b & 0x7f));
        at = at + 10 + size + if header[5] & 0x10 != 0 { 10 } else { 0 };
        if at > bytes.len() {
            return Err("it is cut short: its tag goes past its end".to_owned());
        }
    }
    at = first_frame(bytes, at).ok_or("it has no audio: no MPEG frame was found")?;
    let (mut frames, mut samples, mut stray) = (0u64, 0u64, 0usize);
    let mut first: Option<(u32, u8)> = None;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(b"TAG") || rest.starts_with(b"APETAGEX") {
            break;
        }
        let Some(frame) = frame(rest) else {
            stray += 1;
            at += 1;
            continue;
        };
        if frame.bytes > rest.len() {
            found.flag("its last frame is cut short");
            break;
        }
        let (rate, channels) = *first.get_or_insert((frame.rate, frame.channels));
        if frame.rate != rate || frame.channels != channels {
            // By chance: a stream does not change so.
            stray += 1;
            at += 1;
            continue;
        }
        frames += 1;
        samples += u64::from(frame.samples);
        at += frame.bytes;
    }
    let (rate, channels) = first.ok_or("it has no audio: no MPEG frame was found")?;
    found.fact(Fact::SampleRate, rate);
    found.fact(Fact::Channels, channels);
    found.fact(Fact::Frames, frames);
    found.fact(Fact::DurationMs, samples * 1000 / u64::from(rate));
    if stray > STRAY {
        found.flag(format!("{stray} bytes of it are no audio"));
    }
    Ok(())
}

/// Where a frame stands that another one follows, or the end.
fn first_frame(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len().min(from + SEARCH)).find(|at| {
        let Some(one) = frame(&bytes[*at..]) else { return false };
        let next = &bytes[(*at + one.bytes).min(bytes.len())..];
        next.is_empty() || next.starts_with(b"TAG") || frame(next).is_some_and(|two| two.rate == one.rate)
    })
}

fn frame(bytes: &[u8]) -> Option<Frame> {
    const RATES: [u32; 3] = [44_100, 48_000, 32_000];
    const KBITS: [[u16; 15]; 5] = [
        [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let header = bytes.get(..4)?;
    if header[0] != 0xff || header[1] & 0xe0 != 0xe0 {
        return None;
    }
    let (version, layer) = (header[1] >> 3 & 3, header[1] >> 1 & 3);
    if version == 1 || layer == 0 {
        return None;
    }
    let (mpeg1, layer) = (version == 3, 4 - layer);
    let table = match (mpeg1, layer) {
        (true, 1) => 0,
        (true, 2) => 1,
        (true, _) => 2,
        (false, 1) => 3,
        (false, _) => 4,
    };
    let kbits = u32::from(*KBITS[table].get(usize::from(header[2] >> 4))?);
    let rate = *RATES.get(usize::from(header[2] >> 2 & 3))?
        >> match version {
            3 => 0,
            2 => 1,
            _ => 2,
        };
    if kbits == 0 {
        return None;
    }
    let padding = u32::from(header[2] >> 1 & 1);
    let (samples, length) = match (layer, mpeg1) {
        (1, _) => (384, (12_000 * kbits / rate + padding) * 4),
        (3, false) => (576, 72_000 * kbits / rate + padding),
        _ => (1152, 144_000 * kbits / rate + padding),
    };
    (length >= 4).then_some(Frame { bytes: length as usize, samples, rate, channels: if header[3] >> 6 == 3 { 1 } else { 2 } })
}
