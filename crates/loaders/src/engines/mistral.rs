//! Mistral OCR: the file is uploaded and removed again, or sent within the question.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oui_config::loaders;
use reqwest::multipart::{Form, Part};
use serde_json::json;

use super::{Job, Result, pages};
use crate::{Document, LoadError};

const WHAT: &str = "Mistral OCR";

impl Job<'_> {
    pub(super) async fn mistral(&self) -> Result<Vec<Document>> {
        if self.config.get(&loaders::MISTRAL_OCR_USE_BASE64) {
            let bytes = STANDARD.encode(self.bytes().await?);
            return self
                .mistral_pages(&format!("data:application/pdf;base64,{bytes}"))
                .await;
        }
        let (base, key) = self.mistral_settings();
        let part = Part::bytes(self.bytes().await?)
            .file_name(self.source.name.to_owned())
            .mime_str("application/pdf")
            .map_err(|error| LoadError::new(error.to_string()))?;
        let form = Form::new().part("file", part).text("purpose", "ocr");
        let request = self
            .client
            .post(format!("{base}/files"))
            .bearer_auth(&key)
            .multipart(form);
        let uploaded = self.json(request, WHAT).await?;
        let id = uploaded["id"]
            .as_str()
            .ok_or_else(|| LoadError::new("Mistral OCR: the upload has no id"))?;
        let read = async {
            let request = self
                .client
                .get(format!("{base}/files/{id}/url"))
                .query(&[("expiry", "1")])
                .bearer_auth(&key);
            let signed = self.json(request, WHAT).await?;
            let place = signed["url"]
                .as_str()
                .ok_or_else(|| LoadError::new("Mistral OCR: the file has no address"))?;
            self.mistral_pages(place).await
        };
        let outcome = read.await;
        let request = self.client.delete(format!("{base}/files/{id}")).bearer_auth(&key);
        if let Err(error) = self.send(request, WHAT).await {
            tracing::warn!(%error, "a file stays at Mistral");
        }
        outcome
    }

    fn mistral_settings(&self) -> (String, String) {
        let base = self.config.get(&loaders::MISTRAL_OCR_API_BASE_URL);
        let base = match base.trim_end_matches('/') {
            "" => "https://api.mistral.ai/v1",
            base => base,
        };
        (base.to_owned(), self.config.get(&loaders::MISTRAL_OCR_API_KEY))
    }

    async fn mistral_pages(&self, place: &str) -> Result<Vec<Document>> {
        let (base, key) = self.mistral_settings();
        let body = json!({
            "model": "mistral-ocr-latest",
            "document": { "type": "document_url", "document_url": place },
            "include_image_base64": false,
        });
        let request = self
            .client
            .post(format!("{base}/ocr"))
            .bearer_auth(key)
            .json(&body);
        let answer = self.json(request, WHAT).await?;
        let found = answer["pages"].as_array().into_iter().flatten();
        let texts = found.map(|page| {
            let text = page["markdown"].as_str().unwrap_or_default().to_owned();
            (page["index"].as_i64().unwrap_or_default(), text)
        });
        pages(texts.collect(), "mistral-ocr")
    }
}
