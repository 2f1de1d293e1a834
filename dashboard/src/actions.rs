//! What people change from pages: forms, which work without scripts.

use axum::Router;
use crate::app::App;

/// The forms' addresses.
pub(crate) fn routes() -> Router<App> {
    Router::new()
}
