//! What holds for every format and any bytes.

use proptest::prelude::*;
use vigie_parsers::formats::{Detector, FORMATS};
use vigie_parsers::{Context, Record, Timestamp};

use crate::dump::context;

/// Pieces of which log lines are made, so that random lines get deep into the parsers.
const PIECES: &[&str] = &[
    "<13>",
    "<34>1 ",
    "<999>",
    "2026-11-21T05:10:56.656489+00:00",
    "Nov 21 05:11:43",
    "-",
    " ",
    "web1 ",
    "sshd[12]: ",
    "[meta sequenceId=\"1\"]",
    "[a b=\"\\\"\\]\"]",
    "\u{feff}",
    "[21/Nov/2026:05:19:12 +0000]",
    "192.0.2.7 - - ",
    " \"GET /a?b=c HTTP/1.1\" ",
    "200 15",
    " \"-\" \"agent\"",
    " rt=0.1 uct=\"-\"",
    "{\"a\":1,",
    "\"msg\":\"x\\n\"}",
    "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-21T05:23:16.602553519Z\"}",
    "web-1  | ",
    "\u{1b}[36m",
    "level=info msg=\"a b\" ",
    "2026-11-21 05:11:43.123 UTC [7] LOG:  ",
    "1:M 06 Jan 2024 09:45:34.399 * ",
    "2026/11/21 05:19:14 [error] 9#9: *1 ",
    "[Sat Nov 21 05:19:21.3 2026] [core:info] [pid 1:tid 2] ",
    "haproxy[1]: ",
    "192.0.2.7:80 [21/Nov/2026:05:24:22.040] web app/s2 0/0/0/1/1 200 120 - - ---- 4/4/3/1/0 0/0 ",
    "Keepalived_vrrp: (VI_1) Entering MASTER STATE",
    "[2024-01-06 09:46:44,059] INFO in app: ",
    "nginx: ",
    "postgres[3]: ",
    "Failed password for invalid user a from 192.0.2.1 port 5",
    "\\",
    "\"",
    "[",
    "]",
    "{",
    "}",
    ":",
    "=",
    "|",
    "0",
    " F ",
    "stdout",
    "999999999999999999999",
    "\n",
    "\0",
];

fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(PIECES).prop_map(|p| p.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        1 => "[ -~]{0,12}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

/// The contract of [`Record`].
fn sound(record: &Record, line: &[u8]) {
    let len = u32::try_from(line.len()).expect("a short line");
    let mut last = 0;
    for span in &record.fields {
        assert!(
            last <= span.start && span.start < span.end && span.end <= len,
            "{record:?}"
        );
        last = span.end;
        let time = &record.time_span;
        assert!(
            span.end <= time.start || span.start >= time.end || time.is_empty(),
            "{record:?}"
        );
        assert!(!record.name(span.name).is_empty());
        let _ = span.value(line);
    }
    for range in [&record.message, &record.time_span] {
        assert!(range.start <= range.end && range.end <= len, "{record:?}");
    }
    assert!(record.time.is_some() || record.time_span.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn every_format_keeps_the_contract(line in line(), recv in any::<i64>()) {
        let mut cx = context();
        cx.recv = Timestamp(recv);
        for format in FORMATS {
            let (mut one, mut two) = (Record::default(), Record::default());
            let first = format.parse(&mut cx, &line, &mut one);
            let second = format.parse(&mut cx, &line, &mut two);
            prop_assert_eq!(first, second, "{}", format.name);
            if first {
                prop_assert_eq!(&one, &two, "{}", format.name);
                sound(&one, &line);
            }
        }
        let mut record = Record::default();
        Detector::default().received(&mut cx, &line, &mut record);
        sound(&record, &line);
    }

    #[test]
    fn detection_depends_on_the_line_alone(lines in prop::collection::vec(line(), 1..8)) {
        let mut cx = context();
        let mut sticky = Detector::default();
        for line in &lines {
            let (mut one, mut two) = (Record::default(), Record::default());
            let a = sticky.parse(&mut cx, line, &mut one).name;
            let b = Detector::default().parse(&mut cx, line, &mut two).name;
            prop_assert_eq!(a, b);
            prop_assert_eq!(&one, &two);
            sound(&one, line);
        }
    }
}

/// A stamp of one of few minutes, with all that may follow it.
fn stamp() -> impl Strategy<Value = String> {
    let minute = prop::sample::select(vec![
        "<13>Nov 21 05:11:",
        "<13>Nov  1 05:11:",
        "Oct 25 02:30:",
        "<13>Feb 29 05:11:",
        "<13>2026-11-21T05:11:",
        "<13>1 2026-11-21T05:11:",
        "<13>1 2026-11-21t05:11:",
        "2026-11-21 05:11:",
        "2026-11-21  5:11:",
        "192.0.2.7 - - [21/Nov/2026:05:11:",
        "192.0.2.7 - - [21/Nov/2026 05:11:",
        "192.0.2.7 - - [21/nov/2026:5:11:",
    ]);
    let tail = prop::sample::select(vec![
        "", ".5", ",1234567", "Z", "-03:30", ".25+0545", " +0000", " UTC", " 2026", " 1999: ",
        " UTC:", ":", "x",
    ]);
    (minute, 0u8..62, 0u8..9, tail).prop_map(|(minute, second, short, tail)| match short {
        0 => format!("{minute}{second}{tail}"),
        _ => format!("{minute}{second:02}{tail}"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What context and record remember of the lines before only saves time.
    #[test]
    fn the_past_does_not_show(
        lines in prop::collection::vec((stamp(), line(), 0i64..800), 1..8),
        zone in prop::sample::select(vec!["UTC", "Europe/Paris", "America/St_Johns"]),
    ) {
        let zone = jiff::tz::TimeZone::get(zone).unwrap();
        let at = |days: i64| Timestamp(1_720_000_000_000 + days * 86_400_000);
        let mut kept = Context::new(at(0), zone.clone());
        let mut record = Record::default();
        for (stamp, rest, days) in &lines {
            let close = if stamp.contains('[') { b"] ".as_slice() } else { b" " };
            let line = [stamp.as_bytes(), close, rest].concat();
            kept.recv = at(*days);
            for format in FORMATS {
                let (mut fresh, mut want) = (Context::new(kept.recv, zone.clone()), Record::default());
                record.clear();
                let taken = format.parse(&mut kept, &line, &mut record);
                prop_assert_eq!(taken, format.parse(&mut fresh, &line, &mut want));
                if taken {
                    prop_assert_eq!(&record, &want, "{}", format.name);
                }
            }
        }
    }
}

#[test]
fn names_are_unique_and_raw_is_last() {
    for (i, format) in FORMATS.iter().enumerate() {
        assert!(
            FORMATS[..i].iter().all(|f| f.name != format.name),
            "{}",
            format.name
        );
        assert!(!format.about.is_empty());
    }
    assert_eq!(FORMATS.last().unwrap().name, "raw");
    assert!(FORMATS.len() <= 64, "the detector's masks have 64 bits");
}
