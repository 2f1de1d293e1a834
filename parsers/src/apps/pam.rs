//! PAM's own lines, which programs log under their names: `pam_unix(sshd:session): session opened for
//! user root(uid=0) by alice(uid=1000)`, `pam_unix(sudo:auth): authentication failure; … user=alice`.

use super::pairs;
use crate::record::{Field, Kind, Record};
use crate::scan::{Scan, find};
use crate::{Context, Severity};

pub(super) fn message(_cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    if !text.starts_with(b"pam_") {
        return false;
    }
    let mut s = Scan::new(text);
    let module = s.run(|b| b != b'(' && b != b':');
    out.push(Field::Module, module.start, module.end, Kind::Plain);
    if let Some(at) = find(text, b"session opened for user ")
        .map(|n| n + 24)
        .or_else(|| find(text, b"session closed for user ").map(|n| n + 24))
    {
        s = Scan::from(text, at - 16);
        let action = s.word();
        pairs::named(out, "action", action);
        s = Scan::from(text, at);
        let user = s.run(|b| !matches!(b, b'(' | b' '));
        out.push(Field::User, user.start, user.end, Kind::Plain);
        return true;
    }
    let Some(at) = find(text, b"authentication failure") else {
        return true;
    };
    out.worsen(Some(Severity::Warn));
    s = Scan::from(text, at);
    s.run(|b| b != b';');
    // `logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root`
    pairs::read(&mut s, b";", out, |key, at, out| match key {
        b"rhost" => out.push(Field::Ip, at.start, at.end, Kind::Plain),
        b"user" => out.push(Field::User, at.start, at.end, Kind::Plain),
        b"tty" => pairs::named(out, "tty", at),
        _ => {}
    });
    true
}
