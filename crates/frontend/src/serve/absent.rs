//! The page that stands in for the client while none is installed. It carries no product name.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Web client not installed</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}
code{background:#8883;padding:.1em .3em;border-radius:.2em}</style>
<h1>The web client is not installed</h1>
<p>The server is running and its API answers, but the files of the web client are not here yet.
<p>On the machine that runs the server, type <code>oui frontend install</code> and then reload this page.
It fetches the client with pip; a restart is not needed.
<p>If the client is already unpacked somewhere, name its folder in <code>FRONTEND_BUILD_DIR</code>.
</html>
";

/// 503 with a short explanation.
pub(super) fn page(head: bool) -> Response {
    let body = if head { "" } else { PAGE };
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(PAGE.len()));
    // The page is gone as soon as the client is there.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
