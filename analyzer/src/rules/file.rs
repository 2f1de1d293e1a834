//! The YAML of rule files, with the place of everything that is wrong.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use vigie_query::promql;

use super::{
    ALERTS_MAX, FILE_BYTES_MAX, Group, INTERVAL_MS, Problem, Rule, Template, duration, presence,
    settle_ms,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    groups: Vec<RawGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: Spanned<String>,
    interval: Option<Spanned<String>>,
    limit: Option<usize>,
    #[serde(default)]
    labels: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    rules: Vec<RawRule>,
    /// How far Prometheus evaluates in the past; figures are here before rules look.
    #[serde(rename = "query_offset")]
    _query_offset: Option<String>,
    /// A matter of Thanos alone.
    #[serde(rename = "partial_response_strategy")]
    _partial_response_strategy: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    alert: Option<Spanned<String>>,
    record: Option<Spanned<String>>,
    expr: Spanned<String>,
    #[serde(rename = "for")]
    hold: Option<Spanned<String>>,
    keep_firing_for: Option<Spanned<String>>,
    #[serde(default)]
    labels: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    annotations: BTreeMap<String, Spanned<String>>,
    /// Ours: what an answer without data means.
    no_data: Option<Spanned<NoData>>,
    /// Ours: what must hold for the alert to end, beside `expr` being false.
    until: Option<Spanned<String>>,
}

/// What it means when a firing alert's series have ended.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NoData {
    /// Unknown: the alert stays. The default.
    Freeze,
    /// The condition is not so.
    Ok,
}

/// Reads a file: its groups, and all that is wrong or odd.
pub(super) fn read(file: &str, text: &str) -> (Vec<Group>, Vec<Problem>) {
    let mut reading = Reading {
        file,
        problems: Vec::new(),
    };
    if text.len() > FILE_BYTES_MAX {
        reading.harm(None, format!("larger than {} MiB", FILE_BYTES_MAX >> 20));
        return (Vec::new(), reading.problems);
    }
    let raw: RawFile = match serde_saphyr::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            reading.harm(error.location(), explain(error.without_snippet()));
            return (Vec::new(), reading.problems);
        }
    };
    let groups: Vec<Group> = raw.groups.iter().map(|g| reading.group(g)).collect();
    for (at, group) in raw.groups.iter().enumerate() {
        if groups[..at].iter().any(|g| g.name == group.name.value) {
            let text = format!("a second group named `{}` in this file", group.name.value);
            reading.harm(Some(group.name.referenced), text);
        }
    }
    (groups, reading.problems)
}

fn explain(error: &serde_saphyr::Error) -> String {
    let serde_saphyr::Error::SerdeUnknownField {
        field, expected, ..
    } = error
    else {
        // The place is said apart.
        let text = error.to_string();
        let place = text
            .find(" at line ")
            .filter(|_| error.location().is_some());
        return place.map_or(text.clone(), |at| text[..at].to_owned());
    };
    let near = |known: &&&str| strsim::damerau_levenshtein(known, field);
    let nearest = expected.iter().min_by_key(near);
    let hint = match nearest.filter(|known| near(known) <= field.len() / 3) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("known: {}", expected.join(", ")),
    };
    format!("unknown key `{field}`; {hint}")
}

struct Reading<'a> {
    file: &'a str,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn harm(&mut self, at: Option<Location>, text: String) {
        self.problem(at, false, text);
    }

    fn problem(&mut self, at: Option<Location>, harmless: bool, text: String) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: at.map_or(0, |l| l.line()),
            column: at.map_or(0, |l| l.column()),
            harmless,
            text,
        });
    }

    fn duration(&mut self, raw: Option<&Spanned<String>>, default: i64) -> i64 {
        let Some(raw) = raw else {
            return default;
        };
        duration::parse(&raw.value).unwrap_or_else(|complaint| {
            self.harm(Some(raw.referenced), complaint);
            default
        })
    }

    fn group(&mut self, raw: &RawGroup) -> Group {
        let interval_ms = self.duration(raw.interval.as_ref(), INTERVAL_MS);
        if let Some(interval) = raw.interval.as_ref().filter(|_| interval_ms < 1000) {
            self.harm(
                Some(interval.referenced),
                "an interval is at least 1s".to_owned(),
            );
        }
        let rules = raw.rules.iter().filter_map(|r| self.rule(raw, r)).collect();
        Group {
            name: raw.name.value.clone(),
            interval_ms,
            limit: raw.limit.filter(|&n| n > 0).unwrap_or(ALERTS_MAX),
            rules,
        }
    }

    fn rule(&mut self, group: &RawGroup, raw: &RawRule) -> Option<Rule> {
        let at = raw.expr.referenced;
        let name = match (&raw.alert, &raw.record) {
            (Some(alert), None) => alert,
            (None, Some(record)) => {
                let text = format!(
                    "recording rules are not evaluated, `{}` will not exist; write its expression \
                     where it is used",
                    record.value
                );
                self.problem(Some(record.referenced), true, text);
                return None;
            }
            _ => {
                self.harm(Some(at), "a rule has either `alert` or `record`".to_owned());
                return None;
            }
        };
        let for_ms = self.duration(raw.hold.as_ref(), 0);
        let keep_firing_for_ms = self.duration(raw.keep_firing_for.as_ref(), 0);
        let labels = self.templates(&group.labels, &raw.labels, "label");
        let annotations = self.templates(&BTreeMap::new(), &raw.annotations, "annotation");
        let expr = self.expr(&name.value, &raw.expr)?;
        let until = match &raw.until {
            Some(until) => Some(self.expr(&name.value, until)?),
            None => None,
        };
        let frozen = !matches!(raw.no_data.as_ref().map(|n| n.value), Some(NoData::Ok));
        Some(Rule {
            id: format!("{}/{}", group.name.value, name.value),
            name: name.value.clone(),
            place: format!("{}:{}", self.file, name.referenced.line()),
            text: raw.expr.value.trim().to_owned(),
            for_ms,
            keep_firing_for_ms,
            presence: presence::of(&raw.expr.value).filter(|_| frozen),
            settle_ms: settle_ms(&expr),
            expr,
            until,
            labels,
            annotations,
        })
    }

    fn expr(&mut self, rule: &str, raw: &Spanned<String>) -> Option<promql::Expr> {
        let parsed = promql::parse(&raw.value);
        parsed
            .map_err(|error| self.harm(Some(raw.referenced), format!("`{rule}`: {error}")))
            .ok()
    }

    /// The texts of a rule over those of its group.
    fn templates(
        &mut self,
        base: &BTreeMap<String, Spanned<String>>,
        own: &BTreeMap<String, Spanned<String>>,
        what: &str,
    ) -> Vec<(String, Template)> {
        let inherited = base.iter().filter(|(name, _)| !own.contains_key(*name));
        let mut templates = Vec::new();
        for (name, text) in inherited.chain(own) {
            let (template, complaints) = Template::parse(&text.value);
            for complaint in complaints {
                let text_at = Some(text.referenced);
                let told = format!("{what} `{name}` stays partly as it is written: {complaint}");
                self.problem(text_at, true, told);
            }
            templates.push((name.clone(), template));
        }
        templates
    }
}
