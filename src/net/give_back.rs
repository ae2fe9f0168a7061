//! Memory that is no longer needed goes back to the system.
//!
//! The allocator keeps for each thread what was freed there, and looks after it only while that thread allocates: after a flood of
//! connections nothing would ever make it look. So the worker tells it, on its own thread, when much was given up.
//! `unsafe`: one call into the allocator that the binary uses; it takes no pointer, and may be made at any time by any thread.

#![allow(unsafe_code, reason = "one call into the allocator: see above")]

use libmimalloc_sys as _;

unsafe extern "C" {
    fn mi_collect(force: bool);
}

/// So many bytes, or so many connections and requests with what they keep, that looking for them is worth some milliseconds.
const MUCH: usize = 16 * 1024 * 1024;
const MANY: usize = 256;
/// Ticks between two looks at the least.
const PAUSE: u32 = 8;

/// Remembers what was in use, and when it is worth the work to look for what is not.
#[derive(Debug, Default)]
pub struct Thrift {
    /// Connections, and requests that run.
    users: usize,
    bytes: usize,
    rest: u32,
    /// What is freed on other threads' behalf is seen a moment later: it looks twice.
    again: bool,
}

impl Thrift {
    /// Once a tick. True: now.
    pub fn is_time(&mut self, users: usize, bytes: usize) -> bool {
        self.users = self.users.max(users);
        self.bytes = self.bytes.max(bytes);
        self.rest = self.rest.saturating_sub(1);
        let fell = self.users - users >= MANY || self.bytes - bytes >= MUCH;
        if self.rest > 0 || !(fell || self.again) {
            return false;
        }
        *self = Thrift { users, bytes, rest: PAUSE, again: fell };
        true
    }
}

/// For this thread.
pub fn give_back() {
    // SAFETY: see the head of the file.
    unsafe { mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_when_much_was_given_up_and_once_more() {
        let mut thrift = Thrift::default();
        assert!(!thrift.is_time(0, 0));
        assert!(!thrift.is_time(1000, MUCH / 2));
        assert!(!thrift.is_time(1000 - MANY + 1, 0));
        assert!(thrift.is_time(1000 - MANY, 0));
        let looked = (0..3 * PAUSE).filter(|_| thrift.is_time(1000 - MANY, 0)).count();
        assert_eq!(looked, 1, "what other threads freed");
        assert!(!thrift.is_time(1000 - MANY, MUCH), "it was counted anew");
        assert!(thrift.is_time(1000 - MANY, 0));
    }
}
