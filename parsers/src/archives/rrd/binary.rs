//! The binary form: C structs of the machine that wrote them, one after the other.
//!
//! ```text
//! stat_head   "RRD\0" version[5] pad  cookie f64  ds_cnt rra_cnt pdp_step (words)  80 bytes
//! ds_def      name[20] type[20] 80 bytes                                           for each source
//! rra_def     cf[20] pad  row_cnt pdp_cnt (words) pad  80 bytes                    for each archive
//! live_head   last_up (time_t) [last_up_usec (word), from version 3]
//! pdp_prep    112 bytes for each source;  cdp_prep 80 bytes for each source of each archive
//! rra_ptr     the row written last (word)                                          for each archive
//! data        rows of f64, archive by archive
//! ```
//! A word is 4 or 8 bytes, a double lies on a multiple of 4 or 8, time_t has 4 or 8 bytes, and the
//! bytes are in either order. Nothing in the file says which; the cookie's place and its bytes say
//! most, the length of the file the rest.

use super::{COUNT_MAX, Rra, Rrd, Source, check};
use crate::archives::Damage;

/// 8.642135E130, which the first version chose because its bytes differ in any order.
const COOKIE: [u8; 8] = [0x2f, 0x25, 0xc0, 0xc7, 0x43, 0x2b, 0x1f, 0x5b];
const DS_DEF: u64 = 120;
const PDP_PREP: u64 = 112;
const CDP_PREP: u64 = 80;
/// `par[10]`, `scratch[10]`: unions of eight bytes.
const PARAMETERS: u64 = 80;
/// Microseconds of a second.
const USEC: u64 = 1_000_000;

/// How a machine lays out structs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) big_endian: bool,
    /// Bytes of `unsigned long`.
    pub(super) word: u64,
    /// What doubles are aligned to.
    pub(super) align: u64,
    /// Bytes of `time_t`.
    pub(super) time: u64,
}

/// 64 bit; i386; ARM and PowerPC with 32 bit; the latter two with 64-bit time.
const SIZES: [(u64, u64, u64); 5] = [(8, 8, 8), (4, 4, 4), (4, 8, 4), (4, 8, 8), (4, 4, 8)];

pub(super) fn align(at: u64, to: u64) -> u64 {
    at.div_ceil(to) * to
}

impl Machine {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [false, true].into_iter().flat_map(|big_endian| {
            SIZES.into_iter().map(move |(word, align, time)| Self {
                big_endian,
                word,
                align,
                time,
            })
        })
    }

    pub(super) fn cookie_at(self) -> u64 {
        align(9, self.align.max(4))
    }

    pub(super) fn stat_head(self) -> u64 {
        align(self.cookie_at() + 8 + 3 * self.word, self.align) + PARAMETERS
    }

    pub(super) fn rra_def(self) -> u64 {
        align(align(20, self.word) + 2 * self.word, self.align) + PARAMETERS
    }

    pub(super) fn live_head(self, version: u32) -> u64 {
        if version < 3 {
            self.time
        } else {
            align(
                self.time + self.word,
                self.word.max(self.time.min(self.align)),
            )
        }
    }
}

/// Reads a file. Its first four bytes were looked at.
pub(super) fn read(bytes: &[u8]) -> Result<Rrd, Damage> {
    let version = text(bytes, 4, 5)
        .filter(|v| v.len() == 4 && v.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| Damage::byte(4, "no version of four digits"))?;
    let number = version.parse().unwrap_or(0);
    if !(1..=5).contains(&number) {
        let what = format!("version {version}; 0001 to 0005 are known");
        return Err(Damage::byte(4, what));
    }
    let mut nearest = None;
    let mut fitting: Vec<(Reader<'_>, Places)> = Vec::new();
    for machine in Machine::all() {
        let reader = Reader {
            bytes,
            machine,
            version: number,
        };
        if reader.has_cookie() {
            match reader.places() {
                Ok(places) => fitting.push((reader, places)),
                Err(damage) => {
                    nearest.get_or_insert(damage);
                }
            }
        }
    }
    // Some writers leave a few bytes at the end; the fewer are left over the better.
    let best = fitting.iter().min_by_key(|(reader, places)| {
        let left_over = bytes.len() as u64 - places.end;
        (!reader.is_likely(places), left_over)
    });
    match (best, nearest) {
        (Some((reader, places)), _) => reader.read(places),
        (None, Some(damage)) => Err(damage),
        (None, None) => Err(Damage::byte(
            12,
            "the number that tells machines apart is missing: no file of rrdtool, or damaged",
        )),
    }
}

/// Bytes up to a NUL within `len`, when there is one and they are ASCII.
fn text(bytes: &[u8], at: u64, len: u64) -> Option<String> {
    let field = slice(bytes, at, len)?;
    let end = field.iter().position(|&b| b == 0)?;
    let text = std::str::from_utf8(field.get(..end)?).ok()?;
    text.is_ascii().then(|| text.to_owned())
}

fn slice(bytes: &[u8], at: u64, len: u64) -> Option<&[u8]> {
    let at = usize::try_from(at).ok()?;
    bytes.get(at..at.checked_add(usize::try_from(len).ok()?)?)
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    machine: Machine,
    version: u32,
}

/// Where things lie in a file that is long enough for them.
struct Places {
    sources: u64,
    step: u64,
    /// Rows and primary points of a row, for each archive.
    archives: Vec<(u64, u64)>,
    live_head: u64,
    pointers: u64,
    data: u64,
    end: u64,
}

impl Reader<'_> {
    fn word(&self, at: u64, len: u64) -> Option<u64> {
        let field = slice(self.bytes, at, len)?;
        let push = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if self.machine.big_endian {
            field.iter().fold(0, push)
        } else {
            field.iter().rev().fold(0, push)
        })
    }

    fn has_cookie(&self) -> bool {
        let mut want = COOKIE;
        if self.machine.big_endian {
            want.reverse();
        }
        slice(self.bytes, self.machine.cookie_at(), 8) == Some(&want)
    }

    /// Where everything is, if the counts make sense and the file is long enough.
    fn places(&self) -> Result<Places, Damage> {
        let m = self.machine;
        let head = m.cookie_at() + 8;
        let short = |at: u64| Damage::byte(at, "the file ends within its head");
        let count = |i: u64| {
            let at = head + i * m.word;
            self.word(at, m.word).ok_or_else(|| short(at))
        };
        let (sources, archives, step) = (count(0)?, count(1)?, count(2)?);
        for (n, what) in [(sources, "data sources"), (archives, "archives")] {
            if !(1..=COUNT_MAX).contains(&n) {
                return Err(Damage::byte(head, format!("{n} {what}")));
            }
        }
        let defs = m.stat_head() + sources * DS_DEF;
        let mut sizes = Vec::new();
        let mut rows_in_all = 0u64;
        for i in 0..archives {
            let at = defs + i * m.rra_def();
            let counts = at + align(20, m.word);
            let rows = self.word(counts, m.word).ok_or_else(|| short(at))?;
            let per_row = self.word(counts + m.word, m.word);
            let per_row = per_row.ok_or_else(|| short(at))?;
            if rows == 0 || rows > self.bytes.len() as u64 {
                let what = format!(
                    "archive {i}: {rows} rows in a file of {} bytes",
                    self.bytes.len()
                );
                return Err(Damage::byte(counts, what));
            }
            // No more than the bytes of the file for each archive: far from overflow.
            rows_in_all = rows_in_all.saturating_add(rows);
            sizes.push((rows, per_row));
        }
        let live_head = defs + archives * m.rra_def();
        let prep = live_head + m.live_head(self.version);
        let pointers = prep + sources * PDP_PREP + sources * archives * CDP_PREP;
        let data = pointers + archives * m.word;
        let end = rows_in_all
            .checked_mul(sources * 8)
            .and_then(|bytes| bytes.checked_add(data))
            .unwrap_or(u64::MAX);
        if end > self.bytes.len() as u64 {
            let what = format!(
                "the file ends here; {sources} data sources and {rows_in_all} rows need {end} bytes"
            );
            return Err(Damage::byte(self.bytes.len() as u64, what));
        }
        let places = Places {
            sources,
            step,
            archives: sizes,
            live_head,
            pointers,
            data,
            end,
        };
        self.check_live(&places)?;
        Ok(places)
    }

    /// Whether the last update and the rows written last are what they can be.
    fn check_live(&self, places: &Places) -> Result<(), Damage> {
        let m = self.machine;
        let usec_at = places.live_head + m.time;
        if self.version >= 3 && self.word(usec_at, m.word).is_none_or(|usec| usec >= USEC) {
            let what = "more than a million microseconds in a second";
            return Err(Damage::byte(usec_at, what));
        }
        for (i, (rows, _)) in (0..).zip(&places.archives) {
            let at = places.pointers + i * m.word;
            let row = self.word(at, m.word).unwrap_or(u64::MAX);
            if row >= *rows {
                let what = format!("archive {i}: row {row} written last, of {rows}");
                return Err(Damage::byte(at, what));
            }
        }
        Ok(())
    }

    /// Whether each source's last reading is a text, as every version writes it, and the last update
    /// is a time: two sizes of `time_t` may both fit.
    fn is_likely(&self, places: &Places) -> bool {
        let prep = places.live_head + self.machine.live_head(self.version);
        let is_text = |i: u64| {
            let first = slice(self.bytes, prep + i * PDP_PREP, 1).and_then(|b| b.first());
            first.is_some_and(u8::is_ascii_graphic)
        };
        self.time(places.live_head) > 0 && (0..places.sources).all(is_text)
    }

    fn read(&self, places: &Places) -> Result<Rrd, Damage> {
        let m = self.machine;
        let mut rrd = Rrd {
            version: format!("{:04}", self.version),
            step_s: i64::try_from(places.step).unwrap_or(0),
            last_update_s: self.time(places.live_head),
            ..Rrd::default()
        };
        for i in 0..places.sources {
            let at = m.stat_head() + i * DS_DEF;
            let name = text(self.bytes, at, 20);
            let name = name.ok_or_else(|| Damage::byte(at, "a name without an end"))?;
            let kind = text(self.bytes, at + 20, 20);
            let kind = kind.ok_or_else(|| Damage::byte(at + 20, "a type without an end"))?;
            rrd.sources.push(Source { name, kind });
        }
        let mut data = places.data;
        for (i, &(rows, per_row)) in (0u64..).zip(&places.archives) {
            let at = m.stat_head() + places.sources * DS_DEF + i * m.rra_def();
            let cf = text(self.bytes, at, 20);
            let cf = cf.ok_or_else(|| Damage::byte(at, "a function without an end"))?;
            let written = self.word(places.pointers + i * m.word, m.word).unwrap_or(0);
            rrd.archives.push(Rra {
                cf,
                per_row: u32::try_from(per_row).unwrap_or(0),
                values: self.rows(data, rows, written, places.sources),
            });
            data += rows * places.sources * 8;
        }
        check(&rrd).map_err(|what| Damage::byte(0, what))?;
        Ok(rrd)
    }

    fn time(&self, at: u64) -> i64 {
        let time = self.word(at, self.machine.time).unwrap_or(0);
        i64::try_from(time).unwrap_or(0)
    }

    /// The rows of a ring from the one after the last written on.
    fn rows(&self, data: u64, rows: u64, written: u64, sources: u64) -> Vec<f64> {
        let row = sources * 8;
        let ring = slice(self.bytes, data, rows * row).unwrap_or_default();
        let split = usize::try_from((written + 1) * row).unwrap_or(0);
        let (newer, older) = ring.split_at(split.min(ring.len()));
        let value = |bytes: &[u8]| {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(bytes) {
                *to = *from;
            }
            if self.machine.big_endian {
                f64::from_be_bytes(word)
            } else {
                f64::from_le_bytes(word)
            }
        };
        older
            .chunks_exact(8)
            .chain(newer.chunks_exact(8))
            .map(value)
            .collect()
    }
}
