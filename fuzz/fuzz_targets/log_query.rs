//! Any text is read or refused; what is read is shown so that it reads back as the same query, and
//! decides about an event made of the text itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie_parsers::{Event, Field, Kind};
use vigie_query::log::{Query, printable, template};

fuzz_target!(|data: &[u8]| {
    let mut event = Event {
        line: data.to_vec(),
        ..Event::default()
    };
    event.record.message = 0..u32::try_from(data.len()).unwrap_or(u32::MAX);
    event
        .record
        .push(Field::Path, data.len() / 2, data.len(), Kind::Quoted);
    let shown = printable(data);
    assert!(!shown.chars().any(|c| c.is_control() && c != '\t'));
    assert!(!template(data).iter().any(u8::is_ascii_digit));
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(query) = Query::parse(text) {
        let shown = query.to_string();
        assert_eq!(Query::parse(&shown).as_ref(), Ok(&query), "{shown}");
        let _ = query.filter.matches(&event);
    }
});
