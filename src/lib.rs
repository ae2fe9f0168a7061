//! Tidegate: an S3-compatible edge gateway and CDN-origin proxy. The map of the modules is in docs/architecture.md.

pub mod app;
pub mod auth;
pub mod base;
pub mod cache;
pub mod cdn;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod files;
pub mod follow;
pub mod http;
pub mod index;
pub mod ingest;
pub mod jobs;
pub mod journal;
pub mod local;
pub mod moving;
pub mod net;
pub mod ops;
pub mod origin;
pub mod outbound;
pub mod private;
pub mod queue;
pub mod telemetry;
pub mod upstream;
pub mod variants;
