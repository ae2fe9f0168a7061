//! The vocabulary everything else speaks: names, ranges, hashes, the one error, time, limits.
//!
//! No I/O and no async live here, and nothing here imports from another module of the crate.
//! Constructors hold the limits: a value of these types is already valid wherever it turns up.

pub mod acl;
pub mod bucket_encryption;
pub mod bucket_lock;
pub mod bucket_logging;
pub mod cache_tags;
pub mod checksum;
pub mod coding;
pub mod conditions;
pub mod crypt;
pub mod digest;
pub mod encryption;
pub mod error;
pub mod etag;
pub mod event;
pub mod fields;
pub mod hash_name;
pub mod header;
pub mod host;
pub mod inspection;
pub mod layout;
pub mod lifecycle;
pub mod limited;
pub mod limits;
pub mod listed;
pub mod lock;
pub mod mapped_file;
pub mod media_type;
pub mod names;
pub mod network;
pub mod notification;
pub mod object;
pub mod object_ref;
pub mod public_access;
pub mod public_address;
pub mod range;
pub mod seal;
pub mod storable;
pub mod stored;
pub mod tags;
pub mod timestamp;
pub mod usage;
pub mod versions;
