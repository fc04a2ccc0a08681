//! How text is cut, as configured.

use oui_config::{Config, rag};

/// Settings of the splitters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitSettings {
    /// Empty or `character`, `token`, `token_transformers`.
    pub splitter: String,
    /// Cuts at Markdown headings first.
    pub markdown_headers: bool,
    /// Encoding of the token splitter.
    pub encoding: String,
    /// Longest chunk, in the splitter's unit.
    pub chunk_size: usize,
    /// Chunks below this are merged; 0 merges none.
    pub min_size: usize,
    /// Overlap of neighbours.
    pub overlap: usize,
}

impl SplitSettings {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        let size = |key| usize::try_from(config.get(key)).unwrap_or_default();
        Self {
            splitter: config.get(&rag::RAG_TEXT_SPLITTER),
            markdown_headers: config.get(&rag::ENABLE_MARKDOWN_HEADER_TEXT_SPLITTER),
            encoding: config.get(&rag::TIKTOKEN_ENCODING_NAME),
            chunk_size: size(&rag::CHUNK_SIZE),
            min_size: size(&rag::CHUNK_MIN_SIZE_TARGET),
            overlap: size(&rag::CHUNK_OVERLAP),
        }
    }
}
