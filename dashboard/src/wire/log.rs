//! A log event as JSON.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use vigie_parsers::Event;

use crate::html::field_names;

/// One event: the fields every event has, then its own. Bytes that are no text are shown as such.
pub(crate) struct EventView<'a>(pub(crate) &'a Event);

impl Serialize for EventView<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let e = self.0;
        let mut map = out.serialize_map(None)?;
        let at = |t: vigie_parsers::Timestamp| {
            jiff::Timestamp::from_millisecond(t.0).map_or(String::new(), |t| t.to_string())
        };
        map.serialize_entry("id", &e.id)?;
        map.serialize_entry("time", &at(e.time))?;
        map.serialize_entry("recv", &at(e.recv))?;
        map.serialize_entry("level", &e.severity.map(vigie_parsers::Severity::as_str))?;
        map.serialize_entry("source", &e.origin.source)?;
        map.serialize_entry("format", e.format.as_ref())?;
        map.serialize_entry("message", &String::from_utf8_lossy(e.message()))?;
        for name in field_names(e) {
            if let Some(value) = e.field(&name) {
                map.serialize_entry(&name, &String::from_utf8_lossy(&value))?;
            }
        }
        map.serialize_entry("line", &String::from_utf8_lossy(&e.line))?;
        map.end()
    }
}
