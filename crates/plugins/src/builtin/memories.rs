//! What the user lets models remember: looking it up, adding to it, changing and forgetting it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use oui_core::ApiResult;
use oui_models::memories::{self as rows, Edit, MemoryRow, Operation};
use oui_retrieval::caller_of;
use oui_retrieval::memories::tree::{self, Wanted};
use oui_retrieval::memories::{clean_content, clean_path, details, operation};
use serde_json::{Value, json};

use super::builtins;
use super::spec::{Shape, default, optional, required};
use crate::args::Args;
use crate::tool::{Answer, ToolContext, ToolError};

/// Tools that change memories, which sub-agents may not.
pub(super) const CHANGING: [&str; 4] = [
    "add_memory",
    "delete_memory",
    "replace_memory_content",
    "update_memory",
];

builtins! {
    TOOLS {
        "search_memories"
        "Looks for what is remembered about the user, by text, kind, place or id."
        [
            default("query", Shape::Text, "\"\"", "Text that the memory or its place has; empty finds all."),
            default("count", Shape::Int, "5", "How many at most."),
            default("type", Shape::Text, "\"all\"", "user (about the person), context (anything else) or all."),
            optional("path", Shape::Text, "Place to look near, such as work/rust."),
            optional("memory_id", Shape::Text, "Only this memory."),
        ] => search;

        "list_memory_paths"
        "Lists the places that memories are kept at, so that new ones go where they belong."
        [
            default("query", Shape::Text, "\"\"", "Text that places or their memories have."),
            default("count", Shape::Int, "100", "How many places at most."),
            default("type", Shape::Text, "\"all\"", "user, context or all."),
        ] => paths;

        "read_memory_path"
        "Reads the memories at a place, with the places above and below it."
        [
            required("path", Shape::Text, "The place."),
            default("count", Shape::Int, "50", "How many memories at most."),
            default("type", Shape::Text, "\"all\"", "user, context or all."),
            default("include_children", Shape::Flag, "true", "Whether memories below the place are read too."),
        ] => read;

        "list_memories"
        "Lists all memories of the user."
        [] => list;

        "update_memory"
        "Changes several memories in one step, all or none. Each operation has an action: add (content, type, path), replace (id, content, type, path), move (id, path) or remove (id). Remember only what stays true and helps in later chats."
        [required("operations", Shape::Objects, "The operations, in order.")] => update_many;

        "add_memory"
        "Remembers something that stays true and helps in later chats: preferences, goals, people, standing wishes. Not what only matters today, unless the user asks for it."
        [
            required("content", Shape::Text, "What to remember, one sentence."),
            default("type", Shape::Text, "\"user\"", "user (about the person) or context (anything else)."),
            optional("path", Shape::Text, "Place to keep it at, such as work/rust."),
        ] => add;

        "replace_memory_content"
        "Corrects a memory."
        [
            required("memory_id", Shape::Text, "Which memory."),
            required("content", Shape::Text, "Its new text."),
            optional("type", Shape::Text, "user or context; kept when left out."),
            optional("path", Shape::Text, "Its new place; kept when left out."),
        ] => replace;

        "delete_memory"
        "Forgets a memory."
        [required("memory_id", Shape::Text, "Which memory.")] => forget;
    }
}

fn kinds(args: &Args) -> &'static str {
    match args.optional_text("type").as_deref() {
        Some("user") => "user",
        Some("context") => "context",
        _ => "all",
    }
}

/// A time in seconds as people read it.
fn shown_time(seconds: Option<i64>, pattern: &str) -> String {
    let time = Timestamp::from_second(seconds.unwrap_or_default()).unwrap_or_default();
    time.to_zoned(TimeZone::system()).strftime(pattern).to_string()
}

fn shown(memory: &MemoryRow, pattern: &str) -> Value {
    json!({
        "id": memory.id, "type": memory.kind, "path": memory.path, "content": memory.content,
        "created_at": shown_time(memory.created_at, pattern), "updated_at": shown_time(memory.updated_at, pattern),
    })
}

async fn of_user(context: &ToolContext) -> Result<Vec<MemoryRow>, ToolError> {
    Ok(rows::of_user(&context.db, &context.user.id).await?)
}

async fn search(context: &ToolContext, args: Args) -> Answer {
    let (query, path, id) = (
        args.optional_text("query").unwrap_or_default(),
        args.optional_text("path"),
        args.optional_text("memory_id"),
    );
    let wanted = Wanted {
        query: &query,
        path: path.as_deref(),
        id: id.as_deref().filter(|id| !id.is_empty()),
        kind: kinds(&args),
        limit: args.count("count", 5),
    };
    let found = tree::search(of_user(context).await?, &wanted)?;
    Ok(found.iter().map(|memory| shown(memory, "%Y-%m-%d")).collect())
}

async fn paths(context: &ToolContext, args: Args) -> Answer {
    let query = args.optional_text("query").unwrap_or_default();
    let all = of_user(context).await?;
    Ok(tree::paths(&all, &query, kinds(&args), args.count("count", 100)))
}

async fn read(context: &ToolContext, args: Args) -> Answer {
    let path = clean_path(Some(&args.text("path")?))?;
    let path = path.ok_or_else(|| ToolError::new("Memory path is required"))?;
    let all = of_user(context).await?;
    let deep = args.flag("include_children", true);
    Ok(tree::read(
        &all,
        &path,
        kinds(&args),
        deep,
        args.count("count", 50),
    ))
}

async fn list(context: &ToolContext, _: Args) -> Answer {
    let all = of_user(context).await?;
    Ok(all.iter().map(|memory| shown(memory, "%Y-%m-%d %H:%M")).collect())
}

async fn update_many(context: &ToolContext, args: Args) -> Answer {
    let given = args.list("operations").cloned().unwrap_or_default();
    if given.is_empty() {
        return Err(ToolError::new("No memory operations provided"));
    }
    let operations: Vec<Operation> = given.iter().map(operation).collect::<ApiResult<_>>()?;
    let meta = json!({
        "created_by": "tool", "chat_id": context.chat_id, "message_id": null, "model": context.model_id,
    });
    let done = context
        .retrieval
        .change_memories(&context.user, &operations, &meta)
        .await?;
    Ok(Value::Array(done))
}

async fn index(context: &ToolContext, row: &MemoryRow) -> Result<(), ToolError> {
    let caller = caller_of(&context.user);
    let rows = std::slice::from_ref(row);
    let indexed = context
        .retrieval
        .index_memories(&context.user.id, rows, &caller)
        .await;
    indexed.map_err(|error| {
        tracing::error!(%error, "a memory could not be made findable");
        ToolError::new("The memory is kept, but cannot be found by its meaning.")
    })
}

async fn add(context: &ToolContext, args: Args) -> Answer {
    let content = clean_content(&args.text("content")?)?;
    let kind = rows::kind(Some(args.optional_text("type").as_deref().unwrap_or("user")));
    let path = clean_path(args.optional_text("path").as_deref())?;
    let meta = json!({ "created_by": "manual" });
    let row = rows::insert(
        &context.db,
        &context.user.id,
        &content,
        kind,
        path.as_deref(),
        meta,
    )
    .await?;
    index(context, &row).await?;
    context.tell("memory.created", &row.id, details(&row));
    Ok(json!({ "status": "success", "id": row.id, "type": row.kind, "path": row.path }))
}

async fn replace(context: &ToolContext, args: Args) -> Answer {
    let id = args.text("memory_id")?;
    let content = clean_content(&args.text("content")?)?;
    let kind = args.optional_text("type").filter(|kind| !kind.is_empty());
    let given = args.optional_text("path");
    let path = clean_path(given.as_deref())?;
    let edit = Edit {
        content: Some(&content),
        kind: kind.as_deref().map(|kind| rows::kind(Some(kind))),
        path: given.as_ref().map(|_| path.as_deref()),
        meta: json!({ "created_by": "manual" }),
    };
    let mut tx = context.db.begin().await?;
    let row = rows::update(&mut tx, &context.user.id, &id, edit).await?;
    let row = row.ok_or_else(|| ToolError::new("Memory not found or access denied"))?;
    tx.commit().await?;
    index(context, &row).await?;
    context.tell("memory.updated", &row.id, details(&row));
    Ok(json!({
        "status": "success", "id": row.id, "type": row.kind, "path": row.path, "content": row.content,
    }))
}

async fn forget(context: &ToolContext, args: Args) -> Answer {
    let id = args.text("memory_id")?;
    if !rows::remove(&context.db, &context.user.id, &id).await? {
        return Err(ToolError::new("Memory not found or access denied"));
    }
    let text = format!("Memory {id} deleted");
    if let Err(error) = context
        .retrieval
        .forget_memories(&context.user.id, vec![id])
        .await
    {
        tracing::error!(%error, "the vector of a forgotten memory could not be removed");
    }
    Ok(json!({ "status": "success", "message": text }))
}
