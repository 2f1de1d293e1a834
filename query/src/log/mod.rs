//! The log query: parse, plan, evaluate.

mod eval;
mod field;
mod filter;
mod groups;
mod number;
mod printable;
mod template;
mod text;

pub use eval::{Subject, message};
pub use field::{FieldKind, FieldName, LevelSet, known_fields};
pub use filter::{Cidr, Compare, Exact, Filter, Number, Test};
pub use groups::Groups;
pub use printable::printable;
pub use template::{template, template_into};
pub use text::TextPattern;
