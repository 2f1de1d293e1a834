//! How long figures are kept: the archives of a series, chosen by rules over its name and labels.

use std::fmt;
use std::str::FromStr;

use vigie_query::{Labels, Matcher, promql};

use super::budget;
use super::layout::{ARCHIVES_MAX, Layout, STEP_MS_MAX};

const DAY_MS: i64 = 86_400_000;
/// Slots of an archive that make one of the next, at most: a page holds whole slots of the next.
const RATIO_MAX: i64 = 1000;
/// A century: beyond it the number of a chunk's row would not fit.
const LENGTH_MS_MAX: i64 = 36_525 * DAY_MS;
/// Slots of one archive at most: a century of hours.
const SLOTS_MAX: i64 = 1 << 20;
/// Units of time, the largest first, so that what is shown is short.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * DAY_MS),
    ("w", 7 * DAY_MS),
    ("d", DAY_MS),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// One archive: the length of its slots, and how far it reaches back. Written `10s for 2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArchiveSpec {
    /// Milliseconds of a slot.
    pub step_ms: i64,
    /// Milliseconds that it reaches back.
    pub length_ms: i64,
}

impl FromStr for ArchiveSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [step, "for", length] = words[..] else {
            return Err(format!(
                "`{text}` is no archive; write the length of its slots and how far it reaches \
                 back, as \"10s for 2d\""
            ));
        };
        let (step_ms, length_ms) = (duration_ms(step)?, duration_ms(length)?);
        if step_ms > STEP_MS_MAX {
            return Err(format!("`{text}`: slots longer than a day are not kept"));
        }
        if length_ms < step_ms {
            return Err(format!("`{text}` is shorter than one of its slots"));
        }
        if length_ms > LENGTH_MS_MAX {
            return Err(format!("`{text}` reaches back more than a century"));
        }
        if length_ms / step_ms > SLOTS_MAX {
            return Err(format!(
                "`{text}` has more than {SLOTS_MAX} slots; keep short slots for less time and add \
                 an archive of longer ones"
            ));
        }
        Ok(Self { step_ms, length_ms })
    }
}

impl fmt::Display for ArchiveSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", show(self.step_ms), show(self.length_ms))
    }
}

/// A whole number and its unit.
fn duration_ms(text: &str) -> Result<i64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let ms = known.and_then(|(_, ms)| number.parse::<i64>().ok()?.checked_mul(*ms));
    ms.filter(|&ms| ms > 0).ok_or_else(|| {
        format!(
            "`{text}` is no length of time; write a whole number and ms, s, m, h, d, w or y, as \
             \"10s\" or \"2y\""
        )
    })
}

/// In the largest unit that divides it, weeks and years only where they are the plainest word.
fn show(ms: i64) -> String {
    let fits = |&&(name, unit): &&(&str, i64)| ms % unit == 0 && name != "w";
    match UNITS.iter().find(fits) {
        Some((name, unit)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}

/// The archives of a series, finest first: one to eight, each with slots made of whole slots of the
/// one before, and each reaching back farther.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Archives(Vec<ArchiveSpec>);

impl Archives {
    /// Checks a list of archives, in any order.
    ///
    /// # Errors
    /// What is wrong, as a sentence for the operator.
    pub fn new(mut list: Vec<ArchiveSpec>) -> Result<Self, String> {
        if list.is_empty() {
            return Err("no archive: nothing would be kept".to_owned());
        }
        if list.len() > ARCHIVES_MAX {
            return Err(format!(
                "{} archives; a series has {ARCHIVES_MAX} at most",
                list.len()
            ));
        }
        list.sort_by_key(|a| a.step_ms);
        for pair in list.windows(2) {
            let (fine, coarse) = (pair[0], pair[1]);
            let (f, c) = (show(fine.step_ms), show(coarse.step_ms));
            if fine.step_ms == coarse.step_ms {
                return Err(format!("two archives of {f}: one of them says nothing new"));
            }
            if coarse.step_ms % fine.step_ms != 0 {
                return Err(format!(
                    "{c} is no multiple of {f}: slots of an archive are made of whole slots of \
                     the finer one"
                ));
            }
            if coarse.step_ms / fine.step_ms > RATIO_MAX {
                return Err(format!(
                    "from {f} straight to {c}: put an archive in between (a slot is made of \
                     {RATIO_MAX} finer ones at most)"
                ));
            }
            if coarse.length_ms <= fine.length_ms {
                return Err(format!(
                    "`{coarse}` reaches back no farther than the finer `{fine}`: it would never \
                     be asked"
                ));
            }
        }
        Ok(Self(list))
    }

    /// Reads archives as they stand in the configuration.
    ///
    /// # Errors
    /// What is wrong, as a sentence for the operator.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, String> {
        let list = texts.iter().map(|t| t.as_ref().parse());
        Self::new(list.collect::<Result<_, _>>()?)
    }

    /// The list, finest first.
    #[must_use]
    pub fn list(&self) -> &[ArchiveSpec] {
        &self.0
    }

    /// Those that series read every `step_ms` need: slots much shorter than the distance of the
    /// readings would stay empty, so the finest is the longest that is not longer than the distance.
    #[must_use]
    pub fn for_step(&self, step_ms: i64) -> Self {
        let first = self.0.iter().rposition(|a| a.step_ms <= step_ms);
        Self(self.0[first.unwrap_or(0)..].to_vec())
    }

    /// Bytes that one series with these archives is expected to occupy once they are full, as long as
    /// the store has not measured its own pages, with the margin that admission keeps free.
    #[must_use]
    pub fn bytes_expected(&self) -> u64 {
        budget::series_bytes(&Layout::new(0, self))
    }

    /// Bytes that it may occupy at the worst.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        Layout::new(0, self).series_bytes_max()
    }
}

impl Default for Archives {
    /// A second for six hours, ten seconds for two days, a minute for two weeks, ten minutes for
    /// three months, two hours for two years.
    fn default() -> Self {
        let list = [
            (1_000, DAY_MS / 4),
            (10_000, 2 * DAY_MS),
            (60_000, 14 * DAY_MS),
            (600_000, 92 * DAY_MS),
            (7_200_000, 732 * DAY_MS),
        ];
        Self(
            list.map(|(step_ms, length_ms)| ArchiveSpec { step_ms, length_ms })
                .to_vec(),
        )
    }
}

/// Which series: a metric's name, in which `*` stands for anything, and conditions on labels as in
/// PromQL. `node_*{instance="web1"}`, `up`, `{job=~"a|b"}`, `*`.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    matchers: Vec<Matcher>,
}

impl Pattern {
    /// Whether it means a series.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|m| m.matches(labels))
    }

    /// The conditions, all of which hold.
    #[must_use]
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let form = "write a name, `*` for any part of it, and conditions on labels, as \
                    node_*{instance=\"web1\"}";
        let bad = |why: &str| format!("`{text}` selects no series: {why}; {form}");
        let (name, rest) = text.split_at(text.find('{').unwrap_or(text.len()));
        let name = name.trim();
        let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '*');
        if let Some(odd) = name.chars().find(|&c| !of_name(c)) {
            return Err(bad(&format!("`{odd}` stands in no name")));
        }
        let conditions = match rest {
            "" if name.is_empty() => return Err(bad("it is empty")),
            "" => "",
            _ => rest
                .strip_prefix('{')
                .and_then(|r| r.strip_suffix('}'))
                .ok_or_else(|| bad("the conditions do not end with }"))?,
        };
        let name = if name.is_empty() { "*" } else { name };
        let comma = if conditions.trim().is_empty() {
            ""
        } else {
            ", "
        };
        // Some name is a condition that PromQL asks for.
        let name = name.replace('*', ".*");
        let query = format!("{{__name__=~\"{name}\", __name__!=\"\"{comma}{conditions}}}");
        let expr = promql::parse(&query).map_err(|e| bad(&e.to_string()))?;
        let mut found = promql::selectors(&expr);
        match found.pop() {
            Some(one) if found.is_empty() && one.range_ms.is_none() => Ok(Self {
                text: text.to_owned(),
                matchers: one.matchers,
            }),
            _ => Err(bad("it is more than one selector")),
        }
    }
}

/// How long which series are kept: the first rule that means a series says it, else the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retention {
    /// In order.
    pub rules: Vec<(Pattern, Archives)>,
}

impl Retention {
    /// The archives of a series that is read every `step_ms`.
    #[must_use]
    pub fn archives(&self, labels: &Labels, step_ms: i64) -> Archives {
        let rule = self
            .rules
            .iter()
            .find(|(pattern, _)| pattern.matches(labels));
        match rule {
            Some((_, archives)) => archives.for_step(step_ms),
            None => Archives::default().for_step(step_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn archives_are_read_as_they_are_written() {
        let texts = ["10s for 2d", "1m for 14d", "10m for 92d", "2h for 2y"];
        let archives = Archives::parse(&texts).unwrap();
        let shown: Vec<_> = archives.list().iter().map(ToString::to_string).collect();
        assert_eq!(shown, texts);
        assert_eq!(
            Archives::parse(&["1w for 4w"]).unwrap_err(),
            "`1w for 4w`: slots longer than a day are not kept"
        );
        assert_eq!(
            Archives::parse(&["90s for 3w"]).unwrap().list()[0].to_string(),
            "90s for 21d"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let rows: &[(&[&str], &str)] = &[
            (&[], "nothing would be kept"),
            (
                &["10s"],
                "`10s` is no archive; write the length of its slots",
            ),
            (&["10s for ever"], "`ever` is no length of time"),
            (&["1.5h for 2d"], "`1.5h` is no length of time"),
            (&["0s for 2d"], "`0s` is no length of time"),
            (&["1h for 1m"], "shorter than one of its slots"),
            (&["1s for 1y"], "has more than 1048576 slots"),
            (&["1h for 200y"], "more than a century"),
            (&["10s for 2d", "15s for 4d"], "15s is no multiple of 10s"),
            (&["10s for 2d", "10s for 4d"], "two archives of 10s"),
            (
                &["1s for 1h", "1h for 4d"],
                "from 1s straight to 1h: put an archive in between",
            ),
            (
                &["10s for 2d", "1m for 2d"],
                "`1m for 2d` reaches back no farther than the finer `10s for 2d`",
            ),
            (&["99999999999999999999y for 1d"], "is no length of time"),
        ];
        for (texts, want) in rows {
            let error = Archives::parse(texts).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
        let nine: Vec<_> = (0..9)
            .map(|i| format!("{}s for {}d", 1 << i, i + 1))
            .collect();
        assert_eq!(
            Archives::parse(&nine).unwrap_err(),
            "9 archives; a series has 8 at most"
        );
    }

    #[test]
    fn patterns_mean_series() {
        let labels = Labels::metric("node_load1", &[("instance", "web1")]);
        for (text, means) in [
            ("*", true),
            ("node_*", true),
            ("node_load1", true),
            ("node_load", false),
            ("*load*{instance=\"web1\"}", true),
            ("node_*{instance=~\"web.\"}", true),
            ("{instance!=\"web1\"}", false),
            ("{}", true),
            ("node_load1{rack=\"\"}", true),
        ] {
            assert_eq!(
                text.parse::<Pattern>().unwrap().matches(&labels),
                means,
                "{text}"
            );
        }
        for (text, why) in [
            ("", "it is empty"),
            ("rate(x[5m])", "`(` stands in no name"),
            ("a{b=\"c\"} + d{e=\"f\"}", "selects no series"),
            ("a{b=\"c\"", "do not end with }"),
            ("a{b=~\"(\"}", "selects no series"),
            ("a{b=\"c\"}[5m]", "do not end with }"),
        ] {
            let error = text.parse::<Pattern>().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_first_rule_that_means_a_series_says_how_long() {
        let rule = |pattern: &str, archives: &[&str]| {
            (pattern.parse().unwrap(), Archives::parse(archives).unwrap())
        };
        let retention = Retention {
            rules: vec![
                rule("node_*", &["1s for 1h", "1m for 1y"]),
                rule("*", &["10s for 1d"]),
            ],
        };
        let steps = |name: &str, step_ms| -> Vec<i64> {
            let archives = retention.archives(&Labels::metric(name, &[]), step_ms);
            archives.list().iter().map(|a| a.step_ms).collect()
        };
        assert_eq!(steps("node_x", 1000), [1000, 60_000]);
        assert_eq!(steps("node_x", 10_000), [1000, 60_000]);
        assert_eq!(steps("node_x", 300_000), [60_000]);
        assert_eq!(steps("up", 1000), [10_000]);
        let default = |step_ms| Archives::default().for_step(step_ms).list()[0].step_ms;
        assert_eq!(
            [1, 1000, 9999, 10_000, 59_999, 60_000, 300_000].map(default),
            [1000, 1000, 1000, 10_000, 10_000, 60_000, 60_000]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = text.parse::<ArchiveSpec>();
            let _ = text.parse::<Pattern>();
        }

        #[test]
        fn every_list_that_is_taken_makes_a_layout(
            ratios in prop::collection::vec(1..=1000i64, 0..8), first in 1..100_000i64,
            lengths in prop::collection::vec(1..2000i64, 8),
        ) {
            let mut step_ms = first;
            let mut list = vec![ArchiveSpec { step_ms, length_ms: step_ms * lengths[0] }];
            for (ratio, length) in ratios.iter().zip(&lengths[1..]) {
                step_ms = step_ms.saturating_mul(*ratio);
                list.push(ArchiveSpec { step_ms, length_ms: step_ms.saturating_mul(*length) });
            }
            let texts: Vec<_> = list.iter().map(|a| format!("{}ms for {}ms", a.step_ms, a.length_ms)).collect();
            if let Ok(archives) = Archives::parse(&texts) {
                let layout = Layout::new(3, &archives);
                prop_assert_eq!(Layout::decode(3, &layout.encode()), Some(layout));
            }
        }
    }
}
