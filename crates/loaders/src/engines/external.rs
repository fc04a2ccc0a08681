//! A service of the operator's own: bytes in, one document or a list out.

use http::header;
use oui_config::loaders;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Job, Result};
use crate::{Document, LoadError};

impl Job<'_> {
    pub(super) async fn external(&self) -> Result<Vec<Document>> {
        let base = self.config.get(&loaders::EXTERNAL_DOCUMENT_LOADER_URL);
        let base = base.strip_suffix('/').unwrap_or(&base);
        let name = utf8_percent_encode(self.source.name, NON_ALPHANUMERIC).to_string();
        let mut request = self
            .client
            .put(format!("{base}/process"))
            .bearer_auth(self.config.get(&loaders::EXTERNAL_DOCUMENT_LOADER_API_KEY))
            .header("X-Filename", name)
            .body(self.bytes().await?);
        if let Some(kind) = self.source.content_type {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        if let Value::Object(own) = self.config.get(&loaders::EXTERNAL_DOCUMENT_LOADER_HEADERS) {
            for (name, value) in &own {
                request = request.header(name, self.filled(value));
            }
        }
        let answer = self.json(request, "Error loading document").await?;
        let document = |value: &Value| Document {
            text: value["page_content"].as_str().unwrap_or_default().to_owned(),
            metadata: value["metadata"].as_object().cloned().unwrap_or_default(),
        };
        match &answer {
            Value::Object(object) if !object.is_empty() => Ok(vec![document(&answer)]),
            Value::Array(items) if !items.is_empty() => Ok(items.iter().map(document).collect()),
            Value::Null | Value::Object(_) | Value::Array(_) => {
                Err(LoadError::new("Error loading document: No content returned"))
            }
            _ => Err(LoadError::new("Error loading document: Unable to parse content")),
        }
    }

    /// A header of the operator's with its placeholders filled.
    fn filled(&self, value: &Value) -> String {
        let mut text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let user = self.source.user;
        for (name, value) in [
            ("{{USER_ID}}", user.map(|user| user.id.as_str())),
            ("{{USER_NAME}}", user.map(|user| user.name.as_str())),
            ("{{USER_EMAIL}}", user.map(|user| user.email.as_str())),
            ("{{USER_ROLE}}", user.map(|user| user.role.as_str())),
            ("{{FILE_ID}}", self.source.file_id),
            ("{{FILE_NAME}}", Some(self.source.name)),
            ("{{FILE_CONTENT_TYPE}}", self.source.content_type),
        ] {
            text = text.replace(name, value.unwrap_or_default());
        }
        text
    }
}
