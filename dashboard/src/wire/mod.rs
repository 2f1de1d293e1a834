//! Shapes of JSON answers; the types inside know nothing of them.

pub(crate) mod chart;
pub(crate) mod incident;
pub(crate) mod log;
pub(crate) mod prometheus;
