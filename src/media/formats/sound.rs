//! WAV and FLAC: what their headers say of the sound, and whether the data is there.

use crate::base::inspection::Fact;
use crate::media::bytes::{Cursor, Looked};
use crate::media::found::Found;

pub fn wav(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(bytes, "a WAV chunk");
    at.skip(12)?;
    let mut bytes_per_second = None;
    loop {
        if at.is_empty() {
            return Err("it has no sound: there is no data chunk".to_owned());
        }
        let name = at.take(4)?;
        let size = at.u32_le()?;
        match name {
            b"fmt " => {
                let mut format = Cursor::new(at.take(size as usize)?, "its fmt chunk");
                format.skip(2)?;
                let (channels, rate, per_second) = (format.u16_le()?, format.u32_le()?, format.u32_le()?);
                format.skip(2)?;
                found.fact(Fact::Channels, channels);
                found.fact(Fact::SampleRate, rate);
                found.fact(Fact::BitsPerSample, format.u16_le()?);
                if channels == 0 || rate == 0 || per_second == 0 {
                    return Err("its fmt chunk says that there are no channels, or no rate".to_owned());
                }
                bytes_per_second = Some(u64::from(per_second));
            }
            b"data" => {
                let per_second = bytes_per_second.ok_or("its data comes before what says how to read it")?;
                // All ones: written to a pipe, or a file of more than 4 GiB.
                let told = if size == u32::MAX { at.left() as u64 } else { u64::from(size) };
                let there = told.min(at.left() as u64);
                found.fact(Fact::DurationMs, there * 1000 / per_second);
                if told > there {
                    return Err(format!("it is cut short: its data is said to have {told} bytes and there are {there}"));
                }
                if there == 0 {
                    found.fault("it has no sound: its data is empty");
                }
                return Ok(());
            }
            _ => at.skip(u64::from(size))?,
        }
        if size % 2 == 1 && !at.is_empty() {
            at.skip(1)?;
        }
    }
}

pub fn flac(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(bytes, "a FLAC block");
    at.skip(4)?;
    let mut first = true;
    loop {
        let head = at.u32_be()?;
        let body = at.take((head & 0xff_ffff) as usize)?;
        if first {
            if head >> 24 & 0x7f != 0 {
                return Err("its first block is not STREAMINFO".to_owned());
            }
            let mut info = Cursor::new(body, "STREAMINFO");
            info.skip(10)?;
            let packed = info.u64_be()?;
            let (rate, samples) = (packed >> 44, packed & 0xf_ffff_ffff);
            found.fact(Fact::SampleRate, rate);
            found.fact(Fact::Channels, (packed >> 41 & 7) + 1);
            found.fact(Fact::BitsPerSample, (packed >> 36 & 31) + 1);
            if rate == 0 {
                return Err("STREAMINFO says that there is no rate".to_owned());
            }
            if samples > 0 {
                found.fact(Fact::DurationMs, samples * 1000 / rate);
            }
            first = false;
        }
        if head >> 31 == 1 {
            break;
        }
    }
    match at.rest() {
        [0xff, second, ..] if second & 0xfc == 0xf8 => Ok(()),
        [] => Err("it is cut short: there is no sound behind its header".to_owned()),
        _ => Err("what stands behind its header is no FLAC frame".to_owned()),
    }
}
