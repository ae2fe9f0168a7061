//! Which content coding a client gets: its `Accept-Encoding` (RFC 9110 12.5.3) against what can be offered. Pure.
//!
//! Between codings that the client likes equally the server chooses: the smaller bytes first. Who sends no header, or one
//! that can't be read, gets the bytes as they are; so does who refuses everything, because an answer is better than none.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::base::coding::Coding;
use crate::base::header::trim;

/// What can be made, the smallest first.
pub const OFFERED: [Coding; 3] = [Coding::Br, Coding::Zstd, Coding::Gzip];

/// A header with more members says nothing that a client means.
const MAX_MEMBERS: usize = 64;

/// What a client takes, with the weights it gave, in thousandths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    named: Vec<(Coding, u16)>,
    /// `*`: every coding that is not named.
    others: Option<u16>,
}

impl Accepted {
    pub fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
        Self::parse(lines.flat_map(|line| line.split(',')))
    }

    fn parse<'m>(members: impl Iterator<Item = &'m str>) -> Self {
        let mut accepted = Accepted::default();
        for member in members.take(MAX_MEMBERS) {
            let (token, parameters) = member.split_once(';').unwrap_or((member, ""));
            let Some(weight) = weight(parameters) else { continue };
            match trim(token) {
                // What is named twice counts as it was named first.
                "*" => accepted.others = accepted.others.or(Some(weight)),
                token => match Coding::parse(token) {
                    Some(coding) if accepted.named.iter().all(|(c, _)| *c != coding) => accepted.named.push((coding, weight)),
                    _ => {}
                },
            }
        }
        accepted
    }

    /// 0: refused.
    fn weight(&self, coding: Coding) -> u16 {
        self.named.iter().find(|(c, _)| *c == coding).map(|(_, w)| *w).or(self.others).unwrap_or(0)
    }

    pub fn takes(&self, coding: Coding) -> bool {
        self.weight(coding) > 0
    }

    /// The one of `OFFERED` that the client gets, where it likes one at least as much as the plain bytes.
    pub fn choose(&self) -> Coding {
        // Plain bytes that the client does not speak of are taken, but liked less than whatever it names.
        let plain = self.named.iter().find(|(c, _)| *c == Coding::Identity).map_or(0, |(_, w)| *w);
        let best = OFFERED.into_iter().rev().max_by_key(|c| self.weight(*c));
        best.filter(|c| self.takes(*c) && self.weight(*c) >= plain).unwrap_or(Coding::Identity)
    }
}

/// `q=0.5` in thousandths; 1000 where there is none. None: it can't be read, and its member does not count.
fn weight(parameters: &str) -> Option<u16> {
    let parameters = trim(parameters);
    if parameters.is_empty() {
        return Some(1000);
    }
    let (name, value) = parameters.split_once('=')?;
    if !trim(name).eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, decimals) = trim(value).split_once('.').unwrap_or((trim(value), ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = if decimals.is_empty() { 0 } else { format!("{decimals:0<3}").parse().ok()? };
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn choose(header: &str) -> &'static str {
        Accepted::parse(header.split(',')).choose().name()
    }

    #[test]
    fn as_clients_ask() {
        for (header, chosen) in [
            // Chromium, Firefox, Safari, curl --compressed, CloudFront, python-requests
            ("gzip, deflate, br, zstd", "br"),
            ("gzip, deflate, br", "br"),
            ("deflate, gzip, br, zstd", "br"),
            ("br,gzip", "br"),
            ("gzip, deflate", "gzip"),
            ("identity", "identity"),
            ("", "identity"),
            ("gzip;q=1.0, br;q=0.9", "gzip"),
            ("GZIP;Q=0.8, zstd;q=0.8", "zstd"),
            ("x-gzip", "gzip"),
            ("*", "br"),
            ("*;q=0.5, br;q=0", "zstd"),
            ("br;q=0, *", "zstd"),
            ("*;q=0", "identity"),
            ("*;q=0, identity", "identity"),
            ("identity;q=0", "identity"),
            ("identity;q=0, gzip;q=0.001", "gzip"),
            ("identity, gzip;q=0.5", "identity"),
            ("identity, gzip", "gzip"),
            ("*;q=0.5, identity", "identity"),
            ("br;q=2, gzip;q=1.5, zstd;q=-1", "identity"),
            ("br;q=0.1234, gzip;q=x, zstd;level=1", "identity"),
            ("br;q=1.000 , gzip", "br"),
            ("br ; q = 0.3, gzip ;q=0.4", "gzip"),
            ("br;q=0, br", "identity"),
            ("brotli, deflate, compress", "identity"),
        ] {
            assert_eq!(choose(header), chosen, "{header:?}");
        }
    }

    /// RFC 9110 12.5.3 written down a second time: for each coding its weight by the words of the section, then the best.
    fn model(members: &[(&str, u16)]) -> &'static str {
        let given = |name: &str| members.iter().find(|(n, _)| *n == name).map(|(_, q)| *q);
        let acceptable = |name: &str| given(name).or(given("*")).unwrap_or(0);
        let mut best = ("identity", given("identity").unwrap_or(0));
        for name in ["gzip", "zstd", "br"] {
            if acceptable(name) > 0 && acceptable(name) >= best.1 {
                best = (name, acceptable(name));
            }
        }
        best.0
    }

    proptest! {
        #[test]
        fn as_the_model_does(members in prop::collection::vec((prop::sample::select(vec!["br", "zstd", "gzip", "identity", "*", "deflate", "x"]), 0u16..=1000), 0..8)) {
            let header: Vec<String> =
                members.iter().map(|(name, q)| format!("{name};q={}.{:03}", q / 1000, q % 1000)).collect();
            prop_assert_eq!(choose(&header.join(", ")), model(&members));
        }

        #[test]
        fn nothing_breaks_it(header in "[ -~]{0,80}") {
            choose(&header);
        }
    }
}
