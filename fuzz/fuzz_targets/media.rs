//! Files of media: whatever the bytes are, they are looked into to the end, and what is written again as JSON is the same document.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tidegate::media::format::Format;
use tidegate::media::inspect::{Declared, inspect};
use tidegate::media::json::Json;

fuzz_target!(|input: (u8, &[u8])| {
    let (which, bytes) = input;
    let format = Format::ALL[usize::from(which) % Format::ALL.len()];
    inspect(bytes, &Declared { content_type: format.media_type(), name: "" });
    if let Ok(document) = Json::parse(bytes) {
        let mut again = String::new();
        document.write(&mut again);
        assert_eq!(Json::parse(again.as_bytes()), Ok(document));
    }
});
