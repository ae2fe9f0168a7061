//! A request's body as it comes from the wire, by either protocol.
//!
//! HTTP/2 lets the peer send as much again as was taken from here, so what waits is bounded by its windows.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

type Cause = Box<dyn std::error::Error + Send + Sync>;

pub enum Arriving {
    Http1(Incoming),
    Http2 {
        stream: RecvStream,
        /// What was announced and has not come; h2 refuses a body that is of another length.
        left: Option<u64>,
        only_trailers: bool,
    },
}

impl Arriving {
    pub(super) fn http1(request: Request<Incoming>) -> Request<Self> {
        request.map(Arriving::Http1)
    }

    pub(super) fn http2(request: Request<RecvStream>) -> Request<Self> {
        let left = announced(request.headers());
        request.map(|stream| Arriving::Http2 { stream, left, only_trailers: false })
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match self.get_mut() {
            Arriving::Http1(incoming) => Pin::new(incoming).poll_frame(cx).map_err(Into::into),
            Arriving::Http2 { stream, left, only_trailers } => {
                if !*only_trailers {
                    match ready!(stream.poll_data(cx)) {
                        Some(Ok(data)) => {
                            stream.flow_control().release_capacity(data.len())?;
                            *left = left.map(|left| left.saturating_sub(data.len() as u64));
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                        // Whatever the reason: it is not whole.
                        Some(Err(e)) => return Poll::Ready(Some(Err(e.into()))),
                        None => *only_trailers = true,
                    }
                }
                Poll::Ready(ready!(stream.poll_trailers(cx))?.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Arriving::Http1(incoming) => incoming.is_end_stream(),
            Arriving::Http2 { stream, .. } => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Arriving::Http1(incoming) => incoming.size_hint(),
            Arriving::Http2 { left, .. } => left.map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}
