//! What collectors hand to the writer: events, samples and positions that belong together.

use std::ops::Range;
use std::sync::Arc;

use foldhash::HashMap;
use vigie_parsers::{Name, Origin, Record, Severity, Span, Timestamp};

use crate::series::Reason;
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
    /// [`Name::Dynamic`] counts in `names` here.
    spans: Vec<Span>,
    /// Names that lines brought, each once.
    names: Vec<Box<str>>,
    name_index: HashMap<Box<str>, u16>,
    origins: Vec<Arc<Origin>>,
    /// By address: the same origin comes as the same `Arc` mostly.
    origin_index: HashMap<usize, u32>,
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
    pub(crate) origin: u32,
    pub(crate) format: u32,
}

/// Makes room in larger steps than [`Vec`] does: a batch is filled anew for every commit, and half of
/// filling it was moving it.
fn grow<T>(buffer: &mut Vec<T>, more: usize) {
    if buffer.capacity() - buffer.len() < more {
        buffer.reserve(more.max(buffer.len() * 3));
    }
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

    /// Bytes of the lines alone.
    #[must_use]
    pub fn line_bytes(&self) -> usize {
        self.bytes.len()
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
        grow(&mut self.bytes, line.len());
        self.bytes.extend_from_slice(line);
        let first_span = self.spans.len();
        grow(&mut self.spans, record.fields.len());
        if record.has_dynamic_names() {
            self.push_named(record);
        } else {
            self.spans.extend_from_slice(&record.fields);
        }
        let (origin, format) = (self.intern_origin(origin), self.intern_format(format));
        grow(&mut self.heads, 1);
        self.heads.push(EventHead {
            time: record.time.unwrap_or(recv),
            recv,
            severity: record.severity,
            message: record.message.clone(),
            time_span: record.time_span.clone(),
            line: at..self.bytes.len(),
            spans: first_span..self.spans.len(),
            origin,
            format,
        });
    }

    /// Takes spans whose names the line brought. More names than a batch can number are left to the
    /// line, which keeps them as text.
    fn push_named(&mut self, record: &Record) {
        for span in &record.fields {
            let mut span = *span;
            if let Name::Dynamic(_) = span.name {
                let Some(number) = self.intern_name(record.name(span.name)) else {
                    continue;
                };
                span.name = Name::Dynamic(number);
            }
            self.spans.push(span);
        }
    }

    fn intern_name(&mut self, name: &str) -> Option<u16> {
        if let Some(&known) = self.name_index.get(name) {
            return Some(known);
        }
        let next = u16::try_from(self.names.len()).ok()?;
        self.names.push(name.into());
        self.name_index.insert(name.into(), next);
        Some(next)
    }

    fn intern_origin(&mut self, origin: &Arc<Origin>) -> u32 {
        if let Some(last) = self.heads.last().map(|h| h.origin)
            && Arc::ptr_eq(&self.origins[last as usize], origin)
        {
            return last;
        }
        let next = u32::try_from(self.origins.len()).unwrap_or(u32::MAX);
        let known = self.origin_index.entry(Arc::as_ptr(origin).addr());
        *known.or_insert_with(|| {
            self.origins.push(Arc::clone(origin));
            next
        })
    }

    fn intern_format(&mut self, format: &'static str) -> u32 {
        let known = self.formats.iter().position(|f| *f == format);
        let place = known.unwrap_or_else(|| {
            self.formats.push(format);
            self.formats.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
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

    /// The names that lines brought, by the number in [`Name::Dynamic`].
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// The name of a span of this batch.
    #[must_use]
    pub fn name(&self, span: &Span) -> &str {
        match span.name {
            Name::Known(field) => field.as_str(),
            Name::Dynamic(number) => self.names.get(usize::from(number)).map_or("", |n| n),
        }
    }

    /// Where a line comes from.
    #[must_use]
    pub fn origin(&self, head: &EventHead) -> &Arc<Origin> {
        &self.origins[head.origin as usize]
    }

    /// The format that read a line.
    #[must_use]
    pub fn format(&self, head: &EventHead) -> &'static str {
        self.formats[head.format as usize]
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
    /// No reading, and why. Of a run of unknown slots the first word is kept.
    Unknown(Reason),
    /// The counter has counted from zero since then: its source says when it started. What it counted
    /// between its last reading and then is unknown; what it shows next, it counted since.
    Restarted(Timestamp),
    /// The counter is another one since then (SNMP's `ifCounterDiscontinuityTime`): what it shows next
    /// says nothing about what it showed before, and need not have begun at zero. May be said with every
    /// reading; a time before the last reading is no news.
    Discontinued(Timestamp),
    /// What the source knows of a counter, at any time before its readings; the same again is no news.
    Declared(CounterType),
}

/// What a source knows of a counter beside its readings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CounterType {
    /// How far it counts. When it becomes another one (`ifInOctets` gave way to `ifHCInOctets`), the
    /// growth between the two readings is unknown.
    pub width: CounterWidth,
    /// Units a second that it cannot exceed (a line's speed); 0 when nobody knows. Growth beyond twice
    /// as much is unknown, for the reason "out of range".
    pub max_per_s: f32,
}

impl CounterType {
    pub(crate) fn to_bytes(self) -> [u8; 5] {
        let [a, b, c, d] = self.max_per_s.to_le_bytes();
        [self.width as u8, a, b, c, d]
    }

    pub(crate) fn from_bytes([width, a, b, c, d]: [u8; 5]) -> Option<Self> {
        let widths = [
            CounterWidth::Unknown,
            CounterWidth::Bits32,
            CounterWidth::Bits64,
        ];
        let max_per_s = f32::from_le_bytes([a, b, c, d]);
        Some(Self {
            width: widths.into_iter().find(|w| *w as u8 == width)?,
            max_per_s: Some(max_per_s).filter(|m| m.is_finite() && *m >= 0.0)?,
        })
    }
}

/// Where a counter begins again at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum CounterWidth {
    /// Nobody says: 32 bits as long as no reading is larger, else 64.
    #[default]
    Unknown = 0,
    /// At 2^32: SNMP's `Counter32`.
    Bits32 = 32,
    /// At 2^64: `Counter64`.
    Bits64 = 64,
}
