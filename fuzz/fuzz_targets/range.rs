//! Range headers: any text is a range inside the body, or none.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tidegate::http::ranges::{Requested, parse};

fuzz_target!(|input: (&str, u64)| {
    let (header, size) = input;
    let specs = match parse(header) {
        Requested::Whole => vec![],
        Requested::Single(spec) => vec![spec],
        Requested::Several(specs) => specs,
    };
    for spec in specs {
        if let Some(range) = spec.resolve(size) {
            assert!(range.start < range.end && range.end <= size);
        }
    }
});
