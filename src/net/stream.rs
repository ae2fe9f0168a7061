//! One request of an HTTP/2 connection, from its head to the last byte of its answer.
//!
//! Nothing is read for a stream whose window is shut: first the peer's window, then room among the connection's pieces, then so much
//! of the body as both allow. So a stream that waits holds its head and no bytes, and one that waits keeps no other from its turn.
//! A body that is at hand as a whole (a small object, a document) is counted while it waits, and further requests of its connection
//! begin when there is memory for their answers.

use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context as Task, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderValue};
use http::{Method, Request, Response};
use http_body::Body;

use super::answer::{Context, answer};
use super::arriving::Arriving;
use super::connection::Connection;
use super::response_body::ResponseBody;
use super::room::{Held, Piece, Room, SHARE};
use super::service::{Pulled, Service};
use crate::base::error::Error;

/// A window that is all but shut is not worth a read of its own: so much may be read though less may be sent.
const LEAST_READ: usize = 1024;

/// The peer reset the stream, or the connection is gone.
struct Gone;

pub async fn serve<S: Service>(
    context: Rc<Context<S>>,
    connection: Rc<Connection>,
    request: Request<RecvStream>,
    mut reply: SendResponse<Piece>,
) {
    let room = connection.room.clone();
    let bodyless = request.method() == Method::HEAD;
    // In a box that goes as soon as there is an answer: what a handler needs is many times what a stream keeps that waits.
    let answered = {
        let mut answering = Box::pin(async {
            poll_fn(|cx| room.poll_begin(cx)).await;
            answer(context.clone(), connection, Arriving::http2(request)).await
        });
        poll_fn(|cx| match answering.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => reply.poll_reset(cx).map(|_| None),
        })
        .await
    };
    let Some(response) = answered else {
        // It may have been the one that was woken.
        return room.wake_next();
    };
    let (mut head, body) = response.into_parts();
    head.headers.remove(CONNECTION);
    head.headers.entry(DATE).or_insert_with(|| context.date());
    let ends = bodyless || body.is_end_stream();
    if !ends && let Some(length) = body.size_hint().exact() {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    match reply.send_response(Response::from_parts(head, ()), ends) {
        Ok(_) if ends => {}
        Ok(stream) => {
            if let Err(Gone) = send(Sending::new(stream, room, body)).await {
                tracing::debug!("a stream ended before its answer did");
            }
        }
        Err(e) => {
            tracing::debug!(error = %e, "an answer could not be sent");
            reply.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

struct Sending<B> {
    stream: SendStream<Piece>,
    room: Rc<Room>,
    body: ResponseBody<B>,
    /// Read, and more than the window.
    rest: Bytes,
    /// Whether it costs memory.
    counts: bool,
    /// The room of a body that was at hand from the start; goes with the last of it.
    at_hand: Option<Held>,
    /// The room of the piece that is being read.
    reading: Option<Held>,
    waits_for_room: bool,
}

async fn send<B>(mut sending: Sending<B>) -> Result<(), Gone>
where
    B: Body<Data = Bytes, Error = Error> + Pulled + Unpin,
{
    loop {
        if sending.rest.is_empty() {
            match poll_fn(|cx| sending.poll_piece(cx)).await? {
                Some(Ok(piece)) => {
                    sending.counts = sending.body.mapped().is_none() && piece.is_unique();
                    sending.rest = piece;
                }
                Some(Err(_)) => {
                    sending.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Ok(());
                }
                None => return sending.stream.send_data(Piece::free(Bytes::new()), true).map_err(|_| Gone),
            }
        } else {
            poll_fn(|cx| sending.poll_window(cx)).await?;
        }
        // The window may have been lent to others while the piece was read.
        let part = sending.rest.split_to(sending.rest.len().min(sending.stream.capacity()));
        if part.is_empty() {
            continue;
        }
        let last = sending.rest.is_empty() && sending.body.is_end_stream();
        let piece = sending.piece(part);
        sending.stream.send_data(piece, last).map_err(|_| Gone)?;
        if last {
            return Ok(());
        }
    }
}

impl<B> Sending<B>
where
    B: Body<Data = Bytes, Error = Error> + Pulled + Unpin,
{
    fn new(stream: SendStream<Piece>, room: Rc<Room>, body: ResponseBody<B>) -> Self {
        let at_hand = room.keep(body.at_hand());
        Sending { stream, room, body, rest: Bytes::new(), counts: false, at_hand, reading: None, waits_for_room: false }
    }

    fn piece(&mut self, part: Bytes) -> Piece {
        self.reading = None;
        if self.at_hand.is_some() {
            let held = if self.rest.is_empty() { self.at_hand.take() } else { None };
            Piece::of(part, held)
        } else if self.counts {
            self.room.hold(part)
        } else {
            Piece::free(part)
        }
    }

    /// How much the peer takes of this stream now.
    fn poll_window(&mut self, cx: &mut Task<'_>) -> Poll<Result<usize, Gone>> {
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(Gone));
        }
        let wanted = if self.rest.is_empty() { self.body.size_hint().upper().unwrap_or(u64::MAX) } else { self.rest.len() as u64 };
        self.stream.reserve_capacity(wanted.clamp(1, SHARE as u64) as usize);
        loop {
            match self.stream.capacity() {
                0 => match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(Err(Gone)),
                },
                n => return Poll::Ready(Ok(n)),
            }
        }
    }

    /// The next bytes of the body, once the window is open and there is room for them.
    fn poll_piece(&mut self, cx: &mut Task<'_>) -> Poll<Result<Option<Result<Bytes, Error>>, Gone>> {
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(Gone));
        }
        if self.reading.is_none() {
            // A body of no known length may have ended: to say so takes no window.
            let window = match self.body.size_hint().exact() {
                Some(_) => self.poll_window(cx),
                None => Poll::Ready(Ok(SHARE)),
            };
            let Poll::Ready(window) = window else {
                // It was woken for room that it can't use now.
                if std::mem::take(&mut self.waits_for_room) {
                    self.room.wake_next();
                }
                return Poll::Pending;
            };
            self.waits_for_room = true;
            let room = ready!(self.room.poll_allowance(cx));
            self.waits_for_room = false;
            let most = window?.max(LEAST_READ).min(room);
            self.reading = Some(self.room.reserve(most));
            self.body.at_most(most);
        }
        match self.body.poll_bytes(cx) {
            Poll::Ready(next) => Poll::Ready(Ok(next)),
            Poll::Pending => {
                // The window and the room are others' meanwhile, unless the disk is reading into them.
                if self.body.at_hand() == 0 {
                    self.reading = None;
                    self.stream.reserve_capacity(0);
                }
                Poll::Pending
            }
        }
    }
}

impl<B> Drop for Sending<B> {
    fn drop(&mut self) {
        self.room.wake_next();
    }
}
