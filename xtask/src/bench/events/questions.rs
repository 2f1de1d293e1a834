//! What every system is asked, and vigie's answers.

use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use vigie_parsers::Timestamp;
use vigie_query::log::{Compare, Exact, FieldName, Filter, Test, TextPattern};
use vigie_query::{EventSource, GroupBy, Scan, Step};
use vigie_store::Reader;

use super::corpus::Kind;
use super::cpu_ms;

/// Warm answers are the best of so many.
const PASSES: usize = 5;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask {
    /// Lines with this word, all shown.
    Word(&'static str),
    /// Lines with this text anywhere, all shown.
    Text(&'static str),
    /// The newest 200 lines of this program with this word.
    AppWord(&'static str, &'static str),
    /// Lines of a status from 502 on and of this path.
    StatusPath(&'static str),
    /// The newest 200 lines.
    Tail,
    /// Lines of status 500 and above by the minute.
    ErrorsByMinute,
    /// Lines by level and minute.
    LevelsByMinute,
    /// The 20 most frequent values.
    Top(&'static str),
}

/// A question with its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) name: &'static str,
    pub(super) ask: Ask,
}

/// What it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// Lines or groups.
    pub(super) found: u64,
    /// Processor time, all read before.
    pub(super) warm_ms: f64,
    /// Wall time with nothing of the file in memory.
    pub(super) cold_ms: Option<f64>,
}

const fn q(name: &'static str, ask: Ask) -> Question {
    Question { name, ask }
}

const ACCESS: &[Question] = &[
    q("last 200", Ask::Tail),
    q("missing word", Ask::Word("xyzzyq")),
    q("rare word, shown", Ask::Word("94999")),
    q("missing text, odd letters", Ask::Text("zyzzyq")),
    q("missing text, usual letters", Ask::Text("newspage")),
    q("missing text, digits", Ask::Text("99887766554")),
    q("rare text, shown", Ask::Text("hop/9499")),
    q("status >= 502, one path", Ask::StatusPath("/news/64.html")),
    q("5xx by the minute", Ask::ErrorsByMinute),
    q("top 20 paths", Ask::Top("path")),
    q("top 20 addresses", Ask::Top("ip")),
];

const SYSLOG: &[Question] = &[
    q("last 200", Ask::Tail),
    q("missing word", Ask::Word("xyzzyq")),
    q("rare address, shown", Ask::Word("10.3.77.41")),
    q("missing text, odd letters", Ask::Text("zyzzyq")),
    q("missing text, usual letters", Ask::Text("peerfrom")),
    q("missing text, digits", Ask::Text("99887766554")),
    q("missing text, hex", Ask::Text("deadbeefcafe")),
    q("rare text, shown", Ask::Text("u7999")),
    q("program and word, newest", Ask::AppWord("sshd", "oracle")),
    q("lines by level and minute", Ask::LevelsByMinute),
    q("top programs", Ask::Top("app")),
];

pub(super) fn of(kind: Kind) -> Vec<Question> {
    match kind {
        Kind::Access => ACCESS.to_vec(),
        Kind::Syslog => SYSLOG.to_vec(),
    }
}

fn text(needle: &str, open: bool) -> Filter {
    TextPattern::new(needle, open, open).map_or(Filter::All, Filter::Text)
}

fn field(name: &str, test: Test) -> Filter {
    Filter::Field {
        name: FieldName::new(name),
        test,
    }
}

fn exact(name: &str, value: &str) -> Filter {
    field(name, Test::Exact(Exact::new(value, false, false)))
}

fn at_least(n: f64) -> Filter {
    field("status", Test::Compare(Compare::GreaterOrEqual, n))
}

const MINUTE: Step = Step {
    ms: 60_000,
    origin: Timestamp(0),
};

/// Answers a question: how many lines or groups.
fn ask(reader: &Reader, ask: Ask) -> Result<u64> {
    match ask {
        Ask::Word(word) => scan(reader, &text(word, false), u64::MAX),
        Ask::Text(needle) => scan(reader, &text(needle, true), u64::MAX),
        Ask::AppWord(app, word) => {
            let filter = Filter::And(vec![exact("app", app), text(word, false)]);
            scan(reader, &filter, 200)
        }
        Ask::StatusPath(path) => {
            let filter = Filter::And(vec![at_least(502.0), exact("path", path)]);
            scan(reader, &filter, u64::MAX)
        }
        Ask::Tail => scan(reader, &Filter::All, 200),
        Ask::ErrorsByMinute => count(reader, &at_least(500.0), &[], Some(MINUTE)),
        Ask::LevelsByMinute => count(reader, &Filter::All, &["level"], Some(MINUTE)),
        Ask::Top(name) => Ok(count(reader, &Filter::All, &[name], None)?.min(20)),
    }
}

fn scan(reader: &Reader, filter: &Filter, limit: u64) -> Result<u64> {
    let scan = Scan::new(Timestamp::MIN, Timestamp::MAX, filter);
    let mut n = 0;
    reader.scan(&scan, &mut |_| {
        n += 1;
        match n < limit {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    Ok(n)
}

fn count(reader: &Reader, filter: &Filter, by: &[&str], step: Option<Step>) -> Result<u64> {
    let fields: Vec<FieldName> = by.iter().copied().map(FieldName::new).collect();
    let by = GroupBy {
        fields: &fields,
        step,
        max_groups: 1_000_000,
    };
    let scan = Scan::new(Timestamp::MIN, Timestamp::MAX, filter);
    let groups = reader.count_by(&scan, &by)?.groups;
    // Each group and minute is a line of the answer.
    let lines = groups.iter().map(|g| g.steps.len().max(1) as u64);
    Ok(lines.sum())
}

/// Has the kernel forget what it knows of a file.
pub(super) fn forget(path: &Path) -> Result<()> {
    let file = std::fs::File::open(path)?;
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None::<NonZeroU64>, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

/// Asks the store in `dir`: cold first, then warm.
pub(super) fn vigie(dir: &Path, question: &Question) -> Result<Answer> {
    let reader = Reader::open(dir)?;
    forget(&dir.join("vigie.db"))?;
    let wall = Instant::now();
    let mut answer = Answer {
        found: ask(&reader, question.ask)?,
        warm_ms: f64::MAX,
        cold_ms: Some(wall.elapsed().as_secs_f64() * 1e3),
    };
    for _ in 0..PASSES {
        let start = cpu_ms();
        answer.found = ask(&reader, question.ask)?;
        answer.warm_ms = answer.warm_ms.min(cpu_ms() - start);
    }
    Ok(answer)
}
