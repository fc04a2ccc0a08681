//! `/openapi.json` and `/docs`: the description of the API, made from the tables of endpoints. Published in
//! development only (`ENV=dev`); otherwise these paths are the client's like any unknown one.

use axum::Json;
use axum::extract::Request;
use axum::response::{Html, IntoResponse, Response};
use oui_web::app::Route;
use oui_web::{Area, Caller, Public, endpoints};
use serde_json::{Map, Value, json};

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "docs" at "";
        GET "/openapi.json" Public => openapi,
        GET "/docs"         Public => docs,
    }
}

async fn openapi(caller: Caller<Public>, request: Request) -> Response {
    let app = caller.app();
    if app.settings.server.is_dev() {
        Json(document(&app.routes)).into_response()
    } else {
        app.frontend.respond(request).await
    }
}

async fn docs(caller: Caller<Public>, request: Request) -> Response {
    let app = caller.app();
    if app.settings.server.is_dev() {
        Html(include_str!("docs.html")).into_response()
    } else {
        app.frontend.respond(request).await
    }
}

/// The routes as an OpenAPI document.
fn document(routes: &[Route]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let (path, parameters) = described(&route.path);
        let operation = operation(route, &parameters);
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[route.method.to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Open WebUI", "version": "0.1.0" },
        "paths": paths,
        "components": {
            "securitySchemes": { "HTTPBearer": { "type": "http", "scheme": "bearer" } },
            "schemas": {
                "HTTPValidationError": {
                    "type": "object",
                    "title": "HTTPValidationError",
                    "properties": {
                        "detail": { "type": "array", "items": { "$ref": "#/components/schemas/ValidationError" } },
                    },
                },
                "ValidationError": {
                    "type": "object",
                    "title": "ValidationError",
                    "required": ["loc", "msg", "type"],
                    "properties": {
                        "loc": { "type": "array", "items": { "anyOf": [{ "type": "string" }, { "type": "integer" }] } },
                        "msg": { "type": "string" },
                        "type": { "type": "string" },
                    },
                },
            },
        },
    })
}

/// The path as OpenAPI writes it, and the names of its parameters.
fn described(path: &str) -> (String, Vec<String>) {
    let mut parameters = Vec::new();
    let parts: Vec<String> = path
        .split('/')
        .map(
            |part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) => {
                    let name = name.trim_start_matches('*').to_owned();
                    let shown = format!("{{{name}}}");
                    parameters.push(name);
                    shown
                }
                None => part.to_owned(),
            },
        )
        .collect();
    (parts.join("/"), parameters)
}

fn operation(route: &Route, parameters: &[String]) -> Value {
    let handler = route.handler.replace("::", "_").replace(['<', '>', ' '], "");
    let place: String = route
        .path
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '_'
            }
        })
        .collect();
    let method = route.method.to_lowercase();
    let mut parameters: Vec<Value> = parameters
        .iter()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "title": name } }))
        .collect();
    let shape = |shape: Option<fn() -> Value>| shape.map_or_else(|| json!({}), |shape| shape());
    let query = shape(route.shapes.query);
    let required = query["required"].as_array().cloned().unwrap_or_default();
    for (name, schema) in query["properties"].as_object().into_iter().flatten() {
        let required = required.contains(&json!(name));
        parameters.push(json!({ "name": name, "in": "query", "required": required, "schema": schema }));
    }
    let answer = shape(route.shapes.answer);
    let invalid = json!({
        "description": "Validation Error",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/HTTPValidationError" } } },
    });
    let mut operation = json!({
        "tags": [route.area],
        "summary": route.handler,
        "description": format!("For: {}", route.policy),
        "operationId": format!("{handler}{place}_{method}"),
        "parameters": parameters,
        "responses": {
            "200": { "description": "Successful Response", "content": { "application/json": { "schema": answer } } },
            "422": invalid,
        },
    });
    if route.policy != "Public" {
        operation["security"] = json!([{ "HTTPBearer": [] }]);
    }
    if ["post", "put", "patch"].contains(&method.as_str()) {
        let body = shape(route.shapes.body);
        let required = route.shapes.body.is_some();
        operation["requestBody"] =
            json!({ "content": { "application/json": { "schema": body } }, "required": required });
    }
    operation
}

#[cfg(test)]
mod tests {
    use oui_web::endpoint::Shapes;

    use super::*;

    #[test]
    fn routes_become_operations() {
        let route = |method: &str, path: &str, policy: &'static str| Route {
            method: method.into(),
            path: path.into(),
            policy,
            area: "chats",
            handler: "list::page",
            shapes: Shapes::default(),
        };
        let document = document(&[
            route("GET", "/api/v1/chats/{id}", "Verified"),
            route("POST", "/api/v1/chats/{id}", "Public"),
            route("GET", "/cache/{*path}", "Public"),
        ]);
        let chat = &document["paths"]["/api/v1/chats/{id}"];
        assert_eq!(chat["get"]["operationId"], "list_page_api_v1_chats__id__get");
        assert_eq!(chat["get"]["parameters"][0]["name"], "id");
        assert!(chat["get"]["security"].is_array() && chat["post"]["security"].is_null());
        assert_eq!(
            document["paths"]["/cache/{path}"]["get"]["parameters"][0]["name"],
            "path"
        );
    }

    #[test]
    fn what_a_route_takes_and_answers_is_told() {
        let query = || json!({ "properties": { "user_id": { "type": "string" } }, "required": ["user_id"] });
        let shapes = Shapes {
            body: Some(|| json!({ "type": "object" })),
            query: Some(query),
            answer: Some(|| json!({ "type": "boolean" })),
        };
        let route = Route {
            method: "POST".into(),
            path: "/api/v1/quotas".into(),
            policy: "Admin",
            area: "quotas",
            handler: "create",
            shapes,
        };
        let told = &document(&[route])["paths"]["/api/v1/quotas"]["post"];
        let content = "/content/application~1json/schema/type";
        assert_eq!(told["requestBody"].pointer(content), Some(&json!("object")));
        assert_eq!(told["responses"]["200"].pointer(content), Some(&json!("boolean")));
        assert_eq!(
            told["parameters"][0],
            json!({ "name": "user_id", "in": "query", "required": true, "schema": { "type": "string" } })
        );
    }
}
