//! Asking what somebody else named: one GET of a small document, or POSTs one after the other, without following them elsewhere. A call to a
//! provider, whose redirects are followed by hand, is `call`; a body of any size is `download`; where anything is asked at all is `target`.
//!
//! Redirects are refused here. Size and time are limited. `local`: the operator says that it stands in his own network: plain HTTP and any
//! address are allowed.

pub mod call;
pub mod download;
pub mod target;

use std::time::Duration;

use http::header::{ACCEPT, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use tokio::time::timeout;

use crate::outbound::target::{self as targets, AGENT, Open, Reach, Target};

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;
/// Of the answer to a POST: nobody reads it.
const MAX_REPLY_BYTES: usize = 64 * 1024;
const REPLY_PATIENCE: Duration = Duration::from_secs(2);
/// A connection is used for no longer: then the name is resolved anew.
const LONGEST: Duration = Duration::from_secs(60);

/// Err: in words for the operator.
pub async fn get(url: &str, local: bool) -> Result<Bytes, String> {
    match timeout(PATIENCE, ask(url, local)).await {
        Ok(answer) => answer.map_err(|e| format!("{url}: {e}")),
        Err(_) => Err(format!("{url} did not answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask(url: &str, local: bool) -> Result<Bytes, String> {
    let target = Target::parse(url, &reach(local))?;
    let request = Request::get(&target.path).header(HOST, &target.authority).header(ACCEPT, "application/json");
    let request = request.header(USER_AGENT, AGENT).body(Full::default()).map_err(|e| e.to_string())?;
    let mut open = target.connect().await?;
    let answer = open.sender.send_request(request).await.map_err(|e| e.to_string())?;
    if answer.status() != StatusCode::OK {
        return Err(format!("it answered {} (redirects are not followed)", answer.status()));
    }
    let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await.map_err(|e| e.to_string())?;
    Ok(body.to_bytes())
}

fn reach(local: bool) -> Reach {
    if local { Reach::anywhere() } else { Reach::default() }
}

/// Err: why nothing would ever be asked for there.
pub fn check(url: &str, local: bool) -> Result<(), String> {
    targets::check(url, &reach(local)).map_err(String::from)
}

/// What was answered to a POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    /// How long to wait, where it said so in seconds.
    pub retry_after: Option<Duration>,
}

/// POSTs to one place, one after the other, over one connection as long as it holds.
pub struct Line {
    target: Target,
    open: Option<Open>,
}

impl Line {
    /// Err: as `check`.
    pub fn to(url: &str, local: bool) -> Result<Self, String> {
        Ok(Line { target: Target::parse(url, &reach(local))?, open: None })
    }

    /// Err: in words for the operator. It may have arrived all the same.
    pub async fn post(&mut self, headers: &HeaderMap, body: &Bytes, patience: Duration) -> Result<Reply, String> {
        let answer = match timeout(patience, self.send(headers, body)).await {
            Ok(answer) => answer?,
            Err(_) => {
                self.open = None;
                return Err(format!("it did not answer within {} s", patience.as_secs_f32()));
            }
        };
        let status = answer.status();
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let ends = timeout(REPLY_PATIENCE, Limited::new(answer.into_body(), MAX_REPLY_BYTES).collect()).await;
        if !matches!(ends, Ok(Ok(_))) {
            self.open = None;
        }
        Ok(Reply { status, retry_after: seconds.map(Duration::from_secs) })
    }

    /// As `post`, of whom the answer's body is wanted, of `max` bytes at most.
    pub async fn ask(&mut self, headers: &HeaderMap, body: &Bytes, patience: Duration, max: usize) -> Result<(StatusCode, Bytes), String> {
        let asked = async {
            let answer = self.send(headers, body).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), max).collect().await.map_err(|e| e.to_string())?;
            Ok((status, body.to_bytes()))
        };
        let answered = timeout(patience, asked).await.unwrap_or_else(|_| Err(format!("it did not answer within {} s", patience.as_secs())));
        if answered.is_err() {
            self.open = None;
        }
        answered
    }

    async fn send(&mut self, headers: &HeaderMap, body: &Bytes) -> Result<http::Response<Incoming>, String> {
        let used = self.open.take().filter(|open| open.since.elapsed() < LONGEST && !open.sender.is_closed());
        if let Some(mut open) = used
            && open.sender.ready().await.is_ok()
            && let Ok(answer) = open.sender.send_request(self.request(headers, body)?).await
        {
            self.open = Some(open);
            return Ok(answer);
        }
        // None was open, or the other side had closed it.
        let mut open = self.target.connect().await?;
        let answer = open.sender.send_request(self.request(headers, body)?).await.map_err(|e| e.to_string())?;
        self.open = Some(open);
        Ok(answer)
    }

    fn request(&self, headers: &HeaderMap, body: &Bytes) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::post(&self.target.path).body(Full::new(body.clone())).map_err(|e| e.to_string())?;
        let host = HeaderValue::from_str(&self.target.authority).map_err(|e| e.to_string())?;
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_never_asked_for() {
        for url in [
            "http://example.com/",
            "https://user@example.com/",
            "ftp://example.com/",
            "/etc/passwd",
            "https://127.0.0.1/",
            "https://[::1]/",
        ] {
            assert!(get(url, false).await.is_err(), "{url}");
            let posted = async { Line::to(url, false)?.post(&HeaderMap::new(), &Bytes::new(), PATIENCE).await };
            assert!(posted.await.is_err(), "{url}");
        }
    }
}
