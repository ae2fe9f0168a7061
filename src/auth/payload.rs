//! What a signature says of the body that it was made for.

use crate::auth::streaming::ChunkedForm;
use crate::base::digest::Sha256;

/// In `x-amz-content-sha256`: the signature is not over the body.
pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

#[derive(Debug, Clone)]
pub enum Payload {
    Unsigned,
    Sha256(Sha256),
    /// aws-chunked, with signed chunks or not, with a trailer or not.
    Streaming(ChunkedForm),
}
