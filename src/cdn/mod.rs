//! CDNs in front of sites: which public paths show a key, and telling CloudFront to forget them.
//!
//! Not here: when that is done, and that it is not forgotten over a crash (`jobs::purge`). The only user of aws-sigv4.
//! Called by `jobs` and filled from the configuration.

pub mod cloudfront;
pub mod credentials;
pub mod paths;

pub use cloudfront::{CloudFront, Refused};
pub use paths::{Distribution, Map, Shown};
