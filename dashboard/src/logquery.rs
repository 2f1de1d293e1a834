//! From the text of a query bar to what a page needs of it.

use jiff::tz::TimeZone;
use vigie_parsers::Timestamp;
use vigie_query::log::{Clock, Filter, Query};

/// A query that was understood.
pub(crate) struct Understood {
    pub(crate) filter: Filter,
    /// The time that the query itself names.
    pub(crate) time: Option<(Timestamp, Timestamp)>,
    /// What of it a page does not show; empty if nothing.
    pub(crate) note: String,
}

/// Reads a query; the error is a sentence with the column.
pub(crate) fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Understood, String> {
    let query = Query::parse(text).map_err(|e| e.to_string())?;
    let clock = Clock::new(now, zone.clone());
    let time = query.time.as_ref().map(|t| t.resolve(&clock)).transpose()?;
    let note = match query.pipes.is_empty() {
        true => String::new(),
        false => "Shown are the events before the first |; vigie logs answers the rest.".to_owned(),
    };
    Ok(Understood {
        filter: query.filter,
        time: time.map(|t| (t.start, t.end)),
        note,
    })
}

/// The term that chooses exactly this value of a field.
pub(crate) fn term(name: &str, value: &str) -> String {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    match !value.is_empty() && value.chars().all(plain) && !value.starts_with('-') {
        true => format!("{name}={value}"),
        false => {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            format!("{name}=\"{escaped}\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_read_back_as_they_were() {
        for value in [
            "sshd", "a b", "x\"y", "c:\\d", "-v", "10.0.0.1", "(", "", "é",
        ] {
            let text = term("app", value);
            let found = parse(&text, Timestamp(0), &TimeZone::UTC);
            assert!(found.is_ok(), "{text}: {:?}", found.err());
        }
        assert!(parse("(", Timestamp(0), &TimeZone::UTC).is_err());
    }
}
