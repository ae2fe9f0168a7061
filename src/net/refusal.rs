//! Refusals from below the doors: a head or an address that is too long, a connection past a cap.
//!
//! On the edge door every page may see them, as it sees the door's own: without CORS a browser tells its page of a network
//! error, and nobody learns what was wrong. They are empty and the same for everyone, so there is nothing to keep from a page.

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

use crate::telemetry::metrics::Door;

const FOR_PAGES: [(&str, &str); 4] = [
    ("access-control-allow-origin", "*"),
    ("cross-origin-resource-policy", "cross-origin"),
    ("timing-allow-origin", "*"),
    ("cache-control", "no-store"),
];

/// Longest parts of a request that reach a door.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub head_bytes: usize,
    pub uri_bytes: usize,
}

impl Limits {
    /// None: the doors decide.
    pub fn check<B>(&self, request: &Request<B>) -> Option<StatusCode> {
        let uri = request.uri().path_and_query().map_or(0, |p| p.as_str().len());
        // As it stands on the wire: `name: value` and the end of the line.
        let head = request.headers().iter().fold(uri, |sum, (name, value)| sum + name.as_str().len() + value.len() + 4);
        if uri > self.uri_bytes {
            return Some(StatusCode::URI_TOO_LONG);
        }
        (head > self.head_bytes).then_some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    }
}

pub fn answer<B: Default>(status: StatusCode, door: Door) -> Response<B> {
    let mut refusal = Response::new(B::default());
    *refusal.status_mut() = status;
    if door == Door::Edge {
        let headers = FOR_PAGES.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        refusal.headers_mut().extend(headers);
    }
    refusal
}

/// For a connection that nothing else is done for, in HTTP/1.1.
pub fn come_again(door: Door) -> String {
    let mut text = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n".to_owned();
    if door == Door::Edge {
        FOR_PAGES.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_for_what_is_on_the_wire() {
        let limits = Limits { head_bytes: 40, uri_bytes: 10 };
        let of = |uri: &str, value: &str| limits.check(&Request::get(uri).header("n", value).body(()).unwrap());
        assert_eq!(of("/123456789", "x"), None);
        assert_eq!(of("/1234567890", "x"), Some(StatusCode::URI_TOO_LONG));
        assert_eq!(of("/", &"x".repeat(34)), None);
        assert_eq!(of("/", &"x".repeat(35)), Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }

    #[test]
    fn pages_see_refusals_of_the_edge_door() {
        let of = |door| answer::<()>(StatusCode::URI_TOO_LONG, door).headers().get("access-control-allow-origin").cloned();
        assert_eq!(of(Door::Edge), Some(HeaderValue::from_static("*")));
        assert_eq!(of(Door::S3), None);
        assert!(come_again(Door::Edge).ends_with("\r\naccess-control-allow-origin: *\r\ncross-origin-resource-policy: cross-origin\r\ntiming-allow-origin: *\r\ncache-control: no-store\r\n\r\n"));
        assert!(come_again(Door::S3).ends_with("Connection: close\r\n\r\n"));
    }
}
