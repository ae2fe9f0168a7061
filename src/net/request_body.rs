//! A request's body as handlers see it: bytes, or an S3 error that says what went wrong.
//!
//! - A body that makes no progress ends with `RequestTimeout`; one that the client cut short with `IncompleteBody`.
//! - `100 Continue` goes out when the body is first polled, and never otherwise: a refusal comes instead of it.
//! - A body that is dropped before its end says so to its connection, which then closes after the answer: what the
//!   client still sends must not be taken for its next request. HTTP/2 has a stream for it: the rest is handed to `serve`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use super::arriving::Arriving;
use super::settings::MIN_PROGRESS_BYTES;
use crate::base::error::{Error, ErrorKind};
use crate::telemetry::metrics::{Metrics, Timeout};

/// Reads that a dropped body tries, to find that all of it had arrived: a small body then costs no connection.
const DROP_READS: usize = 4;

/// Pieces under this size are copied: each would keep alive the whole buffer that it came in, so a client that sends byte by byte
/// would hold many times what it sent.
const SMALL: usize = 2048;

/// What the bodies of a worker go by. One for each worker, since each body counts a reference to it: cores that share one
/// fight for it.
pub struct Rules {
    pub(super) metrics: Arc<Metrics>,
    pub(super) patience: Duration,
}

pub struct RequestBody {
    /// None: handed over as it was dropped.
    incoming: Option<Arriving>,
    ended: bool,
    polled: bool,
    expects_continue: bool,
    unread: Arc<AtomicBool>,
    /// HTTP/2: takes the rest of a body that is dropped before its end.
    leftover: Option<oneshot::Sender<Arriving>>,
    rules: Arc<Rules>,
    /// Runs while the client is waited for. Set again at most once per `MIN_PROGRESS_BYTES`, not for every piece.
    timer: Option<Pin<Box<Sleep>>>,
    timing: bool,
    progress: u64,
}

impl RequestBody {
    pub(super) fn new(
        incoming: Arriving,
        expects_continue: bool,
        unread: Arc<AtomicBool>,
        leftover: Option<oneshot::Sender<Arriving>>,
        rules: Arc<Rules>,
    ) -> Self {
        let ended = incoming.is_end_stream();
        RequestBody {
            incoming: Some(incoming),
            ended,
            polled: false,
            expects_continue,
            unread,
            leftover,
            rules,
            timer: None,
            timing: false,
            progress: 0,
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let patience = self.rules.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        if !self.timing {
            self.timing = true;
            self.progress = 0;
            timer.as_mut().reset(Instant::now() + patience);
        }
        ready!(timer.as_mut().poll(cx));
        self.rules.metrics.timeouts.of(Timeout::Body).inc();
        let message = "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.";
        Poll::Ready(Error::new(ErrorKind::RequestTimeout, message))
    }

    fn on_frame(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.progress += data.len() as u64;
            if self.progress >= MIN_PROGRESS_BYTES {
                self.timing = false;
            }
        }
        self.ended = self.is_end_stream();
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = &mut *self;
        body.polled = true;
        let Some(incoming) = &mut body.incoming else { return Poll::Ready(None) };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                body.on_frame(&frame);
                Poll::Ready(Some(Ok(frame.map_data(|data| if data.len() < SMALL { Bytes::copy_from_slice(&data) } else { data }))))
            }
            Poll::Ready(Some(Err(e))) => {
                body.unread.store(true, Ordering::Relaxed);
                body.ended = true;
                Poll::Ready(Some(Err(incomplete(e))))
            }
            Poll::Ready(None) => {
                body.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let error = ready!(body.poll_timer(cx));
                body.unread.store(true, Ordering::Relaxed);
                body.ended = true;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(mut incoming) = self.incoming.take().filter(|_| !self.ended) else { return };
        // A client that waits for `100 Continue` sends nothing before it, and polling would send it.
        if self.polled || !self.expects_continue {
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..DROP_READS {
                match Pin::new(&mut incoming).poll_frame(&mut cx) {
                    Poll::Ready(Some(Ok(_))) if incoming.is_end_stream() => return,
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(None) => return,
                    Poll::Ready(Some(Err(_))) | Poll::Pending => break,
                }
            }
        }
        self.unread.store(true, Ordering::Relaxed);
        if let Some(leftover) = self.leftover.take() {
            // Nobody takes it: the connection is gone.
            let _ = leftover.send(incoming);
        }
    }
}

fn incomplete(cause: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let message =
        "You did not provide the number of bytes specified by the Content-Length HTTP header: the body ended early or was malformed.";
    Error::new(ErrorKind::IncompleteBody, message).caused_by(cause)
}
