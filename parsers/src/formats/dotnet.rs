//! `dotnet`: the console logger of .NET and ASP.NET Core: `info: Shop.Orders[0]`, and the text behind it, indented on
//! lines of its own or on the same one.

use super::{Format, Read};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "dotnet",
    about: "the console logger of .NET and ASP.NET Core",
    starts: |b| b"tdiwfc".contains(&b),
    sure: false,
    read: Read::Code(|_: &mut Context, line, out| parse(line, out)),
};

/// The level with which a line begins.
pub(crate) fn level(line: &[u8]) -> Option<Severity> {
    if line.get(4..6) != Some(b": ") {
        return None;
    }
    Some(match line.get(..4)? {
        b"trce" | b"dbug" => Severity::Debug,
        b"info" => Severity::Info,
        b"warn" => Severity::Warn,
        b"fail" => Severity::Err,
        b"crit" => Severity::Crit,
        _ => return None,
    })
}

fn parse(line: &[u8], out: &mut Record) -> bool {
    let Some(level) = level(line) else {
        return false;
    };
    let mut s = Scan::from(line, 6);
    let category = s.run(|b| !matches!(b, b'[' | b' ' | b'\n'));
    if category.is_empty() || !s.eat(b'[') {
        return false;
    }
    let event = s.run(|b| b.is_ascii_digit() || b == b'-');
    if event.is_empty() || !s.eat(b']') {
        return false;
    }
    out.severity = Some(level);
    out.push(Field::Level, 0, 4, Kind::Plain);
    out.push(Field::Module, category.start, category.end, Kind::Plain);
    s.run(|b| matches!(b, b' ' | b'\n' | b'\r'));
    match s.done() {
        // Its text is on a line that is not joined.
        true => out.set_message(6, line.len()),
        false => out.set_message(s.at(), line.len()),
    }
    true
}
