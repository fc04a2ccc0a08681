//! The HTTP face of the server: which requests are let in, and how the others are refused.
//! Statuses and texts are the reference's.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use oui_core::ApiError;

use super::connection::Transport;
use super::{polling, websocket};
use crate::hub::Hub;

pub(crate) const BAD_REQUEST: &str = "Bad Request";
const BAD_VERSION: &str =
    "The client is using an unsupported version of the Socket.IO or Engine.IO protocols";
/// Read buffer of one WebSocket: clients send little.
const READ_BUFFER: usize = 8 * 1024;

/// Routes of the server: `/ws/socket.io`, and "Not Found" for the rest of `/ws`.
pub(crate) fn router(hub: Arc<Hub>) -> Router {
    let not_found = || async { text(StatusCode::NOT_FOUND, "text/plain", "Not Found") };
    Router::new()
        .route("/ws/socket.io", any(handle))
        .route("/ws/socket.io/", any(handle))
        .route("/ws/socket.io/{*rest}", any(handle))
        .route("/ws/", any(not_found))
        .route("/ws/{*rest}", any(not_found))
        .with_state(hub)
}

/// The query of a request. Names without a value do not count.
struct Params(Vec<(String, String)>);

impl Params {
    /// A query that cannot be read counts as empty.
    fn read(uri: &Uri) -> Self {
        Self(
            Query::try_from_uri(uri)
                .map(|Query(pairs)| pairs)
                .unwrap_or_default(),
        )
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }
}

async fn handle(
    State(hub): State<Arc<Hub>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let params = Params::read(&parts.uri);
    let upgrading = asks_for_websocket(&parts.headers);
    if params.first("transport") == Some(Transport::WebSocket.name()) && !upgrading {
        return ApiError::bad_request("Invalid WebSocket upgrade request").into_response();
    }
    if let Err(reason) = admit(&hub, &params, &parts.headers) {
        return if upgrading {
            forbidden()
        } else {
            bad_request(&reason)
        };
    }
    match Transport::admitted(&hub.options) {
        Transport::WebSocket => open_websocket(hub, &params, upgrade),
        Transport::Polling => serve_polling(&hub, &params, &parts.method, body).await,
    }
}

/// What every request must get right; the error is the reason given to the client.
fn admit(hub: &Hub, params: &Params, headers: &HeaderMap) -> Result<(), String> {
    if let Some(origin) = headers
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok())
        && !hub.options.origin_allowed(origin)
    {
        return Err(format!("{origin} is not an accepted origin."));
    }
    if params.first("transport").unwrap_or("polling") != Transport::admitted(&hub.options).name() {
        return Err("Invalid transport".to_owned());
    }
    if params.first("sid").is_none() && !params.all("EIO").eq(["4"]) {
        return Err(BAD_VERSION.to_owned());
    }
    Ok(())
}

/// A WebSocket always begins a new connection: there is no other transport to upgrade from.
fn open_websocket(
    hub: Arc<Hub>,
    params: &Params,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if params.first("sid").is_some() || hub.closing.is_cancelled() {
        return forbidden();
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let limit = hub.options.max_payload;
    upgrade
        .read_buffer_size(READ_BUFFER)
        .max_message_size(limit)
        .max_frame_size(limit)
        .on_upgrade(move |websocket| hub.tasks.clone().track_future(websocket::run(hub, websocket)))
}

async fn serve_polling(hub: &Arc<Hub>, params: &Params, method: &Method, body: Body) -> Response {
    let sid = params.first("sid");
    match (method, sid) {
        (&Method::GET, None) => polling::open(hub).await,
        (&Method::GET | &Method::POST, sid) => {
            let Some(connection) = sid.and_then(|sid| hub.connection(sid)) else {
                return bad_request(&format!("Invalid session {}", sid.unwrap_or("None")));
            };
            if method == Method::GET {
                polling::poll(hub, &connection).await
            } else {
                polling::receive(hub, &connection, body).await
            }
        }
        (&Method::OPTIONS, _) => text(StatusCode::OK, "text/plain", "OK"),
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "Method Not Found"),
    }
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let value = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    value(header::UPGRADE).eq_ignore_ascii_case("websocket")
        && value(header::CONNECTION)
            .split(',')
            .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

/// 400 whose body is the reason as a JSON string.
pub(crate) fn bad_request(reason: &str) -> Response {
    text(
        StatusCode::BAD_REQUEST,
        "text/plain",
        serde_json::Value::from(reason).to_string(),
    )
}

fn forbidden() -> Response {
    text(StatusCode::FORBIDDEN, "text/plain; charset=utf-8", "")
}

pub(crate) fn text(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body.into()).into_response()
}
