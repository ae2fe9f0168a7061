//! Generated traffic of one tenant: puts, copies, reads and deletes in the buckets `media` and `vault`, and what came of it.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::client::{Request, Sign};
use super::raw::connect;
use super::signer::Key;

/// What was answered before its gateway was killed, and how many requests were sent.
#[derive(Default)]
pub struct Traffic {
    pub answered: Mutex<Vec<Answered>>,
    pub sent: AtomicU64,
}

pub struct Answered {
    pub node: usize,
    pub at: Instant,
    /// Of its body.
    pub bytes: u64,
}

/// One connection of it.
pub struct Writer<'t> {
    pub address: SocketAddr,
    pub node: usize,
    pub key: Key,
    pub seed: u64,
    /// What names of keys begin with: writers of one name write over each other.
    pub name: String,
    /// What may be answered beside 200, 204 and 404. After a 503 it connects anew.
    pub also: &'static [u16],
    pub traffic: &'t Traffic,
}

impl Writer<'_> {
    /// Until it is stopped, or nobody answers.
    pub fn run(mut self, stop: &AtomicBool) {
        let mut connection = connect(self.address);
        while !stop.load(Ordering::SeqCst) {
            let request = self.request();
            let (head, _) = request.head(&self.address.to_string(), Sign::Header(&self.key));
            self.traffic.sent.fetch_add(1, Ordering::SeqCst);
            if connection.try_send([head.as_bytes(), &request.body].concat()).is_err() {
                return;
            }
            let Ok(head) = connection.try_head() else { return };
            assert!(matches!(head.status, 200 | 204 | 404) || self.also.contains(&head.status), "{head:?}");
            let mut bytes = 0;
            if head.status != 204 {
                let Ok(body) = connection.try_body(&head) else { return };
                bytes = body.len() as u64;
            }
            self.traffic.answered.lock().unwrap().push(Answered { node: self.node, at: Instant::now(), bytes });
            if head.status == 503 {
                connection = connect(self.address);
            }
        }
    }

    fn request(&mut self) -> Request {
        let artifact = ["image", "video", "none"][self.random(3) as usize];
        let (run, file) = (self.random(3), self.random(6));
        let name = format!("acme/run-{run}/{artifact}/{}{file}", self.name);
        let bucket = ["media", "vault"][self.random(2) as usize];
        match self.random(10) {
            0..5 => {
                let small = self.random(3000) as usize;
                let size = if self.random(4) == 0 { small + 70_000 } else { small };
                Request::on("PUT", bucket, &name).body(vec![b'x'; size])
            }
            5..8 => Request::on("GET", bucket, &name),
            8 => Request::on("DELETE", bucket, &name),
            _ => Request::on("PUT", bucket, &format!("{name}-copy")).header("x-amz-copy-source", &format!("/{bucket}/{name}")),
        }
    }

    fn random(&mut self, n: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % n
    }
}
