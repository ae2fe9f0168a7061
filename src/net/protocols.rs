//! How both protocols are set up: what they may take in at once.

use hyper::server::conn::http1;

use super::room::SHARE;
use super::settings::Settings;

/// hyper takes in heads of this many times what is allowed: up to there the refusal is ours, and not hyper's bare one.
const HEADROOM: usize = 2;

/// What hyper may keep of a connection's bytes, both ways: an upload's read buffer, and bodies on their way beside the last piece.
const BUFFER_BYTES: usize = 128 * 1024;

/// HTTP/1.1 is hyper's.
pub fn http1(settings: &Settings) -> http1::Builder {
    let heads = settings.max_header_bytes.saturating_mul(HEADROOM);
    let mut http1 = http1::Builder::new();
    http1
        // The worker's sweep does it, with different times for a first byte, a head and an idle connection.
        .header_read_timeout(None)
        .max_header_size(heads)
        .max_buf_size(heads.max(BUFFER_BYTES))
        .half_close(true)
        // Never flattened, also under TLS: body slices go to writev, or into the cipher, as they are.
        .writev(true);
    http1
}

/// HTTP/2 is the h2 crate's.
pub fn http2(settings: &Settings) -> h2::server::Builder {
    let heads = settings.max_header_bytes.saturating_mul(HEADROOM);
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(settings.h2_streams)
        .initial_window_size(settings.h2_stream_window)
        .initial_connection_window_size(settings.h2_connection_window)
        .max_header_list_size(u32::try_from(heads).unwrap_or(u32::MAX))
        // Streams that the peer resets before we saw them, or that we reset: past this it is an attack (CVE-2023-44487).
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(128))
        // What a stream is lent of the window at once.
        .max_send_buffer_size(SHARE);
    builder
}
