//! Prometheus' JSON: <https://prometheus.io/docs/prometheus/latest/querying/api/>.

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use vigie_query::promql::{Answer, Value, format_value};
use vigie_query::{Labels, Sample};

use super::chart::seconds;

/// Every answer that succeeded.
#[derive(Serialize)]
pub(crate) struct Success<T> {
    pub(crate) status: &'static str,
    pub(crate) data: T,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) infos: Vec<String>,
}

impl<T> Success<T> {
    pub(crate) fn new(data: T) -> Self {
        Self {
            status: "success",
            data,
            warnings: Vec::new(),
            infos: Vec::new(),
        }
    }

    /// With what the engine has to say, sorted as Prometheus sorts it.
    pub(crate) fn noting(mut self, notes: Vec<String>) -> Self {
        (self.infos, self.warnings) = notes
            .into_iter()
            .partition(|n| n.starts_with("PromQL info"));
        self
    }
}

/// Every answer that did not.
#[derive(Serialize)]
pub(crate) struct Refusal<'a> {
    pub(crate) status: &'static str,
    #[serde(rename = "errorType")]
    pub(crate) kind: &'a str,
    pub(crate) error: &'a str,
}

/// `{"resultType": …, "result": …}`.
pub(crate) struct Data<'a> {
    pub(crate) answer: &'a Answer,
    /// The time of a scalar or a string, in milliseconds.
    pub(crate) at: i64,
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(2))?;
        match &self.answer.value {
            Value::Scalar(v) => {
                map.serialize_entry("resultType", "scalar")?;
                map.serialize_entry("result", &(seconds(self.at), format_value(*v)))?;
            }
            Value::String(text) => {
                map.serialize_entry("resultType", "string")?;
                map.serialize_entry("result", &(seconds(self.at), text))?;
            }
            Value::Vector(elements) => {
                map.serialize_entry("resultType", "vector")?;
                let rows: Vec<_> = elements
                    .iter()
                    .map(|e| One {
                        metric: Metric(&e.labels),
                        value: Point(e.sample),
                    })
                    .collect();
                map.serialize_entry("result", &rows)?;
            }
            Value::Matrix(series) => {
                map.serialize_entry("resultType", "matrix")?;
                let rows: Vec<_> = series
                    .iter()
                    .map(|s| Many {
                        metric: Metric(&s.labels),
                        values: Points(&s.samples),
                    })
                    .collect();
                map.serialize_entry("result", &rows)?;
            }
        }
        map.end()
    }
}

#[derive(Serialize)]
struct One<'a> {
    metric: Metric<'a>,
    value: Point,
}

#[derive(Serialize)]
struct Many<'a> {
    metric: Metric<'a>,
    values: Points<'a>,
}

/// A label set as an object.
pub(crate) struct Metric<'a>(pub(crate) &'a Labels);

impl Serialize for Metric<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_map(self.0.iter())
    }
}

struct Point(Sample);

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        (seconds(self.0.time.0), format_value(self.0.value)).serialize(out)
    }
}

struct Points<'a>(&'a [Sample]);

impl Serialize for Points<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut seq = out.serialize_seq(Some(self.0.len()))?;
        for sample in self.0 {
            seq.serialize_element(&Point(*sample))?;
        }
        seq.end()
    }
}

/// What `/api/v1/metadata` says of a metric.
#[derive(Serialize)]
pub(crate) struct Meta<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) help: &'a str,
    pub(crate) unit: &'static str,
}
