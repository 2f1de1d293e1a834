//! Series as a fleet has them, and their readings.

use anyhow::Result;
use vigie_query::{Labels, MetricKind};
use vigie_store::{Reading, SeriesDef, SeriesId, Writer};

/// A cheap stream of numbers without a pattern.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Busy and idle octet counters, packets, states, temperatures, shares.
pub(super) struct Fleet {
    pub(super) ids: Vec<SeriesId>,
    states: Vec<u64>,
    noise: Noise,
}

impl Fleet {
    pub(super) fn intern(writer: &Writer, count: usize, step_ms: i64) -> Result<Self> {
        let ids = (0..count).map(|i| {
            let kind = if i % 8 < 4 {
                MetricKind::Counter
            } else {
                MetricKind::Gauge
            };
            let name = [
                "in",
                "out",
                "packets",
                "errors",
                "state",
                "temperature",
                "share",
                "bytes",
            ][i % 8];
            let (n, rack) = ((i / 8).to_string(), (i / 500).to_string());
            let labels = Labels::metric(name, &[("n", &n), ("rack", &rack)]);
            Ok(writer.registry().intern(&SeriesDef {
                labels,
                kind,
                help: "",
                step_ms,
            })?)
        });
        Ok(Self {
            ids: ids.collect::<Result<_>>()?,
            ..Self::unnamed(count)
        })
    }

    /// For those who name their series themselves.
    pub(super) fn unnamed(count: usize) -> Self {
        Self {
            ids: Vec::new(),
            states: vec![1 << 20; count],
            noise: Noise(7),
        }
    }

    pub(super) fn read(&mut self, i: usize) -> Reading {
        let noise = &mut self.noise;
        let state = &mut self.states[i];
        match i % 8 {
            0 | 1 => *state += noise.next(100_000) + (i as u64 % 50) * 10_000,
            2 => *state += noise.next(500),
            3 => *state += u64::from(noise.next(1000) == 0),
            4 => {
                *state = u64::from(noise.next(5000) != 0);
                return Reading::Gauge(*state as f64);
            }
            5 => {
                *state = (*state + noise.next(3)).saturating_sub(1);
                return Reading::Gauge(*state as f64 / 10.0);
            }
            6 => return Reading::Gauge(noise.next(10_000) as f64 / 100.0),
            _ => {
                *state += noise.next(4) * 4096;
                return Reading::Gauge(*state as f64);
            }
        }
        Reading::Counter(*state)
    }
}
