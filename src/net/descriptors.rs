//! How many file descriptors the process may have: the one limit that connections and object files share.
//!
//! The only `unsafe` of `net`: getrlimit and setrlimit with a struct of our own. Called once at start.

#![allow(unsafe_code, reason = "system calls that std has no safe form of")]

/// Raises the soft limit to the hard one (many systems start processes at 1,024) and returns what is allowed now.
pub fn raise_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that lives through the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return FALLBACK;
    }
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        // SAFETY: as above; the call only reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
            limit = raised;
        }
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// What POSIX systems give at least in practice; used when the limit can't be read.
const FALLBACK: usize = 1024;

/// Connections that fit beside everything else: a quarter of the descriptors, and at least 64, stay free for files.
pub fn connections_within(descriptors: usize) -> usize {
    // Beyond a hundred thousand the memory of idle connections is the limit, not their descriptors.
    (descriptors - (descriptors / 4).max(64).min(descriptors)).clamp(16, 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_room_for_files() {
        assert!(raise_limit() > 0);
        assert_eq!(connections_within(1024), 768);
        assert_eq!(connections_within(100), 36);
        assert_eq!(connections_within(10), 16);
        assert_eq!(connections_within(usize::MAX), 100_000);
    }
}
