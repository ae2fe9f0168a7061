//! What the network serves: a function from a request to a response, and where the request came from.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use super::client_certificate::ClientCertificate;
use super::request_body::RequestBody;
use crate::base::error::Error;
use crate::base::mapped_file::MappedFile;
use crate::telemetry::metrics::Door;

/// One per worker thread; it need be neither `Send` nor `Sync`, nor do its futures.
/// A future is dropped when its client goes away: work that must not stop there runs in a [`super::drain::Tracker`] task.
pub trait Service: 'static {
    /// A body that yields `Err` breaks its connection. `Unpin`: a source that isn't goes into a box.
    type Body: http_body::Body<Data = Bytes, Error = Error> + Pulled + Unpin + 'static;

    fn call(&self, request: Request<RequestBody>, from: Peer) -> impl Future<Output = Response<Self::Body>>;
}

/// A body that is read as its client reads, so that one who doesn't costs nothing.
pub trait Pulled {
    /// The next piece is to cost no more memory than this. What is at hand already may be handed out as it is.
    fn at_most(&mut self, _bytes: usize) {}

    /// Memory that the body holds for itself before it is first polled.
    fn at_hand(&self) -> usize {
        0
    }

    /// The file that the piece which came last is a slice of. None: it costs memory.
    fn mapped(&self) -> Option<MappedFile> {
        None
    }
}

/// The connection a request came by.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: SocketAddr,
    /// The address the client connected to.
    pub local: SocketAddr,
    pub door: Door,
    pub secure: bool,
    /// The certificate that the client proved to hold; only ever on an address of `Transport::MutualTls`, and always there.
    pub client: Option<Arc<ClientCertificate>>,
    /// Counts connections of this process.
    pub connection: u64,
}
