//! sudo and su: who became whom, to do what.

use super::{pairs, pam};
use crate::record::{Field, Kind, Record};
use crate::scan::{Scan, find};
use crate::{Context, Severity};

/// `alice : [reason ;] TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/bin/ls -l`.
pub(super) fn message(cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    if pam::message(cx, text, out) {
        return true;
    }
    let mut s = Scan::new(text);
    s.spaces();
    let user = s.run(|b| b != b' ');
    if user.is_empty() || !s.eat_all(b" : ") {
        return false;
    }
    out.push(Field::User, user.start, user.end, Kind::Plain);
    loop {
        let start = s.at();
        let end = find(s.rest(), b" ; ").map_or(s.len(), |n| start + n);
        let part = s.text(start..end);
        let value = |key: &[u8]| part.starts_with(key).then_some(start + key.len());
        if let Some(at) = value(b"COMMAND=") {
            // The last one: semicolons in it are its own.
            pairs::named(out, "command", at..s.len());
            return true;
        } else if let Some(at) = value(b"USER=") {
            pairs::named(out, "target_user", at..end);
        } else if let Some(at) = value(b"TTY=") {
            pairs::named(out, "tty", at..end);
        } else if let Some(at) = value(b"PWD=") {
            pairs::named(out, "pwd", at..end);
        } else if !part.contains(&b'=') {
            // `3 incorrect password attempts`, `user NOT in sudoers`, `command not allowed`.
            out.worsen(Some(Severity::Warn));
            pairs::named(out, "reason", start..end);
        }
        if end >= s.len() {
            return true;
        }
        s = Scan::from(text, end + 3);
    }
}

/// `(to root) alice on pts/0`, with `FAILED SU` before where it failed.
pub(super) fn su(cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    if pam::message(cx, text, out) {
        return true;
    }
    let mut s = Scan::new(text);
    if s.eat_all(b"FAILED SU ") {
        out.worsen(Some(Severity::Warn));
    }
    if !s.eat_all(b"(to ") {
        return false;
    }
    let target = s.run(|b| b != b')');
    if !s.eat_all(b") ") {
        return false;
    }
    let user = s.word();
    pairs::named(out, "target_user", target);
    out.push(Field::User, user.start, user.end, Kind::Plain);
    true
}
