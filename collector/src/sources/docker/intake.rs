//! From the records of one container to events: pieces joined to lines, lines to events, and how far
//! that has come. No I/O, no clock.
//!
//! Each stream has a mark of its own, because a long line is written with the stamp of its first piece
//! and the other stream goes on meanwhile. Whoever opens the log again gets it from [`Intake::since`] on,
//! and the marks tell what was taken before.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::tz::TimeZone;
use vigie_parsers::joining::Joining;
use vigie_parsers::{Origin, Timestamp};
use vigie_store::{Batch, EventBatch, SampleBatch};

use super::container::Container;
use super::pieces::{Piece, Stamp, Stream};
use super::position::{Mark, Place, Position};
use crate::counts::Counters;
use crate::lines::{self, LINE_LEN_MAX, Lines};
use crate::status::Source;

/// An event that further lines may belong to waits so long for them.
pub(super) const HOLD_MS: i64 = 1000;
/// A stream that is silent counts as read up to so long before the last word of the other: engines write
/// records in the order of their stamps to within a moment.
const SKEW_NS: i64 = 10_000_000_000;

/// See the module.
pub(super) struct Intake {
    key: String,
    name: String,
    sides: [Side; 2],
    place: Place,
    source: Arc<Source>,
    joining: Joining,
    events: EventBatch,
    /// The position as it was handed over last.
    sent: Vec<u8>,
}

/// One stream of a container.
struct Side {
    lines: Lines,
    origin: Arc<Origin>,
    /// The last record of which an event was made.
    taken: Mark,
    /// The last record.
    read: Mark,
    /// The log was opened anew, and so many records of the stamp of `taken` came again.
    again: Option<u32>,
    /// A line has begun: the stamp of its pieces.
    open: Option<Stamp>,
    /// Lines that are not events yet, then what is there of the open one.
    text: Vec<u8>,
    /// Where the lines in `text` end, counted from the first byte ever; each with its mark.
    ends: VecDeque<(u64, Mark)>,
    /// The first byte of `text`.
    start: u64,
    /// Where the open line begins.
    line: u64,
    /// Lines wait for more of their event: since when, and up to where.
    held: Option<(Timestamp, u64)>,
}

/// What all containers share.
pub(super) struct Shared<'a> {
    pub(super) counters: &'a Counters,
    pub(super) host: &'a str,
    pub(super) joining: &'a Joining,
}

impl Intake {
    pub(super) fn new(
        shared: &Shared<'_>,
        (id, container): (&str, &Container),
        source: Arc<Source>,
        position: &Position,
    ) -> Self {
        let side = |stream: &str, mark: Mark| {
            let zone = TimeZone::system();
            Side {
                lines: Lines::new(shared.counters, source.name(), shared.host, zone),
                origin: Arc::new(Origin {
                    source: source.name().to_owned(),
                    fields: container.fields(shared.host, stream),
                }),
                taken: mark,
                read: mark,
                again: Some(0),
                open: None,
                text: Vec::new(),
                ends: VecDeque::new(),
                start: 0,
                line: 0,
                held: None,
            }
        };
        let [out, err] = position.marks;
        Self {
            key: Position::key(id),
            name: container.name.clone(),
            sides: [side("stdout", out), side("stderr", err)],
            place: position.place,
            source,
            joining: shared.joining.clone(),
            events: EventBatch::default(),
            sent: Vec::new(),
        }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The same container has a new account, of the same name.
    pub(super) fn set_source(&mut self, source: Arc<Source>) {
        self.source = source;
    }

    /// Where to open the log again; what is older was taken.
    pub(super) fn since(&mut self) -> Stamp {
        let [out, err] = self.position().marks;
        out.stamp.min(err.stamp)
    }

    /// The stamp of the last record that was taken.
    pub(super) fn last(&self) -> Stamp {
        let [out, err] = &self.sides;
        out.taken.stamp.max(err.taken.stamp)
    }

    /// Where the file is to be read on.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Everything before was handed in, and it is no part of a line that has not ended.
    pub(super) fn set_place(&mut self, place: Place) {
        if self.sides.iter().all(|s| s.text.is_empty()) {
            self.place = place;
        }
    }

    /// Bytes that wait to be handed over.
    pub(super) fn size(&self) -> usize {
        self.events.size()
    }

    /// The log was opened anew: what is not taken yet comes again.
    pub(super) fn reopen(&mut self) {
        for side in &mut self.sides {
            side.text.clear();
            side.ends.clear();
            side.line = side.start;
            (side.open, side.held) = (None, None);
            (side.read, side.again) = (side.taken, Some(0));
        }
    }

    /// The same, but nobody knows from where: lines that are whole are taken first.
    pub(super) fn read_again(&mut self, now: Timestamp) {
        for side in &mut self.sides {
            side.take(now, true, &self.joining, &mut self.events, &self.source);
        }
        self.reopen();
    }

    /// Takes a record.
    pub(super) fn push(&mut self, now: Timestamp, piece: &Piece<'_>) {
        let [out, err] = &mut self.sides;
        let side = match piece.stream {
            Stream::Stdout => out,
            Stream::Stderr => err,
        };
        if side.came_before(piece.stamp) {
            return;
        }
        self.source.count(now, 0, piece.text.len() as u64);
        side.add(piece);
        side.take(now, false, &self.joining, &mut self.events, &self.source);
    }

    /// Takes a record that stands behind all that were taken, whatever its stamp.
    pub(super) fn push_next(&mut self, now: Timestamp, piece: &Piece<'_>) {
        // The log was read through up to here.
        for side in &mut self.sides {
            side.again = None;
        }
        self.push(now, piece);
    }

    /// Whether a record is younger than the last one of its stream, or goes on with its line.
    pub(super) fn is_later(&self, piece: &Piece<'_>) -> bool {
        let [out, err] = &self.sides;
        let side = match piece.stream {
            Stream::Stdout => out,
            Stream::Stderr => err,
        };
        piece.stamp > side.read.stamp || side.open == Some(piece.stamp)
    }

    /// Whether an event waits for further lines, or for its time.
    pub(super) fn is_waiting(&self) -> bool {
        self.sides.iter().any(|s| s.held.is_some())
    }

    /// Makes events of what has waited long enough.
    pub(super) fn pass(&mut self, now: Timestamp) {
        for side in &mut self.sides {
            if side
                .held
                .is_some_and(|(since, _)| now.since_ms(since) >= HOLD_MS)
            {
                side.take(now, true, &self.joining, &mut self.events, &self.source);
            }
        }
    }

    /// The container has ended: what is there is all.
    pub(super) fn finish(&mut self, now: Timestamp) {
        for side in &mut self.sides {
            side.close();
            side.take(now, true, &self.joining, &mut self.events, &self.source);
        }
    }

    /// What came together since the last time: lines, their figures, and how far the log was read.
    /// `None` when there is no news.
    pub(super) fn batch(&mut self) -> Option<Batch> {
        let position = self.position().encode();
        if self.events.is_empty() && position == self.sent {
            return None;
        }
        self.sent.clone_from(&position);
        Some(Batch {
            events: std::mem::take(&mut self.events),
            samples: self.figures(),
            positions: vec![(self.key.clone(), Some(position))],
            ..Batch::default()
        })
    }

    fn figures(&mut self) -> SampleBatch {
        lines::figures(Vec::new(), self.sides.iter_mut().map(|s| &mut s.lines))
    }

    pub(super) fn position(&mut self) -> Position {
        let [out, err] = &mut self.sides;
        let (a, b) = (out.passed(), err.passed());
        out.advance(b);
        err.advance(a);
        Position {
            marks: [out.taken, err.taken],
            place: self.place,
            name: self.name.clone(),
        }
    }
}

impl Side {
    /// Whether the record was taken before the log was opened anew.
    fn came_before(&mut self, stamp: Stamp) -> bool {
        let Some(seen) = &mut self.again else {
            return false;
        };
        if stamp < self.taken.stamp {
            return true;
        }
        if stamp == self.taken.stamp && *seen < self.taken.count {
            *seen += 1;
            return true;
        }
        self.again = None;
        false
    }

    /// Adds a record to the open line.
    fn add(&mut self, piece: &Piece<'_>) {
        // The engine was killed within a line, or the container ended without a line feed.
        if self.open.is_some_and(|stamp| stamp != piece.stamp) {
            self.close();
        }
        let count = match self.read {
            Mark { stamp, count } if stamp == piece.stamp => count.saturating_add(1),
            _ => 1,
        };
        self.read = Mark {
            stamp: piece.stamp,
            count,
        };
        self.open = Some(piece.stamp);
        let len = (self.start + self.text.len() as u64).saturating_sub(self.line);
        // One byte more than may be tells that the line was cut.
        let room = (LINE_LEN_MAX + 1).saturating_sub(usize::try_from(len).unwrap_or(usize::MAX));
        let kept = piece.text.get(..room).unwrap_or(piece.text);
        self.text.extend_from_slice(kept);
        if piece.ends {
            self.close();
        }
    }

    /// Ends the open line.
    fn close(&mut self) {
        if self.open.take().is_some() {
            self.text.push(b'\n');
            self.line = self.start + self.text.len() as u64;
            self.ends.push_back((self.line, self.read));
        }
    }

    /// Makes events of the lines that are whole; with `due` also of one that could go on.
    fn take(
        &mut self,
        now: Timestamp,
        due: bool,
        joining: &Joining,
        events: &mut EventBatch,
        source: &Source,
    ) {
        let whole = usize::try_from(self.line.saturating_sub(self.start)).unwrap_or(0);
        let lines = self.text.get(..whole).unwrap_or_default();
        let (mut at, mut items, mut cut) = (0, 0, 0);
        self.held = self.held.filter(|_| !due);
        while let Some(rest) = lines.get(at..).filter(|r| !r.is_empty()) {
            let Some(first) = joining.first(rest, LINE_LEN_MAX) else {
                break;
            };
            let end = self.start + (at + first.len) as u64;
            if !first.whole && !due {
                if self.held.is_none_or(|(_, known)| known != end) {
                    self.held = Some((now, end));
                }
                break;
            }
            let line = rest.get(..first.len.saturating_sub(1)).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let stamp = self.ends.front().map_or(Stamp::of(now), |e| e.1.stamp);
            if !line.is_empty() {
                items += 1;
                let times = (now, stamp.time().min(now));
                let long = self.lines.push_stamped(events, times, &self.origin, line);
                cut += u64::from(long);
            }
            while let Some((_, mark)) = self.ends.front().copied().filter(|e| e.0 <= end) {
                self.ends.pop_front();
                self.taken = mark;
            }
            self.held = None;
            at += first.len;
        }
        self.text.drain(..at);
        self.start += at as u64;
        source.count(now, items, 0);
        source.drop_items("cut", cut);
    }

    /// Up to where the log was read through since it was opened: none of it before the first record that
    /// is new, for the other stream may have an open line there.
    fn passed(&self) -> Option<Stamp> {
        self.again.is_none().then_some(self.taken.stamp)
    }

    /// Of a stream that says nothing, all is taken that the other has passed.
    fn advance(&mut self, other: Option<Stamp>) {
        let Some(other) = other else {
            return;
        };
        let reached = Stamp(other.0.saturating_sub(SKEW_NS));
        if self.text.is_empty() && self.open.is_none() && self.taken.stamp < reached {
            self.taken = Mark {
                stamp: reached,
                count: 0,
            };
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use vigie_store::{Options, Writer};

    use super::*;
    use crate::status::Status;

    /// A container without a store that is written to.
    pub(in super::super) struct House {
        _dir: tempfile::TempDir,
        _writer: Writer,
        counters: Counters,
        status: Status,
    }

    impl House {
        pub(in super::super) fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let writer = Writer::open(dir.path(), &Options::default(), Timestamp(0)).unwrap();
            Self {
                counters: Counters::new(writer.registry(), &[]),
                _dir: dir,
                _writer: writer,
                status: Status::default(),
            }
        }

        fn intake(&self, position: &Position, joining: &Joining) -> Intake {
            let shared = Shared {
                counters: &self.counters,
                host: "vm",
                joining,
            };
            let container = Container {
                name: "web".to_owned(),
                ..Container::default()
            };
            let source = self.status.source("docker:web");
            Intake::new(&shared, ("0123456789ab", &container), source, position)
        }
    }

    const NOW: Timestamp = Timestamp(1_795_267_400_000);

    fn piece(stream: Stream, stamp: i64, text: &str, ends: bool) -> Piece<'_> {
        Piece {
            stream,
            stamp: Stamp(stamp),
            text: text.as_bytes(),
            ends,
        }
    }

    fn lines(batch: &Batch) -> Vec<String> {
        let line = |h| String::from_utf8_lossy(batch.events.line(h)).into_owned();
        batch.events.heads().iter().map(line).collect()
    }

    #[test]
    fn pieces_are_joined_and_stack_traces_too() {
        use Stream::{Stderr, Stdout};
        let house = House::new();
        let mut intake = house.intake(&Position::default(), &Joining::Auto);
        let t = 1_795_267_393_000_000_000;
        for (stream, stamp, text, ends) in [
            (Stdout, t, "one", true),
            (Stdout, t + 5, "long ", false),
            (Stderr, t + 6, "Traceback (most recent call last):", true),
            (Stderr, t + 7, "  File \"a.py\", line 1", true),
            (Stdout, t + 5, "line\r", true),
            (Stderr, t + 8, "ValueError: x", true),
            (Stdout, t + 9, "2026-11-21 12:00:00 own time", true),
            (Stdout, t + 10, "broken off", false),
            (Stdout, t + 11, "next", true),
        ] {
            intake.push(NOW, &piece(stream, stamp, text, ends));
        }
        let batch = intake.batch().unwrap();
        assert!(intake.is_waiting());
        intake.finish(NOW);
        let rest = intake.batch().unwrap();
        assert_eq!(lines(&batch)[..2], ["one", "long line"]);
        assert!(
            lines(&batch).contains(&"broken off".to_owned()),
            "{:?}",
            lines(&batch)
        );
        let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1\nValueError: x";
        assert_eq!(lines(&rest), [trace]);
        let times: Vec<_> = batch.events.heads().iter().map(|h| h.time.0).collect();
        assert_eq!(
            times[0],
            t / 1_000_000,
            "the engine's, where the line has none"
        );
        assert_eq!(times[2] % 1000, 0, "its own");
        assert_eq!(batch.events.heads()[0].recv, NOW);
        let fields = &batch.events.origin(&batch.events.heads()[0]).fields;
        assert!(fields.contains(&("container".to_owned(), "web".to_owned())));
    }

    #[test]
    fn a_line_of_many_pieces_is_bounded() {
        let house = House::new();
        let mut intake = house.intake(&Position::default(), &Joining::Auto);
        let text = "x".repeat(16 << 10);
        for _ in 0..1000 {
            intake.push(NOW, &piece(Stream::Stdout, 7, &text, false));
            assert!(intake.sides[0].text.capacity() < 1 << 20);
        }
        intake.push(NOW, &piece(Stream::Stdout, 7, "", true));
        let batch = intake.batch().unwrap();
        assert_eq!(lines(&batch)[0].len(), LINE_LEN_MAX);
        let report = house.status.reports(NOW).remove(0);
        assert_eq!(report.dropped, [("cut".to_owned(), 1)]);
        assert_eq!(report.items, 1);
    }

    #[test]
    fn a_silent_stream_does_not_hold_the_other_back() {
        let house = House::new();
        let mut intake = house.intake(&Position::default(), &Joining::Auto);
        let t = 1_795_267_393_000_000_000;
        intake.push(NOW, &piece(Stream::Stdout, t, "x", true));
        assert_eq!(intake.since(), Stamp(t - SKEW_NS));
        // An open line does.
        intake.push(NOW, &piece(Stream::Stderr, t + 1, "x", false));
        intake.push(NOW, &piece(Stream::Stdout, t + 3 * SKEW_NS, "x", true));
        assert_eq!(intake.since(), Stamp(t - SKEW_NS));
    }

    proptest! {
        /// A log of two streams, read in sittings that are broken off anywhere: each line once.
        #[test]
        fn each_line_once_however_often_the_log_is_opened(
            records in prop::collection::vec((any::<bool>(), 0_i64..3, 1_usize..4), 1..40),
            breaks in prop::collection::vec(0_usize..80, 0..12),
        ) {
            // A store is dear to make.
            thread_local! {
                static HOUSE: House = House::new();
            }
            // The log: a line may have several pieces, all with the stamp of the first, and the other
            // stream may come between them.
            let mut log: Vec<(Stream, i64, String, bool)> = Vec::new();
            let mut pending: Vec<(Stream, i64, String, bool)> = Vec::new();
            let mut want = Vec::new();
            let mut stamp = 1_795_267_393_000_000_000;
            for (n, (err, step, pieces)) in records.iter().enumerate() {
                stamp += step * 4_000_000_000;
                let stream = if *err { Stream::Stderr } else { Stream::Stdout };
                if pending.first().is_some_and(|p| p.0 == stream) {
                    log.append(&mut pending);
                }
                let mut own: Vec<_> = (0..*pieces)
                    .map(|i| (stream, stamp, format!("{n}.{i};"), i + 1 == *pieces))
                    .collect();
                want.push((0..*pieces).map(|i| format!("{n}.{i};")).collect::<String>());
                let rest = own.split_off(1);
                log.append(&mut own);
                if n % 2 == 0 {
                    log.append(&mut pending);
                    pending = rest;
                } else {
                    log.extend(rest);
                }
            }
            log.append(&mut pending);
            let mut position = Position::default();
            let mut found = Vec::new();
            for end in breaks.into_iter().map(|b| b.min(log.len())).chain([log.len()]) {
                let mut intake = HOUSE.with(|house| house.intake(&position, &Joining::Auto));
                let since = intake.since().0;
                // The engine sends what is not older, in the order of the file.
                for (stream, stamp, text, ends) in log.iter().take(end).filter(|r| r.1 >= since) {
                    intake.push(NOW, &piece(*stream, *stamp, text, *ends));
                }
                if end == log.len() {
                    intake.finish(NOW);
                }
                if let Some(batch) = intake.batch() {
                    found.extend(lines(&batch));
                    let value = batch.positions[0].1.clone().unwrap();
                    position = Position::decode(&value).unwrap();
                }
            }
            found.sort();
            want.sort();
            prop_assert_eq!(found, want);
        }
    }
}
