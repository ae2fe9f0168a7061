//! `multipart/form-data` (RFC 7578) as browsers send it to S3: small fields first, then one file, which is handed on in pieces as they
//! come.
//!
//! Pure: bytes in, events out; however the bytes are split, the events are the same but for the sizes of the file's pieces.
//! Limits: S3's 20 KB for all that comes before the file's content, and a number of fields. What comes after the file is passed
//! over, as S3 does (browsers send the name of the button there), and limited too. Never ends well before the boundary that ends the
//! file has come.

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memmem::{self, Finder};
use percent_encoding::percent_decode_str;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::trim;

/// S3's, for the fields and the boundaries around them; ours for what comes after the file.
pub const MAX_FIELDS_BYTES: usize = 20 * 1024;
/// More than anybody conditions; 20 KB would hold 450 empty ones.
const MAX_FIELDS: usize = 256;
/// RFC 2046 5.1.1.
const MAX_BOUNDARY_BYTES: usize = 70;

#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Field {
        name: String,
        value: String,
    },
    /// The file begins. Empty: it has no name.
    File {
        file_name: String,
    },
    Data(Bytes),
    /// All of the file was there.
    End,
}

#[derive(Debug)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// A boundary was there, and its line has not ended.
    Boundary,
    Head,
    Value {
        name: String,
    },
    File,
    /// With what was passed over so far.
    After(usize),
}

enum Step {
    NeedsMore,
    Again,
    Is(Event),
}

pub struct Decoder {
    /// The line break before it belongs to it.
    boundary: Finder<'static>,
    state: State,
    /// Before the file: what was read and not yet understood. In it: the end of what was read, where a boundary may begin.
    held: BytesMut,
    /// How much of `held` was searched in vain.
    searched: usize,
    /// What is understood and gone, before the file.
    used: usize,
    fields: usize,
}

impl Decoder {
    /// `content_type`: of the request.
    pub fn new(content_type: Option<&str>) -> Result<Self> {
        let content_type = content_type.unwrap_or_default();
        let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        if !trim(media_type).eq_ignore_ascii_case("multipart/form-data") {
            let e = Error::new(ErrorKind::PreconditionFailed, "At least one of the pre-conditions you specified did not hold");
            return Err(e.detail("Condition", "Bucket POST must be of the enclosure-type multipart/form-data"));
        }
        let boundary = parameter(parameters, "boundary").filter(|b| is_boundary(b)).ok_or_else(malformed)?;
        Ok(Decoder {
            boundary: Finder::new(&format!("\r\n--{boundary}")).into_owned(),
            state: State::Preamble,
            // The first boundary may have no line before it.
            held: BytesMut::from("\r\n"),
            searched: 0,
            used: 0,
            fields: 0,
        })
    }

    /// The next event in `data`. None: all of it was used up.
    pub fn push(&mut self, data: &mut Bytes) -> Result<Option<Event>> {
        loop {
            match &mut self.state {
                State::File => return Ok(self.file(data)),
                State::After(passed) => {
                    *passed += data.len();
                    let ends_well = *passed <= MAX_FIELDS_BYTES && is_end_of_boundary(&mut self.held, data);
                    data.clear();
                    return if ends_well { Ok(None) } else { Err(malformed()) };
                }
                State::Preamble | State::Boundary | State::Head | State::Value { .. } => {}
            }
            self.held.extend_from_slice(data);
            data.clear();
            match self.step()? {
                Step::Again => {}
                Step::NeedsMore if self.used + self.held.len() > MAX_FIELDS_BYTES => return Err(too_long()),
                Step::NeedsMore => return Ok(None),
                Step::Is(event) => {
                    if self.used > MAX_FIELDS_BYTES {
                        return Err(too_long());
                    }
                    if matches!(self.state, State::File) {
                        *data = self.held.split().freeze();
                    }
                    return Ok(Some(event));
                }
            }
        }
    }

    /// The body has ended.
    pub fn finish(&self) -> Result<()> {
        match self.state {
            State::After(passed) if passed >= END.len() => Ok(()),
            _ => Err(malformed()),
        }
    }

    /// Before the file.
    fn step(&mut self) -> Result<Step> {
        match &mut self.state {
            State::Preamble => {
                let Some(at) = find(&self.held, &mut self.searched, self.boundary.needle()) else { return Ok(Step::NeedsMore) };
                self.take(at + self.boundary.needle().len());
                self.state = State::Boundary;
                Ok(Step::Again)
            }
            State::Boundary => {
                if self.held.starts_with(END) {
                    return Err(no_file());
                }
                let Some(at) = memmem::find(&self.held, b"\r\n") else { return Ok(Step::NeedsMore) };
                let line = self.take(at + 2);
                if !line.iter().all(u8::is_ascii_whitespace) {
                    return Err(malformed());
                }
                self.state = State::Head;
                Ok(Step::Again)
            }
            State::Head => {
                let Some(at) = find(&self.held, &mut self.searched, b"\r\n\r\n") else { return Ok(Step::NeedsMore) };
                let head = self.take(at + 4);
                let (name, file_name) = part_head(&head).ok_or_else(malformed)?;
                if name.eq_ignore_ascii_case("file") {
                    self.state = State::File;
                    return Ok(Step::Is(Event::File { file_name: file_name.unwrap_or_default() }));
                }
                self.fields += 1;
                if self.fields > MAX_FIELDS {
                    return Err(too_long());
                }
                self.state = State::Value { name };
                Ok(Step::Again)
            }
            State::Value { name } => {
                let Some(at) = find(&self.held, &mut self.searched, self.boundary.needle()) else { return Ok(Step::NeedsMore) };
                let name = std::mem::take(name);
                let value = self.take(at);
                self.take(self.boundary.needle().len());
                self.state = State::Boundary;
                let value = String::from_utf8(value.to_vec()).map_err(|_| malformed())?;
                Ok(Step::Is(Event::Field { name, value }))
            }
            State::File | State::After(_) => Ok(Step::NeedsMore),
        }
    }

    fn file(&mut self, data: &mut Bytes) -> Option<Event> {
        if data.is_empty() {
            return None;
        }
        if !self.held.is_empty() {
            self.held.extend_from_slice(data);
            *data = self.held.split().freeze();
        }
        let needle = self.boundary.needle();
        match self.boundary.find(data) {
            Some(0) => {
                data.advance(needle.len());
                self.state = State::After(0);
                Some(Event::End)
            }
            Some(at) => Some(Event::Data(data.split_to(at))),
            None => {
                // The longest end that a boundary may begin with.
                let may_begin = |from: &usize| needle.starts_with(&data[*from..]);
                let from = (data.len().saturating_sub(needle.len() - 1)..data.len()).find(may_begin).unwrap_or(data.len());
                self.held.extend_from_slice(&data[from..]);
                data.truncate(from);
                let piece = std::mem::take(data);
                (!piece.is_empty()).then_some(Event::Data(piece))
            }
        }
    }

    fn take(&mut self, bytes: usize) -> BytesMut {
        self.searched = 0;
        self.used += bytes;
        self.held.split_to(bytes)
    }
}

/// In what is held. What was searched once is not searched again, but for where the pattern may have begun.
fn find(held: &[u8], searched: &mut usize, pattern: &[u8]) -> Option<usize> {
    let from = *searched;
    let found = memmem::find(held.get(from..)?, pattern).map(|at| from + at);
    if found.is_none() {
        *searched = held.len().saturating_sub(pattern.len() - 1).max(from);
    }
    found
}

/// Behind the last boundary; a further part begins with a line break.
const END: &[u8] = b"--";

/// What follows a boundary, in `seen` as far as it has come: a longer line would be the file's own.
fn is_end_of_boundary(seen: &mut BytesMut, data: &[u8]) -> bool {
    let missing = END.len().saturating_sub(seen.len()).min(data.len());
    seen.extend_from_slice(&data[..missing]);
    let begins = |form: &[u8]| form.starts_with(seen);
    begins(END) || begins(b"\r\n") || seen.first().is_some_and(|c| matches!(c, b' ' | b'\t'))
}

/// RFC 2046 5.1.1.
fn is_boundary(text: &str) -> bool {
    let legal = |c: u8| c.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&c);
    (1..=MAX_BOUNDARY_BYTES).contains(&text.len()) && text.bytes().all(legal) && !text.ends_with(' ')
}

/// Name and file name of a part.
fn part_head(head: &[u8]) -> Option<(String, Option<String>)> {
    let head = std::str::from_utf8(head).ok()?;
    let mut found = None;
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        if trim(name).eq_ignore_ascii_case("content-disposition") && found.replace(value).is_some() {
            return None;
        }
    }
    let (kind, parameters) = found?.split_once(';')?;
    if !trim(kind).eq_ignore_ascii_case("form-data") {
        return None;
    }
    let name = parameter(parameters, "name").filter(|n| !n.is_empty())?;
    // Some clients write a name that is not ASCII in this form only, which RFC 7578 does not want.
    let extended = || {
        let text = parameter(parameters, "filename*")?;
        let encoded =
            text.get(.."utf-8''".len()).filter(|start| start.eq_ignore_ascii_case("utf-8''")).map(|start| &text[start.len()..])?;
        Some(percent_decode_str(encoded).decode_utf8().ok()?.into_owned())
    };
    Some((name, parameter(parameters, "filename").or_else(extended)))
}

/// The value of a parameter: `; name=token; name="text"`. In quotes a backslash stands for itself, but before a quote: browsers of old
/// send whole paths.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        let (name, after) = rest.trim_start_matches([' ', '\t', ';']).split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let (token, next) = after.split_once(';').unwrap_or((after, ""));
                (trim(token).to_owned(), next)
            }
        };
        if trim(name).eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next;
    }
}

fn quoted_text(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' if matches!(chars.peek(), Some((_, '"'))) => {
                chars.next();
                value.push('"');
            }
            c => value.push(c),
        }
    }
    None
}

fn malformed() -> Error {
    Error::new(ErrorKind::MalformedPostRequest, "The body of your POST request is not well-formed multipart/form-data.")
}

fn too_long() -> Error {
    let text = format!(
        "Your POST request fields preceding the upload file were too large: {MAX_FIELDS_BYTES} bytes in at most {MAX_FIELDS} fields are possible."
    );
    Error::new(ErrorKind::MaxPostPreDataLengthExceeded, text)
}

fn no_file() -> Error {
    let text = "POST requires exactly one file upload per request.";
    Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", "file").detail("ArgumentValue", "0")
}

#[cfg(test)]
mod tests;
