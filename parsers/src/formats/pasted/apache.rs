//! Apache's `LogFormat` (`mod_log_config`, `mod_logio`, `mod_ssl`): `%h %l %u %t "%r" %>s %b`.
//!
//! The whole directive may be given, or the text between its quotes, with `\"` or `"`.

use super::build::{Builder, Found};
use super::clock::{self, Part};
use super::template::{Template, What};
use super::text::Text;
use super::{Fault, text::header};
use crate::record::{Field, Kind};

pub(super) fn compile(given: &Text) -> Result<Template, Fault> {
    let text = unescape(&directive(given)?);
    let mut builder = Builder::with_escapes(true);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if byte != b'%' {
            builder.byte(byte);
            at += 1;
            continue;
        }
        at = piece(&text, at, &mut builder)?;
    }
    builder.finish()
}

/// The text between the quotes of `LogFormat "…" nickname`; text without that around stays as it is.
fn directive(given: &Text) -> Result<Text, Fault> {
    let mut text = given.clone();
    let mut is_directive = false;
    for name in ["LogFormat", "CustomLog", "GlobalLog"] {
        if let Some(rest) = header(&text, name) {
            text = rest;
            is_directive = true;
        }
    }
    // CustomLog has the file before.
    let quote = match text.bytes() {
        [b'"', ..] => Some(0),
        _ if is_directive => text.bytes().iter().position(|&b| b == b'"'),
        _ => None,
    };
    let Some(open) = quote else {
        return Ok(text);
    };
    let mut at = open + 1;
    loop {
        match text.get(at) {
            None if is_directive => return Err(text.fault(open, "this quote is not closed")),
            // A format may begin with a quoted piece: `"%r" %>s`.
            None => return Ok(text),
            Some(b'\\') => at += 2,
            Some(b'"') => break,
            Some(_) => at += 1,
        }
    }
    let nickname = text.range(at + 1, text.len());
    let ends = is_directive || !nickname.contains(&b'%') && !nickname.starts_with(b"\"");
    Ok(match ends {
        true => text.slice(open + 1, at),
        false => text,
    })
}

/// Apache's own escapes in the text: `\"`, `\\`, `\t`, `\n`.
fn unescape(given: &Text) -> Text {
    let mut text = Text::default();
    let mut at = 0;
    while let Some(byte) = given.get(at) {
        let (byte, used) = match (byte, given.get(at + 1)) {
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(next @ (b'"' | b'\\' | b'\''))) => (next, 2),
            (other, _) => (other, 1),
        };
        text.push(byte, given.place(at));
        at += used;
    }
    text
}

/// One directive at the `%` at `start`; where it ends.
fn piece(text: &Text, start: usize, builder: &mut Builder) -> Result<usize, Fault> {
    let mut at = start + 1;
    let mut original = None;
    let mut argument: Option<Text> = None;
    loop {
        match text.get(at) {
            Some(b'!' | b',' | b'0'..=b'9') => at += 1,
            Some(b'<') => (original, at) = (Some(true), at + 1),
            Some(b'>') => (original, at) = (Some(false), at + 1),
            Some(b'{') => {
                let inside = text.range(at + 1, text.len());
                let Some(len) = inside.iter().position(|&b| b == b'}') else {
                    return Err(text.fault(at, "`{` is not closed"));
                };
                argument = Some(text.slice(at + 1, at + 1 + len));
                at += len + 2;
            }
            _ => break,
        }
    }
    // `%^FB`, `%{name}^ti`, `%{name}^to`
    let len = match text.get(at) {
        Some(b'^') => 3,
        _ => 1,
    };
    let letter = text.range(at, at + len);
    let end = at + len;
    let name = || argument.as_ref().map(Text::lossy).unwrap_or_default();
    let found = match letter {
        b"%" => {
            builder.byte(b'%');
            return Ok(end);
        }
        b"t" => return time(text, start, end, argument.as_ref(), builder),
        b"" => return Err(text.fault(start, "`%` stands alone at the end")),
        letter => found(letter, &name(), original),
    };
    let written = String::from_utf8_lossy(text.range(start, end)).into_owned();
    let Some(found) = found else {
        return Err(text.fault(start, format!("unknown directive `{written}`")));
    };
    builder.piece(found, text, start, end);
    Ok(end)
}

fn found(letter: &[u8], name: &str, original: Option<bool>) -> Option<Found> {
    let known = |field, label: &str, rank| Found::new(What::Known(field, Kind::Plain), rank, label);
    let text = |field, label: &str, rank| Found::new(What::Known(field, Kind::Quoted), rank, label);
    let named = |name: &str| Found::named(name, Kind::Quoted);
    let count = |field, kind, label: &str, rank| Found::new(What::Number(field, kind), rank, label);
    let key = |prefix: &str| named(&format!("{prefix}.{}", key(name)));
    Some(match letter {
        b"h" => known(Field::Ip, "client_host", 2),
        b"a" if name == "c" => known(Field::Ip, "peer_ip", 1),
        b"a" => known(Field::Ip, "client_ip", 3),
        b"A" => named("server_ip"),
        b"l" => text(Field::Ident, "ident", 1),
        b"u" => text(Field::User, "user", 1),
        b"r" => Found::new(What::Request(Kind::Quoted), 9, "request"),
        b"m" => known(Field::Method, "request_method", 1),
        b"U" => text(Field::Path, "uri", 1),
        b"q" => Found::new(What::Query(Kind::Quoted), 1, "args"),
        b"H" => known(Field::Protocol, "request_protocol", 1),
        b"s" => match original {
            Some(false) => Found::new(What::Status, 2, "status.final"),
            _ => Found::new(What::Status, 1, "status.original"),
        },
        b"b" | b"B" => count(Field::Bytes, Kind::Plain, "bytes_body", 2),
        b"O" => count(Field::Bytes, Kind::Plain, "bytes_out", 1),
        b"I" => named("bytes_in"),
        b"S" => named("bytes_total"),
        b"D" => count(Field::Duration, Kind::Micros, "duration_us", 3),
        b"T" => match name {
            "us" => count(Field::Duration, Kind::Micros, "duration_us", 3),
            "ms" => count(Field::Duration, Kind::Millis, "duration_ms", 2),
            "" | "s" => count(Field::Duration, Kind::Plain, "duration_s", 1),
            _ => return None,
        },
        b"v" => Found::new(What::Vhost, 3, "server_name"),
        b"V" => Found::new(What::Vhost, 2, "server_name_used"),
        b"p" => match name {
            "remote" => known(Field::Port, "port", 2),
            "" | "canonical" => named("server_port"),
            "local" => named("server_port_local"),
            _ => return None,
        },
        b"P" => match name {
            "" | "pid" => known(Field::Pid, "pid", 1),
            "tid" | "hextid" => known(Field::Thread, "thread", 1),
            _ => return None,
        },
        b"i" => header_in(name),
        b"o" if name.eq_ignore_ascii_case("content-length") => {
            count(Field::Bytes, Kind::Plain, "sent.content_length", 0)
        }
        b"o" => key("sent"),
        b"C" => key("cookie"),
        b"e" => key("env"),
        b"n" => key("note"),
        b"x" | b"c" => key("ssl"),
        b"^ti" => key("trailer"),
        b"^to" => key("sent_trailer"),
        b"^FB" => named("first_byte_us"),
        b"f" => named("file"),
        b"k" => named("keepalive"),
        b"L" => named("log_id"),
        b"R" => named("handler"),
        b"X" => named("connection"),
        _ => return None,
    })
}

/// A header of the request.
pub(super) fn header_in(name: &str) -> Found {
    let text = |field, rank| {
        let label = format!("http.{}", key(name));
        Found::new(What::Known(field, Kind::Quoted), rank, label)
    };
    match key(name).as_str() {
        "referer" | "referrer" => text(Field::Referer, 1),
        "user_agent" => text(Field::Agent, 1),
        "x_forwarded_for" => Found::named("forwarded_for", Kind::Quoted),
        "x_request_id" => Found::named("request_id", Kind::Quoted),
        "host" => Found::new(What::Vhost, 1, "http.host"),
        key => Found::named(format!("http.{key}"), Kind::Quoted),
    }
}

/// A header's name as a field's: `Accept-Encoding` is `accept_encoding`.
pub(super) fn key(name: &str) -> String {
    let fold = |c: char| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
        _ => '_',
    };
    name.chars().map(fold).collect()
}

/// `%t` and `%{format}t`.
fn time(
    text: &Text,
    start: usize,
    end: usize,
    argument: Option<&Text>,
    builder: &mut Builder,
) -> Result<usize, Fault> {
    let Some(format) = argument.filter(|a| a.len() > 0) else {
        builder.byte(b'[');
        builder.piece(Found::new(What::Clf, 2, "time"), text, start, end);
        builder.byte(b']');
        return Ok(end);
    };
    let prefix = ["begin:", "end:"]
        .iter()
        .find(|p| format.bytes().starts_with(p.as_bytes()));
    // Where the begin of the request is there too, that is the time.
    if prefix == Some(&"end:") && begins(text) {
        builder.piece(Found::named("time_end", Kind::Plain), text, start, end);
        return Ok(end);
    }
    let format = format.slice(prefix.map_or(0, |p| p.len()), format.len());
    let what = match format.bytes() {
        b"sec" => What::Clock([Part::Epoch(1)].into()),
        b"msec" => What::Clock([Part::Epoch(1000)].into()),
        b"usec" => What::Clock([Part::Epoch(1_000_000)].into()),
        b"msec_frac" | b"usec_frac" => What::Clock([Part::Fraction].into()),
        b"%d/%b/%Y:%H:%M:%S %z" | b"%d/%b/%Y:%T %z" => What::Clf,
        b"%Y-%m-%dT%H:%M:%S%z" | b"%FT%T%z" => What::Iso,
        _ => What::Clock(clock::compile(&format)?.into()),
    };
    builder.piece(Found::new(what, 1, "time"), text, start, end);
    Ok(end)
}

/// Whether a definition has the time at which requests begin.
fn begins(text: &Text) -> bool {
    let has = |piece: &[u8]| memchr::memmem::find(text.bytes(), piece).is_some();
    has(b"%{begin:") || has(b"%t")
}
