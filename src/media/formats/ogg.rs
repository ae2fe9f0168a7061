//! Ogg: pages to the last one, and what the first packet of each stream says (Opus, Vorbis, FLAC, Theora, Speex).

use crate::base::inspection::Fact;
use crate::media::bytes::{Cursor, Looked};
use crate::media::found::Found;

#[derive(Clone, Copy)]
struct Sound {
    serial: u32,
    rate: u32,
    skipped: u64,
}

const LAST: u8 = 4;
const FIRST: u8 = 2;

pub fn look(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(bytes, "an Ogg page");
    let (mut sound, mut last, mut ended) = (None::<Sound>, 0u64, false);
    while !at.is_empty() {
        if at.take(4)? != b"OggS" {
            return Err(format!("at byte {} there is no Ogg page", at.at() - 4));
        }
        at.skip(1)?;
        let flags = at.u8()?;
        let (granule, serial) = (at.u64_le()?, at.u32_le()?);
        at.skip(8)?;
        let count = at.u8()?;
        let segments = at.take(usize::from(count))?;
        let body = at.take(segments.iter().map(|s| usize::from(*s)).sum())?;
        if flags & FIRST != 0
            && let Some((rate, skipped)) = codec(body, found)?
        {
            sound.get_or_insert(Sound { serial, rate, skipped });
        }
        if sound.is_some_and(|s| s.serial == serial) {
            // All ones: no packet ends on it.
            if granule != u64::MAX {
                last = granule;
            }
            ended |= flags & LAST != 0;
        }
    }
    let Some(Sound { rate, skipped, .. }) = sound else {
        found.flag("it has no sound that is known here");
        return Ok(());
    };
    found.fact(
        Fact::DurationMs,
        u64::try_from(u128::from(last.saturating_sub(skipped)) * 1000 / u128::from(rate.max(1))).unwrap_or(u64::MAX),
    );
    if !ended {
        found.flag("its last page does not say that it is the last: it may be cut short");
    }
    if rate == 0 {
        found.fault("it says that its sound has no rate");
    }
    Ok(())
}

/// The rate that pages count in, and how much is not heard. None: no sound.
fn codec(packet: &[u8], found: &mut Found) -> Looked<Option<(u32, u64)>> {
    let mut at = Cursor::new(packet, "the first packet of its stream");
    if packet.starts_with(b"OpusHead") {
        at.skip(9)?;
        let (channels, skipped) = (at.u8()?, at.u16_le()?);
        found.name("opus");
        found.fact(Fact::Channels, channels);
        found.fact(Fact::SampleRate, 48_000u32);
        return Ok(Some((48_000, u64::from(skipped))));
    }
    if packet.starts_with(b"\x01vorbis") {
        at.skip(11)?;
        let (channels, rate) = (at.u8()?, at.u32_le()?);
        found.name("vorbis");
        found.fact(Fact::Channels, channels);
        found.fact(Fact::SampleRate, rate);
        return Ok(Some((rate, 0)));
    }
    if packet.starts_with(b"\x7fFLAC") {
        at.skip(13 + 4 + 10)?;
        let packed = at.u32_be()?;
        found.name("flac");
        found.fact(Fact::SampleRate, packed >> 12);
        found.fact(Fact::Channels, (packed >> 9 & 7) + 1);
        return Ok(Some((packed >> 12, 0)));
    }
    if packet.starts_with(b"\x80theora") {
        at.skip(14)?;
        let [a, b, c] = at.array()?;
        let [d, e, f] = at.array()?;
        found.name("theora");
        found.size(u32::from_be_bytes([0, a, b, c]), u32::from_be_bytes([0, d, e, f]));
    }
    Ok(None)
}
