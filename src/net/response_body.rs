//! A response's body on its way out: the service's own, or none where the network itself answers.
//!
//! It keeps the request counted until its last byte was handed over, tells the connection who waits for whom, and turns
//! a failed source into a broken connection: a body that can't be finished must not look finished.
//! As hyper's body (HTTP/1) it is read no further than its connection has room; for HTTP/2 `stream` sees to that.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::connection::RunningRequest;
use super::room::Piece;
use super::service::Pulled;
use crate::base::error::Error;
use crate::base::mapped_file::MappedFile;

pub struct ResponseBody<B> {
    /// None: empty.
    pub(super) source: Option<B>,
    pub(super) request: RunningRequest,
}

impl<B: Body<Data = Bytes, Error = Error> + Pulled + Unpin> ResponseBody<B> {
    /// The next bytes; trailers there are none.
    pub(super) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let Some(source) = &mut self.source else { return Poll::Ready(None) };
            let polled = Pin::new(source).poll_frame(cx);
            self.request.waits_on_us(polled.is_pending());
            match ready!(polled) {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Some(Err(e)) => {
                    let connection = self.request.connection();
                    connection.metrics.body_breaks.inc();
                    connection.break_off();
                    tracing::warn!(error = %e, requests = ?connection.describe_requests(), "an answer was broken off after its status line");
                    return Poll::Ready(Some(Err(e)));
                }
            }
        }
    }
}

impl<B: Pulled> Pulled for ResponseBody<B> {
    fn at_most(&mut self, bytes: usize) {
        if let Some(source) = &mut self.source {
            source.at_most(bytes);
        }
    }

    fn at_hand(&self) -> usize {
        self.source.as_ref().map_or(0, Pulled::at_hand)
    }

    fn mapped(&self) -> Option<MappedFile> {
        self.source.as_ref().and_then(Pulled::mapped)
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Pulled + Unpin> Body for ResponseBody<B> {
    type Data = Piece;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, Error>>> {
        let room = ready!(self.request.connection().room.poll_allowance(cx));
        self.at_most(room);
        let next = ready!(self.poll_bytes(cx));
        Poll::Ready(next.map(|bytes| {
            let bytes = bytes?;
            let connection = self.request.connection();
            let piece = match self.mapped() {
                Some(file) => {
                    if !connection.peer.secure {
                        connection.sending_from.note(file);
                    }
                    Piece::free(bytes)
                }
                None if bytes.is_unique() => connection.room.hold(bytes),
                None => Piece::free(bytes),
            };
            Ok(Frame::data(piece))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.source.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.source.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
