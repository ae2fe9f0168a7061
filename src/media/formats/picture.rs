//! The sides of a picture inside something else, as its own header says them.

use crate::base::inspection::Fact;
use crate::media::bytes::Looked;
use crate::media::format::{Format, Kind, detect};
use crate::media::formats::{bmff, gif, jpeg, ktx2, png, webp};
use crate::media::found::Found;

pub fn sides(bytes: &[u8]) -> Looked<(u64, u64)> {
    let mut found = Found::default();
    match detect(bytes) {
        Kind::Of(Format::Png) => png::look(bytes, &mut found),
        Kind::Of(Format::Jpeg) => jpeg::look(bytes, &mut found),
        Kind::Of(Format::WebP) => webp::look(bytes, &mut found),
        Kind::Of(Format::Ktx2) => ktx2::look(bytes, &mut found),
        Kind::Of(Format::Avif) => bmff::avif(bytes, &mut found),
        Kind::Of(Format::Gif) => gif::look(bytes, &mut found),
        Kind::Other(what) => Err(format!("it is {what}")),
        Kind::Of(_) | Kind::Unknown => Err("it is no picture".to_owned()),
    }?;
    if let Some(fault) = found.first_fault() {
        return Err(fault.to_owned());
    }
    found.of(Fact::Width).zip(found.of(Fact::Height)).ok_or_else(|| "it says no size".to_owned())
}
