//! Moving in, out and along: a folder to an S3, an S3 to a folder, one S3 to another. What `tidegate import`, `export`
//! and `mirror` do.
//!
//! Not here: arguments and where keys come from (`cli`). The other side is any S3, a gateway included: nothing here
//! opens a store. Called by `cli` alone.
//! Invariants: two sorted sides are walked together, so memory does not grow with their number; each byte in flight
//! belongs to one of `jobs` slots of `remote::PIECE`; what is moved is proven by hashes before it counts as moved; what
//! can't be moved is named with its reason and the rest goes on.

pub mod compare;
pub mod content;
pub mod export;
pub mod fault;
pub mod folders;
pub mod hashes;
pub mod import;
pub mod listing;
pub mod manifest;
pub mod mirror;
pub mod names;
pub mod progress;
pub mod remote;
pub mod resume;
pub mod run;
pub mod tags_file;
pub mod tree;
pub mod upload;
