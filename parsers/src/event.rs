//! One log record as everybody downstream sees it: a line, what was read in it, where it came from.

use std::borrow::Cow;
use std::sync::Arc;

use crate::{Record, Severity, Timestamp};

/// Where lines come from: a source and what it knows about its lines that is not in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The input, as `file:/var/log/nginx/access.log` or `syslog:127.0.0.1:5514`.
    pub source: String,
    /// Fields of every line of this origin (`peer`, `file`, `docker.service`…), by name. A field of
    /// the same name in the line itself comes first.
    pub fields: Vec<(String, String)>,
}

/// One log record. Buffers are owned and reused, so a scan allocates nothing per row.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// Its place in the store: larger is later in arrival. 0 where there is no store.
    pub id: u64,
    /// When it happened; the time of arrival if the line does not say.
    pub time: Timestamp,
    /// When it arrived.
    pub recv: Timestamp,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// The name of the format that read it.
    pub format: Arc<str>,
    /// Where it came from.
    pub origin: Arc<Origin>,
    /// The line as it came, without its line end.
    pub line: Vec<u8>,
    /// What was read in it.
    pub record: Record,
}

impl Event {
    /// The text that people read.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        let r = &self.record.message;
        self.line
            .get(r.start as usize..r.end as usize)
            .unwrap_or(&self.line)
    }

    /// What the client calls itself, if it says that it is a program: `Googlebot`, `curl`. A field
    /// `bot` that the line or its origin has comes first.
    #[must_use]
    pub fn bot(&self) -> Option<Cow<'_, [u8]>> {
        if let Some(own) = self.field("bot") {
            return Some(own);
        }
        let agent = self.record.find("agent")?.value(&self.line);
        Some(Cow::Owned(crate::web::bot_name(&agent)?.to_vec()))
    }

    /// The value of a field: of the line, else of its origin. `message`, `time` and the like, which
    /// every event has, are not fields in this sense.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        if let Some(span) = self.record.find(name) {
            return Some(span.value(&self.line));
        }
        let found = self.origin.fields.iter().find(|(n, _)| n == name)?;
        Some(Cow::Borrowed(found.1.as_bytes()))
    }
}
