//! The log query: parse, plan, evaluate.

mod clock;
mod condition;
mod display;
mod display_pipe;
mod eval;
mod extract;
mod field;
mod filter;
mod groups;
mod lex;
mod memory;
mod number;
mod parse;
mod parse_pipe;
mod pattern;
mod prefilter;
mod printable;
mod query;
mod run;
mod table;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod value;

pub use clock::Clock;
pub use eval::{Subject, message};
pub use extract::{Capture, Extracted};
pub use field::{FieldKind, FieldName, LevelSet, UNIT_FIELDS, known_fields};
pub use filter::{Cidr, Compare, Exact, Filter, Number, Test};
pub use groups::{GROUP_VALUE_MAX, Groups};
pub use memory::Memory;
pub use parse::{
    MAX_CONDITIONS, MAX_DEPTH, MAX_NEEDLE_LEN, MAX_QUERY_LEN, MAX_REGEX_LEN, MAX_REGEX_SIZE,
};
pub use parse_pipe::{MAX_COUNT, MAX_LIST, MAX_PIPES};
pub use pattern::{
    Counted, How, MAX_PATTERN, Part, cut as cut_pattern, parts as pattern_parts, pattern,
    pattern_into,
};
pub use prefilter::{Candidates, Prefilter};
pub use printable::{printable, printable_json};
pub use query::{Aggregate, ParseError, Pipe, Query, SortKey};
pub use run::{AHEAD_MS, Cursor, Limits, Outcome, RunContext, RunError, run};
pub use table::{Cell, Hit, Sink, Table};
pub use template::{template, template_into};
pub use text::TextPattern;
pub use time::{Moment, Precision, TimeRange};
