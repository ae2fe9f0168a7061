//! One call to somebody else's address, and its answer. Redirects of a GET are followed by hand, each checked like the first address.
//!
//! What goes to another place than the one that was named is a bare request: no credentials, no header of the caller's own. From TLS nobody
//! is led to where there is none. A POST is never sent twice, so its redirects are refused. Content codings are neither asked for nor undone.
//! Limits: so many redirects, a head within `patience`, bodies of answers by `Answer::whole`.

use std::time::{Duration, SystemTime};

use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, IF_RANGE, LOCATION, RANGE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use tokio::time::{Instant, timeout_at};

use crate::outbound::target::{AGENT, Aborted, Reach, Target, Trouble};

const MAX_REDIRECTS: usize = 5;
/// What somebody else's place may see as well.
const BARE: [HeaderName; 3] = [ACCEPT, RANGE, IF_RANGE];
/// Nobody is believed for longer who says when to come back.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

pub struct Call<'c> {
    pub method: Method,
    pub url: &'c str,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Until the head of the answer is there, over all redirects.
    pub patience: Duration,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    _connection: Aborted,
}

impl Call<'_> {
    pub async fn send(&self, reach: &Reach) -> Result<Answer, Trouble> {
        let until = Instant::now() + self.patience;
        let first = Target::parse(self.url, reach)?;
        let (mut target, mut at) = (Target::parse(self.url, reach)?, self.url.to_owned());
        for _ in 0..=MAX_REDIRECTS {
            let headers = if target.is_same_place(&first) { self.headers.clone() } else { bare(&self.headers) };
            let answer = self.ask(&target, headers, until).await?;
            let Some(to) = location(&answer)? else { return Ok(answer) };
            if self.method != Method::GET && self.method != Method::HEAD {
                return Err(Trouble::Refused(format!("it answered {} and leads elsewhere", answer.status)));
            }
            at = joined(&at, &to).ok_or_else(|| Trouble::Refused("it leads to what is no address".into()))?;
            let next = Target::parse(&at, reach)?;
            if target.is_secure() && !next.is_secure() {
                return Err(Trouble::Refused("it leads from https to http".into()));
            }
            target = next;
        }
        Err(Trouble::Refused(format!("it leads on more than {MAX_REDIRECTS} times")))
    }

    async fn ask(&self, target: &Target, mut headers: HeaderMap, until: Instant) -> Result<Answer, Trouble> {
        let wrong = |e: String| Trouble::Refused(e);
        headers.insert(HOST, HeaderValue::from_str(&target.authority).map_err(|e| wrong(e.to_string()))?);
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let request = Request::builder().method(&self.method).uri(&target.path).body(Full::new(self.body.clone()));
        let mut request = request.map_err(|e| wrong(e.to_string()))?;
        *request.headers_mut() = headers;
        let late = |sent: bool| {
            let text = "it did not answer in time".to_owned();
            if sent { Trouble::Unanswered(text) } else { Trouble::Unsent(text) }
        };
        let mut open = timeout_at(until, target.connect()).await.map_err(|_| late(false))??;
        let answer = timeout_at(until, open.sender.send_request(request)).await.map_err(|_| late(true))?;
        let (head, body) = answer.map_err(|e| Trouble::Unanswered(format!("it gave no answer: {e}")))?.into_parts();
        Ok(Answer { status: head.status, headers: head.headers, body, _connection: open._connection })
    }
}

impl Answer {
    pub fn text(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long to wait, where it says so in seconds or by a date.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.text(RETRY_AFTER)?.trim();
        let wait = match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).unwrap_or_default(),
        };
        Some(wait.min(LONGEST_WAIT))
    }

    /// All of the body, if it is no larger than `max` and comes within `patience`.
    pub async fn whole(self, max: usize, patience: Duration) -> Result<Bytes, Trouble> {
        let (body, _connection) = (self.body, self._connection);
        match tokio::time::timeout(patience, Limited::new(body, max).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(e)) => Err(Trouble::Unanswered(format!("its answer broke off, or is larger than {max} bytes: {e}"))),
            Err(_) => Err(Trouble::Unanswered("its answer did not come to an end in time".into())),
        }
    }

    /// The next piece of the body; None: that was all, or as much as it had announced.
    pub(super) async fn piece(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

fn bare(headers: &HeaderMap) -> HeaderMap {
    headers.iter().filter(|(name, _)| BARE.contains(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn location(answer: &Answer) -> Result<Option<String>, Trouble> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    match answer.text(LOCATION) {
        Some(to) => Ok(Some(to.to_owned())),
        None => Err(Trouble::Refused("it leads elsewhere and does not say where".into())),
    }
}

/// A reference of RFC 3986 against the address that it was found at; what a browser would make of odd ones is not tried.
fn joined(base: &str, to: &str) -> Option<String> {
    let to = to.split('#').next().unwrap_or_default();
    if to.starts_with("https://") || to.starts_with("http://") {
        return Some(to.to_owned());
    }
    let (scheme, rest) = base.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = path.split(['?', '#']).next().unwrap_or_default();
    match to {
        _ if to.starts_with("//") => Some(format!("{scheme}:{to}")),
        _ if to.starts_with('/') => Some(format!("{scheme}://{authority}{to}")),
        _ if to.starts_with('?') => Some(format!("{scheme}://{authority}{path}{to}")),
        // Another scheme.
        _ if to.split(['/', '?']).next().is_some_and(|first| first.contains(':')) => None,
        _ => Some(format!("{scheme}://{authority}{}/{to}", path.rsplit_once('/').map_or("", |(folder, _)| folder))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_joined() {
        let base = "https://a.example/x/y?q=1";
        for (to, expected) in [
            ("https://b.example/z#f", Some("https://b.example/z")),
            ("//b.example/z", Some("https://b.example/z")),
            ("/z?r", Some("https://a.example/z?r")),
            ("z", Some("https://a.example/x/z")),
            ("?r=2", Some("https://a.example/x/y?r=2")),
            ("file:///etc/passwd", None),
            ("gopher://x", None),
        ] {
            assert_eq!(joined(base, to).as_deref(), expected, "{to}");
        }
        assert_eq!(joined("https://a.example", "z").as_deref(), Some("https://a.example/z"));
    }

    #[test]
    fn another_place_sees_no_secret() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("authorization", "Bearer x"), ("x-goog-api-key", "k"), ("cookie", "c"), ("range", "bytes=1-")] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let bare = bare(&headers);
        assert_eq!(bare.len(), 1);
        assert!(bare.contains_key(RANGE));
    }
}
