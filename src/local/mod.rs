//! The embedded store: the system of record in one folder. Implements every part of an `Origin`.
//!
//! Not here: who may do what (`ops` asks with a Grant), HTTP. Called by `ops` and by the commands that work on a folder.
//!
//! Truth: files under `blobs/`, and the journal. Derived: the index (`index/`), which can be deleted. See `layout`.
//! A write: the body is staged by ingest; `objects` brings it in place; the `writer`'s thread decides, writes one batch with
//! all who wait, makes it visible; the caller hears. A read: `hot`, else the index; then the bytes, see `reads`.
//! Upkeep in the background: snapshots of the journal, proof of what may go, hashes of multipart objects.
//!
//! Invariants: an answer Ok means durable and visible; names of files are never used twice; nothing is unlinked that the
//! journal was not read through for.

pub mod backup;
pub mod blobs;
pub mod buckets;
pub mod clock;
pub mod complete;
pub mod copy_checksum;
pub mod copying;
pub mod derive;
pub mod due;
pub mod encrypt;
pub mod exact;
pub mod folders;
pub mod fsck;
pub mod gc;
pub mod hand_on;
pub mod hot;
pub mod ids;
pub mod inline;
pub mod key;
pub mod last_reads;
pub mod layout;
pub mod list;
pub mod list_versions;
pub mod locks;
pub mod needed_keys;
pub mod objects;
pub mod open;
pub mod order;
pub mod own_key;
pub mod placing;
pub mod proof;
pub mod reads;
pub mod rehash;
pub mod replay;
pub mod retain;
pub mod rewrap;
pub mod rows;
mod run_days;
pub mod scope;
pub mod sealed;
pub mod serve;
pub mod settings;
pub mod shared;
pub mod stored;
pub mod txn;
pub mod upgrade;
pub mod upkeep;
pub mod uploads;
pub mod usage;
pub mod versions;
pub mod writer;

pub use open::Local;
pub use settings::Settings;

#[cfg(test)]
pub mod tests;
