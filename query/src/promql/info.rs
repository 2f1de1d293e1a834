//! `info()`: adds the labels of info series to series of the same instance.

use promql_parser::parser::Expr as Node;

use super::Error;
use super::eval::{Columns, Evaluator, Grid, fail};

impl Evaluator<'_> {
    pub(super) fn info(&mut self, _args: &[&Node], _grid: Grid) -> Result<Columns, Error> {
        fail("function info() is not supported")
    }
}
