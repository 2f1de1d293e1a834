//! rrdtool's files, as they lie on the disk of any machine and as XML dumps.
//!
//! The binary is what a C compiler made of a few structs, in `binary.rs`; `xml.rs` reads dumps. Both
//! give an [`Rrd`], the file's own content; [`Rrd::into_file`] joins its archives to series: those of
//! one step are one archive with averages, minima, maxima and last values.

mod binary;
mod join;
#[cfg(test)]
mod tests;
mod xml;

use super::{Damage, File};

/// Data sources and archives of a file at most, each: far more than any file has.
const COUNT_MAX: u64 = 100_000;
/// A slot is a leap year long at most.
const STEP_S_MAX: u64 = 366 * 86_400;
/// Updates after the year 9999 are none.
const TIME_S_MAX: i64 = 253_402_300_799;

/// The content of a file of rrdtool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rrd {
    /// `0001` to `0005`.
    pub version: String,
    /// Seconds between two primary points.
    pub step_s: i64,
    /// The last update, in seconds since 1970.
    pub last_update_s: i64,
    /// The data sources.
    pub sources: Vec<Source>,
    /// The archives, in the file's order.
    pub archives: Vec<Rra>,
    /// Whether values went through text and lost digits.
    pub rounded: bool,
}

/// A data source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// `GAUGE`, `COUNTER`, `DERIVE`, `ABSOLUTE`, `DCOUNTER`, `DDERIVE` or `COMPUTE`.
    pub kind: String,
}

/// An archive with its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rra {
    /// The consolidation function: `AVERAGE`, `MIN`, `HWPREDICT` …
    pub cf: String,
    /// Primary points in a row.
    pub per_row: u32,
    /// Rows, oldest first; in a row one value for each data source. The newest row ends at the last
    /// whole multiple of its length before the last update.
    pub values: Vec<f64>,
}

/// Reads a file, whichever of the two it is.
///
/// # Errors
/// When it is neither, when it is too short for what it says it holds, when its figures make no sense.
pub fn read(bytes: &[u8]) -> Result<File, Damage> {
    read_rrd(bytes).map(Rrd::into_file)
}

/// The same without joining archives to series.
///
/// # Errors
/// As [`read`].
pub fn read_rrd(bytes: &[u8]) -> Result<Rrd, Damage> {
    if bytes.starts_with(b"RRD\0") {
        return binary::read(bytes);
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if text.trim_ascii_start().starts_with(b"<") {
        return xml::read(bytes);
    }
    Err(Damage::byte(
        0,
        "no file of rrdtool: it begins with `RRD`, a dump with `<?xml` or `<rrd>`",
    ))
}

impl Rrd {
    /// Joins archives to series.
    #[must_use]
    pub fn into_file(self) -> File {
        join::join(&self)
    }
}

/// What holds for both forms of a file.
fn check(rrd: &Rrd) -> Result<(), String> {
    if !(1..=TIME_S_MAX).contains(&rrd.last_update_s) {
        return Err(format!("{} is no time of a last update", rrd.last_update_s));
    }
    if rrd.sources.is_empty() || rrd.archives.is_empty() {
        return Err("no data source or no archive".to_owned());
    }
    for source in &rrd.sources {
        let printable = |b: u8| (0x21..0x7f).contains(&b);
        if source.name.is_empty() || !source.name.bytes().all(printable) {
            return Err(format!("{:?} is no name of a data source", source.name));
        }
    }
    for rra in &rrd.archives {
        let step_s = u64::try_from(rrd.step_s).unwrap_or(0) * u64::from(rra.per_row);
        if !(1..=STEP_S_MAX).contains(&step_s) {
            return Err(format!(
                "{} rows of {} steps of {} s cannot be",
                rra.cf, rra.per_row, rrd.step_s
            ));
        }
    }
    Ok(())
}
