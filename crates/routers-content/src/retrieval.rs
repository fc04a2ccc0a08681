//! Searching collections, emptying them, and the settings of embedding, search and web search: `/api/v1/retrieval`.
//! What puts documents into collections is the area of files.

mod page;

use std::collections::BTreeMap;

use axum::Json;
use oui_config::rag;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::knowledge;
use oui_retrieval::{Error, Filter, Purpose, Retrieval, SearchOptions, Use, caller_of, hits_json};
use oui_web::body::ObjectBody;
use oui_web::{Admin, Area, Body, Caller, Verified, endpoints, settings};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "retrieval" at "/api/v1/retrieval";
        GET  "/embedding"        Admin    => embedding,
        POST "/embedding/update" Admin    => set_embedding,
        GET  "/config"           Admin    => config,
        POST "/config/update"    Admin    => set_config,
        POST "/query/doc"        Verified => query_doc,
        POST "/query/collection" Verified => query_collection,
        POST "/delete"           Admin    => delete,
        POST "/reset/db"         Admin    => reset_store,
        POST "/reset/uploads"    Admin    => reset_uploads,
    }
}

/// What the client may set for its own session of the server; it is not stored.
#[derive(Default)]
struct Unstored {
    translation: Mutex<Value>,
}

form! {
    /// Address and key of an embedding server.
    struct ServerForm {
        /// Address.
        url: Option<String>,
        /// Key.
        key: Option<String>,
        /// Version of Azure's API.
        version: Option<String>,
    }
}

form! {
    /// Who embeds.
    struct EmbeddingForm {
        /// Used with the engine `openai`.
        openai_config: Option<ServerForm>,
        /// Used with the engine `ollama`.
        ollama_config: Option<ServerForm>,
        /// Used with the engine `azure_openai`.
        azure_openai_config: Option<ServerForm>,
        /// Engine.
        engine as "RAG_EMBEDDING_ENGINE": String,
        /// Model.
        model as "RAG_EMBEDDING_MODEL": String,
        /// Texts in one call.
        batch_size as "RAG_EMBEDDING_BATCH_SIZE": Option<i64> = Some(1),
        /// Several calls at once.
        concurrent as "ENABLE_ASYNC_EMBEDDING": Option<bool> = Some(true),
        /// How many at once.
        at_once as "RAG_EMBEDDING_CONCURRENT_REQUESTS": Option<i64> = Some(0),
    }
}

form! {
    /// A question to one collection.
    struct QueryDocForm {
        /// Which.
        collection_name: String,
        /// The question.
        query: String,
        /// Chunks wanted.
        k: Option<i64>,
        /// Chunks that reranking leaves.
        k_reranker: Option<i64>,
        /// Least score.
        r: Option<f64>,
        /// Off: vectors only.
        hybrid: Option<bool>,
        /// Share of words.
        hybrid_bm25_weight: Option<f64>,
    }
}

form! {
    /// A question to several collections.
    struct QueryCollectionForm {
        /// Which.
        collection_names: Vec<String>,
        /// The question.
        query: String,
        /// Chunks wanted.
        k: Option<i64>,
        /// Chunks that reranking leaves.
        k_reranker: Option<i64>,
        /// Least score.
        r: Option<f64>,
        /// Off: vectors only.
        hybrid: Option<bool>,
        /// Share of words.
        hybrid_bm25_weight: Option<f64>,
        /// Words of names count.
        enable_enriched_texts: Option<bool>,
    }
}

form! {
    /// Chunks of a file in a collection.
    struct DeleteForm {
        /// Which collection.
        collection_name: String,
        /// Which file.
        file_id: String,
    }
}

fn embedding_json(caller: &Caller<Admin>) -> Value {
    let config = &caller.app().config;
    json!({
        "status": true,
        "RAG_EMBEDDING_ENGINE": config.get(&rag::RAG_EMBEDDING_ENGINE),
        "RAG_EMBEDDING_MODEL": config.get(&rag::RAG_EMBEDDING_MODEL),
        "RAG_EMBEDDING_BATCH_SIZE": config.snapshot().value(rag::RAG_EMBEDDING_BATCH_SIZE.path()),
        "ENABLE_ASYNC_EMBEDDING": config.snapshot().value(rag::ENABLE_ASYNC_EMBEDDING.path()),
        "RAG_EMBEDDING_CONCURRENT_REQUESTS": config.snapshot().value(rag::RAG_EMBEDDING_CONCURRENT_REQUESTS.path()),
        "openai_config": {
            "url": config.get(&rag::RAG_OPENAI_API_BASE_URL), "key": config.get(&rag::RAG_OPENAI_API_KEY),
        },
        "ollama_config": {
            "url": config.get(&rag::RAG_OLLAMA_BASE_URL), "key": config.get(&rag::RAG_OLLAMA_API_KEY),
        },
        "azure_openai_config": {
            "url": config.get(&rag::RAG_AZURE_OPENAI_BASE_URL), "key": config.get(&rag::RAG_AZURE_OPENAI_API_KEY),
            "version": config.get(&rag::RAG_AZURE_OPENAI_API_VERSION),
        },
    })
}

async fn embedding(caller: Caller<Admin>) -> Json<Value> {
    Json(embedding_json(&caller))
}

async fn set_embedding(
    caller: Caller<Admin>,
    Body { form, .. }: Body<EmbeddingForm>,
) -> ApiResult<Json<Value>> {
    let known = ["", "openai", "ollama", "azure_openai"].contains(&form.engine.as_str());
    if !known {
        let text = messages::default_with("Error updating embedding configuration");
        return Err(ApiError::new(http::StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    let mut changes: BTreeMap<String, Value> = BTreeMap::new();
    let mut set = |path: &str, value: Value| changes.insert(path.to_owned(), value);
    set(rag::RAG_EMBEDDING_ENGINE.path(), json!(form.engine));
    set(rag::RAG_EMBEDDING_MODEL.path(), json!(form.model.trim()));
    set(rag::RAG_EMBEDDING_BATCH_SIZE.path(), json!(form.batch_size));
    set(rag::ENABLE_ASYNC_EMBEDDING.path(), json!(form.concurrent));
    set(rag::RAG_EMBEDDING_CONCURRENT_REQUESTS.path(), json!(form.at_once));
    let server = match form.engine.as_str() {
        "openai" => form.openai_config,
        "ollama" => form.ollama_config,
        "azure_openai" => form.azure_openai_config,
        _ => None,
    };
    if let Some(server) = server {
        let (url, key) = match form.engine.as_str() {
            "openai" => (&rag::RAG_OPENAI_API_BASE_URL, &rag::RAG_OPENAI_API_KEY),
            "ollama" => (&rag::RAG_OLLAMA_BASE_URL, &rag::RAG_OLLAMA_API_KEY),
            _ => (&rag::RAG_AZURE_OPENAI_BASE_URL, &rag::RAG_AZURE_OPENAI_API_KEY),
        };
        set(url.path(), json!(server.url.unwrap_or_default()));
        set(key.path(), json!(server.key.unwrap_or_default()));
        if form.engine == "azure_openai" {
            let version = json!(server.version.unwrap_or_default());
            set(rag::RAG_AZURE_OPENAI_API_VERSION.path(), version);
        }
    }
    caller.app().save_config(changes).await?;
    caller.app().retrieval.embedder.local().unload();
    Ok(Json(embedding_json(&caller)))
}

fn config_json(caller: &Caller<Admin>) -> Map<String, Value> {
    let app = caller.app();
    let mut shown = Map::new();
    shown.insert("status".into(), json!(true));
    shown.extend(settings::show(&app.config, page::DOCUMENTS));
    let mut web = settings::show(&app.config, page::WEB);
    let translation = app.memo::<Unstored>().translation.lock().clone();
    web.insert("YOUTUBE_LOADER_TRANSLATION".into(), translation);
    shown.insert("web".into(), Value::Object(web));
    shown
}

async fn config(caller: Caller<Admin>) -> Json<Value> {
    Json(Value::Object(config_json(&caller)))
}

/// Places of problems inside the object `web`.
fn inside_web(error: ApiError) -> ApiError {
    let mut issues = error.detail().as_array().cloned().unwrap_or_default();
    for issue in &mut issues {
        if let Some(place) = issue.get_mut("loc").and_then(Value::as_array_mut) {
            place.insert(1, json!("web"));
        }
    }
    ApiError::unprocessable(issues)
}

async fn set_config(caller: Caller<Admin>, ObjectBody(body): ObjectBody) -> ApiResult<Json<Value>> {
    let web = body.get("web").filter(|web| !web.is_null()).cloned();
    let mut changes = settings::read(page::DOCUMENTS, &Value::Object(body.clone()))?;
    // A null changes nothing here, but empties a field of web search.
    changes.retain(|_, value| !value.is_null());
    for key in [
        "FILE_MAX_SIZE",
        "FILE_MAX_COUNT",
        "FILE_IMAGE_COMPRESSION_WIDTH",
        "FILE_IMAGE_COMPRESSION_HEIGHT",
    ] {
        if body.get(key).and_then(Value::as_str) == Some("")
            && let Some(path) = settings::path_of(page::DOCUMENTS, key)
        {
            changes.insert(path.to_owned(), Value::Null);
        }
    }
    if let Some(model) = changes.get_mut(rag::RAG_TOKENIZER_MODEL.path()) {
        *model = json!(model.as_str().unwrap_or_default().trim());
    }
    if let Some(web) = web {
        let mut fields = settings::read(page::WEB, &web).map_err(inside_web)?;
        if let Some(path) = settings::path_of(page::WEB, "BRAVE_SEARCH_CONTEXT_TOKENS")
            && fields.get(path).is_some_and(Value::is_null)
        {
            fields.remove(path);
        }
        changes.extend(fields);
        if let Some(translation) = web.get("YOUTUBE_LOADER_TRANSLATION") {
            *caller.app().memo::<Unstored>().translation.lock() = translation.clone();
        }
    }
    caller.app().save_config(changes).await?;
    let retrieval = &caller.app().retrieval;
    retrieval.embedder.local().unload();
    if retrieval.search_options().hybrid && !retrieval.is_bypassed() && !retrieval.reranker.is_usable() {
        tracing::error!("the reranking model is not on this machine; hybrid search is turned off");
        let off = BTreeMap::from([(rag::ENABLE_RAG_HYBRID_SEARCH.path().to_owned(), json!(false))]);
        caller.app().save_config(off).await?;
    }
    let mut shown = config_json(&caller);
    for name in page::NOT_ECHOED {
        shown.shift_remove(*name);
        if let Some(web) = shown.get_mut("web").and_then(Value::as_object_mut) {
            web.shift_remove(*name);
        }
    }
    Ok(Json(Value::Object(shown)))
}

/// The configuration's options with those of a request laid over: zero counts as not given, but not as weight.
fn options(
    retrieval: &Retrieval,
    k: Option<i64>,
    k_reranker: Option<i64>,
    threshold: Option<f64>,
    hybrid: Option<bool>,
    weight: Option<f64>,
) -> SearchOptions {
    let mut options = retrieval.search_options();
    let given = |value: Option<i64>| {
        value
            .and_then(|value| usize::try_from(value).ok())
            .filter(|value| *value > 0)
    };
    options.k = given(k).unwrap_or(options.k);
    options.k_reranker = given(k_reranker).unwrap_or(options.k_reranker);
    options.threshold = threshold
        .filter(|value| *value != 0.0)
        .unwrap_or(options.threshold);
    options.word_weight = weight.unwrap_or(options.word_weight);
    options.hybrid &= hybrid.unwrap_or(true);
    options
}

fn failed(error: Error) -> ApiError {
    tracing::error!(%error, "a collection could not be searched");
    ApiError::bad_request(messages::default_with("Error querying knowledge base"))
}

async fn query_doc(
    caller: Caller<Verified>,
    Body { form, .. }: Body<QueryDocForm>,
) -> ApiResult<Json<Value>> {
    let retrieval = &caller.app().retrieval;
    let names = [form.collection_name];
    retrieval.demand(&names, caller.user(), Use::Read).await?;
    let (k, weight) = (form.k, form.hybrid_bm25_weight);
    let options = options(retrieval, k, form.k_reranker, form.r, form.hybrid, weight);
    let context = caller_of(caller.user());
    if options.hybrid {
        let questions = [form.query];
        let found = retrieval
            .hybrid(&names, &questions, &options, Some(&context))
            .await;
        return Ok(Json(found.map_err(failed)?.to_json()));
    }
    let hits = async {
        let vector = retrieval
            .embedder
            .embed_one(&form.query, Purpose::Query, Some(&context))
            .await?;
        let store = retrieval.store().await?;
        store.search(&names[0], &vector, &Filter::all(), options.k).await
    };
    Ok(Json(hits_json(hits.await.map_err(failed)?.as_deref())))
}

async fn query_collection(
    caller: Caller<Verified>,
    Body { form, .. }: Body<QueryCollectionForm>,
) -> ApiResult<Json<Value>> {
    let retrieval = &caller.app().retrieval;
    retrieval
        .demand(&form.collection_names, caller.user(), Use::Read)
        .await?;
    let (k, weight) = (form.k, form.hybrid_bm25_weight);
    let mut options = options(retrieval, k, form.k_reranker, form.r, form.hybrid, weight);
    options.enriched = form.enable_enriched_texts.unwrap_or(options.enriched);
    let context = caller_of(caller.user());
    let found = retrieval
        .search(&form.collection_names, &[form.query], &options, Some(&context))
        .await
        .map_err(failed)?;
    Ok(Json(found.to_json()))
}

async fn delete(caller: Caller<Admin>, Body { form, .. }: Body<DeleteForm>) -> ApiResult<Json<Value>> {
    let store = match caller.app().retrieval.store().await {
        Ok(store) => store,
        Err(error) => {
            tracing::error!(%error, "the vector store can not be reached");
            return Ok(Json(json!({ "status": false })));
        }
    };
    if !store.has(&form.collection_name).await.unwrap_or(false) {
        return Ok(Json(json!({ "status": false })));
    }
    let file = knowledge::file(caller.db(), &form.file_id).await?;
    let file = file.ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    let hash = file.hash.ok_or_else(|| {
        ApiError::bad_request(messages::default_with(
            "File has no hash; cannot delete vector entries by hash.",
        ))
    })?;
    let deleted = store
        .delete(&form.collection_name, &Filter::eq("hash", hash))
        .await;
    Ok(Json(json!({ "status": deleted.is_ok() })))
}

/// Empties the vector store and removes all knowledge bases; files stay.
async fn reset_store(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    let store = caller.app().retrieval.store().await.map_err(ApiError::internal)?;
    store.reset().await.map_err(ApiError::internal)?;
    knowledge::remove_all(caller.db()).await?;
    Ok(Json(Value::Null))
}

/// Empties the folder of uploads; rows of files stay.
async fn reset_uploads(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    let folder = caller.app().settings.server.upload_dir();
    let mut entries = match tokio::fs::read_dir(&folder).await {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "the folder of uploads can not be read");
            return Ok(Json(json!(true)));
        }
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let path = entry.path();
        let is_folder = entry.file_type().await.is_ok_and(|kind| kind.is_dir());
        let removed = if is_folder {
            tokio::fs::remove_dir_all(&path).await
        } else {
            tokio::fs::remove_file(&path).await
        };
        if let Err(error) = removed {
            tracing::error!(%error, path = %path.display(), "could not be removed");
        }
    }
    Ok(Json(json!(true)))
}
