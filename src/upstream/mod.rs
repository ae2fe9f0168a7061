//! Any S3 as the system of record. The only user of `aws-sdk-s3`.
//!
//! Not here: the cache in front of it (`cache/`), who may do what. Called by `app`, and by the commands that move data.

pub mod client;
