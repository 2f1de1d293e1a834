//! Other names and labels for series, all at once or not at all.

use std::fmt;
use std::str::FromStr;

use foldhash::{HashSet, HashSetExt};
use vigie_query::{Labels, METRIC_NAME, MatchOp, Matcher};

use super::registry::{Registry, SeriesId};
use super::retention::Pattern;
use crate::{Error, Result};

/// What series are called from now on: a name, or none to keep it, and labels with their values, an
/// empty one to drop the label. `up{job="web"}`, `{instance="web01",rack=""}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewName {
    text: String,
    pairs: Vec<(String, String)>,
}

impl fmt::Display for NewName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for NewName {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let bad = || {
            format!(
                "`{text}` is no name; write a metric's name and labels with their values, as \
                 up{{job=\"web\"}}, or labels alone, as {{instance=\"web01\"}}"
            )
        };
        let name = text.split('{').next().unwrap_or_default().trim();
        if name.contains('*') {
            return Err(bad());
        }
        let pattern: Pattern = text.parse().map_err(|_| bad())?;
        let mut pairs = Vec::new();
        if !name.is_empty() {
            pairs.push((METRIC_NAME.to_owned(), name.to_owned()));
        }
        for Matcher { name, op, value } in pattern.matchers() {
            match op {
                // The conditions on the name are the pattern's own.
                _ if name == METRIC_NAME => {}
                MatchOp::Equal => pairs.push((name.clone(), value.clone())),
                _ => return Err(bad()),
            }
        }
        if pairs.is_empty() {
            return Err(bad());
        }
        Ok(Self {
            text: text.trim().to_owned(),
            pairs,
        })
    }
}

impl NewName {
    pub(super) fn of(&self, old: &Labels) -> Labels {
        let given = |name: &str| self.pairs.iter().any(|(n, _)| n == name);
        let kept = old.iter().filter(|(name, _)| !given(name));
        let new = self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let new = new.filter(|(_, value)| !value.is_empty());
        Labels::new(kept.chain(new))
    }
}

/// A series with its old and its new name.
#[derive(Clone, Debug)]
pub(crate) struct Renamed {
    pub(crate) id: SeriesId,
    pub(crate) old: Labels,
    pub(crate) new: Labels,
}

/// What series will be called; those whose name stays are left out.
pub(crate) fn rename(
    registry: &Registry,
    found: Vec<(SeriesId, Labels)>,
    to: &NewName,
) -> Result<Vec<Renamed>> {
    let leave: HashSet<Labels> = found.iter().map(|(_, labels)| labels.clone()).collect();
    let mut taken = HashSet::with_capacity(found.len());
    let mut renamed = Vec::new();
    for (id, old) in found {
        let new = to.of(&old);
        let other = registry.knows(&new) && !leave.contains(&new);
        if other || !taken.insert(new.clone()) {
            return Err(Error::Limit(format!(
                "two series would be called {new}; nothing was renamed"
            )));
        }
        if new != old {
            renamed.push(Renamed { id, old, new });
        }
    }
    Ok(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_names_replace_what_they_give() {
        let old = Labels::metric("up", &[("instance", "a"), ("job", "b")]);
        for (to, want) in [
            ("on", "on{instance=\"a\", job=\"b\"}"),
            ("{instance=\"c\"}", "up{instance=\"c\", job=\"b\"}"),
            ("on{job=\"\",rack=\"7\"}", "on{instance=\"a\", rack=\"7\"}"),
        ] {
            let new = to.parse::<NewName>().unwrap().of(&old);
            assert_eq!(
                new.to_string().replace(' ', ""),
                want.replace(' ', ""),
                "{to}"
            );
        }
        for bad in ["", "*", "a*{b=\"c\"}", "a{b!=\"c\"}", "{}", "a b"] {
            assert!(bad.parse::<NewName>().is_err(), "{bad}");
        }
    }
}
