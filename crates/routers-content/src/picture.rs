//! Pictures of models: which addresses are kept, and how a stored one is answered. Pictures may be files of the
//! client, addresses elsewhere, or images inside the address.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};
use oui_config::settings::Access;

/// The picture of everything that has none.
const FALLBACK: &str = "/static/favicon.png";

/// Files of the client that may be a picture.
const STATIC: &[&str] = &["/user.png", "/favicon.png", FALLBACK];

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Whether an address may be kept as picture.
pub(crate) fn is_valid(url: &str, access: &Access) -> bool {
    if url.is_empty() || STATIC.contains(&url) {
        return true;
    }
    if let Some(id) = url
        .strip_prefix("/api/v1/users/")
        .and_then(|rest| rest.strip_suffix("/profile/image"))
    {
        return !id.is_empty() && !id.contains(['/', '?', '#']);
    }
    if has_prefix(url, "http://") || has_prefix(url, "https://") {
        let rest = url.split_once("//").map(|(_, rest)| rest).unwrap_or_default();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        return !host.is_empty() && !host.starts_with(':');
    }
    let Some(kind) = inline_kind(url) else {
        return false;
    };
    let known = access.profile_image_types.iter().any(|allowed| {
        allowed
            .rsplit('/')
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(kind))
    });
    known
        && access
            .profile_image_max
            .is_none_or(|limit| limit == 0 || url.chars().count() <= limit)
}

/// `png` of `data:image/png;base64,...`.
fn inline_kind(url: &str) -> Option<&str> {
    if !has_prefix(url, "data:image/") {
        return None;
    }
    let (kind, rest) = url["data:image/".len()..].split_once(';')?;
    has_prefix(rest, "base64,").then_some(kind)
}

fn redirect(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => (StatusCode::FOUND, [(header::LOCATION, location)]).into_response(),
        Err(_) => (StatusCode::FOUND, [(header::LOCATION, FALLBACK)]).into_response(),
    }
}

/// The answer for a stored picture: the image, or a redirect to where it is; to the fallback for everything
/// that may not be shown. `version` becomes the entity tag.
pub(crate) fn respond(url: Option<&str>, version: Option<i64>, access: &Access) -> Response {
    let Some(url) = url.filter(|url| !url.is_empty()) else {
        return redirect(FALLBACK);
    };
    if url.starts_with("http") {
        return redirect(if access.profile_image_redirects {
            url
        } else {
            FALLBACK
        });
    }
    if url.starts_with("data:image") {
        return inline(url, version, access).unwrap_or_else(|| redirect(FALLBACK));
    }
    redirect(static_path(url).as_deref().unwrap_or(FALLBACK))
}

fn inline(url: &str, version: Option<i64>, access: &Access) -> Option<Response> {
    let (head, data) = url.split_once(',')?;
    let kind = head.split(';').next()?.strip_prefix("data:")?.to_lowercase();
    if !access.profile_image_types.contains(&kind) {
        return None;
    }
    let image = STANDARD.decode(data.trim()).ok()?;
    let mut response = Response::builder()
        .header(header::CONTENT_TYPE, kind)
        .header(header::CONTENT_DISPOSITION, "inline")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if let Some(version) = version {
        response = response.header(header::ETAG, format!("\"{version}\""));
    }
    response.body(Body::from(image)).ok()
}

/// The path when it is a file of the client below `/static`; anything that climbs out or hides behind escapes is
/// none.
fn static_path(url: &str) -> Option<String> {
    let path = url.split(['?', '#']).next()?.trim();
    if path.contains(['%', '\\', '\0']) || !path.starts_with('/') {
        return None;
    }
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('/').filter(|step| !step.is_empty() && *step != ".") {
        if step == ".." {
            steps.pop();
        } else {
            steps.push(step);
        }
    }
    match steps.as_slice() {
        ["static"] => Some("/static/".into()),
        ["static", ..] => Some(format!("/{}", steps.join("/"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let environment = oui_config::Environment::from_map([("WEBUI_SECRET_KEY", "k")]);
        oui_config::Settings::load(&environment).unwrap().access
    }

    fn location(response: &Response) -> &str {
        response.headers()[header::LOCATION].to_str().unwrap()
    }

    #[test]
    fn only_harmless_addresses_are_kept() {
        let access = access();
        for good in [
            "",
            "/static/favicon.png",
            "https://example.com/a.png",
            "data:image/PNG;base64,AA",
        ] {
            assert!(is_valid(good, &access), "{good}");
        }
        for bad in [
            "/api/v1/chats",
            "javascript:x",
            "http://:80/",
            "data:image/svg+xml;base64,AA",
            "data:image/png,x",
        ] {
            assert!(!is_valid(bad, &access), "{bad}");
        }
    }

    #[test]
    fn pictures_are_answered_or_replaced() {
        let access = access();
        assert_eq!(
            location(&respond(Some("/static/../static/a.png"), None, &access)),
            "/static/a.png"
        );
        assert_eq!(
            location(&respond(Some("/static/%2e%2e/api"), None, &access)),
            FALLBACK
        );
        assert_eq!(
            location(&respond(Some("/static/../api/v1"), None, &access)),
            FALLBACK
        );
        assert_eq!(
            location(&respond(Some("https://example.com/a"), None, &access)),
            "https://example.com/a"
        );
        let image = respond(Some("data:image/png;base64,iVBORw0KGgo="), Some(7), &access);
        assert_eq!(
            (image.status(), &image.headers()[header::ETAG]),
            (StatusCode::OK, &HeaderValue::from_static("\"7\""))
        );
        assert_eq!(
            location(&respond(Some("data:image/svg+xml;base64,AA=="), None, &access)),
            FALLBACK
        );
    }
}
