//! Requests as any client makes them: over TCP or TLS, each on a connection of its own, with a limit on time and size.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::auth::keys::Secret;
use crate::auth::presign::{Credentials, sign_headers};
use crate::base::names::AccessKeyId;
use crate::base::timestamp::Timestamp;

/// All that is read here is small.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Scheme, host and port, as they were given.
#[derive(Debug, Clone)]
pub struct Place {
    pub base: String,
    pub authority: String,
    pub host: String,
    pub port: u16,
    pub secure: bool,
}

impl Place {
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected an address such as https://s3.example.com, found {text:?}");
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(expected()),
        };
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(expected)?;
        Ok(Place {
            base: text.trim_end_matches('/').to_owned(),
            authority: authority.to_string(),
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            secure,
        })
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// S3's code of an error.
    pub fn code(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code.to_owned());
        code.unwrap_or_default()
    }

    /// Status and code, for people.
    pub fn told(&self) -> String {
        match self.code() {
            code if code.is_empty() => self.status.to_string(),
            code => format!("{} {code}", self.status.as_u16()),
        }
    }
}

/// In whose name requests are signed.
pub struct Key {
    pub id: AccessKeyId,
    pub secret: Secret,
    pub region: String,
}

impl Key {
    pub fn credentials(&self) -> Credentials<'_> {
        Credentials { access_key: &self.id, secret: &self.secret, region: &self.region }
    }
}

pub struct Asker {
    pub patience: Duration,
    pub tls: Arc<rustls::ClientConfig>,
}

impl Asker {
    /// `target`: path and query, as they go over the wire.
    pub async fn ask(
        &self,
        place: &Place,
        method: Method,
        target: &str,
        headers: &[(HeaderName, &str)],
        body: Bytes,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(target).header(HOST, &place.authority);
        for (name, value) in headers {
            request = request.header(name, HeaderValue::from_str(value).map_err(|e| e.to_string())?);
        }
        let request = request.body(Full::new(body)).map_err(|e| e.to_string())?;
        match tokio::time::timeout(self.patience, self.send(place, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", self.patience.as_secs())),
        }
    }

    pub async fn get(&self, place: &Place, target: &str, headers: &[(HeaderName, &str)]) -> Result<Answer, String> {
        self.ask(place, Method::GET, target, headers, Bytes::new()).await
    }

    /// Signed in its header, as an SDK does. `target`: nothing in it may need encoding.
    pub async fn signed(
        &self,
        key: &Key,
        place: &Place,
        method: Method,
        target: &str,
        headers: &[(HeaderName, &str)],
        body: Bytes,
    ) -> Result<Answer, String> {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let hash = hex::encode(Sha256::digest(&body));
        let signed = sign_headers(&key.credentials(), &method, &place.authority, path, query, &hash, Timestamp::now())
            .map_err(|e| e.message().to_owned())?;
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let signed: Vec<(HeaderName, String)> = signed.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let all: Vec<(HeaderName, &str)> =
            signed.iter().map(|(name, value)| (name.clone(), value.as_str())).chain(headers.iter().cloned()).collect();
        self.ask(place, method, target, &all, body).await
    }

    async fn send(&self, place: &Place, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let tcp = TcpStream::connect((place.host.as_str(), place.port)).await.map_err(|e| e.to_string())?;
        if !place.secure {
            return exchange(tcp, request).await;
        }
        let name = ServerName::try_from(place.host.clone()).map_err(|e| e.to_string())?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await.map_err(|e| e.to_string())?;
        exchange(stream, request).await
    }
}

async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e: hyper::Error| e.to_string())?;
    let talking = tokio::spawn(connection);
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|e| format!("the answer broke off: {e}"))?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    };
    let answer = answer.await;
    talking.abort();
    answer
}
