//! How long which lines are kept: rules by source, within the budget.
//!
//! A block goes when its newest line is too old, so blocks of sources with an age are sealed and
//! merged over an eighth of it at most: no line is kept longer than nine eighths of what the rule says.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction};
use vigie_parsers::Timestamp;

use super::evict;
use crate::Result;

/// Counts the rows that were too old or beyond what their source may occupy.
const EXPIRED_ROWS: &str = "expired rows";
/// The part of an age that one block may span.
const SPAN_PART: i64 = 8;

/// How long which lines are kept. The first rule that means a source counts; without one only the
/// budget does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRetention {
    /// The rules.
    pub rules: Vec<LogRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRule {
    /// Which sources: a name in which `*` stands for anything.
    pub source: String,
    /// Milliseconds after which lines go.
    pub keep_ms: Option<i64>,
    /// Bytes on disk that the lines of one such source may occupy.
    pub bytes: Option<u64>,
}

impl LogRetention {
    /// The rule for a source.
    #[must_use]
    pub fn of(&self, source: &str) -> Option<&LogRule> {
        self.rules.iter().find(|rule| matches(&rule.source, source))
    }

    /// How long a block of a source may stay open, and what a merged one may span.
    pub(super) fn span_ms(&self, source: &str) -> i64 {
        let keep = self.of(source).and_then(|rule| rule.keep_ms);
        keep.map_or(i64::MAX, |keep| (keep / SPAN_PART).max(1))
    }
}

/// Whether a text is what a pattern with `*` means.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

/// Deletes the blocks that no rule keeps.
pub(super) fn enforce(tx: &Transaction<'_>, rules: &LogRetention, now: Timestamp) -> Result<()> {
    if rules.rules.is_empty() {
        return Ok(());
    }
    let mut stmt = tx.prepare_cached(
        "SELECT s.source, b.id, b.last_time, b.disk_bytes, b.rows
         FROM ev_block b JOIN ev_stream s ON s.id = b.stream ORDER BY b.last_time DESC, b.id DESC",
    )?;
    let mut used: HashMap<String, u64> = HashMap::new();
    let (mut gone, mut lines) = (Vec::new(), 0i64);
    let mut rows = stmt.query([])?;
    while let Some(row) = rows.next()? {
        let source: String = row.get(0)?;
        let Some(rule) = rules.of(&source) else {
            continue;
        };
        let (last, n): (i64, i64) = (row.get(2)?, row.get(4)?);
        let bytes = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
        let used = used.entry(source).or_default();
        // The newest block stays, whatever its size.
        let beyond = *used > 0
            && rule
                .bytes
                .is_some_and(|most| used.saturating_add(bytes) > most);
        *used = used.saturating_add(bytes);
        let old = rule
            .keep_ms
            .is_some_and(|keep| now.0.saturating_sub(last) > keep);
        if old || beyond {
            gone.push(row.get::<_, i64>(1)?);
            lines = lines.saturating_add(n);
        }
    }
    drop(rows);
    for id in gone {
        evict::delete(tx, id)?;
    }
    if lines > 0 {
        tx.execute(
            "INSERT INTO ev_meta VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET value = value + ?2",
            (EXPIRED_ROWS, lines),
        )?;
    }
    Ok(())
}

/// How many rows went because of a rule so far.
pub(super) fn expired_rows(conn: &Connection) -> Result<u64> {
    let mut stmt = conn.prepare_cached("SELECT value FROM ev_meta WHERE key = ?1")?;
    let rows: Option<i64> = stmt.query_row([EXPIRED_ROWS], |r| r.get(0)).optional()?;
    Ok(rows.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything() {
        let check = |pattern, text, expected| {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        };
        check("*", "", true);
        check("*", "file:/var/log/a", true);
        check("file:*", "file:/var/log/a", true);
        check("file:*", "syslog:x", false);
        check("file:*/nginx/*.log", "file:/var/log/nginx/access.log", true);
        check("file:*/nginx/*.log", "file:/var/log/nginx.log", false);
        check("a*a", "a", false);
        check("a*a", "aa", true);
        check("exact", "exact", true);
        check("exact", "exactly", false);
    }
}
