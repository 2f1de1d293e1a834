//! Lives of stores: lines come, are committed, sealed, lost with the process; and what was told of them.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use vigie_parsers::{Context, Event, Origin, Record, Timestamp, formats};
use vigie_store::{Batch, Options, Synchronous, Writer};

pub(crate) const NOW: Timestamp = Timestamp(1_793_516_709_000);
const HOUR: i64 = 3_600_000;

pub(crate) fn options() -> Options {
    Options {
        synchronous: Synchronous::Normal,
        ..Options::default()
    }
}

pub(crate) fn event(
    source: &str,
    time: i64,
    line: &[u8],
    detector: &mut formats::Detector,
) -> Event {
    let mut cx = Context::new(Timestamp(time), jiff::tz::TimeZone::UTC);
    let mut record = Record::default();
    let format = detector.parse(&mut cx, line, &mut record);
    record.time = None;
    let fields = match source.as_bytes().last() {
        Some(b'1') => vec![("app".to_owned(), "one".to_owned())],
        Some(b'2') => vec![("_SYSTEMD_UNIT".to_owned(), "o.service".to_owned())],
        _ => Vec::new(),
    };
    Event {
        id: 0,
        time: Timestamp(time),
        recv: Timestamp(time),
        severity: record.severity,
        format: format.name.into(),
        origin: Arc::new(Origin {
            source: source.to_owned(),
            fields,
        }),
        line: line.to_vec(),
        record,
    }
}

pub(crate) fn batch(events: &[Event]) -> Batch {
    let mut batch = Batch::default();
    for e in events {
        let format = formats::find(&e.format).expect("a format").name;
        let events = &mut batch.events;
        events.push(e.recv, &e.origin, format, &e.line, &e.record);
    }
    batch
}

/// What may happen to a store.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Lines(Vec<(u8, i64, String)>),
    Commit,
    Seal,
    Reopen,
}

pub(crate) fn line() -> impl Strategy<Value = (u8, i64, String)> {
    let text = prop_oneof![
        "(GET|POST) /[a-c]{1,2}(/[a-c0-9]{1,3}){0,5}".prop_flat_map(|request| {
            (Just(request), prop::sample::select(vec![200u16, 204, 304, 404, 500, 503])).prop_map(
                |(request, status)| {
                    format!("192.0.2.7 - - [21/Nov/2026:10:00:00 +0000] \"{request} HTTP/1.1\" {status} 5")
                },
            )
        }),
        "(started|stopped|failed) (job|unit) [a-c0-9]{0,4}( took [0-9]{1,3}ms)?".prop_map(|text| {
            format!("<{}>Nov 21 10:00:00 web1 {}[7]: {text}", 8 + text.len() % 8, &text[..4])
        }),
        "(open|close) [a-b]{1,2}(\\\\\")?( [0-9]{1,3})?".prop_map(|text| {
            format!("{{\"time\":\"2026-11-21T10:00:00Z\",\"level\":\"warn\",\"app\":\"{}\",\"msg\":\"{text}\"}}", &text[..2])
        }),
        ("[ab]", prop::collection::vec(("unit|UNIT|_SYSTEMD_UNIT", "[a-c](\\\\u0041)?"), 0..3)).prop_map(|(text, units)| {
            let units: String = units.iter().map(|(n, v)| format!(",\"{n}\":\"{v}.service\"")).collect();
            format!("{{\"time\":\"2026-11-21T10:00:00Z\",\"app\":\"open\",\"msg\":\"{text}\"{units}}}")
        }),
        "[a-c0-9 _.:/-]{0,20}",
        "([0-9a-f]{1,8} ){60,70}",
    ];
    (0u8..3, -40 * HOUR..0i64, text)
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(line(), 1..60).prop_map(Step::Lines),
        2 => Just(Step::Commit),
        2 => Just(Step::Seal),
        1 => Just(Step::Reopen),
    ]
}

/// Does what the steps say; what was committed.
pub(crate) fn live(dir: &Path, steps: &[Step]) -> Vec<Event> {
    let mut writer = Writer::open(dir, &options(), NOW).expect("a store");
    let (mut taken, mut committed) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Lines(lines) => {
                let mut detectors: [formats::Detector; 3] = Default::default();
                let events: Vec<Event> = lines
                    .iter()
                    .map(|(n, age, text)| {
                        let detector = &mut detectors[usize::from(*n)];
                        event(&format!("s{n}"), NOW.0 + age, text.as_bytes(), detector)
                    })
                    .collect();
                writer.apply(batch(&events));
                taken.extend(events);
            }
            Step::Commit | Step::Seal => {
                if matches!(step, Step::Seal) {
                    writer.seal_events();
                }
                writer.commit(NOW).expect("a commit");
                committed.append(&mut taken);
            }
            // As after a kill: what was not committed is gone.
            Step::Reopen => {
                drop(writer);
                taken.clear();
                writer = Writer::open(dir, &options(), NOW).expect("a store");
            }
        }
    }
    committed
}
