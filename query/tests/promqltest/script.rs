//! Reads Prometheus' test scripts: `load`, `clear` and `eval` commands, as its `promqltest` package
//! describes them.

use regex::Regex;
use vigie_query::promql::STALE;
use vigie_query::{Labels, LabelsBuilder, METRIC_NAME};

/// One command.
pub(crate) enum Command {
    Clear,
    Load {
        step: i64,
        series: Vec<Described>,
        /// Classic histograms are loaded as native ones too.
        with_native: bool,
    },
    Eval(Box<Eval>),
}

/// A series with its points, one a step; `None` is a hole.
#[derive(Clone)]
pub(crate) struct Described {
    pub(crate) labels: Labels,
    pub(crate) points: Vec<Option<f64>>,
    /// A point is a native histogram.
    pub(crate) native: bool,
}

pub(crate) struct Eval {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) at: When,
    pub(crate) ordered: bool,
    pub(crate) fails: bool,
    pub(crate) expects: Vec<(String, Match)>,
    pub(crate) result: Expected,
}

#[derive(Clone, Copy)]
pub(crate) enum When {
    Instant(i64),
    Range(i64, i64, i64),
}

pub(crate) enum Match {
    Any,
    Exactly(String),
    Like(Regex),
}

pub(crate) enum Expected {
    Series(Vec<Described>),
    Scalar(f64),
    Text(String),
    /// A range vector from an instant query: start and step of the points.
    Ranges(i64, i64, Vec<Described>),
}

/// All commands of a script.
pub(crate) fn read(script: &str) -> Vec<Command> {
    let lines: Vec<&str> = script
        .lines()
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let first = at;
        let head = lines[at];
        at += 1;
        if head.is_empty() {
            continue;
        }
        if head == "clear" {
            commands.push(Command::Clear);
            continue;
        }
        let body = &lines[at..];
        let body = &body[..body.iter().position(|l| l.is_empty()).unwrap_or(body.len())];
        at += body.len();
        commands.push(if let Some(rest) = head.strip_prefix("load") {
            Command::Load {
                with_native: rest.starts_with("_with_nhcb"),
                step: duration(rest.split_whitespace().next_back().unwrap()),
                series: body.iter().map(|line| describe(line)).collect(),
            }
        } else {
            Command::Eval(Box::new(eval(first + 1, head, body)))
        });
    }
    commands
}

fn eval(line: usize, head: &str, body: &[&str]) -> Eval {
    let instant =
        Regex::new(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$");
    let range = Regex::new(
        r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$",
    );
    let (kind, at, text) = if let Some(found) = range.unwrap().captures(head) {
        let when = When::Range(
            duration(&found[2]),
            duration(&found[3]),
            duration(&found[4]),
        );
        (found.get(1), when, found[5].to_owned())
    } else {
        let Some(found) = instant.unwrap().captures(head) else {
            panic!("line {line}: not a command: {head}");
        };
        let at = found.get(2).map_or(0, |at| duration(at.as_str()));
        (found.get(1), When::Instant(at), found[3].to_owned())
    };
    let mut eval = Eval {
        line,
        text,
        at,
        ordered: false,
        fails: false,
        expects: Vec::new(),
        result: Expected::Series(Vec::new()),
    };
    if let Some(kind) = kind {
        eval.expect(kind.as_str());
    }
    let mut series = Vec::new();
    let mut ranges = None;
    for line in body {
        if let Some(rest) = line.strip_prefix("expect ") {
            if let Some(range) = rest.strip_prefix("range vector from ") {
                let words: Vec<&str> = range.split_whitespace().collect();
                ranges = Some((duration(words[0]), duration(words[4])));
            } else if let Some(text) = rest.strip_prefix("string ") {
                eval.result = Expected::Text(text[1..text.len() - 1].to_owned());
            } else {
                eval.expect(rest.trim());
            }
        } else if let Ok(number) = line.parse() {
            eval.result = Expected::Scalar(number);
        } else if !line.starts_with("expected_fail") {
            series.push(describe(line));
        }
    }
    if let Some((start, step)) = ranges {
        eval.result = Expected::Ranges(start, step, series);
    } else if let Expected::Series(all) = &mut eval.result {
        *all = series;
    }
    eval
}

impl Eval {
    fn expect(&mut self, rest: &str) {
        let (kind, what) = rest.split_once(' ').unwrap_or((rest, ""));
        match kind {
            "ordered" => self.ordered = true,
            "fail" => self.fails = true,
            _ => {}
        }
        let how = if let Some(text) = what.strip_prefix("msg:") {
            Match::Exactly(without_position(text.trim()))
        } else if let Some(pattern) = what.strip_prefix("regex:") {
            let pattern = Regex::new(r"\s*\\\([^ ]*\\\)$")
                .unwrap()
                .replace(pattern.trim(), "");
            Match::Like(Regex::new(&pattern).unwrap())
        } else {
            Match::Any
        };
        self.expects.push((kind.to_owned(), how));
    }
}

/// Our remarks carry no position: the grammar crate gives none.
fn without_position(text: &str) -> String {
    Regex::new(r" \(\d+:\d+\)$")
        .unwrap()
        .replace(text, "")
        .into_owned()
}

/// Milliseconds of `90`, `1h30m`, `-5m`.
fn duration(text: &str) -> i64 {
    if let Ok(seconds) = text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "scripts last hours")]
        return (seconds * 1e3).round() as i64;
    }
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let part = Regex::new(r"(\d+)(ms|[smhdwy])").unwrap();
    let total: i64 = part
        .captures_iter(text)
        .map(|found| {
            let scale = match &found[2] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "w" => 604_800_000,
                _ => 31_536_000_000,
            };
            found[1].parse::<i64>().unwrap() * scale
        })
        .sum();
    sign * total
}

/// `name{a="b"} 1 2+3x4 _ stale`
fn describe(line: &str) -> Described {
    let (labels, rest) = metric(line);
    let mut described = Described {
        labels,
        points: Vec::new(),
        native: false,
    };
    let mut rest = rest.trim_start();
    while !rest.is_empty() {
        let mut end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        if rest.starts_with("{{") {
            // Runs like `{{…}}+{{…}}x4` have blanks inside.
            let mut close = rest.find("}}").unwrap() + 2;
            while let Some(more) = rest[close..]
                .strip_prefix('+')
                .or_else(|| rest[close..].strip_prefix('-'))
                .filter(|more| more.starts_with("{{"))
            {
                close = rest.len() - more.len() + more.find("}}").unwrap() + 2;
            }
            end = close
                + rest[close..]
                    .find(char::is_whitespace)
                    .unwrap_or(rest.len() - close);
            described.native = true;
            let count = times(&rest[close..end]).map_or(1, |n| n + 1);
            described.points.extend(vec![None; count]);
        } else {
            points(&rest[..end], &mut described.points);
        }
        rest = rest[end..].trim_start();
    }
    described
}

fn times(text: &str) -> Option<usize> {
    text.strip_prefix('x')?.parse().ok()
}

fn points(text: &str, into: &mut Vec<Option<f64>>) {
    let (value, count) = match text.rsplit_once('x') {
        Some((value, count)) => (value, count.parse().unwrap()),
        None => (text, 0),
    };
    if value == "_" {
        into.extend(vec![None; count.max(1)]);
        return;
    }
    if value == "stale" {
        into.extend(vec![Some(STALE); count + 1]);
        return;
    }
    let run = Regex::new(r"^([+-]?[\d.]+(?:e[+-]?\d+)?)([+-][\d.]+(?:e[+-]?\d+)?)$").unwrap();
    let (start, delta) = match run.captures(value) {
        Some(found) => (found[1].parse().unwrap(), found[2].parse().unwrap()),
        None => (number(value), 0.0),
    };
    let mut value: f64 = start;
    for _ in 0..=count {
        into.push(Some(value));
        value += delta;
    }
}

fn number(text: &str) -> f64 {
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).unwrap() as f64;
    }
    text.parse()
        .unwrap_or_else(|_| panic!("not a point: {text:?}"))
}

/// Labels at the start of a line, and what follows them.
fn metric(line: &str) -> (Labels, &str) {
    let mut builder = LabelsBuilder::default();
    let end = line
        .find(|c: char| c == '{' || c.is_whitespace())
        .unwrap_or(line.len());
    builder.set(METRIC_NAME, &line[..end]);
    let mut rest = &line[end..];
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_start();
        while !rest.starts_with('}') {
            let name;
            if rest.starts_with('"') {
                (name, rest) = quoted(rest);
            } else {
                let end = rest.find(['=', ' ']).unwrap();
                name = rest[..end].to_owned();
                rest = &rest[end..];
            }
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('=') {
                let (value, after) = quoted(after.trim_start());
                builder.set(name, value);
                rest = after;
            } else {
                builder.set(METRIC_NAME, name);
            }
            rest = rest.trim_start().trim_start_matches(',').trim_start();
        }
        rest = &rest[1..];
    }
    (builder.build(), rest)
}

/// A quoted text at the start, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let quote = text.chars().next().unwrap();
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => match chars.next().unwrap().1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            c if c == quote => return (value, &text[i + 1..]),
            c => value.push(c),
        }
    }
    panic!("never closed: {text}");
}
