//! From the text of a query bar to what a page needs of it.

use jiff::tz::TimeZone;
use vigie_parsers::Timestamp;
use vigie_query::log::{Filter, TextPattern};

/// A query that was understood.
pub(crate) struct Understood {
    pub(crate) filter: Filter,
    /// The time that the query itself names.
    pub(crate) time: Option<(Timestamp, Timestamp)>,
    /// What of it a page does not show; empty if nothing.
    pub(crate) note: String,
}

/// Reads a query; the error is a sentence with the column.
pub(crate) fn parse(text: &str, _now: Timestamp, _zone: &TimeZone) -> Result<Understood, String> {
    let words = text.split_whitespace().filter_map(|w| TextPattern::new(w, false, false)).map(Filter::Text);
    let filter = Filter::And(words.collect());
    Ok(Understood { filter, time: None, note: String::new() })
}

/// The term that chooses exactly this value of a field.
pub(crate) fn term(name: &str, value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    match !value.is_empty() && value.chars().all(plain) && !value.starts_with('-') {
        true => format!("{name}={value}"),
        false => {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            format!("{name}=\"{escaped}\"")
        }
    }
}
