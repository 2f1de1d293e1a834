//! How many readings came, and what became of them.

/// What became of readings, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Readings taken.
    pub taken: u64,
    /// Words in place of a reading: why there is none, or that a counter began again.
    pub told: u64,
    /// Readings that were there already.
    pub duplicate: u64,
    /// Counter readings older than the last one.
    pub out_of_order: u64,
    /// From farther ahead than a clock may be wrong.
    pub future: u64,
    /// Older than every archive.
    pub too_old: u64,
    /// NaN, infinite, or a negative count.
    pub not_finite: u64,
    /// Of another kind than the series, or of no series.
    pub misfit: u64,
    /// Gaps because readings were too far apart.
    pub gaps: u64,
    /// Counters that wrapped.
    pub wraps: u64,
    /// Counters that started again.
    pub resets: u64,
    /// Counters that jumped out of proportion: the growth is unknown.
    pub jumps: u64,
}

impl Counts {
    /// Those of readings by what became of them, with the words that figures and pages use.
    #[must_use]
    pub fn readings(&self) -> [(&'static str, u64); 8] {
        [
            ("taken", self.taken),
            ("told", self.told),
            ("duplicate", self.duplicate),
            ("out_of_order", self.out_of_order),
            ("future", self.future),
            ("too_old", self.too_old),
            ("not_finite", self.not_finite),
            ("misfit", self.misfit),
        ]
    }

    /// Those of what counters did.
    #[must_use]
    pub fn counters(&self) -> [(&'static str, u64); 4] {
        [
            ("gap", self.gaps),
            ("wrap", self.wraps),
            ("reset", self.resets),
            ("jump", self.jumps),
        ]
    }
}
