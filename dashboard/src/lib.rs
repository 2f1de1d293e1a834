//! Pages, charts and the HTTP API: plain functions of data, and an axum server on top.
//!
//! Everything on a page comes from a [`Source`]: the store, or a test's model. State is changed
//! only through the analyzer's functions, by forms that work without scripts.

mod actions;
mod api;
mod app;
mod assets;
pub mod chart;
mod figures;
mod guard;
pub mod html;
mod live;
mod logquery;
mod pages;
mod range;
mod respond;
mod server;
mod source;
#[cfg(test)]
mod tests;
mod wire;

pub use app::{App, Config};
pub use pages::{PAGES, Page};
pub use range::Range;
pub use server::{router, serve};
pub use source::{Bounds, Pool, PoolError, Source};
