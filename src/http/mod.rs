//! The doors: `s3` for SDKs, `edge` for CDNs and browsers, `admin` for the operator; and `api`, which tenants reach by the S3 door.
//!
//! Each door has one `handle` that names its steps in order. What they share stands beside them: `address` (the only place that
//! says which host a request is for), `visit`, `record` and `account` (what a request leaves behind), `exchange` (an authenticated request: its
//! rights and its body), `read` (what a read is), `respond` (the only place where an `Error` becomes a response).

pub mod absence;
pub mod account;
pub mod address;
pub mod admin;
pub mod api;
pub mod body;
pub mod coded;
pub mod console;
pub mod document;
pub mod door;
pub mod edge;
pub mod exchange;
pub mod form;
pub mod gateway;
pub mod gzip;
pub mod health;
pub mod isolation;
pub mod link;
pub mod mcp;
mod media;
pub mod negotiate;
mod object_rights;
mod pace;
mod peer;
pub mod query;
pub mod ranges;
pub mod read;
pub mod record;
pub mod respond;
pub mod s3;
pub mod site;
pub mod sts;
pub mod throttle;
pub mod usage;
pub mod visit;
pub mod xml;
