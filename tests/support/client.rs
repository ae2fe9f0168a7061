//! A plain S3 client for tests: builds a request, signs it as told (or not), sends exactly that, reads the answer.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate::http::xml::Element;
use tidegate::ingest::md5::Md5Hasher;

use crate::support::raw::{self, Raw};
use crate::support::signer::{self, Key, Scope, ToSign};

#[derive(Debug, Clone, Copy)]
pub enum Sign<'k> {
    No,
    Header(&'k Key),
    /// The signature in the query.
    Presigned(&'k Key),
}

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Encoded, as it goes over the wire.
    pub path: String,
    /// Decoded.
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Stands in for the body's own hash.
    pub payload_hash: Option<String>,
    /// Headers that are sent but not signed.
    pub unsigned: Vec<String>,
    /// Seconds between now and the time that is signed.
    pub clock: i64,
    pub expires: u64,
    /// The host that is signed, where it is not the one that is sent.
    pub signed_host: Option<String>,
    /// Which one it is signed for. Others than S3 say the body's hash in no header.
    pub service: &'static str,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Request {
            method: method.into(),
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Vec::new(),
            payload_hash: None,
            unsigned: Vec::new(),
            clock: 0,
            expires: 300,
            signed_host: None,
            service: "s3",
        }
    }

    /// On a key, which is encoded here.
    pub fn on(method: &str, bucket: &str, key: &str) -> Self {
        Request::new(method, &format!("/{bucket}/{}", signer::encode_path(key)))
    }

    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// `name` in lower case.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn unsigned_header(mut self, name: &str, value: &str) -> Self {
        self.unsigned.push(name.into());
        self.header(name, value)
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn payload_hash(mut self, hash: &str) -> Self {
        self.payload_hash = Some(hash.into());
        self
    }

    pub fn clock(mut self, seconds: i64) -> Self {
        self.clock = seconds;
        self
    }

    pub fn content_md5(self) -> Self {
        let md5 = STANDARD.encode(Md5Hasher::digest(&self.body).0);
        self.header("content-md5", &md5)
    }

    /// The head as it goes over the wire, and the signature in it.
    pub fn head(&self, host: &str, sign: Sign<'_>) -> (String, Option<String>) {
        let scope = Scope { service: self.service, ..Scope::at(self.clock) };
        let (mut query, mut headers) = (self.query.clone(), self.headers.clone());
        let mut signature = None;
        let host_signed = self.signed_host.clone().unwrap_or_else(|| host.to_owned());
        match sign {
            Sign::No => {}
            Sign::Header(key) => {
                let hash = self.payload_hash.clone().unwrap_or_else(|| signer::sha256_hex(&self.body));
                headers.push(("x-amz-date".into(), scope.amz_date.clone()));
                if self.service == "s3" {
                    headers.push(("x-amz-content-sha256".into(), hash.clone()));
                }
                let signed = self.signed(&headers, &host_signed);
                let s = self.signature(key, &scope, &query, &signed, &hash);
                let names = signer::signed_names(&signed);
                let value = format!("AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={names}, Signature={s}", key.access, scope.text());
                headers.push(("authorization".into(), value));
                signature = Some(s);
            }
            Sign::Presigned(key) => {
                let signed = self.signed(&headers, &host_signed);
                query.extend(
                    [
                        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
                        ("X-Amz-Credential", format!("{}/{}", key.access, scope.text())),
                        ("X-Amz-Date", scope.amz_date.clone()),
                        ("X-Amz-Expires", self.expires.to_string()),
                        ("X-Amz-SignedHeaders", signer::signed_names(&signed)),
                    ]
                    .map(|(n, v)| (n.to_owned(), v)),
                );
                let unsigned = if self.service == "s3" { "UNSIGNED-PAYLOAD".to_owned() } else { signer::sha256_hex(&self.body) };
                let hash = self.payload_hash.clone().unwrap_or(unsigned);
                let s = self.signature(key, &scope, &query, &signed, &hash);
                query.push(("X-Amz-Signature".into(), s.clone()));
                signature = Some(s);
            }
        }
        let target = if query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, signer::query_string(&query)) };
        let mut head = format!("{} {target} HTTP/1.1\r\nhost: {host}\r\n", self.method);
        for (name, value) in &headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let framed = headers.iter().any(|(n, _)| n == "content-length" || n == "transfer-encoding");
        if !framed && (!self.body.is_empty() || matches!(&*self.method, "PUT" | "POST")) {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        (head, signature)
    }

    fn signed(&self, headers: &[(String, String)], host: &str) -> Vec<(String, String)> {
        let mut signed: Vec<(String, String)> = headers.iter().filter(|(n, _)| !self.unsigned.contains(n)).cloned().collect();
        signed.push(("host".into(), host.to_owned()));
        signed
    }

    fn signature(&self, key: &Key, scope: &Scope, query: &[(String, String)], headers: &[(String, String)], hash: &str) -> String {
        let to_sign = ToSign { method: &self.method, path: &self.path, query, headers, payload_hash: hash };
        signer::signature(key, scope, &to_sign)
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What S3 calls the error; empty where the body is not an error document.
    pub fn code(&self) -> String {
        Element::parse(&self.body, "Error").ok().and_then(|e| e.text_of("Code").map(str::to_owned)).unwrap_or_default()
    }

    pub fn etag(&self) -> String {
        self.header("etag").unwrap_or_default().trim_matches('"').to_owned()
    }

    pub fn xml(&self, root: &str) -> Element {
        Element::parse(&self.body, root).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }

    /// Fails with the whole answer in the message.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, self.text());
        self
    }

    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, &*self.code()), (status, code), "{}", self.text());
        self
    }
}

/// Keeps its connection as long as the server does.
pub struct Client {
    pub address: SocketAddr,
    pub host: String,
    connection: Option<Raw>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Client { address, host: address.to_string(), connection: None }
    }

    /// The server closes a connection that is idle for long.
    pub fn reconnect(&mut self) {
        self.connection = None;
    }

    pub fn send(&mut self, request: &Request, sign: Sign<'_>) -> Answer {
        let (head, _) = request.head(&self.host, sign);
        self.send_as_is(&request.method, &[head.as_bytes(), &request.body].concat())
    }

    pub fn send_as_is(&mut self, method: &str, bytes: &[u8]) -> Answer {
        let mut connection = self.connection.take().unwrap_or_else(|| raw::connect(self.address));
        // A refused upload may be answered and closed before all of it was sent.
        let _ = connection.try_send(bytes);
        let head = connection.head();
        let empty = method == "HEAD" || matches!(head.status, 204 | 304);
        let body = if empty { Vec::new() } else { connection.body(&head) };
        if head.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Answer { status: head.status, headers: head.headers, body }
    }

    // The requests that tests need again and again.

    pub fn put(&mut self, key: &Key, bucket: &str, name: &str, body: &[u8]) -> Answer {
        self.send(&Request::on("PUT", bucket, name).body(body), Sign::Header(key))
    }

    pub fn get(&mut self, key: &Key, bucket: &str, name: &str) -> Answer {
        self.send(&Request::on("GET", bucket, name), Sign::Header(key))
    }

    pub fn delete(&mut self, key: &Key, bucket: &str, name: &str) -> Answer {
        self.send(&Request::on("DELETE", bucket, name), Sign::Header(key))
    }

    #[track_caller]
    pub fn make_bucket(&mut self, key: &Key, bucket: &str) {
        self.send(&Request::new("PUT", &format!("/{bucket}")), Sign::Header(key)).expect(200);
    }

    #[track_caller]
    pub fn create_upload(&mut self, key: &Key, bucket: &str, name: &str) -> String {
        let answer = self.send(&Request::on("POST", bucket, name).query("uploads", ""), Sign::Header(key)).expect(200);
        answer.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned()
    }

    pub fn upload_part(&mut self, key: &Key, bucket: &str, name: &str, upload: &str, number: u16, body: &[u8]) -> Answer {
        let request = Request::on("PUT", bucket, name).query("partNumber", &number.to_string()).query("uploadId", upload);
        self.send(&request.body(body), Sign::Header(key))
    }

    pub fn complete(&mut self, key: &Key, bucket: &str, name: &str, upload: &str, parts: &[(u16, String)]) -> Answer {
        let request = Request::on("POST", bucket, name).query("uploadId", upload).body(complete_document(parts));
        self.send(&request, Sign::Header(key))
    }

    /// All keys of a bucket, page by page.
    pub fn list(&mut self, key: &Key, bucket: &str, query: &[(&str, &str)]) -> Listed {
        let mut listed = Listed::default();
        let mut token: Option<String> = None;
        loop {
            let mut request = Request::new("GET", &format!("/{bucket}")).query("list-type", "2");
            for (name, value) in query {
                request = request.query(name, value);
            }
            if let Some(token) = &token {
                request = request.query("continuation-token", token);
            }
            let page = self.send(&request, Sign::Header(key)).expect(200).xml("ListBucketResult");
            for child in &page.children {
                match &*child.name {
                    "Contents" => listed.keys.push(child.child("Key").unwrap().text.clone()),
                    "CommonPrefixes" => listed.prefixes.push(child.child("Prefix").unwrap().text.clone()),
                    _ => {}
                }
            }
            listed.pages += 1;
            token = page.text_of("NextContinuationToken").map(str::to_owned);
            assert_eq!(page.text_of("IsTruncated"), Some(if token.is_some() { "true" } else { "false" }));
            if token.is_none() {
                return listed;
            }
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub keys: Vec<String>,
    pub prefixes: Vec<String>,
    pub pages: usize,
}

pub fn complete_document(parts: &[(u16, String)]) -> String {
    let parts: String = parts.iter().map(|(n, etag)| format!("<Part><PartNumber>{n}</PartNumber><ETag>\"{etag}\"</ETag></Part>")).collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}
