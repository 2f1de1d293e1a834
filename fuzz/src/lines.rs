//! Lines, streams of them, queries on them.

use jiff::tz::TimeZone;
use vigie_parsers::formats::{self, Detector};
use vigie_parsers::framing::Framer;
use vigie_parsers::joining::Joining;
use vigie_parsers::journal::{Journal, LineWriter};
use vigie_parsers::lines::Lines;
use vigie_parsers::{Context, Event, Field, Kind, Record, Timestamp};
use vigie_query::log::{Query, printable, template};

/// Received at 2026-11-21T06:00:00Z.
fn context() -> Context {
    Context::new(Timestamp(1_795_240_800_000), TimeZone::UTC)
}

/// A line through one format of the registry.
pub(crate) fn format(name: &str, line: &[u8]) {
    let format = formats::find(name).expect("a target for each format, by its name");
    let mut record = Record::default();
    if format.parse(&mut context(), line, &mut record) {
        sound(&record, line);
    }
}

/// The first line is a definition, the rest a line that it may describe. Definitions stay for the life
/// of the process, so only the first thousand are looked at closely; the others must be refused.
pub(crate) fn pasted(data: &[u8]) {
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
pub(crate) fn joining(data: &[u8]) {
    for name in ["auto", "indented", "begins #", "continues  "] {
        let rule: Joining = name.parse().expect("one of the rules");
        let mut rest = data;
        while let Some(first) = rule.first(rest, 256) {
            let (event, after) = rest.split_at(first.len);
            assert!(event.ends_with(b"\n"));
            // Of some lines a later one has to tell whether they belong to the event.
            assert!(
                first.whole || name == "auto" || !after.contains(&b'\n'),
                "it may go on where there is more"
            );
            rest = after;
        }
        assert!(!rest.contains(&b'\n'));
    }
}

/// Lines through detection, and as syslog messages.
pub(crate) fn detect(data: &[u8]) {
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
        Detector::default().received(&mut cx, line, &mut record);
        sound(&record, line);
    }
}

/// A stream cut after as many bytes as its first byte says: the same frames as in one piece.
pub(crate) fn framing(data: &[u8]) {
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

/// Any text is read or refused; what is read is shown so that it reads back as the same query, and
/// decides about an event made of the text itself.
pub(crate) fn log_query(data: &[u8]) {
    let mut event = Event {
        line: data.to_vec(),
        ..Event::default()
    };
    event.record.message = 0..u32::try_from(data.len()).unwrap_or(u32::MAX);
    event
        .record
        .push(Field::Path, data.len() / 2, data.len(), Kind::Quoted);
    let shown = printable(data);
    assert!(!shown.chars().any(|c| c.is_control() && c != '\t'));
    assert!(!template(data).iter().any(u8::is_ascii_digit));
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(query) = Query::parse(text) {
        let shown = query.to_string();
        assert_eq!(Query::parse(&shown).as_ref(), Ok(&query), "{shown}");
        let _ = query.filter.matches(&event);
    }
}

/// A journal file of any bytes: reading it ends, and what is read fits into it.
pub(crate) fn journal_file(bytes: &[u8]) {
    let Ok(mut journal) = Journal::open(bytes) else {
        return;
    };
    let mut writer = LineWriter::default();
    let mut n = 0;
    while let Ok(Some(entry)) = journal.next_entry() {
        writer
            .write(&mut journal, &entry)
            .expect("memory can be read");
        n += 1;
        assert!(n <= bytes.len() / 64);
    }
    journal.seek(|e| e.seqnum < 5).expect("memory can be read");
    while let Ok(Some(_)) = journal.next_entry() {}
}
