//! Counters that the operator defines: which events they count, and by which fields.
//!
//! They travel with the lines like all figures of [`crate::figures`], so each event counts once.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashSet;
use vigie_parsers::Event;
use vigie_query::log::{FieldName, Subject};
use vigie_store::Registry;

use crate::alive::Alive;
use crate::config::Count;

/// Bytes of a label's value; more is cut.
const VALUE_LEN_MAX: usize = 128;
/// The value of all labels beyond the limit.
const OTHER: &str = "other";

/// What the figures of lines need: where series are known, the counters in sight, and those that the
/// operator defines. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Counters {
    pub(crate) registry: Registry,
    pub(crate) alive: Alive,
    pub(crate) counts: Counts,
}

impl Counters {
    pub(crate) fn new(registry: &Registry, counts: &[Count]) -> Self {
        Self {
            registry: registry.clone(),
            alive: Alive::default(),
            counts: Counts::new(counts),
        }
    }
}

/// All of them. Cheap to clone, shared by all sources.
#[derive(Clone, Default)]
pub(crate) struct Counts(Arc<[Rule]>);

/// One counter.
pub(crate) struct Rule {
    count: Count,
    by: Vec<(String, FieldName)>,
    /// The label sets that are told apart, as [`Rule::takes`] writes them.
    known: Mutex<HashSet<Box<[u8]>>>,
}

impl Counts {
    pub(crate) fn new(counts: &[Count]) -> Self {
        let rule = |count: &Count| Rule {
            by: count
                .by
                .iter()
                .map(|field| (Count::label(field), FieldName::new(field)))
                .collect(),
            count: count.clone(),
            known: Mutex::default(),
        };
        Self(counts.iter().map(rule).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.0
    }
}

impl Rule {
    pub(crate) fn name(&self) -> &str {
        &self.count.name
    }

    /// Whether it counts an event; the event's label values go into `key`.
    pub(crate) fn takes(&self, event: &Event, key: &mut Vec<u8>) -> bool {
        if !self.count.query.filter().matches(event) {
            return false;
        }
        key.clear();
        for (_, field) in &self.by {
            let value = event.value(field).unwrap_or_default();
            let value = value.get(..VALUE_LEN_MAX).unwrap_or(&value);
            // No byte of UTF-8 text; in what is not UTF-8 it would be replaced anyway.
            key.extend(value.iter().map(|&b| if b == 0xff { 0xfe } else { b }));
            key.push(0xff);
        }
        true
    }

    /// Whether a label set is told apart; there is room for so many.
    pub(crate) fn admits(&self, key: &[u8]) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(key) {
            return true;
        }
        let room = known.len() < self.count.limit;
        if room {
            known.insert(key.into());
        }
        room
    }

    /// The labels of a key; without one those of what is beyond the limit. Empty values are left out.
    pub(crate) fn labels(&self, key: Option<&[u8]>) -> Vec<(&str, String)> {
        let mut values = key.unwrap_or_default().split(|&b| b == 0xff);
        let names = self.by.iter().map(|(name, _)| name.as_str());
        names
            .map(|name| match key {
                Some(_) => {
                    let value = String::from_utf8_lossy(values.next().unwrap_or_default());
                    (name, value.into_owned())
                }
                None => (name, OTHER.to_owned()),
            })
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }
}
