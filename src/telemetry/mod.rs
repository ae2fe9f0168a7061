//! How the gateway is seen from outside: log, metrics, access log, audit log, request ids.
//!
//! Not here: what is worth a line or a count; the modules above decide that and call in.
//! Invariants: nothing here waits, and nothing here fails a request. What can't be written is dropped and counted.

pub mod access_log;
pub mod audit;
pub mod bucket_logs;
pub mod daily_files;
pub mod events;
pub mod gauge;
pub mod histogram;
pub mod jobs;
pub mod lifecycle;
pub mod line_log;
pub mod log;
pub mod media;
pub mod metrics;
pub mod peers;
pub mod redact;
pub mod replicas;
pub mod request_id;
pub mod rotating_file;
pub mod shadows;
pub mod tenants;
pub mod usage;
pub mod write_back;

#[cfg(test)]
mod tests;
