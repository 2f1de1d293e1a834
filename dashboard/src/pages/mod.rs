//! Pages as plain functions of data: gather what is true, then render it. The server calls them, and
//! so can whoever wants the same page as a file.

pub(crate) mod charts;
mod errors;
mod explore;
mod horizon;
mod incidents;
pub(crate) mod logcounts;
mod logs;
mod overview;
pub(crate) mod parts;
mod shell;
mod tables;
mod vitals;

pub(crate) use errors::error_page;
pub(crate) use explore::{explore_charts, explore_page};
pub(crate) use incidents::{incident_page, incidents_page};
pub(crate) use logs::{logs_charts, logs_page, row_html};
pub(crate) use overview::{Asked, chosen_host, overview_charts, overview_page};
pub(crate) use shell::Context;
pub(crate) use vitals::live;

/// A place of the menu.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Its address.
    pub path: &'static str,
    /// Its name in the menu.
    pub title: &'static str,
    /// Its picture in the menu.
    pub icon: &'static str,
    /// The key after `g`.
    pub key: char,
    /// What it holds, in a sentence.
    pub about: &'static str,
}

/// The menu, in its order.
pub const PAGES: &[Page] = &[
    Page {
        path: "/",
        title: "Overview",
        icon: "overview",
        key: 'o',
        about: "Is something wrong, since when, and how much.",
    },
    Page {
        path: "/incidents",
        title: "Incidents",
        icon: "incidents",
        key: 'i',
        about: "The incident book: what is open, what happened before.",
    },
    Page {
        path: "/logs",
        title: "Logs",
        icon: "logs",
        key: 'l',
        about: "All log lines, searched, counted and followed.",
    },
    Page {
        path: "/explore",
        title: "Explore",
        icon: "metrics",
        key: 'm',
        about: "Any figure as a chart, asked for in PromQL.",
    },
];

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] vigie_store::Error),
    /// A query cannot be answered.
    #[error(transparent)]
    Source(#[from] vigie_query::SourceError),
    /// The address asks for something that is not there.
    #[error("{0}")]
    NotFound(String),
    /// The template failed.
    #[error("page: {0}")]
    Template(#[from] askama::Error),
}
