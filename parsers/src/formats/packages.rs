//! What the package tools write: `dpkg` and `apt`.

use super::{Format, Read};
use crate::record::{Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity, minute};

/// dpkg.log.
pub(super) const DPKG: Format = Format {
    name: "dpkg",
    about: "dpkg's log: what was installed, removed, configured",
    starts: |b| b.is_ascii_digit(),
    sure: false,
    read: Read::Code(dpkg),
};
/// apt/history.log.
pub(super) const APT: Format = Format {
    name: "apt",
    about: "apt's history: one stanza of lines for each run",
    starts: |b| b.is_ascii_uppercase(),
    sure: false,
    read: Read::Code(apt),
};

fn dpkg(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    const ACTIONS: &[&[u8]] = &[
        b"status",
        b"install",
        b"upgrade",
        b"remove",
        b"purge",
        b"configure",
        b"trigproc",
        b"startup",
        b"conffile",
        b"disappear",
    ];
    if line.get(10) != Some(&b' ') {
        return false;
    }
    let Some(found) = minute::iso(cx, line).filter(|f| f.len == 19) else {
        return false;
    };
    let mut s = Scan::from(line, found.len);
    if !s.eat(b' ') {
        return false;
    }
    let start = s.at();
    let action = s.word();
    let what = s.text(action.clone());
    if !ACTIONS.contains(&what) || !s.eat(b' ') {
        return false;
    }
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 0, found.len);
    out.flags.time_guessed |= guessed;
    out.set_message(start, s.len());
    out.push_named(&[b"action"], action, Kind::Plain);
    if matches!(what, b"startup" | b"conffile") {
        return true;
    }
    if what == b"status" {
        let state = s.word();
        out.push_named(&[b"state"], state, Kind::Plain);
        s.eat(b' ');
    }
    let package = s.word();
    out.push_named(&[b"package"], package, Kind::Plain);
    s.eat(b' ');
    let version = s.word();
    // `install PACKAGE OLD NEW`: the new one counts.
    let version = if s.eat(b' ') && s.text(s.at()..s.len()) != b"<none>" {
        s.word()
    } else {
        version
    };
    out.push_named(&[b"version"], version, Kind::Plain);
    true
}

fn apt(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    const KEYS: &[&[u8]] = &[
        b"Start-Date",
        b"End-Date",
        b"Commandline",
        b"Requested-By",
        b"Install",
        b"Upgrade",
        b"Remove",
        b"Purge",
        b"Reinstall",
        b"Downgrade",
        b"Error",
    ];
    let mut s = Scan::new(line);
    let key = s.run(|b| b.is_ascii_alphabetic() || b == b'-');
    let name = s.text(key.clone());
    if !KEYS.contains(&name) || !s.eat_all(b": ") {
        return false;
    }
    out.set_message(0, line.len());
    if name.ends_with(b"-Date") {
        let Some(found) = minute::iso(cx, s.rest()) else {
            return false;
        };
        let (time, guessed) = found.resolve(cx);
        out.set_time(time, s.at(), s.at() + found.len);
        out.flags.time_guessed |= guessed;
    } else if name == b"Error" {
        out.worsen(Some(Severity::Err));
    }
    out.push_named(&[b"action"], key, Kind::Plain);
    true
}
