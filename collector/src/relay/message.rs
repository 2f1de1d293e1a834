//! An event as a message of RFC 5424, octet-counted, and back. Pure.
//!
//! Our element of structured data says where the event has been and what its origin knew of it:
//!
//! ```text
//! [vigie@32473 via="2f… 91…" source="docker:shop-web-1" service="web" …]
//! ```
//!
//! For another vigie it begins with `relay` (who forwards), `seq` (the event's number there) and `time`, and
//! the message is the line as it was received, so that the other side keeps the same line and fields. What
//! follows these three is the same for all events of an origin, and read once.
//! 32473 is the number that RFC 5612 reserves for examples: it belongs to nobody else.

use std::borrow::Cow;
use std::sync::Arc;

use vigie_parsers::{Event, Origin, Timestamp};

/// The name of our element.
pub(super) const ELEMENT: &str = "vigie@32473";
/// The field that a message which went through a receiver of others has of us.
pub(super) const VIA_IN_DATA: &str = "vigie@32473.via";
/// How a message with our element in the first place of its structured data shows.
const BEGIN: &[u8] = b" [vigie@32473 ";
/// Our element begins within so many bytes: the header's names are bounded by the standard.
const HEADER_LEN_MAX: usize = 600;
/// Fields of an origin that are sent along.
const FIELDS_MAX: usize = 32;
/// Bytes of one value.
const VALUE_LEN_MAX: usize = 1024;
/// The fields that the header is made of…
const HEADER: [&str; 5] = ["pri", "host", "app", "pid", "msgid"];
/// … and bytes of its names, by the standard: host, app, process, message id.
const NAME_MAX: [usize; 4] = [255, 48, 128, 32];
/// RFC 5424: user-level messages, notice.
const FACILITY: u8 = 1;
const SEVERITY: u8 = 5;
/// syslogd's own messages, informational.
const HELLO_PRI: u8 = 46;

/// Who forwards to another vigie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal<'a> {
    /// Drawn once for each relay.
    pub(super) relay: &'a str,
}

/// Writes events as frames; what many have in common is made once.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Everything of a frame in front of the message.
    head: Vec<u8>,
    /// The second of the last time, and how it is written without its fraction.
    second: Option<(i64, String)>,
    /// The last origin, its parameters, and how many of its fields were left out or cut.
    origin: Option<(Arc<Origin>, Vec<u8>, u64)>,
}

impl Frames {
    /// Appends the frame of an event. `via` is where it has been, we at last. How many fields of its origin
    /// were left out or cut.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        event: &Event,
        via: &str,
        seal: Option<Seal<'_>>,
    ) -> u64 {
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        self.put_head(&mut head, event);
        let lost = self.put_element(&mut head, event, via, seal);
        let own = own_data(event).filter(|_| seal.is_none());
        if let Some((data, _)) = own
            && data != b"-"
        {
            head.extend_from_slice(without_ours(data));
        }
        head.push(b' ');
        let text = match own {
            Some((_, text)) => text,
            None if seal.is_none() && &*event.format == "rfc3164" => event.message(),
            None => &event.line,
        };
        put_number(out, (head.len() + text.len()) as u64);
        out.push(b' ');
        out.extend_from_slice(&head);
        out.extend_from_slice(text);
        self.head = head;
        lost
    }

    /// `<PRI>1 TIME HOST APP PROCID MSGID `.
    fn put_head(&mut self, out: &mut Vec<u8>, event: &Event) {
        let fields = HEADER.map(|name| event.field(name));
        let [pri, names @ ..] = fields;
        let number = |text: Cow<'_, [u8]>| std::str::from_utf8(&text).ok()?.parse::<u8>().ok();
        let facility = pri.and_then(number).filter(|p| *p < 192);
        let facility = facility.map_or(FACILITY, |pri| pri / 8);
        let severity = event.severity.map_or(SEVERITY, |s| s as u8);
        out.push(b'<');
        put_number(out, u64::from(facility * 8 + severity));
        out.extend_from_slice(b">1 ");
        self.put_stamp(out, event.time);
        for (value, max) in names.into_iter().zip(NAME_MAX) {
            out.push(b' ');
            let value = value.unwrap_or_default();
            let value = value.get(..max).unwrap_or(&value);
            match value {
                [] => out.push(b'-'),
                _ => out.extend(
                    value
                        .iter()
                        .map(|&b| if b.is_ascii_graphic() { b } else { b'_' }),
                ),
            }
        }
        out.push(b' ');
    }

    fn put_stamp(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        let second = time.0.div_euclid(1000);
        if self.second.as_ref().is_none_or(|known| known.0 != second) {
            let text = jiff::Timestamp::from_second(second).map_or_else(
                |_| String::new(),
                |t| t.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
            );
            self.second = Some((second, text));
        }
        match self.second.as_ref().map_or("", |known| &known.1) {
            "" => out.push(b'-'),
            text => {
                out.extend_from_slice(text.as_bytes());
                // A leading one keeps the zeros.
                let start = out.len();
                put_number(out, 1000 + time.0.rem_euclid(1000).unsigned_abs());
                if let Some(first) = out.get_mut(start) {
                    *first = b'.';
                }
                out.push(b'Z');
            }
        }
    }

    fn put_element(
        &mut self,
        out: &mut Vec<u8>,
        event: &Event,
        via: &str,
        seal: Option<Seal<'_>>,
    ) -> u64 {
        out.extend_from_slice(b"[");
        out.extend_from_slice(ELEMENT.as_bytes());
        if let Some(seal) = seal {
            out.extend_from_slice(b" relay=\"");
            out.extend_from_slice(seal.relay.as_bytes());
            out.extend_from_slice(b"\" seq=\"");
            put_number(out, event.id);
            out.extend_from_slice(b"\" time=\"");
            // Zones and clocks are ours: any time that is one.
            put_number(out, u64::try_from(event.time.0).unwrap_or(0));
            out.push(b'"');
        }
        out.extend_from_slice(b" via=\"");
        out.extend_from_slice(via.as_bytes());
        out.push(b'"');
        let known = self.origin.take();
        let known = known.filter(|(origin, ..)| Arc::ptr_eq(origin, &event.origin));
        let (origin, parameters, lost) = known.unwrap_or_else(|| {
            let (mut parameters, mut lost) = (Vec::new(), 0);
            put_origin(&mut parameters, &event.origin, &mut lost);
            (Arc::clone(&event.origin), parameters, lost)
        });
        out.extend_from_slice(&parameters);
        out.push(b']');
        self.origin = Some((origin, parameters, lost));
        lost
    }
}

/// Appends the frame with which a relay begins to speak to another vigie.
pub(super) fn write_hello(out: &mut Vec<u8>, relay: &str, via: &str) {
    let message = format!(
        "<{HELLO_PRI}>1 - - vigie - - [{ELEMENT} relay=\"{relay}\" hello=\"1\" via=\"{via}\"] relay"
    );
    put_number(out, message.len() as u64);
    out.push(b' ');
    out.extend_from_slice(message.as_bytes());
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let (mut rest, mut at) = (number, digits.len());
    while let Some(digit) = at.checked_sub(1).and_then(|n| digits.get_mut(n)) {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        (rest, at) = (rest / 10, at - 1);
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

fn put_origin(out: &mut Vec<u8>, origin: &Origin, lost: &mut u64) {
    parameter(out, "source", &origin.source);
    let fields = &origin.fields;
    *lost = fields.len().saturating_sub(FIELDS_MAX) as u64;
    for (name, value) in fields.iter().take(FIELDS_MAX) {
        if !["via", "relay", "seq", "time", "source", "hello"].contains(&name.as_str()) {
            *lost += u64::from(!parameter(out, name, value));
        }
    }
}

/// Whether all of it could be written.
fn parameter(out: &mut Vec<u8>, name: &str, value: &str) -> bool {
    let legal = |b: u8| b.is_ascii_graphic() && !matches!(b, b']' | b'=' | b'"');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) {
        return false;
    }
    out.extend_from_slice(format!(" {name}=\"").as_bytes());
    for c in value.chars().take(VALUE_LEN_MAX) {
        match c {
            '"' | '\\' | ']' => out.extend_from_slice(&[b'\\', c as u8]),
            c if c.is_control() => out.push(b'?'),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
    value.len() <= VALUE_LEN_MAX || value.chars().count() <= VALUE_LEN_MAX
}

/// The structured data and the message of a line that is one of RFC 5424 itself.
fn own_data(event: &Event) -> Option<(&[u8], &[u8])> {
    if !matches!(&*event.format, "rfc5424" | "journal") {
        return None;
    }
    let mut rest = event.line.as_slice();
    for _ in 0..6 {
        let space = memchr::memchr(b' ', rest)?;
        rest = rest.get(space + 1..)?;
    }
    let len = match rest.first()? {
        b'-' => 1,
        b'[' => data_len(rest, false)?,
        _ => return None,
    };
    let (data, text) = rest.split_at_checked(len)?;
    Some((data, text.strip_prefix(b" ").unwrap_or(text)))
}

/// Structured data without the element of a vigie before us: none may stand twice.
fn without_ours(data: &[u8]) -> &[u8] {
    let ours = data.starts_with(BEGIN.trim_ascii_start());
    let len = ours.then(|| data_len(data, true)).flatten();
    data.get(len.unwrap_or(0)..).unwrap_or_default()
}

/// How long the elements of structured data are, or the first of them.
fn data_len(text: &[u8], first: bool) -> Option<usize> {
    let (mut quoted, mut escaped, mut inside) = (false, false, false);
    for (n, &b) in text.iter().enumerate() {
        match b {
            _ if std::mem::take(&mut escaped) => {}
            b'\\' if quoted => escaped = true,
            b'"' if inside => quoted = !quoted,
            b'[' if !inside => inside = true,
            b']' if !quoted && first => return Some(n + 1),
            b']' if !quoted => inside = false,
            _ if !inside => return Some(n),
            _ => {}
        }
    }
    (!inside).then_some(text.len())
}

/// A message of a relay, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relayed<'a> {
    pub(crate) relay: &'a str,
    pub(crate) seq: u64,
    pub(crate) hello: bool,
    pub(crate) time: Option<Timestamp>,
    /// What it says of the origin, as it stands.
    pub(crate) origin: &'a [u8],
    /// The line as the other vigie keeps it.
    pub(crate) line: &'a [u8],
}

/// What a relay says of an origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Where its events have been.
    pub(crate) via: String,
    pub(crate) source: String,
    pub(crate) fields: Vec<(String, String)>,
    /// Fields beyond what one event may have.
    pub(crate) fields_lost: u64,
}

impl<'a> Relayed<'a> {
    /// Reads a message; `None` if it is none of a relay's.
    pub(crate) fn read(message: &'a [u8]) -> Option<Self> {
        let head = message.get(..HEADER_LEN_MAX).unwrap_or(message);
        let begin = memchr::memmem::find(head, BEGIN)?;
        // In front of the structured data stand six words and no other text.
        let words = message.get(..begin)?.iter().filter(|&&b| b == b' ').count();
        if message.first() != Some(&b'<') || words != 5 {
            return None;
        }
        let data = message.get(begin + 1..)?;
        let len = data_len(data, false)?;
        let (element, line) = data.split_at_checked(len)?;
        let mut found = Self {
            origin: element.get(BEGIN.len() - 1..len.checked_sub(1)?)?,
            line: line.strip_prefix(b" ").unwrap_or(line),
            ..Self::default()
        };
        while let Some((name, value, rest)) = next_plain(found.origin) {
            match name {
                b"relay" => found.relay = value,
                b"seq" => found.seq = value.parse().ok()?,
                b"hello" => found.hello = true,
                b"time" => found.time = value.parse().ok().map(Timestamp),
                _ => break,
            }
            found.origin = rest;
        }
        (is_id(found.relay) && (found.hello || found.seq > 0)).then_some(found)
    }
}

impl Told {
    /// Reads what stands in [`Relayed::origin`].
    pub(crate) fn read(mut element: &[u8]) -> Self {
        let mut told = Self::default();
        while let Some((name, value, rest)) = next(element) {
            element = rest;
            match name {
                "via" => told.via = value,
                "source" => told.source = value,
                name if told.fields.len() < FIELDS_MAX => {
                    told.fields.push((name.to_owned(), value));
                }
                _ => told.fields_lost += 1,
            }
        }
        told
    }
}

/// The next `name="value"`, of those whose values have no escapes, and what is behind it.
fn next_plain(element: &[u8]) -> Option<(&[u8], &str, &[u8])> {
    let element = element.trim_ascii_start();
    let equals = memchr::memchr(b'=', element)?;
    let text = element.get(equals + 1..)?.strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', text)?;
    let value = std::str::from_utf8(text.get(..end)?).ok()?;
    Some((element.get(..equals)?, value, text.get(end + 1..)?))
}

/// The next `name="value"` and what is behind it.
fn next(element: &[u8]) -> Option<(&str, String, &[u8])> {
    let element = element.trim_ascii_start();
    let equals = memchr::memchr(b'=', element)?;
    let name = std::str::from_utf8(element.get(..equals)?).ok()?;
    let text = element.get(equals + 1..)?.strip_prefix(b"\"")?;
    let mut value = Vec::new();
    let mut bytes = text.iter().enumerate();
    while let Some((n, &b)) = bytes.next() {
        match b {
            b'\\' => value.extend(bytes.next().map(|(_, &b)| b)),
            b'"' => {
                let value = String::from_utf8_lossy(&value).into_owned();
                return Some((name, value, text.get(n + 1..)?));
            }
            b => value.push(b),
        }
    }
    None
}

/// Whether it is an id as we draw them.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vigie_parsers::formats::Detector;
    use vigie_parsers::{Context, Record};

    use super::*;

    const RELAY: &str = "0123456789abcdef0123456789abcdef";

    fn event(line: &[u8], fields: &[(&str, &str)]) -> Event {
        let mut context = Context::new(Timestamp(1_795_240_800_000), jiff::tz::TimeZone::UTC);
        let mut record = Record::default();
        let format = Detector::default().parse(&mut context, line, &mut record);
        Event {
            id: 42,
            time: record.time.unwrap_or(Timestamp(1_795_240_800_123)),
            recv: Timestamp(1_795_240_800_123),
            severity: record.severity,
            format: Arc::from(format.name),
            origin: Arc::new(Origin {
                source: "docker:web".to_owned(),
                fields: fields
                    .iter()
                    .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                    .collect(),
            }),
            line: line.to_vec(),
            record,
        }
    }

    fn written(event: &Event, seal: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let seal = seal.then_some(Seal { relay: RELAY });
        Frames::default().write(&mut out, event, "a b", seal);
        let space = memchr::memchr(b' ', &out).unwrap();
        let len: usize = std::str::from_utf8(&out[..space]).unwrap().parse().unwrap();
        assert_eq!(
            len,
            out.len() - space - 1,
            "the count is that of the message"
        );
        out.split_off(space + 1)
    }

    #[test]
    fn every_kind_of_line_becomes_rfc5424() {
        for (line, fields, want) in [
            (
                "<36>Nov 21 05:10:56 web1 sshd[4853]: Failed password",
                &[("peer", "10.0.0.1")][..],
                "<36>1 2026-11-21T05:10:56.000Z web1 sshd 4853 - [vigie@32473 via=\"a b\" source=\"docker:web\" peer=\"10.0.0.1\"] Failed password",
            ),
            (
                "<36>1 2026-11-21T05:10:56.5Z web1 sshd 4853 ID7 [x@1 a=\"\\]\"][y b=\"1\"] Failed ] password",
                &[],
                "<36>1 2026-11-21T05:10:56.500Z web1 sshd 4853 ID7 [vigie@32473 via=\"a b\" source=\"docker:web\"][x@1 a=\"\\]\"][y b=\"1\"] Failed ] password",
            ),
            (
                "<36>1 2026-11-21T05:10:56Z web1 sshd - - [vigie@32473 via=\"c\" x=\"]\"][y b=\"1\"] relayed",
                &[],
                "<36>1 2026-11-21T05:10:56.000Z web1 sshd - - [vigie@32473 via=\"a b\" source=\"docker:web\"][y b=\"1\"] relayed",
            ),
            (
                "<36>1 2026-11-21T05:10:56Z web1 sshd - - - hello",
                &[],
                "<36>1 2026-11-21T05:10:56.000Z web1 sshd - - [vigie@32473 via=\"a b\" source=\"docker:web\"] hello",
            ),
            (
                "plain text",
                &[
                    ("host", "a b"),
                    ("app", "web"),
                    ("bad=name", "x"),
                    ("service", "q\"]\\\u{1b}"),
                ],
                "<13>1 2026-11-21T06:00:00.123Z a_b web - - [vigie@32473 via=\"a b\" source=\"docker:web\" host=\"a b\" app=\"web\" service=\"q\\\"\\]\\\\?\"] plain text",
            ),
        ] {
            let found = written(&event(line.as_bytes(), fields), false);
            assert_eq!(String::from_utf8_lossy(&found), want);
            assert_eq!(Relayed::read(&found), None, "not for a vigie");
        }
    }

    #[test]
    fn fields_that_are_lost_are_counted() {
        let names: Vec<String> = (0..FIELDS_MAX + 3).map(|n| format!("f{n}")).collect();
        let fields: Vec<_> = names.iter().map(|n| (n.as_str(), "x")).collect();
        let long = "y".repeat(VALUE_LEN_MAX + 1);
        let lost = |fields: &[(&str, &str)]| {
            let seal = Some(Seal { relay: RELAY });
            Frames::default().write(&mut Vec::new(), &event(b"text", fields), "a", seal)
        };
        assert_eq!(lost(&fields[..FIELDS_MAX]), 0);
        assert_eq!(lost(&fields), 3);
        let some = [
            ("bad=name", "x"),
            ("cut", long.as_str()),
            ("whole", &long[1..]),
            ("via", "x"),
        ];
        assert_eq!(lost(&some), 2);
        // Nor does the other side take more.
        let element: String = names.iter().map(|n| format!(" {n}=\"x\"")).collect();
        let text = format!("<13>1 - - - - - [{ELEMENT} relay=\"{RELAY}\" seq=\"1\"{element}] m");
        let relayed = Relayed::read(text.as_bytes()).unwrap();
        let told = Told::read(relayed.origin);
        assert_eq!((told.fields.len(), told.fields_lost), (FIELDS_MAX, 3));
    }

    #[test]
    fn another_vigie_gets_the_line_itself() {
        let line = b"<36>1 2026-11-21T05:10:56.5Z web1 sshd - - [x a=\"1\"] two\nlines \xff";
        let found = written(&event(line, &[("service", "q\"]\\é")]), true);
        let relayed = Relayed::read(&found).unwrap();
        assert_eq!(
            (relayed.line, relayed.seq, relayed.hello),
            (&line[..], 42, false)
        );
        assert_eq!(relayed.time, Some(Timestamp(1_795_237_856_500)));
        let told = Told::read(relayed.origin);
        assert_eq!(
            (&*told.via, &*told.source, relayed.relay),
            ("a b", "docker:web", RELAY)
        );
        assert_eq!(told.fields, [("service".to_owned(), "q\"]\\é".to_owned())]);
        let mut hello = Vec::new();
        write_hello(&mut hello, RELAY, "me");
        let at = memchr::memchr(b'<', &hello).unwrap();
        assert!(Relayed::read(&hello[at..]).unwrap().hello);
    }

    #[test]
    fn what_only_looks_like_a_relay_is_a_message() {
        for text in [
            "<13>1 - h a - - [vigie@32473 relay=\"x\" seq=\"1\"] m",
            "<13>1 - h a - - - quoted [vigie@32473 relay=\"0123456789abcdef0123456789abcdef\" seq=\"1\"] m",
            "<13>1 - h a - - [vigie@32473 relay=\"0123456789abcdef0123456789abcdef\" seq=\"x\"] m",
            "<13>1 - h a - - [vigie@32473 relay=\"0123456789abcdef0123456789abcdef\" seq=\"1",
            "",
        ] {
            assert_eq!(Relayed::read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn many_events_are_written_as_each_alone() {
        let lines: [&[u8]; 4] = [
            b"<36>Nov 21 05:10:56 web1 sshd[4853]: x",
            b"plain",
            b"plain",
            b"more",
        ];
        let mut all: Vec<Event> = lines.iter().map(|l| event(l, &[("k", "v")])).collect();
        all[2].origin = Arc::clone(&all[1].origin);
        all[2].time = Timestamp(all[1].time.0 + 7);
        all[3].time = Timestamp(-1);
        let (mut together, mut apart) = (Vec::new(), Vec::new());
        let mut frames = Frames::default();
        for event in &all {
            let seal = Some(Seal { relay: RELAY });
            frames.write(&mut together, event, "a", seal);
            Frames::default().write(&mut apart, event, "a", seal);
        }
        assert_eq!(together, apart);
        let text = String::from_utf8_lossy(&together);
        assert!(text.contains(">1 1969-12-31T23:59:59.999Z - "), "{text}");
    }

    #[test]
    fn numbers_have_all_their_digits() {
        for n in [0, 7, 10, 1000, 1_795_240_800_123, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, n);
            assert_eq!(out, n.to_string().into_bytes());
        }
    }

    proptest! {
        #[test]
        fn there_and_back(
            line in prop::collection::vec(any::<u8>(), 0..200),
            value in "\\PC{0,40}",
        ) {
            let found = written(&event(&line, &[("k", &value)]), true);
            let relayed = Relayed::read(&found).unwrap();
            prop_assert_eq!(relayed.line, &line[..]);
            prop_assert_eq!(&Told::read(relayed.origin).fields, &[("k".to_owned(), value)]);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut message = b"<13>1 - h a - - [vigie@32473 ".to_vec();
            message.extend_from_slice(&bytes);
            let _ = Relayed::read(&message);
            let _ = Told::read(&bytes);
            prop_assert!(data_len(&bytes, false).is_none_or(|n| n <= bytes.len()));
        }
    }
}
