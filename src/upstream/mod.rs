//! Any S3 as the system of record. With `moving/` the only one that speaks `aws-sdk-s3`.
//!
//! Not here: the cache in front of it (`cache/`), who may do what (`ops` asks with a Grant). Called by `ops`, and by the commands
//! that move data.
//!
//! Truth: the objects of the bucket, each at its own key, and the gateway's own records under `.tidegate/` in it. Nothing here is
//! only in memory or on this node's disk, so any number of nodes may stand over one bucket.
//! A write: the body is staged by ingest; `write` sends it up with its checksum and conditions, a large one in `parts`, while it
//! arrives (`ahead`), and one that is there already (`contents`) not at all; the caller hears when the upstream has it. A read:
//! `read` asks which version there is; `body` streams exactly that one; `prefetch` lets a first read ask for both at once.
//!
//! Invariants: an answer Ok means that the upstream accepted it; no two versions are ever mixed in one body; conditions are
//! decided by the upstream, in one step with the write, or the write is refused; trouble upstream is never a 403 or 404.

pub mod ahead;
pub mod body;
pub mod buckets;
pub mod client;
pub mod conditions;
pub mod contents;
pub mod copy_checksum;
pub mod counting;
pub mod cutter;
pub mod delete;
pub mod encryption;
pub mod fault;
pub mod info;
mod inspections;
pub mod keeping;
pub mod known;
pub mod leases;
pub mod list;
pub mod locks;
pub mod making;
pub mod multipart;
pub mod object_parts;
pub mod old;
pub mod open;
pub mod own_buckets;
pub mod parts;
pub mod place;
pub mod prefetch;
pub mod probe;
pub mod proof;
pub mod read;
pub mod records;
pub mod replica;
pub mod restore;
pub mod serve;
pub mod settings;
pub mod sse;
pub mod stored;
pub mod sweep;
pub mod tags;
pub mod tally;
pub mod uploads;
pub mod usage;
pub mod versioning;
pub mod versions;
pub mod write;

pub use open::Upstream;
pub use settings::Settings;

#[cfg(test)]
mod golden;
