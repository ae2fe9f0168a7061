//! Request ids: 16 upper-case hex digits, unique within a process and not guessable from the start time.
//!
//! A random start per process plus a counter, mixed by a bijection: no two requests of a process share an id, and
//! two processes meet only by chance (2^64 values). Costs one atomic add and no allocation.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Goes into every log line and every answer (`x-amz-request-id`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 16]);

static SEED: OnceLock<u64> = OnceLock::new();
static COUNTER: AtomicU64 = AtomicU64::new(0);

impl RequestId {
    pub fn next() -> Self {
        let seed = *SEED.get_or_init(|| {
            let mut bytes = [0; 8];
            match getrandom::fill(&mut bytes) {
                Ok(()) => u64::from_ne_bytes(bytes),
                // Ids need not be secret: without a random source the clock still tells two processes apart.
                Err(_) => crate::base::timestamp::Timestamp::now().millis() ^ (u64::from(std::process::id()) << 44),
            }
        });
        Self::from_number(mix(seed.wrapping_add(COUNTER.fetch_add(1, Ordering::Relaxed))))
    }

    fn from_number(n: u64) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let mut out = [0; 16];
        for (i, digit) in out.iter_mut().enumerate() {
            *digit = DIGITS[(n >> (60 - 4 * i)) as usize & 15];
        }
        RequestId(out)
    }

    pub fn as_str(&self) -> &str {
        // Only ever hex digits.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The finaliser of SplitMix64: a bijection, so distinct numbers stay distinct.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_distinct_upper_hex() {
        let ids: HashSet<RequestId> = (0..10_000).map(|_| RequestId::next()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(
            ids.iter().all(|id| id.as_str().len() == 16 && id.as_str().bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)))
        );
        assert_eq!(RequestId::from_number(0x0123_4567_89ab_cdef).as_str(), "0123456789ABCDEF");
    }
}
