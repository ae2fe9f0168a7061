//! Forms: however a body is split, the result is the same; nothing before the file is longer than it may be; and no policy panics.
#![no_main]
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tidegate::auth::form::policy::Policy;
use tidegate::http::form::decoder::{Decoder, Event, MAX_FIELDS_BYTES};

type Form = (Vec<(String, String)>, String, Vec<u8>, bool);

fn decode(body: &[u8], piece: usize) -> Option<Form> {
    let mut decoder = Decoder::new(Some("multipart/form-data; boundary=b")).ok()?;
    let mut form = Form::default();
    for part in body.chunks(piece.max(1)) {
        let mut data = Bytes::copy_from_slice(part);
        while let Some(event) = decoder.push(&mut data).ok()? {
            match event {
                Event::Field { name, value } => form.0.push((name, value)),
                Event::File { file_name } => form.1 = file_name,
                Event::Data(data) => form.2.extend_from_slice(&data),
                Event::End => form.3 = true,
            }
        }
    }
    decoder.finish().ok()?;
    assert!(form.3 && form.0.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>() <= MAX_FIELDS_BYTES);
    Some(form)
}

fuzz_target!(|input: (&[u8], u8)| {
    let (body, piece) = input;
    assert_eq!(decode(body, body.len()), decode(body, piece.into()));
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = Policy::parse(text);
    }
});
