//! The incident book: alerts, incidents, their time line, and changes.
//!
//! Rows of `alert` that are pending or firing are the memory of the rule engine: it reads them
//! before each evaluation, so a killed process goes on where it was. `timeline` only grows (a
//! trigger refuses updates); it goes with its incident when the incident is forgotten.

mod alerts;
mod book;
mod changes;
mod pairs;
mod types;

pub use types::{
    Acknowledgement, Alert, AlertState, Change, ChangeKind, Entry, Frozen, Incident,
    IncidentFilter, IncidentId, IncidentState, NewEntry, NewIncident, Resolution, Severity, What,
};

/// Resolved incidents that are kept; beyond, the oldest are forgotten with their time line. At ten
/// a day this is three years.
pub const RESOLVED_MAX: usize = 10_000;
/// Resolved incidents and changes are kept so long: thirteen months, so that last year's month can
/// be compared.
pub const AGE_MAX_MS: i64 = 400 * 24 * 3600 * 1000;
/// Entries of one incident's time line; beyond, entries are counted in [`Incident::entries`] and
/// not kept. Enough for a fortnight of flapping every half hour.
pub const ENTRIES_MAX: u32 = 1000;
/// Changes that are kept; beyond, the oldest are forgotten.
pub const CHANGES_MAX: usize = 50_000;
/// A text of the book (title, note, annotation value) is cut behind so many bytes.
pub const TEXT_BYTES_MAX: usize = 4096;

pub(crate) const SCHEMA: &str = "
CREATE TABLE alert(
  id INTEGER PRIMARY KEY, rule TEXT NOT NULL, labels TEXT NOT NULL, state INT NOT NULL,
  active_at INT NOT NULL, fired_at INT, clear_since INT, resolved_at INT, written_at INT NOT NULL,
  value REAL, annotations TEXT NOT NULL, frozen_since INT, frozen_reason TEXT, incident INT);
CREATE UNIQUE INDEX alert_active ON alert(rule, labels) WHERE state < 2;
CREATE INDEX alert_incident ON alert(incident) WHERE incident IS NOT NULL;
CREATE TABLE incident(
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, title TEXT NOT NULL,
  severity INT NOT NULL, labels TEXT NOT NULL, onset INT NOT NULL, opened INT NOT NULL,
  ack_at INT, ack_by TEXT, ack_note TEXT, resolved_at INT, resolved_by TEXT, resolved_reason TEXT,
  reopened INT NOT NULL, reopened_at INT, entries INT NOT NULL);
CREATE INDEX incident_resolved ON incident(resolved_at);
CREATE INDEX incident_key ON incident(key, id);
CREATE TABLE timeline(
  incident INT NOT NULL, seq INT NOT NULL, at INT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
  from_state INT NOT NULL, to_state INT NOT NULL, alert TEXT, value REAL, reason TEXT NOT NULL,
  PRIMARY KEY(incident, seq)) WITHOUT ROWID;
CREATE TRIGGER timeline_is_append_only BEFORE UPDATE ON timeline
  BEGIN SELECT RAISE(ABORT, 'the time line only grows'); END;
CREATE TABLE change(
  id INTEGER PRIMARY KEY, at INT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,
  labels TEXT NOT NULL);
CREATE INDEX change_at ON change(at);
";

/// Cuts a text of the book to its limit, at a character's border.
fn cut(text: &str) -> &str {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rfind(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests;
