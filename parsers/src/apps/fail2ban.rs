//! fail2ban: `NOTICE  [sshd] Ban 203.0.113.9`, in syslog and in its own file.

use super::pairs;
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity};

pub(crate) fn message(_cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::new(text);
    let level = s.run(|b| b.is_ascii_uppercase());
    if !level.is_empty() {
        let word = s.text(level.clone());
        if !matches!(s.peek(), Some(b' ')) || Severity::from_word(word).is_none() {
            return false;
        }
        out.worsen(Severity::from_word(word));
        out.push(Field::Level, level.start, level.end, Kind::Plain);
        s.spaces();
    }
    let begin = s.at();
    if s.eat(b'[') {
        let jail = s.run(|b| b != b']');
        if s.eat_all(b"] ") {
            pairs::named(out, "jail", jail);
        } else {
            s = Scan::from(text, begin);
        }
    }
    let action = s.word();
    let known = matches!(
        s.text(action.clone()),
        b"Ban" | b"Unban" | b"Found" | b"Ignore" | b"Restore"
    );
    if known {
        pairs::named(out, "action", action.clone());
        s.eat(b' ');
        s.eat_all(b"Ban ");
        let ip = s.word();
        out.push(Field::Ip, ip.start, ip.end, Kind::Plain);
    }
    out.set_message(begin, text.len());
    known || begin > 0
}
