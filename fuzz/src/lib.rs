//! What each fuzz target checks: no panic, and the contract of a record.

mod figures;

use jiff::tz::TimeZone;
use vigie_parsers::archives::{Damage, File};
use vigie_parsers::formats::{self, Detector};
use vigie_parsers::framing::Framer;
use vigie_parsers::joining::Joining;
use vigie_parsers::lines::Lines;
use vigie_parsers::{Context, Record, Timestamp};

pub use figures::promql;

/// Received at 2026-11-21T06:00:00Z.
fn context() -> Context {
    Context::new(Timestamp(1_795_240_800_000), TimeZone::UTC)
}

/// A line through one format of the registry.
pub fn format(name: &str, line: &[u8]) {
    let format = formats::find(name).expect("a target for each format, by its name");
    let mut record = Record::default();
    if format.parse(&mut context(), line, &mut record) {
        sound(&record, line);
    }
}

/// The first line is a definition, the rest a line that it may describe. Definitions stay for the life
/// of the process, so only the first thousand are looked at closely; the others must be refused.
pub fn pasted(data: &[u8]) {
    let mut halves = data.splitn(2, |&b| b == b'\n');
    let (definition, line) = (halves.next(), halves.next().unwrap_or_default());
    let Some(definition) = definition.and_then(|d| std::str::from_utf8(d).ok()) else {
        return;
    };
    for (language, _) in formats::languages() {
        if let Ok(found) = formats::named(&format!("{language}: {definition}")) {
            let mut record = Record::default();
            if found.parse(&mut context(), line, &mut record) {
                sound(&record, line);
            }
            formats::explain(&mut context(), line, Some(found));
        }
    }
}

/// Lines that may belong together: events follow one another without a gap, whole ones stay as they are.
pub fn joining(data: &[u8]) {
    for rule in ["auto", "indented", "begins #", "continues  "] {
        let rule: Joining = rule.parse().expect("one of the rules");
        let mut rest = data;
        while let Some(first) = rule.first(rest, 256) {
            let (event, after) = rest.split_at(first.len);
            assert!(event.ends_with(b"\n"));
            assert!(
                first.whole || !after.contains(&b'\n'),
                "it may go on where there is more"
            );
            rest = after;
        }
        assert!(!rest.contains(&b'\n'));
    }
}

/// Lines through detection, and as syslog messages.
pub fn detect(data: &[u8]) {
    let (mut cx, mut record, mut detector) = (context(), Record::default(), Detector::default());
    for line in data.split(|&b| b == b'\n') {
        formats::explain(&mut cx, line, None);
        let format = detector.parse(&mut cx, line, &mut record);
        sound(&record, line);
        // What is remembered of the lines before only saves time, but for the columns of a W3C log.
        if format.family() != format.name {
            continue;
        }
        let mut fresh = Record::default();
        let again = Detector::default().parse(&mut context(), line, &mut fresh);
        assert_eq!((format.name, &record), (again.name, &fresh));
        formats::syslog_message(&mut cx, line, &mut record);
        sound(&record, line);
    }
}

/// A stream cut after as many bytes as its first byte says: the same frames as in one piece.
pub fn framing(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else {
        return;
    };
    let frames = |size: usize| {
        let mut framer = Framer::new(64);
        let mut out = Vec::new();
        for chunk in stream.chunks(size.max(1)) {
            framer.push(chunk, |f| out.push((f.line.to_vec(), f.truncated)));
        }
        framer.finish(|f| out.push((f.line.to_vec(), f.truncated)));
        (out, framer.counts())
    };
    assert_eq!(frames(usize::from(size)), frames(stream.len()));
    let (mut lines, mut consumed) = (Lines::new(64), 0);
    lines.push(stream, |l| consumed += l.consumed);
    lines.finish(|l| consumed += l.consumed);
    assert_eq!(consumed, stream.len() as u64);
}

/// Spans in order, apart, within the line and outside the time.
fn sound(record: &Record, line: &[u8]) {
    let mut last = 0;
    for span in &record.fields {
        assert!(last <= span.start && span.start < span.end, "{record:?}");
        let time = &record.time_span;
        assert!(
            time.is_empty() || span.end <= time.start || span.start >= time.end,
            "{record:?}"
        );
        last = span.end;
        let _ = span.value(line);
    }
    for end in [last, record.message.end, record.time_span.end] {
        assert!(end as usize <= line.len(), "{record:?}");
    }
    assert!(record.message.start <= record.message.end, "{record:?}");
}

/// A file of old figures: read or refused, and what is read has a sound form and is no larger than
/// the file justifies.
pub fn archives(read: fn(&[u8]) -> Result<File, Damage>, data: &[u8]) {
    let Ok(file) = read(data) else { return };
    let mut slots = 0;
    for series in &file.series {
        assert!(series.archives.is_sorted_by(|a, b| a.step_s < b.step_s));
        for archive in &series.archives {
            assert!(archive.step_s > 0 && archive.per_slot > 0);
            assert!(archive.average.iter().all(|v| !v.is_infinite()));
            for column in [&archive.min, &archive.max, &archive.last].into_iter().flatten() {
                assert_eq!(column.len(), archive.average.len());
            }
            slots += archive.average.len();
        }
    }
    assert!(slots <= 64 * data.len() + 64, "{slots} slots of {} bytes", data.len());
}
