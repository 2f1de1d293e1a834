//! Pages, charts and the HTTP API: plain functions of data, and an axum server on top.

mod assets;
pub mod chart;
pub mod html;
