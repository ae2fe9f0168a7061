//! The body of an answer: nothing, bytes at hand, or pieces from the origin. And a request's body that is counted as it comes.
//!
//! Invariant: exactly the announced length is sent, or the body fails and hyper breaks the connection. A body that
//! ends early is never ended cleanly.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

use crate::base::error::{Error, Result};
use crate::base::mapped_file::MappedFile;
use crate::http::form::File;
use crate::http::gzip::Coded;
use crate::http::record::Record;
use crate::http::throttle::Throttle;
use crate::net::request_body::RequestBody;
use crate::net::service::Pulled;
use crate::ops::transfers::Transfer;
use crate::origin::{Body, BodySource};

pub enum ResponseBody {
    Empty,
    Full(Bytes),
    Stream {
        source: Pin<Box<dyn BodySource>>,
        remaining: u64,
    },
    /// Of no known length; whole when it ends, wherever that is.
    Events(mpsc::Receiver<Bytes>),
    /// A document that is compressed as it goes; its length is not known before.
    Coded(Box<Coded>),
}

impl ResponseBody {
    pub fn text(text: impl Into<Bytes>) -> Self {
        ResponseBody::Full(text.into())
    }

    pub fn len(&self) -> u64 {
        match self {
            ResponseBody::Empty | ResponseBody::Events(_) | ResponseBody::Coded(_) => 0,
            ResponseBody::Full(b) => b.len() as u64,
            ResponseBody::Stream { remaining, .. } => *remaining,
        }
    }

    fn has_no_known_length(&self) -> bool {
        matches!(self, ResponseBody::Events(_) | ResponseBody::Coded(_))
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0 && !self.has_no_known_length()
    }
}

impl From<Body> for ResponseBody {
    fn from(body: Body) -> Self {
        match body {
            Body::Memory(b) if b.is_empty() => ResponseBody::Empty,
            Body::Memory(b) => ResponseBody::Full(b),
            Body::Stream(source) => {
                let remaining = source.remaining();
                ResponseBody::Stream { source, remaining }
            }
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        match &mut *self {
            ResponseBody::Empty => Poll::Ready(None),
            ResponseBody::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = ResponseBody::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            ResponseBody::Events(events) => events.poll_recv(cx).map(|event| event.map(|bytes| Ok(Frame::data(bytes)))),
            ResponseBody::Coded(document) => document.poll_next(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))),
            ResponseBody::Stream { source, remaining } => match source.as_mut().poll_next(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok(bytes))) => {
                    let Some(left) = remaining.checked_sub(bytes.len() as u64) else {
                        return Poll::Ready(Some(Err(Error::internal("a body was longer than its object"))));
                    };
                    *remaining = left;
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                Poll::Ready(Some(Err(e))) => Poll::Ready(Some(Err(e))),
                Poll::Ready(None) if *remaining == 0 => Poll::Ready(None),
                Poll::Ready(None) => Poll::Ready(Some(Err(Error::internal("a body ended before its object did")))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Empty => true,
            ResponseBody::Full(b) => b.is_empty(),
            ResponseBody::Stream { remaining, .. } => *remaining == 0,
            ResponseBody::Events(_) => false,
            ResponseBody::Coded(document) => document.has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.has_no_known_length() { SizeHint::default() } else { SizeHint::with_exact(self.len()) }
    }
}

impl Pulled for ResponseBody {
    fn at_most(&mut self, bytes: usize) {
        if let ResponseBody::Stream { source, .. } = self {
            source.as_mut().at_most(bytes);
        }
    }

    fn at_hand(&self) -> usize {
        match self {
            // What a cache has too costs nothing more.
            ResponseBody::Full(bytes) if bytes.is_unique() => bytes.len(),
            ResponseBody::Stream { source, .. } => source.at_hand(),
            ResponseBody::Coded(document) => document.at_hand(),
            ResponseBody::Full(_) | ResponseBody::Empty | ResponseBody::Events(_) => 0,
        }
    }

    fn mapped(&self) -> Option<MappedFile> {
        if let ResponseBody::Stream { source, .. } = self { source.mapped() } else { None }
    }
}

/// What a request brings: its body, or the file of the form that is in it.
pub enum Brought {
    Body(RequestBody),
    File(Box<File<RequestBody>>),
}

pub struct Counted<'r> {
    pub body: RequestBody,
    pub record: &'r Record,
    pub transfer: Option<Arc<Transfer>>,
    /// None: as fast as it comes.
    pub throttle: Option<Throttle>,
}

impl http_body::Body for Counted<'_> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        if let Some(throttle) = &mut self.throttle {
            ready!(throttle.poll(cx));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            let bytes = data.len();
            self.record.took_in(bytes);
            self.throttle.iter_mut().for_each(|throttle| throttle.went(bytes as u64));
            if let Some(transfer) = &self.transfer {
                transfer.arrived(data.len() as u64);
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
