//! Addresses of profile pictures: which ones an account may have.

use oui_config::settings::Access;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field};
use serde_json::{Value, json};

/// Files of the client that stand in for a picture.
const STATIC: &[&str] = &["/user.png", "/favicon.png", "/static/favicon.png"];

const UNKNOWN: &str = "Invalid profile image URL: must be a known internal path, an HTTP(S) URL with a host, or a \
                       data:image URI (png/jpeg/gif/webp).";
const NO_HOST: &str = "Invalid profile image URL: HTTP(S) URLs must include a host.";

/// The address of a profile picture: empty, a file of the client, the picture route, an address with a
/// host, or a data URI of an image. Which images is the operator's choice: see [`ImageUrl::admit`].
#[derive(Debug, Clone)]
pub(crate) struct ImageUrl(String);

impl ImageUrl {
    /// Checks a data URI against the operator's limits; anything else passes.
    pub(crate) fn admit(self, access: &Access) -> ApiResult<String> {
        let Some(rest) = strip_prefix(&self.0, "data:image/") else {
            return Ok(self.0);
        };
        let kind = rest.split(';').next().unwrap_or_default();
        let known = access.profile_image_types.iter().any(|allowed| {
            allowed
                .rsplit('/')
                .next()
                .is_some_and(|suffix| suffix.eq_ignore_ascii_case(kind))
        });
        if !known {
            return Err(refusal(UNKNOWN, &self.0));
        }
        match access.profile_image_max {
            Some(limit) if limit > 0 && self.0.chars().count() > limit => {
                let text = format!("Invalid profile image URL: data URI exceeds the {limit}-byte limit.");
                Err(refusal(&text, &self.0))
            }
            _ => Ok(self.0),
        }
    }
}

fn refusal(text: &str, url: &str) -> ApiError {
    let mut issues = Issues::at("body");
    issues.inside("profile_image_url", |issues| {
        value_error(text, &Value::from(url), issues)
    });
    ApiError::unprocessable(issues.into_found())
}

fn value_error(text: &str, input: &Value, issues: &mut Issues) {
    issues.push_ctx(
        "value_error",
        format!("Value error, {text}"),
        input,
        json!({ "error": {} }),
    );
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// What is wrong with an address, apart from the operator's limits.
fn problem(url: &str) -> Option<&'static str> {
    if url.is_empty() || STATIC.contains(&url) || is_picture_route(url) {
        return None;
    }
    if let Some(rest) = strip_prefix(url, "http:").or_else(|| strip_prefix(url, "https:")) {
        return (!has_host(rest)).then_some(NO_HOST);
    }
    let is_data = strip_prefix(url, "data:image/").is_some_and(|rest| {
        rest.split_once(';')
            .is_some_and(|(_, rest)| strip_prefix(rest, "base64,").is_some())
    });
    (!is_data).then_some(UNKNOWN)
}

fn is_picture_route(url: &str) -> bool {
    url.strip_prefix("/api/v1/users/")
        .and_then(|rest| rest.strip_suffix("/profile/image"))
        .is_some_and(|id| !id.is_empty() && !id.contains(['/', '?', '#']))
}

/// Whether something stands between `//` and the port or path; `rest` follows the scheme.
fn has_host(rest: &str) -> bool {
    let Some(authority) = rest.strip_prefix("//") else {
        return false;
    };
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    !host.is_empty() && !host.starts_with(':')
}

impl Field for ImageUrl {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let url = String::parse(input, issues)?;
        match problem(&url) {
            None => Some(Self(url)),
            Some(text) => {
                value_error(text, input, issues);
                None
            }
        }
    }

    fn schema() -> Value {
        String::schema()
    }
}

/// As [`ImageUrl`], for the form whose rule runs before the type is looked at.
#[derive(Debug, Clone)]
pub(crate) struct AnyImageUrl(pub(crate) ImageUrl);

impl Field for AnyImageUrl {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        if !input.is_string() {
            value_error("Invalid image URL.", input, issues);
            return None;
        }
        ImageUrl::parse(input, issues).map(Self)
    }

    fn schema() -> Value {
        String::schema()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "",
            "/user.png",
            "/api/v1/users/1-2/profile/image",
            "https://example.com/a.png",
            "HTTP://u:p@host:80",
            "data:image/png;base64,AA",
            "DATA:image/svg+xml;base64,AA",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in [
            "/api/v1/chats",
            "javascript:alert(1)",
            "//host/a.png",
            "data:text/html,x",
            "data:image/png,x",
            "/api/v1/users/a/b/profile/image",
            "ftp://host/a",
        ] {
            assert_eq!(problem(bad), Some(UNKNOWN), "{bad}");
        }
        for bad in ["http://", "http://:80/a", "https:///a", "http:host"] {
            assert_eq!(problem(bad), Some(NO_HOST), "{bad}");
        }
    }

    #[test]
    fn the_operator_limits_data_uris() {
        let environment = oui_config::Environment::from_map([
            ("PROFILE_IMAGE_ALLOWED_MIME_TYPES", "image/png"),
            ("PROFILE_IMAGE_MAX_DATA_URI_SIZE", "30"),
            ("WEBUI_SECRET_KEY", "k"),
        ]);
        let access = oui_config::Settings::load(&environment).unwrap().access;
        let admit = |url: &str| ImageUrl(url.to_owned()).admit(&access);
        assert_eq!(
            admit("data:image/PNG;base64,AA").unwrap(),
            "data:image/PNG;base64,AA"
        );
        assert_eq!(admit("https://example.com/a").unwrap(), "https://example.com/a");
        assert!(admit("data:image/gif;base64,AA").is_err());
        let long = admit("data:image/png;base64,AAAAAAAAAAAAAAAA").unwrap_err();
        assert_eq!(
            long.detail()[0]["msg"],
            "Value error, Invalid profile image URL: data URI exceeds the 30-byte limit."
        );
    }
}
