//! Apache Tika: bytes in, JSON with the text out.

use http::header;
use oui_config::loaders;

use super::{Job, Result};
use crate::Document;

impl Job<'_> {
    pub(super) async fn tika(&self) -> Result<Vec<Document>> {
        let base = self.config.get(&loaders::TIKA_SERVER_URL);
        let base = base.trim_end_matches('/');
        let (path, member) = match self.config.get(&loaders::TIKA_SERVER_VERSION).as_str() {
            "4" => ("tika/json/md", "tk:content"),
            _ => ("tika/text", "X-TIKA:content"),
        };
        let mut request = self
            .client
            .put(format!("{base}/{path}"))
            .header(header::ACCEPT, "application/json")
            .body(self.bytes().await?);
        let inline = self.config.get(&loaders::PDF_EXTRACT_IMAGES);
        if inline {
            request = request.header("X-Tika-PDFextractInlineImages", "true");
        }
        let answer = self.json(request, "Error calling Tika").await?;
        let text = answer[member].as_str().unwrap_or("<No text content found>");
        let mut document = Document::new(text.trim());
        if let Some(kind) = answer["Content-Type"].as_str() {
            document = document.with("Content-Type", kind);
        }
        if inline {
            document = document.with("X-Tika-PDFextractInlineImages", "true");
        }
        Ok(vec![document])
    }
}
