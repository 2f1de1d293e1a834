//! Charts: one specification, drawn stretched into pages, at a fixed size into files, and by uPlot.
//!
//! Everything that could differ between screen and paper (ticks, words, colours by token, gaps) is
//! decided once, in [`ChartSpec`].

pub mod ask;
mod canvas;
pub mod columns;
mod file;
mod fluid;
pub mod graph;
mod palette;
mod raster;
mod spec;
mod svg;
pub mod ticks;
pub mod time;
pub mod typed;
pub mod units;

pub use columns::Grid;
pub use file::{GraphError, Size, graph_png, graph_svg};
pub use fluid::{fluid, spark};
pub use palette::{Color, Theme};
pub use spec::{
    ChartSpec, Column, Draft, Envelope, Gap, Kind, Level, Limit, Line, Mark, Scale, Shape, Span,
    Stats,
};
pub use units::Unit;
