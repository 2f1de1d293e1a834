//! adjtimex(2): whether the clock is disciplined, and how far off it is.

use super::emitter::{Emitter, Metric, metric};

const STATUS: Metric = metric("node_timex_status", "Status bits of the clock.", &[]);
const SYNC: Metric = metric(
    "node_timex_sync_status",
    "Whether the clock follows a reliable server.",
    &[],
);
const OFFSET: Metric = metric(
    "node_timex_offset_seconds",
    "Offset from the reference.",
    &[],
);
const RATIO: Metric = metric(
    "node_timex_frequency_adjustment_ratio",
    "Adjustment of the local frequency.",
    &[],
);
const MAX_ERROR: Metric = metric("node_timex_maxerror_seconds", "Largest error.", &[]);
const ERROR: Metric = metric(
    "node_timex_estimated_error_seconds",
    "Estimated error.",
    &[],
);
const CONSTANT: Metric = metric(
    "node_timex_loop_time_constant",
    "Time constant of the loop.",
    &[],
);
const TICK: Metric = metric(
    "node_timex_tick_seconds",
    "Seconds between clock ticks.",
    &[],
);
const TAI: Metric = metric(
    "node_timex_tai_offset_seconds",
    "Offset of TAI from UTC.",
    &[],
);

/// What adjtimex returns when the clock is not synchronised.
const TIME_ERROR: i32 = 5;
/// Frequencies are parts per million with 16 bits of fraction.
const PPM: f64 = 1e6 * 65536.0;

/// The numbers of `struct timex`, apart from the system call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    pub(super) state: i32,
    pub(super) status: i32,
    pub(super) offset: i64,
    pub(super) freq: i64,
    pub(super) maxerror: i64,
    pub(super) esterror: i64,
    pub(super) constant: i64,
    pub(super) tick: i64,
    pub(super) tai: i32,
}

pub(super) fn ask() -> Option<Clock> {
    // SAFETY: all-zero bytes are a valid `timex`; its pointer is to our own stack for the whole call;
    // `modes` 0 only reads.
    #[expect(unsafe_code, reason = "no safe wrapper among the dependencies")]
    let (state, t) = unsafe {
        let mut t: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut t), t)
    };
    (state >= 0).then(|| Clock {
        state,
        status: t.status,
        offset: wide(t.offset),
        freq: wide(t.freq),
        maxerror: wide(t.maxerror),
        esterror: wide(t.esterror),
        constant: wide(t.constant),
        tick: wide(t.tick),
        tai: t.tai,
    })
}

/// `c_long`, which is as wide as the machine's words.
fn wide(n: impl Into<i64>) -> i64 {
    n.into()
}

#[expect(clippy::cast_precision_loss, reason = "microseconds far below 2^53")]
pub(super) fn emit(clock: &Clock, out: &mut Emitter) {
    let nano = clock.status & libc::STA_NANO != 0;
    let unit = if nano { 1e9 } else { 1e6 };
    let micros = |n: i64| n as f64 / 1e6;
    let synced = clock.state != TIME_ERROR;
    out.gauge(&SYNC, &[], if synced { 1.0 } else { 0.0 });
    out.gauge(&STATUS, &[], f64::from(clock.status));
    out.gauge(&OFFSET, &[], clock.offset as f64 / unit);
    out.gauge(&RATIO, &[], 1.0 + clock.freq as f64 / PPM);
    out.gauge(&MAX_ERROR, &[], micros(clock.maxerror));
    out.gauge(&ERROR, &[], micros(clock.esterror));
    out.gauge(&CONSTANT, &[], clock.constant as f64);
    out.gauge(&TICK, &[], micros(clock.tick));
    out.gauge(&TAI, &[], f64::from(clock.tai));
}
