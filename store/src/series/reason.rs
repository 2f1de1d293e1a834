//! Why a slot is unknown: carried in the bits of the NaN that stands for it, so it costs nothing
//! while a chunk is open; in a page a byte for each run of unknown slots.

/// A NaN without a word.
const UNKNOWN: u64 = 0x7ff8_0000_0000_0000;

/// Why nothing is known of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// No reading came, and nobody said why.
    #[default]
    Silent = 0,
    /// vigie itself did not run.
    Restart = 1,
    /// The source was asked and did not answer in time.
    Timeout = 2,
    /// The source answered that there is no such thing (any more).
    NoSuchObject = 3,
    /// The source was there, its answer could not be read.
    Unreadable = 4,
    /// The counter began again: what it had counted until then is not known.
    Reset = 5,
    /// The growth was absurd: faster than the line, or of another width of counter.
    OutOfRange = 6,
    /// A limit of vigie's own.
    Budget = 7,
}

impl Reason {
    const ALL: [Self; 8] = [
        Self::Silent,
        Self::Restart,
        Self::Timeout,
        Self::NoSuchObject,
        Self::Unreadable,
        Self::Reset,
        Self::OutOfRange,
        Self::Budget,
    ];

    /// The word for people and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Restart => "restart",
            Self::Timeout => "timeout",
            Self::NoSuchObject => "no such object",
            Self::Unreadable => "unreadable",
            Self::Reset => "reset",
            Self::OutOfRange => "out of range",
            Self::Budget => "budget",
        }
    }

    /// The reason of a byte; what a later version may write is none.
    pub(crate) fn from_u8(byte: u8) -> Self {
        Self::ALL
            .get(usize::from(byte))
            .copied()
            .unwrap_or_default()
    }

    /// The value of a slot that is unknown for this reason.
    pub(crate) fn unknown(self) -> f64 {
        f64::from_bits(UNKNOWN | u64::from(self as u8))
    }

    /// The reason that a value carries; a known one has none.
    pub(crate) fn of(value: f64) -> Self {
        if value.is_nan() {
            let [byte, ..] = value.to_bits().to_le_bytes();
            Self::from_u8(byte)
        } else {
            Self::Silent
        }
    }

    /// Of two pieces of one gap the first that says something speaks.
    pub(crate) fn or(self, later: Self) -> Self {
        if self == Self::Silent { later } else { self }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_travel_in_unknown_values() {
        for (byte, reason) in (0u8..).zip(Reason::ALL) {
            assert!(reason.unknown().is_nan());
            assert_eq!(Reason::of(reason.unknown()), reason);
            assert_eq!((Reason::from_u8(byte), reason as u8), (reason, byte));
        }
        assert_eq!(Reason::of(f64::NAN), Reason::Silent);
        assert_eq!(Reason::of(1.5), Reason::Silent);
        assert_eq!(Reason::from_u8(200), Reason::Silent);
    }
}
