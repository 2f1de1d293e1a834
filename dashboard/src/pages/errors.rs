//! What stands in place of a page that cannot be shown: the cause in words, and the way on.

use askama::Template;

use super::shell::{Context, Shell};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    shell: Shell,
    status: u16,
    title: String,
    text: String,
}

/// The page of a failure.
pub(crate) fn error_page(ctx: &Context, status: u16, text: &str) -> String {
    let title = match status {
        404 => "There is no such page",
        400 => "This cannot be asked for",
        403 => "This is refused",
        503 => "vigie is busy",
        _ => "This page could not be made",
    };
    let page = ErrorPage {
        shell: Shell::bare("", title, ctx),
        status,
        title: title.to_owned(),
        text: text.to_owned(),
    };
    page.render().unwrap_or_else(|_| title.to_owned())
}
