//! The fields of the page about documents and web search, in the order in which they are shown.

use oui_config::{drive, loaders, rag, web, web_loader};
use oui_core::form::Issues;
use oui_web::settings::Setting;
use serde_json::{Map, Value};

/// A whole number or a text, as limits are sent.
fn number_or_text(input: &Value, issues: &mut Issues) -> Option<Value> {
    match input {
        Value::Null | Value::String(_) => Some(input.clone()),
        Value::Number(number) if number.is_i64() => Some(input.clone()),
        other => {
            issues.push("string_type", "Input should be a valid string", other);
            None
        }
    }
}

/// Fields of documents.
pub(super) static DOCUMENTS: &[Setting] = &[
    Setting::of::<Option<String>>("RAG_TEMPLATE", rag::RAG_TEMPLATE.meta()).kept(),
    Setting::of::<Option<i64>>("TOP_K", rag::RAG_TOP_K.meta()).kept(),
    Setting::of::<Option<bool>>(
        "BYPASS_EMBEDDING_AND_RETRIEVAL",
        rag::BYPASS_EMBEDDING_AND_RETRIEVAL.meta(),
    )
    .kept(),
    Setting::of::<Option<bool>>("RAG_FULL_CONTEXT", rag::RAG_FULL_CONTEXT.meta()).kept(),
    Setting::of::<Option<bool>>("ENABLE_RAG_HYBRID_SEARCH", rag::ENABLE_RAG_HYBRID_SEARCH.meta()).kept(),
    Setting::of::<Option<bool>>(
        "ENABLE_RAG_HYBRID_SEARCH_ENRICHED_TEXTS",
        rag::ENABLE_RAG_HYBRID_SEARCH_ENRICHED_TEXTS.meta(),
    )
    .kept(),
    Setting::of::<Option<i64>>("TOP_K_RERANKER", rag::RAG_TOP_K_RERANKER.meta()).kept(),
    Setting::of::<Option<f64>>("RELEVANCE_THRESHOLD", rag::RAG_RELEVANCE_THRESHOLD.meta()).kept(),
    Setting::of::<Option<f64>>("HYBRID_BM25_WEIGHT", rag::RAG_HYBRID_BM25_WEIGHT.meta()).kept(),
    Setting::of::<Option<String>>(
        "CONTENT_EXTRACTION_ENGINE",
        loaders::CONTENT_EXTRACTION_ENGINE.meta(),
    )
    .kept(),
    Setting::of::<Option<Vec<String>>>(
        "CONTENT_EXTRACTION_SUPPORTED_MEDIA_MIME_TYPES",
        loaders::CONTENT_EXTRACTION_SUPPORTED_MEDIA_MIME_TYPES.meta(),
    )
    .kept(),
    Setting::of::<Option<bool>>("PDF_EXTRACT_IMAGES", loaders::PDF_EXTRACT_IMAGES.meta()).kept(),
    Setting::of::<Option<String>>("PDF_LOADER_MODE", loaders::PDF_LOADER_MODE.meta()).kept(),
    Setting::of::<Option<String>>("DATALAB_MARKER_API_KEY", loaders::DATALAB_MARKER_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>(
        "DATALAB_MARKER_API_BASE_URL",
        loaders::DATALAB_MARKER_API_BASE_URL.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>(
        "DATALAB_MARKER_ADDITIONAL_CONFIG",
        loaders::DATALAB_MARKER_ADDITIONAL_CONFIG.meta(),
    )
    .kept(),
    Setting::of::<Option<bool>>(
        "DATALAB_MARKER_SKIP_CACHE",
        loaders::DATALAB_MARKER_SKIP_CACHE.meta(),
    )
    .kept(),
    Setting::of::<Option<bool>>(
        "DATALAB_MARKER_FORCE_OCR",
        loaders::DATALAB_MARKER_FORCE_OCR.meta(),
    )
    .kept(),
    Setting::of::<Option<bool>>("DATALAB_MARKER_PAGINATE", loaders::DATALAB_MARKER_PAGINATE.meta()).kept(),
    Setting::of::<Option<bool>>(
        "DATALAB_MARKER_STRIP_EXISTING_OCR",
        loaders::DATALAB_MARKER_STRIP_EXISTING_OCR.meta(),
    )
    .kept(),
    Setting::of::<Option<bool>>(
        "DATALAB_MARKER_DISABLE_IMAGE_EXTRACTION",
        loaders::DATALAB_MARKER_DISABLE_IMAGE_EXTRACTION.meta(),
    )
    .kept(),
    Setting::of::<Option<bool>>(
        "DATALAB_MARKER_FORMAT_LINES",
        loaders::DATALAB_MARKER_FORMAT_LINES.meta(),
    )
    .kept(),
    Setting::of::<Option<bool>>("DATALAB_MARKER_USE_LLM", loaders::DATALAB_MARKER_USE_LLM.meta()).kept(),
    Setting::of::<Option<String>>(
        "DATALAB_MARKER_OUTPUT_FORMAT",
        loaders::DATALAB_MARKER_OUTPUT_FORMAT.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>(
        "EXTERNAL_DOCUMENT_LOADER_URL",
        loaders::EXTERNAL_DOCUMENT_LOADER_URL.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>(
        "EXTERNAL_DOCUMENT_LOADER_API_KEY",
        loaders::EXTERNAL_DOCUMENT_LOADER_API_KEY.meta(),
    )
    .kept(),
    Setting::of::<Option<Map<String, Value>>>(
        "EXTERNAL_DOCUMENT_LOADER_HEADERS",
        loaders::EXTERNAL_DOCUMENT_LOADER_HEADERS.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>("TIKA_SERVER_URL", loaders::TIKA_SERVER_URL.meta()).kept(),
    Setting::of::<Option<String>>("TIKA_SERVER_VERSION", loaders::TIKA_SERVER_VERSION.meta()).kept(),
    Setting::of::<Option<String>>("DOCLING_SERVER_URL", loaders::DOCLING_SERVER_URL.meta()).kept(),
    Setting::of::<Option<String>>("DOCLING_API_KEY", loaders::DOCLING_API_KEY.meta()).kept(),
    Setting::of::<Option<Map<String, Value>>>("DOCLING_PARAMS", loaders::DOCLING_PARAMS.meta()).kept(),
    Setting::of::<Option<String>>(
        "DOCUMENT_INTELLIGENCE_ENDPOINT",
        loaders::DOCUMENT_INTELLIGENCE_ENDPOINT.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>(
        "DOCUMENT_INTELLIGENCE_KEY",
        loaders::DOCUMENT_INTELLIGENCE_KEY.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>(
        "DOCUMENT_INTELLIGENCE_MODEL",
        loaders::DOCUMENT_INTELLIGENCE_MODEL.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>(
        "MISTRAL_OCR_API_BASE_URL",
        loaders::MISTRAL_OCR_API_BASE_URL.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>("MISTRAL_OCR_API_KEY", loaders::MISTRAL_OCR_API_KEY.meta()).kept(),
    Setting::of::<Option<bool>>("MISTRAL_OCR_USE_BASE64", loaders::MISTRAL_OCR_USE_BASE64.meta()).kept(),
    Setting::of::<Option<String>>("PADDLEOCR_VL_BASE_URL", loaders::PADDLEOCR_VL_BASE_URL.meta()).kept(),
    Setting::of::<Option<String>>("PADDLEOCR_VL_TOKEN", loaders::PADDLEOCR_VL_TOKEN.meta()).kept(),
    Setting::of::<Option<String>>("MINERU_API_MODE", loaders::MINERU_API_MODE.meta()).kept(),
    Setting::of::<Option<String>>("MINERU_API_URL", loaders::MINERU_API_URL.meta()).kept(),
    Setting::of::<Option<String>>("MINERU_API_KEY", loaders::MINERU_API_KEY.meta()).kept(),
    Setting::of::<Option<i64>>("MINERU_API_TIMEOUT", loaders::MINERU_API_TIMEOUT.meta()).kept(),
    Setting::of::<Option<Map<String, Value>>>("MINERU_PARAMS", loaders::MINERU_PARAMS.meta()).kept(),
    Setting::of::<Option<Vec<String>>>("MINERU_FILE_EXTENSIONS", loaders::MINERU_FILE_EXTENSIONS.meta())
        .kept(),
    Setting::of::<Option<String>>("RAG_RERANKING_MODEL", rag::RAG_RERANKING_MODEL.meta()).kept(),
    Setting::of::<Option<String>>("RAG_RERANKING_ENGINE", rag::RAG_RERANKING_ENGINE.meta()).kept(),
    Setting::of::<Option<i64>>("RAG_RERANKING_BATCH_SIZE", rag::RAG_RERANKING_BATCH_SIZE.meta()).kept(),
    Setting::of::<Option<String>>("RAG_EXTERNAL_RERANKER_URL", rag::RAG_EXTERNAL_RERANKER_URL.meta()).kept(),
    Setting::of::<Option<String>>(
        "RAG_EXTERNAL_RERANKER_API_KEY",
        rag::RAG_EXTERNAL_RERANKER_API_KEY.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>(
        "RAG_EXTERNAL_RERANKER_TIMEOUT",
        rag::RAG_EXTERNAL_RERANKER_TIMEOUT.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>("TEXT_SPLITTER", rag::RAG_TEXT_SPLITTER.meta()).kept(),
    Setting::of::<Option<String>>("RAG_TOKENIZER_MODEL", rag::RAG_TOKENIZER_MODEL.meta()).kept(),
    Setting::of::<Option<bool>>(
        "ENABLE_MARKDOWN_HEADER_TEXT_SPLITTER",
        rag::ENABLE_MARKDOWN_HEADER_TEXT_SPLITTER.meta(),
    )
    .kept(),
    Setting::of::<Option<i64>>("CHUNK_SIZE", rag::CHUNK_SIZE.meta()).kept(),
    Setting::of::<Option<i64>>("CHUNK_MIN_SIZE_TARGET", rag::CHUNK_MIN_SIZE_TARGET.meta()).kept(),
    Setting::of::<Option<i64>>("CHUNK_OVERLAP", rag::CHUNK_OVERLAP.meta()).kept(),
    Setting::read_by("FILE_MAX_SIZE", rag::RAG_FILE_MAX_SIZE.meta(), number_or_text).kept(),
    Setting::read_by("FILE_MAX_COUNT", rag::RAG_FILE_MAX_COUNT.meta(), number_or_text).kept(),
    Setting::read_by(
        "FILE_IMAGE_COMPRESSION_WIDTH",
        loaders::FILE_IMAGE_COMPRESSION_WIDTH.meta(),
        number_or_text,
    )
    .kept(),
    Setting::read_by(
        "FILE_IMAGE_COMPRESSION_HEIGHT",
        loaders::FILE_IMAGE_COMPRESSION_HEIGHT.meta(),
        number_or_text,
    )
    .kept(),
    Setting::of::<Option<Vec<String>>>("ALLOWED_FILE_EXTENSIONS", rag::RAG_ALLOWED_FILE_EXTENSIONS.meta())
        .kept(),
    Setting::of::<Option<bool>>(
        "ENABLE_GOOGLE_DRIVE_INTEGRATION",
        drive::ENABLE_GOOGLE_DRIVE_INTEGRATION.meta(),
    )
    .kept(),
    Setting::of::<Option<bool>>(
        "ENABLE_ONEDRIVE_INTEGRATION",
        drive::ENABLE_ONEDRIVE_INTEGRATION.meta(),
    )
    .kept(),
];

/// Fields of web search, in an object of their own.
pub(super) static WEB: &[Setting] = &[
    Setting::of::<Option<bool>>("ENABLE_WEB_SEARCH", web::ENABLE_WEB_SEARCH.meta()).kept(),
    Setting::of::<Option<bool>>(
        "ENABLE_WEB_SEARCH_CONFIRMATION",
        web::ENABLE_WEB_SEARCH_CONFIRMATION.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>(
        "WEB_SEARCH_CONFIRMATION_CONTENT",
        web::WEB_SEARCH_CONFIRMATION_CONTENT.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>("WEB_SEARCH_ENGINE", web::WEB_SEARCH_ENGINE.meta()).kept(),
    Setting::of::<Option<bool>>("WEB_SEARCH_TRUST_ENV", web::WEB_SEARCH_TRUST_ENV.meta()).kept(),
    Setting::of::<Option<i64>>("WEB_SEARCH_RESULT_COUNT", web::WEB_SEARCH_RESULT_COUNT.meta()).kept(),
    Setting::of::<Option<i64>>(
        "WEB_SEARCH_CONCURRENT_REQUESTS",
        web::WEB_SEARCH_CONCURRENT_REQUESTS.meta(),
    )
    .kept(),
    Setting::of::<Option<i64>>(
        "WEB_FETCH_MAX_CONTENT_LENGTH",
        web_loader::WEB_FETCH_MAX_CONTENT_LENGTH.meta(),
    )
    .kept(),
    Setting::of::<Option<i64>>(
        "WEB_LOADER_CONCURRENT_REQUESTS",
        web_loader::WEB_LOADER_CONCURRENT_REQUESTS.meta(),
    )
    .kept(),
    Setting::of::<Option<Vec<String>>>(
        "WEB_SEARCH_DOMAIN_FILTER_LIST",
        web::WEB_SEARCH_DOMAIN_FILTER_LIST.meta(),
    )
    .kept(),
    Setting::of::<Option<bool>>(
        "BYPASS_WEB_SEARCH_EMBEDDING_AND_RETRIEVAL",
        web::BYPASS_WEB_SEARCH_EMBEDDING_AND_RETRIEVAL.meta(),
    )
    .kept(),
    Setting::of::<Option<bool>>(
        "BYPASS_WEB_SEARCH_WEB_LOADER",
        web::BYPASS_WEB_SEARCH_WEB_LOADER.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>(
        "OLLAMA_CLOUD_WEB_SEARCH_API_KEY",
        web::OLLAMA_CLOUD_API_KEY.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>("SEARXNG_QUERY_URL", web::SEARXNG_QUERY_URL.meta()).kept(),
    Setting::of::<Option<String>>("SEARXNG_LANGUAGE", web::SEARXNG_LANGUAGE.meta()).kept(),
    Setting::of::<Option<String>>("OPENSERP_BASE_URL", web::OPENSERP_BASE_URL.meta()).kept(),
    Setting::of::<Option<String>>("YACY_QUERY_URL", web::YACY_QUERY_URL.meta()).kept(),
    Setting::of::<Option<String>>("YACY_USERNAME", web::YACY_USERNAME.meta()).kept(),
    Setting::of::<Option<String>>("YACY_PASSWORD", web::YACY_PASSWORD.meta()).kept(),
    Setting::of::<Option<String>>("GOOGLE_PSE_API_KEY", web::GOOGLE_PSE_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("GOOGLE_PSE_ENGINE_ID", web::GOOGLE_PSE_ENGINE_ID.meta()).kept(),
    Setting::of::<Option<String>>("BRAVE_SEARCH_API_KEY", web::BRAVE_SEARCH_API_KEY.meta()).kept(),
    Setting::of::<Option<i64>>(
        "BRAVE_SEARCH_CONTEXT_TOKENS",
        web::BRAVE_SEARCH_CONTEXT_TOKENS.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>("KAGI_SEARCH_API_KEY", web::KAGI_SEARCH_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("MOJEEK_SEARCH_API_KEY", web::MOJEEK_SEARCH_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("BOCHA_SEARCH_API_KEY", web::BOCHA_SEARCH_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("SERPSTACK_API_KEY", web::SERPSTACK_API_KEY.meta()).kept(),
    Setting::of::<Option<bool>>("SERPSTACK_HTTPS", web::SERPSTACK_HTTPS.meta()).kept(),
    Setting::of::<Option<String>>("SERPER_API_KEY", web::SERPER_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("SERPHOUSE_API_KEY", web::SERPHOUSE_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("SERPHOUSE_DOMAIN", web::SERPHOUSE_DOMAIN.meta()).kept(),
    Setting::of::<Option<String>>("SERPLY_API_KEY", web::SERPLY_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("DDGS_BACKEND", web::DDGS_BACKEND.meta()).kept(),
    Setting::of::<Option<String>>("TAVILY_API_KEY", web::TAVILY_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("STAAN_API_KEY", web::STAAN_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("STAAN_MARKET", web::STAAN_MARKET.meta()).kept(),
    Setting::of::<Option<i64>>("STAAN_MAX_SNIPPETS", web::STAAN_MAX_SNIPPETS.meta()).kept(),
    Setting::of::<Option<String>>("SEARCHAPI_API_KEY", web::SEARCHAPI_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("SEARCHAPI_ENGINE", web::SEARCHAPI_ENGINE.meta()).kept(),
    Setting::of::<Option<String>>("SERPAPI_API_KEY", web::SERPAPI_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("SERPAPI_ENGINE", web::SERPAPI_ENGINE.meta()).kept(),
    Setting::of::<Option<String>>("JINA_API_KEY", web::JINA_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("JINA_API_BASE_URL", web::JINA_API_BASE_URL.meta()).kept(),
    Setting::of::<Option<String>>("BING_SEARCH_V7_ENDPOINT", web::BING_SEARCH_V7_ENDPOINT.meta()).kept(),
    Setting::of::<Option<String>>(
        "BING_SEARCH_V7_SUBSCRIPTION_KEY",
        web::BING_SEARCH_V7_SUBSCRIPTION_KEY.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>("EXA_API_KEY", web::EXA_API_KEY.meta()).kept(),
    Setting::of::<Option<i64>>("EXA_MAX_CONTENT_LENGTH", web::EXA_MAX_CONTENT_LENGTH.meta()).kept(),
    Setting::of::<Option<String>>("PERPLEXITY_API_KEY", web::PERPLEXITY_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("PERPLEXITY_MODEL", web::PERPLEXITY_MODEL.meta()).kept(),
    Setting::of::<Option<String>>(
        "PERPLEXITY_SEARCH_CONTEXT_USAGE",
        web::PERPLEXITY_SEARCH_CONTEXT_USAGE.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>("PERPLEXITY_SEARCH_API_URL", web::PERPLEXITY_SEARCH_API_URL.meta()).kept(),
    Setting::of::<Option<String>>(
        "MICROSOFT_WEB_IQ_API_BASE_URL",
        web::MICROSOFT_WEB_IQ_API_BASE_URL.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>("MICROSOFT_WEB_IQ_API_KEY", web::MICROSOFT_WEB_IQ_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("MICROSOFT_WEB_IQ_LANGUAGE", web::MICROSOFT_WEB_IQ_LANGUAGE.meta()).kept(),
    Setting::of::<Option<String>>("SOUGOU_API_SID", web::SOUGOU_API_SID.meta()).kept(),
    Setting::of::<Option<String>>("SOUGOU_API_SK", web::SOUGOU_API_SK.meta()).kept(),
    Setting::of::<Option<String>>("WEB_LOADER_ENGINE", web_loader::WEB_LOADER_ENGINE.meta()).kept(),
    Setting::of::<Option<String>>("WEB_LOADER_TIMEOUT", web_loader::WEB_LOADER_TIMEOUT.meta()).kept(),
    Setting::of::<Option<bool>>(
        "ENABLE_WEB_LOADER_SSL_VERIFICATION",
        web_loader::ENABLE_WEB_LOADER_SSL_VERIFICATION.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>("PLAYWRIGHT_WS_URL", web_loader::PLAYWRIGHT_WS_URL.meta()).kept(),
    Setting::of::<Option<i64>>("PLAYWRIGHT_TIMEOUT", web_loader::PLAYWRIGHT_TIMEOUT.meta()).kept(),
    Setting::of::<Option<String>>("FIRECRAWL_API_KEY", web_loader::FIRECRAWL_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>(
        "FIRECRAWL_API_BASE_URL",
        web_loader::FIRECRAWL_API_BASE_URL.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>("FIRECRAWL_TIMEOUT", web_loader::FIRECRAWL_TIMEOUT.meta()).kept(),
    Setting::of::<Option<String>>("TAVILY_EXTRACT_DEPTH", web::TAVILY_EXTRACT_DEPTH.meta()).kept(),
    Setting::of::<Option<String>>("TAVILY_SEARCH_DEPTH", web::TAVILY_SEARCH_DEPTH.meta()).kept(),
    Setting::of::<Option<String>>("EXTERNAL_WEB_SEARCH_URL", web::EXTERNAL_WEB_SEARCH_URL.meta()).kept(),
    Setting::of::<Option<String>>(
        "EXTERNAL_WEB_SEARCH_API_KEY",
        web::EXTERNAL_WEB_SEARCH_API_KEY.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>(
        "EXTERNAL_WEB_LOADER_URL",
        web_loader::EXTERNAL_WEB_LOADER_URL.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>(
        "EXTERNAL_WEB_LOADER_API_KEY",
        web_loader::EXTERNAL_WEB_LOADER_API_KEY.meta(),
    )
    .kept(),
    Setting::of::<Option<Vec<String>>>("YOUTUBE_LOADER_LANGUAGE", loaders::YOUTUBE_LOADER_LANGUAGE.meta())
        .kept(),
    Setting::of::<Option<String>>(
        "YOUTUBE_LOADER_PROXY_URL",
        loaders::YOUTUBE_LOADER_PROXY_URL.meta(),
    )
    .kept(),
    Setting::of::<Option<String>>("YANDEX_WEB_SEARCH_URL", web::YANDEX_WEB_SEARCH_URL.meta()).kept(),
    Setting::of::<Option<String>>("YANDEX_WEB_SEARCH_API_KEY", web::YANDEX_WEB_SEARCH_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("YANDEX_WEB_SEARCH_CONFIG", web::YANDEX_WEB_SEARCH_CONFIG.meta()).kept(),
    Setting::of::<Option<String>>("YOUCOM_API_KEY", web::YOUCOM_API_KEY.meta()).kept(),
    Setting::of::<Option<String>>("LINKUP_API_KEY", web::LINKUP_API_KEY.meta()).kept(),
    Setting::of::<Option<Map<String, Value>>>("LINKUP_SEARCH_PARAMS", web::LINKUP_SEARCH_PARAMS.meta())
        .kept(),
];

/// Fields that the answer to a change leaves out.
pub(super) const NOT_ECHOED: &[&str] = &[
    "ENABLE_RAG_HYBRID_SEARCH_ENRICHED_TEXTS",
    "DATALAB_MARKER_FORMAT_LINES",
    "MINERU_FILE_EXTENSIONS",
    "RAG_RERANKING_BATCH_SIZE",
    "DDGS_BACKEND",
];
