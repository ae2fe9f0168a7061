//! A body of an origin as one that ingest takes in.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;

use crate::base::error::{Error, Result};
use crate::origin::{Body, BodySource};

/// A body to be taken in.
pub struct Reading(pub Body);

impl http_body::Body for Reading {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let piece = match &mut self.0 {
            Body::Memory(bytes) => Some(std::mem::take(bytes)).filter(|b| !b.is_empty()).map(Ok),
            Body::Stream(stream) => ready!(BodySource::poll_next(stream.as_mut(), cx)),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }
}
