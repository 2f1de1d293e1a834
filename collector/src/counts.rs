//! Counters that the operator defines: which events they count, and by which fields.
//!
//! They travel with the lines like all figures of [`crate::figures`], so each event counts once.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashSet;
use vigie_parsers::Event;
use vigie_query::Labels;
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
            counts: Counts::new(counts, registry),
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
    /// The limits hold beyond one run: label sets that the store has are known.
    pub(crate) fn new(counts: &[Count], registry: &Registry) -> Self {
        let field = |field: &String| (Count::label(field), FieldName::new(field));
        let rule = |count: &Count| {
            let by: Vec<_> = count.by.iter().map(field).collect();
            let stored = registry.series_of(&count.name);
            let known = stored
                .iter()
                .filter_map(|labels| key(&by, labels))
                .collect();
            Rule {
                by,
                count: count.clone(),
                known: Mutex::new(known),
            }
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

/// The label set of a series as [`Rule::takes`] writes it; `None` for one that stands for those beyond the
/// limit, or that other fields made.
fn key(by: &[(String, FieldName)], labels: &Labels) -> Option<Box<[u8]>> {
    let own = |name: &str| name == "instance" || by.iter().any(|(label, _)| label == name);
    let foreign = labels
        .iter()
        .any(|(name, _)| name != "__name__" && !own(name));
    let values = || {
        by.iter()
            .map(|(label, _)| labels.get(label).unwrap_or_default())
    };
    let beyond = !by.is_empty() && values().all(|value| value == OTHER);
    (!foreign && !beyond).then(|| {
        let set = values().flat_map(|value| value.bytes().chain([0xff]));
        set.collect()
    })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vigie_parsers::{Origin, Timestamp};
    use vigie_store::{Batch, EventBatch, Options, Writer};

    use super::*;
    use crate::lines::Lines;

    #[test]
    fn the_limit_holds_beyond_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let count: Count =
            toml::from_str("name = 'shop_total'\nquery = ''\nby = ['code', 'way']\nlimit = 3")
                .unwrap();
        let origin = Arc::new(Origin::default());
        // The second run counts what the first one told apart, and nothing new.
        let runs = [
            ["code=1 way=a", "code=2 way=b", "code=3 x=y"],
            ["code=4 way=a", "code=1 way=a", "code=3 x=z"],
        ];
        for (now, lines) in (1_795_240_800_000..).step_by(60_000).zip(runs) {
            let now = Timestamp(now);
            let mut writer = Writer::open(dir.path(), &Options::default(), now).unwrap();
            let counters = Counters::new(writer.registry(), std::slice::from_ref(&count));
            let mut reader = Lines::new(&counters, "x", "vm", jiff::tz::TimeZone::UTC);
            let mut events = EventBatch::default();
            for line in lines {
                reader.push(&mut events, now, &origin, line.as_bytes());
            }
            writer.apply(Batch {
                events,
                samples: reader.figures(),
                ..Batch::default()
            });
            writer.commit(now).unwrap();
            let mut found: Vec<_> = writer
                .registry()
                .series_of("shop_total")
                .iter()
                .map(|l| [l.get("code"), l.get("way")].map(|v| v.unwrap_or("-").to_owned()))
                .collect();
            found.sort();
            let mut expected = vec![["1", "a"], ["2", "b"], ["3", "-"]];
            if lines == runs[1] {
                expected.push(["other", "other"]);
            }
            assert_eq!(found, expected);
        }
    }
}
