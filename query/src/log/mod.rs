//! The log query: parse, plan, evaluate.

mod filter;

pub use filter::{Compare, Filter, Number, Test, TextPattern};
