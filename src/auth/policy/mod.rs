//! IAM-style policies: documents become statements once (`document`), and requests are held against them (`decide`).
//!
//! Not here: which policies count for whom (`auth::authorize`), ACLs (`auth::acl`).
//! Invariants: what a document says that this gateway would not do as written is refused at load, never ignored;
//! a decision allocates nothing for plain strings.

pub mod condition;
pub mod decide;
pub mod document;
pub mod json;
pub mod key;
pub mod known;
pub mod pattern;
pub mod principal;
pub mod reach;
pub mod text;

pub use decide::{Question, Verdict};
pub use document::{BucketPolicy, Policy};
pub use key::{Context, Environment, OfSession, Subject, TagsOf};
