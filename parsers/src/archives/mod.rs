//! Old figures: the files of rrdtool, MRTG and whisper, read into archives of series.
//!
//! A reader takes the bytes of a whole file and answers with a [`File`], or with a [`Damage`] that
//! says what is wrong and where. It never panics, and what it allocates is in proportion to the bytes
//! it was given. Slot `i` of step `S` covers `(i·S, (i+1)·S]`, as in the store and in rrdtool.

pub mod mrtg;
pub mod mrtg_cfg;
pub mod rrd;
pub mod whisper;

use std::fmt;

/// What an old file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    /// One for each data source.
    pub series: Vec<Series>,
    /// When it was written last, in seconds since 1970.
    pub last_update_s: i64,
    /// What was not taken, each with its reason; for people.
    pub left_out: Vec<String>,
    /// What a reader of the figures has to know; for people.
    pub notes: Vec<String>,
}

/// One data source of an old file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the file: `traffic_in`, `in`; empty where there is only one without a name.
    pub name: String,
    /// What it was fed with, in the file's own word: `GAUGE`, `COUNTER`; empty where the file is silent.
    pub kind: String,
    /// Finest first, no two of one step.
    pub archives: Vec<Archive>,
}

/// One resolution of a series with all its slots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Archive {
    /// Seconds of a slot, at least 1.
    pub step_s: i64,
    /// Slots of the file's own base step in one of these, at least 1.
    pub per_slot: u32,
    /// The number of the first slot: it covers `(first·step, (first+1)·step]`.
    pub first: i64,
    /// A value for each slot, NaN where nothing is known.
    pub average: Vec<f64>,
    /// Where the file keeps minima of its own; as long as `average`.
    pub min: Option<Vec<f64>>,
    /// Where the file keeps maxima of its own.
    pub max: Option<Vec<f64>>,
    /// Where the file keeps last values of its own.
    pub last: Option<Vec<f64>>,
}

impl Archive {
    /// Slots of which something is known.
    #[must_use]
    pub fn known(&self) -> usize {
        self.average.iter().filter(|v| !v.is_nan()).count()
    }

    /// Until when the slots reach, in seconds since 1970.
    #[must_use]
    pub fn end_s(&self) -> i64 {
        let slots = i64::try_from(self.average.len()).unwrap_or(i64::MAX);
        self.first.saturating_add(slots).saturating_mul(self.step_s)
    }
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where: `line 3`, `byte 128`.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

impl Damage {
    pub(crate) fn line(number: usize, what: impl Into<String>) -> Self {
        Self {
            place: format!("line {number}"),
            what: what.into(),
        }
    }

    pub(crate) fn byte(at: u64, what: impl Into<String>) -> Self {
        Self {
            place: format!("byte {at}"),
            what: what.into(),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl std::error::Error for Damage {}
