//! From a line to an event: parse, count, push. What every source of lines shares.

use std::sync::Arc;

use jiff::tz::TimeZone;
use vigie_parsers::formats::{Detector, Format};
use vigie_parsers::{Context, Field, Name, Origin, Record, Span, Timestamp};
use vigie_store::{EventBatch, SampleBatch, SampleRow};

use crate::counts::Counters;
use crate::figures::Figures;

/// A longer line is cut. Above every format's usual length (journald's own limit is 48 KiB) and the
/// largest datagram; a stack trace in JSON fits.
pub(crate) const LINE_LEN_MAX: usize = 64 << 10;
/// A source hands over what it has at the latest when it is this much.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// Reads the lines of one source.
pub(crate) struct Lines {
    format: Option<&'static Format>,
    detector: Detector,
    /// Lines come over a syslog transport.
    received: bool,
    context: Context,
    anchor: Option<Timestamp>,
    /// Lines without a time are of this one.
    stamp: Option<Timestamp>,
    /// Lines are of this time whatever they say.
    known: Option<Timestamp>,
    record: Record,
    figures: Figures,
}

impl Lines {
    /// For a source of that name whose stamps without a zone are of `zone`.
    pub(crate) fn new(counters: &Counters, source: &str, host: &str, zone: TimeZone) -> Self {
        Self {
            format: None,
            detector: Detector::default(),
            received: false,
            context: Context::new(Timestamp(0), zone),
            anchor: None,
            stamp: None,
            known: None,
            record: Record::default(),
            figures: Figures::new(counters.clone(), source, host),
        }
    }

    /// All lines are of this format, or raw.
    pub(crate) fn set_format(&mut self, format: Option<&'static Format>) {
        self.format = format;
    }

    /// Lines have come over a syslog transport, where PRI, time and host may be missing.
    pub(crate) fn set_received(&mut self, received: bool) {
        self.received = received;
    }

    /// Takes note of a line that came before, for the columns that it may name.
    pub(crate) fn heed(&mut self, line: &[u8]) {
        self.detector.heed(line);
    }

    /// Access lines without a virtual host are of this one.
    pub(crate) fn set_vhost(&mut self, vhost: &str) {
        self.figures.set_vhost(vhost);
    }

    /// A stamp without a year is of the year around this time, not around the arrival of the line.
    pub(crate) fn set_anchor(&mut self, anchor: Timestamp) {
        self.anchor = Some(anchor);
    }

    /// Takes a line that came at `recv`, without its end. Whether it had to be cut.
    pub(crate) fn push(
        &mut self,
        batch: &mut EventBatch,
        recv: Timestamp,
        origin: &Arc<Origin>,
        line: &[u8],
    ) -> bool {
        self.context.recv = self.anchor.map_or(recv, |a| a.min(recv));
        let whole = line.len();
        let line = line.get(..LINE_LEN_MAX).unwrap_or(line);
        let cut = line.len() < whole;
        let format = self.parse(line);
        self.record.time = self.known.or(self.record.time).or(self.stamp);
        self.record.flags.truncated |= cut;
        self.figures.count(recv, line, &self.record);
        self.figures
            .count_defined(recv, (origin, format.name), line, &mut self.record);
        batch.push(recv, origin, format.name, line, &self.record);
        cut
    }

    /// The same for a line that came with a stamp: without a time of its own it is of that time.
    pub(crate) fn push_stamped(
        &mut self,
        batch: &mut EventBatch,
        (recv, stamp): (Timestamp, Timestamp),
        origin: &Arc<Origin>,
        line: &[u8],
    ) -> bool {
        self.anchor = Some(stamp);
        self.stamp = Some(stamp);
        self.push(batch, recv, origin, line)
    }

    /// The same for a line whose time was made out elsewhere; as [`Self::push_stamped`] without.
    pub(crate) fn push_known(
        &mut self,
        batch: &mut EventBatch,
        (recv, time): (Timestamp, Option<Timestamp>),
        origin: &Arc<Origin>,
        line: &[u8],
    ) -> bool {
        self.known = time;
        self.push_stamped(batch, (recv, time.unwrap_or(recv)), origin, line)
    }

    /// The host that the line pushed last names.
    pub(crate) fn host<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let is_host = |s: &&Span| s.name == Name::Known(Field::Host);
        let host = self.record.fields.iter().find(is_host)?;
        Some(host.text(line))
    }

    fn parse(&mut self, line: &[u8]) -> &'static Format {
        if let Some(format) = self.format {
            self.record.clear();
            if format.parse(&mut self.context, line, &mut self.record) {
                return format;
            }
        }
        let (context, record) = (&mut self.context, &mut self.record);
        match self.received {
            true => self.detector.received(context, line, record),
            false => self.detector.parse(context, line, record),
        }
    }

    /// The figures from the lines since the last time; they must be committed with those.
    pub(crate) fn figures(&mut self) -> SampleBatch {
        self.figures.take()
    }
}

/// What several readers have counted, and what is left of others. They may count into the same
/// series: each comes in order of time.
pub(crate) fn figures<'a>(
    mut rows: Vec<SampleRow>,
    all: impl IntoIterator<Item = &'a mut Lines>,
) -> SampleBatch {
    for lines in all {
        rows.append(&mut lines.figures().rows);
    }
    rows.sort_by_key(|row| (row.series, row.time));
    SampleBatch { rows }
}

#[cfg(test)]
mod tests {
    use vigie_store::{Options, Writer};

    use super::*;

    #[test]
    fn only_what_is_longer_than_the_limit_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::open(dir.path(), &Options::default(), Timestamp(0)).unwrap();
        let counters = Counters::new(writer.registry(), &[]);
        let mut lines = Lines::new(&counters, "x", "vm", TimeZone::UTC);
        let origin = Arc::new(Origin::default());
        let mut batch = EventBatch::default();
        for (len, expected) in [
            (LINE_LEN_MAX - 1, false),
            (LINE_LEN_MAX, false),
            (LINE_LEN_MAX + 1, true),
            (3, false),
        ] {
            let text = vec![b'x'; len];
            let cut = lines.push(&mut batch, Timestamp(1), &origin, &text);
            assert_eq!(cut, expected, "{len} bytes");
            assert_eq!(lines.record.flags.truncated, expected, "{len} bytes");
        }
        let kept: Vec<_> = batch.heads().iter().map(|h| batch.line(h).len()).collect();
        assert_eq!(kept, [LINE_LEN_MAX - 1, LINE_LEN_MAX, LINE_LEN_MAX, 3]);
    }
}
