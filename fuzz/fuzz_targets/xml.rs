//! XML bodies of S3 requests: any bytes are a document or an error, and what was written is read back.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tidegate::http::xml::{Element, Writer};

fuzz_target!(|data: &[u8]| {
    let _ = Element::parse(data, "Delete");
    if let Ok(text) = std::str::from_utf8(data) {
        let mut w = Writer::bare("Root");
        w.leaf("Key", text);
        if let Ok(read) = Element::parse(w.finish("Root").as_bytes(), "Root") {
            assert_eq!(read.child("Key").map(|k| k.text.as_str()), Some(text));
        }
    }
});
