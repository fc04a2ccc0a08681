//! The page of the administration about documents: extraction, splitting, retrieval and uploads; with the fields of
//! [`web_search`](super::web_search) in its `web`. And the one about the embedding of texts. Fields that are not
//! sent, or are null, stay as they are.

use axum::Json;
use oui_config::{drive, loaders, rag};
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field, messages};
use oui_web::body::AnyJson;
use oui_web::pages::{Changes, Page};
use oui_web::{Admin, Caller, pages};
use serde_json::{Map, Value, json};

use super::web_search;

type Object = Map<String, Value>;

pages! {
    /// The page but for its part `web`.
    static PAGE = {
        RAG_TEMPLATE~: String => rag::RAG_TEMPLATE,
        TOP_K~: i64 => rag::RAG_TOP_K,
        BYPASS_EMBEDDING_AND_RETRIEVAL~: bool => rag::BYPASS_EMBEDDING_AND_RETRIEVAL,
        RAG_FULL_CONTEXT~: bool => rag::RAG_FULL_CONTEXT,
        ENABLE_RAG_HYBRID_SEARCH~: bool => rag::ENABLE_RAG_HYBRID_SEARCH,
        ENABLE_RAG_HYBRID_SEARCH_ENRICHED_TEXTS~: bool => rag::ENABLE_RAG_HYBRID_SEARCH_ENRICHED_TEXTS,
        TOP_K_RERANKER~: i64 => rag::RAG_TOP_K_RERANKER,
        RELEVANCE_THRESHOLD~: f64 => rag::RAG_RELEVANCE_THRESHOLD,
        HYBRID_BM25_WEIGHT~: f64 => rag::RAG_HYBRID_BM25_WEIGHT,
        CONTENT_EXTRACTION_ENGINE~: String => loaders::CONTENT_EXTRACTION_ENGINE,
        CONTENT_EXTRACTION_SUPPORTED_MEDIA_MIME_TYPES~: Vec<String> => loaders::CONTENT_EXTRACTION_SUPPORTED_MEDIA_MIME_TYPES,
        PDF_EXTRACT_IMAGES~: bool => loaders::PDF_EXTRACT_IMAGES,
        PDF_LOADER_MODE~: String => loaders::PDF_LOADER_MODE,
        DATALAB_MARKER_API_KEY~: String => loaders::DATALAB_MARKER_API_KEY,
        DATALAB_MARKER_API_BASE_URL~: String => loaders::DATALAB_MARKER_API_BASE_URL,
        DATALAB_MARKER_ADDITIONAL_CONFIG~: String => loaders::DATALAB_MARKER_ADDITIONAL_CONFIG,
        DATALAB_MARKER_SKIP_CACHE~: bool => loaders::DATALAB_MARKER_SKIP_CACHE,
        DATALAB_MARKER_FORCE_OCR~: bool => loaders::DATALAB_MARKER_FORCE_OCR,
        DATALAB_MARKER_PAGINATE~: bool => loaders::DATALAB_MARKER_PAGINATE,
        DATALAB_MARKER_STRIP_EXISTING_OCR~: bool => loaders::DATALAB_MARKER_STRIP_EXISTING_OCR,
        DATALAB_MARKER_DISABLE_IMAGE_EXTRACTION~: bool => loaders::DATALAB_MARKER_DISABLE_IMAGE_EXTRACTION,
        DATALAB_MARKER_FORMAT_LINES~: bool => loaders::DATALAB_MARKER_FORMAT_LINES,
        DATALAB_MARKER_USE_LLM~: bool => loaders::DATALAB_MARKER_USE_LLM,
        DATALAB_MARKER_OUTPUT_FORMAT~: String => loaders::DATALAB_MARKER_OUTPUT_FORMAT,
        EXTERNAL_DOCUMENT_LOADER_URL~: String => loaders::EXTERNAL_DOCUMENT_LOADER_URL,
        EXTERNAL_DOCUMENT_LOADER_API_KEY~: String => loaders::EXTERNAL_DOCUMENT_LOADER_API_KEY,
        EXTERNAL_DOCUMENT_LOADER_HEADERS~: Object => loaders::EXTERNAL_DOCUMENT_LOADER_HEADERS,
        TIKA_SERVER_URL~: String => loaders::TIKA_SERVER_URL,
        TIKA_SERVER_VERSION~: String => loaders::TIKA_SERVER_VERSION,
        DOCLING_SERVER_URL~: String => loaders::DOCLING_SERVER_URL,
        DOCLING_API_KEY~: String => loaders::DOCLING_API_KEY,
        DOCLING_PARAMS~: Object => loaders::DOCLING_PARAMS,
        DOCUMENT_INTELLIGENCE_ENDPOINT~: String => loaders::DOCUMENT_INTELLIGENCE_ENDPOINT,
        DOCUMENT_INTELLIGENCE_KEY~: String => loaders::DOCUMENT_INTELLIGENCE_KEY,
        DOCUMENT_INTELLIGENCE_MODEL~: String => loaders::DOCUMENT_INTELLIGENCE_MODEL,
        MISTRAL_OCR_API_BASE_URL~: String => loaders::MISTRAL_OCR_API_BASE_URL,
        MISTRAL_OCR_API_KEY~: String => loaders::MISTRAL_OCR_API_KEY,
        MISTRAL_OCR_USE_BASE64~: bool => loaders::MISTRAL_OCR_USE_BASE64,
        PADDLEOCR_VL_BASE_URL~: String => loaders::PADDLEOCR_VL_BASE_URL,
        PADDLEOCR_VL_TOKEN~: String => loaders::PADDLEOCR_VL_TOKEN,
        MINERU_API_MODE~: String => loaders::MINERU_API_MODE,
        MINERU_API_URL~: String => loaders::MINERU_API_URL,
        MINERU_API_KEY~: String => loaders::MINERU_API_KEY,
        MINERU_API_TIMEOUT~: i64 => loaders::MINERU_API_TIMEOUT,
        MINERU_PARAMS~: Object => loaders::MINERU_PARAMS,
        MINERU_FILE_EXTENSIONS~: Vec<String> => loaders::MINERU_FILE_EXTENSIONS,
        RAG_RERANKING_MODEL~: String => rag::RAG_RERANKING_MODEL,
        RAG_RERANKING_ENGINE~: String => rag::RAG_RERANKING_ENGINE,
        RAG_RERANKING_BATCH_SIZE~: i64 => rag::RAG_RERANKING_BATCH_SIZE,
        RAG_EXTERNAL_RERANKER_URL~: String => rag::RAG_EXTERNAL_RERANKER_URL,
        RAG_EXTERNAL_RERANKER_API_KEY~: String => rag::RAG_EXTERNAL_RERANKER_API_KEY,
        RAG_EXTERNAL_RERANKER_TIMEOUT~: String => rag::RAG_EXTERNAL_RERANKER_TIMEOUT,
        TEXT_SPLITTER~: String => rag::RAG_TEXT_SPLITTER,
        RAG_TOKENIZER_MODEL~: String => rag::RAG_TOKENIZER_MODEL,
        ENABLE_MARKDOWN_HEADER_TEXT_SPLITTER~: bool => rag::ENABLE_MARKDOWN_HEADER_TEXT_SPLITTER,
        CHUNK_SIZE~: i64 => rag::CHUNK_SIZE,
        CHUNK_MIN_SIZE_TARGET~: i64 => rag::CHUNK_MIN_SIZE_TARGET,
        CHUNK_OVERLAP~: i64 => rag::CHUNK_OVERLAP,
        FILE_MAX_SIZE~ by limit => rag::RAG_FILE_MAX_SIZE,
        FILE_MAX_COUNT~ by limit => rag::RAG_FILE_MAX_COUNT,
        FILE_IMAGE_COMPRESSION_WIDTH~ by limit => loaders::FILE_IMAGE_COMPRESSION_WIDTH,
        FILE_IMAGE_COMPRESSION_HEIGHT~ by limit => loaders::FILE_IMAGE_COMPRESSION_HEIGHT,
        ALLOWED_FILE_EXTENSIONS~: Vec<String> => rag::RAG_ALLOWED_FILE_EXTENSIONS,
        ENABLE_GOOGLE_DRIVE_INTEGRATION~: bool => drive::ENABLE_GOOGLE_DRIVE_INTEGRATION,
        ENABLE_ONEDRIVE_INTEGRATION~: bool => drive::ENABLE_ONEDRIVE_INTEGRATION,
    };
}

/// Fields that only the page has, not the answer to a change.
const SHOWN_ONLY: &[&str] = &[
    "ENABLE_RAG_HYBRID_SEARCH_ENRICHED_TEXTS",
    "DATALAB_MARKER_FORMAT_LINES",
    "MINERU_FILE_EXTENSIONS",
    "RAG_RERANKING_BATCH_SIZE",
];

/// A number, or a text as browsers send it; an empty one takes the limit away.
fn limit(input: &Value, issues: &mut Issues) -> Option<Value> {
    match input {
        Value::String(text) if text.is_empty() => Some(Value::Null),
        Value::String(_) => Some(input.clone()),
        _ => {
            let before = issues.inside("int", |issues| i64::parse(input, issues));
            if before.is_none() {
                issues.inside("str", |issues| String::parse(input, issues));
            }
            before.map(Value::from)
        }
    }
}

fn page(caller: &Caller<Admin>) -> Object {
    let mut page = Object::from_iter([("status".to_owned(), json!(true))]);
    page.extend(PAGE.show(&caller.app().config.snapshot()));
    page.insert("web".into(), Value::Object(web_search::show(caller.app())));
    page
}

pub(super) async fn show(caller: Caller<Admin>) -> Json<Value> {
    Json(Value::Object(page(&caller)))
}

pub(super) async fn save(caller: Caller<Admin>, AnyJson(body): AnyJson) -> ApiResult<Json<Value>> {
    let mut issues = Issues::at("body");
    // A field that is null is as good as absent here, also where a reader would take the null.
    let given = PAGE.read(&without_nulls(&body), &mut issues);
    let web = match body.get("web") {
        None | Some(Value::Null) => Some(web_search::Part::default()),
        Some(web) => issues.inside("web", |issues| web_search::read(web, issues)),
    };
    let (Some(mut changes), Some(web)) = (given, web) else {
        return Err(ApiError::unprocessable(issues.into_found()));
    };
    trim(&mut changes, rag::RAG_TOKENIZER_MODEL.path());
    changes.extend(web.changes);
    caller.app().save_config(changes).await?;
    web_search::remember(caller.app(), web.translation);
    apply(&caller).await?;
    let mut page = page(&caller);
    page.retain(|name, _| !SHOWN_ONLY.contains(&name.as_str()));
    if let Some(Value::Object(web)) = page.get_mut("web") {
        web.retain(|name, _| name != web_search::SHOWN_ONLY);
    }
    Ok(Json(Value::Object(page)))
}

/// Lets the next text find the models of the new settings. Hybrid search without its reranking model is turned off.
async fn apply(caller: &Caller<Admin>) -> ApiResult<()> {
    let retrieval = &caller.app().retrieval;
    retrieval.embedder.local().unload();
    if retrieval.search_options().hybrid && !retrieval.is_bypassed() && !retrieval.reranker.is_usable() {
        tracing::error!("the reranking model is not on this machine; hybrid search is turned off");
        let off = Changes::from([(rag::ENABLE_RAG_HYBRID_SEARCH.path().to_owned(), json!(false))]);
        caller.app().save_config(off).await?;
    }
    Ok(())
}

fn without_nulls(body: &Value) -> Value {
    match body.as_object() {
        Some(object) => object
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Object>()
            .into(),
        None => body.clone(),
    }
}

fn trim(changes: &mut Changes, path: &str) {
    if let Some(Value::String(text)) = changes.get_mut(path) {
        *text = text.trim().to_owned();
    }
}

pages! {
    /// How texts are embedded.
    static EMBEDDING = {
        RAG_EMBEDDING_ENGINE: String => rag::RAG_EMBEDDING_ENGINE,
        RAG_EMBEDDING_MODEL: String => rag::RAG_EMBEDDING_MODEL,
        RAG_EMBEDDING_BATCH_SIZE: Option<i64> = 1 => rag::RAG_EMBEDDING_BATCH_SIZE,
        ENABLE_ASYNC_EMBEDDING: Option<bool> = true => rag::ENABLE_ASYNC_EMBEDDING,
        RAG_EMBEDDING_CONCURRENT_REQUESTS: Option<i64> = 0 => rag::RAG_EMBEDDING_CONCURRENT_REQUESTS,
    };

    /// Where OpenAI's are asked for.
    static OPENAI = {
        url: Option<String> = "" => rag::RAG_OPENAI_API_BASE_URL,
        key: Option<String> = "" => rag::RAG_OPENAI_API_KEY,
    };

    /// Where Ollama's are asked for.
    static OLLAMA = {
        url: Option<String> = "" => rag::RAG_OLLAMA_BASE_URL,
        key: Option<String> = "" => rag::RAG_OLLAMA_API_KEY,
    };

    /// Where Azure's are asked for.
    static AZURE = {
        url: Option<String> = "" => rag::RAG_AZURE_OPENAI_BASE_URL,
        key: Option<String> = "" => rag::RAG_AZURE_OPENAI_API_KEY,
        version: Option<String> = "" => rag::RAG_AZURE_OPENAI_API_VERSION,
    };
}

/// Engines with an address of their own, and the name of its fields in the page.
static SERVICES: &[(&str, &str, &Page)] = &[
    ("openai", "openai_config", &OPENAI),
    ("ollama", "ollama_config", &OLLAMA),
    ("azure_openai", "azure_openai_config", &AZURE),
];

pub(super) async fn show_embedding(caller: Caller<Admin>) -> Json<Value> {
    let config = caller.app().config.snapshot();
    let mut page = Object::from_iter([("status".to_owned(), json!(true))]);
    page.extend(EMBEDDING.show(&config));
    for (_, name, service) in SERVICES {
        page.insert((*name).to_owned(), Value::Object(service.show(&config)));
    }
    Json(Value::Object(page))
}

/// Saves the page; the address is taken of the chosen engine only, the others keep theirs.
pub(super) async fn save_embedding(caller: Caller<Admin>, AnyJson(body): AnyJson) -> ApiResult<Json<Value>> {
    let mut issues = Issues::at("body");
    let mut services = Vec::new();
    for (engine, name, service) in SERVICES {
        if let Some(given) = body.get(*name).filter(|given| !given.is_null()) {
            let changes = issues.inside(*name, |issues| service.read(given, issues));
            services.push((*engine, changes.unwrap_or_default()));
        }
    }
    let (Some(mut changes), true) = (EMBEDDING.read(&body, &mut issues), issues.is_empty()) else {
        return Err(ApiError::unprocessable(issues.into_found()));
    };
    trim(&mut changes, rag::RAG_EMBEDDING_MODEL.path());
    let engine = changes
        .get(rag::RAG_EMBEDDING_ENGINE.path())
        .cloned()
        .unwrap_or_default();
    if !engine
        .as_str()
        .is_some_and(|engine| engine.is_empty() || SERVICES.iter().any(|(name, ..)| *name == engine))
    {
        return Err(ApiError::new(
            http::StatusCode::INTERNAL_SERVER_ERROR,
            messages::default_with("Error updating embedding configuration"),
        ));
    }
    for (_, service) in services.into_iter().filter(|(name, _)| engine == *name) {
        let filled = |value: Value| if value.is_null() { json!("") } else { value };
        changes.extend(service.into_iter().map(|(path, value)| (path, filled(value))));
    }
    caller.app().save_config(changes).await?;
    caller.app().retrieval.embedder.local().unload();
    Ok(show_embedding(caller).await)
}
