//! Profile pictures: bytes of a data URI, a redirect to an address elsewhere, or the client's stand-in.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderName, StatusCode, header};
use oui_core::{ApiError, ApiResult, messages};
use oui_models::users;
use oui_web::{App, Caller, Verified};

use super::unknown_user;

/// Name of the client's stand-in.
const STAND_IN: &str = "user.png";

/// Base64 with its padding, whatever the last bits are.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

pub(super) async fn picture(caller: Caller<Verified>, Path(user_id): Path<String>) -> ApiResult<Response> {
    let user = users::by_id(caller.db(), &user_id)
        .await?
        .ok_or_else(unknown_user)?;
    let access = &caller.app().settings.access;
    let url = user.profile_image_url.unwrap_or_default();
    if url.starts_with("http") && access.profile_image_redirects {
        return Ok((StatusCode::FOUND, [(header::LOCATION, url)]).into_response());
    }
    match inline(&url, &access.profile_image_types) {
        Some((kind, bytes)) => {
            let headers: [(HeaderName, &str); 3] = [
                (header::CONTENT_TYPE, &kind),
                (header::CONTENT_DISPOSITION, "inline"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            Ok((headers, bytes).into_response())
        }
        None => stand_in(caller.app()).await,
    }
}

/// Media type and bytes of a data URI, if the type is allowed.
fn inline(url: &str, allowed: &[String]) -> Option<(String, Vec<u8>)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let kind = head.split(';').next()?.to_lowercase();
    if !kind.starts_with("image") || !allowed.contains(&kind) {
        return None;
    }
    // What is not of the alphabet is passed over, as at the reference.
    let of_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let data: Vec<u8> = data.bytes().filter(of_alphabet).collect();
    Some((kind, LENIENT.decode(data).ok()?))
}

async fn stand_in(app: &App) -> ApiResult<Response> {
    let path = app.frontend.static_file(STAND_IN).await;
    let path = path.ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    let bytes = tokio::fs::read(&path).await.map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "image/png")], bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_uris() {
        let allowed = ["image/png".to_owned()];
        assert_eq!(
            inline("data:image/PNG;base64,AAE=", &allowed),
            Some(("image/png".into(), vec![0, 1]))
        );
        assert_eq!(
            inline("data:image/png;base64, A?AE=", &allowed),
            Some(("image/png".into(), vec![0, 1]))
        );
        assert_eq!(inline("data:image/png;base64,AAE", &allowed), None);
        assert_eq!(inline("data:image/gif;base64,AAE=", &allowed), None);
        assert_eq!(inline("/user.png", &allowed), None);
    }
}
