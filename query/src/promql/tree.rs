//! An expression as the tree that Prometheus shows: the JSON of its `/api/v1/parse_query`.
//!
//! The shape is Prometheus' own (`type`, and the fields of each type), which its pages and editors
//! read. Two things the grammar crate does not keep: a unary plus, and a length computed from the
//! query's step, which is that of a query at one time here.

use promql_parser::label::MatchOp;
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{
    AtModifier, BinModifier, BinaryExpr, Call, Expr as Node, LabelModifier, Offset,
    VectorMatchCardinality, VectorSelector,
};
use serde_json::{Map, Value, json};

use super::extend::Extension;
use super::parse::at_millis;
use super::{Expr, format_value};
use crate::METRIC_NAME;

/// A query at one time: the durations that depend on one are 0.
const INSTANT: (i64, i64, i64) = (0, 0, 0);

/// The tree of an expression.
#[must_use]
pub fn tree(expr: &Expr) -> Value {
    Tree(expr).node(&expr.root)
}

struct Tree<'a>(&'a Expr);

impl Tree<'_> {
    fn node(&self, node: &Node) -> Value {
        match node {
            Node::Aggregate(e) => json!({
                "type": "aggregation",
                "op": e.op.to_string(),
                "expr": self.node(&e.expr),
                "param": e.param.as_ref().map(|p| self.node(p)),
                "grouping": labels(e.modifier.as_ref()),
                "without": matches!(e.modifier, Some(LabelModifier::Exclude(_))),
            }),
            Node::Unary(e) => json!({"type": "unaryExpr", "op": "-", "expr": self.node(&e.expr)}),
            Node::Binary(e) => self.binary(e),
            Node::Paren(e) => json!({"type": "parenExpr", "expr": self.node(&e.expr)}),
            Node::Subquery(e) => {
                let mut fields = self.place(e.offset.as_ref(), e.at.as_ref());
                fields.insert("type".to_owned(), json!("subquery"));
                fields.insert("expr".to_owned(), self.node(&e.expr));
                fields.insert("range".to_owned(), json!(self.millis(Some(e.range))));
                fields.insert("step".to_owned(), json!(self.millis(e.step)));
                Value::Object(fields)
            }
            Node::NumberLiteral(e) => json!({"type": "numberLiteral", "val": format_value(e.val)}),
            Node::StringLiteral(e) => json!({"type": "stringLiteral", "val": e.val}),
            Node::VectorSelector(e) => self.selector("vectorSelector", e, None),
            Node::MatrixSelector(e) => self.selector("matrixSelector", &e.vs, Some(e.range)),
            Node::Call(e) => self.call(e),
            // None is ever made.
            Node::Extension(_) => Value::Null,
        }
    }

    fn binary(&self, e: &BinaryExpr) -> Value {
        let vectors = [&e.lhs, &e.rhs]
            .iter()
            .all(|side| side.value_type() == ValueType::Vector);
        json!({
            "type": "binaryExpr",
            "op": e.op.to_string(),
            "lhs": self.node(&e.lhs),
            "rhs": self.node(&e.rhs),
            "matching": vectors.then(|| matching(e)),
            "bool": e.return_bool(),
        })
    }

    fn call(&self, e: &Call) -> Value {
        let types = e.func.arg_types.iter().map(ToString::to_string);
        let args = e.args.args.iter().map(|arg| self.node(arg));
        json!({
            "type": "call",
            "func": {
                "name": e.func.name,
                "argTypes": types.collect::<Vec<_>>(),
                "variadic": e.func.variadic,
                "returnType": e.func.return_type.to_string(),
            },
            "args": args.collect::<Vec<_>>(),
        })
    }

    fn selector(
        &self,
        kind: &str,
        selector: &VectorSelector,
        range: Option<std::time::Duration>,
    ) -> Value {
        let mut fields = self.place(selector.offset.as_ref(), selector.at.as_ref());
        let extension = self.0.extension(selector, range);
        let name = selector.name.as_deref().unwrap_or_default();
        fields.insert("type".to_owned(), json!(kind));
        fields.insert("name".to_owned(), json!(name));
        fields.insert("matchers".to_owned(), matchers(selector));
        for (word, meant) in [
            ("anchored", Extension::Anchored),
            ("smoothed", Extension::Smoothed),
        ] {
            fields.insert(word.to_owned(), json!(extension == Some(meant)));
        }
        if range.is_some() {
            fields.insert("range".to_owned(), json!(self.millis(range)));
        }
        Value::Object(fields)
    }

    /// `offset` and `@`.
    fn place(&self, offset: Option<&Offset>, at: Option<&AtModifier>) -> Map<String, Value> {
        let offset = self.0.offset_millis(offset, INSTANT).unwrap_or_default();
        let (time, end) = match at {
            Some(AtModifier::Start) => (None, Some("start")),
            Some(AtModifier::End) => (None, Some("end")),
            fixed => (at_millis(fixed, 0, 0), None),
        };
        let mut fields = Map::new();
        fields.insert("offset".to_owned(), json!(offset));
        fields.insert("timestamp".to_owned(), json!(time));
        fields.insert("startOrEnd".to_owned(), json!(end));
        fields
    }

    fn millis(&self, length: Option<std::time::Duration>) -> i64 {
        let ms = length.map(|length| self.0.millis(length, INSTANT));
        ms.and_then(Result::ok).unwrap_or_default()
    }
}

fn labels(modifier: Option<&LabelModifier>) -> &[String] {
    modifier.map_or(&[][..], |m| &m.labels().labels)
}

/// How two vectors find one another. Whoever says nothing means one to one, by all labels.
fn matching(e: &BinaryExpr) -> Value {
    let plain = BinModifier::default();
    let modifier = e.modifier.as_ref().unwrap_or(&plain);
    let card = match &modifier.card {
        _ if e.op.is_set_operator() => "many-to-many",
        VectorMatchCardinality::OneToOne => "one-to-one",
        VectorMatchCardinality::ManyToOne(_) => "many-to-one",
        VectorMatchCardinality::OneToMany(_) => "one-to-many",
        VectorMatchCardinality::ManyToMany => "many-to-many",
    };
    let include = modifier.card.labels();
    json!({
        "card": card,
        "labels": labels(modifier.matching.as_ref()),
        "on": modifier.is_matching_on(),
        "include": include.map_or(&[][..], |l| &l.labels),
        "fillValues": {"lhs": modifier.fill_values.lhs, "rhs": modifier.fill_values.rhs},
    })
}

/// Conditions in braces, and the name behind them.
fn matchers(selector: &VectorSelector) -> Value {
    let written = selector.matchers.matchers.iter().map(|m| {
        let op = match m.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Re(_) => "=~",
            MatchOp::NotRe(_) => "!~",
        };
        json!({"name": m.name, "value": m.value, "type": op})
    });
    let name = selector.name.as_deref();
    let named = name.map(|name| json!({"name": METRIC_NAME, "value": name, "type": "="}));
    written.chain(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Value {
        tree(&super::super::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")))
    }

    /// A selector without modifiers.
    fn plain(name: &str) -> Value {
        json!({
            "type": "vectorSelector", "name": name, "offset": 0, "timestamp": null, "startOrEnd": null,
            "anchored": false, "smoothed": false,
            "matchers": [{"name": "__name__", "value": name, "type": "="}],
        })
    }

    #[test]
    fn literals_and_nests() {
        assert_eq!(
            shown("1e3"),
            json!({"type": "numberLiteral", "val": "1000"})
        );
        assert_eq!(shown("-Inf")["val"], "-Inf");
        assert_eq!(shown("NaN")["val"], "NaN");
        assert_eq!(
            shown("'a\"b'"),
            json!({"type": "stringLiteral", "val": "a\"b"})
        );
        assert_eq!(
            shown("-(a)"),
            json!({"type": "unaryExpr", "op": "-", "expr": {"type": "parenExpr", "expr": plain("a")}})
        );
    }

    #[test]
    fn selectors_with_all_that_may_follow() {
        let all = shown("a{b='1',c!='2',d=~'3.*',e!~'4'}[5m] @ 1.5 offset -1m");
        assert_eq!(
            all,
            json!({
                "type": "matrixSelector", "name": "a", "range": 300_000, "offset": -60_000,
                "timestamp": 1500, "startOrEnd": null, "anchored": false, "smoothed": false,
                "matchers": [
                    {"name": "b", "value": "1", "type": "="},
                    {"name": "c", "value": "2", "type": "!="},
                    {"name": "d", "value": "3.*", "type": "=~"},
                    {"name": "e", "value": "4", "type": "!~"},
                    {"name": "__name__", "value": "a", "type": "="},
                ],
            })
        );
        assert_eq!(shown("a @ end()")["startOrEnd"], "end");
        assert_eq!(shown("rate(a[1m] anchored)")["args"][0]["anchored"], true);
        let computed = shown("rate(a[2*1m])");
        assert_eq!(computed["args"][0]["range"], 120_000);
        let nameless = shown("{__name__=~'a.*'}");
        assert_eq!(
            (
                &nameless["name"],
                nameless["matchers"].as_array().unwrap().len()
            ),
            (&json!(""), 1)
        );
    }

    #[test]
    fn subqueries_calls_and_aggregations() {
        let sub = shown("max_over_time(a[1h:5m] @ start() offset 1d)");
        assert_eq!(
            sub["func"],
            json!({"name": "max_over_time", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"})
        );
        assert_eq!(
            sub["args"][0],
            json!({
                "type": "subquery", "expr": plain("a"), "range": 3_600_000, "step": 300_000,
                "offset": 86_400_000, "timestamp": null, "startOrEnd": "start",
            })
        );
        assert_eq!(shown("avg_over_time(a[1h:])")["args"][0]["step"], 0);
        assert_eq!(
            shown("topk by (b, c) (3, a)"),
            json!({
                "type": "aggregation", "op": "topk", "expr": plain("a"), "grouping": ["b", "c"],
                "param": {"type": "numberLiteral", "val": "3"}, "without": false,
            })
        );
        let without = shown("sum without () (a)");
        assert_eq!(
            (&without["without"], &without["param"]),
            (&json!(true), &Value::Null)
        );
    }

    #[test]
    fn operators_and_what_they_match_by() {
        let vectors = shown("a * on (x, y) group_left (z) b");
        assert_eq!(
            vectors["matching"],
            json!({
                "card": "many-to-one", "labels": ["x", "y"], "on": true, "include": ["z"],
                "fillValues": {"lhs": null, "rhs": null},
            })
        );
        for (text, card, on) in [
            ("a + b", "one-to-one", false),
            ("a / ignoring (x) group_right b", "one-to-many", false),
            ("a unless on (x) b", "many-to-many", true),
            ("a or b", "many-to-many", false),
        ] {
            let matching = &shown(text)["matching"];
            assert_eq!(
                (&matching["card"], &matching["on"]),
                (&json!(card), &json!(on)),
                "{text}"
            );
        }
        assert_eq!(
            shown("a + fill_left (0) b")["matching"]["fillValues"]["lhs"],
            0.0
        );
        let number = shown("a >= bool 2");
        assert_eq!(
            (&number["matching"], &number["bool"], &number["op"]),
            (&Value::Null, &json!(true), &json!(">="))
        );
    }
}
