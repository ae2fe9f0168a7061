//! Byte ranges: what a client asks for, and what that means for a body of a known size. Pure.

/// Bytes `start..end` of a body; never empty, and inside the body it was resolved against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    pub start: u64,
    pub end: u64,
}

impl ByteRange {
    // Never empty: there is nothing to ask.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    pub fn content_range(&self, size: u64) -> String {
        format!("bytes {}-{}/{}", self.start, self.end - 1, size)
    }
}

/// One `bytes=` spec, before the size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeSpec {
    /// `a-`
    From(u64),
    /// `a-b`, both included
    FromTo(u64, u64),
    /// `-n`: the last n bytes
    Suffix(u64),
}

impl RangeSpec {
    /// None: not satisfiable for a body of this size (416).
    pub fn resolve(self, size: u64) -> Option<ByteRange> {
        let (start, end) = match self {
            RangeSpec::From(a) => (a, size),
            RangeSpec::FromTo(a, b) => (a, b.saturating_add(1).min(size)),
            RangeSpec::Suffix(n) => (size.saturating_sub(n), size),
        };
        (start < end).then_some(ByteRange { start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves() {
        let r = |s: RangeSpec, size| s.resolve(size).map(|r| (r.start, r.end));
        assert_eq!(r(RangeSpec::From(0), 10), Some((0, 10)));
        assert_eq!(r(RangeSpec::From(9), 10), Some((9, 10)));
        assert_eq!(r(RangeSpec::From(10), 10), None);
        assert_eq!(r(RangeSpec::FromTo(2, 4), 10), Some((2, 5)));
        assert_eq!(r(RangeSpec::FromTo(2, u64::MAX), 10), Some((2, 10)));
        assert_eq!(r(RangeSpec::Suffix(3), 10), Some((7, 10)));
        assert_eq!(r(RangeSpec::Suffix(30), 10), Some((0, 10)));
        assert_eq!(r(RangeSpec::Suffix(0), 10), None);
        assert_eq!(r(RangeSpec::Suffix(1), 0), None);
    }
}
