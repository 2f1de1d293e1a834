//! What people change from pages: forms, which work without scripts.

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use serde::Deserialize;
use vigie_analyzer::incidents::{Action, act};
use vigie_store::incidents::IncidentId;

use crate::app::App;
use crate::respond::Failure;

/// Who acts, as long as pages know no accounts.
const WHO: &str = "dashboard";

/// The forms' addresses.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/incidents/{id}/{action}", post(incident))
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Fields {
    #[serde(default)]
    message: String,
    #[serde(default)]
    back: String,
}

/// `POST /incidents/{id}/ack|resolve|note`.
async fn incident(
    State(app): State<App>,
    headers: HeaderMap,
    Path((id, action)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Response {
    let missing = |what: &str| Failure::NotFound(what.to_owned()).page(&app, &headers);
    let Ok(id) = id.parse::<IncidentId>() else {
        return missing("Incidents have numbers.");
    };
    let Some(action) = Action::from_word(&action) else {
        return missing("An incident can be acknowledged, resolved, or given a note.");
    };
    let Some(handle) = app.handle().cloned() else {
        return Failure::Bad("No daemon writes this store: nothing can be changed.".to_owned())
            .page(&app, &headers);
    };
    let now = app.now();
    let message = fields.message;
    let done = tokio::task::spawn_blocking(move || act(&handle, action, id, WHO, &message, now));
    match done.await {
        Ok(Ok(_)) => {
            // Back to one of our own pages, never to an address that a form names.
            let back = if fields.back == "/" {
                "/".to_owned()
            } else {
                format!("/incidents/{}", id.0)
            };
            Redirect::to(&back).into_response()
        }
        Ok(Err(e)) => Failure::Bad(e.to_string()).page(&app, &headers),
        Err(_) => Failure::Broken("the change ended early".to_owned()).page(&app, &headers),
    }
}
