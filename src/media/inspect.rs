//! Looks into a file of a media type: is it what it is declared to be, is it whole, and what is in it. Pure: bytes in, result out.
//!
//! Structure and headers are read, pixels and samples are not decoded. What is wrong is told in words for the file's owner.
//! Called by the worker, since a file may be made to break its reader, and by the fuzz target.

use crate::base::inspection::{Fact, Inspection};
use crate::media::format::{Format, Kind, declared, detect};
use crate::media::formats;
use crate::media::found::Found;

/// A picture that takes more memory than this on any device is worth a look: 64 million pixels, 256 MiB.
const MANY_PIXELS: u64 = 64 << 20;

/// What is said of a file by its writer.
#[derive(Debug, Clone, Default)]
pub struct Declared<'a> {
    pub content_type: &'a str,
    pub name: &'a str,
}

pub fn inspect(bytes: &[u8], said: &Declared<'_>) -> Inspection {
    let mut found = Found::default();
    let expected = declared(said.content_type, said.name);
    let by_name = Format::of_name(said.name);
    if let (Some(by_type), Some(by_name)) = (Format::of_type(said.content_type), by_name)
        && by_type != by_name
    {
        found.flag(format!("its name ends as a {} file's and its content type is {}", by_name.name(), by_type.media_type()));
    }
    if bytes.is_empty() {
        found.fault("it is empty");
        return found.inspection();
    }
    match (expected, detect(bytes)) {
        (None, Kind::Of(format)) => look(format, bytes, &mut found),
        // A glTF document is JSON, and what its bytes are stands inside.
        (Some(Format::Gltf), Kind::Of(Format::Json)) => look(Format::Gltf, bytes, &mut found),
        (Some(Format::Json), Kind::Of(_) | Kind::Unknown) | (Some(Format::Json), Kind::Other("plain text")) => {
            look(Format::Json, bytes, &mut found);
        }
        (Some(expected), Kind::Of(format)) if expected == format => look(format, bytes, &mut found),
        (Some(expected), Kind::Of(format)) => {
            found.fault(format!("it is declared as {} and its bytes are {}", expected.name(), format.name()));
            look(format, bytes, &mut found);
        }
        (Some(expected), Kind::Other(what)) => found.fault(format!("it is declared as {} and its bytes are {what}", expected.name())),
        (Some(expected), Kind::Unknown) => found.fault(format!("it is declared as {} and does not begin like one", expected.name())),
        (None, Kind::Other(what)) => found.flag(format!("its bytes are {what}")),
        (None, Kind::Unknown) => found.flag("it is of no format that is known here"),
    }
    found.inspection()
}

fn look(format: Format, bytes: &[u8], found: &mut Found) {
    found.is(format);
    if let Err(fault) = formats::look(format, bytes, found) {
        found.fault(fault);
    }
    if let (Some(width), Some(height)) = (found.of(Fact::Width), found.of(Fact::Height)) {
        let still = !matches!(format, Format::Mp4 | Format::WebM | Format::Glb | Format::Gltf);
        if still && (width == 0 || height == 0) {
            found.fault(format!("it says that it has {width} x {height} pixels"));
        } else if width.saturating_mul(height) > MANY_PIXELS {
            found.flag(format!("it has {width} x {height} pixels: more than {MANY_PIXELS}"));
        }
    }
}
