//! The worker's coarse clock, and how long each kind of waiting may last in its ticks.

use std::cell::Cell;
use std::time::Duration;

use super::settings::Settings;

/// Fine enough for time-outs that are seconds, coarse enough that ten thousand connections cost nothing.
pub const TICK: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub struct Clock(Cell<u32>);

impl Clock {
    pub fn now(&self) -> u32 {
        self.0.get()
    }

    pub fn advance(&self) {
        self.0.set(self.0.get().wrapping_add(1));
    }
}

/// The time-outs in ticks.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub(super) handshake: u32,
    pub(super) header: u32,
    pub(super) idle: u32,
    pub(super) write: u32,
    pub(super) linger: u32,
}

impl Patience {
    pub fn new(s: &Settings) -> Self {
        let ticks = |d: Duration| u32::try_from(d.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX).max(1);
        Patience {
            handshake: ticks(s.handshake_timeout),
            header: ticks(s.header_timeout),
            idle: ticks(s.idle_timeout),
            write: ticks(s.write_timeout),
            linger: ticks(s.linger_timeout),
        }
    }
}
