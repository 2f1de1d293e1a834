//! What the owner of a store decides.

/// When SQLite waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// At every commit: nothing acknowledged is lost even when the power goes.
    Full,
    /// At checkpoints: safe against the end of the process, not of the machine.
    Normal,
}

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the file may occupy in all, in bytes.
    pub budget_bytes: u64,
    /// The part of it that figures may occupy; events have the rest.
    pub series_bytes: u64,
    /// How many series may live at once; more are refused and counted.
    pub series_max: usize,
    /// How many of them one source may bring.
    pub source_series_max: usize,
    /// How long which series are kept.
    pub retention: crate::series::Retention,
    /// How long which lines are kept, within the budget.
    pub log_retention: crate::events::LogRetention,
    /// See [`Synchronous`].
    pub synchronous: Synchronous,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            budget_bytes: 5 << 30,
            series_bytes: 3 << 30,
            series_max: 10_000,
            source_series_max: 5_000,
            retention: crate::series::Retention::default(),
            log_retention: crate::events::LogRetention::default(),
            synchronous: Synchronous::Full,
        }
    }
}
