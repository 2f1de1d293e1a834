//! systemd: what became of a unit.

use super::pairs;
use crate::record::{Field, Kind, Record};
use crate::scan::{Scan, find};
use crate::{Context, Severity};

/// A verb before a unit, as the manager writes it.
fn is_verb(word: &[u8]) -> bool {
    matches!(
        word,
        b"Starting"
            | b"Started"
            | b"Stopping"
            | b"Stopped"
            | b"Reloading"
            | b"Reloaded"
            | b"Finished"
            | b"Mounting"
            | b"Mounted"
            | b"Unmounting"
            | b"Unmounted"
            | b"Reached"
            | b"Listening"
            | b"Closed"
            | b"Created"
            | b"Removed"
            | b"Activating"
            | b"Activated"
            | b"Deactivating"
            | b"Deactivated"
            | b"Failed"
    )
}

pub(super) fn message(_cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(text);
    let first = s.word();
    let word = s.text(first.clone());
    if let Some(name) = word.strip_suffix(b":") {
        return is_unit(name) && {
            out.push_named(&[b"unit"], first.start..first.end - 1, Kind::Plain);
            s.eat(b' ');
            of_unit(s, out);
            true
        };
    }
    if !is_verb(word) {
        return false;
    }
    pairs::named(out, "action", first);
    if word == b"Failed" {
        out.worsen(Some(Severity::Err));
    }
    // `Failed to start`, `Reached target`, `Listening on`.
    for filler in [
        &b" to start"[..],
        b" to mount",
        b" to listen on",
        b" target",
        b" on",
    ] {
        s.eat_all(filler);
    }
    s.eat(b' ');
    let name = s.word();
    let bare = s.text(name.clone());
    let dot = usize::from(bare.ends_with(b".") || bare.ends_with(b":"));
    if is_unit(s.text(name.start..name.end - dot.min(name.len()))) {
        pairs::named(out, "unit", name.start..name.end - dot);
    }
    true
}

/// What stands behind `name.service: `.
fn of_unit(s: Scan<'_>, out: &mut Record) {
    let text = s.rest();
    let base = s.at();
    let after = |needle: &[u8]| find(text, needle).map(|n| n + needle.len());
    let until = |at: usize, stop: &[u8]| {
        let rest = text.get(at..).unwrap_or_default();
        let n = rest.iter().position(|b| stop.contains(b));
        base + at..base + at + n.unwrap_or(rest.len())
    };
    if let Some(at) = after(b"Failed with result '") {
        out.worsen(Some(Severity::Err));
        pairs::named(out, "result", until(at, b"'"));
    } else if let Some(at) = after(b"process exited, code=") {
        let code = until(at, b",");
        let behind = |at: &usize| base + at >= code.end;
        pairs::named(out, "exit_code", code.clone());
        if let Some(at) = after(b"status=").filter(behind) {
            let status = until(at, b" ,)");
            if !s.text(status.clone()).starts_with(b"0") {
                out.worsen(Some(Severity::Warn));
            }
            pairs::named(out, "exit_status", status);
        }
    } else if let Some(at) = after(b"restart counter is at ") {
        pairs::named(out, "restarts", until(at, b". "));
    } else if text.starts_with(b"A process of this unit has been killed by the OOM killer") {
        out.worsen(Some(Severity::Err));
    }
}

/// `name.service` and the like.
fn is_unit(name: &[u8]) -> bool {
    let Some(dot) = memchr::memrchr(b'.', name).filter(|&at| at > 0) else {
        return false;
    };
    matches!(
        name.get(dot + 1..).unwrap_or_default(),
        b"service"
            | b"socket"
            | b"mount"
            | b"target"
            | b"timer"
            | b"path"
            | b"slice"
            | b"scope"
            | b"device"
            | b"swap"
            | b"automount"
    )
}

/// `New session 3 of user alice.`, `Session 3 logged out. …`, `Removed session 3.`
pub(super) fn logind(_cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let Some(at) = find(text, b"ession ").map(|n| n + 7) else {
        return false;
    };
    let mut s = Scan::from(text, at);
    let id = s.run(|b| b.is_ascii_alphanumeric());
    pairs::named(out, "session", id);
    if s.eat_all(b" of user ") {
        let user = s.run(|b| b != b' ');
        let dot = usize::from(s.text(user.clone()).ends_with(b"."));
        out.push(Field::User, user.start, user.end - dot, Kind::Plain);
    }
    true
}
