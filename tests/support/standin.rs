//! Somebody else's HTTP server: a test says how each request is answered, well or badly, and sees what came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What came.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Ask {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or(serde_json::Value::Null)
    }

    /// Where `Range: bytes=N-` begins.
    pub fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Another length than the body has.
    pub announced: Option<usize>,
    /// The connection ends after so many bytes of the body.
    pub cut: Option<usize>,
    /// After each 64 KiB.
    pub pause: Duration,
    /// The connection ends without an answer.
    pub hangs: bool,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let (headers, pause) = (Vec::new(), Duration::ZERO);
        Reply { status, headers, body: body.into(), announced: None, cut: None, pause, hangs: false }
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Reply::new(status, body.to_string()).header("content-type", "application/json")
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The part that was asked for, of this version.
    pub fn ranged(ask: &Ask, body: &[u8], etag: &str) -> Self {
        let from = ask.from().filter(|_| ask.header("if-range") == Some(etag));
        let reply = match from {
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
                Reply::new(206, &body[from..]).header("content-range", &range)
            }
            None => Reply::new(200, body),
        };
        reply.header("etag", etag)
    }
}

pub struct StandIn {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Ask>>>,
}

impl StandIn {
    pub fn start(answer: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stand_in = StandIn { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let (asked, answer) = (stand_in.asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, answer) = (asked.clone(), answer.clone());
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
                    let Some(ask) = read(&stream) else { return };
                    asked.lock().unwrap().push(ask.clone());
                    let _ = send(&stream, &answer(&ask));
                });
            }
        });
        stand_in
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn asked(&self) -> Vec<Ask> {
        self.asked.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> Option<Ask> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let (method, path) = (line.split(' ').next()?.to_owned(), line.split(' ').nth(1)?.to_owned());
    let mut ask = Ask { method, path, ..Ask::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        ask.headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = ask.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    ask.body = vec![0; length];
    reader.read_exact(&mut ask.body).ok()?;
    Some(ask)
}

fn send(mut stream: &TcpStream, reply: &Reply) -> std::io::Result<()> {
    if reply.hangs {
        return Ok(());
    }
    let length = reply.announced.unwrap_or(reply.body.len());
    let mut head = format!("HTTP/1.1 {} Said\r\nconnection: close\r\ncontent-length: {length}\r\n", reply.status);
    reply.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let body = &reply.body[..reply.cut.unwrap_or(reply.body.len()).min(reply.body.len())];
    for piece in body.chunks(64 * 1024) {
        stream.write_all(piece)?;
        std::thread::sleep(reply.pause);
    }
    Ok(())
}
