//! A receiver of webhooks: takes what comes, and answers as it is told to, well or badly. What it took is there to be looked at.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// How calls are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// With this status.
    Status(u16),
    /// With 200, after a while.
    Slow(Duration),
    /// Never, but the connection stays.
    Silent,
    /// The connection is closed.
    Hangs,
    /// To another address.
    Redirects(String),
    /// With a status, and a body that has no end.
    Endless(u16),
    /// With what is no HTTP.
    Garbage,
    /// With head lines that have no end.
    EndlessHead,
    /// Every `n`th call is taken, the others get a 500 or are hung up on.
    Moody(usize),
}

#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// It was answered with success.
    pub taken: bool,
}

impl Call {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub fn record(&self) -> Value {
        self.json()["Records"][0].clone()
    }

    /// Decoded as far as the tests' keys need it.
    pub fn key(&self) -> String {
        self.record()["s3"]["object"]["key"].as_str().unwrap_or_default().to_owned()
    }

    pub fn sequencer(&self) -> String {
        self.record()["s3"]["object"]["sequencer"].as_str().unwrap_or_default().to_owned()
    }

    pub fn name(&self) -> String {
        self.record()["eventName"].as_str().unwrap_or_default().to_owned()
    }

    pub fn is_test(&self) -> bool {
        self.json()["Event"] == "s3:TestEvent"
    }

    /// Whether it is signed with this secret, by our own reckoning.
    pub fn is_signed_with(&self, secret: &[u8]) -> bool {
        let signed = format!("{}.{}.{}", self.header("webhook-id"), self.header("webhook-timestamp"), self.body);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(signed.as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature").split(' ').any(|s| s == expected)
    }
}

#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    calls: Arc<Mutex<Vec<Call>>>,
    count: Arc<Mutex<usize>>,
    closed: Arc<AtomicBool>,
}

impl Receiver {
    pub fn start() -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// At an address where one was before.
    pub fn again_at(address: SocketAddr) -> Self {
        Self::at(TcpListener::bind(address).unwrap())
    }

    fn at(listener: TcpListener) -> Self {
        let receiver = Receiver {
            address: listener.local_addr().unwrap(),
            manner: Arc::new(Mutex::new(Manner::Status(200))),
            calls: Arc::default(),
            count: Arc::default(),
            closed: Arc::default(),
        };
        let accepting = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.closed.load(Ordering::SeqCst) {
                    return;
                }
                let (receiver, Ok(stream)) = (accepting.clone(), stream) else { continue };
                std::thread::spawn(move || receiver.serve(stream));
            }
        });
        receiver
    }

    /// Nothing listens there any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook?token=t0ken", self.address)
    }

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Those that were answered with success, without S3's test.
    pub fn taken(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.taken && !call.is_test()).collect()
    }

    /// One request after the other.
    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some(mut call) = read(&mut reader) {
            let manner = self.manner.lock().unwrap().clone();
            let n = {
                let mut count = self.count.lock().unwrap();
                *count += 1;
                *count
            };
            let manner = match manner {
                Manner::Moody(every) if n % every == 0 => Manner::Status(200),
                Manner::Moody(_) if n % 2 == 0 => Manner::Status(500),
                Manner::Moody(_) => Manner::Hangs,
                manner => manner,
            };
            call.taken = matches!(manner, Manner::Status(200..=299) | Manner::Slow(_) | Manner::Endless(200..=299));
            if let Manner::Slow(wait) = manner {
                std::thread::sleep(wait);
            }
            self.calls.lock().unwrap().push(call);
            if !answer(&mut stream, &manner) {
                return;
            }
        }
    }
}

/// False: the connection goes.
fn answer(stream: &mut TcpStream, manner: &Manner) -> bool {
    let head = |status: u16, more: &str| format!("HTTP/1.1 {status} Told\r\n{more}\r\n");
    match manner {
        Manner::Status(status) => {
            stream.write_all(head(*status, "content-length: 2\r\n").as_bytes()).and_then(|()| stream.write_all(b"ok")).is_ok()
        }
        Manner::Slow(_) => stream.write_all(head(200, "content-length: 0\r\n").as_bytes()).is_ok(),
        Manner::Silent => {
            let mut nothing = [0];
            // Until the other side has enough.
            let _ = stream.read(&mut nothing);
            false
        }
        Manner::Hangs | Manner::Moody(_) => false,
        Manner::Redirects(to) => stream.write_all(head(302, &format!("location: {to}\r\ncontent-length: 0\r\n")).as_bytes()).is_ok(),
        Manner::Endless(status) => {
            let _ = stream.write_all(head(*status, "transfer-encoding: chunked\r\n").as_bytes());
            while stream
                .write_all(b"400\r\n")
                .and_then(|()| stream.write_all(&[b'x'; 1024]))
                .and_then(|()| stream.write_all(b"\r\n"))
                .is_ok()
            {}
            false
        }
        Manner::Garbage => {
            let _ = stream.write_all(b"\x00\xff220 ready\r\n\r\n");
            false
        }
        Manner::EndlessHead => {
            let _ = stream.write_all(b"HTTP/1.1 200 Told\r\n");
            while stream.write_all(b"x-more: and more and more and more\r\n").is_ok() {}
            false
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Call> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, v)| v.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Call { path, headers, body: String::from_utf8(body).unwrap(), taken: false })
}
