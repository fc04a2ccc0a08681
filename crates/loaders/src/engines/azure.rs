//! Azure Document Intelligence: a job whose result is asked for until it is there.

use http::header;
use oui_config::loaders;
use serde_json::Value;

use super::{Job, MAX_ROUNDS, Result};
use crate::{Document, LoadError};

const VERSION: &str = "2024-11-30";
const WHAT: &str = "Error calling Document Intelligence";

impl Job<'_> {
    pub(super) async fn azure(&self) -> Result<Vec<Document>> {
        let base = self.config.get(&loaders::DOCUMENT_INTELLIGENCE_ENDPOINT);
        let model = self.config.get(&loaders::DOCUMENT_INTELLIGENCE_MODEL);
        let key = self.config.get(&loaders::DOCUMENT_INTELLIGENCE_KEY);
        if key.is_empty() {
            return Err(LoadError::new(
                "Document Intelligence needs DOCUMENT_INTELLIGENCE_KEY",
            ));
        }
        let address = format!(
            "{}/documentintelligence/documentModels/{model}:analyze?api-version={VERSION}&outputContentFormat=markdown",
            base.trim_end_matches('/')
        );
        let request = self
            .client
            .post(address)
            .header("Ocp-Apim-Subscription-Key", &key)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(self.bytes().await?);
        let started = self.send(request, WHAT).await?;
        let place = started
            .headers()
            .get("Operation-Location")
            .and_then(|place| place.to_str().ok());
        let place = place
            .ok_or_else(|| LoadError::new(format!("{WHAT}: no result is promised")))?
            .to_owned();
        for _ in 0..MAX_ROUNDS {
            let request = self.client.get(&place).header("Ocp-Apim-Subscription-Key", &key);
            let answer = self.json(request, WHAT).await?;
            match answer["status"].as_str() {
                Some("succeeded") => {
                    let result = &answer["analyzeResult"];
                    let metadata = match result {
                        Value::Object(result) => result.clone(),
                        _ => serde_json::Map::new(),
                    };
                    let text = result["content"].as_str().unwrap_or_default().to_owned();
                    return Ok(vec![Document { text, metadata }]);
                }
                Some("failed" | "canceled") => {
                    let text = answer["error"]["message"]
                        .as_str()
                        .unwrap_or("the analysis failed");
                    return Err(LoadError::new(format!("{WHAT}: {text}")));
                }
                _ => tokio::time::sleep(self.pause).await,
            }
        }
        Err(LoadError::new(format!("{WHAT}: no result in time")))
    }
}
