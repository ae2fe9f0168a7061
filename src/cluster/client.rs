//! Says something to one peer, and waits until it has done it. One message at a time, on a connection that is kept.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::cluster::message::{Message, Told};
use crate::cluster::seal::Seals;
use crate::cluster::{PATH, PeerAddress};

/// Counts, or an error's document.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

pub async fn connect(peer: &PeerAddress) -> Result<SendRequest<Full<Bytes>>, String> {
    let tcp = TcpStream::connect((peer.host.as_str(), peer.port)).await.map_err(|e| e.to_string())?;
    tcp.set_nodelay(true).map_err(|e| e.to_string())?;
    let (sender, connection) = handshake(TokioIo::new(tcp)).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}

pub struct Client {
    pub peer: PeerAddress,
    seals: Seals,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Client {
    pub fn new(peer: PeerAddress, seals: Seals) -> Self {
        Client { peer, seals, connection: Mutex::default() }
    }

    /// Err: it is not known that the peer has done it, in words for the operator.
    pub async fn tell(&self, message: &Message, patience: Duration) -> Result<Told, String> {
        match tokio::time::timeout(patience, self.exchange(message)).await {
            Ok(told) => told.map_err(|e| format!("{}: {e}", self.peer)),
            Err(_) => Err(format!("{} did not answer within {patience:?}", self.peer)),
        }
    }

    async fn exchange(&self, message: &Message) -> Result<Told, String> {
        let body = Bytes::from(serde_json::to_vec(message).map_err(|e| e.to_string())?);
        // Held until the answer: sealed in this order, and so they arrive. Given up in between, the connection goes.
        let mut connection = self.connection.lock().await;
        if let Some(mut kept) = connection.take().filter(|kept| !kept.is_closed())
            && let Ok(told) = self.send(&mut kept, body.clone()).await
        {
            *connection = Some(kept);
            return told;
        }
        let mut fresh = connect(&self.peer).await?;
        let told = self.send(&mut fresh, body).await?;
        *connection = Some(fresh);
        told
    }

    /// Err: the connection broke. Ok(Err): the peer refuses.
    async fn send(&self, connection: &mut SendRequest<Full<Bytes>>, body: Bytes) -> Result<Result<Told, String>, String> {
        connection.ready().await.map_err(|e| e.to_string())?;
        let request = Request::post(PATH)
            .header(HOST, &self.peer.authority)
            .header(AUTHORIZATION, self.seals.seal(&body))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|e| e.to_string())?;
        let answer = connection.send_request(request).await.map_err(|e| e.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(|e| e.to_string())?.to_bytes();
        if status == StatusCode::OK {
            return Ok(serde_json::from_slice(&body).map_err(|e| format!("its answer can't be read: {e}")));
        }
        let said: String = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(300).collect();
        Ok(Err(format!("it answered {status}: {said}")))
    }
}
