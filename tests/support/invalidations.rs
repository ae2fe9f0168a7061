//! A stand-in for CloudFront's CreateInvalidation: it records what it is told, and throttles, fails and drops connections,
//! before it took a call up and after.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Taken,
    /// 400 TooManyInvalidationsInProgress.
    TooMany,
    /// 503 without a document.
    Down,
    /// The connection ends before anything was done.
    Dropped,
    /// Done, but the answer never arrives.
    TakenAndDropped,
    /// 404 NoSuchDistribution.
    Unknown,
}

#[derive(Debug, Clone)]
pub struct Call {
    pub at: Instant,
    pub distribution: String,
    pub reference: String,
    pub items: Vec<String>,
    /// Who signed the call.
    pub access_key: String,
    pub fate: Fate,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    /// Fates of the next calls; then `Taken`.
    next: Vec<Fate>,
    /// Every n-th call goes wrong in turn. 0: none.
    trouble: usize,
    /// By distribution and reference: what was invalidated.
    made: BTreeMap<(String, String), Vec<String>>,
    /// A reference came again with other items.
    contradictions: usize,
}

#[derive(Clone)]
pub struct Invalidations {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Invalidations {
    /// Ends with the process.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || drop(serve(stream, &state)));
            }
        });
        Invalidations { address, state }
    }

    pub fn then(&self, fates: &[Fate]) {
        self.state.lock().unwrap().next.extend(fates.iter().rev());
    }

    /// From now on calls are taken.
    pub fn heal(&self) {
        self.state.lock().unwrap().next.clear();
    }

    pub fn trouble(&self, every: usize) {
        self.state.lock().unwrap().trouble = every;
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    /// Everything that was invalidated, call by call.
    pub fn made(&self) -> Vec<Vec<String>> {
        self.state.lock().unwrap().made.values().cloned().collect()
    }

    pub fn contradictions(&self) -> usize {
        self.state.lock().unwrap().contradictions
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    assert!(line.starts_with("POST /2020-05-31/distribution/"), "{line}");
    let (mut length, mut access_key) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let (name, value) = header.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "authorization" => {
                assert!(value.contains("/us-east-1/cloudfront/aws4_request"), "{value}");
                let credential = value.trim().strip_prefix("AWS4-HMAC-SHA256 Credential=AK").unwrap();
                access_key = format!("AK{}", credential.split('/').next().unwrap());
            }
            _ => {}
        }
        if header.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    assert!(!access_key.is_empty(), "a call without a signature");
    let all = |name: &str| -> Vec<String> {
        let opening = format!("<{name}>");
        let parts = body.split(&opening).skip(1);
        parts.map(|p| p.split("</").next().unwrap().replace("&amp;", "&")).collect()
    };
    let distribution = path.split('/').nth(3).unwrap().to_owned();
    let (reference, items) = (all("CallerReference").remove(0), all("Path"));
    assert_eq!(all("Quantity"), [items.len().to_string()]);
    let fate = record(&mut state.lock().unwrap(), distribution, reference.clone(), items, access_key);
    answer(stream, fate, &reference)
}

fn record(state: &mut State, distribution: String, reference: String, items: Vec<String>, access_key: String) -> Fate {
    const TROUBLES: [Fate; 4] = [Fate::TooMany, Fate::Dropped, Fate::TakenAndDropped, Fate::Down];
    let n = state.calls.len() + 1;
    let trouble = (state.trouble > 0 && n.is_multiple_of(state.trouble)).then(|| TROUBLES[n / state.trouble % TROUBLES.len()]);
    let fate = state.next.pop().or(trouble).unwrap_or(Fate::Taken);
    if matches!(fate, Fate::Taken | Fate::TakenAndDropped) {
        let before = state.made.insert((distribution.clone(), reference.clone()), items.clone());
        state.contradictions += usize::from(before.is_some_and(|b| b != items));
    }
    state.calls.push(Call { at: Instant::now(), distribution, reference, items, access_key, fate });
    fate
}

fn answer(mut stream: TcpStream, fate: Fate, reference: &str) -> std::io::Result<()> {
    let (status, document) = match fate {
        Fate::Taken => ("201 Created", format!("<Invalidation><Id>I{}</Id><Status>InProgress</Status></Invalidation>", reference.len())),
        Fate::TooMany => ("400 Bad Request", error("TooManyInvalidationsInProgress")),
        Fate::Unknown => ("404 Not Found", error("NoSuchDistribution")),
        Fate::Down => ("503 Service Unavailable", String::new()),
        Fate::Dropped | Fate::TakenAndDropped => return Ok(()),
    };
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{document}", document.len())
}

fn error(code: &str) -> String {
    format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>of the stand-in</Message></Error></ErrorResponse>")
}
