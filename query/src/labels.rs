//! Label sets: what tells one series from another.

use std::fmt;
use std::sync::Arc;

/// The name of the label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Labels sorted by name, `__name__` among them; no name twice, no empty value. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

impl Labels {
    /// Labels from pairs in any order. Of a name given twice the last value holds; empty values
    /// are the same as no label and are left out.
    pub fn new<N: Into<Box<str>>, V: Into<Box<str>>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name, value);
        }
        builder.build()
    }

    /// The labels of a metric: its name and pairs.
    #[must_use]
    pub fn metric(name: &str, pairs: &[(&str, &str)]) -> Self {
        Self::new(pairs.iter().copied().chain([(METRIC_NAME, name)]))
    }

    /// The value of a label.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self
            .0
            .binary_search_by(|(n, _)| n.as_ref().cmp(name))
            .ok()?;
        Some(&self.0[at].1)
    }

    /// The metric's name, empty if it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or_default()
    }

    /// All pairs, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|(n, v)| (n.as_ref(), v.as_ref()))
    }

    /// Number of labels, `__name__` counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No label at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A builder that starts from these.
    #[must_use]
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder(self.0.to_vec())
    }
}

/// As in the exposition format: `name{a="b",c="d"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let mut separator = "{";
        for (name, value) in self.iter().filter(|&(n, _)| n != METRIC_NAME) {
            write!(f, "{separator}{name}=\"")?;
            for c in value.chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    c => write!(f, "{c}")?,
                }
            }
            f.write_str("\"")?;
            separator = ",";
        }
        match separator {
            "," => f.write_str("}"),
            _ if self.name().is_empty() => f.write_str("{}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Labels under construction.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder(Vec<(Box<str>, Box<str>)>);

impl LabelsBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) -> &mut Self {
        let (name, value) = (name.into(), value.into());
        self.remove(&name);
        if !value.is_empty() {
            self.0.push((name, value));
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.0.retain(|(n, _)| n.as_ref() != name);
        self
    }

    /// The finished set.
    #[must_use]
    pub fn build(mut self) -> Labels {
        self.0.sort_unstable();
        Labels(self.0.into())
    }
}
