//! PaddleOCR-VL: the file within the question, pages of Markdown out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header;
use oui_config::loaders;
use serde_json::json;

use super::{Job, PICTURES, Result, ending, pages};
use crate::Document;

impl Job<'_> {
    pub(super) async fn paddle(&self) -> Result<Vec<Document>> {
        let base = self.config.get(&loaders::PADDLEOCR_VL_BASE_URL);
        let token = self.config.get(&loaders::PADDLEOCR_VL_TOKEN);
        let is_picture = PICTURES.contains(&ending(self.source.name).as_str());
        let body = json!({
            "file": STANDARD.encode(self.bytes().await?), "fileType": i32::from(is_picture),
            "useDocOrientationClassify": false, "useDocUnwarping": false, "useChartRecognition": false,
        });
        let request = self
            .client
            .post(format!("{}/layout-parsing", base.trim_end_matches('/')))
            .header(header::AUTHORIZATION, format!("token {token}"))
            .json(&body);
        let answer = self.json(request, "Error during OCR processing").await?;
        let found = answer["result"]["layoutParsingResults"]
            .as_array()
            .into_iter()
            .flatten();
        let texts = (0..).zip(found).map(|(index, page)| {
            (
                index,
                page["markdown"]["text"].as_str().unwrap_or_default().to_owned(),
            )
        });
        pages(texts.collect(), "paddleocr-vl")
    }
}
