//! Documents attached to the chat, for models that look into them themselves.

use oui_config::rag;
use oui_models::knowledge as rows;
use oui_models::knowledge_texts as texts;
use serde_json::{Value, json};

use super::knowledge::parameters::{GREP, VIEW};
use super::knowledge::passages::{Grep, Matcher};
use super::knowledge::{chunks_of, off_runtime, view_file};
use super::spec::{Shape, optional, required};
use super::{Builtin, builtins};
use crate::args::Args;
use crate::tool::{Answer, ToolContext, ToolError};

builtins! {
    TOOLS {
        "list_chat_files"
        "Lists the documents attached to this chat."
        [] => list;

        "query_chat_files"
        "Finds the passages that fit a question best in the documents attached to this chat."
        [
            required("query", Shape::Text, "What is looked for, in plain words."),
            optional("file_id", Shape::Text, "Look only in this document."),
            optional("count", Shape::Int, "How many passages at most."),
        ] => query;

        "grep_chat_files"
        "Finds the lines of documents attached to this chat that have a text exactly, or that a regular expression fits (recognised by its signs; no look-around, no back-references)."
        GREP => grep;

        "view_file"
        "Reads a document, long ones in parts."
        VIEW => view_file;
    }
}

/// The table that a run offers: none without documents.
pub(super) fn offered(context: &ToolContext) -> &'static [Builtin] {
    if named(context).is_empty() { &[] } else { TOOLS }
}

/// Ids of the attached documents with what the chat says of them.
fn named(context: &ToolContext) -> Vec<(String, &Value)> {
    let mut files: Vec<(String, &Value)> = Vec::new();
    for item in &context.attachments {
        let text = |name: &str| {
            item.get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        if text("type").unwrap_or("file") != "file" {
            continue;
        }
        let Some(id) = text("id").or_else(|| text("url")) else {
            continue;
        };
        let elsewhere = ["http://", "https://", "data:"]
            .iter()
            .any(|scheme| id.starts_with(scheme));
        if !elsewhere && !files.iter().any(|(known, _)| known == id) {
            files.push((id.to_owned(), item));
        }
    }
    files
}

/// The attached documents that the user may read; with `only` this one.
async fn accessible<'c>(
    context: &'c ToolContext,
    only: Option<&str>,
) -> Result<Vec<(rows::FileItem, &'c Value)>, ToolError> {
    let mut files = Vec::new();
    for (id, item) in named(context) {
        if only.is_some_and(|only| only != id) {
            continue;
        }
        let file = rows::readable_file(&context.db, &id, context.is_admin(), context.reader()).await?;
        files.extend(file.map(|file| (file, item)));
    }
    Ok(files)
}

async fn wanted<'c>(
    context: &'c ToolContext,
    args: &Args,
) -> Result<Vec<(rows::FileItem, &'c Value)>, ToolError> {
    let only = args
        .optional_text("file_id")
        .filter(|id| !matches!(id.to_lowercase().as_str(), "" | "none" | "null"));
    let named = named(context);
    if named.is_empty() {
        return Err(ToolError::new("No files are attached to this chat"));
    }
    if only
        .as_ref()
        .is_some_and(|only| !named.iter().any(|(id, _)| id == only))
    {
        return Err(ToolError::new("File not found"));
    }
    let files = accessible(context, only.as_deref()).await?;
    if files.is_empty() {
        return Err(ToolError::new("No accessible files found"));
    }
    Ok(files)
}

async fn list(context: &ToolContext, _: Args) -> Answer {
    let files = accessible(context, None).await?;
    let shown = files.iter().map(|(file, item)| {
        let meta = |name: &str| {
            let given = item.get(name).filter(|value| !value.is_null());
            given.or_else(|| file.meta.as_ref()?.get(name)).cloned()
        };
        let name = item.get("name").and_then(Value::as_str).or(file.filename.as_deref());
        let mut shown = json!({
            "id": file.id, "filename": file.filename, "name": name, "type": "file", "updated_at": file.updated_at,
        });
        for field in ["content_type", "size"] {
            if let Some(value) = meta(field) {
                shown[field] = value;
            }
        }
        shown
    });
    Ok(shown.collect())
}

async fn query(context: &ToolContext, args: Args) -> Answer {
    let question = args.text("query")?;
    let files = wanted(context, &args).await?;
    let most = context.config.get(&rag::RAG_TOP_K).max(1);
    let count = args
        .optional_int("count")
        .map_or(most, |count| count.clamp(1, most));
    let count = usize::try_from(count).unwrap_or(1);
    let items: Vec<Value> = files
        .iter()
        .map(|(file, item)| {
            let mut item = (*item).clone();
            item["id"] = json!(file.id);
            item["type"] = json!("file");
            item
        })
        .collect();
    let whole =
        items.iter().all(|item| item["context"] == "full") || context.config.get(&rag::RAG_FULL_CONTEXT);
    let mut options = context.retrieval.search_options();
    options.k = count;
    let questions = [question];
    let pages = context.pages.as_ref();
    let sources = context
        .retrieval
        .sources_with(&context.user, &items, &questions, whole, pages, options)
        .await?;
    let mut found = Vec::new();
    for source in &sources {
        found.extend(chunks_of(context, source));
    }
    found.truncate(count);
    Ok(Value::Array(found))
}

async fn grep(context: &ToolContext, args: Args) -> Answer {
    let pattern = args.text("pattern")?;
    if pattern.trim().is_empty() {
        return Err(ToolError::new("Pattern is required"));
    }
    let matcher = Matcher::new(&pattern, args.flag("case_insensitive", false)).map_err(ToolError::new)?;
    let files = wanted(context, &args).await?;
    let ids: Vec<String> = files.into_iter().map(|(file, _)| file.id).collect();
    let limit = context.settings.chat.grep_matches;
    let search = Grep::new(matcher, limit, args.flag("count_only", false));
    let files = texts::of_files(&context.db, &ids).await?;
    let search = off_runtime(move || search.through(&files)).await?;
    Ok(Value::String(search.report(&pattern)))
}
