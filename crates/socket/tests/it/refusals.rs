//! Requests that are not let in, with the reference's statuses and bodies.

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use oui_core::Clock;
use oui_socket::{SocketOptions, SocketServer};
use tower::ServiceExt;

use crate::backend::TestBackend;

const BAD_VERSION: &str =
    "\"The client is using an unsupported version of the Socket.IO or Engine.IO protocols\"";
const NO_UPGRADE: &str = "{\"detail\":\"Invalid WebSocket upgrade request\"}";

fn router(options: SocketOptions) -> Router {
    SocketServer::new(options, Clock::fixed(0), std::sync::Arc::new(TestBackend::new())).router()
}

/// Status, content type and body of the answer.
async fn answer(
    router: &Router,
    method: Method,
    uri: &str,
    headers: &[(&str, &str)],
) -> (u16, String, String) {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let kind = response
        .headers()
        .get("content-type")
        .map(|kind| kind.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        kind.unwrap_or_default(),
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

const UPGRADE: [(&str, &str); 4] = [
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "WebSocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[tokio::test]
async fn the_websocket_server_refuses_the_rest() {
    let router = router(SocketOptions::default());
    let cases = [
        (
            Method::GET,
            "/ws/socket.io/?EIO=4&transport=polling",
            "text/plain",
            "\"Invalid transport\"",
        ),
        (
            Method::POST,
            "/ws/socket.io/?EIO=4&transport=polling",
            "text/plain",
            "\"Invalid transport\"",
        ),
        (
            Method::OPTIONS,
            "/ws/socket.io/?EIO=4",
            "text/plain",
            "\"Invalid transport\"",
        ),
        (
            Method::GET,
            "/ws/socket.io",
            "text/plain",
            "\"Invalid transport\"",
        ),
        (
            Method::GET,
            "/ws/socket.io/more?transport=foo",
            "text/plain",
            "\"Invalid transport\"",
        ),
        (
            Method::GET,
            "/ws/socket.io/?EIO=4&transport=websocket",
            "application/json",
            NO_UPGRADE,
        ),
        (
            Method::GET,
            "/ws/socket.io/?EIO=3&transport=websocket",
            "application/json",
            NO_UPGRADE,
        ),
    ];
    for (method, uri, kind, body) in cases {
        assert_eq!(
            answer(&router, method, uri, &[]).await,
            (400, kind.into(), body.into()),
            "{uri}"
        );
    }
    for uri in [
        "/ws/socket.io/?EIO=3&transport=websocket",
        "/ws/socket.io/?transport=websocket",
        "/ws/socket.io/?EIO=4&transport=polling",
        "/ws/socket.io/?EIO=4&transport=websocket&sid=abc",
    ] {
        let refused = (403, "text/plain; charset=utf-8".into(), String::new());
        assert_eq!(
            answer(&router, Method::GET, uri, &UPGRADE).await,
            refused,
            "{uri}"
        );
    }
    for uri in ["/ws/other", "/ws/"] {
        let missing = (404, "text/plain".into(), "Not Found".into());
        assert_eq!(answer(&router, Method::GET, uri, &[]).await, missing);
    }
}

#[tokio::test]
async fn the_polling_server_refuses_the_rest() {
    let router = router(SocketOptions {
        websocket: false,
        ..SocketOptions::default()
    });
    let cases = [
        (Method::GET, "?EIO=3&transport=polling", 400, BAD_VERSION),
        (Method::GET, "?transport=polling", 400, BAD_VERSION),
        (Method::GET, "?EIO=4&EIO=4", 400, BAD_VERSION),
        (
            Method::GET,
            "?EIO=4&transport=polling&sid=zzz",
            400,
            "\"Invalid session zzz\"",
        ),
        (
            Method::POST,
            "?EIO=4&transport=polling&sid=zzz",
            400,
            "\"Invalid session zzz\"",
        ),
        (
            Method::POST,
            "?EIO=4&transport=polling",
            400,
            "\"Invalid session None\"",
        ),
        (Method::PUT, "?EIO=4&transport=polling", 405, "Method Not Found"),
        (
            Method::DELETE,
            "?EIO=4&transport=polling",
            405,
            "Method Not Found",
        ),
        (Method::OPTIONS, "?EIO=4&transport=polling", 200, "OK"),
        (Method::GET, "?EIO=4&transport=foo", 400, "\"Invalid transport\""),
    ];
    for (method, query, status, body) in cases {
        let uri = format!("/ws/socket.io/{query}");
        let expected = (status, "text/plain".into(), body.into());
        assert_eq!(answer(&router, method, &uri, &[]).await, expected, "{uri}");
    }
    let uri = "/ws/socket.io/?EIO=4&transport=websocket";
    assert_eq!(answer(&router, Method::GET, uri, &[]).await.2, NO_UPGRADE);
    assert_eq!(answer(&router, Method::GET, uri, &UPGRADE).await.0, 403);
}

#[tokio::test]
async fn foreign_origins_are_refused() {
    let allowed_origins = vec!["https://here".to_owned()];
    let router = router(SocketOptions {
        websocket: false,
        allowed_origins,
        ..SocketOptions::default()
    });
    let uri = "/ws/socket.io/?EIO=4&transport=polling";
    let refused = (
        400,
        "text/plain".into(),
        "\"https://there is not an accepted origin.\"".into(),
    );
    assert_eq!(
        answer(&router, Method::GET, uri, &[("origin", "https://there")]).await,
        refused
    );
    assert_eq!(
        answer(&router, Method::GET, uri, &[("origin", "https://here")])
            .await
            .0,
        200
    );
    assert_eq!(answer(&router, Method::GET, uri, &[]).await.0, 200);
}
