//! A log event as JSON.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use vigie_parsers::{Event, Severity, Timestamp};
use vigie_query::log::Hit;

use crate::html::field_names;

/// One event: the fields every event has, then its own. Bytes that are no text are shown as such.
pub(crate) struct EventView<'a>(pub(crate) &'a Event);

/// The same with what pipes read in it, which come before fields of the line of the same name.
pub(crate) struct HitView<'a>(pub(crate) &'a Hit<'a>);

/// A point in time as RFC 3339, UTC.
pub(crate) fn stamp(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or(String::new(), |t| t.to_string())
}

impl Serialize for EventView<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let none = Vec::new();
        HitView(&Hit {
            event: self.0,
            extracted: &none,
            is_neighbour: false,
        })
        .serialize(out)
    }
}

impl Serialize for HitView<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let (e, extracted) = (self.0.event, self.0.extracted);
        let mut map = out.serialize_map(None)?;
        map.serialize_entry("id", &e.id)?;
        map.serialize_entry("time", &stamp(e.time))?;
        map.serialize_entry("recv", &stamp(e.recv))?;
        map.serialize_entry("level", &e.severity.map(Severity::as_str))?;
        map.serialize_entry("source", &e.origin.source)?;
        map.serialize_entry("format", e.format.as_ref())?;
        if self.0.is_neighbour {
            map.serialize_entry("neighbour", &true)?;
        }
        map.serialize_entry("message", &String::from_utf8_lossy(e.message()))?;
        let mut read: Vec<&str> = Vec::with_capacity(extracted.len());
        for (name, value) in extracted {
            if !ALWAYS.contains(&name.as_str()) && !read.contains(&name.as_str()) {
                map.serialize_entry(name, &String::from_utf8_lossy(value))?;
                read.push(name);
            }
        }
        for name in field_names(e) {
            if let Some(value) = e.field(&name)
                && !read.contains(&name.as_str())
            {
                map.serialize_entry(&name, &String::from_utf8_lossy(&value))?;
            }
        }
        map.serialize_entry("line", &String::from_utf8_lossy(&e.line))?;
        map.end()
    }
}

/// Names that are written in any case: no pipe may write them a second time.
const ALWAYS: [&str; 9] = [
    "id",
    "time",
    "recv",
    "level",
    "source",
    "format",
    "neighbour",
    "message",
    "line",
];
