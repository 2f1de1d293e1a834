//! Pieces that pages share: chart panels, meters, signs of incidents.

use std::fmt::Write as _;

use vigie_parsers::Timestamp;
use vigie_store::incidents::{Incident, IncidentState};

use crate::chart::{ChartSpec, Level, Shape, Span, Stats, fluid};
use crate::html::{escape, icon};

/// A chart's place in the grid of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Classes of the panel (`c6`).
    pub(crate) class: &'static str,
    /// The height of the plot in CSS pixels.
    pub(crate) height: u16,
}

/// A panel with a chart: title, legend with the last values, the plot drawn by the server.
pub(crate) fn panel(spec: &ChartSpec, place: Place) -> String {
    let mut out = String::with_capacity(8192);
    let (id, class, height) = (escape(&spec.id), place.class, place.height);
    let _ = write!(
        out,
        "<figure class=\"panel chart {class}\" data-chart=\"{id}\" style=\"--h:{height}px\"><figcaption class=\"ph\"><h2>{}",
        escape(&spec.title)
    );
    if !spec.sub.is_empty() {
        let _ = write!(
            out,
            " <span class=\"muted small\">{}</span>",
            escape(&spec.sub)
        );
    }
    let _ = write!(
        out,
        "</h2><button class=\"btn ghost xs sq fig noprint js\" data-do=\"figures\" aria-expanded=\"false\" aria-label=\"Figures of {}\" title=\"Figures  V\">{}</button>{}</figcaption>",
        escape(&spec.title),
        icon("table"),
        legend(spec)
    );
    let _ = write!(
        out,
        "<div class=\"plot\" tabindex=\"0\" role=\"img\" aria-label=\"{}\">{}</div></figure>",
        escape(&spec.words()),
        fluid(spec, height)
    );
    out
}

fn legend(spec: &ChartSpec) -> String {
    let mut out = String::from("<ul class=\"legend\">");
    for (i, line) in spec.lines.iter().enumerate() {
        let kind = match spec.shape {
            Shape::Bars => "bar",
            _ => line.kind.as_str(),
        };
        let value = match (spec.shape, Stats::of(&line.ys)) {
            (_, None) => "no data".to_owned(),
            // The last bar has only begun: the sum says more.
            (Shape::Bars, _) => spec.unit.format(line.ys.iter().flatten().sum()),
            (_, Some(stats)) => spec.unit.format(stats.last),
        };
        let _ = write!(
            out,
            "<li><i class=\"sw {kind}\" style=\"--c:var(--{})\"></i>{} <b data-s=\"{i}\">{}</b></li>",
            line.color.token(),
            escape(&line.label),
            escape(&value)
        );
    }
    out.push_str("</ul>");
    out
}

/// A bar of a share with its figure.
pub(crate) fn meter(share: f64, label: &str) -> String {
    let level = match share {
        95.0.. => " crit",
        85.0.. => " warn",
        _ => "",
    };
    format!(
        "<span class=\"meter{level}\" style=\"--p:{share:.1}\"><i></i><b>{}</b></span>",
        escape(label)
    )
}

/// The level of an incident's severity.
pub(crate) fn level(incident: &Incident) -> Level {
    match incident.severity {
        vigie_store::incidents::Severity::Critical | vigie_store::incidents::Severity::Page => {
            Level::Crit
        }
        vigie_store::incidents::Severity::Warning => Level::Warn,
        _ => Level::Info,
    }
}

/// Incidents as tints behind the curves; only those that are still open, the others are quiet.
pub(crate) fn spans(incidents: &[Incident]) -> Vec<Span> {
    incidents
        .iter()
        .filter(|i| i.state() != IncidentState::Resolved && level(i) == Level::Crit)
        .map(|i| Span {
            from: i.onset,
            to: i.resolved.as_ref().map(|r| r.at),
            level: level(i),
            label: i.title.clone(),
        })
        .collect()
}

/// How long something is ago, in words.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", crate::chart::units::duration(now.since_ms(at)))
}

/// Numbers for templates, which pass everything by reference.
pub(crate) mod show {
    use crate::chart::Unit;
    use crate::html::figure;

    pub(crate) fn percent(value: &Option<f64>) -> String {
        figure(Unit::PERCENT, *value)
    }

    pub(crate) fn plain(value: &Option<f64>) -> String {
        figure(Unit::NONE, *value)
    }

    pub(crate) fn bits(value: &Option<f64>) -> String {
        figure(Unit::BITS_PER_SECOND, *value)
    }

    pub(crate) fn per_second(value: &Option<f64>) -> String {
        figure(Unit::PER_SECOND, *value)
    }

    pub(crate) fn bytes(value: &f64) -> String {
        figure(Unit::BYTES, Some(*value))
    }

    pub(crate) fn share(value: &f64) -> String {
        super::meter(*value, &Unit::PERCENT.format(*value))
    }
}
