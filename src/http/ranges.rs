//! The `Range` header. The S3 door takes a single range; anything else it can't read is ignored, as RFC 9110 allows
//! and S3 does. Parsing is http-range-header's; what follows from it is ours.

use http_range_header::{EndPosition, StartPosition, parse_range_header};

use crate::base::header::trim;
use crate::base::range::RangeSpec;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requested {
    /// No range, or one that is to be ignored.
    Whole,
    Single(RangeSpec),
    /// In the order asked for.
    Several(Vec<RangeSpec>),
}

pub fn parse(header: &str) -> Requested {
    // Clients put spaces where the grammar has none; S3 takes them.
    let header = trim(header);
    let specs = match parse_range_header(header) {
        Ok(parsed) => parsed.ranges.iter().map(|r| bounded(r.start, r.end)).collect(),
        Err(_) => leniently(header),
    };
    match specs.map(<[RangeSpec; 1]>::try_from) {
        Some(Ok([one])) => Requested::Single(one),
        Some(Err(several)) if !several.is_empty() => Requested::Several(several),
        _ => Requested::Whole,
    }
}

/// None: it ends before it begins, so the header means nothing.
fn bounded(start: StartPosition, end: EndPosition) -> Option<RangeSpec> {
    match (start, end) {
        (StartPosition::FromLast(n), _) => Some(RangeSpec::Suffix(n)),
        (StartPosition::Index(a), EndPosition::LastByte) => Some(RangeSpec::From(a)),
        (StartPosition::Index(a), EndPosition::Index(b)) => (a <= b).then_some(RangeSpec::FromTo(a, b)),
    }
}

/// The crate is stricter than S3 and RFC 9110 in what real clients meet: numbers past u64 (a download tool's "to the
/// end"), leading zeros, a suffix of nothing.
fn leniently(header: &str) -> Option<Vec<RangeSpec>> {
    let number = |s: &str| -> Option<u64> {
        let digits = !s.is_empty() && s.bytes().all(|c| c.is_ascii_digit());
        digits.then(|| s.parse().unwrap_or(u64::MAX))
    };
    let spec = |text: &str| -> Option<RangeSpec> {
        let (a, b) = text.split_once('-')?;
        match (trim(a), trim(b)) {
            ("", b) => number(b).map(RangeSpec::Suffix),
            (a, "") => number(a).map(RangeSpec::From),
            (a, b) => bounded(StartPosition::Index(number(a)?), EndPosition::Index(number(b)?)),
        }
    };
    header.strip_prefix("bytes=")?.split(',').map(spec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        use Requested::*;
        for (header, expected) in [
            ("bytes=0-0", Single(RangeSpec::FromTo(0, 0))),
            ("bytes=5-", Single(RangeSpec::From(5))),
            ("bytes=-5", Single(RangeSpec::Suffix(5))),
            ("bytes=-0", Single(RangeSpec::Suffix(0))),
            ("bytes=007-009", Single(RangeSpec::FromTo(7, 9))),
            ("bytes=0-99999999999999999999999", Single(RangeSpec::FromTo(0, u64::MAX))),
            ("bytes=0-1,3-4", Several(vec![RangeSpec::FromTo(0, 1), RangeSpec::FromTo(3, 4)])),
            ("bytes=-0,0-", Several(vec![RangeSpec::Suffix(0), RangeSpec::From(0)])),
            ("bytes=5-4", Whole),
            ("bytes=0-1,5-4", Whole),
            ("bytes=0-1,,2-3", Whole),
            ("bytes=", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bits=0-1", Whole),
            ("", Whole),
            ("bytes=0-1,x", Whole),
        ] {
            assert_eq!(parse(header), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(s in "\\PC*") { parse(&s); }

        #[test]
        fn agrees_with_a_plain_model(a in 0u64..200, b in 0u64..200, size in 0u64..150) {
            let body: Vec<u64> = (0..size).collect();
            let got = match parse(&format!("bytes={a}-{b}")) {
                Requested::Single(s) => s.resolve(size).map(|r| body[r.start as usize..r.end as usize].to_vec()),
                Requested::Whole => Some(body.clone()),
                Requested::Several(_) => panic!("one range was written"),
            };
            let model = if a > b { Some(body) } else {
                let m: Vec<u64> = body.into_iter().filter(|i| (a..=b).contains(i)).collect();
                (!m.is_empty()).then_some(m)
            };
            prop_assert_eq!(got, model);
        }
    }
}
