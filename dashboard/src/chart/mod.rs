//! Charts: one specification, drawn stretched into pages, at a fixed size into files, and by uPlot.
//!
//! Everything that could differ between screen and paper (ticks, words, colours by token, gaps) is
//! decided once, in [`ChartSpec`].

pub mod columns;
mod file;
mod fluid;
mod palette;
mod spec;
pub mod ticks;
pub mod time;
pub mod units;

pub use columns::Grid;
pub use file::{GraphError, Size, graph_png, graph_svg};
pub use fluid::{fluid, spark};
pub use palette::{Color, Theme};
pub use spec::{ChartSpec, Column, Draft, Gap, Kind, Level, Limit, Line, Mark, Shape, Span, Stats};
pub use units::Unit;
