//! A proxy in front of a server that does what networks and dying servers do: refuses, cuts, stays silent, answers 503.
//! The fault that is set when a piece passes is the one that it meets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Connections end as soon as they begin or are used.
    Refuse,
    /// Each answer ends after so many bytes, head included.
    CutAfter(usize),
    /// Requests are taken and never answered.
    Silent,
    /// Something in between answers for the server.
    Answer503,
}

const ANSWER_503: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nX-Induced: 1\r\nContent-Length: 0\r\n\r\n";

pub struct FaultProxy {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Clone, Copy)]
struct State {
    target: SocketAddr,
    fault: Fault,
    met: usize,
}

impl FaultProxy {
    pub fn start(target: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { target, fault: Fault::None, met: 0 }));
        let shared = state.clone();
        runtime.spawn(async move {
            loop {
                if let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(relay(client, shared.clone()));
                }
            }
        });
        FaultProxy { address, state, runtime: Some(runtime) }
    }

    pub fn set(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    /// How often something was sent while there was a fault.
    pub fn met(&self) -> usize {
        self.state.lock().unwrap().met
    }

    /// Where the server is now.
    pub fn target(&self, target: SocketAddr) {
        self.state.lock().unwrap().target = target;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Until either side ends, or the fault ends it: what is dropped is closed.
async fn relay(mut client: TcpStream, state: Arc<Mutex<State>>) {
    let mut server: Option<TcpStream> = None;
    let (mut request, mut answer) = (vec![0; 16 * 1024], vec![0; 64 * 1024]);
    let mut passed = 0;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Some(n) = read.ok().filter(|n| *n > 0) else { return };
                let now = {
                    let mut state = state.lock().unwrap();
                    state.met += usize::from(state.fault != Fault::None);
                    *state
                };
                passed = 0;
                match now.fault {
                    Fault::Refuse => return,
                    Fault::Silent => continue,
                    Fault::Answer503 => {
                        if client.write_all(ANSWER_503).await.is_err() {
                            return;
                        }
                        continue;
                    }
                    Fault::None | Fault::CutAfter(_) => {}
                }
                if server.is_none() {
                    server = TcpStream::connect(now.target).await.ok();
                }
                let Some(server) = &mut server else { return };
                if server.write_all(&request[..n]).await.is_err() {
                    return;
                }
            }
            read = read_from(&mut server, &mut answer) => {
                let Some(n) = read.ok().filter(|n| *n > 0) else { return };
                let fault = state.lock().unwrap().fault;
                let allowed = match fault {
                    Fault::CutAfter(bytes) => bytes.saturating_sub(passed).min(n),
                    _ => n,
                };
                passed += allowed;
                if client.write_all(&answer[..allowed]).await.is_err() || allowed < n {
                    return;
                }
            }
        }
    }
}

async fn read_from(server: &mut Option<TcpStream>, into: &mut [u8]) -> std::io::Result<usize> {
    match server {
        Some(server) => server.read(into).await,
        None => std::future::pending().await,
    }
}
