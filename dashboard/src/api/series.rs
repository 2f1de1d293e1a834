//! The charts of a page in one answer, and the incident book.

use axum::extract::{Query, State};
use axum::http::Uri;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use vigie_store::incidents::{IncidentFilter, IncidentId};

use super::{failure, pairs};
use crate::app::App;
use crate::pages::{self, PageError};
use crate::respond::{self, Failure};
use crate::server::Params;
use crate::wire::chart::Chart;
use crate::wire::incident::IncidentView;
use crate::wire::prometheus::Success;

/// `GET /api/series?view=…`: every chart of that page, for the script.
pub(crate) async fn charts(
    State(app): State<App>,
    headers: HeaderMap,
    Query(params): Query<Params>,
    uri: Uri,
) -> Response {
    let context = app.context(&headers, None);
    let query = uri.query().unwrap_or_default().to_owned();
    let made = app.pool().run(move |source, bounds| {
        let asked = params.asked();
        let charts = match params.view.as_deref() {
            Some("overview") => pages::overview_charts(source, &asked, &context, bounds)?,
            Some("logs") => {
                let q = params.q.as_deref().unwrap_or_default();
                pages::logs_charts(source, q, &asked, &context, bounds)?
            }
            Some("explore") => pages::explore_charts(source, &pairs(&query), &context, bounds)?,
            _ => return Err(PageError::NotFound("no such view".to_owned())),
        };
        let charts: Vec<_> = charts.iter().map(Chart::new).collect();
        let value = serde_json::json!({"now": context.now.0, "charts": charts});
        Ok::<_, PageError>(value)
    });
    let failed = match made.await {
        Ok(Ok(value)) => return respond::json(StatusCode::OK, &value, &headers),
        Ok(Err(e)) => Failure::from(e),
        Err(e) => Failure::from(e),
    };
    failure(failed.status(), "charts", failed.words(), &headers)
}

/// `GET /api/v1/incidents?state=open&before=…&limit=…`.
pub(crate) async fn incidents(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    const LIMIT_MAX: usize = 1000;
    let given = pairs(uri.query().unwrap_or_default());
    let number = |name| super::first(&given, name).and_then(|v| v.parse::<u64>().ok());
    let filter = IncidentFilter {
        unresolved: super::first(&given, "state") == Some("open"),
        before: number("before").map(IncidentId),
        limit: number("limit")
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(100)
            .min(LIMIT_MAX),
        ..IncidentFilter::default()
    };
    let made = app.pool().run(move |source, _| {
        let all = source.incidents(&filter)?;
        let all: Vec<_> = all.iter().map(IncidentView::new).collect();
        Ok::<_, PageError>(serde_json::json!(all))
    });
    let failed = match made.await {
        Ok(Ok(value)) => return respond::json(StatusCode::OK, &Success::new(value), &headers),
        Ok(Err(e)) => Failure::from(e),
        Err(e) => Failure::from(e),
    };
    failure(failed.status(), "internal", failed.words(), &headers)
}
