//! Takes aws-chunked framing off a body, piece by piece: payload slices go through without being copied or gathered.
//!
//! Not here: how signatures are made (a `ChunkVerifier` is handed in), what the trailer's values mean (the caller checks them).
//! Invariants: memory is constant whatever the size of a chunk; nothing is complete until the last chunk, the trailer and the
//! empty line after it were seen and every signature held; the payload has exactly the announced length.
//! Sizes of chunks are not judged: SDKs break the documented minimum. Called by `receive`.

use bytes::{Buf as _, Bytes};
use sha2::{Digest as _, Sha256};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::trim;

/// A chunk's line is a size of at most 16 digits and a signature of 81 characters; room for an extension that we don't know.
const MAX_CHUNK_LINE_BYTES: usize = 256;
/// A trailer line is a checksum header: under 100 characters.
const MAX_TRAILER_LINE_BYTES: usize = 1024;
/// One checksum and one signature; room for what SDKs may add.
const MAX_TRAILERS: usize = 8;
/// Empty lines around the trailers: AWS documents one form, minio-go sends another, with two.
const MAX_EMPTY_LINES: usize = 4;

const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Checks the signatures of a body's chunks, which are called in order.
pub trait ChunkVerifier: Send {
    fn chunk(&mut self, sha256: &[u8; 32], signature: &str) -> Result<()>;
    /// `sha256` is of the trailer lines, each as `name:value\n`.
    fn trailer(&mut self, sha256: &[u8; 32], signature: &str) -> Result<()>;
}

pub struct Decoder {
    verifier: Option<Box<dyn ChunkVerifier>>,
    has_trailer: bool,
    decoded_length: u64,
    seen: u64,
    state: State,
    /// The line that is arriving.
    line: Vec<u8>,
    /// Of the chunk that is arriving, where chunks are signed.
    hash: Sha256,
    signature: String,
    trailers: Vec<(String, String)>,
    trailer_hash: Sha256,
    trailer_signed: bool,
    empty_lines: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ChunkLine,
    Data {
        left: u64,
    },
    /// The line end after a chunk's data.
    DataEnd,
    /// After the last chunk, until the empty line.
    Trailer,
    /// Complete; only empty lines may follow, and with them the trailer's signature.
    Done,
}

impl Decoder {
    pub fn new(verifier: Option<Box<dyn ChunkVerifier>>, has_trailer: bool, decoded_length: u64) -> Self {
        Decoder {
            verifier,
            has_trailer,
            decoded_length,
            seen: 0,
            state: State::ChunkLine,
            line: Vec::new(),
            hash: Sha256::new(),
            signature: String::new(),
            trailers: Vec::new(),
            trailer_hash: Sha256::new(),
            trailer_signed: false,
            empty_lines: 0,
        }
    }

    /// Takes from `input` up to the end of the next slice of payload and returns that; None: all of `input` was taken.
    pub fn push(&mut self, input: &mut Bytes) -> Result<Option<Bytes>> {
        while !input.is_empty() {
            if let State::Data { left } = self.state {
                return self.take_data(input, left).map(Some);
            }
            if !self.take_line(input)? {
                return Ok(None);
            }
            let line = std::mem::take(&mut self.line);
            let taken = self.end_of_line(&line);
            // The buffer is used again for the next line.
            self.line = line;
            self.line.clear();
            taken?;
        }
        Ok(None)
    }

    /// The trailers, in the order in which they came; names in lower case.
    pub fn finish(self) -> Result<Vec<(String, String)>> {
        if self.state != State::Done || !self.line.is_empty() {
            return Err(incomplete("The body ended before its last chunk was complete."));
        }
        if self.seen != self.decoded_length {
            return Err(incomplete("The body is shorter than x-amz-decoded-content-length says."));
        }
        if self.verifier.is_some() && self.has_trailer && !self.trailer_signed {
            return Err(Error::new(ErrorKind::MalformedTrailer, "The trailer's signature (x-amz-trailer-signature) is missing."));
        }
        Ok(self.trailers)
    }

    fn take_data(&mut self, input: &mut Bytes, left: u64) -> Result<Bytes> {
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let data = input.split_to(n);
        if self.verifier.is_some() {
            self.hash.update(&data);
        }
        let left = left - n as u64;
        self.state = State::Data { left };
        if left == 0 {
            self.verify_chunk()?;
            self.state = State::DataEnd;
        }
        Ok(data)
    }

    /// Moves bytes up to a line feed into `line`. True: the line is whole.
    fn take_line(&mut self, input: &mut Bytes) -> Result<bool> {
        let max = if matches!(self.state, State::ChunkLine | State::DataEnd) { MAX_CHUNK_LINE_BYTES } else { MAX_TRAILER_LINE_BYTES };
        let end = input.iter().take(max + 1).position(|c| *c == b'\n');
        let n = end.map_or(input.len(), |i| i + 1);
        if self.line.len() + n > max {
            return Err(malformed("A line of the chunked body is too long."));
        }
        self.line.extend_from_slice(&input[..n]);
        input.advance(n);
        Ok(end.is_some())
    }

    fn end_of_line(&mut self, line: &[u8]) -> Result<()> {
        match self.state {
            State::ChunkLine => self.begin_chunk(strip(line, b"\r\n")?),
            State::DataEnd if line == b"\r\n" => {
                self.state = State::ChunkLine;
                Ok(())
            }
            State::DataEnd => Err(malformed("A chunk of the body does not end where its size says.")),
            // Trailer lines may end without a carriage return: AWS's own document shows both.
            State::Trailer | State::Done => {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                self.trailer_line(line.strip_suffix(b"\r").unwrap_or(line))
            }
            // `push` takes data itself.
            State::Data { .. } => Ok(()),
        }
    }

    fn begin_chunk(&mut self, line: &[u8]) -> Result<()> {
        let line = std::str::from_utf8(line).map_err(|_| malformed("A chunk's header is not text."))?;
        let mut fields = line.split(';');
        let size = fields.next().unwrap_or_default();
        let digits = (1..=16).contains(&size.len()) && size.bytes().all(|c| c.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16).ok().filter(|_| digits).ok_or_else(|| malformed("A chunk's size is not a number."))?;
        self.signature.clear();
        if self.verifier.is_some() {
            let signature = fields.find_map(|f| f.strip_prefix("chunk-signature="));
            self.signature.push_str(signature.ok_or_else(|| malformed("A chunk has no chunk-signature."))?);
        }
        self.seen = self
            .seen
            .checked_add(size)
            .filter(|s| *s <= self.decoded_length)
            .ok_or_else(|| Error::new(ErrorKind::IncompleteBody, "The body is longer than x-amz-decoded-content-length says."))?;
        if size > 0 {
            self.state = State::Data { left: size };
            return Ok(());
        }
        self.verify_chunk()?;
        self.state = State::Trailer;
        Ok(())
    }

    fn verify_chunk(&mut self) -> Result<()> {
        match &mut self.verifier {
            Some(verifier) => verifier.chunk(&self.hash.finalize_reset().into(), &self.signature),
            None => Ok(()),
        }
    }

    fn trailer_line(&mut self, line: &[u8]) -> Result<()> {
        if line.is_empty() {
            self.empty_lines += 1;
            if self.empty_lines > MAX_EMPTY_LINES {
                return Err(malformed("The body goes on after its end."));
            }
            self.state = State::Done;
            return Ok(());
        }
        let (name, value) = std::str::from_utf8(line)
            .ok()
            .and_then(|l| l.split_once(':'))
            .map(|(n, v)| (trim(n).to_ascii_lowercase(), trim(v)))
            .filter(|(n, _)| !n.is_empty())
            .ok_or_else(|| malformed("A trailer is not a name and a value."))?;
        if self.trailer_signed || !self.has_trailer {
            return Err(malformed("The body goes on after its end."));
        }
        if name == TRAILER_SIGNATURE {
            return self.verify_trailer(value);
        }
        if self.state == State::Done {
            return Err(malformed("The body goes on after its end."));
        }
        if self.trailers.len() >= MAX_TRAILERS || self.trailers.iter().any(|(n, _)| *n == name) {
            return Err(malformed("The trailer has too many lines, or one of them twice."));
        }
        for part in [name.as_bytes(), b":", value.as_bytes(), b"\n"] {
            self.trailer_hash.update(part);
        }
        self.trailers.push((name, value.to_owned()));
        Ok(())
    }

    fn verify_trailer(&mut self, signature: &str) -> Result<()> {
        // Where chunks are not signed, a signature of the trailer says nothing that we could check.
        if let Some(verifier) = &mut self.verifier {
            verifier.trailer(&self.trailer_hash.finalize_reset().into(), signature)?;
        }
        self.trailer_signed = true;
        // Its own line needs an end, too: an empty one.
        self.state = State::Trailer;
        Ok(())
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("state", &self.state).field("seen", &self.seen).finish_non_exhaustive()
    }
}

fn strip<'a>(line: &'a [u8], end: &[u8]) -> Result<&'a [u8]> {
    line.strip_suffix(end).ok_or_else(|| malformed("A chunk's header does not end with a carriage return and a line feed."))
}

fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

fn incomplete(message: &'static str) -> Error {
    Error::new(ErrorKind::IncompleteBody, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payload and trailers.
    type Decoded = (Vec<u8>, Vec<(String, String)>);

    fn decode(body: &[u8], trailer: bool, length: u64) -> Result<Decoded> {
        let mut decoder = Decoder::new(None, trailer, length);
        let mut input = Bytes::copy_from_slice(body);
        let mut payload = Vec::new();
        while let Some(slice) = decoder.push(&mut input)? {
            payload.extend_from_slice(&slice);
        }
        Ok((payload, decoder.finish()?))
    }

    #[test]
    fn as_sdks_send_it() {
        let (payload, trailers) = decode(b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n", true, 11).unwrap();
        assert_eq!(payload, b"hello world");
        assert_eq!(trailers, [("x-amz-checksum-crc32".to_owned(), "DUoRhQ==".to_owned())]);
        // Empty; no trailer though one could be; minio-go's line ends.
        assert_eq!(decode(b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", true, 0).unwrap().0, b"");
        assert_eq!(decode(b"1\r\na\r\n0\r\n\r\n", true, 1).unwrap().0, b"a");
        assert_eq!(decode(b"1\r\na\r\n0\r\nX-Amz-Checksum-Crc32: AAAAAA== \n\r\n\r\n", true, 1).unwrap().1[0].1, "AAAAAA==");
    }

    #[test]
    fn payload_goes_through_in_the_slices_it_came_in() {
        // A chunk of half a gigabyte: each slice comes out before the next goes in.
        let mut decoder = Decoder::new(None, true, 512 << 20);
        let mut head = Bytes::from_static(b"20000000\r\n");
        assert!(decoder.push(&mut head).unwrap().is_none());
        let piece = Bytes::from(vec![7; 1 << 20]);
        for _ in 0..512 {
            let mut input = piece.clone();
            let out = decoder.push(&mut input).unwrap().unwrap();
            assert_eq!((out.as_ptr(), out.len()), (piece.as_ptr(), piece.len()));
            assert!(input.is_empty() && decoder.push(&mut input).unwrap().is_none());
        }
        let mut end = Bytes::from_static(b"\r\n0\r\n\r\n");
        assert!(decoder.push(&mut end).unwrap().is_none());
        assert!(decoder.finish().is_ok());
    }

    #[test]
    fn what_is_not_that_form_is_refused() {
        use ErrorKind::{IncompleteBody, InvalidRequest};
        let long_line = [&b"1;"[..], &[b'x'; 300], b"\r\na\r\n0\r\n\r\n"].concat();
        let long_trailer = [&b"0\r\nx:"[..], &[b'y'; 2000], b"\r\n\r\n"].concat();
        let many = [&b"0\r\n"[..], (0..20).map(|i| format!("t{i}:v\r\n")).collect::<String>().as_bytes(), b"\r\n"].concat();
        let endless = [&b"0\r\n"[..], &b"\r\n".repeat(20)].concat();
        for (body, length, kind) in [
            (&b""[..], 0, IncompleteBody),
            (b"0\r\n", 0, IncompleteBody),
            (b"5\r\nhello\r\n", 5, IncompleteBody),
            (b"5\r\nhell", 5, IncompleteBody),
            (b"5\r\nhello\r\n0\r\n\r\n", 6, IncompleteBody),
            (b"5\r\nhello\r\n0\r\n\r\n", 4, IncompleteBody),
            (b"ffffffffffffffff\r\n", 5, IncompleteBody),
            (b"\r\n", 0, InvalidRequest),
            (b"+5\r\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
            (b"5 \r\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
            (b"g\r\n", 5, InvalidRequest),
            (b"00000000000000005\r\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
            (b"5\nhello\r\n0\r\n\r\n", 5, InvalidRequest),
            (b"5\r\nhelloX\r\n0\r\n\r\n", 5, InvalidRequest),
            (b"5\r\nhello\n0\r\n\r\n", 5, InvalidRequest),
            (b"0\r\n\r\nx", 0, IncompleteBody),
            (b"0\r\n\r\nx:y\r\n", 0, InvalidRequest),
            (b"0\r\nno colon\r\n\r\n", 0, InvalidRequest),
            (b"0\r\n:v\r\n\r\n", 0, InvalidRequest),
            (b"0\r\na:1\r\nA:2\r\n\r\n", 0, InvalidRequest),
            (&long_line, 1, InvalidRequest),
            (&long_trailer, 0, InvalidRequest),
            (&many, 0, InvalidRequest),
            (&endless, 0, InvalidRequest),
        ] {
            let found = decode(body, true, length).map_err(|e| e.kind());
            assert_eq!(found, Err(kind), "{:?}", String::from_utf8_lossy(&body[..body.len().min(60)]));
        }
        assert!(decode(b"0\r\na:1\r\n\r\n", false, 0).is_err(), "a trailer where none was announced");
    }
}
