//! Datalab Marker, at its maker's or at an address of the operator's that answers at once.

use oui_config::loaders;
use reqwest::multipart::Form;
use serde_json::Value;

use super::{Job, MAX_ROUNDS, Result};
use crate::{Document, LoadError};

impl Job<'_> {
    pub(super) async fn marker(&self) -> Result<Vec<Document>> {
        let config = self.config;
        let base = config.get(&loaders::DATALAB_MARKER_API_BASE_URL);
        let base = match base.trim() {
            "" => "https://www.datalab.to/api/v1/marker",
            base => base,
        };
        let key = config.get(&loaders::DATALAB_MARKER_API_KEY);
        let format = config.get(&loaders::DATALAB_MARKER_OUTPUT_FORMAT).to_lowercase();
        let mut form = Form::new()
            .part("file", self.part().await?)
            .text("output_format", format.clone());
        for (name, switch) in [
            ("use_llm", &loaders::DATALAB_MARKER_USE_LLM),
            ("skip_cache", &loaders::DATALAB_MARKER_SKIP_CACHE),
            ("force_ocr", &loaders::DATALAB_MARKER_FORCE_OCR),
            ("paginate", &loaders::DATALAB_MARKER_PAGINATE),
            ("strip_existing_ocr", &loaders::DATALAB_MARKER_STRIP_EXISTING_OCR),
            (
                "disable_image_extraction",
                &loaders::DATALAB_MARKER_DISABLE_IMAGE_EXTRACTION,
            ),
            ("format_lines", &loaders::DATALAB_MARKER_FORMAT_LINES),
        ] {
            form = form.text(name, config.get(switch).to_string());
        }
        let more = config.get(&loaders::DATALAB_MARKER_ADDITIONAL_CONFIG);
        if !more.trim().is_empty() {
            form = form.text("additional_config", more);
        }
        let request = self.client.post(base).header("X-Api-Key", &key).multipart(form);
        let started = self.json(request, "Datalab Marker request failed").await?;
        if started["success"].as_bool() != Some(true) {
            let text = started["error"].as_str().unwrap_or("Unknown error");
            return Err(LoadError::new(format!("Datalab Marker request failed: {text}")));
        }
        let (result, member) = match started["request_check_url"].as_str() {
            Some(place) => (self.marker_result(place, &key).await?, format.as_str()),
            None if started.get("output").is_some() => (started.clone(), "output"),
            None => {
                return Err(LoadError::new(
                    "Datalab Marker answered with neither a job nor an output",
                ));
            }
        };
        let content = &result[member];
        let text = match format.as_str() {
            "json" => serde_json::to_string_pretty(content).unwrap_or_default(),
            "markdown" | "html" => content.as_str().unwrap_or_default().trim().to_owned(),
            other => return Err(LoadError::new(format!("Unsupported output format: {other}"))),
        };
        if text.is_empty() {
            return Err(LoadError::new("Marker returned empty content"));
        }
        let document = Document::new(text)
            .with("source", self.source.name)
            .with(
                "output_format",
                result["output_format"].as_str().unwrap_or(&format),
            )
            .with("page_count", result["page_count"].as_i64().unwrap_or_default())
            .with("processed_with_llm", config.get(&loaders::DATALAB_MARKER_USE_LLM))
            .with("request_id", started["request_id"].as_str().unwrap_or_default());
        Ok(vec![document])
    }

    async fn marker_result(&self, place: &str, key: &str) -> Result<Value> {
        for _ in 0..MAX_ROUNDS {
            tokio::time::sleep(self.pause).await;
            let request = self.client.get(place).header("X-Api-Key", key);
            let answer = self.json(request, "Polling failed").await?;
            let (done, good) = (answer["status"].as_str(), answer["success"].as_bool());
            if done == Some("failed") || good == Some(false) {
                let text = answer["error"]
                    .as_str()
                    .unwrap_or("Marker returned failure without error message");
                return Err(LoadError::new(format!("Marker processing failed: {text}")));
            }
            if done == Some("complete") {
                return Ok(answer);
            }
        }
        Err(LoadError::new("Marker processing timed out"))
    }
}
