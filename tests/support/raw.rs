//! A client that sends exactly what it is told, over any stream, and reads HTTP/1.1 answers strictly.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No test waits longer than this for an answer: a hang is a failure with a place.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Raw<S = TcpStream> {
    pub stream: S,
    buffered: Vec<u8>,
}

#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    fn length(&self) -> Option<usize> {
        self.header("content-length").map(|v| v.parse().unwrap())
    }
}

pub fn connect(address: SocketAddr) -> Raw {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    Raw::over(stream)
}

impl<S: Read + Write> Raw<S> {
    pub fn over(stream: S) -> Self {
        Raw { stream, buffered: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// As `send`, where the server may have closed already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    pub fn head(&mut self) -> Head {
        self.try_head().expect("an answer")
    }

    /// The next head; an error where the connection ends before it.
    pub fn try_head(&mut self) -> io::Result<Head> {
        let end = loop {
            if let Some(at) = self.buffered.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let text = String::from_utf8(self.buffered.drain(..end).collect()).unwrap();
        let mut lines = text.split("\r\n");
        let status = lines.next().unwrap();
        assert!(status.starts_with("HTTP/1."), "not a status line: {status:?}");
        let headers = lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        Ok(Head { status: status[9..12].parse().unwrap(), headers })
    }

    pub fn body(&mut self, head: &Head) -> Vec<u8> {
        self.try_body(head).expect("the whole body")
    }

    /// The body that `head` announces; an error where it ends early.
    pub fn try_body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        if let Some(length) = head.length() {
            while self.buffered.len() < length {
                self.fill()?;
            }
            return Ok(self.buffered.drain(..length).collect());
        }
        if head.header("transfer-encoding") == Some("chunked") {
            return self.chunked();
        }
        Ok(self.rest())
    }

    /// All that comes until the connection ends, however it does.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill().is_ok() {}
        std::mem::take(&mut self.buffered)
    }

    fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.try_chunk()?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend(chunk);
        }
    }

    /// The next one of a chunked body; the last is empty.
    pub fn chunk(&mut self) -> Vec<u8> {
        self.try_chunk().expect("a chunk")
    }

    fn try_chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.line()?;
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        while self.buffered.len() < size + 2 {
            self.fill()?;
        }
        let chunk = self.buffered.drain(..size).collect();
        self.buffered.drain(..2);
        Ok(chunk)
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffered.iter().position(|&b| b == b'\n') {
                return Ok(String::from_utf8(self.buffered.drain(..=at).collect()).unwrap());
            }
            self.fill()?;
        }
    }

    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> (Head, Vec<u8>) {
        self.send(request);
        let head = self.head();
        let body = self.body(&head);
        (head, body)
    }

    /// True: the server closed in good order. An error: it was reset.
    pub fn closed(&mut self) -> io::Result<bool> {
        match self.fill() {
            Ok(()) => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(true),
            Err(e) => Err(e),
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        let n = loop {
            match self.stream.read(&mut piece) {
                // A read with a time-out is not taken up again by itself after a signal.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffered.extend(&piece[..n]);
        Ok(())
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}
