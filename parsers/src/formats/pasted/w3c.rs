//! W3C extended logs: `w3c` for the lines that begin with `#`, of which `#Fields:` names the columns of
//! those that follow, and the format that such columns make.

use super::build::{Builder, Found};
use super::template::{Template, What};
use super::text::Text;
use super::{Fault, apache};
use crate::Context;
use crate::formats::{Format, Read};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;

/// See the module.
pub(in crate::formats) const FORMAT: Format = Format {
    name: "w3c",
    about: "W3C extended log of IIS and others; #Fields: names the columns",
    starts: |b| b == b'#',
    sure: false,
    read: Read::Code(directive),
};

/// More columns than any server has.
const COLUMNS_MAX: usize = 128;

/// The definition that a `#Fields:` line stands for.
pub(in crate::formats) fn columns(line: &[u8]) -> Option<String> {
    let names = line.strip_prefix(b"#Fields:")?;
    let names = std::str::from_utf8(names).ok()?;
    let mut definition = "w3c:".to_owned();
    for name in names.split_ascii_whitespace() {
        definition.push(' ');
        definition.push_str(name);
    }
    Some(definition)
}

/// `#Version: 1.0`, `#Software: …`, `#Date: 2026-11-21 05:19:12`, `#Fields: …`.
fn directive(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(line);
    s.skip(1);
    let name = s.run(|b| b.is_ascii_alphabetic() || b == b'-');
    if !s.eat(b':') {
        return false;
    }
    s.spaces();
    match line.get(name).unwrap_or_default() {
        b"Version" | b"Software" | b"Fields" | b"Remark" => {}
        b"Date" | b"Start-Date" | b"End-Date" => {
            let mut clock = super::clock::Clock::utc();
            let parts = super::clock::compile(&Text::of("%Y-%m-%d %H:%M:%S")).unwrap_or_default();
            if let Some(len) = clock.read(&parts, s.rest())
                && let Some(found) = clock.stamp()
            {
                let (time, _) = found.resolve(cx);
                out.set_time(time, s.at(), s.at() + len);
            }
        }
        _ => return false,
    }
    out.set_message(0, line.len());
    true
}

pub(super) fn compile(given: &Text) -> Result<Template, Fault> {
    let mut builder = Builder::of_columns();
    let mut at = 0;
    let mut count = 0;
    loop {
        while given.get(at).is_some_and(|b| b.is_ascii_whitespace()) {
            at += 1;
        }
        if at >= given.len() {
            break;
        }
        let start = at;
        while given.get(at).is_some_and(|b| !b.is_ascii_whitespace()) {
            at += 1;
        }
        count += 1;
        if count > COLUMNS_MAX {
            return Err(given.fault(start, format!("more than {COLUMNS_MAX} columns")));
        }
        if start > 0 {
            builder.blanks();
        }
        let name = String::from_utf8_lossy(given.range(start, at)).into_owned();
        builder.piece(column(&name)?, given, start, at);
    }
    builder.finish()
}

fn column(name: &str) -> Result<Found, Fault> {
    let label = apache::key(name);
    let known = |field, rank| Found::new(What::Known(field, Kind::Plain), rank, label.as_str());
    let count = |field, rank| {
        let what = What::Number(field, Kind::Plain);
        Found::new(what, rank, label.as_str())
    };
    let clock = |format: &str| {
        let parts = super::clock::compile(&Text::of(format))?;
        Ok(Found::new(What::Clock(parts.into()), 1, "time"))
    };
    Ok(match name.to_ascii_lowercase().as_str() {
        "date" => clock("%Y-%m-%d")?,
        "time" => clock("%H:%M:%S")?,
        "c-ip" => known(Field::Ip, 2),
        "c-port" => known(Field::Port, 1),
        "s-ip" => Found::named("server_ip", Kind::Plain),
        "s-port" => Found::named("server_port", Kind::Plain),
        "s-computername" => known(Field::Host, 1),
        "cs-method" => known(Field::Method, 1),
        "cs-uri-stem" => known(Field::Path, 2),
        "cs-uri-query" => Found::new(What::Query(Kind::Plain), 2, "args"),
        "cs-uri" => Found::new(What::Target(Kind::Plain), 1, "uri"),
        "cs-username" => known(Field::User, 1),
        "cs-version" | "cs-protocol-version" => known(Field::Protocol, 1),
        "cs-host" => Found::new(What::Vhost, 3, "cs_host"),
        "cs(host)" | "x-host-header" => Found::new(What::Vhost, 4, "http.host"),
        "s-sitename" => Found::new(What::Vhost, 1, "sitename"),
        "cs(user-agent)" => known(Field::Agent, 1),
        "cs(referer)" | "cs(referrer)" => known(Field::Referer, 1),
        "sc-status" => Found::new(What::Status, 1, "status"),
        "sc-bytes" => count(Field::Bytes, 1),
        "cs-bytes" => Found::named("bytes_in", Kind::Plain),
        "time-taken" => Found::new(What::TimeTaken, 1, "time_taken"),
        // Tomcat says so.
        "bytes" => count(Field::Bytes, 1),
        other => {
            let header = |of: &str| other.strip_prefix(of).and_then(|n| n.strip_suffix(')'));
            let name = match (header("cs("), header("sc(")) {
                (Some(header), _) => format!("http.{}", apache::key(header)),
                (None, Some(header)) => format!("sent.{}", apache::key(header)),
                (None, None) => label.trim_matches('_').to_owned(),
            };
            Found::named(name, Kind::Plain)
        }
    })
}
