//! What tests share: goldens, data beside the checkout, temporary stores.

mod golden;
mod program;
mod shared;

pub use golden::golden;
pub use program::program;
pub use shared::shared;
