//! Takes in a request body: decodes the transfer form, hashes, and keeps it in memory (small) or in a staged file.
//!
//! Not here: what the body becomes (the origin decides), who may send it (auth decided before).
//! Invariants: memory per body is constant; a `Received` exists only if every promise the client made about the
//! body (length, Content-MD5, payload hash, chunk signatures, trailer checksum) was checked and held; a staged
//! file that nobody took is deleted by its guard.
//! Called by the doors (S3 PUT, UploadPart) and by jobs.

pub mod chunked;
pub mod hasher;
pub mod md5;
pub mod receive;
mod rehash;
pub mod staged;
pub mod writer;

pub use receive::{Expect, Received, receive};
pub use staged::{BodyWatcher, Content, Room, StagedBody, StagedFile, Staging};
