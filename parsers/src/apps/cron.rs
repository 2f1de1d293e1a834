//! cron: `(root) CMD (run-parts /etc/cron.hourly)`, and anacron's jobs.

use super::{pairs, pam};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, Severity};

pub(super) fn message(cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    if pam::message(cx, text, out) {
        return true;
    }
    let mut s = Scan::new(text);
    if s.eat_all(b"Error: ") {
        out.worsen(Some(Severity::Err));
        return true;
    }
    if !s.eat(b'(') {
        return job(s, out);
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
    let command = match s.text(action.clone()) {
        b"CMD" | b"CMDEND" | b"END" => true,
        b"ERROR" | b"error" => {
            out.worsen(Some(Severity::Err));
            false
        }
        _ => false,
    };
    pairs::named(out, "action", action);
    if command {
        // With more to say, cron puts the child's process first.
        let mut child = s;
        if child.eat(b'[') && !child.digits().is_empty() && child.eat_all(b"] ") {
            s = child;
        }
        pairs::named(out, "command", s.at()..text.len() - 1);
    }
    true
}

/// anacron's ``Job `cron.daily' terminated (exit status: 1)``.
fn job(mut s: Scan<'_>, out: &mut Record) -> bool {
    if !s.eat_all(b"Job `") && !s.eat_all(b"Will run job `") {
        return false;
    }
    let name = s.run(|b| b != b'\'');
    pairs::named(out, "job", name);
    if s.eat_all(b"' terminated (exit status: ") {
        let status = s.digits();
        pairs::named(out, "exit_status", status);
        out.worsen(Some(Severity::Warn));
    }
    true
}
