//! The kernel: memory, disks, networks, crashes.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::pairs;
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity};

/// What is looked for in every message, so the searches are prepared.
const TEXTS: [&str; 9] = [
    "ut of memory: Kill",
    " invoked oom-killer",
    " SRC=",
    "segfault at",
    " error",
    " (device ",
    "Disk failure on ",
    "SYN flooding on port ",
    "ink ",
];
static FINDERS: LazyLock<[Finder<'static>; TEXTS.len()]> = LazyLock::new(|| TEXTS.map(Finder::new));
const KILL: usize = 0;
const INVOKED: usize = 1;
const SRC: usize = 2;
const SEGFAULT: usize = 3;
const ERROR: usize = 4;
const DEVICE: usize = 5;
const FAILURE: usize = 6;
const FLOOD: usize = 7;
const LINK: usize = 8;

/// Where one of [`TEXTS`] begins, and where it ends.
fn seek(text: usize, hay: &[u8]) -> Option<(usize, usize)> {
    let at = FINDERS.get(text)?.find(hay)?;
    Some((at, at + TEXTS.get(text)?.len()))
}

pub(crate) fn message(_cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(text);
    // `[12345.678901] ` where the kernel was told to print it.
    if s.eat(b'[') {
        s.spaces();
        s.run(|b| b.is_ascii_digit() || b == b'.');
        if !s.eat_all(b"] ") {
            s = Scan::new(text);
        }
    }
    memory(s, out) || filter(s, out) || crash(s, out) || disk(s, out) || network(s, out)
}

/// `Out of memory: Killed process 12 (java) total-vm:…`, also of a control group;
/// `oom-kill:constraint=…,task=java,pid=12,uid=0`.
fn memory(mut s: Scan<'_>, out: &mut Record) -> bool {
    let rest = s.rest();
    if let Some((_, end)) = seek(KILL, rest) {
        s.skip(end);
        // `Killed process`, `Kill process`
        s.word();
        if !s.eat_all(b" process ") {
            return false;
        }
        let pid = s.digits();
        s.eat_all(b" (");
        let name = s.run(|b| b != b')');
        pairs::named(out, "oom.pid", pid);
        pairs::named(out, "oom.process", name);
        out.worsen(Some(Severity::Err));
        return true;
    }
    if s.eat_all(b"oom-kill:") {
        pairs::read(&mut s, b",", out, |key, at, out| match key {
            b"task" => pairs::named(out, "oom.process", at),
            b"pid" => pairs::named(out, "oom.pid", at),
            b"task_memcg" => pairs::named(out, "oom.cgroup", at),
            _ => {}
        });
        out.worsen(Some(Severity::Err));
        return true;
    }
    if let Some((at, _)) = seek(INVOKED, rest) {
        pairs::named(out, "oom.invoker", s.at()..s.at() + at);
        out.worsen(Some(Severity::Err));
        return true;
    }
    false
}

/// netfilter's `[prefix] IN=eth0 OUT= MAC=… SRC=… DST=… PROTO=TCP SPT=… DPT=…`.
fn filter(mut s: Scan<'_>, out: &mut Record) -> bool {
    if seek(SRC, s.rest()).is_none() {
        return false;
    }
    let Some(at) = crate::scan::find(s.rest(), b"IN=") else {
        return false;
    };
    s.skip(at);
    pairs::read(&mut s, b"", out, |key, at, out| match key {
        b"SRC" => out.push(Field::Ip, at.start, at.end, Kind::Plain),
        b"SPT" => out.push(Field::Port, at.start, at.end, Kind::Plain),
        b"IN" => pairs::named(out, "in", at),
        b"OUT" => pairs::named(out, "out", at),
        b"DST" => pairs::named(out, "dst", at),
        b"DPT" => pairs::named(out, "dpt", at),
        b"PROTO" => pairs::named(out, "proto", at),
        _ => {}
    });
    true
}

/// `app[12]: segfault at …`, `traps: app[12] general protection …`, `INFO: task app:12 blocked for more`.
fn crash(mut s: Scan<'_>, out: &mut Record) -> bool {
    let rest = s.rest();
    let hung = s.eat_all(b"INFO: task ");
    if !hung && seek(SEGFAULT, rest).is_none() && !s.eat_all(b"traps: ") {
        return false;
    }
    let name = s.run(|b| !matches!(b, b'[' | b':' | b' '));
    if !s.eat(b'[') && !s.eat(b':') {
        return false;
    }
    let pid = s.digits();
    pairs::named(out, "process", name);
    pairs::named(out, "process_pid", pid);
    out.worsen(Some(Severity::Err));
    true
}

/// The device in what drivers and file systems say of it.
fn disk(mut s: Scan<'_>, out: &mut Record) -> bool {
    let base = s.at();
    let rest = s.rest();
    let word = |at: usize| -> Range<usize> {
        let tail = rest.get(at..).unwrap_or_default();
        let end = tail
            .iter()
            .position(|b| matches!(b, b' ' | b',' | b')' | b':' | b']'));
        base + at..base + at + end.unwrap_or(tail.len())
    };
    // `I/O error, dev sda, …`, `Buffer I/O error on dev sda1, …`, `critical medium error, dev sda, …`
    if let Some((_, end)) = seek(ERROR, rest) {
        let mut probe = s;
        probe.skip(end);
        let _ = probe.eat(b',') || probe.eat_all(b" on");
        if probe.eat_all(b" dev ") || probe.eat_all(b" device ") {
            out.worsen(Some(Severity::Err));
            pairs::named(out, "device", word(probe.at() - base));
            return true;
        }
    }
    // `EXT4-fs error (device sda1): …`
    if let Some((at, end)) = seek(DEVICE, rest) {
        if rest.get(..at).is_some_and(|head| head.ends_with(b"error")) {
            out.worsen(Some(Severity::Err));
        }
        pairs::named(out, "device", word(end));
        return true;
    }
    if let Some((_, end)) = seek(FAILURE, rest) {
        out.worsen(Some(Severity::Err));
        pairs::named(out, "device", word(end));
        return true;
    }
    if s.eat_all(b"EXT4-fs (") || s.eat_all(b"XFS (") {
        let device = s.run(|b| b != b')');
        pairs::named(out, "device", device);
        return true;
    }
    // `sd 0:0:0:0: [sda] …`
    if s.eat_all(b"sd ") {
        s.word();
        if s.eat_all(b" [") {
            let device = s.run(|b| b != b']');
            pairs::named(out, "device", device);
            return true;
        }
        return false;
    }
    // `nvme nvme0: I/O 12 QID 4 timeout`, `ata1.00: failed command`
    if s.eat_all(b"nvme ")
        || rest.starts_with(b"ata") && rest.get(3).is_some_and(u8::is_ascii_digit)
    {
        let device = s.run(|b| b.is_ascii_alphanumeric() || b == b'.');
        if s.peek() != Some(b':') {
            return false;
        }
        pairs::named(out, "device", device);
        return true;
    }
    false
}

/// The interface whose link went up or down; a port that is flooded; a table that is full.
fn network(mut s: Scan<'_>, out: &mut Record) -> bool {
    let rest = s.rest();
    let base = s.at();
    if s.eat_all(b"NETDEV WATCHDOG: ") {
        let interface = s.run(|b| !matches!(b, b' ' | b':'));
        pairs::named(out, "interface", interface);
        out.worsen(Some(Severity::Err));
        return true;
    }
    if rest.starts_with(b"nf_conntrack: table full")
        || rest.starts_with(b"nf_conntrack: nf_conntrack: table full")
    {
        out.worsen(Some(Severity::Err));
        return true;
    }
    if let Some((_, end)) = seek(FLOOD, rest) {
        let port = rest.get(end..).unwrap_or_default();
        // `port 80.`, since 6.0 `port 192.0.2.1:80.`
        let len = port
            .iter()
            .take_while(|b| !matches!(b, b' ' | b','))
            .count();
        let dot = port.get(..len).is_some_and(|p| p.ends_with(b"."));
        let start = base + end;
        pairs::named(out, "dpt", start..start + len - usize::from(dot));
        return true;
    }
    let Some((link, end)) = seek(LINK, rest) else {
        return false;
    };
    let state = rest.get(end..).unwrap_or_default();
    if !state.starts_with(b"is ") && !state.starts_with(b"becomes ") {
        return false;
    }
    // `e1000e 0000:00:1f.6 eth0: NIC Link is Down`: the word before the last colon before it.
    let head = rest.get(..link).unwrap_or_default();
    let Some(colon) = memchr::memmem::rfind(head, b": ") else {
        return false;
    };
    let head = head.get(..colon).unwrap_or_default();
    // `IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready`
    let start = memchr::memrchr(b' ', head).map_or(0, |n| n + 1);
    pairs::named(out, "interface", base + start..base + colon);
    let down = [&b"is down"[..], b"is Down"];
    if down.iter().any(|d| state.starts_with(d)) {
        out.worsen(Some(Severity::Warn));
    }
    true
}
