//! The description of the API in OpenAPI's words, made from the table that serves it.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value as Json, json};

use super::routes::{Answer, ENDPOINTS, Endpoint, Parameter, Shape};
use crate::respond;

/// `GET /api/v1/openapi.json`.
pub(crate) async fn description(headers: HeaderMap) -> Response {
    respond::json(StatusCode::OK, &document(), &headers)
}

fn document() -> Json {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let mut methods = Map::new();
        methods.insert("get".to_owned(), operation(endpoint, false));
        if endpoint.posts {
            methods.insert("post".to_owned(), operation(endpoint, true));
        }
        paths.insert(endpoint.path.to_owned(), Json::Object(methods));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "vigie",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Figures as Prometheus answers them, logs, patterns and incidents.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [],
        "paths": paths,
        "components": {"schemas": {
            "Success": {
                "type": "object",
                "required": ["status", "data"],
                "properties": {
                    "status": {"const": "success"},
                    "data": {},
                    "warnings": {"type": "array", "items": {"type": "string"}},
                    "infos": {"type": "array", "items": {"type": "string"}},
                },
            },
            "Failure": {
                "type": "object",
                "required": ["status", "errorType", "error"],
                "properties": {
                    "status": {"const": "error"},
                    "errorType": {"type": "string"},
                    "error": {"type": "string"},
                },
            },
        }},
    })
}

/// What a path holds in braces.
fn of_path(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|s| s.strip_prefix('{')?.strip_suffix('}'))
}

fn operation(endpoint: &Endpoint, is_form: bool) -> Json {
    let words = endpoint
        .path
        .split(['/', '{', '}', '.'])
        .filter(|w| !w.is_empty());
    let name: Vec<&str> = words.collect();
    let method = if is_form { "post" } else { "get" };
    let mut parameters: Vec<Json> = of_path(endpoint.path)
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    let mut operation = json!({
        "operationId": format!("{method}_{}", name.join("_")),
        "summary": endpoint.about,
        "responses": responses(endpoint.answer),
    });
    if is_form {
        operation["requestBody"] = form(endpoint.parameters);
    } else {
        parameters.extend(endpoint.parameters.iter().map(parameter));
    }
    operation["parameters"] = Json::Array(parameters);
    operation
}

fn parameter(given: &Parameter) -> Json {
    json!({
        "name": given.name,
        "in": "query",
        "required": given.needed,
        "description": given.about,
        "schema": schema(given.shape),
    })
}

fn form(parameters: &[Parameter]) -> Json {
    let properties: Map<String, Json> = parameters
        .iter()
        .map(|p| {
            let mut schema = schema(p.shape);
            schema["description"] = json!(p.about);
            (p.name.to_owned(), schema)
        })
        .collect();
    let needed = parameters.iter().filter(|p| p.needed).map(|p| p.name);
    json!({"content": {"application/x-www-form-urlencoded": {"schema": {
        "type": "object",
        "properties": properties,
        "required": needed.collect::<Vec<_>>(),
    }}}})
}

fn schema(shape: Shape) -> Json {
    match shape {
        Shape::Text => json!({"type": "string"}),
        Shape::Number => json!({"type": "integer", "minimum": 0}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Shape::One(words) => json!({"type": "string", "enum": words}),
    }
}

fn responses(answer: Answer) -> Json {
    let success = json!({"schema": {"$ref": "#/components/schemas/Success"}});
    let text = json!({"schema": {"type": "string"}});
    let content = match answer {
        Answer::Json => json!({"application/json": success}),
        Answer::Object => json!({"application/json": {"schema": {"type": "object"}}}),
        Answer::JsonOrLines => json!({
            "application/json": success,
            "application/x-ndjson": text,
            "text/plain": text,
        }),
        Answer::Text => json!({"text/plain": text}),
        Answer::Events => json!({"text/event-stream": text}),
    };
    let failure = match answer {
        Answer::Text => json!({"text/plain": text}),
        _ => json!({"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}}),
    };
    json!({
        "200": {"description": "The answer.", "content": content},
        "default": {"description": "Why there is none.", "content": failure},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_description_is_sound() {
        let document = document();
        assert_eq!(
            document["paths"].as_object().map(Map::len),
            Some(ENDPOINTS.len())
        );
        let mut names = HashSet::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for operation in methods.as_object().expect("methods").values() {
                let name = operation["operationId"].as_str().expect("a name");
                assert!(names.insert(name.to_owned()), "{name} twice");
                assert!(
                    operation["summary"]
                        .as_str()
                        .is_some_and(|s| s.ends_with('.')),
                    "{path}"
                );
                let parameters = operation["parameters"].as_array().expect("parameters");
                let places: Vec<_> = parameters.iter().map(|p| (&p["in"], &p["name"])).collect();
                let unique: HashSet<String> = places.iter().map(|p| format!("{p:?}")).collect();
                assert_eq!(unique.len(), places.len(), "{path}");
                for name in of_path(path) {
                    let has = places.iter().any(|(at, n)| **at == "path" && **n == name);
                    assert!(has, "{path} {name}");
                }
            }
        }
        for reference in ["Success", "Failure"] {
            assert!(document["components"]["schemas"][reference].is_object());
        }
    }
}
