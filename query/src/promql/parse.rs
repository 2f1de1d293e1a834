//! From text to a checked expression.
//!
//! The grammar is the promql-parser crate's. Before it sees a text, a scan over the tokens refuses
//! what the crate is not made for: endless nesting, and durations it would panic on. After it
//! refuses a text, the same tokens tell where: the crate gives no positions.

use std::time::{Duration, SystemTime};

use promql_parser::label as grammar_label;
use promql_parser::parser::{self as grammar, AtModifier, Offset};
use regex::Regex;

use super::eval::fail;
use super::extend::{self, Extension, Slot};
use super::scan::{Kind, Token};
use super::{Error, forecast, scan};
use crate::{METRIC_NAME, MatchOp, Matcher};

/// A parsed expression, ready for evaluation as often as wanted.
#[derive(Clone, Debug)]
pub struct Expr {
    pub(super) root: grammar::Expr,
    /// What the grammar does not know; see [`extend`].
    pub(super) slots: Vec<Slot>,
}

/// One selector of an expression.
#[derive(Clone, Debug)]
pub struct Selector {
    /// What its series must meet; the metric's name is one of them.
    pub matchers: Vec<Matcher>,
    /// The range in brackets, in milliseconds; `None` for an instant selector.
    pub range_ms: Option<i64>,
}

/// Levels of nesting. Evaluation recurses once per level; people reach ten.
const DEPTH_MAX: usize = 128;

/// Reads an expression.
///
/// # Errors
/// [`Error::Parse`] with line and column if it is not PromQL, [`Error::Limit`] if it is longer or
/// nested deeper than anyone writes.
pub fn parse(text: &str) -> Result<Expr, Error> {
    forecast::register();
    let tokens = scan::scan(text)?;
    let (plain, slots) = extend::take_out(text, &tokens)?;
    let root = grammar::parse(&plain).map_err(|message| explain(text, &tokens, message))?;
    check(&root, 0).map_err(|complaint| match complaint {
        Complaint::Depth => Error::Limit(format!("the expression nests deeper than {DEPTH_MAX}")),
        Complaint::Text(message) => explain(text, &tokens, message),
    })?;
    Ok(Expr { root, slots })
}

/// An expression, laid out in lines as Prometheus does. One with syntax that the grammar crate does
/// not know stays as it was typed.
///
/// # Errors
/// As with [`parse`].
pub fn prettify(text: &str) -> Result<String, Error> {
    let expr = parse(text)?;
    Ok(if expr.slots.is_empty() {
        expr.root.prettify()
    } else {
        text.trim().to_owned()
    })
}

/// All selectors of an expression, in the order they are written.
#[must_use]
pub fn selectors(expr: &Expr) -> Vec<Selector> {
    let mut found = Vec::new();
    collect(expr, &expr.root, &mut found);
    found
}

fn collect(whole: &Expr, expr: &grammar::Expr, found: &mut Vec<Selector>) {
    let (selector, range_ms) = match expr {
        grammar::Expr::VectorSelector(vs) => (vs, None),
        grammar::Expr::MatrixSelector(ms) => {
            (&ms.vs, Some(whole.millis(ms.range, (0, 0, 0)).unwrap_or(0)))
        }
        _ => {
            for child in children(expr) {
                collect(whole, child, found);
            }
            return;
        }
    };
    // Its expressions were compiled once already, when the text was checked.
    if let Ok(matchers) = matchers(selector) {
        found.push(Selector { matchers, range_ms });
    }
}

/// The expressions directly inside an expression.
pub(super) fn children(expr: &grammar::Expr) -> Vec<&grammar::Expr> {
    use grammar::Expr as E;
    match expr {
        E::Aggregate(e) => e.param.iter().chain([&e.expr]).map(|e| &**e).collect(),
        E::Unary(e) => vec![&e.expr],
        E::Binary(e) => vec![&e.lhs, &e.rhs],
        E::Paren(e) => vec![&e.expr],
        E::Subquery(e) => vec![&e.expr],
        E::Call(e) => e.args.args.iter().map(|e| &**e).collect(),
        E::NumberLiteral(_)
        | E::StringLiteral(_)
        | E::VectorSelector(_)
        | E::MatrixSelector(_)
        | E::Extension(_) => Vec::new(),
    }
}

enum Complaint {
    Depth,
    Text(String),
}

/// What the grammar crate lets through and Prometheus does not.
fn check(expr: &grammar::Expr, depth: usize) -> Result<(), Complaint> {
    if depth > DEPTH_MAX {
        return Err(Complaint::Depth);
    }
    match expr {
        grammar::Expr::VectorSelector(vs) => check_selector(vs)?,
        grammar::Expr::MatrixSelector(ms) => check_selector(&ms.vs)?,
        grammar::Expr::Binary(binary) => check_fill(binary)?,
        grammar::Expr::Aggregate(aggregate) => {
            use promql_parser::parser::token::{T_LIMIT_RATIO, T_LIMITK};
            let scalar_wanted = matches!(aggregate.op.id(), T_LIMITK | T_LIMIT_RATIO);
            let parameter = aggregate.param.as_ref().map(|p| p.value_type());
            if scalar_wanted && parameter != Some(grammar::value::ValueType::Scalar) {
                return Err(Complaint::Text(
                    "expected type scalar in aggregation expression".to_owned(),
                ));
            }
        }
        _ => {}
    }
    children(expr)
        .into_iter()
        .try_for_each(|child| check(child, depth + 1))
}

fn check_selector(selector: &grammar::VectorSelector) -> Result<(), Complaint> {
    if !selector.matchers.or_matchers.is_empty() {
        return Err(Complaint::Text(
            "unexpected \"or\" between matchers: write two selectors".to_owned(),
        ));
    }
    let named = selector.name.is_some() || {
        let mut all = selector.matchers.matchers.iter();
        all.any(|m| !m.is_match(""))
    };
    if !named {
        return Err(Complaint::Text(
            "vector selector must contain at least one non-empty matcher".to_owned(),
        ));
    }
    matchers(selector).map(drop).map_err(Complaint::Text)
}

fn check_fill(binary: &grammar::BinaryExpr) -> Result<(), Complaint> {
    use grammar::value::ValueType::Vector;
    let fills = binary
        .modifier
        .as_ref()
        .is_some_and(|m| m.fill_values.lhs.is_some() || m.fill_values.rhs.is_some());
    if !fills {
        return Ok(());
    }
    if binary.op.is_set_operator() {
        return Err(Complaint::Text(format!(
            "filling in missing series not allowed for set operators ({})",
            binary.op
        )));
    }
    if binary.lhs.value_type() != Vector || binary.rhs.value_type() != Vector {
        return Err(Complaint::Text(
            "filling in missing series only allowed between instant vectors".to_owned(),
        ));
    }
    Ok(())
}

/// The conditions of a selector, its metric's name first.
pub(super) fn matchers(selector: &grammar::VectorSelector) -> Result<Vec<Matcher>, String> {
    let name = selector.name.as_deref();
    let name = name.map(|name| Ok(Matcher::equal(METRIC_NAME, name)));
    let others = selector.matchers.matchers.iter().map(|m| {
        Ok(Matcher {
            name: m.name.clone(),
            op: match &m.op {
                grammar_label::MatchOp::Equal => MatchOp::Equal,
                grammar_label::MatchOp::NotEqual => MatchOp::NotEqual,
                grammar_label::MatchOp::Re(re) => MatchOp::Regex(dot_all(re)?),
                grammar_label::MatchOp::NotRe(re) => MatchOp::NotRegex(dot_all(re)?),
            },
            value: m.value.clone(),
        })
    });
    name.into_iter().chain(others).collect()
}

/// The crate anchors an expression, but its `.` stops at a line's end; in Prometheus it does not.
fn dot_all(re: &Regex) -> Result<Regex, String> {
    Regex::new(&format!("(?s){}", re.as_str()))
        .map_err(|_| format!("illegal regex {}", re.as_str()))
}

/// Longest duration: 317 years.
pub(super) const MILLIS_MAX: i64 = 10_000_000_000_000;

impl Expr {
    /// Whether it is one instant selector and nothing else.
    #[must_use]
    pub fn is_selector(&self) -> bool {
        matches!(self.root, grammar::Expr::VectorSelector(_))
    }

    /// Whether it has values at each step of a range: numbers or instant vectors.
    #[must_use]
    pub fn has_steps(&self) -> bool {
        use grammar::value::ValueType::{Scalar, Vector};
        matches!(self.root.value_type(), Scalar | Vector)
    }

    /// A duration in milliseconds, in a query of this start, end and step.
    pub(super) fn millis(&self, d: Duration, query: (i64, i64, i64)) -> Result<i64, Error> {
        let Some(slot) = extend::slot(&self.slots, d.as_secs()) else {
            let ms = i64::try_from(d.as_millis()).unwrap_or(MILLIS_MAX);
            return Ok(ms.min(MILLIS_MAX));
        };
        let (step, range) = (query.2 as f64 / 1e3, (query.1 - query.0) as f64 / 1e3);
        let ms = (slot.length.seconds(step, range) * 1e3).round();
        if ms.is_nan() || ms.abs() > MILLIS_MAX as f64 {
            return fail("duration out of range");
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
        Ok(ms as i64)
    }

    pub(super) fn offset_millis(
        &self,
        offset: Option<&Offset>,
        query: (i64, i64, i64),
    ) -> Result<i64, Error> {
        match offset {
            None => Ok(0),
            Some(Offset::Pos(duration)) => self.millis(*duration, query),
            Some(Offset::Neg(duration)) => Ok(-self.millis(*duration, query)?),
        }
    }

    /// How a selector treats the borders of its window, if it says so.
    pub(super) fn extension(
        &self,
        selector: &grammar::VectorSelector,
        range: Option<Duration>,
    ) -> Option<Extension> {
        let offset = match &selector.offset {
            Some(Offset::Pos(duration) | Offset::Neg(duration)) => Some(*duration),
            None => None,
        };
        let slots = [range, offset].into_iter().flatten();
        slots
            .filter_map(|d| extend::slot(&self.slots, d.as_secs())?.extension)
            .next()
    }
}

/// The fixed time of `@`, given the range of the whole query.
pub(super) fn at_millis(at: Option<&AtModifier>, start: i64, end: i64) -> Option<i64> {
    /// 30 000 years, as far as a query itself may go.
    const AT_MAX_MS: i64 = 1_000_000_000_000_000;
    let bounded = |d: Duration| {
        i64::try_from(d.as_millis())
            .unwrap_or(i64::MAX)
            .min(AT_MAX_MS)
    };
    Some(match at? {
        AtModifier::Start => start,
        AtModifier::End => end,
        AtModifier::At(time) => match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => bounded(after),
            Err(before) => -bounded(before.duration()),
        },
    })
}

/// Puts a position to what the grammar crate says.
fn explain(text: &str, tokens: &[Token<'_>], message: String) -> Error {
    let (at, said) = match message.as_str() {
        "invalid promql query" => scan::first_misfit(text, tokens),
        _ => {
            let quoted = message.split('\'').nth(1).unwrap_or_default();
            let named = tokens
                .iter()
                .find(|t| t.kind == Kind::Word && t.text.eq_ignore_ascii_case(quoted));
            (named.map_or(0, |t| t.at), message)
        }
    };
    Error::Parse {
        position: scan::position(text, at),
        text: said,
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, parse, selectors};

    #[test]
    fn errors_say_where() {
        for (text, line, column) in [
            ("", 1, 1),
            ("sum(", 1, 4),
            ("sum(a))", 1, 7),
            ("a +", 1, 4),
            ("a + * b", 1, 5),
            ("a b", 1, 3),
            ("a +\n  nosuch(b)", 2, 3),
            ("a{b=\"c}", 1, 5),
            ("rate(a[5x])", 1, 8),
            ("a[1e30]", 1, 3),
            ("a offset Inf", 1, 10),
            ("a offset 99999999999y", 1, 10),
            ("{}", 1, 1),
            ("{a=\"x\" or b=\"y\"}", 1, 1),
            ("é", 1, 1),
            ("a{b=~\"\\é\"}", 1, 8),
            ("a{b=~\"\\\\w{9999}\"}", 1, 6),
        ] {
            match parse(text) {
                Err(Error::Parse { position, .. }) => {
                    assert_eq!(position, (line, column), "{text:?}");
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = format!("{}a{}", "(".repeat(500), ")".repeat(500));
        let chain = format!("a{}", "+a".repeat(400));
        let minus = format!("{}a", "-".repeat(400));
        for text in [deep, chain, minus, "a".repeat(1 << 20)] {
            assert!(matches!(parse(&text), Err(Error::Limit(_))), "{text:.20}");
        }
    }

    #[test]
    fn selectors_are_listed() {
        let expr =
            parse("sum(rate(a{b=~\"c.*\"}[5m])) / count({__name__=\"d\"} offset 1h)").unwrap();
        let found: Vec<_> = selectors(&expr)
            .into_iter()
            .map(|s| (s.matchers.len(), s.matchers[0].value.clone(), s.range_ms))
            .collect();
        let expected = [
            (2, "a".to_owned(), Some(300_000)),
            (1, "d".to_owned(), None),
        ];
        assert_eq!(found, expected);
    }
}
