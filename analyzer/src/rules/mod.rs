//! Alerting rules in Prometheus' form: what is watched, how long it must hold, what is said.

mod duration;
mod file;
mod humanize;
mod presence;
pub(crate) mod template;

use std::fmt;

use vigie_query::promql;

pub(crate) use template::Template;

/// Evaluated so often when a group does not say: half of the shortest `for` people use.
pub const INTERVAL_MS: i64 = 15_000;
/// Alerts that one rule may have at once when its group sets no `limit`. More are counted and not
/// opened: a rule over every container of a cluster that is down must not fill the book.
pub const ALERTS_MAX: usize = 500;
/// A rule file is refused beyond this; the largest public collections have 300 KiB.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// Rules in all; beyond, files are refused. Ten times the largest public collection.
pub const RULES_MAX: usize = 5000;
/// After a gap in the evaluation a rule is believed to be false only when its longest window has
/// been filled anew, but at least this long and at most [`SETTLE_MAX_MS`] after.
const SETTLE_MIN_MS: i64 = 60_000;
const SETTLE_MAX_MS: i64 = 3_600_000;

/// All rules that are evaluated.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// In the order of their files.
    pub groups: Vec<Group>,
}

/// Rules that are evaluated together, one after the other.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How often.
    pub interval_ms: i64,
    /// How many alerts each rule may have at once.
    pub limit: usize,
    /// The rules, in the order of the file.
    pub rules: Vec<Rule>,
}

/// One alerting rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `group/name`, with `#2` and so on behind when there are several of that name.
    pub id: String,
    /// The label `alertname`.
    pub name: String,
    /// Where it stands: `file:line`.
    pub place: String,
    /// The expression as it is written.
    pub text: String,
    /// How long the condition must hold.
    pub for_ms: i64,
    /// How long it must be false before the alert ends.
    pub keep_firing_for_ms: i64,
    pub(crate) expr: promql::Expr,
    /// See [`presence`]; `None`: an empty answer means "not so".
    pub(crate) presence: Option<promql::Expr>,
    /// Where it is set, an alert ends only for label sets that this answers for: a lower threshold,
    /// or the proof that the source speaks again.
    pub(crate) until: Option<promql::Expr>,
    pub(crate) labels: Vec<(String, Template)>,
    pub(crate) annotations: Vec<(String, Template)>,
    /// See [`SETTLE_MIN_MS`].
    pub(crate) settle_ms: i64,
}

impl Rule {
    /// The labels that its alerts get, as they are written.
    pub fn labels(&self) -> impl Iterator<Item = (&str, String)> {
        self.labels
            .iter()
            .map(|(name, text)| (name.as_str(), text.source()))
    }

    /// What its alerts say, as it is written.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, String)> {
        self.annotations
            .iter()
            .map(|(name, text)| (name.as_str(), text.source()))
    }
}

/// What is wrong with a rule file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// From 1; 0 when it concerns the whole file.
    pub line: u64,
    /// From 1; 0 when it concerns the whole file.
    pub column: u64,
    /// The rule works all the same.
    pub harmless: bool,
    /// What.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.text)
    }
}

impl Rules {
    /// The rules that every vigie has, over node_exporter's names and vigie's own.
    ///
    /// # Panics
    /// Never: a test reads the same text.
    #[must_use]
    pub fn builtin() -> Self {
        let mut rules = Self::default();
        rules
            .add("built-in", BUILTIN)
            .expect("the built-in rules are tested");
        rules
    }

    /// Adds the rules of a file. When there is something harmful, nothing is added.
    ///
    /// # Errors
    /// Everything that is wrong with the file; otherwise what is odd about it and harmless.
    pub fn add(&mut self, file: &str, text: &str) -> Result<Vec<Problem>, Vec<Problem>> {
        let (mut groups, mut problems) = file::read(file, text);
        let added: usize = groups.iter().map(|g| g.rules.len()).sum();
        if self.len() + added > RULES_MAX {
            problems.push(Problem {
                file: file.to_owned(),
                line: 0,
                column: 0,
                harmless: false,
                text: format!("more than {RULES_MAX} rules in all"),
            });
        }
        if problems.iter().any(|p| !p.harmless) {
            return Err(problems);
        }
        let mut taken: std::collections::HashMap<String, u32> = std::collections::HashMap::new();
        let all = self.groups.iter_mut().chain(&mut groups);
        for rule in all.flat_map(|g| &mut g.rules) {
            let base = rule.id.split('#').next().unwrap_or_default().to_owned();
            let nth = taken.entry(base.clone()).or_default();
            *nth += 1;
            if *nth > 1 {
                rule.id = format!("{base}#{nth}");
            }
        }
        self.groups.append(&mut groups);
        Ok(problems)
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.iter().map(|g| g.rules.len()).sum()
    }

    /// No rule at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rule of that id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Rule> {
        self.groups
            .iter()
            .flat_map(|g| &g.rules)
            .find(|r| r.id == id)
    }
}

/// The text of the built-in rules, for `vigie check` and for people who want to start from them.
pub const BUILTIN: &str = include_str!("default.yml");

/// How long after a gap an empty answer proves nothing.
fn settle_ms(expr: &promql::Expr) -> i64 {
    let ranges = promql::selectors(expr)
        .into_iter()
        .filter_map(|s| s.range_ms);
    ranges
        .max()
        .unwrap_or(0)
        .clamp(SETTLE_MIN_MS, SETTLE_MAX_MS)
}

#[cfg(test)]
mod tests;
