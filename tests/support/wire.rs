//! One request in each form that HTTP has for it: origin-form and absolute-form of HTTP/1.1, HTTP/2 with `:authority` or
//! with `host`. What is sent is what is said here, however much it contradicts itself.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::client::{Answer, Request, Sign};
use crate::support::raw;

#[derive(Debug, Clone)]
pub struct Wire {
    pub method: String,
    /// In the target of HTTP/1 (absolute-form), or `:authority`.
    pub authority: Option<String>,
    pub hosts: Vec<String>,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Wire {
    /// As `request` is signed for `host`, in origin-form.
    pub fn new(request: &Request, host: &str, sign: Sign<'_>) -> Self {
        let (head, _) = request.head(host, sign);
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let target = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let pairs = lines.map(|l| l.split_once(": ").unwrap()).map(|(n, v)| (n.to_owned(), v.to_owned()));
        let headers = pairs.filter(|(n, _)| n != "host").collect();
        let (method, body) = (request.method.clone(), request.body.clone());
        Wire { method, authority: None, hosts: vec![host.to_owned()], target, headers, body }
    }

    /// With these names of the host in the two places.
    pub fn named(&self, authority: Option<&str>, hosts: &[&str]) -> Self {
        let hosts = hosts.iter().map(|h| h.to_string()).collect();
        Wire { authority: authority.map(str::to_owned), hosts, ..self.clone() }
    }

    pub fn over_http1(&self, address: SocketAddr) -> Answer {
        let before = self.authority.as_ref().map(|a| format!("http://{a}")).unwrap_or_default();
        let mut head = format!("{} {before}{} HTTP/1.1\r\nconnection: close\r\n", self.method, self.target);
        for host in &self.hosts {
            head.push_str(&format!("host: {host}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut connection = raw::connect(address);
        let _ = connection.try_send([head.as_bytes(), b"\r\n", &self.body].concat());
        let head = connection.head();
        let empty = self.method == "HEAD" || matches!(head.status, 204 | 304);
        let body = if empty { Vec::new() } else { connection.body(&head) };
        Answer { status: head.status, headers: head.headers, body }
    }

    /// A request that the other side resets has the status 0.
    pub fn over_http2(&self, address: SocketAddr) -> Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
            let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
            tokio::spawn(connection);
            let reset = || Answer { status: 0, headers: Vec::new(), body: Vec::new() };
            let Ok(answer) = client.send_request(self.http2()).await else { return reset() };
            let (head, body) = answer.into_parts();
            let headers = head.headers.iter().map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect();
            let Ok(body) = body.collect().await else { return reset() };
            Answer { status: head.status.as_u16(), headers, body: body.to_bytes().to_vec() }
        })
    }

    fn http2(&self) -> http::Request<Full<Bytes>> {
        // hyper leaves out `:authority` where the URI has none, but only of a request that came by HTTP/1.
        let (uri, version) = match &self.authority {
            Some(authority) => (format!("http://{authority}{}", self.target), http::Version::HTTP_2),
            None => (self.target.clone(), http::Version::HTTP_11),
        };
        let mut request = http::Request::builder().method(self.method.as_str()).uri(uri).version(version);
        for host in &self.hosts {
            request = request.header("host", host);
        }
        for (name, value) in self.headers.iter().filter(|(n, _)| n != "connection" && n != "transfer-encoding") {
            request = request.header(name, value);
        }
        request.body(Full::new(Bytes::from(self.body.clone()))).unwrap()
    }
}
