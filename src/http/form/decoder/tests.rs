//! Forms of browsers, odd ones, and ones that are cut or made to mislead.

use proptest::prelude::*;

use super::*;

const TYPE: &str = "multipart/form-data; boundary=edge";

fn decoder() -> Decoder {
    Decoder::new(Some(TYPE)).unwrap()
}

/// Fields, name of the file, its content.
type Form = (Vec<(String, String)>, String, Vec<u8>);

fn decode(body: &[u8], piece: usize) -> Result<Form, ErrorKind> {
    let (mut decoder, mut form, mut ended) = (decoder(), Form::default(), false);
    for part in body.chunks(piece.max(1)) {
        let mut data = Bytes::copy_from_slice(part);
        while let Some(event) = decoder.push(&mut data).map_err(|e| e.kind())? {
            assert!(!ended, "{event:?} after the end");
            match event {
                Event::Field { name, value } => form.0.push((name, value)),
                Event::File { file_name } => form.1 = file_name,
                Event::Data(data) => {
                    assert!(!data.is_empty());
                    form.2.extend_from_slice(&data);
                }
                Event::End => ended = true,
            }
        }
        assert!(data.is_empty());
    }
    decoder.finish().map_err(|e| e.kind())?;
    assert!(ended);
    Ok(form)
}

fn part(head: &str, value: &[u8]) -> Vec<u8> {
    [format!("--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes(), value, b"\r\n"].concat()
}

fn body(fields: &[(&str, &str)], file: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = fields.iter().flat_map(|(name, value)| part(&format!("name=\"{name}\""), value.as_bytes())).collect();
    out.extend(part("name=\"file\"; filename=\"f.bin\"\r\nContent-Type: image/png", file));
    out.extend_from_slice(b"--edge--\r\n");
    out
}

#[test]
fn a_form_as_browsers_send_it() {
    let sent = body(&[("key", "a"), ("empty", ""), ("x", "line\r\nline")], b"content");
    let fields = [("key", "a"), ("empty", ""), ("x", "line\r\nline")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let expected = (fields.to_vec(), "f.bin".to_owned(), b"content".to_vec());
    assert_eq!(decode(&sent, 1), Ok(expected.clone()));
    assert_eq!(decode(&sent, sent.len()), Ok(expected.clone()));
    // A preamble, blanks behind a boundary, no line break at the end.
    let odd = String::from_utf8(sent).unwrap().replace("--edge\r\n", "--edge \t\r\n").replace("--edge--\r\n", "--edge--");
    assert_eq!(decode(format!("preamble\r\n{odd}").as_bytes(), 3), Ok(expected));
}

#[test]
fn what_comes_after_the_file_is_passed_over() {
    let mut sent = body(&[], b"content");
    sent.truncate(sent.len() - b"--edge--\r\n".len());
    sent.extend(part("name=\"submit\"", b"Upload"));
    sent.extend(part("name=\"file\"; filename=\"other\"", b"other"));
    sent.extend_from_slice(b"--edge--\r\n");
    assert_eq!(decode(&sent, 5).unwrap().2, b"content");
    sent.extend(vec![b'x'; MAX_FIELDS_BYTES]);
    assert_eq!(decode(&sent, 512), Err(ErrorKind::MalformedPostRequest));
}

#[test]
fn what_is_no_form() {
    let kind = |content_type| Decoder::new(content_type).map(drop).map_err(|e| e.kind());
    for other in [None, Some("application/x-www-form-urlencoded"), Some("multipart/mixed; boundary=x"), Some("")] {
        assert_eq!(kind(other), Err(ErrorKind::PreconditionFailed), "{other:?}");
    }
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    for bad in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"a\r\nb\"", &long] {
        assert_eq!(kind(Some(bad)), Err(ErrorKind::MalformedPostRequest), "{bad}");
    }
    assert_eq!(kind(Some("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"")), Ok(()));
}

#[test]
fn bodies_that_are_not_well_formed() {
    let whole = body(&[("key", "a")], b"content");
    // Every cut but the last line break.
    for cut in 0..whole.len() - 2 {
        assert!(decode(&whole[..cut], 7).is_err(), "{cut}");
    }
    let file = "--edge\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx";
    for bad in [
        "",
        "key=a&file=x",
        "--edge\r\n\r\nx\r\n--edge--",
        "--edge\r\nContent-Disposition: attachment; name=\"key\"\r\n\r\nx\r\n--edge--",
        "--edge\r\nContent-Disposition: form-data\r\n\r\nx\r\n--edge--",
        "--edge\r\nContent-Disposition: form-data; name=\"\"\r\n\r\nx\r\n--edge--",
        "--edge\r\nContent-Disposition: form-data; name=\"key\r\n\r\nx\r\n--edge--",
        "--edge\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\nx\r\n--edge--",
        "--edgeX\r\n",
        &format!("{file}\r\n--edgeX--\r\n"),
        &format!("{file}\r\n--edge"),
        &format!("{file}\r\n--edge-"),
        &format!("{file}\n--edge--"),
    ] {
        assert_eq!(decode(bad.as_bytes(), 4), Err(ErrorKind::MalformedPostRequest), "{bad}");
    }
    let bytes = [&part("name=\"key\"", b"\xff\xfe")[..], b"--edge--"].concat();
    assert_eq!(decode(&bytes, 9), Err(ErrorKind::MalformedPostRequest), "not UTF-8");
    let none = [&part("name=\"key\"", b"a")[..], b"--edge--\r\n"].concat();
    assert_eq!(decode(&none, 9), Err(ErrorKind::InvalidArgument), "no file");
}

#[test]
fn what_comes_before_the_file_is_limited() {
    let fits = body(&[("x-ignore-a", &"a".repeat(20_000))], &vec![7; 200_000]);
    assert_eq!(decode(&fits, 65_536).unwrap().2.len(), 200_000);
    let long = body(&[("x-ignore-a", &"a".repeat(20_480))], b"x");
    for piece in [1, 1000, long.len()] {
        assert_eq!(decode(&long, piece), Err(ErrorKind::MaxPostPreDataLengthExceeded), "{piece}");
    }
    let many: Vec<u8> = (0..257).flat_map(|_| part("name=a", b"")).collect();
    assert_eq!(decode(&many, 4096), Err(ErrorKind::MaxPostPreDataLengthExceeded));
    for endless in [&b"-"[..], b"\r\n", b" ", b"--edge "] {
        let sent: Vec<u8> = endless.iter().copied().cycle().take(30_000).collect();
        assert!(decode(&sent, 100).is_err());
    }
}

#[test]
fn names_of_files() {
    let name = |disposition: &str| {
        let head = format!("Content-Disposition: form-data; {disposition}\r\n\r\n");
        part_head(head.as_bytes()).map(|(name, file)| (name, file.unwrap_or_default()))
    };
    let of = |file: &str| Some(("file".to_owned(), file.to_owned()));
    for (disposition, expected) in [
        ("name=file", of("")),
        ("name=\"file\"; filename=\"a b.txt\"", of("a b.txt")),
        ("filename=x.txt; name=file", of("x.txt")),
        (r#"name="file"; filename="C:\dir\a.txt""#, of(r"C:\dir\a.txt")),
        (r#"name="file"; filename="a\"b;c=d.txt""#, of("a\"b;c=d.txt")),
        ("name=\"file\"; filename=\"ü.txt\"", of("ü.txt")),
        ("name=\"file\"; filename*=utf-8''%C3%BC.txt", of("ü.txt")),
        ("name=\"file\"; filename*=latin1''%FC.txt", of("")),
        ("filename=\"name=file\"", None),
        ("name=\"file", None),
    ] {
        assert_eq!(name(disposition), expected, "{disposition}");
    }
}

proptest! {
    /// However it is cut, and whatever looks like a boundary in it.
    #[test]
    fn a_file_comes_out_as_it_went_in(
        file in prop::collection::vec(prop_oneof![4 => Just(b'\r'), 4 => Just(b'\n'), 8 => Just(b'-'), 2 => Just(b'e'), 2 => Just(b'd'), 1 => any::<u8>()], 0..300),
        value in "[a-z\r\n-]{0,20}",
        piece in 1usize..40,
    ) {
        prop_assume!(memmem::find(&file, b"\r\n--edge").is_none() && !value.contains("\r\n--edge"));
        let form = decode(&body(&[("key", &value)], &file), piece).unwrap();
        prop_assert_eq!(form.0, vec![("key".to_owned(), value)]);
        prop_assert_eq!(form.2, file);
    }

    #[test]
    fn pieces_make_no_difference(sent in prop::collection::vec(any::<u8>(), 0..200), end in any::<bool>(), piece in 1usize..50) {
        let mut whole = body(&[("key", "a")], &sent);
        if !end {
            whole.truncate(whole.len() / 2);
        }
        prop_assert_eq!(decode(&whole, piece), decode(&whole, whole.len()));
    }
}
