//! The patterns of a block on their way: texts, each once, and how often each pattern came.

use foldhash::HashMap;

use super::derive::{KEPT_MAX, UNKNOWN};
use super::{MINUTE_MS, Pattern};

/// Patterns that are counted while it is not known yet which are the most frequent.
const COUNTED_MAX: usize = 8 * KEPT_MAX;
/// The place of patterns beyond.
pub(in super::super) const NOT_KEPT: u32 = u32::MAX;

/// Texts, each once.
#[derive(Default)]
pub(super) struct Texts {
    index: HashMap<Vec<u8>, u32>,
    pub all: Vec<Vec<u8>>,
    /// A text on its way; kept for its memory.
    pub next: Vec<u8>,
}

impl Texts {
    pub(super) fn intern(&mut self, text: &[u8]) -> u32 {
        if let Some(&known) = self.index.get(text) {
            return known;
        }
        let next = u32::try_from(self.all.len()).unwrap_or(UNKNOWN);
        self.index.insert(text.to_vec(), next);
        self.all.push(text.to_vec());
        next
    }
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Found {
    pub texts: Texts,
    /// By the program's text (0: none) and the pattern.
    pub index: HashMap<(u32, Vec<u8>), u32>,
    pub patterns: Vec<Pattern>,
    /// A row of each pattern.
    pub rows: Vec<usize>,
    pub cells: HashMap<(i64, u32, u32), u64>,
}

impl Found {
    /// The place of a pattern that a row has.
    pub(super) fn pattern(&mut self, app: u32, text: Vec<u8>, row: usize) -> u32 {
        if let Some(&known) = self.index.get(&(app, text.clone())) {
            return known;
        }
        if self.patterns.len() >= COUNTED_MAX {
            return NOT_KEPT;
        }
        let next = u32::try_from(self.patterns.len()).unwrap_or(NOT_KEPT);
        let name = app.checked_sub(1);
        self.patterns.push(Pattern {
            app: name.and_then(|n| self.texts.all.get(n as usize).cloned()),
            text: text.clone(),
            first: i64::MAX,
            last: i64::MIN,
            ..Pattern::default()
        });
        self.rows.push(row);
        self.index.insert((app, text), next);
        next
    }

    /// Counts a row, `(row, time, severity)`; the newest is the sample.
    pub(super) fn count(
        &mut self,
        pattern: u32,
        at: (usize, i64, u32),
        run: &mut ((i64, u32, u32), u64),
    ) {
        let (row, time, severity) = at;
        let place = pattern as usize;
        if let (Some(known), Some(sample)) =
            (self.patterns.get_mut(place), self.rows.get_mut(place))
        {
            known.first = known.first.min(time);
            known.count += 1;
            if time >= known.last {
                known.last = time;
                *sample = row;
            }
        }
        let key = (time.div_euclid(MINUTE_MS), pattern, severity);
        if run.0 == key {
            run.1 += 1;
            return;
        }
        self.end_run(std::mem::replace(run, (key, 1)));
    }

    pub(super) fn end_run(&mut self, (key, count): ((i64, u32, u32), u64)) {
        if count > 0 {
            *self.cells.entry(key).or_default() += count;
        }
    }

    /// The number of a program, none being 0.
    pub(super) fn app(&mut self, app: Option<&[u8]>) -> u32 {
        app.map_or(0, |app| self.texts.intern(app).saturating_add(1))
    }
}
