//! All endpoint tables in one list, and the router made from them.

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use http::{Method, StatusCode, header};
use oui_frontend::FrontendService;
use oui_web::app::Route;
use oui_web::{App, Area};
use tower::{ServiceExt, service_fn};

/// The tables of every router crate.
pub fn areas() -> Vec<Area> {
    let mut areas = oui_routers_account::areas();
    areas.extend(oui_routers_content::areas());
    areas.extend(oui_routers_chat::areas());
    areas.extend(oui_routers_files::areas());
    areas.extend(oui_routers_system::areas());
    areas
}

/// One `METHOD path policy area` line per route, sorted by path: what `oui routes` prints.
pub fn route_lines() -> Vec<String> {
    all()
        .into_iter()
        .map(|row| {
            format!(
                "{}\t{}\t{}\t{}\t{}",
                row.method, row.path, row.policy, row.area, row.handler
            )
        })
        .collect()
}

/// Every row of every table, sorted by path and method.
pub(crate) fn all() -> Vec<Route> {
    let mut rows = Vec::new();
    for area in areas() {
        for prefix in area.prefixes {
            rows.extend(area.endpoints.iter().map(|row| Route {
                method: row.method.to_string(),
                path: format!("{prefix}{}", row.path),
                policy: row.policy,
                area: area.name,
                handler: row.handler,
                shapes: row.shapes,
            }));
        }
    }
    rows.sort_by(|a, b| (&a.path, &a.method).cmp(&(&b.path, &b.method)));
    rows
}

/// The API and, for everything else, the client's files.
///
/// HEAD and OPTIONS have a router of their own with the few rows that name them: the reference's routes answer no
/// HEAD for their GET, so that such requests reach the client's files there.
pub(crate) fn router(app: App, frontend: FrontendService) -> Router {
    let limit = from_fn_with_state(app.clone(), oui_routers_account::limit_address);
    let usual = half(app.clone(), frontend.clone(), |method| !is_rare(method)).layer(limit);
    let rare = half(app, frontend, is_rare);
    Router::new().fallback_service(service_fn(move |request: Request| {
        let router = if is_rare(request.method()) {
            rare.clone()
        } else {
            usual.clone()
        };
        async move { router.oneshot(request).await.map(without_stray_allow) }
    }))
}

fn is_rare(method: &Method) -> bool {
    method == Method::HEAD || method == Method::OPTIONS
}

/// The rows whose method is wanted over the client's files.
fn half(app: App, frontend: FrontendService, wanted: fn(&Method) -> bool) -> Router {
    let areas: Vec<Area> = areas().into_iter().map(|area| area.keep(wanted)).collect();
    let rows = areas.iter().flat_map(Area::rows);
    let all: Vec<(Method, String)> = rows.map(|(method, path, ..)| (method.clone(), path)).collect();
    let router = areas
        .into_iter()
        .fold(Router::new(), |router, area| area.mount(router, &all));
    let fallback = move |request: Request| {
        let client = frontend.clone();
        async move { client.respond(request).await }
    };
    router
        .fallback(fallback.clone())
        .method_not_allowed_fallback(fallback)
        // Each form has a limit of its own.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(app)
}

/// axum names the methods of a path in every answer that its fallback gives, pages of the client included.
fn without_stray_allow(mut response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(header::ALLOW);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_stands_twice() {
        let mut seen = std::collections::HashSet::new();
        for area in areas() {
            for (method, path, _, _) in area.rows() {
                assert!(
                    seen.insert(format!("{method} {path}")),
                    "{method} {path} is declared twice"
                );
            }
        }
    }
}
