//! Keys of access logs in JSON and logfmt, and the fields that they are: nginx' variables, Caddy,
//! Traefik, Envoy, Google's and Elastic's schemes, pino and bunyan.
//!
//! Only names that can mean nothing else are here; so `size` counts only behind a Caddy request.

use std::ops::Range;

use super::access;
use crate::Severity;
use crate::record::{Field, Kind, Record};
use crate::scan::Scan;

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Plain(Field),
    /// A number of something that is shown in seconds.
    Scaled(Field, Kind),
    /// A number of seconds with an `s` behind it.
    Seconds(Field),
    Vhost,
    /// `METHOD target HTTP/x`.
    Request,
    /// Path and query.
    Target,
    Status,
    /// An array whose first entry counts, as Caddy has headers.
    First(Field),
    /// Caddy's client behind trusted proxies, which comes after the peer.
    Client,
}

use Role::{Client, First, Plain, Request, Scaled, Seconds, Status, Target, Vhost};

pub(super) const KEYS: &[(&str, Role)] = &[
    // nginx' variables under their own names.
    ("remote_addr", Plain(Field::Ip)),
    ("remote_port", Plain(Field::Port)),
    ("remote_user", Plain(Field::User)),
    ("request", Request),
    ("request_method", Plain(Field::Method)),
    ("request_uri", Target),
    ("uri", Target),
    ("server_protocol", Plain(Field::Protocol)),
    ("body_bytes_sent", Plain(Field::Bytes)),
    ("bytes_sent", Plain(Field::Bytes)),
    ("request_time", Plain(Field::Duration)),
    ("upstream_response_time", Plain(Field::UpstreamDuration)),
    ("upstream_addr", Plain(Field::Upstream)),
    ("server_name", Vhost),
    ("http_host", Vhost),
    ("http_referer", Plain(Field::Referer)),
    ("http_user_agent", Plain(Field::Agent)),
    // Names that many give.
    ("client_ip", Plain(Field::Ip)),
    ("clientip", Plain(Field::Ip)),
    ("clientIp", Plain(Field::Ip)),
    ("remote_ip", Plain(Field::Ip)),
    ("remoteIp", Plain(Field::Ip)),
    ("user_agent", Plain(Field::Agent)),
    ("userAgent", Plain(Field::Agent)),
    ("referrer", Plain(Field::Referer)),
    ("status_code", Status),
    ("statusCode", Status),
    ("http_status", Status),
    ("responseSize", Plain(Field::Bytes)),
    ("responseTime", Scaled(Field::Duration, Kind::Millis)),
    // Caddy.
    ("request.remote_ip", Plain(Field::Ip)),
    ("request.client_ip", Client),
    ("request.remote_port", Plain(Field::Port)),
    ("request.proto", Plain(Field::Protocol)),
    ("request.method", Plain(Field::Method)),
    ("request.host", Vhost),
    ("request.uri", Target),
    ("request.headers.User-Agent", First(Field::Agent)),
    ("request.headers.Referer", First(Field::Referer)),
    ("user_id", Plain(Field::User)),
    // Traefik.
    ("ClientHost", Plain(Field::Ip)),
    ("ClientPort", Plain(Field::Port)),
    ("ClientUsername", Plain(Field::User)),
    ("RequestHost", Vhost),
    ("RequestMethod", Plain(Field::Method)),
    ("RequestPath", Target),
    ("RequestProtocol", Plain(Field::Protocol)),
    ("DownstreamStatus", Status),
    ("DownstreamContentSize", Plain(Field::Bytes)),
    ("Duration", Scaled(Field::Duration, Kind::Nanos)),
    (
        "OriginDuration",
        Scaled(Field::UpstreamDuration, Kind::Nanos),
    ),
    ("ServiceAddr", Plain(Field::Upstream)),
    ("request_User-Agent", Plain(Field::Agent)),
    ("request_Referer", Plain(Field::Referer)),
    // pino-http and bunyan.
    ("req.method", Plain(Field::Method)),
    ("req.url", Target),
    ("req.remoteAddress", Plain(Field::Ip)),
    ("req.remotePort", Plain(Field::Port)),
    ("req.headers.host", Vhost),
    ("req.headers.user-agent", Plain(Field::Agent)),
    ("req.headers.referer", Plain(Field::Referer)),
    ("res.statusCode", Status),
    // Elastic's common schema.
    ("http.request.method", Plain(Field::Method)),
    ("http.request.referrer", Plain(Field::Referer)),
    ("http.response.status_code", Status),
    ("http.response.body.bytes", Plain(Field::Bytes)),
    ("url.original", Target),
    ("url.path", Plain(Field::Path)),
    ("url.query", Plain(Field::Query)),
    ("url.domain", Vhost),
    ("source.ip", Plain(Field::Ip)),
    ("client.ip", Plain(Field::Ip)),
    ("user_agent.original", Plain(Field::Agent)),
    ("event.duration", Scaled(Field::Duration, Kind::Nanos)),
    // Google's.
    ("httpRequest.requestMethod", Plain(Field::Method)),
    ("httpRequest.requestUrl", Target),
    ("httpRequest.protocol", Plain(Field::Protocol)),
    ("httpRequest.status", Status),
    ("httpRequest.responseSize", Plain(Field::Bytes)),
    ("httpRequest.userAgent", Plain(Field::Agent)),
    ("httpRequest.remoteIp", Plain(Field::Ip)),
    ("httpRequest.referer", Plain(Field::Referer)),
    ("httpRequest.latency", Seconds(Field::Duration)),
    // Tomcat's.
    ("requestHeaders.User-Agent", Plain(Field::Agent)),
    ("requestHeaders.Referer", Plain(Field::Referer)),
    // PostgreSQL's jsonlog.
    ("dbname", Plain(Field::Database)),
    ("remote_host", Plain(Field::Ip)),
    ("state_code", Plain(Field::Code)),
    // OpenTelemetry's older names, Envoy's.
    ("http.method", Plain(Field::Method)),
    ("http.target", Target),
    ("http.status_code", Status),
    ("response_code", Status),
];

/// Whether a name is these parts, joined by dots.
#[inline]
pub(super) fn is_joined(mut name: &[u8], parts: &[&[u8]]) -> bool {
    let (Some((last, before)), true) = (parts.split_last(), !name.is_empty()) else {
        return false;
    };
    for part in before {
        let rest = name.strip_prefix(*part);
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix(b".")) else {
            return false;
        };
        name = rest;
    }
    name == *last
}

/// What a line has shown of a request.
#[derive(Clone, Copy, Default)]
pub(super) struct Web {
    request: bool,
    caddy: bool,
    nginx: bool,
    level: Option<Severity>,
}

impl Web {
    /// Takes a pair whose key has a role; `false` if it is none after all.
    pub(super) fn take(
        &mut self,
        role: Role,
        parts: &[&[u8]],
        line: &[u8],
        at: Range<usize>,
        kind: Kind,
        out: &mut Record,
    ) -> bool {
        let s = Scan::new(line);
        let text = s.text(at.clone());
        match role {
            // PostgreSQL's `[local]` is no address.
            Plain(Field::Ip) if text.first() == Some(&b'[') => return false,
            Plain(_) if text == b"-" => {}
            Plain(field) => {
                self.request |= field == Field::Method;
                out.push(field, at.start, at.end, kind);
            }
            Scaled(field, scaled) => {
                let number = text.first().is_some_and(u8::is_ascii_digit);
                out.push(field, at.start, at.end, if number { scaled } else { kind });
            }
            Seconds(field) => {
                let end = at.end - usize::from(text.ends_with(b"s"));
                out.push(field, at.start, end, Kind::Plain);
            }
            Vhost => {
                let end = at.start + access::without_port(text);
                out.push(Field::Vhost, at.start, end, kind);
            }
            // An object or a number under that name is something else.
            Request if kind == Kind::Plain => return false,
            Request => {
                self.request = true;
                access::split_request_as(&s, at, kind, out);
            }
            Target => {
                self.caddy |= parts.len() == 2;
                self.nginx |= matches!(parts, [b"uri"]);
                access::split_target(&s, at, kind, out);
            }
            Status => self.status(text, at, kind, out),
            First(field) => {
                let Some(inside) = Scan::from(line, at.start + 1).quoted() else {
                    return false;
                };
                out.push(field, inside.start, inside.end, Kind::Json);
            }
            Client => {
                out.rename(Field::Ip, &[b"request", b"remote_ip"]);
                out.push(Field::Ip, at.start, at.end, kind);
            }
        }
        true
    }

    /// A status under that very name.
    pub(super) fn status(&mut self, text: &[u8], at: Range<usize>, kind: Kind, out: &mut Record) {
        if text.len() == 3 && text.iter().all(u8::is_ascii_digit) {
            self.level = access::severity(text);
        }
        out.push(Field::Status, at.start, at.end, kind);
    }

    /// A method under that very name.
    pub(super) fn method(&mut self) {
        self.request = true;
    }

    /// Caddy's name for the size of the answer.
    pub(super) fn has_size(self) -> bool {
        self.caddy
    }

    /// nginx' name for the query behind its `uri`.
    pub(super) fn has_args(self) -> bool {
        self.nginx
    }

    /// A failed request makes the line's level worse.
    pub(super) fn finish(self, out: &mut Record) {
        if self.request {
            out.worsen(self.level);
        }
    }
}
