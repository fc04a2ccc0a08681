//! Keys of chunking, embedding, search and reranking.

use crate::providers;
use crate::key::{Key, keys};

/// Prompt for retrieved context, in our own words.
const RAG_TEMPLATE_DEFAULT: &str = include_str!("../../data/rag-template.md");

keys! {
    "Retrieval";

    /// Gives whole documents to the model and skips retrieval.
    pub static BYPASS_EMBEDDING_AND_RETRIEVAL: Key<bool> =
        Key::bool("rag.bypass_embedding_and_retrieval", false);
    /// Chunks given to the model.
    pub static RAG_TOP_K: Key<i64> = Key::int("rag.top_k", 3);
    /// Chunks kept by the reranker.
    pub static RAG_TOP_K_RERANKER: Key<i64> = Key::int("rag.top_k_reranker", 3);
    /// Score below which a chunk is dropped.
    pub static RAG_RELEVANCE_THRESHOLD: Key<f64> = Key::float("rag.relevance_threshold", 0.0);
    /// Share of keyword search in hybrid search, from 0 to 1.
    pub static RAG_HYBRID_BM25_WEIGHT: Key<f64> = Key::float("rag.hybrid_bm25_weight", 0.5);
    /// Combines vector search with keyword search.
    pub static ENABLE_RAG_HYBRID_SEARCH: Key<bool> = Key::bool("rag.enable_hybrid_search", false);
    /// Adds file name and headings to the text that keyword search sees.
    pub static ENABLE_RAG_HYBRID_SEARCH_ENRICHED_TEXTS: Key<bool> =
        Key::bool("rag.enable_hybrid_search_enriched_texts", false);
    /// Gives whole files to the model instead of chunks.
    pub static RAG_FULL_CONTEXT: Key<bool> = Key::bool("rag.full_context", false);
    /// Files allowed in one upload; unset means no limit.
    pub static RAG_FILE_MAX_COUNT: Key<Option<i64>> = Key::optional_int("rag.file.max_count");
    /// Size of one file in megabytes; unset means no limit.
    pub static RAG_FILE_MAX_SIZE: Key<Option<i64>> = Key::optional_int("rag.file.max_size");
    /// File name endings that may be uploaded, separated by commas; empty allows all.
    pub static RAG_ALLOWED_FILE_EXTENSIONS: Key<Vec<String>> = Key::list("rag.file.allowed_extensions", &[]);
    /// Who computes embeddings: empty (this server), `ollama`, `openai` or `azure_openai`.
    pub static RAG_EMBEDDING_ENGINE: Key<String> = Key::text("rag.embedding_engine", "");
    /// Embedding model.
    pub static RAG_EMBEDDING_MODEL: Key<String> =
        Key::text("rag.embedding_model", "sentence-transformers/all-MiniLM-L6-v2");
    /// Tokenizer that measures chunks; empty follows the text splitter.
    pub static RAG_TOKENIZER_MODEL: Key<String> = Key::text("rag.tokenizer_model", "");
    /// Texts sent in one embedding call.
    pub static RAG_EMBEDDING_BATCH_SIZE: Key<i64> =
        Key::int("rag.embedding_batch_size", 1).or_env(&["RAG_EMBEDDING_OPENAI_BATCH_SIZE"]).skip_empty();
    /// Sends embedding calls concurrently.
    pub static ENABLE_ASYNC_EMBEDDING: Key<bool> = Key::bool("rag.enable_async_embedding", true);
    /// Embedding calls at the same time; 0 means no limit.
    pub static RAG_EMBEDDING_CONCURRENT_REQUESTS: Key<i64> = Key::int("rag.embedding_concurrent_requests", 0);
    /// Who reranks: empty (this server) or `external`.
    pub static RAG_RERANKING_ENGINE: Key<String> = Key::text("rag.reranking_engine", "");
    /// Reranking model; empty turns reranking off.
    pub static RAG_RERANKING_MODEL: Key<String> = Key::text("rag.reranking_model", "");
    /// Pairs scored in one reranking call.
    pub static RAG_RERANKING_BATCH_SIZE: Key<i64> = Key::int("rag.reranking_batch_size", 32);
    /// Address of an external reranker.
    pub static RAG_EXTERNAL_RERANKER_URL: Key<String> = Key::text("rag.external_reranker_url", "");
    /// Key of that reranker.
    pub static RAG_EXTERNAL_RERANKER_API_KEY: Key<String> =
        Key::text("rag.external_reranker_api_key", "").secret();
    /// Seconds to wait for that reranker; empty means no limit.
    pub static RAG_EXTERNAL_RERANKER_TIMEOUT: Key<Option<i64>> =
        Key::loose_int("rag.external_reranker_timeout", "");
    /// How text is cut: empty or `character`, `token`.
    pub static RAG_TEXT_SPLITTER: Key<String> = Key::text("rag.text_splitter", "");
    /// Cuts at Markdown headings first.
    pub static ENABLE_MARKDOWN_HEADER_TEXT_SPLITTER: Key<bool> =
        Key::bool("rag.enable_markdown_header_text_splitter", true);
    /// Encoding used by the token splitter.
    pub static TIKTOKEN_ENCODING_NAME: Key<String> = Key::text("rag.tiktoken_encoding_name", "cl100k_base");
    /// Length of a chunk, in the unit of the splitter.
    pub static CHUNK_SIZE: Key<i64> = Key::int("rag.chunk_size", 1000);
    /// Chunks shorter than this are merged with a neighbour; 0 turns merging off.
    pub static CHUNK_MIN_SIZE_TARGET: Key<i64> = Key::int("rag.chunk_min_size_target", 0);
    /// Overlap of two neighbouring chunks.
    pub static CHUNK_OVERLAP: Key<i64> = Key::int("rag.chunk_overlap", 100);
    /// Prompt that carries the retrieved context; must contain `{{CONTEXT}}`.
    pub static RAG_TEMPLATE: Key<String> = Key::text("rag.template", RAG_TEMPLATE_DEFAULT);
    /// Address for embeddings by an OpenAI-compatible provider.
    pub static RAG_OPENAI_API_BASE_URL: Key<String> =
        Key::text("rag.openai.api_base_url", providers::OPENAI_URL);
    /// Key for that address.
    pub static RAG_OPENAI_API_KEY: Key<String> =
        Key::text("rag.openai.api_key", "")
            .from(providers::rag_openai_key, providers::OPENAI_KEY_SOURCES)
            .secret();
    /// Address for embeddings by Azure OpenAI.
    pub static RAG_AZURE_OPENAI_BASE_URL: Key<String> = Key::text("rag.azure_openai.base_url", "");
    /// Key for that address.
    pub static RAG_AZURE_OPENAI_API_KEY: Key<String> = Key::text("rag.azure_openai.api_key", "").secret();
    /// API version of Azure OpenAI.
    pub static RAG_AZURE_OPENAI_API_VERSION: Key<String> = Key::text("rag.azure_openai.api_version", "");
    /// Address for embeddings by Ollama.
    pub static RAG_OLLAMA_BASE_URL: Key<String> =
        Key::text("rag.ollama.base_url", "http://localhost:11434")
            .from(providers::rag_ollama_url, providers::OLLAMA_SOURCES);
    /// Key for that address.
    pub static RAG_OLLAMA_API_KEY: Key<String> = Key::text("rag.ollama.api_key", "").secret();
}
