//! `[[count]]`: log queries that become counters.

use serde::{Deserialize, Deserializer, de};
use vigie_query::log::{FieldKind, FieldName, Filter, Query};

use super::Invalid;

/// Fields that label one counter at most: their values multiply.
const BY_MAX: usize = 5;
/// Label sets of one counter at most.
const LIMIT_MAX: usize = 10_000;
/// Metrics that others make begin so.
const TAKEN: [&str; 4] = ["vigie_", "http_", "node_", "process_"];

/// A counter of the events that a query finds, as they arrive.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The name of the metric.
    pub name: String,
    /// Which events.
    pub query: Conditions,
    /// Fields whose values become labels, of the same names.
    #[serde(default)]
    pub by: Vec<String>,
    /// So many sets of labels are told apart; further ones count as `other`.
    #[serde(default = "limit")]
    pub limit: usize,
}

fn limit() -> usize {
    100
}

/// The conditions of a log query, without time and pipes.
#[derive(Clone, Debug)]
pub struct Conditions {
    text: String,
    filter: Filter,
}

impl PartialEq for Conditions {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Conditions {
    /// What must hold.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            text: String::new(),
            filter: Filter::All,
        }
    }
}

impl std::str::FromStr for Conditions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let query = Query::parse(text).map_err(|e| e.to_string())?;
        if !query.pipes.is_empty() {
            let pipe = text.find('|').unwrap_or(0);
            let column = text.get(..pipe).unwrap_or_default().chars().count() + 1;
            return Err(format!(
                "query:{column}: conditions only, no pipes: each event is looked at as it arrives"
            ));
        }
        if query.time.is_some() {
            let at = text.find('@').unwrap_or(0);
            let column = text.get(..at).unwrap_or_default().chars().count() + 1;
            return Err(format!(
                "query:{column}: no time: each event is looked at as it arrives"
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            filter: query.filter,
        })
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Count {
    /// The label of a field: what labels cannot have becomes `_`.
    #[must_use]
    pub fn label(field: &str) -> String {
        let legal = |(n, c): (usize, char)| match c {
            'a'..='z' | 'A'..='Z' | '_' => c,
            '0'..='9' if n > 0 => c,
            _ => '_',
        };
        field.chars().enumerate().map(legal).collect()
    }

    fn validate(&self) -> Result<(), Invalid> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let name = &self.name;
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.chars().all(is_name)
        {
            let why = format!("`{name}` is no name of a metric; write as checkout_failures_total");
            return Err(Invalid::new("count.name", why));
        }
        if let Some(taken) = TAKEN.iter().find(|t| name.starts_with(**t)) {
            let why = format!("`{name}`: names that begin with {taken} are made by others");
            return Err(Invalid::new("count.name", why));
        }
        if self.by.len() > BY_MAX {
            return Err(Invalid::new(
                "count.by",
                format!("more than {BY_MAX} fields"),
            ));
        }
        for (n, field) in self.by.iter().enumerate() {
            let label = Self::label(field);
            let endless = matches!(
                FieldName::new(field).kind(),
                FieldKind::Time | FieldKind::Recv | FieldKind::Message
            );
            let why = if field.is_empty() || label == "instance" || label.starts_with("__") {
                "cannot be a label"
            } else if endless {
                "is different in every event"
            } else if self.by.iter().take(n).any(|b| Self::label(b) == label) {
                "comes twice"
            } else {
                continue;
            };
            return Err(Invalid::new("count.by", format!("`{field}` {why}")));
        }
        if !(1..=LIMIT_MAX).contains(&self.limit) {
            return Err(Invalid::new(
                "count.limit",
                format!("from 1 to {LIMIT_MAX}"),
            ));
        }
        Ok(())
    }
}

/// What is wrong with them all.
pub(super) fn validate(counts: &[Count]) -> Result<(), Invalid> {
    for (n, count) in counts.iter().enumerate() {
        count.validate()?;
        if counts.iter().take(n).any(|c| c.name == count.name) {
            let why = format!("`{}` stands twice", count.name);
            return Err(Invalid::new("count.name", why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Count, String> {
        let count: Count = toml::from_str(text).map_err(|e| e.to_string())?;
        validate(std::slice::from_ref(&count)).map_err(|e| e.to_string())?;
        Ok(count)
    }

    #[test]
    fn keys_are_read_and_mistakes_explained() {
        let good = "name = 'checkout_total'\nquery = 'app:shop \"payment failed\"'\nby = ['service', 'http.code']";
        let count = read(good).unwrap();
        assert_eq!((count.limit, count.by.len()), (100, 2));
        assert_eq!(Count::label("http.code"), "http_code");
        for (text, part) in [
            ("name = 'x'\nquery = 'status>=5xx and ('", "query:"),
            (
                "name = 'x'\nquery = 'é app:x | count'",
                "query:9: conditions only",
            ),
            ("name = 'x'\nquery = 'app:x @15m'", "query:7: no time"),
            ("name = '9x'\nquery = ''", "count.name: `9x`"),
            ("name = 'vigie_x'\nquery = ''", "begin with vigie_"),
            (
                "name = 'x'\nquery = ''\nby = ['message']",
                "different in every event",
            ),
            (
                "name = 'x'\nquery = ''\nby = ['a.b', 'a_b']",
                "`a_b` comes twice",
            ),
            (
                "name = 'x'\nquery = ''\nby = ['instance']",
                "cannot be a label",
            ),
            ("name = 'x'\nquery = ''\nlimit = 0", "from 1 to 10000"),
            ("name = 'x'", "missing field `query`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
