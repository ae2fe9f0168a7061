//! Everything about the network that can be set, with the shipped value and its reason.

use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads that serve; 0: one for each core.
    pub workers: usize,
    /// Blocking threads of one worker: disk work and hashing. They are made on demand and go when idle.
    pub blocking_threads: usize,
    /// Connections waiting in the kernel to be accepted, per listening socket; the kernel caps it (somaxconn).
    pub backlog: u32,
    /// Open connections in all; the next one is answered 503 and closed. 0: as many as the file descriptors allow.
    pub max_connections: usize,
    /// Open connections from one address; 0: no cap. A CDN comes from few addresses, so it is off unless set.
    pub max_connections_per_address: usize,
    /// The request line and headers together. S3's own limit is 8 KiB of headers; presigned URLs with session tokens are long.
    pub max_header_bytes: usize,
    /// Path and query. A 1,024-byte key can take 3,072 encoded, and a presigned query with a token 4 KiB more.
    pub max_uri_bytes: usize,
    /// A TLS handshake.
    pub handshake_timeout: Duration,
    /// From the first byte of a request (or from the start of a connection) to the end of its headers.
    pub header_timeout: Duration,
    /// Between requests. Longer than CloudFront's 60 s at most and most load balancers', so that they close first
    /// and never send a request into a closing connection.
    pub idle_timeout: Duration,
    /// A request body must bring `MIN_PROGRESS_BYTES` (or its end) in this time.
    pub body_timeout: Duration,
    /// A client must take `MIN_PROGRESS_BYTES` (or the end) of an answer in this time.
    pub write_timeout: Duration,
    /// How long the unread rest of a request body is read and dropped after an early answer, so that the client gets to
    /// see the answer instead of a reset.
    pub linger_timeout: Duration,
    /// What all connections together may hold of answers that clients have not taken (see `room`); past it each is served in small
    /// pieces. Eight hundred connections fill their share of it.
    pub memory: u64,
    /// HTTP/2: requests at once on a connection.
    pub h2_streams: u32,
    /// HTTP/2: request body bytes in flight for one stream; bounds memory per upload, and so its speed on long paths.
    pub h2_stream_window: u32,
    /// HTTP/2: the same for the whole connection.
    pub h2_connection_window: u32,
}

/// Below this a peer counts as stuck: enough for the slowest phone, too little to hold a connection with one byte at a time.
pub const MIN_PROGRESS_BYTES: u64 = 1024;
/// And no more than this of the unread rest, so that a 5 GB upload that was refused is not read to its end.
pub const MAX_LINGER_BYTES: u64 = 4 * 1024 * 1024;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            workers: 0,
            blocking_threads: 32,
            backlog: 4096,
            max_connections: 0,
            max_connections_per_address: 0,
            max_header_bytes: 32 * 1024,
            max_uri_bytes: 16 * 1024,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            linger_timeout: Duration::from_secs(5),
            memory: 192 * 1024 * 1024,
            h2_streams: 128,
            h2_stream_window: 1024 * 1024,
            h2_connection_window: 4 * 1024 * 1024,
        }
    }
}

impl Settings {
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        }
    }
}
