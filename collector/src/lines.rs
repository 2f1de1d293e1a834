//! From a line to an event: parse, count, push. What every source of lines shares.

use std::sync::Arc;

use jiff::tz::TimeZone;
use vigie_parsers::formats::{Detector, Format};
use vigie_parsers::{Context, Origin, Record, Timestamp};
use vigie_store::{Batch, EventBatch, Registry};

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
    context: Context,
    record: Record,
    figures: Figures,
    batch: EventBatch,
}

impl Lines {
    /// For a source of that name whose stamps without a zone are of `zone`.
    pub(crate) fn new(registry: &Registry, source: &str, host: &str, zone: TimeZone) -> Self {
        Self {
            format: None,
            detector: Detector::default(),
            context: Context::new(Timestamp(0), zone),
            record: Record::default(),
            figures: Figures::new(registry.clone(), source, host),
            batch: EventBatch::default(),
        }
    }

    /// All lines are of this format, or raw.
    pub(crate) fn set_format(&mut self, format: Option<&'static Format>) {
        self.format = format;
    }

    /// Access lines without a virtual host are of this one.
    pub(crate) fn set_vhost(&mut self, vhost: &str) {
        self.figures.set_vhost(vhost);
    }

    /// Takes a line that came at `recv`, without its end. Whether it had to be cut.
    pub(crate) fn push(&mut self, recv: Timestamp, origin: &Arc<Origin>, line: &[u8]) -> bool {
        self.context.recv = recv;
        let cut = line.get(..LINE_LEN_MAX);
        let line = cut.unwrap_or(line);
        let format = self.parse(line);
        self.record.flags.truncated |= cut.is_some_and(|c| c.len() < line.len());
        self.figures.count(recv, line, &self.record);
        self.batch.push(recv, origin, format.name, line, &self.record);
        cut.is_some()
    }

    fn parse(&mut self, line: &[u8]) -> &'static Format {
        if let Some(format) = self.format {
            self.record.clear();
            if (format.parse)(&mut self.context, line, &mut self.record) {
                return format;
            }
        }
        self.detector.parse(&mut self.context, line, &mut self.record)
    }

    /// Lines waiting to be handed over.
    pub(crate) fn len(&self) -> usize {
        self.batch.len()
    }

    /// Their bytes.
    pub(crate) fn size(&self) -> usize {
        self.batch.size()
    }

    /// What has come together since the last time: events and the figures from them, which must be
    /// committed together.
    pub(crate) fn take(&mut self) -> Batch {
        Batch {
            events: std::mem::take(&mut self.batch),
            samples: self.figures.take(),
            ..Batch::default()
        }
    }
}
