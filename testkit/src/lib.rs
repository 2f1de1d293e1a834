//! What tests share: goldens, data beside the checkout, temporary stores.

mod golden;
mod journal;
mod program;
mod shared;

pub use golden::golden;
pub use journal::{export, write_journal};
pub use program::program;
pub use shared::shared;
