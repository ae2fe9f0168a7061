//! What the tests share: servers on port 0 and a client that sends exactly what it is told.

pub mod alone;
pub mod binary;
pub mod classes;
pub mod client;
pub mod cloudfront;
pub mod fault_proxy;
pub mod faulty_s3;
pub mod form;
pub mod gateway;
pub mod identity_provider;
pub mod invalidations;
pub mod net_server;
pub mod plain_s3;
pub mod raw;
pub mod signer;
pub mod standin;
pub mod stored;
pub mod traffic;
pub mod webhook;
pub mod wire;
