//! The incident book: alerts, incidents and their time line.

pub(crate) const SCHEMA: &str = "";
