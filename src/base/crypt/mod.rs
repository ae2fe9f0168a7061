//! Encryption of bodies, pure: chunks under a data key (`chunks`), data keys under other keys (`wrap`), what stands in a row of
//! that (`envelope`), and the keys that have names (`ring`).
//!
//! Every body has a data key of its own, chosen at random, which is kept wrapped: under a key of the operator, a key of the client,
//! or, for the parts of an object, under the object's own. All of it is AES-256-GCM by aws-lc-rs.
//! Not here: where keys are configured (`config/encryption`), where bodies lie (`local`), who may ask for what (`ops`).

pub mod chunks;
pub mod envelope;
pub mod ring;
pub mod wrap;

pub use chunks::{ChunkSealer, DataKey};
pub use envelope::{Envelope, PartKey, Place};
pub use ring::Ring;
