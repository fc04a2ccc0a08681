//! Files that a model refers to: whether its author may use them, and whether they are what they are used for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::knowledge;
use oui_models::models::ModelData;
use oui_web::{Caller, Verified};
use serde_json::Value;

use super::draft::background_file;
use crate::common::Reading;

/// Bytes of a background image at most.
const BACKGROUND_MAX: usize = 5 * 1024 * 1024;
/// Bytes of an avatar at most.
const AVATAR_MAX: usize = 25 * 1024 * 1024;
/// Bytes of an animation at most.
const ANIMATION_MAX: usize = 10 * 1024 * 1024;

/// The content of a file that the caller may read; the text of the refusal otherwise.
async fn content(caller: &Caller<Verified>, file_id: &str, refusal: &str) -> ApiResult<Vec<u8>> {
    let reading = Reading::of(caller).await?;
    let file = knowledge::readable_file(caller.db(), file_id, caller.is_admin(), reading.as_user()).await?;
    let path = file.ok_or_else(|| ApiError::forbidden(refusal))?.path;
    let path = path.ok_or_else(|| ApiError::bad_request("File not found"))?;
    tokio::fs::read(&path)
        .await
        .map_err(|_| ApiError::bad_request("File not found"))
}

/// Media type of an image that may be a background, by its first bytes.
fn image_type(data: &[u8]) -> Option<&'static str> {
    if data.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if data.starts_with(b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else if data.starts_with(b"GIF87a") || data.starts_with(b"GIF89a") {
        Some("image/gif")
    } else if data.starts_with(b"RIFF") && data.get(8..12) == Some(b"WEBP") {
        Some("image/webp")
    } else {
        None
    }
}

fn background_type(data: &[u8]) -> Result<&'static str, &'static str> {
    if data.len() > BACKGROUND_MAX {
        return Err("Background image must be at most 5 MiB.");
    }
    image_type(data).ok_or("Invalid background image.")
}

/// Refuses new backgrounds, avatars and knowledge files that the caller may not read or that are something else.
pub(super) async fn verify(
    caller: &Caller<Verified>,
    data: &ModelData,
    previous: Option<&ModelData>,
) -> ApiResult<()> {
    let field = |data: &ModelData, name: &str| data.meta.get(name).cloned().unwrap_or_default();
    let before = |name: &str| previous.map(|data| field(data, name)).unwrap_or_default();
    let background = field(data, "background_image_url");
    if background != before("background_image_url")
        && let Some(id) = background.as_str().and_then(background_file)
    {
        let image = content(caller, id, "Background image is not accessible.").await?;
        background_type(&image).map_err(ApiError::bad_request)?;
    }
    let avatar = field(data, "voice_avatar");
    if !avatar.is_null() {
        verify_avatar(caller, &avatar, &before("voice_avatar")).await?;
    }
    Ok(())
}

/// Ids of the animations of an avatar.
fn animations(avatar: &Value) -> Vec<&str> {
    let states = avatar
        .get("states")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|states| states.values());
    let gestures = avatar
        .get("gestures")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    states
        .chain(gestures)
        .filter_map(|asset| asset.get("file_id")?.as_str())
        .collect()
}

async fn verify_avatar(caller: &Caller<Verified>, avatar: &Value, previous: &Value) -> ApiResult<()> {
    /// Shown when a file is not there or not the author's.
    const REFUSAL: &str = "Avatar or animation file is not accessible. Upload it again.";
    let figure = avatar.get("file_id").and_then(Value::as_str).unwrap_or_default();
    let moves = animations(avatar);
    if moves.contains(&figure) {
        return Err(ApiError::bad_request(
            "An animation must be a VRMA file, not the avatar.",
        ));
    }
    let known = animations(previous);
    if previous.get("file_id").and_then(Value::as_str) != Some(figure) {
        check_scene(
            &content(caller, figure, REFUSAL).await?,
            AVATAR_MAX,
            "Invalid VRM file.",
        )?;
    }
    for id in moves.into_iter().filter(|id| !known.contains(id)) {
        check_scene(
            &content(caller, id, REFUSAL).await?,
            ANIMATION_MAX,
            "Invalid VRMA file.",
        )?;
    }
    Ok(())
}

/// Whether the data begin as a binary glTF 2 of this very length.
fn check_scene(data: &[u8], most: usize, refusal: &str) -> ApiResult<()> {
    let word = |at: usize| {
        data.get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_le_bytes)
    };
    let good = data.len() <= most
        && data.starts_with(b"glTF")
        && word(4) == Some(2)
        && word(8) == u32::try_from(data.len()).ok();
    if good {
        Ok(())
    } else {
        Err(ApiError::bad_request(refusal))
    }
}

/// Refuses knowledge files that the caller may not read; administrators may read all.
pub(super) async fn verify_knowledge(
    caller: &Caller<Verified>,
    knowledge_items: Option<&Value>,
) -> ApiResult<()> {
    if caller.is_admin() {
        return Ok(());
    }
    let reading = Reading::of(caller).await?;
    for item in knowledge_items.and_then(Value::as_array).into_iter().flatten() {
        if item.get("type").and_then(Value::as_str) != Some("file") {
            continue;
        }
        let Some(id) = item.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()) else {
            continue;
        };
        if knowledge::readable_file(caller.db(), id, false, reading.as_user())
            .await?
            .is_none()
        {
            return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
        }
    }
    Ok(())
}

/// The background of an exported model as a data URI; nothing when it has none.
pub(super) async fn background_data(
    caller: &Caller<Verified>,
    model_id: &str,
    url: Option<&str>,
) -> ApiResult<Option<String>> {
    let Some(id) = url.and_then(background_file) else {
        return Ok(None);
    };
    let failed = || ApiError::bad_request(format!("Could not export background for model {model_id}."));
    let file = knowledge::file(caller.db(), id)
        .await?
        .and_then(|file| file.path)
        .ok_or_else(failed)?;
    let image = tokio::fs::read(&file).await.map_err(|_| failed())?;
    let kind = background_type(&image).map_err(|_| failed())?;
    Ok(Some(format!("data:{kind};base64,{}", STANDARD.encode(image))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        assert_eq!(background_type(b"\x89PNG\r\n\x1a\nrest"), Ok("image/png"));
        assert_eq!(background_type(b"RIFF....WEBPVP8 "), Ok("image/webp"));
        assert_eq!(background_type(b"<svg>"), Err("Invalid background image."));
        assert_eq!(
            background_type(&vec![0; BACKGROUND_MAX + 1]),
            Err("Background image must be at most 5 MiB.")
        );
        let mut scene = b"glTF\x02\0\0\0\x0c\0\0\0".to_vec();
        assert!(check_scene(&scene, AVATAR_MAX, "x").is_ok());
        scene.push(0);
        assert!(check_scene(&scene, AVATAR_MAX, "x").is_err());
    }
}
