//! A record as text that a person can check.

use jiff::tz::TimeZone;
use vigie_parsers::{Context, Record, Timestamp};

/// Received at 2026-11-21T06:00:00Z, in UTC.
pub(crate) fn context() -> Context {
    let at: jiff::Timestamp = "2026-11-21T06:00:00Z".parse().expect("a time");
    Context::new(Timestamp(at.as_millisecond()), TimeZone::UTC)
}

/// All of it but the message, on one line: `time severity facility flags name=value …`.
pub(crate) fn fields(record: &Record, line: &[u8]) -> String {
    let mut words = Vec::new();
    if let Some(time) = record.time {
        let time = jiff::Timestamp::from_millisecond(time.0).expect("in jiff's range");
        words.push(format!("{time}"));
    }
    if let Some(severity) = record.severity {
        words.push(severity.as_str().into());
    }
    if let Some(facility) = record.facility {
        words.push(facility.as_str().into());
    }
    let flags = record.flags;
    for (set, name) in [
        (flags.bad_pri, "bad_pri"),
        (flags.degraded, "degraded"),
        (flags.time_guessed, "guessed"),
        (flags.fields_dropped, "dropped"),
    ] {
        if set {
            words.push(format!("!{name}"));
        }
    }
    for span in &record.fields {
        let value = span.value(line);
        let value = String::from_utf8_lossy(&value);
        let quoted = value.contains([' ', '"']) || value.contains(char::is_control);
        let value = if quoted {
            format!("{value:?}")
        } else {
            value.into()
        };
        words.push(format!("{}={value}", record.name(span.name)));
    }
    words.join(" ")
}

/// The message.
pub(crate) fn message(record: &Record, line: &[u8]) -> String {
    let range = record.message.start as usize..record.message.end as usize;
    String::from_utf8_lossy(&line[range]).into_owned()
}
