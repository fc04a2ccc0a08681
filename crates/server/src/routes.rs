//! All endpoint tables in one list, and the router made from them.

use axum::Router;
use axum::extract::Request;
use oui_frontend::FrontendService;
use oui_web::{App, Area};

/// The tables of every router crate.
pub fn areas() -> Vec<Area> {
    let mut areas = oui_routers_account::areas();
    areas.extend(oui_routers_content::areas());
    areas.extend(oui_routers_chat::areas());
    areas.extend(oui_routers_system::areas());
    areas
}

/// One `METHOD path policy area` line per route, sorted by path: what `oui routes` prints.
pub fn route_lines() -> Vec<String> {
    let mut lines: Vec<(String, String)> = Vec::new();
    for area in areas() {
        for (method, path, policy, handler) in area.rows() {
            lines.push((
                path.clone(),
                format!("{method}\t{path}\t{policy}\t{}\t{handler}", area.name),
            ));
        }
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// The API and, for everything else, the client's files.
pub(crate) fn router(app: App, frontend: FrontendService) -> Router {
    let mut router = Router::new();
    for area in areas() {
        router = area.mount(router);
    }
    let client = frontend.clone();
    let fallback = move |request: Request| {
        let client = client.clone();
        async move { client.respond(request).await }
    };
    router
        .fallback(fallback.clone())
        .method_not_allowed_fallback(fallback)
        .with_state(app)
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
