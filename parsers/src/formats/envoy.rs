//! `envoy`: Envoy's default access log, and Istio's, which has a few pieces more.

use std::ops::Range;

use super::{Format, Read, access};
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;
use crate::{Context, minute};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "envoy",
    about: "Envoy's default access log, and Istio's",
    starts: |b| b == b'[',
    sure: true,
    read: Read::Code(parse),
};

/// Pieces between the flags and the counts: Istio's details.
const DETAILS_MAX: usize = 3;

/// `[TIME] "METHOD path HTTP/x" status flags [details termination "failure"] received sent duration upstream "forwarded
/// for" "agent" "request id" "authority" "upstream" [cluster local local remote …]`.
fn parse(cx: &mut Context, line: &[u8], out: &mut Record) -> bool {
    let mut s = Scan::from(line, 1);
    // `T` as Envoy has it: nearly all other lines end here.
    if line.get(11) != Some(&b'T') {
        return false;
    }
    let Some(found) = minute::iso(cx, s.rest()) else {
        return false;
    };
    s.skip(found.len);
    if !s.eat_all(b"] ") {
        return false;
    }
    let Some(request) = s.quoted() else {
        return false;
    };
    let (time, guessed) = found.resolve(cx);
    out.set_time(time, 1, 1 + found.len);
    out.flags.time_guessed |= guessed;
    access::split_request(&s, request, out);
    if !s.eat(b' ') {
        return false;
    }
    let code = s.digits();
    let flags = next(&mut s);
    if code.is_empty() || flags.is_empty() {
        return false;
    }
    // 0 is a connection that had no answer.
    if code.len() == 3 {
        out.worsen(access::severity(s.text(code.clone())));
        out.push(Field::Status, code.start, code.end, Kind::Plain);
    }
    named(&s, "response_flags", flags, Kind::Plain, out);
    counts(&mut s, out) && {
        clients(&mut s, out);
        out.set_message(0, line.len());
        true
    }
}

/// The next word or quoted piece, without its quotes; empty at the end.
fn next(s: &mut Scan<'_>) -> Range<usize> {
    s.eat(b' ');
    match s.quoted() {
        Some(inside) => inside,
        None => s.word(),
    }
}

fn named(s: &Scan<'_>, name: &'static str, at: Range<usize>, kind: Kind, out: &mut Record) {
    if s.text(at.clone()) == b"-" {
        return;
    }
    match name {
        "termination" => out.push(Field::Termination, at.start, at.end, kind),
        _ => out.push_own(name, at, kind),
    }
}

/// Istio's details, and the four counts.
fn counts(s: &mut Scan<'_>, out: &mut Record) -> bool {
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let mut received = next(s);
    for name in ["details", "termination", "failure"]
        .iter()
        .take(DETAILS_MAX)
    {
        if is_number(s.text(received.clone())) {
            break;
        }
        named(s, name, received, Kind::Quoted, out);
        received = next(s);
    }
    let (sent, duration, upstream) = (next(s), next(s), next(s));
    if ![&received, &sent, &duration]
        .iter()
        .all(|at| is_number(s.text((*at).clone())))
    {
        return false;
    }
    named(s, "bytes_in", received, Kind::Plain, out);
    out.push(Field::Bytes, sent.start, sent.end, Kind::Plain);
    out.push(Field::Duration, duration.start, duration.end, Kind::Millis);
    if is_number(s.text(upstream.clone())) {
        out.push(
            Field::UpstreamDuration,
            upstream.start,
            upstream.end,
            Kind::Millis,
        );
    }
    true
}

/// Who asked, for what, and who answered.
fn clients(s: &mut Scan<'_>, out: &mut Record) {
    let known = |s: &Scan<'_>, field, at: Range<usize>, out: &mut Record| {
        if s.text(at.clone()) != b"-" {
            out.push(field, at.start, at.end, Kind::Quoted);
        }
    };
    let forwarded = next(s);
    named(s, "forwarded_for", forwarded, Kind::Quoted, out);
    let agent = next(s);
    known(s, Field::Agent, agent, out);
    let id = next(s);
    named(s, "request_id", id, Kind::Quoted, out);
    let authority = next(s);
    let port = access::without_port(s.text(authority.clone()));
    known(
        s,
        Field::Vhost,
        authority.start..authority.start + port,
        out,
    );
    let upstream = next(s);
    known(s, Field::Upstream, upstream, out);
    let cluster = next(s);
    named(s, "cluster", cluster, Kind::Plain, out);
    let (_, _, remote) = (next(s), next(s), next(s));
    let address = s.text(remote.clone());
    let ip = access::without_port(address);
    if ip < address.len() {
        out.push(Field::Ip, remote.start, remote.start + ip, Kind::Plain);
        out.push(Field::Port, remote.start + ip + 1, remote.end, Kind::Plain);
    }
}
