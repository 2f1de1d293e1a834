//! The horizon: one strip over the page's range that says what happened when.

use jiff::tz::TimeZone;
use vigie_parsers::Timestamp;
use vigie_store::incidents::{Change, ChangeKind, Incident};

use super::logcounts::LogCounts;
use super::parts::level;
use crate::chart::time::{clock, ticks};
use crate::range::Range;

/// Incidents stand in two rows; more at the same time share the second.
const LANES: usize = 2;

/// An incident in the strip; places are in percent.
pub(crate) struct Bar {
    pub(crate) left: f64,
    pub(crate) width: f64,
    pub(crate) lane: usize,
    pub(crate) level: &'static str,
    pub(crate) done: bool,
    pub(crate) href: String,
    pub(crate) id: u64,
    pub(crate) title: String,
    /// Where its words stand: `ins`, `aft`, `fore`.
    pub(crate) side: &'static str,
}

pub(crate) struct Point {
    pub(crate) left: f64,
    pub(crate) class: &'static str,
    pub(crate) words: String,
}

pub(crate) struct Horizon {
    pub(crate) bars: Vec<Bar>,
    pub(crate) points: Vec<Point>,
    /// Paths of the error lines: few, and far more than usual.
    pub(crate) calm: String,
    pub(crate) hot: String,
    pub(crate) ticks: Vec<(f64, String, bool)>,
}

impl Horizon {
    pub(crate) fn new(
        range: &Range,
        incidents: &[Incident],
        changes: &[Change],
        logs: &LogCounts,
        zone: &TimeZone,
    ) -> Self {
        let place = |at: Timestamp| {
            #[expect(clippy::cast_precision_loss, reason = "a place in percent")]
            let share = at.since_ms(range.from) as f64 / range.span_ms().max(1) as f64;
            (share.clamp(0.0, 1.0) * 1000.0).round() / 10.0
        };
        let (calm, hot) = errors(logs);
        Self {
            bars: bars(incidents, range, &place),
            points: changes
                .iter()
                .map(|c| Point {
                    left: place(c.at),
                    class: shape(c.kind),
                    words: format!("{} {}", clock(c.at, range.to, zone), c.text),
                })
                .collect(),
            calm,
            hot,
            ticks: ticks(range.from, range.to, zone, 12)
                .into_iter()
                .map(|t| (place(t.at), t.label, t.strong))
                .filter(|(left, ..)| (1.5..98.5).contains(left))
                .collect(),
        }
    }
}

fn bars(incidents: &[Incident], range: &Range, place: &dyn Fn(Timestamp) -> f64) -> Vec<Bar> {
    let mut free = [0.0f64; LANES];
    let mut sorted: Vec<_> = incidents.iter().collect();
    sorted.sort_by_key(|i| i.onset);
    sorted
        .into_iter()
        .filter(|i| i.onset <= range.to && i.resolved.as_ref().is_none_or(|r| r.at >= range.from))
        .map(|i| {
            let left = place(i.onset);
            let end = place(i.resolved.as_ref().map_or(range.to, |r| r.at));
            let width = (end - left).max(0.4);
            let lane = free.iter().position(|f| *f <= left).unwrap_or(LANES - 1);
            let side = match () {
                () if width > 14.0 => "ins",
                () if end < 62.0 => "aft",
                () => "fore",
            };
            // Words behind a short bar take room as well.
            free[lane] = end + if side == "aft" { 16.0 } else { 1.0 };
            Bar {
                left,
                width,
                lane,
                level: level(i).as_str(),
                done: i.resolved.is_some(),
                href: format!("/incidents/{}", i.id.0),
                id: i.id.0,
                title: i.title.clone(),
                side,
            }
        })
        .collect()
}

pub(crate) fn shape(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Deploy | ChangeKind::Package => "deploy",
        ChangeKind::Failover | ChangeKind::Reboot | ChangeKind::Restart => "failover",
        ChangeKind::Config | ChangeKind::Maintenance => "config",
        ChangeKind::Note | ChangeKind::Login => "",
    }
}

/// Bars of error lines, on a logarithmic scale: one line is visible, a thousand do not hide it.
fn errors(logs: &LogCounts) -> (String, String) {
    let column = &logs.columns[0];
    let mut known: Vec<f64> = column.iter().flatten().copied().collect();
    known.sort_by(f64::total_cmp);
    let median = known.get(known.len() / 2).copied().unwrap_or(0.0);
    let top = known.last().copied().unwrap_or(0.0).max(20.0).ln_1p();
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred bars")]
    let width = 1000.0 / column.len().max(1) as f64;
    let (mut calm, mut hot) = (String::new(), String::new());
    let mut x = 0.0;
    for value in column {
        let value = value.unwrap_or(0.0);
        let height = if value > 0.0 {
            (value.ln_1p() / top * 15.0).max(2.0)
        } else {
            0.6
        };
        let path = if value > 10.0 && value > 4.0 * median {
            &mut hot
        } else {
            &mut calm
        };
        path.push_str(&format!(
            "M{x:.1} 16v-{height:.1}h{:.1}v{height:.1}z",
            width * 0.8
        ));
        x += width;
    }
    (calm, hot)
}
