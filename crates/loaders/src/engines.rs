//! Engines that read documents elsewhere: the operator's or a vendor's services over HTTP. Which file goes to which
//! engine is decided in [`Engine::choose`]; everything else is read here.

mod azure;
mod docling;
mod external;
mod marker;
mod mineru;
mod mistral;
mod paddle;
mod tika;

use std::time::Duration;

use oui_config::{Config, loaders};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;

use crate::{Document, LoadError, Source};

type Result<T> = std::result::Result<T, LoadError>;

/// Rounds of asking whether a job is done.
const MAX_ROUNDS: u32 = 300;

/// Endings that Datalab Marker takes.
const MARKER: &[&str] = &[
    "pdf", "xls", "xlsx", "ods", "doc", "docx", "odt", "ppt", "pptx", "odp", "html", "epub", "png", "jpeg",
    "jpg", "webp", "gif", "tiff",
];
/// Endings that PaddleOCR takes as pictures.
const PICTURES: &[&str] = &["png", "jpg", "jpeg", "bmp", "tiff", "webp"];
/// Endings of texts and code, which no engine reads better than we do.
const SOURCES: &[&str] = &[
    "go",
    "py",
    "java",
    "sh",
    "bat",
    "ps1",
    "cmd",
    "js",
    "ts",
    "css",
    "cpp",
    "hpp",
    "h",
    "c",
    "cs",
    "ino",
    "sql",
    "log",
    "ini",
    "pl",
    "pm",
    "r",
    "dart",
    "dockerfile",
    "env",
    "php",
    "hs",
    "hsc",
    "lua",
    "nginxconf",
    "conf",
    "m",
    "mm",
    "plsql",
    "perl",
    "rb",
    "rs",
    "db2",
    "scala",
    "bash",
    "swift",
    "vue",
    "svelte",
    "ex",
    "exs",
    "erl",
    "tsx",
    "jsx",
    "lhs",
    "json",
    "yaml",
    "yml",
    "toml",
    "svg",
];

/// An engine that is configured and takes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The operator's own service.
    External,
    /// Apache Tika.
    Tika,
    /// Datalab Marker.
    Marker,
    /// Docling.
    Docling,
    /// Azure Document Intelligence.
    Azure,
    /// MinerU.
    MinerU,
    /// Mistral OCR.
    Mistral,
    /// PaddleOCR-VL.
    Paddle,
}

/// Ending of a name without the dot, in lower case; the whole name where there is none.
fn ending(name: &str) -> String {
    name.rsplit('.').next().unwrap_or_default().to_lowercase()
}

fn is_source(ending: &str, content_type: &str) -> bool {
    SOURCES.contains(&ending) || (content_type.contains("text/") && !content_type.contains("html"))
}

impl Engine {
    /// The configured engine, if it is complete and takes the file.
    pub(crate) fn choose(config: &Config, name: &str, content_type: Option<&str>) -> Option<Self> {
        let ending = ending(name);
        let kind = content_type.unwrap_or_default();
        let ending = ending.as_str();
        let set = |key: &'static oui_config::Key<String>| !config.get(key).is_empty();
        let engine = match config.get(&loaders::CONTENT_EXTRACTION_ENGINE).as_str() {
            "external" => Self::External,
            "tika" => Self::Tika,
            "datalab_marker" => Self::Marker,
            "docling" => Self::Docling,
            "document_intelligence" => Self::Azure,
            "mineru" => Self::MinerU,
            "mistral_ocr" => Self::Mistral,
            "paddleocr_vl" => Self::Paddle,
            _ => return None,
        };
        let takes = match engine {
            Self::External => {
                set(&loaders::EXTERNAL_DOCUMENT_LOADER_URL) && set(&loaders::EXTERNAL_DOCUMENT_LOADER_API_KEY)
            }
            Self::Tika => set(&loaders::TIKA_SERVER_URL) && !is_source(ending, kind),
            Self::Docling => set(&loaders::DOCLING_SERVER_URL) && !is_source(ending, kind),
            Self::Marker => set(&loaders::DATALAB_MARKER_API_KEY) && MARKER.contains(&ending),
            Self::Azure => {
                let office = [
                    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                    "application/vnd.ms-powerpoint",
                    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
                ];
                set(&loaders::DOCUMENT_INTELLIGENCE_ENDPOINT)
                    && (["pdf", "docx", "ppt", "pptx"].contains(&ending) || office.contains(&kind))
            }
            Self::MinerU => config
                .get(&loaders::MINERU_FILE_EXTENSIONS)
                .iter()
                .any(|taken| taken == ending),
            Self::Mistral => set(&loaders::MISTRAL_OCR_API_KEY) && ending == "pdf",
            Self::Paddle => {
                set(&loaders::PADDLEOCR_VL_BASE_URL)
                    && set(&loaders::PADDLEOCR_VL_TOKEN)
                    && (ending == "pdf" || PICTURES.contains(&ending))
            }
        };
        takes.then_some(engine)
    }
}

/// A file on its way to an engine.
pub(crate) struct Job<'a> {
    pub(crate) config: &'a Config,
    pub(crate) client: &'a Client,
    pub(crate) source: &'a Source<'a>,
    /// Between two questions whether a job is done.
    pub(crate) pause: Duration,
}

/// The cause of a failed call, without the address: it may hold a key.
fn cause(error: reqwest::Error) -> String {
    error.without_url().to_string()
}

impl Job<'_> {
    /// Has the engine read the file.
    pub(crate) async fn run(&self, engine: Engine) -> Result<Vec<Document>> {
        match engine {
            Engine::External => self.external().await,
            Engine::Tika => self.tika().await,
            Engine::Marker => self.marker().await,
            Engine::Docling => self.docling().await,
            Engine::Azure => self.azure().await,
            Engine::MinerU => self.mineru().await,
            Engine::Mistral => self.mistral().await,
            Engine::Paddle => self.paddle().await,
        }
    }

    async fn bytes(&self) -> Result<Vec<u8>> {
        tokio::fs::read(self.source.path)
            .await
            .map_err(|error| LoadError::new(format!("Error loading {}: {error}", self.source.name)))
    }

    /// Sends a request; a bad status is an error with what the service said.
    async fn send(&self, request: RequestBuilder, what: &str) -> Result<Response> {
        let failed = |error| LoadError::new(format!("{what}: {}", cause(error)));
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let said = response.text().await.unwrap_or_default();
        let said: String = said.chars().take(1000).collect();
        Err(LoadError::new(format!("{what}: {status} {said}")))
    }

    async fn json(&self, request: RequestBuilder, what: &str) -> Result<Value> {
        let response = self.send(request, what).await?;
        response
            .json()
            .await
            .map_err(|error| LoadError::new(format!("{what}: {}", cause(error))))
    }

    async fn part(&self) -> Result<reqwest::multipart::Part> {
        let part =
            reqwest::multipart::Part::bytes(self.bytes().await?).file_name(self.source.name.to_owned());
        let kind = self.source.content_type.unwrap_or("application/octet-stream");
        part.mime_str(kind).map_err(|error| LoadError::new(cause(error)))
    }
}

/// Pages of text, without empty ones.
fn pages(texts: Vec<(i64, String)>, engine: &str) -> Result<Vec<Document>> {
    let total = texts.len();
    let documents: Vec<Document> = texts
        .into_iter()
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(index, text)| {
            Document::new(text.trim())
                .with("page", index)
                .with("page_label", index + 1)
                .with("total_pages", total)
                .with("processing_engine", engine)
        })
        .collect();
    if documents.is_empty() {
        return Err(LoadError::new("No valid text content found in document"));
    }
    Ok(documents)
}

#[cfg(test)]
mod tests;
