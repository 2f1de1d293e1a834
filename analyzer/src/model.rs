//! A source of series that are functions of time, and an incident book on a throw-away store.

use vigie_parsers::Timestamp;
use vigie_query::{
    Labels, Matcher, Metadata, Sample, Selection, Series, SeriesSource, SourceError,
};
use vigie_store::incidents::Alert;
use vigie_store::{Options, Reader, Writer};

use crate::{Engine, Memory, Rules, Transition, book};

/// Where the time of tests begins: any multiple of an hour will do.
pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000 / 3_600_000 * 3_600_000);

/// So many seconds after the start.
pub(crate) fn at(s: i64) -> Timestamp {
    START.plus_ms(s * 1000)
}

type Function = Box<dyn Fn(i64) -> Option<f64>>;

/// Series whose values are functions of the seconds since [`START`].
#[derive(Default)]
pub(crate) struct Figures {
    series: Vec<(Labels, Function)>,
    step_s: i64,
    pub(crate) fails: bool,
}

impl Figures {
    /// Sampled every so many seconds.
    pub(crate) fn every(step_s: i64) -> Self {
        Self {
            step_s,
            ..Self::default()
        }
    }

    pub(crate) fn add(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        value: impl Fn(i64) -> Option<f64> + 'static,
    ) -> &mut Self {
        let labels = Labels::metric(name, labels);
        self.series.push((labels, Box::new(value)));
        self
    }
}

impl SeriesSource for Figures {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<Series>, SourceError> {
        if self.fails {
            return Err(SourceError::Store("the disk is gone".to_owned()));
        }
        let step = self.step_s * 1000;
        let first = selection.from.since_ms(START).div_euclid(step) * step;
        let mut found = Vec::new();
        for (labels, value) in &self.series {
            if !selection.matchers.iter().all(|m| m.matches(labels)) {
                continue;
            }
            let times = (0..)
                .map(|n| first + n * step)
                .take_while(|&ms| START.plus_ms(ms) <= selection.until);
            let samples: Vec<Sample> = times
                .filter(|&ms| START.plus_ms(ms) >= selection.from)
                .filter_map(|ms| {
                    let (time, value) = (START.plus_ms(ms), value(ms / 1000)?);
                    Some(Sample { time, value })
                })
                .collect();
            if !samples.is_empty() {
                found.push(Series {
                    labels: labels.clone(),
                    samples,
                });
            }
        }
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(found)
    }

    fn series(
        &self,
        _: &[Matcher],
        _: Timestamp,
        _: Timestamp,
    ) -> Result<Vec<Labels>, SourceError> {
        Ok(Vec::new())
    }

    fn metadata(&self) -> Result<Vec<Metadata>, SourceError> {
        Ok(Vec::new())
    }
}

/// A test ends with its process, not with the machine: no need to wait for the disk.
fn options() -> Options {
    Options {
        synchronous: vigie_store::Synchronous::Normal,
        ..Options::default()
    }
}

/// An engine with its book.
pub(crate) struct House {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) writer: Writer,
    pub(crate) engine: Engine,
    reader: Reader,
}

impl House {
    pub(crate) fn new(rules: Rules) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::open(dir.path(), &options(), START).unwrap();
        Self {
            reader: Reader::open(dir.path()).unwrap(),
            dir,
            writer,
            engine: Engine::new(rules, Memory::default()),
        }
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// One evaluation, written down.
    pub(crate) fn tick(&mut self, figures: &Figures, s: i64) -> Vec<Transition> {
        let now = at(s);
        let active: Vec<Alert> = self.reader().active_alerts().unwrap();
        let transitions = self.engine.evaluate(figures, &active, now);
        let memory = self.engine.memory().to_text();
        self.writer
            .update(now, |state| {
                book::apply(state, &transitions, now)?;
                state.set(Memory::KEY, Some(&memory))
            })
            .unwrap();
        transitions
    }

    /// Ends without a word and comes back.
    pub(crate) fn kill(self) -> Self {
        let Self {
            dir,
            writer,
            engine,
            reader,
        } = self;
        let rules = engine.rules().clone();
        drop((writer, engine, reader));
        let writer = Writer::open(dir.path(), &options(), START).unwrap();
        let reader = Reader::open(dir.path()).unwrap();
        let memory = reader.setting(Memory::KEY).unwrap().unwrap();
        Self {
            dir,
            writer,
            engine: Engine::new(rules, Memory::from_text(&memory)),
            reader,
        }
    }
}

/// Rules from the inside of a group's `rules:` list.
pub(crate) fn rules(interval: &str, list: &str) -> Rules {
    let mut rules = Rules::default();
    let indented: String = list.lines().map(|l| format!("      {l}\n")).collect();
    let text = format!("groups:\n  - name: g\n    interval: {interval}\n    rules:\n{indented}");
    rules
        .add("test.yml", &text)
        .unwrap_or_else(|p| panic!("{p:?}\n{text}"));
    rules
}
