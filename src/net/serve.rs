//! One connection from its first byte to its last: handshake, protocol, requests, close.
//!
//! HTTP/1.1 is hyper's, HTTP/2 is in `http2`; which of them it is comes from ALPN, or from the first bytes where there was none.
//! A client of HTTP/1.1 that closes its sending side after its request gets its answer, as `nc` and some others expect. Whether it
//! is still there shows when something is sent to it (see `Connection::verdict`).

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::answer::{Context, answer};
use super::arriving::Arriving;
use super::connection::Connection;
use super::http2;
use super::listen::Transport;
use super::response_body::ResponseBody;
use super::service::Service;
use super::tls::Tls;
use super::wire::{Stream, Wire};

/// Serves until the connection ends; whatever ends it early drops this future.
pub async fn serve<S: Service>(context: Rc<Context<S>>, tcp: TcpStream, connection: Rc<Connection>, tls: Option<(Arc<Tls>, Transport)>) {
    let (stream, alpn_http2) = match tls {
        None => (Stream::Plain(tcp), false),
        Some((tls, transport)) => match tls.accept(tcp, transport).await {
            Ok((session, client)) => {
                if let Some(client) = client {
                    connection.client_proven(client);
                }
                connection.handshake_done();
                let http2 = session.get_ref().1.alpn_protocol() == Some(b"h2");
                (Stream::Tls(Box::new(session)), http2)
            }
            Err(e) => {
                connection.metrics.handshake_failures.inc();
                tracing::debug!(peer = %connection.peer.address, error = %e, "TLS handshake failed");
                return;
            }
        },
    };
    let mut wire = Wire::new(stream, connection.clone());
    let http2 = match alpn_http2 {
        true => true,
        false => match wire.starts_with_http2().await {
            Ok(http2) => http2,
            Err(e) => return tracing::trace!(error = %e, "a connection ended before its first request"),
        },
    };
    connection.speaks(http2);
    let ended = if http2 {
        // Rare beside HTTP/1 and larger: in a box, so that no other connection has room for it.
        Box::pin(http2::serve(context, connection.clone(), wire)).await.map_err(|e| e.to_string())
    } else {
        let answer = {
            let (context, connection) = (context.clone(), connection.clone());
            service_fn(move |request| answer_http1(context.clone(), connection.clone(), request))
        };
        let served = context.http1.serve_connection(TokioIo::new(wire), answer);
        drive(&connection, pin!(served), |served| served.graceful_shutdown()).await.map_err(|e| e.to_string())
    };
    if let Err(e) = ended {
        // A client's doing as a rule: it left, or sent what is not HTTP.
        tracing::debug!(peer = %connection.peer.address, error = e, "connection ended with an error");
    }
}

/// Polls a connection, and asks it to end in good order once the worker wants that.
async fn drive<C: Future>(connection: &Connection, mut served: Pin<&mut C>, end_well: impl Fn(Pin<&mut C>)) -> C::Output {
    let mut asked = false;
    poll_fn(|cx| {
        connection.register(cx.waker());
        if !asked && connection.is_close_asked() {
            asked = true;
            end_well(served.as_mut());
        }
        served.as_mut().poll(cx)
    })
    .await
}

async fn answer_http1<S: Service>(
    context: Rc<Context<S>>,
    connection: Rc<Connection>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<ResponseBody<S::Body>>, Infallible> {
    Ok(answer(context, connection, Arriving::http1(request)).await)
}
