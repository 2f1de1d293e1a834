//! Addresses to pages.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::assets::ASSETS;
use crate::guard::guard;
use crate::pages::{self, Asked};
use crate::respond::{self, Failure};
use crate::{actions, api, live};

/// Forms and queries are no longer.
const BODY_MAX: usize = 64 << 10;
/// Open requests may take so long after the stop signal.
const GRACE: Duration = Duration::from_secs(10);

/// Serves pages until `shutdown`, then lets open requests end.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    app: App,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let streams = app.shutdown().clone();
    let stop = shutdown.clone();
    let serving = axum::serve(listener, router(app)).with_graceful_shutdown(async move {
        stop.cancelled().await;
        streams.cancel();
    });
    tokio::select! {
        done = async { serving.await } => done,
        () = async { shutdown.cancelled().await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!("requests still open after {} s are cut", GRACE.as_secs());
            Ok(())
        }
    }
}

/// All routes.
pub fn router(app: App) -> Router {
    let pages = Router::new()
        .route("/", get(overview))
        .route("/logs", get(logs))
        .route("/incidents", get(incidents))
        .route("/incidents/{id}", get(incident))
        .route("/hosts/{name}", get(host))
        .route("/explore", get(explore))
        .route("/live", get(live::live))
        .route("/assets/{name}", get(asset))
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT));
    Router::new()
        .merge(pages)
        .merge(actions::routes())
        .merge(api::routes())
        .fallback(missing)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

/// The parameters of all pages.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Params {
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) theme: Option<String>,
    pub(crate) q: Option<String>,
    pub(crate) before: Option<String>,
    pub(crate) view: Option<String>,
}

impl Params {
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            from: self.from.clone(),
            to: self.to.clone(),
            host: self.host.clone(),
        }
    }
}

/// Runs what makes a page; a failure becomes a page as well.
async fn page(
    app: App,
    headers: HeaderMap,
    theme: Option<String>,
    make: impl FnOnce(
        &dyn crate::Source,
        &pages::Context,
        &crate::Bounds,
    ) -> Result<String, pages::PageError>
    + Send
    + 'static,
) -> Response {
    let context = app.context(&headers, theme.as_deref());
    let made = app
        .pool()
        .run(move |source, bounds| make(source, &context, bounds))
        .await;
    let failure = match made {
        Ok(Ok(page)) => return respond::html(page, &headers),
        Ok(Err(e)) => Failure::from(e),
        Err(e) => Failure::from(e),
    };
    failure.page(&app, &headers)
}

async fn overview(
    State(app): State<App>,
    headers: HeaderMap,
    Query(params): Query<Params>,
) -> Response {
    let asked = params.asked();
    page(app, headers, params.theme, move |source, ctx, bounds| {
        pages::overview_page(source, &asked, ctx, bounds)
    })
    .await
}

async fn host(
    State(app): State<App>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    let asked = Asked {
        host: Some(name),
        ..params.asked()
    };
    page(app, headers, params.theme, move |source, ctx, bounds| {
        pages::overview_page(source, &asked, ctx, bounds)
    })
    .await
}

async fn logs(
    State(app): State<App>,
    headers: HeaderMap,
    Query(params): Query<Params>,
) -> Response {
    page(
        app,
        headers,
        params.theme.clone(),
        move |source, ctx, bounds| {
            let q = params.q.as_deref().unwrap_or_default();
            pages::logs_page(
                source,
                q,
                &params.asked(),
                params.before.as_deref(),
                ctx,
                bounds,
            )
        },
    )
    .await
}

async fn incidents(
    State(app): State<App>,
    headers: HeaderMap,
    Query(params): Query<Params>,
) -> Response {
    let before = params.before.as_deref().and_then(|b| b.parse().ok());
    page(app, headers, params.theme, move |source, ctx, _| {
        pages::incidents_page(source, before, ctx)
    })
    .await
}

async fn incident(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    page(app, headers, params.theme, move |source, ctx, _| {
        let id = id.parse::<vigie_store::incidents::IncidentId>();
        let id =
            id.map_err(|_| pages::PageError::NotFound("Incidents have numbers.".to_owned()))?;
        pages::incident_page(source, id.0, ctx)
    })
    .await
}

async fn explore(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    // `s` may be given several times, which a struct of parameters cannot take.
    let query = uri.query().unwrap_or_default().to_owned();
    let pairs = api::pairs(&query);
    let theme = pairs
        .iter()
        .find(|(n, _)| n == "theme")
        .map(|(_, v)| v.clone());
    page(app, headers, theme, move |source, ctx, bounds| {
        pages::explore_page(source, &pairs, ctx, bounds)
    })
    .await
}

async fn asset(headers: HeaderMap, uri: Uri) -> Response {
    let Some(asset) = ASSETS.iter().find(|a| a.path == uri.path()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let gzip = respond::takes_gzip(&headers);
    let mut response = if gzip {
        asset.gzip.into_response()
    } else {
        asset.plain.into_response()
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    let ever = HeaderValue::from_static("public, max-age=31536000, immutable");
    out.insert(header::CACHE_CONTROL, ever);
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if gzip {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Ready when the store can be read and takes data.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    if let Some(trouble) = app.handle().and_then(|h| h.health().trouble) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{}\n", trouble.why),
        )
            .into_response();
    }
    match app
        .pool()
        .run(|source, _| source.reports().map(|_| ()))
        .await
    {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(e)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{e}\n")).into_response(),
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, format!("{e}\n")).into_response(),
    }
}

async fn missing(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return api::failure(
            StatusCode::NOT_FOUND,
            "not_found",
            "no such address",
            &headers,
        );
    }
    Failure::NotFound(format!("Nothing is at {}.", uri.path())).page(&app, &headers)
}
