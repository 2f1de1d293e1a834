//! Series in memory, as a source.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use vigie_parsers::Timestamp;
use vigie_query::{
    Labels, Matcher, Metadata, Sample, Selection, Series, SeriesSource, SourceError,
};

/// Samples by series, in time order. Counts how often it was asked.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    series: BTreeMap<Labels, Vec<Sample>>,
    pub(crate) selections: AtomicUsize,
}

impl Memory {
    /// Adds a sample; of two at one time the later call holds.
    pub(crate) fn push(&mut self, labels: &Labels, time: i64, value: f64) {
        let samples = self.series.entry(labels.clone()).or_default();
        let time = Timestamp(time);
        let place = samples.partition_point(|s| s.time < time);
        let sample = Sample { time, value };
        match samples.get_mut(place) {
            Some(same) if same.time == time => *same = sample,
            _ => samples.insert(place, sample),
        }
    }

    fn matching(&self, matchers: &[Matcher]) -> impl Iterator<Item = (&Labels, &Vec<Sample>)> {
        let all = self.series.iter();
        all.filter(|(labels, _)| matchers.iter().all(|m| m.matches(labels)))
    }
}

fn within(samples: &[Sample], from: Timestamp, until: Timestamp) -> &[Sample] {
    let first = samples.partition_point(|s| s.time < from);
    let last = samples.partition_point(|s| s.time <= until);
    &samples[first..last.max(first)]
}

impl SeriesSource for Memory {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<Series>, SourceError> {
        self.selections.fetch_add(1, Ordering::Relaxed);
        let mut found = Vec::new();
        let mut left = selection.max_samples;
        for (labels, samples) in self.matching(selection.matchers) {
            let samples = within(samples, selection.from, selection.until);
            left = left
                .checked_sub(samples.len())
                .ok_or_else(|| SourceError::Limit("too many samples".to_owned()))?;
            if !samples.is_empty() {
                found.push(Series {
                    labels: labels.clone(),
                    samples: samples.to_vec(),
                });
            }
        }
        Ok(found)
    }

    fn series(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Labels>, SourceError> {
        let living = self
            .matching(matchers)
            .filter(|(_, samples)| !within(samples, from, until).is_empty());
        Ok(living.map(|(labels, _)| labels.clone()).collect())
    }

    fn metadata(&self) -> Result<Vec<Metadata>, SourceError> {
        Ok(Vec::new())
    }
}
