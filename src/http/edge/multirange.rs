//! Several ranges of one version as `multipart/byteranges`, with its exact length.
//!
//! A bounded number of ascending ranges that don't overlap, which is what readers of containers send; anything else gets
//! the whole object, as RFC 9110 14.2 allows, so that no list of ranges costs more than the object itself.
//! Invariant: every part is of the version that the headers speak of, or the answer is not begun.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};

use crate::auth::grant::Grant;
use crate::base::error::{Error, Result};
use crate::base::mapped_file::MappedFile;
use crate::base::range::{ByteRange, RangeSpec};
use crate::http::body::ResponseBody;
use crate::http::isolation;
use crate::http::ranges::Requested;
use crate::http::read::{self, Read};
use crate::http::respond::{Answer, value};
use crate::ops::Ops;
use crate::ops::read::Shown;
use crate::origin::{Body, BodySource};

/// What a reader of scattered parts asks for at once; each costs an opened file at most.
const MAX_RANGES: usize = 16;

/// What a list of ranges comes to for a body of this size.
#[derive(Debug, PartialEq, Eq)]
pub enum Chosen {
    Several(Vec<ByteRange>),
    /// To be answered like a request that asked for this and nothing else.
    Plain(Requested),
}

pub fn choose(specs: &[RangeSpec], size: u64) -> Chosen {
    if specs.len() > MAX_RANGES {
        return Chosen::Plain(Requested::Whole);
    }
    let satisfiable: Vec<(RangeSpec, ByteRange)> = specs.iter().filter_map(|s| s.resolve(size).map(|r| (*s, r))).collect();
    match (satisfiable.as_slice(), specs.first()) {
        // None of them: one that can't be satisfied stands for all, and is refused with the size (416).
        ([], first) => Chosen::Plain(first.map_or(Requested::Whole, |s| Requested::Single(*s))),
        ([(spec, _)], _) => Chosen::Plain(Requested::Single(*spec)),
        (several, _) if several.windows(2).all(|w| matches!(w, [a, b] if a.1.end <= b.1.start)) => {
            Chosen::Several(several.iter().map(|(_, r)| *r).collect())
        }
        _ => Chosen::Plain(Requested::Whole),
    }
}

/// None: what is shown was replaced before its bytes were at hand; look again.
pub async fn answer(ops: &Ops, grant: &Grant, shown: Shown<'_>, read: &Read, ranges: &[ByteRange]) -> Result<Option<Answer>> {
    let object = shown.info;
    // Conditions and the object's headers are those of a read of the whole.
    let whole = Read { head: true, conditions: read.conditions.clone(), range: Requested::Whole, if_range: None, part: None, ..*read };
    let Some(mut answer) = read::answer(ops, grant, shown, &whole).await? else { return Ok(None) };
    if answer.status() != StatusCode::OK {
        return Ok(Some(answer));
    }
    let boundary = boundary()?;
    let kind = isolation::of_part(&object.headers.content_type);
    let mut pieces = VecDeque::with_capacity(2 * ranges.len() + 1);
    let mut length = 0;
    for (n, range) in ranges.iter().enumerate() {
        let gap = if n == 0 { "" } else { "\r\n" };
        let head = format!("{gap}--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {}\r\n\r\n", range.content_range(object.size));
        length += head.len() as u64 + range.len();
        pieces.push_back(Piece::Bytes(head.into()));
        if !read.head {
            match ops.open(grant, shown, *range, read.by).await? {
                Some(Body::Memory(bytes)) => pieces.push_back(Piece::Bytes(bytes)),
                Some(Body::Stream(source)) => pieces.push_back(Piece::Source(source)),
                None => return Ok(None),
            }
        }
    }
    let end = format!("\r\n--{boundary}--\r\n");
    length += end.len() as u64;
    pieces.push_back(Piece::Bytes(end.into()));

    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    if let Some(v) = value(&format!("multipart/byteranges; boundary={boundary}")) {
        headers.insert(CONTENT_TYPE, v);
    }
    if !read.head {
        *answer.body_mut() = ResponseBody::Stream { source: Box::pin(Parts { pieces }), remaining: length };
    }
    Ok(Some(answer))
}

/// Never the same twice: whoever wrote the content could otherwise have written the end of a part into it.
fn boundary() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| Error::internal(e.to_string()))?;
    Ok(hex::encode(random))
}

enum Piece {
    Bytes(Bytes),
    Source(Pin<Box<dyn BodySource>>),
}

struct Parts {
    pieces: VecDeque<Piece>,
}

impl BodySource for Parts {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            match self.pieces.front_mut() {
                None => return Poll::Ready(None),
                Some(Piece::Bytes(bytes)) => {
                    let bytes = std::mem::take(bytes);
                    self.pieces.pop_front();
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(Piece::Source(source)) => match ready!(source.as_mut().poll_next(cx)) {
                    Some(next) => return Poll::Ready(Some(next)),
                    None => {
                        self.pieces.pop_front();
                    }
                },
            }
        }
    }

    fn remaining(&self) -> u64 {
        self.pieces
            .iter()
            .map(|p| match p {
                Piece::Bytes(bytes) => bytes.len() as u64,
                Piece::Source(source) => source.remaining(),
            })
            .sum()
    }

    fn at_most(mut self: Pin<&mut Self>, bytes: usize) {
        if let Some(Piece::Source(source)) = self.pieces.front_mut() {
            source.as_mut().at_most(bytes);
        }
    }

    fn at_hand(&self) -> usize {
        self.pieces.iter().map(|p| if let Piece::Source(source) = p { source.at_hand() } else { 0 }).sum()
    }

    fn mapped(&self) -> Option<MappedFile> {
        if let Some(Piece::Source(source)) = self.pieces.front() { source.mapped() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses() {
        use RangeSpec::*;
        let several = |ranges: &[(u64, u64)]| Chosen::Several(ranges.iter().map(|&(start, end)| ByteRange { start, end }).collect());
        assert_eq!(choose(&[FromTo(0, 1), FromTo(3, 4)], 10), several(&[(0, 2), (3, 5)]));
        assert_eq!(choose(&[FromTo(0, 1), FromTo(2, 4), Suffix(2)], 10), several(&[(0, 2), (2, 5), (8, 10)]));
        // Out of order, overlapping, too many: the whole.
        assert_eq!(choose(&[FromTo(3, 4), FromTo(0, 1)], 10), Chosen::Plain(Requested::Whole));
        assert_eq!(choose(&[FromTo(0, 3), FromTo(3, 4)], 10), Chosen::Plain(Requested::Whole));
        assert_eq!(choose(&[FromTo(0, 0); 17], 10), Chosen::Plain(Requested::Whole));
        // What lies past the end does not count.
        assert_eq!(choose(&[FromTo(0, 1), From(10)], 10), Chosen::Plain(Requested::Single(FromTo(0, 1))));
        assert_eq!(choose(&[From(10), From(20)], 10), Chosen::Plain(Requested::Single(From(10))));
        assert_eq!(choose(&[], 10), Chosen::Plain(Requested::Whole));
    }
}
