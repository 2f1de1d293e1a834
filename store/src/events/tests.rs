//! Lines of any bytes through the open block, the journal and the sealed block, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use vigie_parsers::{Field, Kind, Name, Origin, Severity, Span};

use vigie_query::log::{Compare, Exact, FieldName, Filter, Test, TextPattern};

use super::Fault;
use super::codec::unpack;
use super::encode::seal;
use super::open::{Line, OpenBlock};
use super::rebuild::{self, Block, Open, Places, StreamName};
use super::sealed::{SealedBlock, Segments};
use super::select::select;
use super::table::Table;

/// A line with pieces that somebody named: cuts are taken modulo its length.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    line: Vec<u8>,
    cuts: Vec<(usize, u8)>,
    stamp: bool,
    time: i64,
    severity: u8,
}

pub(super) fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-c0-9 _.:/-]{0,40}".prop_map(String::into_bytes),
        2 => "(Nov  1|2026-11-01T|01/Nov/2026:) ?0[0-9]:05:09[.,]?[0-9]{0,6}( [+-]0[0-9]00)? [a-z]{0,9} [0-9]{0,5}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..60),
        1 => vec(0x10u8..0x16, 0..8),
        1 => "([0-9a-f]{1,8} ){60,70}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 600..900),
    ]
}

pub(super) fn sample() -> impl Strategy<Value = Sample> {
    let time = prop_oneof![
        Just(1_793_516_709_042i64),
        1_793_000_000_000i64..1_794_000_000_000,
        any::<i64>()
    ];
    (
        text(),
        vec((any::<usize>(), 0u8..12), 0..6),
        any::<bool>(),
        time,
        0u8..12,
    )
        .prop_map(|(line, cuts, stamp, time, severity)| Sample {
            line,
            cuts,
            stamp,
            time,
            severity,
        })
}

impl Sample {
    /// Its spans, in order and apart, and its time stamp.
    fn spans(&self) -> (Vec<Span>, (usize, usize)) {
        let kinds = [Kind::Plain, Kind::Quoted, Kind::Json, Kind::Millis];
        let mut places = BTreeMap::new();
        for &(at, what) in &self.cuts {
            places.insert(at % (self.line.len() + 1), what);
        }
        let mut spans = Vec::new();
        let mut stamp = (0, 0);
        let places: Vec<(usize, u8)> = places.into_iter().collect();
        for pair in places.windows(2) {
            let [(start, what), (end, _)] = *pair else {
                continue;
            };
            if self.stamp && stamp == (0, 0) {
                stamp = (start, end);
                continue;
            }
            let name = match what {
                0..6 => Name::Known(Field::ALL[usize::from(what)]),
                _ => Name::Dynamic(u16::from(what - 6)),
            };
            spans.push(Span {
                start: u32::try_from(start).expect("short"),
                end: u32::try_from(end).expect("short"),
                name,
                kind: kinds[usize::from(what) % 4],
            });
        }
        (spans, stamp)
    }
}

pub(super) fn push(block: &mut OpenBlock, samples: &[Sample], first: i64) {
    let names: Vec<Box<str>> = ["a", "host", "sd.x", "b", "c", "d"]
        .map(Into::into)
        .to_vec();
    for (seq, s) in (first..).zip(samples) {
        let origin = Arc::new(Origin {
            source: "s".to_owned(),
            fields: vec![("peer".to_owned(), (s.severity % 3).to_string())],
        });
        let origin = block.origin(&origin);
        let (spans, time_span) = s.spans();
        let line = Line {
            time: s.time,
            recv: s.time.wrapping_add(5),
            seq,
            severity: Severity::from_number(s.severity),
            line: &s.line,
            time_span,
            spans: &spans,
            names: &names,
        };
        block.push(&line, origin);
    }
}

/// The segments of a block in memory.
pub(super) struct Memory(pub Vec<Vec<u8>>);

impl Segments for Memory {
    fn segment(&self, number: u32) -> Result<(Vec<u8>, usize), Fault> {
        let data = self.0.get(number as usize).ok_or(Fault::Damaged)?;
        Ok((unpack(data).ok_or(Fault::Damaged)?, data.len()))
    }
}

pub(super) fn place() -> Arc<StreamName> {
    Arc::new(StreamName {
        source: "s".to_owned(),
        format: "raw".into(),
    })
}

fn check(block: &dyn Block, samples: &[Sample]) {
    let places = Places::new(block);
    let rows = block.rows();
    assert_eq!(rows.len(), samples.len());
    let mut line = Vec::new();
    // Backwards: no row depends on the one before.
    for (row, sample) in samples.iter().enumerate().rev() {
        line.clear();
        rebuild::line(block, &places, row, &mut line).expect("whole");
        assert_eq!(line, sample.line, "row {row}");
        assert_eq!(block.times().expect("whole")[row], sample.time);
        assert_eq!(
            block.recvs().expect("whole")[row],
            sample.time.wrapping_add(5)
        );
        assert_eq!(rows.severities[row], u32::from(sample.severity.min(8)));
        let origin = &block.origins()[rows.origins[row] as usize];
        assert_eq!(origin.fields[0].1, (sample.severity % 3).to_string());
    }
}

/// Asks a block that may be damaged all kinds of questions: it may answer anything.
fn ask(segments: &[Vec<u8>]) {
    let text = |needle, open| Filter::Text(TextPattern::new(needle, open, open).expect("text"));
    let field = |name, test| Filter::Field {
        name: FieldName::new(name),
        test,
    };
    let questions = [
        text("a", true),
        text("b1", false),
        text("7", true),
        text("10.0 ab", false),
        field("host", Test::Present),
        field("pid", Test::Compare(Compare::Greater, 3.0)),
        Filter::Not(Box::new(field(
            "n",
            Test::Exact(Exact::new("1", false, true)),
        ))),
    ];
    for filter in &questions {
        // Anew each time: nothing is read yet.
        let Ok(block) = SealedBlock::open(Memory(segments.to_vec()), place()) else {
            return;
        };
        if let Ok(selection) = select(&block, filter) {
            assert!(selection.iter().all(|row| row < block.rows().len()));
        }
    }
}

proptest! {
    #[test]
    fn every_line_comes_back(samples in vec(sample(), 1..80), cuts in vec(any::<usize>(), 0..4)) {
        let mut block = OpenBlock::new(7);
        let mut replayed = Table::default();
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c % samples.len()).collect();
        cuts.push(samples.len());
        cuts.sort_unstable();
        let mut from = 0;
        for to in cuts {
            push(&mut block, &samples[from..to], from as i64);
            let delta = block.table.delta(&block.marks);
            prop_assert!(replayed.apply(&delta, "s").is_some());
            block.marks = block.table.marks();
            if to % 2 == 0 {
                // As after a restart.
                block = OpenBlock::over(replayed.clone(), 7);
            }
            from = to;
        }
        prop_assert!(replayed.is_whole());
        prop_assert_eq!(&replayed, &block.table);
        let open = Open { table: Arc::new(replayed), place: place() };
        check(&open, &samples);
        let sealed = seal(&open.table, 7, &place());
        let sealed = SealedBlock::open(Memory(sealed.segments), place()).expect("whole");
        check(&sealed, &samples);
    }

    /// As the fuzz target, from blocks that were whole: bytes of their segments changed.
    #[test]
    fn any_segments_are_survived(
        samples in vec(sample(), 1..20),
        query in "(a|b1|host:a|pid>3|n:1|not \"10.0 ab\"| \\*7\\* ){0,3}",
        changes in vec((any::<usize>(), any::<u8>()), 0..3),
    ) {
        let mut block = OpenBlock::new(7);
        push(&mut block, &samples, 0);
        let sealed = seal(&block.table, 7, &place());
        let mut data = query.into_bytes();
        data.push(b'\n');
        let first = data.len();
        for segment in &sealed.segments {
            let raw = unpack(segment).expect("whole");
            data.extend_from_slice(&u16::try_from(raw.len()).unwrap_or(u16::MAX).to_le_bytes());
            data.extend_from_slice(&raw[..raw.len().min(65_535)]);
        }
        for (at, value) in changes {
            let at = first + at % (data.len() - first);
            data[at] = value;
        }
        super::fuzz::block(&data);
    }

    #[test]
    fn damaged_blocks_are_refused_or_read(
        samples in vec(sample(), 1..20), at in any::<usize>(), value in any::<u8>(),
    ) {
        let mut block = OpenBlock::new(7);
        push(&mut block, &samples, 0);
        let sealed = seal(&block.table, 7, &place());
        // Damage below the checksums: the raw bytes of a segment, packed again.
        let number = at % sealed.segments.len();
        let mut segments = sealed.segments;
        let mut raw = unpack(&segments[number]).expect("whole");
        if !raw.is_empty() {
            let at = at / 7 % raw.len();
            raw[at] = value;
            segments[number] = super::codec::Packer::new().pack(&raw);
        }
        if let Ok(block) = SealedBlock::open(Memory(segments.clone()), place()) {
            let places = Places::new(&block);
            for row in 0..block.rows().len() {
                let _ = rebuild::line(&block, &places, row, &mut Vec::new());
            }
            let _ = (block.times().is_ok(), block.recvs().is_ok(), block.seqs().is_ok());
        }
        ask(&segments);
        let mut delta = block.table.delta(&super::delta::Marks::default());
        let at = at % (delta.len() - 4);
        delta[at] = value;
        let body = delta.len() - 4;
        let crc = crc32c::crc32c(&delta[..body]);
        delta[body..].copy_from_slice(&crc.to_le_bytes());
        let mut table = Table::default();
        if table.apply(&delta, "s").is_some() && table.is_whole() {
            let open = Open { table: Arc::new(table), place: place() };
            let places = Places::new(&open);
            for row in 0..open.table.len() {
                rebuild::line(&open, &places, row, &mut Vec::new()).expect("whole");
            }
        }
    }
}

/// Lines with one piece, from their third byte on.
fn with_pieces(values: &[String]) -> OpenBlock {
    let mut block = OpenBlock::new(7);
    let origin = block.origin(&Arc::new(Origin {
        source: "s".to_owned(),
        fields: Vec::new(),
    }));
    for (seq, value) in (0..).zip(values) {
        let line = format!("x {value}");
        let end = u32::try_from(line.len()).expect("short");
        let span = Span {
            start: 2,
            end,
            name: Name::Known(Field::Path),
            kind: Kind::Plain,
        };
        let line = Line {
            time: 1_793_516_709_042,
            recv: 1_793_516_709_042,
            seq,
            severity: None,
            line: line.as_bytes(),
            time_span: (0, 0),
            spans: &[span],
            names: &[],
        };
        block.push(&line, origin);
    }
    block
}

/// The rows of a sealed block that may hold a text.
fn found(block: &OpenBlock, needle: &str) -> Vec<usize> {
    let sealed = seal(&block.table, 7, &place());
    let sealed = SealedBlock::open(Memory(sealed.segments), place()).expect("whole");
    let filter = Filter::Text(TextPattern::new(needle, true, true).expect("text"));
    let selection = select(&sealed, &filter).expect("whole");
    selection.iter().collect()
}

/// A few numbers are laid down as strings among the others, which have no such pairs of bytes.
#[test]
fn few_numbers_among_long_strings_are_found() {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).expect("a letter"));
    let text = |n: usize| format!("{}{}", String::from_iter([letter(n / 26); 40]), letter(n));
    let mut values: Vec<String> = (0..150).map(text).collect();
    values.insert(70, "4711".to_owned());
    let block = with_pieces(&values);
    assert_eq!(found(&block, "71"), [70]);
    assert_eq!(found(&block, "aaab"), [1]);
    assert_eq!(found(&block, "72"), [0usize; 0]);
}

/// Texts of more digits than stand in a row anywhere.
#[test]
fn longer_runs_of_digits_are_in_none() {
    let values: Vec<String> = (0..3000).map(|n| format!("/a/{n}/b{}", n * 7)).collect();
    let block = with_pieces(&values);
    assert_eq!(found(&block, "1234567"), [0usize; 0]);
    assert_eq!(found(&block, "/2999/b20993"), [2999]);
    assert_eq!(found(&block, "20986"), [2998]);
}
