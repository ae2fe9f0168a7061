//! `x-tidegate-media-*`: what was found in an object of a media type, beside its own headers.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::base::inspection::Inspection;
use crate::http::respond::value;

const VERDICT: HeaderName = HeaderName::from_static("x-tidegate-media-verdict");
const FORMAT: HeaderName = HeaderName::from_static("x-tidegate-media-format");
const USES: HeaderName = HeaderName::from_static("x-tidegate-media-uses");
const FOUND: HeaderName = HeaderName::from_static("x-tidegate-media-found");

pub fn tell(headers: &mut HeaderMap, found: &Inspection) {
    headers.insert(VERDICT, HeaderValue::from_static(found.verdict.name()));
    if let Some(format) = value(&found.format).filter(|format| !format.is_empty()) {
        headers.insert(FORMAT, format);
    }
    for (fact, number) in found.known_facts() {
        headers.insert(HeaderName::from_static(fact.header()), HeaderValue::from(number));
    }
    if !found.names.is_empty() {
        put(headers, USES, &found.names.join(", "));
    }
    // What weighs most; the rest is at /-/v1/assets.
    if let Some(finding) = found.findings.iter().find(|f| f.fault).or(found.findings.first()) {
        put(headers, FOUND, &finding.text);
    }
}

/// Many readers take nothing but ASCII in a header.
fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    let ascii: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    if let Some(value) = value(&ascii) {
        headers.insert(name, value);
    }
}
