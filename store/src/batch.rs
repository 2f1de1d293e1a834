//! What collectors hand to the writer: events, samples and positions that belong together.

use std::ops::Range;
use std::sync::Arc;

use vigie_parsers::{Origin, Record, Severity, Span, Timestamp};

use crate::{Result, SeriesId, SourceReport};

/// Called once, when the batch is durable (`Ok`) or the store has closed without it.
pub type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// One unit of work: all of it is committed in one transaction, or none.
#[derive(Default)]
pub struct Batch {
    /// Log lines.
    pub events: EventBatch,
    /// Figures.
    pub samples: SampleBatch,
    /// How far sources were read: key and value, the value the source's own business. `None` forgets.
    pub positions: Vec<(String, Option<Vec<u8>>)>,
    /// The state of sources, for `vigie status`.
    pub reports: Vec<SourceReport>,
    /// Called after the commit.
    pub done: Option<Done>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Batch({} events, {} samples, {} positions)",
            self.events.len(),
            self.samples.rows.len(),
            self.positions.len()
        )
    }
}

/// Log lines with what was read in them, all in a few buffers.
#[derive(Debug, Default)]
pub struct EventBatch {
    bytes: Vec<u8>,
    heads: Vec<EventHead>,
    spans: Vec<Span>,
    /// Names of dynamic spans, an entry for each record that has some.
    names: Vec<Record>,
    origins: Vec<Arc<Origin>>,
    formats: Vec<&'static str>,
}

/// One line of a batch, by places in its buffers.
#[derive(Clone, Debug)]
pub struct EventHead {
    /// When it happened; the receipt if the line does not say.
    pub time: Timestamp,
    /// When it arrived.
    pub recv: Timestamp,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// The message's place in the line.
    pub message: Range<u32>,
    /// The time stamp's place in the line; empty if there is none.
    pub time_span: Range<u32>,
    line: Range<usize>,
    spans: Range<usize>,
    names: Option<usize>,
    origin: usize,
    format: usize,
}

impl EventBatch {
    /// Number of lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// No line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Bytes of memory that the batch stands for.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
            + self.heads.len() * size_of::<EventHead>()
            + self.spans.len() * size_of::<Span>()
    }

    /// Adds a line as `record` describes it. Without a time of its own it happened at `recv`.
    pub fn push(
        &mut self,
        recv: Timestamp,
        origin: &Arc<Origin>,
        format: &'static str,
        line: &[u8],
        record: &Record,
    ) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(line);
        let first_span = self.spans.len();
        self.spans.extend_from_slice(&record.fields);
        let names = record.has_dynamic_names().then(|| {
            self.names.push(record.clone());
            self.names.len() - 1
        });
        let (origin, format) = (self.intern_origin(origin), self.intern_format(format));
        self.heads.push(EventHead {
            time: record.time.unwrap_or(recv),
            recv,
            severity: record.severity,
            message: record.message.clone(),
            time_span: record.time_span.clone(),
            line: at..self.bytes.len(),
            spans: first_span..self.spans.len(),
            names,
            origin,
            format,
        });
    }

    fn intern_origin(&mut self, origin: &Arc<Origin>) -> usize {
        let known = self.origins.iter().rposition(|o| Arc::ptr_eq(o, origin));
        known.unwrap_or_else(|| {
            self.origins.push(Arc::clone(origin));
            self.origins.len() - 1
        })
    }

    fn intern_format(&mut self, format: &'static str) -> usize {
        let known = self.formats.iter().position(|f| *f == format);
        known.unwrap_or_else(|| {
            self.formats.push(format);
            self.formats.len() - 1
        })
    }

    /// The lines in the order in which they were pushed.
    #[must_use]
    pub fn heads(&self) -> &[EventHead] {
        &self.heads
    }

    /// The bytes of a line.
    #[must_use]
    pub fn line(&self, head: &EventHead) -> &[u8] {
        &self.bytes[head.line.clone()]
    }

    /// The named pieces of a line.
    #[must_use]
    pub fn spans(&self, head: &EventHead) -> &[Span] {
        &self.spans[head.spans.clone()]
    }

    /// The name of one of the line's spans.
    #[must_use]
    pub fn name(&self, head: &EventHead, span: &Span) -> &str {
        match (span.name, head.names) {
            (vigie_parsers::Name::Known(field), _) => field.as_str(),
            (name, Some(at)) => self.names[at].name(name),
            (_, None) => "",
        }
    }

    /// Where a line comes from.
    #[must_use]
    pub fn origin(&self, head: &EventHead) -> &Arc<Origin> {
        &self.origins[head.origin]
    }

    /// The format that read a line.
    #[must_use]
    pub fn format(&self, head: &EventHead) -> &'static str {
        self.formats[head.format]
    }
}

/// Figures of one moment or of several.
#[derive(Debug, Default)]
pub struct SampleBatch {
    /// In time order for each series.
    pub rows: Vec<SampleRow>,
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRow {
    /// Of which series.
    pub series: SeriesId,
    /// When it was read.
    pub time: Timestamp,
    /// What was read.
    pub reading: Reading,
}

/// What a source reads off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// A value that goes up and down.
    Gauge(f64),
    /// The state of a counter of whole units; the store turns it into increases.
    Counter(u64),
    /// The state of a counter that counts in fractions (CPU seconds).
    FloatCounter(f64),
    /// Units counted since the last such reading, at this time.
    Increase(f64),
}
