//! The book keeps what it is told, in bounds, across a reopening.

use proptest::prelude::*;
use vigie_parsers::Timestamp;
use vigie_query::Labels;

use super::*;
use crate::{Options, Reader, State, Writer};

struct Book {
    dir: tempfile::TempDir,
    writer: Writer,
}

impl Book {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::open(dir.path(), &Options::default(), Timestamp(0)).unwrap();
        Self { dir, writer }
    }

    fn write<T>(&mut self, change: impl FnOnce(&mut State<'_>) -> crate::Result<T>) -> T {
        self.writer.update(Timestamp(0), change).unwrap()
    }

    fn reader(&self) -> Reader {
        Reader::open(self.dir.path()).unwrap()
    }

    fn reopen(self) -> Self {
        let Self { dir, writer } = self;
        drop(writer);
        let writer = Writer::open(dir.path(), &Options::default(), Timestamp(0)).unwrap();
        Self { dir, writer }
    }
}

fn alert(name: &str, state: AlertState, incident: Option<IncidentId>) -> Alert {
    Alert {
        rule: format!("machine/{name}"),
        labels: Labels::new([("alertname", name), ("instance", "web1")]),
        state,
        active_at: Timestamp(1000),
        fired_at: (state != AlertState::Pending).then_some(Timestamp(2000)),
        clear_since: None,
        resolved_at: (state == AlertState::Resolved).then_some(Timestamp(3000)),
        written_at: Timestamp(2000),
        value: 0.5,
        annotations: vec![("summary".to_owned(), "a=b\nc\\d".to_owned())],
        frozen: None,
        incident,
    }
}

fn new_incident(key: &str, at: i64) -> NewIncident {
    NewIncident {
        key: key.to_owned(),
        title: format!("{key} is bad"),
        severity: Severity::Warning,
        labels: Labels::new([("instance", "web1")]),
        onset: Timestamp(at - 10),
        opened: Timestamp(at),
    }
}

fn resolution(at: i64) -> Resolution {
    Resolution {
        at: Timestamp(at),
        by: None,
        reason: "over".to_owned(),
    }
}

fn entry(at: i64, what: What) -> NewEntry<'static> {
    NewEntry {
        at: Timestamp(at),
        who: "vigie",
        what,
        from: IncidentState::Open,
        to: IncidentState::Open,
        alert: None,
        reason: "",
    }
}

#[test]
fn alerts_keep_every_field_and_one_active_row() {
    let mut book = Book::new();
    let mut a = alert("Full", AlertState::Pending, None);
    book.write(|s| s.put_alert(&a));
    assert_eq!(book.reader().active_alerts().unwrap(), [a.clone()]);
    a.state = AlertState::Firing;
    a.fired_at = Some(Timestamp(5));
    a.clear_since = Some(Timestamp(6));
    a.incident = Some(IncidentId(7));
    a.frozen = Some(Frozen {
        since: Timestamp(8),
        reason: "no data".to_owned(),
    });
    book.write(|s| s.put_alert(&a));
    assert_eq!(book.reader().active_alerts().unwrap(), [a.clone()]);
    // Two episodes in one incident leave one row.
    for at in [9, 12] {
        a.state = AlertState::Resolved;
        a.resolved_at = Some(Timestamp(at));
        book.write(|s| s.put_alert(&a));
        assert_eq!(book.reader().active_alerts().unwrap(), []);
        assert_eq!(
            book.reader().incident_alerts(IncidentId(7)).unwrap(),
            [a.clone()]
        );
        a.state = AlertState::Firing;
        book.write(|s| s.put_alert(&a));
    }
    let pending = alert("Slow", AlertState::Pending, None);
    book.write(|s| s.put_alert(&pending));
    book.write(|s| s.drop_pending(&pending.rule, &pending.labels));
    assert_eq!(book.reader().active_alerts().unwrap(), [a]);
}

#[test]
fn an_incident_lives_through_a_reopening() {
    let mut book = Book::new();
    let id = book.write(|s| s.open_incident(&new_incident("Full@web1", 100)));
    assert_eq!(id, IncidentId(1));
    let ack = Acknowledgement {
        by: "ops".to_owned(),
        at: Timestamp(120),
        note: "looking".to_owned(),
    };
    book.write(|s| {
        s.put_alert(&alert("Full", AlertState::Firing, Some(id)))?;
        s.append_entry(id, &entry(100, What::Opened))?;
        s.set_acknowledged(id, Some(&ack))?;
        s.set_severity(id, Severity::Critical)?;
        s.append_entry(id, &entry(120, What::Acknowledged))
    });
    let mut book = book.reopen();
    let incident = book.reader().incident(id).unwrap().unwrap();
    assert_eq!(incident.state(), IncidentState::Acknowledged);
    assert_eq!(incident.acknowledged, Some(ack));
    assert_eq!(incident.severity, Severity::Critical);
    assert_eq!((incident.firing, incident.entries), (1, 2));
    assert_eq!(incident.duration_ms(Timestamp(150)), 50);

    book.write(|s| s.set_resolved(id, &resolution(200)));
    let resolved = book.reader().incident(id).unwrap().unwrap();
    assert_eq!(resolved.state(), IncidentState::Resolved);
    assert_eq!(resolved.resolved, Some(resolution(200)));
    assert_eq!(resolved.duration_ms(Timestamp(900)), 100);
    book.write(|s| s.reopen_incident(id, Timestamp(300)));
    let again = book.reader().incident(id).unwrap().unwrap();
    assert_eq!(again.state(), IncidentState::Open);
    assert_eq!(
        (again.reopened, again.reopened_at),
        (1, Some(Timestamp(300)))
    );
    let newest = book.write(|s| s.latest_incident("Full@web1")).unwrap();
    assert_eq!(newest, again);
}

#[test]
fn the_time_line_only_grows_and_is_bounded() {
    let mut book = Book::new();
    let id = book.write(|s| s.open_incident(&new_incident("k", 1)));
    book.write(|s| {
        for i in 0..i64::from(ENTRIES_MAX) + 5 {
            s.append_entry(id, &entry(i, What::Noted))?;
        }
        Ok(())
    });
    let entries = book.reader().timeline(id).unwrap();
    assert_eq!(entries.len(), ENTRIES_MAX as usize);
    assert!(
        entries
            .iter()
            .enumerate()
            .all(|(i, e)| e.seq as usize == i + 1)
    );
    let counted = book.reader().incident(id).unwrap().unwrap().entries;
    assert_eq!(counted, ENTRIES_MAX + 5);
    let update = book.writer.update(Timestamp(0), |s| {
        Ok(s.tx
            .execute("UPDATE timeline SET reason = 'forged'", [])
            .map(drop)?)
    });
    assert!(update.is_err(), "an update of the time line is refused");
}

#[test]
fn the_oldest_resolved_incidents_are_forgotten_first() {
    let mut book = Book::new();
    book.write(|s| {
        for n in 1..=6 {
            let id = s.open_incident(&new_incident("k", n * 10))?;
            s.append_entry(id, &entry(n, What::Opened))?;
            s.put_alert(&Alert {
                labels: Labels::new([("n", n.to_string())]),
                ..alert("A", AlertState::Resolved, Some(id))
            })?;
            // The second stays open, the oldest by far.
            if n != 2 {
                s.set_resolved(id, &resolution(n * 10 + 5))?;
            }
        }
        Ok(())
    });
    let left = |book: &Book| -> Vec<u64> {
        let all = book.reader().incidents(&IncidentFilter::default()).unwrap();
        all.iter().map(|i| i.id.0).collect()
    };
    assert_eq!(
        book.write(|s| s.forget_incidents(Timestamp(0), 3)),
        2,
        "by number"
    );
    assert_eq!(left(&book), [6, 5, 4, 2]);
    assert_eq!(
        book.write(|s| s.forget_incidents(Timestamp(50), 3)),
        1,
        "by age"
    );
    assert_eq!(left(&book), [6, 5, 2]);
    assert_eq!(book.reader().timeline(IncidentId(1)).unwrap(), []);
    assert_eq!(book.reader().incident_alerts(IncidentId(1)).unwrap(), []);
    assert_eq!(book.reader().timeline(IncidentId(5)).unwrap().len(), 1);
    book.write(|s| s.forget_incidents(Timestamp::MAX, 0));
    let next = book.write(|s| s.open_incident(&new_incident("k", 1)));
    assert_eq!(next, IncidentId(7), "a number is never given twice");
}

#[test]
fn incidents_are_filtered_and_paged() {
    let mut book = Book::new();
    book.write(|s| {
        for n in 1..=4 {
            let id = s.open_incident(&new_incident("k", n * 100))?;
            if n < 3 {
                s.set_resolved(id, &resolution(n * 100 + 50))?;
            }
        }
        Ok(())
    });
    let reader = book.reader();
    let check = |filter: IncidentFilter, expected: &[u64]| {
        let found = reader.incidents(&filter).unwrap();
        let ids: Vec<u64> = found.iter().map(|i| i.id.0).collect();
        assert_eq!(ids, expected, "{filter:?}");
    };
    let all = IncidentFilter::default();
    check(all, &[4, 3, 2, 1]);
    check(IncidentFilter::unresolved(), &[4, 3]);
    check(
        IncidentFilter {
            since: Some(Timestamp(200)),
            until: Some(Timestamp(400)),
            ..all
        },
        &[3, 2],
    );
    check(
        IncidentFilter {
            before: Some(IncidentId(4)),
            limit: 2,
            ..all
        },
        &[3, 2],
    );
}

#[test]
fn changes_are_kept_in_bounds() {
    let mut book = Book::new();
    let change = |at: i64, kind| Change {
        at: Timestamp(at),
        kind,
        text: format!("change {at}"),
        labels: Labels::new([("service", "vote")]),
    };
    book.write(|s| {
        for at in [30, 10, 20] {
            s.add_change(&change(at, ChangeKind::Deploy))?;
        }
        Ok(())
    });
    let read = |book: &Book, limit| -> Vec<i64> {
        let reader = book.reader();
        let found = reader.changes(Timestamp(10), Timestamp(31), limit).unwrap();
        found.iter().map(|c| c.at.0).collect()
    };
    assert_eq!(read(&book, 9), [10, 20, 30]);
    assert_eq!(read(&book, 2), [20, 30]);
    let first = book
        .reader()
        .changes(Timestamp(10), Timestamp(11), 9)
        .unwrap();
    assert_eq!(first, [change(10, ChangeKind::Deploy)]);
    book.write(|s| s.forget_changes(Timestamp(0), 2));
    assert_eq!(read(&book, 9), [20, 30]);
    book.write(|s| s.forget_changes(Timestamp(25), 2));
    assert_eq!(read(&book, 9), [30]);
}

#[test]
fn numbers_are_read_as_people_write_them() {
    for (text, id) in [("142", 142), ("INC-7", 7), ("inc-7", 7)] {
        assert_eq!(text.parse(), Ok(IncidentId(id)));
    }
    for text in ["", "INC-", "INC-x", "-1", "é-é"] {
        assert!(text.parse::<IncidentId>().is_err(), "{text}");
    }
    assert_eq!(IncidentId(142).to_string(), "INC-142");
}

proptest! {
    #[test]
    fn pairs_survive(pairs in proptest::collection::vec(("[a-z_=\\\\\n\r\u{85}é]{1,6}", ".{0,12}|[=\\\\\n\r]{0,4}"), 0..5)) {
        let text = pairs::encode(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        prop_assert_eq!(pairs::decode(&text), pairs);
    }

    #[test]
    fn texts_are_cut_at_a_character(text in "\\PC{0,40}", times in 1usize..400) {
        let text = text.repeat(times);
        let short = cut(&text);
        prop_assert!(text.starts_with(short));
        prop_assert!(short.len() <= TEXT_BYTES_MAX);
        prop_assert!(short.len() == text.len() || short.len() + 4 > TEXT_BYTES_MAX);
    }
}
