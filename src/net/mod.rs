//! The network: listeners, TLS, connections, their limits and time-outs, and the orderly end of all of them.
//!
//! Not here: routes, identities, S3. It knows a [`service::Service`], which turns a request into a response.
//! Called by `app.rs`, which starts it; the doors implement the service.
//! Invariants: every connection is counted by a guard and ends by itself, by a time-out, or by the drain; a response
//! body that fails breaks its connection; a listener never ends because `accept` failed.
//! Threads: one current-thread runtime per core, each with its own listening sockets (SO_REUSEPORT), so a connection
//! lives and dies on one thread and its state needs no lock.

pub mod accept;
pub mod admission;
pub mod answer;
pub mod arriving;
pub mod certificates;
pub mod client_certificate;
pub mod connection;
pub mod descriptors;
pub mod drain;
pub mod give_back;
pub mod http2;
pub mod line_ends;
pub mod listen;
pub mod patience;
pub mod protocols;
pub mod refusal;
pub mod request_body;
pub mod response_body;
pub mod room;
pub mod send_file;
pub mod serve;
pub mod server;
pub mod service;
pub mod settings;
mod shown_path;
pub mod stream;
pub mod tls;
pub mod wire;
pub mod worker;
