//! nginx' `log_format`: `$remote_addr - $remote_user [$time_local] "$request" $status …`.
//!
//! The whole directive may be given, its quoted pieces one behind the other, or their text.

use super::apache::{header_in, key};
use super::build::{Builder, Found};
use super::template::{Template, What};
use super::text::Text;
use super::{Fault, text::header};
use crate::record::{Field, Kind};

pub(super) fn compile(given: &Text) -> Result<Template, Fault> {
    let (text, escape) = directive(given)?;
    let kind = match escape.as_str() {
        "json" => Kind::Json,
        "none" => Kind::Plain,
        _ => Kind::Quoted,
    };
    let mut builder = Builder::with_escapes(kind != Kind::Plain);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if byte != b'$' {
            builder.byte(byte);
            at += 1;
            continue;
        }
        let start = at;
        let brace = text.get(at + 1) == Some(b'{');
        let from = at + 1 + usize::from(brace);
        let word = text.range(from, text.len());
        let is_name = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'_';
        let len = word.iter().take_while(is_name).count();
        if len == 0 {
            return Err(text.fault(start, "`$` without the name of a variable"));
        }
        at = from + len;
        let name = String::from_utf8_lossy(text.range(from, at)).into_owned();
        if brace {
            if text.get(at) != Some(b'}') {
                return Err(text.fault(start, "`{` is not closed"));
            }
            at += 1;
        }
        builder.piece(variable(&name, kind), &text, start, at);
    }
    builder.finish()
}

/// The text of the format and its way to escape.
fn directive(given: &Text) -> Result<(Text, String), Fault> {
    let mut text = given.clone();
    if let Some(rest) = header(&text, "log_format") {
        let name = rest.bytes().iter().position(u8::is_ascii_whitespace);
        let Some(name) = name else {
            return Err(rest.fault(0, "a format follows its name"));
        };
        text = rest.slice(name, rest.len()).trim();
        if text.bytes().ends_with(b";") {
            text = text.slice(0, text.len() - 1).trim();
        }
    }
    let mut escape = "default".to_owned();
    if text.bytes().starts_with(b"escape=") {
        let bytes = text.bytes();
        let end = bytes.iter().position(u8::is_ascii_whitespace);
        let end = end.unwrap_or(text.len());
        escape = String::from_utf8_lossy(text.range(7, end)).into_owned();
        if !matches!(escape.as_str(), "json" | "default" | "none") {
            return Err(text.fault(7, "known: json, default, none"));
        }
        text = text.slice(end, text.len()).trim();
    }
    Ok((pieces(&text)?, escape))
}

/// What nginx makes of `'one' 'two'`; text that is not quoted as a whole stays as it is.
fn pieces(given: &Text) -> Result<Text, Fault> {
    if !matches!(given.get(0), Some(b'\'' | b'"')) {
        return Ok(given.clone());
    }
    let mut joined = Text::default();
    let mut at = 0;
    while let Some(quote) = given.get(at) {
        if quote.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if quote == b';' && at + 1 == given.len() {
            break;
        }
        // A format that only begins with a quoted piece: `"$request" $status`.
        if !matches!(quote, b'\'' | b'"') {
            return Ok(given.clone());
        }
        let open = at;
        at += 1;
        loop {
            match (given.get(at), given.get(at + 1)) {
                (None, _) if quote == b'\'' => {
                    return Err(given.fault(open, "this quote is not closed"));
                }
                (None, _) => return Ok(given.clone()),
                (Some(b'\\'), Some(next @ (b'"' | b'\'' | b'\\' | b't' | b'r' | b'n'))) => {
                    let byte = match next {
                        b't' => b'\t',
                        b'r' => b'\r',
                        b'n' => b'\n',
                        other => other,
                    };
                    joined.push(byte, given.place(at));
                    at += 2;
                }
                (Some(byte), _) if byte == quote => break,
                (Some(byte), _) => {
                    joined.push(byte, given.place(at));
                    at += 1;
                }
            }
        }
        at += 1;
    }
    Ok(joined)
}

fn variable(name: &str, text: Kind) -> Found {
    let known = |field, rank| Found::new(What::Known(field, Kind::Plain), rank, name);
    let quoted = |field, rank| Found::new(What::Known(field, text), rank, name);
    let count = |field, rank| Found::new(What::Number(field, Kind::Plain), rank, name);
    match name {
        "remote_addr" => known(Field::Ip, 3),
        "realip_remote_addr" => known(Field::Ip, 1),
        "remote_port" => known(Field::Port, 1),
        "remote_user" => quoted(Field::User, 1),
        "time_local" => Found::new(What::Clf, 1, name),
        "time_iso8601" => Found::new(What::Iso, 1, name),
        "msec" => Found::new(What::Epoch, 2, name),
        "request" => Found::new(What::Request(text), 9, "request"),
        "request_uri" => Found::new(What::Target(text), 3, name),
        "uri" | "document_uri" => quoted(Field::Path, 2),
        "args" | "query_string" => Found::new(What::Query(text), 2, name),
        "is_args" => Found::new(What::Mark, 0, name),
        "request_method" => known(Field::Method, 1),
        "server_protocol" => known(Field::Protocol, 1),
        "status" => Found::new(What::Status, 2, name),
        "body_bytes_sent" => count(Field::Bytes, 3),
        "bytes_sent" => count(Field::Bytes, 2),
        "sent_http_content_length" => count(Field::Bytes, 1),
        "request_length" => Found::named("bytes_in", text),
        "request_time" => count(Field::Duration, 2),
        "upstream_response_time" => known(Field::UpstreamDuration, 1).with_lists(),
        "upstream_addr" => known(Field::Upstream, 1).with_lists(),
        "host" => Found::new(What::Vhost, 3, name),
        "server_name" => Found::new(What::Vhost, 2, name),
        "http_host" => Found::new(What::Vhost, 1, "http.host"),
        "pid" => known(Field::Pid, 1),
        "connection" => known(Field::Thread, 1),
        "hostname" => known(Field::Host, 1),
        "proxy_add_x_forwarded_for" => Found::named("forwarded_for", text).with_lists(),
        "upstream_http_x_request_id" => Found::named(name, text),
        _ => other(name, text),
    }
}

/// Families of variables, and those that somebody has defined.
fn other(name: &str, text: Kind) -> Found {
    if name.starts_with("upstream_") {
        return Found::named(name, text).with_lists();
    }
    if let Some(header) = name.strip_prefix("http_") {
        let mut found = header_in(header);
        match &mut found.what {
            What::Known(_, kind) | What::Named(_, kind) => *kind = text,
            _ => {}
        }
        return found;
    }
    for (prefix, family) in [
        ("sent_http_", "sent"),
        ("sent_trailer_", "sent_trailer"),
        ("cookie_", "cookie"),
        ("arg_", "arg"),
    ] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return Found::named(format!("{family}.{}", key(rest)), text);
        }
    }
    Found::named(name, text)
}
