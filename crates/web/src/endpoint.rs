//! Tables of endpoints. A row names method, path, policy and handler; the compiler checks that
//! the handler's first argument is what the policy demands. The router, the OpenAPI document, the
//! coverage report and the role test are derived from the rows.

use std::collections::BTreeSet;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;
use serde_json::Value;

use crate::app::App;

/// Who may call: the type of a handler's first argument and its name in the table.
pub trait Policy {
    /// First argument of the handlers.
    type Arg;
    /// Name in listings, for example `Verified`.
    const NAME: &'static str;
}

/// What a route takes and answers, as JSON schemas, for the description of the API.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shapes {
    /// The body.
    pub body: Option<fn() -> Value>,
    /// The parameters of the query, as properties of an object.
    pub query: Option<fn() -> Value>,
    /// The answer.
    pub answer: Option<fn() -> Value>,
}

/// One row of a table.
pub struct Endpoint {
    /// HTTP method.
    pub method: Method,
    /// Path below the area's prefix.
    pub path: &'static str,
    /// Name of the policy.
    pub policy: &'static str,
    /// Name of the handler.
    pub handler: &'static str,
    /// What it takes and answers, where that is described.
    pub shapes: Shapes,
    route: MethodRouter<App>,
}

/// The endpoints of one area of the API.
pub struct Area {
    /// Name, as in the reference's router file.
    pub name: &'static str,
    /// Path prefixes that all rows are mounted under; usually one.
    pub prefixes: &'static [&'static str],
    /// The rows.
    pub endpoints: Vec<Endpoint>,
}

/// Argument lists of handlers whose first argument is `First`.
pub trait StartsWith<First> {}

macro_rules! starts_with {
    ($($rest:ident),*) => {
        impl<M, First, $($rest),*> StartsWith<First> for (M, First, $($rest,)*) {}
    };
}

starts_with!();
starts_with!(A);
starts_with!(A, B);
starts_with!(A, B, C);
starts_with!(A, B, C, D);

/// Makes a row; called by [`endpoints!`](crate::endpoints!).
pub fn endpoint<P, H, T>(method: Method, path: &'static str, name: &'static str, handler: H) -> Endpoint
where
    P: Policy,
    H: Handler<T, App>,
    T: StartsWith<P::Arg> + 'static,
{
    let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
    Endpoint {
        method,
        path,
        policy: P::NAME,
        handler: name,
        shapes: Shapes::default(),
        route: on(filter, handler),
    }
}

/// Declares the table of an area.
///
/// ```ignore
/// pub fn area() -> Area {
///     endpoints! { "prompts" at "/api/v1/prompts";
///         GET  "/"                Verified      => list,
///         POST "/create"          Verified      => create,
///         GET  "/id/{id}"         Read<Prompt>  => get,
///     }
/// }
/// ```
#[macro_export]
macro_rules! endpoints {
    ($area:literal at $($prefix:literal),+ ; $($method:ident $path:literal $policy:ty => $handler:path),* $(,)?) => {
        $crate::endpoint::Area {
            name: $area,
            prefixes: &[$($prefix),+],
            endpoints: vec![$(
                $crate::endpoint::endpoint::<$policy, _, _>(
                    ::http::Method::$method, $path, stringify!($handler), $handler
                )
            ),*],
        }
    };
}

impl Area {
    /// Every row as `(method, full path, policy, handler)`.
    pub fn rows(&self) -> impl Iterator<Item = (&Method, String, &'static str, &'static str)> {
        self.prefixes.iter().flat_map(move |prefix| {
            self.endpoints.iter().map(move |row| {
                (
                    &row.method,
                    format!("{prefix}{}", row.path),
                    row.policy,
                    row.handler,
                )
            })
        })
    }

    /// Describes what rows take and answer. Each must be there.
    #[must_use]
    pub fn describe(mut self, rows: &[(Method, &str, Shapes)]) -> Self {
        for (method, path, shapes) in rows {
            let row = self.endpoints.iter_mut();
            let row = row
                .into_iter()
                .find(|row| row.method == *method && row.path == *path);
            debug_assert!(row.is_some(), "{method} {path} is no row of {}", self.name);
            if let Some(row) = row {
                row.shapes = *shapes;
            }
        }
        self
    }

    /// Passes every answer of the area through `change`, refusals of its policies and forms included.
    #[must_use]
    pub fn map_responses(mut self, change: fn(Response) -> Response) -> Self {
        for row in &mut self.endpoints {
            let route = std::mem::take(&mut row.route);
            row.route = route.route_layer(map_response(move |response| async move { change(response) }));
        }
        self
    }

    /// Leaves out the rows whose method is not wanted.
    #[must_use]
    pub fn keep(mut self, wanted: fn(&Method) -> bool) -> Self {
        self.endpoints.retain(|row| wanted(&row.method));
        self
    }

    /// Mounts the rows on a router. `all` are the methods and full paths of every area: a row that takes every path
    /// below its own also takes, for its method, those paths that other rows have for other methods only.
    pub fn mount(self, mut router: Router<App>, all: &[(Method, String)]) -> Router<App> {
        for prefix in self.prefixes {
            for row in &self.endpoints {
                let path = format!("{prefix}{}", row.path);
                for left in left_over(&row.method, &path, all) {
                    router = router.route(left, row.route.clone());
                }
                router = router.route(&path, row.route.clone());
            }
        }
        router
    }
}

/// The paths that a row for every path below its own takes over from rows for other methods.
fn left_over<'a>(method: &Method, path: &str, all: &'a [(Method, String)]) -> BTreeSet<&'a str> {
    let Some((base, _)) = path.split_once("{*") else {
        return BTreeSet::new();
    };
    let below = |other: &&'a (Method, String)| other.1.starts_with(base) && other.1 != path;
    let taken: BTreeSet<&str> = all
        .iter()
        .filter(below)
        .filter(|other| other.0 == *method)
        .map(|other| other.1.as_str())
        .collect();
    all.iter()
        .filter(below)
        .map(|other| other.1.as_str())
        .filter(|other| !taken.contains(other))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_for_all_paths_takes_those_of_other_methods() {
        let all: Vec<(Method, String)> = [
            (Method::GET, "/a/b"),
            (Method::POST, "/a/b"),
            (Method::GET, "/a/c/{id}"),
            (Method::GET, "/other"),
            (Method::POST, "/a/{*path}"),
        ]
        .map(|(method, path)| (method, path.to_owned()))
        .into();
        let left = |method| {
            left_over(&method, "/a/{*path}", &all)
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(left(Method::POST), ["/a/c/{id}"]);
        assert_eq!(left(Method::PUT), ["/a/b", "/a/c/{id}"]);
        assert!(left_over(&Method::POST, "/a/b", &all).is_empty());
    }
}
