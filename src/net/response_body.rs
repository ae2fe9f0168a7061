//! A response's body on its way out: the service's own, or none where the network itself answers.
//!
//! It keeps the request counted until its last byte was handed over, tells the connection who waits for whom, and turns
//! a failed source into a broken connection: a body that can't be finished must not look finished.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::connection::RunningRequest;
use crate::base::error::Error;

pub struct ResponseBody<B> {
    /// None: empty.
    pub(super) source: Option<B>,
    pub(super) request: RunningRequest,
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = &mut *self;
        let Some(source) = &mut body.source else { return Poll::Ready(None) };
        let polled = Pin::new(source).poll_frame(cx);
        body.request.waits_on_us(polled.is_pending());
        let item = ready!(polled);
        if let Some(Err(e)) = &item {
            let connection = body.request.connection();
            connection.metrics.body_breaks.inc();
            connection.break_off();
            tracing::warn!(error = %e, requests = ?connection.describe_requests(), "an answer was broken off after its status line");
        }
        Poll::Ready(item)
    }

    fn is_end_stream(&self) -> bool {
        self.source.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.source.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
