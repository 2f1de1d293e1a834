//! The question behind a rule: for which label sets is there data at all?
//!
//! A rule's expression filters: an empty answer may mean "not so" or "not known". With each
//! comparison turned into one that answers 0 or 1 (`bool`) and each `unless` reduced to its left
//! side, the expression answers for all label sets it could judge. An alert that fires and is not
//! among them has lost its data; it must not be resolved.

use promql_parser::parser as grammar;
use vigie_query::promql;

/// The expression without its filters; `None` where absence itself is the condition, or where the
/// question cannot be put.
pub(super) fn of(text: &str) -> Option<promql::Expr> {
    let mut expr = grammar::parse(text).ok()?;
    strip(&mut expr)?;
    promql::parse(&expr.to_string()).ok()
}

fn strip(expr: &mut grammar::Expr) -> Option<()> {
    use grammar::Expr as E;
    match expr {
        E::Binary(binary) => {
            strip(&mut binary.lhs)?;
            if binary.op.id() == grammar::token::T_LUNLESS {
                let lhs = binary.lhs.as_ref().clone();
                *expr = lhs;
                return Some(());
            }
            strip(&mut binary.rhs)?;
            if binary.op.is_comparison_operator() {
                let modifier = binary.modifier.get_or_insert_default();
                modifier.return_bool = true;
            }
        }
        E::Aggregate(aggregate) => strip(&mut aggregate.expr)?,
        E::Unary(unary) => strip(&mut unary.expr)?,
        E::Paren(paren) => strip(&mut paren.expr)?,
        E::Subquery(subquery) => strip(&mut subquery.expr)?,
        E::Call(call) => {
            if call.func.name.starts_with("absent") {
                return None;
            }
            for argument in &mut call.args.args {
                strip(argument)?;
            }
        }
        E::NumberLiteral(_)
        | E::StringLiteral(_)
        | E::VectorSelector(_)
        | E::MatrixSelector(_)
        | E::Extension(_) => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use promql_parser::parser as grammar;

    #[test]
    fn filters_become_questions() {
        for (text, expected) in [
            ("up == 0", "up == bool 0"),
            ("a / b > 0.9 and c == 0", "a / b > bool 0.9 and c == bool 0"),
            (
                "a > on (x) group_left () b",
                "a > bool on (x) group_left () b",
            ),
            ("(a > 14) unless (b > 0)", "(a > bool 14)"),
            (
                "count by (x) (rate(a[5m]) > 0) > 3",
                "count by (x) (rate(a[5m]) > bool 0) > bool 3",
            ),
            (
                "max_over_time((a > 5)[1h:1m]) >= bool 1",
                "max_over_time((a > bool 5)[1h:1m]) >= bool 1",
            ),
        ] {
            let mut expr = grammar::parse(text).unwrap();
            super::strip(&mut expr).unwrap();
            // Compared as trees: the printer's spacing is not our matter.
            assert_eq!(expr, grammar::parse(expected).unwrap(), "{text}");
        }
        assert!(super::of("absent(up)").is_none());
        assert!(super::of("absent_over_time(up[5m]) > 0").is_none());
        assert!(super::of("no promql(").is_none());
    }
}
