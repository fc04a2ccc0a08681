//! Searching collections and emptying them: `/api/v1/retrieval`. What puts documents into collections is the area of
//! files; the settings pages are in the system's routers.

use axum::Json;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::knowledge;
use oui_retrieval::{Error, Filter, Purpose, Retrieval, SearchOptions, Use, caller_of, hits_json};
use oui_web::{Admin, Area, Body, Caller, Verified, endpoints};
use serde_json::{Value, json};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "retrieval" at "/api/v1/retrieval";
        POST "/query/doc"        Verified => query_doc,
        POST "/query/collection" Verified => query_collection,
        POST "/delete"           Admin    => delete,
        POST "/reset/db"         Admin    => reset_store,
        POST "/reset/uploads"    Admin    => reset_uploads,
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
    if deleted.is_ok() {
        let news = json!({ "file_id": form.file_id });
        caller.tell("retrieval.collection.deleted", form.collection_name, news);
    }
    Ok(Json(json!({ "status": deleted.is_ok() })))
}

/// Empties the vector store and removes all knowledge bases; files stay.
async fn reset_store(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    let store = caller.app().retrieval.store().await.map_err(ApiError::internal)?;
    store.reset().await.map_err(ApiError::internal)?;
    knowledge::remove_all(caller.db()).await?;
    caller.tell("retrieval.vector_db.reset", "default", Value::Null);
    Ok(Json(Value::Null))
}

/// Empties the folder of uploads; rows of files stay.
async fn reset_uploads(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    empty(&caller.app().settings.server.upload_dir()).await;
    let about = ("file.uploads", "all");
    caller.tell_of("retrieval.uploads.reset", about, Value::Null);
    Ok(Json(json!(true)))
}

/// Removes what lies in a folder, as far as that is possible.
async fn empty(folder: &std::path::Path) {
    let mut entries = match tokio::fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "the folder of uploads can not be read");
            return;
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
}
