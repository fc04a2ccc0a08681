//! What users let models remember of them: `/api/v1/memories`. The rows are the models crate's, finding by meaning
//! the retrieval's, and so is the order by place.

use axum::Json;
use axum::extract::Path;
use oui_config::features;
use oui_core::{ApiError, ApiResult, choice, form, messages};
use oui_models::memories::{self, Edit, MemoryRow, Operation};
use oui_models::users;
use oui_retrieval::memories::tree::{self, Wanted};
use oui_retrieval::memories::{clean_content, clean_path, details};
use oui_retrieval::{Retrieval, caller_of, hits_json};
use oui_web::{Admin, Area, Body, Caller, Verified, endpoints};
use serde_json::{Value, json};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "memories" at "/api/v1/memories";
        GET    "/"                   Verified => list,
        POST   "/add"                Verified => add,
        POST   "/update"             Verified => update_many,
        POST   "/query"              Verified => query,
        POST   "/search"             Verified => search,
        POST   "/paths"              Verified => paths,
        POST   "/path"               Verified => path,
        POST   "/reindex"            Admin    => reindex,
        POST   "/reset"              Verified => reset,
        DELETE "/delete/user"        Verified => remove_all,
        POST   "/{memory_id}/update" Verified => update,
        DELETE "/{memory_id}"        Verified => remove,
    }
}

choice! {
    /// What a memory is about.
    enum Kind { User = "user", Context = "context" }
}

choice! {
    /// Which kinds of memories.
    enum Kinds { User = "user", Context = "context", All = "all" }
}

choice! {
    /// Who changes memories.
    enum Source { Tool = "tool", Review = "background_review" }
}

choice! {
    /// What is done to a memory.
    enum Action { Add = "add", Replace = "replace", Remove = "remove", Move = "move" }
}

form! {
    /// A new memory.
    struct AddForm {
        /// The text.
        content: String,
        /// What it is about.
        kind as "type": Kind = Kind::Context,
        /// Place in the tree of topics.
        path: Option<String>,
    }
}

form! {
    /// A change of a memory.
    struct EditForm {
        /// The text.
        content: Option<String>,
        /// What it is about.
        kind as "type": Option<Kind>,
        /// Place in the tree of topics.
        path: Option<String>,
    }
}

form! {
    /// One of several changes.
    struct OperationForm {
        /// What is done.
        action: Action,
        /// Which memory.
        id: Option<String>,
        /// The text.
        content: Option<String>,
        /// What it is about.
        kind as "type": Option<Kind>,
        /// Place in the tree of topics.
        path: Option<String>,
    }
}

form! {
    /// Several changes.
    struct OperationsForm {
        /// In this order, all or none.
        operations: Vec<OperationForm>,
        /// Who changes.
        source: Option<Source>,
    }
}

form! {
    /// A question.
    struct QueryForm {
        /// The question.
        content: String,
        /// Memories wanted.
        k: Option<i64> = Some(1),
    }
}

form! {
    /// Which memories.
    struct SearchForm {
        /// Text in them.
        query: Option<String>,
        /// Which kinds.
        kind as "type": Kinds = Kinds::All,
        /// Place to look near.
        path: Option<String>,
        /// Only this one.
        memory_id: Option<String>,
        /// How many at most.
        limit: i64 = 20,
    }
}

form! {
    /// Which places.
    struct PathsForm {
        /// Text in their memories.
        query: Option<String>,
        /// Which kinds.
        kind as "type": Kinds = Kinds::All,
        /// How many at most.
        limit: i64 = 100,
    }
}

form! {
    /// Which place.
    struct PathForm {
        /// The place.
        path: String,
        /// Which kinds.
        kind as "type": Kinds = Kinds::All,
        /// With what lies below.
        include_children: bool = true,
        /// How many at most.
        limit: i64 = 50,
    }
}

async fn demand(caller: &Caller<Verified>) -> ApiResult<()> {
    if !caller.app().config.get(&features::ENABLE_MEMORIES) {
        return Err(ApiError::not_found(messages::NOT_FOUND));
    }
    if !caller.may("features.memories").await? {
        return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
    }
    Ok(())
}

fn retrieval(caller: &Caller<Verified>) -> &Retrieval {
    &caller.app().retrieval
}

/// Makes memories findable; a failure is the server's, as the memory itself is kept.
async fn index(caller: &Caller<Verified>, rows: &[MemoryRow]) -> ApiResult<()> {
    retrieval(caller)
        .index_memories(caller.id(), rows, &caller_of(caller.user()))
        .await
        .map_err(ApiError::internal)
}

async fn list(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    let memories = memories::of_user(caller.db(), caller.id()).await?;
    Ok(Json(memories.iter().map(MemoryRow::to_json).collect()))
}

async fn add(caller: Caller<Verified>, Body { form, .. }: Body<AddForm>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    let content = clean_content(&form.content)?;
    let path = clean_path(form.path.as_deref())?;
    let meta = json!({ "created_by": "manual" });
    let kind = form.kind.as_str();
    let row = memories::insert(caller.db(), caller.id(), &content, kind, path.as_deref(), meta).await?;
    index(&caller, std::slice::from_ref(&row)).await?;
    caller.tell("memory.created", row.id.as_str(), details(&row));
    Ok(Json(row.to_json()))
}

fn operation(form: &OperationForm) -> ApiResult<Operation> {
    let id = || {
        form.id.clone().filter(|id| !id.is_empty()).ok_or_else(|| {
            ApiError::bad_request(format!("Memory id is required for {}", form.action.as_str()))
        })
    };
    let content = || clean_content(form.content.as_deref().unwrap_or_default());
    let path = || clean_path(form.path.as_deref());
    let kind = form.kind.map(Kind::as_str);
    Ok(match form.action {
        Action::Add => Operation::Add {
            content: content()?,
            kind: memories::kind(kind),
            path: path()?,
        },
        Action::Replace => Operation::Replace {
            id: id()?,
            content: content()?,
            kind,
            path: path()?,
        },
        Action::Move => Operation::Move {
            id: id()?,
            path: path()?,
        },
        Action::Remove => Operation::Remove { id: id()? },
    })
}

async fn update_many(
    caller: Caller<Verified>,
    Body { form, .. }: Body<OperationsForm>,
) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    if form.operations.is_empty() {
        return Err(ApiError::bad_request("No memory operations provided"));
    }
    let operations: Vec<Operation> = form.operations.iter().map(operation).collect::<ApiResult<_>>()?;
    let source = form.source.unwrap_or(Source::Tool).as_str();
    let meta = json!({ "created_by": source, "chat_id": null, "message_id": null, "model": null });
    let done = retrieval(&caller)
        .change_memories(caller.user(), &operations, &meta)
        .await?;
    Ok(Json(Value::Array(done)))
}

async fn query(caller: Caller<Verified>, Body { form, .. }: Body<QueryForm>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    if memories::of_user(caller.db(), caller.id()).await?.is_empty() {
        return Err(ApiError::not_found("No memories found for user"));
    }
    let limit = usize::try_from(form.k.unwrap_or(10)).unwrap_or(0);
    let hits = retrieval(&caller)
        .find_memories(caller.id(), &form.content, limit, &caller_of(caller.user()))
        .await
        .map_err(ApiError::internal)?;
    Ok(Json(hits_json(hits.as_deref())))
}

async fn search(caller: Caller<Verified>, Body { form, .. }: Body<SearchForm>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    let rows = memories::of_user(caller.db(), caller.id()).await?;
    let wanted = Wanted {
        query: form.query.as_deref().unwrap_or_default(),
        path: form.path.as_deref(),
        id: form.memory_id.as_deref().filter(|id| !id.is_empty()),
        kind: form.kind.as_str(),
        limit: form.limit,
    };
    let found = tree::search(rows, &wanted)?;
    Ok(Json(found.iter().map(MemoryRow::to_json).collect()))
}

async fn paths(caller: Caller<Verified>, Body { form, .. }: Body<PathsForm>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    let rows = memories::of_user(caller.db(), caller.id()).await?;
    let query = form.query.as_deref().unwrap_or_default();
    Ok(Json(tree::paths(&rows, query, form.kind.as_str(), form.limit)))
}

async fn path(caller: Caller<Verified>, Body { form, .. }: Body<PathForm>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    let path = clean_path(Some(&form.path))?;
    let path = path.ok_or_else(|| ApiError::bad_request("Memory path is required"))?;
    let rows = memories::of_user(caller.db(), caller.id()).await?;
    let kind = form.kind.as_str();
    Ok(Json(tree::read(
        &rows,
        &path,
        kind,
        form.include_children,
        form.limit,
    )))
}

/// Makes the vectors of everybody's memories anew.
async fn reindex(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    let mut owners: Vec<String> = memories::all(caller.db())
        .await?
        .into_iter()
        .filter_map(|row| row.user_id)
        .collect();
    owners.dedup();
    let mut total = 0;
    for user in users::by_ids(caller.db(), &owners).await? {
        let made = caller
            .app()
            .retrieval
            .reindex_memories(&user.id, &caller_of(&user))
            .await;
        total += made.map_err(ApiError::internal)?;
    }
    let people = users::count(caller.db()).await?;
    let news = json!({ "count": total, "user_count": people, "reindex": true });
    caller.tell_of("memory.reset", ("user", "all"), news);
    Ok(Json(
        json!({ "status": true, "total_users": people, "total_memories": total }),
    ))
}

async fn reset(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    let count = retrieval(&caller)
        .reindex_memories(caller.id(), &caller_of(caller.user()))
        .await
        .map_err(ApiError::internal)?;
    let news = json!({ "count": count, "reindex": true });
    caller.tell_of("memory.reset", ("user", caller.id()), news);
    Ok(Json(json!(true)))
}

async fn remove_all(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    memories::remove_all(caller.db(), caller.id()).await?;
    if let Err(error) = retrieval(&caller).forget_all_memories(caller.id()).await {
        tracing::error!(%error, "vectors of removed memories could not be removed");
    }
    caller.publish(caller.notice("memory.deleted").about_kind("user", caller.id()));
    Ok(Json(json!(true)))
}

async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Body { form, .. }: Body<EditForm>,
) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    let content = form.content.as_deref().map(clean_content).transpose()?;
    let path = clean_path(form.path.as_deref())?;
    if content.is_none() && form.kind.is_none() && form.path.is_none() {
        return Err(ApiError::bad_request("No memory update provided"));
    }
    let edit = Edit {
        content: content.as_deref(),
        kind: form.kind.map(Kind::as_str),
        path: form.path.as_ref().map(|_| path.as_deref()),
        meta: json!({ "created_by": "manual" }),
    };
    let mut tx = caller.db().begin().await?;
    let row = memories::update(&mut tx, caller.id(), &id, edit).await?;
    let row = row.ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    tx.commit().await?;
    if content.is_some() || form.path.is_some() {
        index(&caller, std::slice::from_ref(&row)).await?;
    }
    caller.tell("memory.updated", row.id.as_str(), details(&row));
    Ok(Json(row.to_json()))
}

async fn remove(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    let removed = memories::remove(caller.db(), caller.id(), &id).await?;
    if removed {
        let forgotten = retrieval(&caller)
            .forget_memories(caller.id(), vec![id.clone()])
            .await;
        forgotten.map_err(ApiError::internal)?;
        caller.tell("memory.deleted", id, Value::Null);
    }
    Ok(Json(json!(removed)))
}
