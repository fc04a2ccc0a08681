//! The web: the text at an address, and searches, for which engines are asked, the pages they name are read, and
//! their text is made findable for the user who searched.

use oui_core::boxed;
use std::sync::Arc;

use oui_config::{Config, rag, web};
use oui_core::{ApiError, ApiResult, messages};
use oui_loaders::Document;
use oui_loaders::ingest::{Ingest, SaveOptions};
use oui_loaders::texts::text_hash;
use oui_loaders::{LoadError, Loader, Source};
use oui_models::users::UserRow;
use oui_retrieval::Pages;
use oui_web_search::{Fetched, SearchResult, Web, is_youtube_url};
use serde_json::{Map, Value, json};

use crate::engine::Engine;

/// Characters of a collection's name.
const MAX_NAME: usize = 63;

fn failed(error: impl std::fmt::Display) -> ApiError {
    tracing::error!(%error, "a web search failed");
    ApiError::bad_request(messages::default_with(
        "Something went wrong while searching the web.",
    ))
}

/// Types of texts that do not begin with `text/`.
const TEXTS: &[&str] = &[
    "application/javascript",
    "application/json",
    "application/xml",
    "application/x-javascript",
];

/// Whether an answer is read as a page; types that are not told are.
fn is_text(kind: &str) -> bool {
    kind.is_empty()
        || kind.starts_with("text/")
        || TEXTS.contains(&kind)
        || kind.ends_with("+xml")
        || kind.ends_with("+json")
}

/// A name with an ending by which a document's kind is known.
fn file_name(address: &str, kind: &str) -> String {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    if mime_guess::from_path(name).first().is_some() {
        return name.to_owned();
    }
    let endings = mime_guess::get_mime_extensions_str(kind);
    match endings.and_then(|endings| endings.first()) {
        Some(ending) => format!("download.{ending}"),
        None => "download".to_owned(),
    }
}

/// Reads what lies at addresses.
pub(crate) struct Reader {
    web: Arc<Web>,
    config: Arc<Config>,
}

impl Reader {
    pub(crate) fn new(web: Arc<Web>, config: Arc<Config>) -> Self {
        Self { web, config }
    }

    /// The text at an address: of a page, a transcript or a document. Addresses are checked before anything is sent.
    ///
    /// # Errors
    /// A sentence on why there is none.
    async fn read(&self, address: &str) -> Result<String, LoadError> {
        let pages = &self.web.pages;
        pages.http().rules().check(address)?;
        if !is_youtube_url(address) {
            let limit = self.config.get(&rag::RAG_FILE_MAX_SIZE);
            let limit = limit.and_then(|megabytes| u64::try_from(megabytes).ok());
            let limit = limit
                .filter(|megabytes| *megabytes > 0)
                .map(|megabytes| megabytes << 20);
            let fetched = pages.http().get(address, pages.user_agent(), limit, None).await;
            if let Ok(fetched) = fetched
                && fetched.status.is_success()
                && !is_text(&fetched.media_type())
            {
                return self.document(address, &fetched).await;
            }
        }
        let documents = pages.load(address).await?;
        let texts: Vec<String> = documents.into_iter().map(|document| document.text).collect();
        Ok(texts.join(" "))
    }

    async fn document(&self, address: &str, fetched: &Fetched) -> Result<String, LoadError> {
        let unstored = |error: std::io::Error| LoadError::new(error.to_string());
        let kind = fetched.media_type();
        let name = file_name(address, &kind);
        let bytes = fetched.body.clone();
        let written = tokio::task::spawn_blocking(move || {
            let file = tempfile::NamedTempFile::new()?;
            std::fs::write(file.path(), &bytes)?;
            Ok(file)
        });
        let file = written
            .await
            .map_err(|error| LoadError::new(error.to_string()))?
            .map_err(unstored)?;
        let source = Source {
            path: file.path(),
            name: &name,
            content_type: Some(&kind),
            file_id: None,
            user: None,
        };
        let documents = Loader::new(self.config.clone())?.extract(&source).await?;
        let texts: Vec<String> = documents.into_iter().map(|document| document.text).collect();
        Ok(texts.join(" "))
    }
}

impl Engine {
    /// Searches the web and answers what the route of the search does: the collection with what was found, or the
    /// texts where nothing is embedded. Whether the user may search is the caller's business.
    #[boxed]
    pub async fn search_web(&self, user: &UserRow, queries: &[String]) -> ApiResult<Value> {
        let found = self.web.search.search_all(queries).await.map_err(failed)?;
        let mut hits: Vec<SearchResult> = found
            .into_iter()
            .flatten()
            .filter(|hit| !hit.link.is_empty())
            .collect();
        let mut addresses: Vec<String> = Vec::new();
        for hit in &hits {
            if !addresses.contains(&hit.link) {
                addresses.push(hit.link.clone());
            }
        }
        if addresses.is_empty() {
            return Err(ApiError::not_found(messages::default_with(
                "No results found from web search",
            )));
        }
        let documents = if self.config.get(&web::BYPASS_WEB_SEARCH_WEB_LOADER) {
            hits.iter().filter_map(as_document).collect()
        } else {
            self.web.pages.pages(&addresses).await.map_err(failed)?
        };
        let sources: Vec<String> = documents
            .iter()
            .filter_map(|document| document.metadata.get("source")?.as_str().map(str::to_owned))
            .collect();
        hits.retain(|hit| sources.contains(&hit.link));
        let items: Vec<Value> = hits.iter().map(SearchResult::to_json).collect();
        let count = documents.len();
        if self.config.get(&web::BYPASS_WEB_SEARCH_EMBEDDING_AND_RETRIEVAL) {
            let documents: Vec<Value> = documents
                .into_iter()
                .map(|document| json!({ "content": document.text, "metadata": document.metadata }))
                .collect();
            return Ok(json!({
                "status": true, "collection_name": null, "filenames": sources, "items": items, "docs": documents,
                "loaded_count": count,
            }));
        }
        if documents.iter().all(|document| document.text.trim().is_empty()) {
            let text = "None of the web search results could be loaded";
            return Err(ApiError::not_found(messages::default_with(text)));
        }
        let name = format!("web-search-{}-{}", user.id, text_hash(&queries.join("-")));
        let name: String = name.chars().take(MAX_NAME).collect();
        let options = SaveOptions {
            metadata: Map::new(),
            overwrite: true,
            add: false,
            split: true,
        };
        if let Err(error) = self.retrieval.save(user, documents, &name, options).await {
            tracing::error!(%error, "found pages could not be made findable");
            return Err(ApiError::new(
                http::StatusCode::INTERNAL_SERVER_ERROR,
                "Failed to embed and store the retrieved web pages. Check the embedding configuration in Admin Settings > Documents.",
            ));
        }
        Ok(json!({
            "status": true, "collection_names": [name], "items": items, "filenames": sources, "loaded_count": count,
        }))
    }
}

#[async_trait::async_trait]
impl Pages for Reader {
    async fn text_at(&self, address: &str) -> Result<String, String> {
        self.read(address).await.map_err(|error| error.to_string())
    }
}

/// What the engine said about a page, in place of the page.
fn as_document(hit: &SearchResult) -> Option<Document> {
    let snippet = hit.snippet.clone()?;
    Some(
        Document::new(snippet.clone())
            .with("source", hit.link.clone())
            .with("title", json!(hit.title))
            .with("snippet", snippet)
            .with("link", hit.link.clone()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_told_from_pages() {
        assert!(is_text("") && is_text("text/html") && is_text("application/ld+json"));
        assert!(!is_text("application/pdf"));
        assert_eq!(file_name("https://x.org/a/b.pdf?c=1", "application/pdf"), "b.pdf");
        assert_eq!(
            file_name("https://x.org/1706.03762", "application/pdf"),
            "download.pdf"
        );
        assert_eq!(file_name("https://x.org/", "strange/kind"), "download");
    }
}
