//! Pictures in results: kept as files of the user, so that a stored chat holds their paths and not their bytes, while
//! the model of this run still gets the pictures themselves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oui_core::boxed;
use serde_json::{Value, json};

use crate::call::Outcome;
use crate::tool::{Object, ToolContext};

/// Type and bytes of a data URI.
fn decoded(uri: &str) -> Option<(String, Vec<u8>)> {
    let (kind, data) = uri.strip_prefix("data:")?.split_once(";base64,")?;
    Some((kind.to_lowercase(), STANDARD.decode(data).ok()?))
}

/// The ending of a file with this type.
fn ending(content_type: &str) -> &'static str {
    match content_type {
        "image/png" => ".png",
        "image/jpeg" | "image/jpg" => ".jpg",
        "image/gif" => ".gif",
        "image/webp" => ".webp",
        "image/svg+xml" => ".svg",
        "image/bmp" => ".bmp",
        "image/tiff" => ".tiff",
        "image/avif" => ".avif",
        "audio/wav" | "audio/x-wav" => ".wav",
        _ => "",
    }
}

/// Keeps a data URI as a file and answers its path. `None` where nothing is stored or storing fails.
#[boxed]
pub async fn keep(context: &ToolContext, uri: &str) -> Option<String> {
    let files = context.files.as_ref()?;
    context.chat_id.as_ref()?;
    let (content_type, bytes) = decoded(uri)?;
    let kind = if content_type.starts_with("image/") {
        "generated-image"
    } else {
        "generated"
    };
    let name = format!("{kind}{}", ending(&content_type));
    let about = Object::from_iter([
        ("chat_id".to_owned(), json!(context.chat_id)),
        ("message_id".to_owned(), json!(context.message_id)),
        ("session_id".to_owned(), json!(context.session_id)),
    ]);
    let path = files
        .keep(&context.user, &name, &content_type, &bytes, about)
        .await?;
    context.pictures.lock().insert(path.clone(), uri.to_owned());
    Some(path)
}

/// Keeps the pictures of a result; each then has its path as `stored`. What cannot be kept stays as it is.
#[boxed]
pub async fn keep_all(context: &ToolContext, outcome: &mut Outcome) {
    for file in &mut outcome.files {
        let url = file["url"].as_str().unwrap_or_default();
        if file["type"] == "image"
            && url.starts_with("data:image/")
            && let Some(path) = keep(context, url).await
        {
            file["stored"] = json!(path);
        }
    }
}

/// Output items as the model gets them: with the pictures in place of their paths.
pub fn with_bytes(context: &ToolContext, items: &[Value]) -> Vec<Value> {
    let pictures = context.pictures.lock();
    let mut items = items.to_vec();
    if pictures.is_empty() {
        return items;
    }
    let results = items
        .iter_mut()
        .filter(|item| item["type"] == "function_call_output");
    for part in results.filter_map(|item| item["output"].as_array_mut()).flatten() {
        let known = part["image_url"].as_str().and_then(|path| pictures.get(path));
        if let Some(uri) = known {
            part["image_url"] = json!(uri);
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_read() {
        assert_eq!(
            decoded("data:image/PNG;base64,AQI="),
            Some(("image/png".to_owned(), vec![1, 2]))
        );
        assert_eq!(decoded("data:image/png;base64,?"), None);
        assert_eq!(decoded("https://a"), None);
        assert_eq!((ending("image/jpeg"), ending("x/y")), (".jpg", ""));
    }
}
