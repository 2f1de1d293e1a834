//! The logs page: a query, its histogram, its facets, its lines.

use std::ops::ControlFlow;

use askama::Template;
use vigie_parsers::{Event, Severity, Timestamp};
use vigie_query::log::{AHEAD_MS, FieldName, Filter, printable};
use vigie_query::{GroupBy, Scan, ScanStats, SourceError};

use super::PageError;
use super::charts::log_bars;
use super::logcounts::LogCounts;
use super::overview::Asked;
use super::parts::{Place, panel};
use super::shell::{Banner, Context, Shell};
use crate::chart::ChartSpec;
use crate::chart::time::zoned;
use crate::chart::units::count;
use crate::html::{field_names, glyph, url};
use crate::logquery::{self, Understood};
use crate::range::Range;
use crate::source::{Bounds, Source};

/// Lines on a page.
pub(crate) const ROWS: usize = 100;
/// Fields whose values can be chosen.
const FACETS: &[(&str, &str)] = &[
    ("level", "Level"),
    ("host", "Host"),
    ("app", "Program"),
    ("source", "Source"),
    ("status", "Status"),
];
/// Values of each.
const FACET_VALUES: usize = 8;
/// Distinct values that are counted.
const GROUPS_MAX: usize = 2000;
/// A message is shown up to here; the line itself is a click away.
const MESSAGE_CHARS: usize = 2000;
/// Fields of a line that are shown.
const FIELDS_MAX: usize = 40;

/// A field of a line with the queries that choose or exclude its value.
pub(crate) struct FieldView {
    name: String,
    value: String,
    only: String,
    without: String,
}

/// A line.
#[derive(Template)]
#[template(path = "row.html")]
pub(crate) struct Row {
    id: u64,
    time: String,
    stamp: String,
    class: &'static str,
    level: &'static str,
    sign: &'static str,
    host: String,
    app: String,
    message: String,
    line: String,
    fields: Vec<FieldView>,
}

/// One value of a facet.
pub(crate) struct FacetValue {
    value: String,
    href: String,
    count: String,
    share: f64,
    sign: &'static str,
    chosen: bool,
}

pub(crate) struct Facet {
    title: &'static str,
    values: Vec<FacetValue>,
    more: usize,
}

#[derive(Template)]
#[template(path = "logs.html")]
struct LogsPage {
    shell: Shell,
    q: String,
    complaint: String,
    chart: String,
    facets: Vec<Facet>,
    rows: Vec<Row>,
    total: String,
    note: String,
    older: Option<String>,
    newest: bool,
    elsewhere: String,
}

/// A place between two lines: everything before it in the order of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    time: Timestamp,
    id: u64,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (time, id) = text.split_once('.')?;
        Some(Self {
            time: Timestamp(time.parse().ok()?),
            id: id.parse().ok()?,
        })
    }
}

struct Found {
    range: Range,
    complaint: Option<String>,
    understood: Result<Understood, String>,
}

fn understand(q: &str, asked: &Asked, ctx: &Context) -> Found {
    let parsed = Range::parse(
        asked.from.as_deref(),
        asked.to.as_deref(),
        "1h",
        ctx.now,
        &ctx.zone,
    );
    let (mut range, complaint) = match parsed {
        Ok(range) => (range, None),
        Err(complaint) => (Range::last("1h", ctx.now), Some(complaint)),
    };
    let understood = logquery::parse(q, ctx.now, &ctx.zone);
    // A time in the query says more than the range of the page.
    if let Some((from, to)) = understood.as_ref().ok().and_then(|u| u.time) {
        (range.from, range.to) = (from, to.max(from.plus_ms(1000)));
        (range.from_text, range.to_text) = (from.0.to_string(), to.0.to_string());
    }
    Found {
        range,
        complaint,
        understood,
    }
}

/// The histogram alone.
pub(crate) fn logs_charts(
    source: &dyn Source,
    q: &str,
    asked: &Asked,
    ctx: &Context,
    bounds: &Bounds,
) -> Result<Vec<ChartSpec>, PageError> {
    let found = understand(q, asked, ctx);
    let filter = found.understood.map_or(Filter::All, |u| u.filter);
    let counts = LogCounts::read(source, &found.range, &filter, bounds)?;
    Ok(vec![log_bars(
        "loghist",
        "Events",
        &counts,
        &found.range,
        &ctx.zone,
    )])
}

/// The page.
pub(crate) fn logs_page(
    source: &dyn Source,
    q: &str,
    asked: &Asked,
    before: Option<&str>,
    ctx: &Context,
    bounds: &Bounds,
) -> Result<String, PageError> {
    let found = understand(q, asked, ctx);
    let range = &found.range;
    let (mut shell, _) = Shell::new("/logs", "Logs", Some(range), source, ctx)?;
    shell.view = "logs";
    shell.keep("q", q);
    shell.banners.extend(found.complaint.map(|text| Banner {
        level: "warn",
        title: "This range cannot be shown.".to_owned(),
        text,
    }));
    let (filter, complaint) = match found.understood {
        Ok(understood) => (understood.filter, understood.note),
        // Nothing is shown for a query that is not understood: everything would mislead.
        Err(complaint) => {
            let page = LogsPage {
                shell,
                q: q.to_owned(),
                complaint,
                chart: String::new(),
                facets: Vec::new(),
                rows: Vec::new(),
                total: "0".to_owned(),
                note: String::new(),
                older: None,
                newest: true,
                elsewhere: String::new(),
            };
            return Ok(page.render()?);
        }
    };
    let counts = LogCounts::read(source, range, &filter, bounds)?;
    let chart = log_bars("loghist", "Events", &counts, range, &ctx.zone);
    let cursor = before.and_then(Cursor::parse);
    let keep = range_query(asked);
    let (rows, older, stats) = rows(
        source,
        &filter,
        range,
        cursor,
        &Linker { q, keep: &keep },
        ctx,
        bounds,
    )?;
    let incomplete = counts.incomplete.or(stats.incomplete);
    let page = LogsPage {
        q: q.to_owned(),
        complaint,
        chart: panel(
            &chart,
            Place {
                class: "loghist",
                height: 132,
            },
        ),
        facets: facets(source, &filter, range, &Linker { q, keep: &keep }, bounds)?,
        rows,
        total: count(counts.totals.iter().sum()),
        note: incomplete.map_or(String::new(), |why| format!("incomplete: {why}")),
        older: older.map(|c| format!("?q={}{keep}&before={}.{}", url(q), c.time.0, c.id)),
        newest: cursor.is_none(),
        elsewhere: format!("?q={}&from=now-30d&to=now", url(q)),
        shell,
    };
    Ok(page.render()?)
}

fn range_query(asked: &Asked) -> String {
    let part = |name: &str, v: &Option<String>| {
        v.as_ref()
            .map_or(String::new(), |v| format!("&{name}={}", url(v)))
    };
    part("from", &asked.from) + &part("to", &asked.to)
}

/// Makes the addresses of changed queries.
pub(crate) struct Linker<'a> {
    pub(crate) q: &'a str,
    /// The range's parameters, as they follow the query.
    pub(crate) keep: &'a str,
}

impl Linker<'_> {
    fn with(&self, term: &str) -> String {
        format!(
            "?q={}{}",
            url(format!("{} {term}", self.q).trim()),
            self.keep
        )
    }

    /// The query without a term, if it is there as it stands.
    fn without(&self, term: &str) -> Option<String> {
        let padded = format!(" {} ", self.q);
        let found = padded.find(&format!(" {term} "))?;
        let rest = format!(
            "{}{}",
            padded.get(..found)?,
            padded.get(found + term.len() + 1..)?
        );
        Some(format!("?q={}{}", url(rest.trim()), self.keep))
    }
}

/// The newest lines before a place, and the place after the last of them if there are more.
pub(crate) fn rows(
    source: &dyn Source,
    filter: &Filter,
    range: &Range,
    before: Option<Cursor>,
    linker: &Linker<'_>,
    ctx: &Context,
    bounds: &Bounds,
) -> Result<(Vec<Row>, Option<Cursor>, ScanStats), SourceError> {
    // The end of a range that is now includes what arrives during this second, and what comes from senders
    // whose clocks or zones are ahead of ours.
    let ahead = if range.is_live() { AHEAD_MS } else { 0 };
    let until = before.map_or(range.to.plus_ms(1 + ahead), |c| c.time.plus_ms(1));
    let mut scan = Scan::new(range.from, until, filter);
    scan.deadline = Some(bounds.deadline);
    scan.cancel = Some(&bounds.cancel);
    let mut out = Vec::new();
    let mut last = None;
    let mut more = false;
    let stats = source.scan(&scan, &mut |event| {
        if before.is_some_and(|c| event.time == c.time && event.id >= c.id) {
            return ControlFlow::Continue(());
        }
        if out.len() == ROWS {
            more = true;
            return ControlFlow::Break(());
        }
        last = Some(Cursor {
            time: event.time,
            id: event.id,
        });
        out.push(row(event, linker, ctx));
        ControlFlow::Continue(())
    })?;
    Ok((out, last.filter(|_| more), stats))
}

/// How a severity looks in lists: class, word, sign.
fn severity(level: Option<Severity>) -> (&'static str, &'static str, &'static str) {
    match level {
        Some(level) if level <= Severity::Err => ("err", level.as_str(), glyph("crit")),
        Some(Severity::Warn) => ("warn", "warn", glyph("warn")),
        Some(Severity::Notice) => ("notice", "notice", glyph("info")),
        Some(level) => ("info", level.as_str(), glyph("dot")),
        None => ("info", "", glyph("dot")),
    }
}

/// A line as it is shown.
pub(crate) fn row(event: &Event, linker: &Linker<'_>, ctx: &Context) -> Row {
    let (class, level, sign) = severity(event.severity);
    let at = zoned(event.time, &ctx.zone);
    let text = |name: &str| {
        let value = event.field(name).unwrap_or_default();
        printable(&value).into_owned()
    };
    let near = ctx.now.since_ms(event.time).abs() < 86_400_000;
    let message = printable(event.message()).into_owned();
    let names = field_names(event);
    let built_in = [
        ("level".to_owned(), level.to_owned()),
        ("source".to_owned(), event.origin.source.clone()),
        ("format".to_owned(), event.format.to_string()),
    ];
    let own = names
        .into_iter()
        .map(|n| (text(&n), n))
        .map(|(v, n)| (n, v));
    Row {
        id: event.id,
        time: at
            .strftime(if near {
                "%H:%M:%S%.3f"
            } else {
                "%-d %b %H:%M:%S"
            })
            .to_string(),
        stamp: at.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        class,
        level,
        sign,
        host: text("host"),
        app: text("app"),
        message: cut(message),
        line: cut(printable(&event.line).into_owned()),
        fields: own
            .chain(built_in)
            .filter(|(_, v)| !v.is_empty())
            .take(FIELDS_MAX)
            .map(|(n, v)| field(n, v, linker))
            .collect(),
    }
}

/// A line as HTML, for pages that follow.
pub(crate) fn row_html(event: &Event, q: &str, ctx: &Context) -> Result<String, askama::Error> {
    row(event, &Linker { q, keep: "" }, ctx).render()
}

fn field(name: String, value: String, linker: &Linker<'_>) -> FieldView {
    let term = logquery::term(&name, &value);
    FieldView {
        only: linker.with(&term),
        without: linker.with(&format!("-{term}")),
        value: cut(value),
        name,
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MESSAGE_CHARS) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// The values of fields with their counts.
fn facets(
    source: &dyn Source,
    filter: &Filter,
    range: &Range,
    linker: &Linker<'_>,
    bounds: &Bounds,
) -> Result<Vec<Facet>, SourceError> {
    let mut out = Vec::new();
    for (name, title) in FACETS {
        let fields = [FieldName::new(name)];
        let by = GroupBy {
            fields: &fields,
            step: None,
            max_groups: GROUPS_MAX,
        };
        let mut scan = Scan::new(range.from, range.to, filter);
        scan.deadline = Some(bounds.deadline);
        scan.cancel = Some(&bounds.cancel);
        let mut groups: Vec<(String, u64)> = source
            .count_by(&scan, &by)?
            .groups
            .into_iter()
            .filter_map(|g| Some((printable(g.key.first()?.as_deref()?).into_owned(), g.count)))
            .collect();
        groups.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let top = groups.first().map_or(1, |g| g.1.max(1));
        let more = groups.len().saturating_sub(FACET_VALUES);
        let values = groups.into_iter().take(FACET_VALUES).map(|(value, n)| {
            let term = logquery::term(name, &value);
            let without = linker.without(&term);
            let sign = match *name {
                "level" => severity(Severity::from_word(value.as_bytes())).2,
                _ => "",
            };
            FacetValue {
                href: without.clone().unwrap_or_else(|| linker.with(&term)),
                chosen: without.is_some(),
                count: count(n),
                share: 100.0 * super::shell::as_f64(n) / super::shell::as_f64(top),
                sign,
                value,
            }
        });
        let values: Vec<_> = values.collect();
        if !values.is_empty() {
            out.push(Facet {
                title,
                values,
                more,
            });
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_added_and_taken_away() {
        let linker = Linker {
            q: "level>=warn app=sshd x",
            keep: "&from=now-1h",
        };
        assert_eq!(
            linker.with("host=a"),
            "?q=level%3E%3Dwarn%20app%3Dsshd%20x%20host%3Da&from=now-1h"
        );
        assert_eq!(
            linker.without("app=sshd").as_deref(),
            Some("?q=level%3E%3Dwarn%20x&from=now-1h")
        );
        assert_eq!(linker.without("app=ssh"), None);
    }

    #[test]
    fn cursors_come_back_from_addresses() {
        let cursor = Cursor {
            time: Timestamp(12),
            id: 34,
        };
        assert_eq!(Cursor::parse("12.34"), Some(cursor));
        assert_eq!(Cursor::parse("12"), None);
        assert_eq!(Cursor::parse("a.b"), None);
    }
}
