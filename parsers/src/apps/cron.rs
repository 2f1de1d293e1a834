//! cron: `(root) CMD (run-parts /etc/cron.hourly)`.

use super::{pairs, pam};
use crate::Context;
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;

pub(super) fn message(cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    if pam::message(cx, text, out) {
        return true;
    }
    let mut s = Scan::new(text);
    if !s.eat(b'(') {
        return false;
    }
    let user = s.run(|b| b != b')');
    if !s.eat_all(b") ") {
        return false;
    }
    let action = s.run(|b| b != b'(');
    let action = action.start..action.start + s.text(action.clone()).trim_ascii_end().len();
    if action.is_empty() || !s.eat(b'(') || !text.ends_with(b")") {
        return false;
    }
    // `(CRON) INFO (…)` speaks of cron itself.
    if s.text(user.clone()) != b"CRON" {
        out.push(Field::User, user.start, user.end, Kind::Plain);
    }
    let command = matches!(s.text(action.clone()), b"CMD" | b"CMDEND");
    pairs::named(out, "action", action);
    if command {
        pairs::named(out, "command", s.at()..text.len() - 1);
    }
    true
}
