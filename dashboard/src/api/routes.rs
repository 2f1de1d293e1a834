//! The one table of the API: what is served, and what its description says, come from it.

use axum::routing::{MethodRouter, get};

use super::{exposition, logs, openapi, prometheus, series};
use crate::app::App;
use crate::server;

/// One address.
pub(crate) struct Endpoint {
    pub(crate) path: &'static str,
    /// `POST` with a form does the same as `GET`.
    pub(crate) posts: bool,
    /// One sentence.
    pub(crate) about: &'static str,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) answer: Answer,
    pub(crate) route: fn() -> MethodRouter<App>,
}

/// A parameter of the address or the form.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) needed: bool,
    pub(crate) shape: Shape,
    pub(crate) about: &'static str,
}

/// What a parameter is.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Text,
    Number,
    Flag,
    /// May be given several times.
    Texts,
    /// One of these.
    One(&'static [&'static str]),
}

/// What comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `{"status":"success","data":…}`
    Json,
    /// Another object.
    Object,
    /// The same as [`Answer::Json`], or lines: objects or as they came.
    JsonOrLines,
    Text,
    /// Server-sent events.
    Events,
}

const fn given(name: &'static str, shape: Shape, about: &'static str) -> Parameter {
    Parameter {
        name,
        needed: false,
        shape,
        about,
    }
}

const fn needed(name: &'static str, shape: Shape, about: &'static str) -> Parameter {
    Parameter {
        name,
        needed: true,
        shape,
        about,
    }
}

const Q: Parameter = given("q", Shape::Text, "A log query; docs/log-query.md.");
const FROM: Parameter = given("from", Shape::Text, "From this time on; an hour ago.");
const TO: Parameter = given("to", Shape::Text, "Up to this time; now.");
const LIMIT: Parameter = given("limit", Shape::Number, "At most so many.");
const PROMQL: Parameter = needed("query", Shape::Text, "An expression; docs/promql.md.");
const TIMEOUT: Parameter = given("timeout", Shape::Text, "Evaluate no longer.");
const LOOKBACK: Parameter = given(
    "lookback_delta",
    Shape::Text,
    "How old a sample may be; 5m.",
);
const START: Parameter = given("start", Shape::Text, "From this time on; a day ago.");
const END: Parameter = given("end", Shape::Text, "Up to this time; now.");
const MATCH: Parameter = given("match[]", Shape::Texts, "A selector of series.");

/// All of them.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/api/v1/query",
        posts: true,
        about: "Evaluates PromQL at one time.",
        parameters: &[
            PROMQL,
            given("time", Shape::Text, "When; now."),
            TIMEOUT,
            LOOKBACK,
            LIMIT,
        ],
        answer: Answer::Json,
        route: || get(prometheus::query).post(prometheus::query),
    },
    Endpoint {
        path: "/api/v1/query_range",
        posts: true,
        about: "Evaluates PromQL over a range of times.",
        parameters: &[
            PROMQL,
            needed("start", Shape::Text, "The first time."),
            needed("end", Shape::Text, "The last time."),
            needed("step", Shape::Text, "Their distance."),
            TIMEOUT,
            LOOKBACK,
            LIMIT,
        ],
        answer: Answer::Json,
        route: || get(prometheus::query_range).post(prometheus::query_range),
    },
    Endpoint {
        path: "/api/v1/series",
        posts: true,
        about: "The series that selectors mean.",
        parameters: &[
            needed("match[]", Shape::Texts, "A selector of series."),
            START,
            END,
            LIMIT,
        ],
        answer: Answer::Json,
        route: || get(prometheus::series).post(prometheus::series),
    },
    Endpoint {
        path: "/api/v1/labels",
        posts: true,
        about: "The names of labels.",
        parameters: &[MATCH, START, END, LIMIT],
        answer: Answer::Json,
        route: || get(prometheus::labels).post(prometheus::labels),
    },
    Endpoint {
        path: "/api/v1/label/{name}/values",
        posts: false,
        about: "The values of a label.",
        parameters: &[MATCH, START, END, LIMIT],
        answer: Answer::Json,
        route: || get(prometheus::label_values),
    },
    Endpoint {
        path: "/api/v1/metadata",
        posts: false,
        about: "Types and descriptions of metrics.",
        parameters: &[given("metric", Shape::Text, "Only this one."), LIMIT],
        answer: Answer::Json,
        route: || get(prometheus::metadata),
    },
    Endpoint {
        path: "/api/v1/rules",
        posts: false,
        about: "Alerting rules by group, each with its alerts.",
        parameters: &[
            given(
                "type",
                Shape::One(&["alert", "record"]),
                "Rules of this kind.",
            ),
            given("rule_name[]", Shape::Texts, "Only rules of this name."),
            given("rule_group[]", Shape::Texts, "Only groups of this name."),
            given("file[]", Shape::Texts, "Only rules of this file."),
            given("exclude_alerts", Shape::Flag, "`true`: without the alerts."),
        ],
        answer: Answer::Json,
        route: || get(prometheus::rules),
    },
    Endpoint {
        path: "/api/v1/alerts",
        posts: false,
        about: "The alerts that are pending or firing.",
        parameters: &[],
        answer: Answer::Json,
        route: || get(prometheus::alerts),
    },
    Endpoint {
        path: "/api/v1/format_query",
        posts: true,
        about: "PromQL, laid out.",
        parameters: &[PROMQL],
        answer: Answer::Json,
        route: || get(prometheus::format_query).post(prometheus::format_query),
    },
    Endpoint {
        path: "/api/v1/parse_query",
        posts: true,
        about: "PromQL as a tree.",
        parameters: &[PROMQL],
        answer: Answer::Json,
        route: || get(prometheus::parse_query).post(prometheus::parse_query),
    },
    Endpoint {
        path: "/api/v1/query_exemplars",
        posts: true,
        about: "Always empty: samples have no exemplars.",
        parameters: &[PROMQL, START, END],
        answer: Answer::Json,
        route: || get(prometheus::exemplars).post(prometheus::exemplars),
    },
    Endpoint {
        path: "/api/v1/status/buildinfo",
        posts: false,
        about: "What answers, for clients that go by Prometheus' versions.",
        parameters: &[],
        answer: Answer::Json,
        route: || get(prometheus::buildinfo),
    },
    Endpoint {
        path: "/api/v1/logs",
        posts: false,
        about: "Searches the logs: events by pages, newest first, or the table that pipes make.",
        parameters: &[
            Q,
            FROM,
            TO,
            LIMIT,
            given(
                "order",
                Shape::One(&["newest", "oldest"]),
                "Which come first.",
            ),
            given("before", Shape::Text, "`next` of the page before."),
            given(
                "format",
                Shape::One(&["json", "ndjson", "raw"]),
                "The form of the answer.",
            ),
        ],
        answer: Answer::JsonOrLines,
        route: || get(logs::logs),
    },
    Endpoint {
        path: "/api/v1/logs/histogram",
        posts: false,
        about: "Lines over time, by severity or by the values of a field.",
        parameters: &[
            Q,
            FROM,
            TO,
            given("by", Shape::Text, "A field; the severity if not given."),
            LIMIT,
        ],
        answer: Answer::Json,
        route: || get(logs::histogram),
    },
    Endpoint {
        path: "/api/v1/logs/fields",
        posts: false,
        about: "Values of fields with their counts.",
        parameters: &[
            Q,
            FROM,
            TO,
            given("field", Shape::Text, "Names with commas."),
            LIMIT,
        ],
        answer: Answer::Json,
        route: || get(logs::fields),
    },
    Endpoint {
        path: "/api/v1/logs/tail",
        posts: false,
        about: "Events as they arrive; Last-Event-ID resumes.",
        parameters: &[
            Q,
            given(
                "format",
                Shape::One(&["json", "html"]),
                "Objects, or rows of the page.",
            ),
        ],
        answer: Answer::Events,
        route: || get(logs::tail),
    },
    Endpoint {
        path: "/api/v1/patterns",
        posts: false,
        about: "How often each pattern of message came; kept when the lines are gone.",
        parameters: &[
            Q,
            FROM,
            TO,
            given(
                "new",
                Shape::Flag,
                "Only those that the 30 days before did not have.",
            ),
            LIMIT,
            given(
                "format",
                Shape::One(&["json", "ndjson"]),
                "The form of the answer.",
            ),
        ],
        answer: Answer::JsonOrLines,
        route: || get(logs::patterns),
    },
    Endpoint {
        path: "/api/v1/incidents",
        posts: false,
        about: "Incidents, newest first.",
        parameters: &[
            given(
                "state",
                Shape::One(&["open"]),
                "Only those that are not resolved.",
            ),
            given("before", Shape::Number, "Only those with smaller numbers."),
            LIMIT,
        ],
        answer: Answer::Json,
        route: || get(series::incidents),
    },
    Endpoint {
        path: "/api/series",
        posts: false,
        about: "The charts of a page, for its script; not a stable form.",
        parameters: &[
            needed(
                "view",
                Shape::One(&["overview", "logs", "explore"]),
                "Which page.",
            ),
            Q,
            FROM,
            TO,
        ],
        answer: Answer::Object,
        route: || get(series::charts),
    },
    Endpoint {
        path: "/api/v1/openapi.json",
        posts: false,
        about: "This description.",
        parameters: &[],
        answer: Answer::Object,
        route: || get(openapi::description),
    },
    Endpoint {
        path: "/api/openapi.json",
        posts: false,
        about: "This description, where some look for it.",
        parameters: &[],
        answer: Answer::Object,
        route: || get(openapi::description),
    },
    Endpoint {
        path: "/metrics",
        posts: false,
        about: "The values of the last minute in Prometheus' text format.",
        parameters: &[],
        answer: Answer::Text,
        route: || get(exposition::metrics),
    },
    Endpoint {
        path: "/healthz",
        posts: false,
        about: "The process answers.",
        parameters: &[],
        answer: Answer::Text,
        route: || get(async || "ok\n"),
    },
    Endpoint {
        path: "/readyz",
        posts: false,
        about: "The store can be read and takes data; else 503 with the reason.",
        parameters: &[],
        answer: Answer::Text,
        route: || get(server::ready),
    },
];
