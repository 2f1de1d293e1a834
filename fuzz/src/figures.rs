//! A few series in memory, and PromQL over them.

use std::time::{Duration, Instant};

use vigie_parsers::Timestamp;
use vigie_query::promql::{self, Limits, Params};
use vigie_query::{
    Labels, Matcher, Metadata, Sample, Selection, Series, SeriesSource, SourceError, Sparse,
    Stretch, Take,
};

const MINUTE_MS: i64 = 60_000;

/// An hour of gauges, a counter and a histogram; the first half in slots of ten minutes.
struct Figures;

impl Figures {
    fn all() -> Vec<Series> {
        let series = |labels: Labels, value: &dyn Fn(i64) -> f64| {
            let minutes = (0..=60).filter(|m| *m > 30 || m % 10 == 0);
            let samples = minutes.map(|m| Sample {
                time: Timestamp(m * MINUTE_MS),
                value: value(m),
            });
            Series {
                labels,
                samples: samples.collect(),
            }
        };
        let mut all = vec![
            series(Labels::metric("a", &[("job", "x")]), &|m| (m % 7) as f64),
            series(Labels::metric("a", &[("job", "y")]), &|m| {
                if m % 5 == 0 { f64::NAN } else { -(m as f64) }
            }),
            series(Labels::metric("b", &[("job", "x")]), &|m| (m * m) as f64),
        ];
        for le in ["1", "5", "+Inf"] {
            all.push(series(Labels::metric("c_bucket", &[("le", le)]), &|m| {
                m as f64
            }));
        }
        all
    }
}

impl SeriesSource for Figures {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<Series>, SourceError> {
        let mut found = Self::all();
        found.retain(|s| selection.matchers.iter().all(|m| m.matches(&s.labels)));
        for series in &mut found {
            let within = |s: &Sample| s.time >= selection.from && s.time <= selection.until;
            series.samples.retain(within);
        }
        found.retain(|s| !s.samples.is_empty());
        Ok(found)
    }

    fn select_sparse(
        &self,
        selection: &Selection<'_>,
        _: Take,
    ) -> Result<Vec<Sparse>, SourceError> {
        let stretch = Stretch {
            until: Timestamp(30 * MINUTE_MS),
            step_ms: 10 * MINUTE_MS,
        };
        let earlier = Selection {
            from: selection.from.plus_ms(-20 * MINUTE_MS),
            ..selection.clone()
        };
        let found = self.select(&earlier)?.into_iter().map(|series| Sparse {
            series,
            stretches: vec![stretch],
        });
        Ok(found.collect())
    }

    fn series(
        &self,
        _: &[Matcher],
        _: Timestamp,
        _: Timestamp,
    ) -> Result<Vec<Labels>, SourceError> {
        Ok(Self::all().into_iter().map(|s| s.labels).collect())
    }

    fn metadata(&self) -> Result<Vec<Metadata>, SourceError> {
        Ok(Vec::new())
    }
}

/// Reads a text and, if it is an expression, shows and answers it; a second is more than any limit
/// leaves.
pub(crate) fn promql(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(expr) = promql::parse(text) else {
        return;
    };
    assert!(
        promql::prettify(text).is_ok(),
        "what is read can be laid out"
    );
    assert!(promql::tree(&expr).is_object(), "what is read can be shown");
    let params = Params {
        limits: Limits {
            samples_max: 100_000,
            points_max: 100_000,
            steps_max: 1_000,
            deadline: Some(Instant::now() + Duration::from_secs(1)),
        },
        ..Params::default()
    };
    let (from, until) = (Timestamp(5 * MINUTE_MS), Timestamp(58 * MINUTE_MS));
    let _ = promql::instant(&Figures, &expr, until, &params);
    let _ = promql::range(&Figures, &expr, from, until, MINUTE_MS, &params);
}
