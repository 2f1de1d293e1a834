//! Counts by the values of fields, in bounded memory.

use std::collections::BTreeMap;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use vigie_parsers::Timestamp;

use super::eval::Subject;
use super::field::FieldName;
use crate::{Group, Grouped, ScanStats, Step};

/// Why a count is not whole.
pub(crate) const TOO_MANY_GROUPS: &str = "more groups than the limit: the rest was not kept apart";

/// Longer values are cut: a key is for counting, not for keeping.
pub const GROUP_VALUE_MAX: usize = 4096;

/// Counts events by group as they come.
#[derive(Debug)]
pub struct Groups<'a> {
    fields: &'a [FieldName],
    step: Option<Step>,
    max_groups: usize,
    key: Vec<u8>,
    index: HashMap<Box<[u8]>, usize, RandomState>,
    counts: Vec<Counts>,
    rest: u64,
}

#[derive(Debug, Default)]
struct Counts {
    count: u64,
    /// The step that was counted last: neighbours in time mostly share it.
    last: Option<(Timestamp, u64)>,
    steps: BTreeMap<Timestamp, u64>,
}

impl Counts {
    fn add(&mut self, step: Option<Timestamp>, more: u64) {
        self.count += more;
        let Some(start) = step else { return };
        match &mut self.last {
            Some((at, n)) if *at == start => *n += more,
            last => {
                if let Some((at, n)) = last.replace((start, more)) {
                    *self.steps.entry(at).or_default() += n;
                }
            }
        }
    }
}

impl<'a> Groups<'a> {
    /// No event yet.
    #[must_use]
    pub fn new(fields: &'a [FieldName], step: Option<Step>, max_groups: usize) -> Self {
        Self {
            fields,
            step,
            max_groups,
            key: Vec::new(),
            index: HashMap::default(),
            counts: Vec::new(),
            rest: 0,
        }
    }

    /// Nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.rest == 0
    }

    /// Counts one more.
    pub fn add<S: Subject>(&mut self, subject: &S, time: Timestamp) {
        self.key.clear();
        for field in self.fields {
            push_value(&mut self.key, subject.value(field).as_deref());
        }
        self.count(self.step.map(|s| s.start(time)), 1);
    }

    /// Counts `n` events of the same values and step: for sources that count for themselves.
    pub fn add_many<'v>(
        &mut self,
        values: impl IntoIterator<Item = Option<&'v [u8]>>,
        step: Option<Timestamp>,
        n: u64,
    ) {
        self.key.clear();
        for value in values {
            push_value(&mut self.key, value);
        }
        self.count(step, n);
    }

    fn count(&mut self, step: Option<Timestamp>, n: u64) {
        let known = self.index.get(self.key.as_slice()).copied();
        let at = match known {
            Some(at) => at,
            None if self.counts.len() < self.max_groups => {
                self.index
                    .insert(self.key.as_slice().into(), self.counts.len());
                self.counts.push(Counts::default());
                self.counts.len() - 1
            }
            None => {
                self.rest += n;
                return;
            }
        };
        self.counts[at].add(step, n);
    }

    /// The groups, with what the scan had to do.
    #[must_use]
    pub fn finish(mut self, mut stats: ScanStats) -> Grouped {
        let mut groups: Vec<Group> = Vec::with_capacity(self.index.len());
        for (key, at) in self.index {
            let counts = std::mem::take(&mut self.counts[at]);
            let mut steps = counts.steps;
            if let Some((start, n)) = counts.last {
                *steps.entry(start).or_default() += n;
            }
            groups.push(Group {
                key: values(&key),
                count: counts.count,
                steps: steps.into_iter().collect(),
            });
        }
        if self.rest > 0 {
            stats
                .incomplete
                .get_or_insert_with(|| TOO_MANY_GROUPS.to_owned());
        }
        Grouped {
            groups,
            rest: self.rest,
            stats,
        }
    }
}

/// Appends a value to a key so that no two lists of values give the same bytes.
pub(crate) fn push_value(key: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(value) = value else {
        key.extend_from_slice(&u32::MAX.to_le_bytes());
        return;
    };
    let value = &value[..value.len().min(GROUP_VALUE_MAX)];
    let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&len.to_le_bytes());
    key.extend_from_slice(value);
}

/// The values in a key.
pub(crate) fn values(mut key: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut out = Vec::new();
    while let Some((len, rest)) = key.split_first_chunk::<4>() {
        let len = u32::from_le_bytes(*len);
        if len == u32::MAX {
            out.push(None);
            key = rest;
            continue;
        }
        let (value, tail) = rest.split_at(rest.len().min(len as usize));
        out.push(Some(value.to_vec()));
        key = tail;
    }
    out
}
