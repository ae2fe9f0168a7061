//! `/-/health`: the process answers. `/-/ready`: it can do its work (disk writable, index open). On every door.

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};

use crate::base::error::{Error, ErrorKind, Result, Side};
use crate::http::body::ResponseBody;
use crate::http::gateway::Gateway;
use crate::http::respond::{self, Answer};

/// `path` is what follows `/-/`.
pub async fn answer(gateway: &Gateway, path: &str) -> Result<Answer> {
    match path {
        "health" => Ok(text("ok\n", "text/plain; charset=utf-8")),
        "ready" => match gateway.ops.ready().await {
            Ok(()) => Ok(text("ready\n", "text/plain; charset=utf-8")),
            Err(e) => {
                tracing::warn!(error = %e, "not ready");
                // Not ready is a 503, whatever the reason is.
                let kind = if e.side() == Side::Upstream { ErrorKind::UpstreamUnavailable } else { ErrorKind::LocalUnavailable };
                Err(Error::new(kind, e.message().to_owned()))
            }
        },
        _ => Err(Error::new(ErrorKind::NotFound, "There is nothing at this address: /-/health and /-/ready are.")),
    }
}

pub fn text(body: impl Into<String>, content_type: &'static str) -> Answer {
    let body: String = body.into();
    let mut answer = respond::empty(StatusCode::OK);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *answer.body_mut() = ResponseBody::text(body);
    answer
}
