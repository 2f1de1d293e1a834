//! The kernel: memory, disks, networks, crashes.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::pairs;
use crate::record::{Field, Kind, Record};
use crate::scan::{Scan, find, near};
use crate::{Context, Severity};

/// The one text that is looked for in every message; all else is known by how it begins.
static LINK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("ink "));

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
    // Each group of messages has few first bytes, and most messages are in none.
    let by_beginning = match s.peek() {
        Some(b'O' | b'M' | b'o') => memory(s, out),
        Some(b'b' | b'I' | b'B' | b'c' | b'E' | b'm' | b'X' | b's' | b'a') => disk(s, out),
        Some(b'n') => disk(s, out) || network(s, out),
        Some(b'N' | b'T') => network(s, out),
        _ => false,
    };
    by_beginning || by_word(s, out) || filter(s, out) || link(s, out)
}

/// `java invoked oom-killer: …`, `app[12]: segfault at …` and other crashes: the program comes first.
fn by_word(s: Scan<'_>, out: &mut Record) -> bool {
    let mut probe = s;
    let name = probe.word();
    if probe.rest().starts_with(b" invoked oom-killer") {
        pairs::named(out, "oom.invoker", name);
        out.worsen(Some(Severity::Err));
        return true;
    }
    let crashes = match s.text(name) {
        b"traps:" | b"INFO:" => true,
        word => near(word, [b'[']).is_some(),
    };
    crashes && crash(s, out)
}

/// `Out of memory: Killed process 12 (java) total-vm:…`, also of a control group;
/// `oom-kill:constraint=…,task=java,pid=12,uid=0`.
fn memory(mut s: Scan<'_>, out: &mut Record) -> bool {
    if s.eat_all(b"Out of memory: Kill") || s.eat_all(b"Memory cgroup out of memory: Kill") {
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
    false
}

/// netfilter's `[prefix] IN=eth0 OUT= MAC=… SRC=… DST=… PROTO=TCP SPT=… DPT=…`.
fn filter(mut s: Scan<'_>, out: &mut Record) -> bool {
    // `IN=` comes first of all, so no other pair is before it.
    let Some(at) = memchr::memchr(b'=', s.rest()).and_then(|at| at.checked_sub(2)) else {
        return false;
    };
    let pairs = s.rest().get(at..).unwrap_or_default();
    if !pairs.starts_with(b"IN=") || find(pairs, b" SRC=").is_none() {
        return false;
    }
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
    let hung = s.eat_all(b"INFO: task ");
    let trap = !hung && s.eat_all(b"traps: ");
    let name = s.run(|b| !matches!(b, b'[' | b':' | b' '));
    let next = if hung { b':' } else { b'[' };
    if !s.eat(next) {
        return false;
    }
    let pid = s.digits();
    if !hung && !trap && !s.rest().starts_with(b"]: segfault at") {
        return false;
    }
    pairs::named(out, "process", name);
    pairs::named(out, "process_pid", pid);
    out.worsen(Some(Severity::Err));
    true
}

/// The device in what drivers and file systems say of it.
fn disk(mut s: Scan<'_>, out: &mut Record) -> bool {
    // `I/O error, dev sda, …`, `blk_update_request: critical medium error, dev sda, …`
    let mut probe = s;
    probe.eat_all(b"blk_update_request: ");
    for error in [
        &b"I/O error"[..],
        b"Buffer I/O error",
        b"critical medium error",
        b"critical target error",
    ] {
        if probe.eat_all(error) {
            let _ = probe.eat(b',') || probe.eat_all(b" on");
            if !probe.eat_all(b" dev ") && !probe.eat_all(b" device ") {
                return false;
            }
            out.worsen(Some(Severity::Err));
            return device(&mut probe, out);
        }
    }
    // `EXT4-fs error (device sda1): …`, `BTRFS info (device sda1): …`
    if s.rest().starts_with(b"EXT4-fs ") || s.rest().starts_with(b"BTRFS") {
        let mut probe = s;
        let head = probe.run(|b| b != b'(');
        if probe.eat_all(b"(device ") {
            if s.text(head).ends_with(b"error ") {
                out.worsen(Some(Severity::Err));
            }
            return device(&mut probe, out);
        }
    }
    // `md/raid1:md0: Disk failure on sdb1, …`
    if s.rest().starts_with(b"md/")
        && let Some(at) = find(s.rest(), b"Disk failure on ")
    {
        s.skip(at + 16);
        out.worsen(Some(Severity::Err));
        return device(&mut s, out);
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
    let rest = s.rest();
    let ata = rest.starts_with(b"ata") && rest.get(3).is_some_and(u8::is_ascii_digit);
    if s.eat_all(b"nvme ") || ata {
        let device = s.run(|b| b.is_ascii_alphanumeric() || b == b'.');
        if s.peek() != Some(b':') {
            return false;
        }
        pairs::named(out, "device", device);
        return true;
    }
    false
}

/// The word that comes next.
fn device(s: &mut Scan<'_>, out: &mut Record) -> bool {
    let name = s.run(|b| !matches!(b, b' ' | b',' | b')' | b':' | b']'));
    pairs::named(out, "device", name);
    true
}

/// A queue that hangs; a port that is flooded; a table that is full.
fn network(mut s: Scan<'_>, out: &mut Record) -> bool {
    let rest = s.rest();
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
    if rest.starts_with(b"TCP: ")
        && let Some(at) = find(rest, b"SYN flooding on port ")
    {
        s.skip(at + 21);
        // `port 80.`, since 6.0 `port 192.0.2.1:80.`
        let port = s.run(|b| !matches!(b, b' ' | b','));
        let dot = usize::from(s.text(port.clone()).ends_with(b"."));
        pairs::named(out, "dpt", port.start..port.end - dot);
        return true;
    }
    false
}

/// `e1000e 0000:00:1f.6 eth0: NIC Link is Down`, `eth0: link becomes ready`.
fn link(s: Scan<'_>, out: &mut Record) -> bool {
    let (rest, base) = (s.rest(), s.at());
    let Some(link) = LINK.find(rest) else {
        return false;
    };
    let end = link + 4;
    let state = rest.get(end..).unwrap_or_default();
    if !state.starts_with(b"is ") && !state.starts_with(b"becomes ") {
        return false;
    }
    // The word before the last colon before it.
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
