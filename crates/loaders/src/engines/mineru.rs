//! MinerU: an installation of the operator's, old or new, or its maker's cloud.

use std::io::{Cursor, Read};
use std::time::Duration;

use oui_config::loaders;
use regex::Regex;
use reqwest::multipart::Form;
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};
use zip::ZipArchive;

use super::{Job, MAX_ROUNDS, Result};
use crate::{Document, LoadError};

/// Bytes of a Markdown text in an archive.
const MAX_TEXT: u64 = 64 * 1024 * 1024;

fn failed(text: impl Into<String>) -> LoadError {
    LoadError::new(text)
}

impl Job<'_> {
    pub(super) async fn mineru(&self) -> Result<Vec<Document>> {
        let mut params = match self.config.get(&loaders::MINERU_PARAMS) {
            Value::Object(params) => params,
            _ => Map::new(),
        };
        let ranges = params.shift_remove("page_ranges");
        let ranges = ranges.as_ref().and_then(Value::as_str).unwrap_or_default();
        match self.config.get(&loaders::MINERU_API_MODE).to_lowercase().as_str() {
            "cloud" => self.cloud(params, ranges).await,
            "local" if self.is_new().await => self.local_job(&params, ranges).await,
            "local" => self.local(params).await,
            other => Err(failed(format!(
                "Invalid API mode: {other}. Must be 'local' or 'cloud'"
            ))),
        }
    }

    /// A request to the installation, with its key if it has one.
    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.config.get(&loaders::MINERU_API_URL);
        let key = self.config.get(&loaders::MINERU_API_KEY);
        let mut request = self
            .client
            .request(method, format!("{}{path}", base.trim_end_matches('/')));
        if !key.is_empty() {
            request = request.bearer_auth(key);
        }
        let seconds = self.config.get(&loaders::MINERU_API_TIMEOUT);
        match seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
        {
            Some(seconds) => request.timeout(Duration::from_secs(seconds)),
            None => request,
        }
    }

    async fn is_new(&self) -> bool {
        let asked = self
            .call(Method::GET, "/v1/health")
            .timeout(Duration::from_secs(10))
            .send()
            .await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    async fn local(&self, params: Map<String, Value>) -> Result<Vec<Document>> {
        let mut form = Form::new()
            .part("files", self.part().await?)
            .text("return_md", "true");
        for (name, value) in params {
            form = form.text(
                name,
                value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            );
        }
        let request = self.call(Method::POST, "/file_parse").multipart(form);
        let answer = self.json(request, "MinerU Local API request failed").await?;
        let results = answer["results"]
            .as_object()
            .ok_or_else(|| failed("MinerU Local API response missing 'results' field"))?;
        let first = results
            .values()
            .next()
            .ok_or_else(|| failed("MinerU returned empty results"))?;
        let text = first["md_content"].as_str().filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| failed("MinerU returned empty markdown content"))?;
        Ok(vec![
            Document::new(text)
                .with("source", self.source.name)
                .with("api_mode", "local")
                .with("backend", answer["backend"].as_str().unwrap_or("unknown"))
                .with("version", answer["version"].as_str().unwrap_or("unknown")),
        ])
    }

    async fn local_job(&self, params: &Map<String, Value>, ranges: &str) -> Result<Vec<Document>> {
        const WHAT: &str = "MinerU V1 API request failed";
        let bytes = self.bytes().await?;
        let body = json!({
            "filename": self.source.name, "bytes": bytes.len(), "mime_type": "application/octet-stream",
        });
        let upload = self
            .json(self.call(Method::POST, "/v1/uploads").json(&body), WHAT)
            .await?;
        let id = upload["id"]
            .as_str()
            .ok_or_else(|| failed("MinerU gave the upload no id"))?;
        self.send(
            self.call(Method::PUT, &format!("/v1/uploads/{id}/content"))
                .body(bytes),
            WHAT,
        )
        .await?;
        let complete = self.call(Method::POST, &format!("/v1/uploads/{id}/complete"));
        let upload = self.json(complete, WHAT).await?;
        let mut file = json!({ "source": { "type": "file_id", "file_id": upload["file"]["id"] } });
        if !ranges.is_empty() && self.source.name.to_lowercase().ends_with(".pdf") {
            file["page_range"] = json!(ranges);
        }
        let ocr = params
            .get("enable_ocr")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        let body = json!({
            "files": [file], "tier": params.get("tier"), "ocr_mode": if ocr { "ocr" } else { "auto" },
        });
        let mut job = self
            .json(self.call(Method::POST, "/v1/parse/jobs").json(&body), WHAT)
            .await?;
        let mut rounds = 0;
        while matches!(job["status"].as_str(), Some("queued" | "running")) {
            rounds += 1;
            if rounds > MAX_ROUNDS {
                return Err(failed("MinerU processing timed out"));
            }
            tokio::time::sleep(self.pause).await;
            let path = format!("/v1/parse/jobs/{}", job["job_id"].as_str().unwrap_or_default());
            job = self.json(self.call(Method::GET, &path), WHAT).await?;
        }
        let result = &job["files"][0];
        if job["status"].as_str() != Some("completed") {
            let text = result["error"]["message"].as_str().unwrap_or("Unknown error");
            let status = job["status"].as_str().unwrap_or_default();
            return Err(failed(format!("MinerU processing {status}: {text}")));
        }
        let id = result["output_files"]["markdown"]["file_id"]
            .as_str()
            .unwrap_or_default();
        let answer = self
            .send(self.call(Method::GET, &format!("/v1/files/{id}/content")), WHAT)
            .await?;
        let text = answer.text().await.map_err(|error| failed(super::cause(error)))?;
        let text = without_pictures(&text)?;
        if text.is_empty() {
            return Err(failed("MinerU returned empty markdown content"));
        }
        Ok(vec![
            Document::new(text)
                .with("source", self.source.name)
                .with("api_mode", "local")
                .with("tier", job["tier"].clone())
                .with(
                    "version",
                    result["parse"]["parser_version"].as_str().unwrap_or("unknown"),
                ),
        ])
    }

    async fn cloud(&self, params: Map<String, Value>, ranges: &str) -> Result<Vec<Document>> {
        if self.config.get(&loaders::MINERU_API_KEY).is_empty() {
            return Err(failed("API key is required for Cloud API mode"));
        }
        let ocr = params
            .get("enable_ocr")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        let mut file = json!({ "name": self.source.name, "is_ocr": ocr });
        if !ranges.is_empty() {
            file["page_ranges"] = json!(ranges);
        }
        let mut body = params;
        body.insert("files".into(), json!([file]));
        let request = self.call(Method::POST, "/file-urls/batch").json(&body);
        let answer = good(self.json(request, "Failed to request upload URL").await?)?;
        let batch = answer["data"]["batch_id"].as_str().unwrap_or_default().to_owned();
        let place = answer["data"]["file_urls"][0].as_str().unwrap_or_default();
        if batch.is_empty() || place.is_empty() {
            return Err(failed("MinerU Cloud API response missing batch_id or file_urls"));
        }
        // The address is signed; a type or a key would break the signature.
        let request = self.client.put(place).body(self.bytes().await?);
        self.send(request, "Failed to upload file to presigned URL")
            .await?;
        for _ in 0..MAX_ROUNDS {
            let request = self.call(Method::GET, &format!("/extract-results/batch/{batch}"));
            let answer = good(self.json(request, "Failed to poll batch status").await?)?;
            let results = answer["data"]["extract_result"].as_array().into_iter().flatten();
            let mut results = results.filter(|result| result["file_name"].as_str() == Some(self.source.name));
            let result = results.next();
            let result = result
                .ok_or_else(|| failed(format!("File {} not found in batch results", self.source.name)))?;
            match result["state"].as_str() {
                Some("done") => {
                    let place = result["full_zip_url"].as_str().unwrap_or_default();
                    let request = self.client.get(place);
                    let zip = self.send(request, "Failed to download results ZIP").await?;
                    let zip = zip.bytes().await.map_err(|error| failed(super::cause(error)))?;
                    let document = Document::new(markdown_in(&zip)?)
                        .with("source", self.source.name)
                        .with("api_mode", "cloud")
                        .with("batch_id", batch);
                    return Ok(vec![document]);
                }
                Some("failed") => {
                    let text = result["err_msg"].as_str().unwrap_or("Unknown error");
                    return Err(failed(format!("MinerU processing failed: {text}")));
                }
                _ => tokio::time::sleep(self.pause).await,
            }
        }
        Err(failed("MinerU processing timed out after 10 minutes"))
    }
}

/// Answers of the cloud have a code of their own.
fn good(answer: Value) -> Result<Value> {
    if answer["code"].as_i64() == Some(0) {
        return Ok(answer);
    }
    let text = answer["msg"].as_str().unwrap_or("Unknown error");
    Err(failed(format!("MinerU Cloud API error: {text}")))
}

/// The text without pictures that are a part of it.
fn without_pictures(text: &str) -> Result<String> {
    let pattern = |pattern: &str| Regex::new(pattern).map_err(|error| failed(error.to_string()));
    let text = pattern(r"!\[([^\[\]\n]*)\]\(data:[^()\s]*\)")?
        .replace_all(text, "$1")
        .into_owned();
    Ok(pattern(r"(?i)<img\b[^<>]*>")?.replace_all(&text, "").into_owned())
}

/// The first Markdown text in an archive.
fn markdown_in(zip: &[u8]) -> Result<String> {
    let broken = |error: &dyn std::fmt::Display| failed(format!("Invalid ZIP file received: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(|error| broken(&error))?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| broken(&error))?;
        if !entry.name().ends_with(".md") {
            continue;
        }
        let mut bytes = Vec::new();
        entry
            .take(MAX_TEXT)
            .read_to_end(&mut bytes)
            .map_err(|error| broken(&error))?;
        if let Ok(text) = String::from_utf8(bytes)
            && !text.is_empty()
        {
            return Ok(text);
        }
    }
    Err(failed("No .md files found in ZIP"))
}
