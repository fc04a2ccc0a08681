//! A limit on how often one address may try to sign in while second factors are asked for.

use std::sync::OnceLock;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, header};
use oui_access::mfa::{LIMIT_SECONDS, token_hash};
use oui_access::rate_limit::RateLimiter;
use oui_config::auth as keys;
use oui_web::App;
use oui_web::client_ip::client_ip;

use super::too_many;

/// Requests per address in a window.
const MAX_TRIES: u32 = 100;

/// Tries by address.
#[derive(Default)]
struct Tries(OnceLock<RateLimiter>);

/// Counts what is sent to the sign-in routes, and refuses what is too much.
pub async fn limit_address(State(app): State<App>, request: Request, next: Next) -> Response {
    let counts = request.method() == Method::POST
        && request.uri().path().starts_with(crate::auths::PREFIX)
        && app.config.get(&keys::ENABLE_MFA);
    if !counts {
        return next.run(request).await;
    }
    let trusted = &app.settings.server.trusted_proxies;
    let address = client_ip(request.headers(), request.extensions(), trusted);
    let tries = app.memo::<Tries>();
    let limiter = tries
        .0
        .get_or_init(|| app.auth.rate_limiter(MAX_TRIES, LIMIT_SECONDS));
    let key = format!("mfa:ip:{}", token_hash(address.as_deref().unwrap_or("unknown")));
    if !limiter.is_limited(&key).await {
        return next.run(request).await;
    }
    let mut response = too_many(LIMIT_SECONDS).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
