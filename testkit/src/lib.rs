//! What tests share: goldens, data beside the checkout, temporary stores.

mod golden;
mod shared;

pub use golden::golden;
pub use shared::shared;
