//! What wraps every request: an id for the log, the time it took, CORS, compression, and a last catch for
//! panics.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName};
use http::{HeaderValue, Method};
use oui_config::Settings;
use oui_core::{ApiError, ids};
use tower::{ServiceExt, service_fn};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate, SizeAbove};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};
use tracing::Instrument;

use oui_web::App;

use crate::audit::{Audit, audit};

const PROCESS_TIME: HeaderName = HeaderName::from_static("x-process-time");
/// Answers smaller than this are not worth compressing, in bytes.
const COMPRESS_FROM: u64 = 500;

/// Wraps the API. The client's files bring their own compressed variants and pass unchanged.
pub(crate) fn wrap(router: Router, app: &App) -> anyhow::Result<Router> {
    let settings = &app.settings;
    let router = if app.audit.is_on() {
        let rules = Audit::new(app.clone(), &settings.logging).context(
            "AUDIT_EXCLUDED_PATHS or AUDIT_INCLUDED_PATHS holds a path that is no regular expression",
        )?;
        router.layer(from_fn_with_state(Arc::new(rules), audit))
    } else {
        router
    };
    let router = if settings.server.compression {
        let worth = DefaultPredicate::new()
            .and(SizeAbove::new(COMPRESS_FROM))
            .and(NotForContentType::const_new("application/x-ndjson"));
        router.layer(
            CompressionLayer::new()
                .quality(CompressionLevel::Fastest)
                .compress_when(worth),
        )
    } else {
        router
    };
    let plain = router.layer(CatchPanicLayer::custom(panicked));
    let shared = plain
        .clone()
        .layer(cors(settings))
        .layer(from_fn(answer_preflight));
    let router = Router::new()
        .fallback_service(service_fn(move |request: Request| {
            // The CORS layer takes every OPTIONS for a browser's question; others are for the router.
            let asks = request.method() != Method::OPTIONS || is_preflight(&request);
            let router = if asks { shared.clone() } else { plain.clone() };
            router.oneshot(request)
        }))
        .layer(from_fn(observe));
    Ok(router)
}

/// Whether a browser asks what it may send from another site.
fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Gives the answer to a preflight the reference's body.
async fn answer_preflight(request: Request, next: Next) -> Response {
    let asked = is_preflight(&request);
    let mut response = next.run(request).await;
    if asked {
        let body = "OK";
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = Body::from(body);
    }
    response
}

/// Gives the request an id, logs how it ended, and stamps the time it took (whole seconds, as the reference).
async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = ids::uuid();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", id = %id);
    async move {
        let mut response = next.run(request).await;
        let elapsed = started.elapsed();
        log(&method, &path, response.status().as_u16(), elapsed);
        response
            .headers_mut()
            .insert(PROCESS_TIME, HeaderValue::from(elapsed.as_secs()));
        response
    }
    .instrument(span)
    .await
}

fn log(method: &Method, path: &str, status: u16, elapsed: Duration) {
    let millis = elapsed.as_secs_f64() * 1e3;
    if status >= 500 {
        tracing::warn!(%method, path, status, millis, "answered");
    } else {
        tracing::debug!(%method, path, status, millis, "answered");
    }
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    ApiError::internal(format!("a handler panicked: {}", text.unwrap_or("no message"))).into_response()
}

fn cors(settings: &Settings) -> CorsLayer {
    let origin = if settings.server.allows_any_origin() {
        // With credentials a literal `*` is refused by browsers, so the asking origin is named.
        AllowOrigin::mirror_request()
    } else {
        let origins = settings
            .server
            .cors_origins
            .iter()
            .filter_map(|origin| HeaderValue::from_str(origin).ok());
        AllowOrigin::list(origins)
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_credentials(true)
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .vary([header::ORIGIN])
}
