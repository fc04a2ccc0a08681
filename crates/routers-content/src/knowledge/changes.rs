//! Making, renaming, emptying and removing collections, and making their vectors anew.

use axum::Json;
use axum::extract::Path;
use oui_access::Identity;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_loaders::ingest::{Ingest, ProcessFile};
use oui_models::file_texts::{self, FileText};
use oui_models::knowledge::{self, KnowledgeRow};
use oui_models::knowledge_edits;
use oui_models::loose_chunks;
use oui_models::shared;
use oui_retrieval::{KNOWLEDGE_BASES, collection_of_file};
use oui_web::{Admin, Body, Caller, Query, Role, Verified};
use serde_json::{Value, json};

use super::files::remove_resource;
use super::{PLAIN, Refusals, external, is_external, with_files, writable};
use crate::common::{GrantForm, allowed_grants};

form! {
    /// A collection.
    pub(super) struct KnowledgeForm {
        /// Name shown.
        name: String,
        /// Description shown.
        description: String,
        /// Who may use it besides its owner.
        access_grants: Option<Vec<GrantForm>>,
    }
}

pub(super) async fn create(
    caller: Caller<Verified>,
    Body { form, .. }: Body<KnowledgeForm>,
) -> ApiResult<Json<Value>> {
    if !caller.may("workspace.knowledge").await? {
        return Err(ApiError::unauthorized(messages::UNAUTHORIZED));
    }
    let grants = allowed_grants(&caller, knowledge::KIND, form.access_grants).await?;
    let (name, description) = (&form.name, &form.description);
    let id = knowledge_edits::create(caller.db(), caller.id(), name, description, None, &grants).await?;
    caller
        .app()
        .retrieval
        .index_knowledge(&id, name, Some(description))
        .await;
    caller.tell("knowledge.created", id.as_str(), json!({ "name": name }));
    plain(&caller, &id).await
}

/// The collection without its files.
pub(super) async fn plain<R: Role<Who = Identity>>(caller: &Caller<R>, id: &str) -> ApiResult<Json<Value>> {
    let entry = shared::get::<KnowledgeRow>(caller.db(), id).await?;
    let Some(entry) = entry else {
        return Ok(Json(Value::Null));
    };
    let mut json = entry.row.to_json(&entry.grants);
    json.insert("files".into(), Value::Null);
    Ok(Json(Value::Object(json)))
}

const ANY: Refusals = Refusals {
    external: true,
    ..PLAIN
};

pub(super) async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Body { form, .. }: Body<KnowledgeForm>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id, ANY).await?;
    let grants = match form.access_grants {
        Some(wanted) => {
            let values: Vec<Value> = wanted.into_iter().map(Value::Object).collect();
            Some(oui_models::grants::normalize(&values))
        }
        None => None,
    };
    let (name, description) = (&form.name, &form.description);
    knowledge_edits::update(caller.db(), &id, name, description, grants.as_deref()).await?;
    caller
        .app()
        .retrieval
        .index_knowledge(&id, name, Some(description))
        .await;
    caller.tell("knowledge.updated", id.as_str(), json!({ "name": name }));
    with_files(caller.db(), &id).await
}

pub(super) async fn remove(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let entry = writable(&caller, &id, ANY).await?;
    let removed = knowledge_edits::remove(caller.db(), &id).await?;
    let retrieval = &caller.app().retrieval;
    if is_external(&entry.row) {
        if caller.is_admin() {
            external::forget_unused(&caller, &entry.row).await?;
        }
    } else {
        match retrieval.forget_collection(&id).await {
            Ok(()) => loose_chunks::settle_all(caller.db(), &id).await?,
            Err(error) => {
                tracing::warn!(%error, id, "vectors of a removed collection could not be removed");
            }
        }
    }
    if let Err(error) = retrieval.forget_knowledge(&id).await {
        tracing::debug!(%error, id, "the name of a removed collection could not be taken out");
    }
    if removed {
        caller.tell("knowledge.deleted", id, json!({ "name": entry.row.name }));
    }
    Ok(Json(json!(removed)))
}

form! {
    /// What is emptied.
    pub(super) struct ResetQuery {
        /// Folders, too.
        include_directories: bool = true,
    }
}

pub(super) async fn reset(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<ResetQuery>,
) -> ApiResult<Json<Value>> {
    writable(&caller, &id, PLAIN).await?;
    let files = file_texts::of_knowledge(caller.db(), &id).await?;
    let mut tx = caller.db().begin().await?;
    knowledge_edits::reset(&mut tx, &id, query.include_directories).await?;
    tx.commit().await?;
    match caller.app().retrieval.forget_collection(&id).await {
        Ok(()) => loose_chunks::settle_all(caller.db(), &id).await?,
        Err(error) => tracing::warn!(%error, id, "vectors of an emptied collection could not be removed"),
    }
    if !caller.app().settings.engines.keep_knowledge_files {
        for file in files {
            if file.user_id.as_deref() == Some(caller.id()) || caller.is_admin() {
                remove_resource(&caller, &file).await?;
            }
        }
    }
    let news = json!({ "include_directories": query.include_directories });
    caller.tell("knowledge.reset", id.as_str(), news);
    plain(&caller, &id).await
}

/// Makes the vectors of all collections anew from the stored texts. Files that fail are left out and logged.
pub(super) async fn reindex(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    if !caller.is_admin() {
        return Err(ApiError::unauthorized(messages::UNAUTHORIZED));
    }
    let retrieval = &caller.app().retrieval;
    let all = knowledge_edits::all(caller.db()).await?;
    let count = all.len();
    for row in all {
        if let Err(error) = retrieval.forget_collection(&row.id).await {
            tracing::error!(%error, id = row.id, "a collection could not be emptied");
            continue;
        }
        for file in file_texts::of_knowledge(caller.db(), &row.id).await? {
            if let Err(error) = again(&caller, &row, &file).await {
                tracing::warn!(%error, file = file.id, "a file could not be made findable again");
            }
        }
    }
    caller.tell("knowledge.reindexed", "all", json!({ "count": count }));
    Ok(Json(json!(true)))
}

async fn again(caller: &Caller<Verified>, row: &KnowledgeRow, file: &FileText) -> ApiResult<()> {
    let retrieval = &caller.app().retrieval;
    retrieval.forget_collection(&collection_of_file(&file.id)).await?;
    let job = ProcessFile {
        file_id: file.id.clone(),
        content: None,
        collection_name: Some(row.id.clone()),
    };
    retrieval.process_file(caller.user(), job).await?;
    Ok(())
}

/// Makes all collections findable by their names again.
pub(super) async fn reindex_names(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    let retrieval = &caller.app().retrieval;
    let rows = knowledge_edits::all(caller.db()).await?;
    if let Err(error) = retrieval.forget_collection(KNOWLEDGE_BASES).await {
        tracing::warn!(%error, "the names of collections could not be removed first");
    }
    let mut done = 0;
    for row in &rows {
        if retrieval
            .index_knowledge(&row.id, &row.name, row.description.as_deref())
            .await
        {
            done += 1;
        }
    }
    Ok(Json(json!({ "total": rows.len(), "success": done })))
}
