//! How far one connection to a target is.

use std::collections::VecDeque;
use std::time::Instant;

/// See the module.
pub(super) struct Way {
    /// Everything up to here was sent, or is not wanted, or is gone.
    pub(super) next: u64,
    /// The last event that was sent.
    sent: u64,
    /// What the other side is not known to have: the last event of each piece, and its bytes.
    pub(super) untold: VecDeque<(u64, u64)>,
    pub(super) untold_bytes: u64,
    /// When the other side last had all, or more than before.
    pub(super) heard: Instant,
    pub(super) begun: Instant,
    /// Something has arrived, or who is there has answered.
    pub(super) proved: bool,
}

impl Way {
    /// Begins behind an event; `proved` if it is known who is there.
    pub(super) fn from(next: u64, proved: bool) -> Self {
        Self {
            next,
            sent: 0,
            untold: VecDeque::new(),
            untold_bytes: 0,
            heard: Instant::now(),
            begun: Instant::now(),
            proved,
        }
    }

    /// Takes note of a piece that was written.
    pub(super) fn add(&mut self, upto: u64, bytes: usize) {
        if self.untold.is_empty() {
            self.heard = Instant::now();
        }
        self.sent = upto;
        self.untold.push_back((upto, bytes as u64));
        self.untold_bytes += bytes as u64;
    }

    /// The other side has everything up to an event: how far we are with that.
    pub(super) fn has(&mut self, upto: u64) -> u64 {
        while let Some((_, bytes)) = self.untold.front().filter(|(id, _)| *id <= upto) {
            self.untold_bytes -= bytes;
            self.untold.pop_front();
            self.heard = Instant::now();
        }
        self.reached(upto)
    }

    /// Up to where all that was wanted has got when the last one of it is this.
    pub(super) fn reached(&self, upto: u64) -> u64 {
        // Nothing behind the last one that was sent was wanted.
        if upto >= self.sent { self.next } else { upto }
    }
}
