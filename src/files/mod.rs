//! Bodies from immutable files: slices of maps for the kernel, `preadv2` for everyone who touches the bytes.
//!
//! Not here: which file holds what (`local` knows), HTTP. Called by `local`, and by whatever else keeps sealed files.
//!
//! Invariants: files given here are never written and never cut, only unlinked; an open or mapped one stays valid.
//! Nobody here touches a mapped byte, so a disk error can't become a SIGBUS: `sendfile` and `writev` answer with an error.
//! A reactor thread never waits for a disk: it asks first, and hands cold reads to a blocking thread.
//!
//! Limits: `Settings::open_files` files stay open and mapped; a body in flight holds one more.

pub mod body;
pub mod open;
pub mod sealed;
pub mod sys;

pub use body::{FileBody, Span};
pub use open::{Files, Settings};
pub use sealed::{SealedBody, SealedSpan};
