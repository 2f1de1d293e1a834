//! Formats of programs that also speak through syslog, for [`crate::apps`].

use super::{access, errorlog};
use crate::{Context, Record};

pub(crate) use super::haproxy::message as haproxy;
pub(crate) use super::keepalived::message as keepalived;
pub(crate) use super::postgresql::message as postgresql;
pub(crate) use super::redis::message as redis;

/// Its access and its error log.
pub(crate) fn nginx(cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    out.within(0, |out| access::any(cx, text, out))
        || out.within(0, |out| errorlog::nginx(cx, text, out))
}

/// Its access and its error log.
pub(crate) fn apache(cx: &mut Context, text: &[u8], out: &mut Record) -> bool {
    out.within(0, |out| access::any(cx, text, out))
        || out.within(0, |out| errorlog::apache(cx, text, out))
}
