//! Collections of files: which there are, what is in them, and their texts. A model that collections are attached
//! to sees only those. Looking for passages is in [`passages`].

pub(super) mod parameters;
pub(super) mod passages;

use oui_models::knowledge::{self as rows, FileFilter, KnowledgeRow};
use oui_models::knowledge_texts::{self as texts, FileText};
use oui_models::notes::NoteRow;
use oui_models::shared;
use oui_retrieval::caller_of;
use serde_json::{Map, Value, json};

use self::parameters::{GREP, QUERY, SEARCH, VIEW};
use super::spec::{Shape, default, optional, required};
use super::{Builtin, builtins, notes};
use crate::args::Args;
use crate::tool::{Answer, ToolContext, ToolError};

/// Collections that are looked through when none is named.
const ALL: (i64, i64) = (0, 200);

/// Files whose texts are in memory at a time.
const AT_ONCE: usize = 20;

builtins! {
    /// Without attached collections.
    BROWSING {
        "list_knowledge_bases"
        "Lists the knowledge bases that the user may read: collections of documents."
        [
            default("count", Shape::Int, "10", "How many at most."),
            default("skip", Shape::Int, "0", "How many to leave out before the first."),
        ] => list_bases;

        "search_knowledge_bases"
        "Finds knowledge bases by their name and description."
        [
            required("query", Shape::Text, "Text that name or description have."),
            default("count", Shape::Int, "5", "How many at most."),
            default("skip", Shape::Int, "0", "How many to leave out before the first."),
        ] => search_bases;

        "query_knowledge_bases"
        "Finds the knowledge bases whose name and description fit a question best."
        [
            required("query", Shape::Text, "What is looked for, in plain words."),
            default("count", Shape::Int, "5", "How many at most."),
        ] => query_bases;

        "grep_knowledge_files"
        "Finds the lines of documents that have a text exactly, or that a regular expression fits (recognised by its signs; no look-around, no back-references)."
        GREP => grep;

        "search_knowledge_files"
        "Finds documents of knowledge bases by their file name."
        SEARCH => search_files;

        "query_knowledge_files"
        "Finds the passages of documents that fit a question best."
        QUERY => query_files;

        "view_knowledge_file"
        "Reads a document of a knowledge base, long ones in parts."
        VIEW => view_in_base;
    }

    /// With attached ones.
    ATTACHED {
        "list_knowledge"
        "Lists what this model was given to answer from: knowledge bases, documents and notes. With knowledge_id it lists the documents of that knowledge base."
        [
            optional("knowledge_id", Shape::Text, "Knowledge base whose documents are wanted."),
            default("skip", Shape::Int, "0", "How many documents to leave out before the first."),
            default("count", Shape::Int, "50", "How many documents at most, up to 200."),
        ] => list_attached;

        "search_knowledge_files"
        "Finds documents by their file name among those that this model was given."
        SEARCH => search_files;

        "grep_knowledge_files"
        "Finds the lines of documents that have a text exactly, or that a regular expression fits (recognised by its signs; no look-around, no back-references)."
        GREP => grep;

        "query_knowledge_files"
        "Finds the passages that fit a question best in what this model was given to answer from."
        QUERY => query_files;
    }

    /// Reading documents, for models that documents or collections are attached to.
    VIEWING {
        "view_file"
        "Reads a document, long ones in parts."
        VIEW => view_file;

        "view_knowledge_file"
        "Reads a document of a knowledge base, long ones in parts."
        VIEW => view_in_base;
    }
}

/// The tables that a run offers.
pub(super) fn offered(context: &ToolContext) -> Vec<&'static [Builtin]> {
    let has = |kind: &str| context.knowledge.iter().any(|item| item["type"] == kind);
    if context.knowledge.is_empty() {
        return vec![BROWSING];
    }
    let mut tables = vec![ATTACHED];
    if has("file") || has("collection") {
        tables.push(VIEWING);
    }
    if has("note") {
        tables.push(notes::READING);
    }
    tables
}

/// Ids of the attached items of a kind.
fn attached(context: &ToolContext, kind: &str) -> Vec<String> {
    let items = context.knowledge.iter().filter(|item| item["type"] == kind);
    items
        .filter_map(|item| item["id"].as_str().map(str::to_owned))
        .collect()
}

async fn bases_json(context: &ToolContext, bases: Vec<KnowledgeRow>) -> Answer {
    let ids: Vec<String> = bases.iter().map(|base| base.id.clone()).collect();
    let counts = rows::file_counts(&context.db, &ids).await?;
    let shown = bases.iter().map(|base| {
        json!({
            "id": base.id, "name": base.name, "description": base.description.as_deref().unwrap_or_default(),
            "file_count": counts.get(&base.id).copied().unwrap_or(0), "updated_at": base.updated_at,
        })
    });
    Ok(shown.collect())
}

async fn list_bases(context: &ToolContext, args: Args) -> Answer {
    let window = (args.int("skip", 0).max(0), args.count("count", 10));
    let bases = texts::collections(&context.db, context.reader(), "", window).await?;
    bases_json(context, bases).await
}

async fn search_bases(context: &ToolContext, args: Args) -> Answer {
    let query = args.text("query")?;
    let window = (args.int("skip", 0).max(0), args.count("count", 5));
    let bases = texts::collections(&context.db, context.reader(), &query, window).await?;
    bases_json(context, bases).await
}

async fn query_bases(context: &ToolContext, args: Args) -> Answer {
    let query = args.text("query")?;
    let count = args.count("count", 5) as usize;
    let bases = texts::collections(&context.db, context.reader(), "", ALL).await?;
    let ids: Vec<String> = bases.iter().map(|base| base.id.clone()).collect();
    let nearest = context
        .retrieval
        .nearest_knowledge(&query, &ids, count, &caller_of(&context.user))
        .await
        .map_err(unsearchable)?;
    let shown = nearest.into_iter().filter_map(|(id, score)| {
        let base = bases.iter().find(|base| base.id == id)?;
        Some(json!({
            "id": base.id, "name": base.name, "description": base.description.as_deref().unwrap_or_default(),
            "similarity": (score * 10_000.0).round() / 10_000.0,
        }))
    });
    Ok(shown.collect())
}

fn unsearchable(error: oui_retrieval::Error) -> ToolError {
    tracing::error!(%error, "documents could not be searched");
    ToolError::new("The documents cannot be searched.")
}

/// The passages of a source as models get them: with the fields of the metadata that they may see.
pub(super) fn chunks_of(context: &ToolContext, source: &Value) -> Vec<Value> {
    let list = |name: &str| {
        source
            .get(name)
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice)
    };
    let (metadatas, distances) = (list("metadata"), list("distances"));
    let about = source.get("source").cloned().unwrap_or_default();
    let chunk = |(index, document): (usize, &Value)| {
        let metadata = metadatas.get(index).cloned().unwrap_or_default();
        let field = |name: &str| metadata.get(name).filter(|value| !value.is_null()).cloned();
        let mut chunk = Map::new();
        for key in &context.settings.chat.source_metadata {
            if let Some(value) = field(key) {
                chunk.insert(key.clone(), value);
            }
        }
        let name = field("source")
            .or_else(|| field("name"))
            .or_else(|| about.get("name").cloned());
        let id = field("file_id").or_else(|| about.get("id").cloned());
        chunk.insert("content".into(), document.clone());
        chunk.insert("source".into(), name.unwrap_or_else(|| json!("Unknown")));
        chunk.insert("file_id".into(), id.unwrap_or_else(|| json!("")));
        if let Some(distance) = distances.get(index) {
            chunk.insert("distance".into(), distance.clone());
        }
        Value::Object(chunk)
    };
    list("document").iter().enumerate().map(chunk).collect()
}

/// Collections that a call may look in: the named ones, the attached ones, or all that the user may read.
async fn bases(context: &ToolContext, named: Option<Vec<String>>) -> Result<Vec<KnowledgeRow>, ToolError> {
    let ids = if context.knowledge.is_empty() {
        named
    } else {
        let attached = attached(context, "collection");
        Some(match named {
            Some(named) => attached.into_iter().filter(|id| named.contains(id)).collect(),
            None => attached,
        })
    };
    let Some(ids) = ids else {
        return Ok(texts::collections(&context.db, context.reader(), "", ALL).await?);
    };
    let reader = context.named_reader();
    let mut bases = Vec::new();
    for id in ids {
        bases.extend(texts::readable(&context.db, &id, &reader).await?);
    }
    Ok(bases)
}

/// Ids of the documents that a call may look in, attached ones included.
async fn documents(context: &ToolContext, named: Option<Vec<String>>) -> Result<Vec<String>, ToolError> {
    let only_bases = named.is_some();
    let bases: Vec<String> = bases(context, named)
        .await?
        .into_iter()
        .filter(|base| !texts::is_external(base))
        .map(|base| base.id)
        .collect();
    let mut ids = texts::file_ids(&context.db, &bases).await?;
    if !only_bases {
        for id in attached(context, "file") {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    Ok(ids)
}

async fn search_files(context: &ToolContext, args: Args) -> Answer {
    let query = args.text("query")?;
    let named = args.optional_text("knowledge_id").filter(|id| !id.is_empty());
    let (skip, count) = (args.int("skip", 0).max(0), args.count("count", 5));
    let bases = bases(context, named.clone().map(|id| vec![id])).await?;
    if let (Some(id), true) = (&named, bases.is_empty()) {
        return Err(ToolError::new(format!("Access denied to knowledge base {id}")));
    }
    if bases.is_empty() && attached(context, "file").is_empty() {
        return Ok(json!([]));
    }
    let mut conditions = vec![rows::file_mentions(context.db.dialect(), &query, None)];
    let list = vec!["?"; bases.len().max(1)].join(", ");
    let ids: Vec<oui_models::db::Arg> = if bases.is_empty() {
        vec!["".into()]
    } else {
        bases.iter().map(|base| base.id.as_str().into()).collect()
    };
    conditions.push((format!("r.id IN ({list})"), ids));
    let filter = FileFilter {
        conditions,
        order: "f.updated_at DESC, f.id".into(),
        window: (0, skip.saturating_add(count)),
    };
    let (linked, _) = rows::files(&context.db, &filter).await?;
    let mut found: Vec<Value> = linked
        .into_iter()
        .map(|linked| {
            let base = bases.iter().find(|base| base.id == linked.knowledge_id);
            json!({
                "id": linked.file.id, "filename": linked.file.filename, "updated_at": linked.file.updated_at,
                "knowledge_id": linked.knowledge_id, "knowledge_name": base.map(|base| &base.name),
            })
        })
        .collect();
    if named.is_none() {
        let query = query.to_lowercase();
        for file in texts::of_files(&context.db, &attached(context, "file")).await? {
            if file.filename.to_lowercase().contains(&query) {
                found
                    .push(json!({ "id": file.id, "filename": file.filename, "updated_at": file.updated_at }));
            }
        }
    }
    let page = found.into_iter().skip(skip as usize).take(count as usize);
    Ok(page.collect())
}

/// Whether the user may read a document: their own, an attached one, or one in a collection that they may read.
async fn may_read(context: &ToolContext, id: &str) -> Result<bool, ToolError> {
    if attached(context, "file").iter().any(|attached| attached == id) {
        return Ok(true);
    }
    let file = rows::readable_file(&context.db, id, context.is_admin(), context.reader()).await?;
    Ok(file.is_some())
}

async fn grep(context: &ToolContext, args: Args) -> Answer {
    let pattern = args.text("pattern")?;
    if pattern.trim().is_empty() {
        return Err(ToolError::new("Pattern is required"));
    }
    let matcher =
        passages::Matcher::new(&pattern, args.flag("case_insensitive", false)).map_err(ToolError::new)?;
    let ids = match args.optional_text("file_id").filter(|id| !id.is_empty()) {
        Some(id) if may_read(context, &id).await? => vec![id],
        Some(_) => return Err(ToolError::new("File not found")),
        None => documents(context, None).await?,
    };
    if ids.is_empty() {
        return Err(ToolError::new("No accessible files found"));
    }
    let limit = context.settings.chat.grep_matches;
    let mut search = passages::Grep::new(matcher, limit, args.flag("count_only", false));
    for chunk in ids.chunks(AT_ONCE) {
        let files = texts::of_files(&context.db, chunk).await?;
        search = off_runtime(move || search.through(&files)).await?;
    }
    Ok(Value::String(search.report(&pattern)))
}

/// Runs work that takes its time where it does not hold up others.
pub(super) async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ToolError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ToolError::new("The search failed."))
}

async fn query_files(context: &ToolContext, args: Args) -> Answer {
    let query = args.text("query")?;
    let count = args.count("count", 5) as usize;
    let named = args.texts("knowledge_ids").filter(|ids| !ids.is_empty());
    let mut found: Vec<Value> = Vec::new();
    for id in attached(context, "note") {
        if let Some(note) = shared::get::<NoteRow>(&context.db, &id).await?
            && note.permits(&context.named_reader(), "read")
        {
            let data = note.row.data_object();
            let text = data.pointer("/content/md").cloned().unwrap_or_else(|| json!(""));
            found.push(json!({ "content": text, "source": note.row.title, "note_id": id, "type": "note" }));
        }
    }
    let only_bases = named.is_some();
    let bases = bases(context, named).await?;
    let inside = bases.into_iter().filter(|base| !texts::is_external(base));
    let mut items: Vec<Value> = inside
        .map(|base| json!({ "type": "collection", "id": base.id, "name": base.name }))
        .collect();
    if !only_bases {
        let files = attached(context, "file").into_iter();
        items.extend(files.map(|id| json!({ "type": "file", "id": id })));
    }
    let source = context
        .retrieval
        .passages(&context.user, &items, &query, count)
        .await
        .map_err(unsearchable)?;
    found.extend(chunks_of(context, &source));
    found.truncate(count);
    Ok(Value::Array(found))
}

pub(super) async fn view_file(context: &ToolContext, args: Args) -> Answer {
    let id = args.text("file_id")?;
    if !may_read(context, &id).await? {
        return Err(ToolError::new("File not found"));
    }
    let file = texts::of_files(&context.db, std::slice::from_ref(&id)).await?;
    let file = file.into_iter().next();
    let file = file.ok_or_else(|| ToolError::new("File not found"))?;
    Ok(part(context, &file, None, &args))
}

async fn view_in_base(context: &ToolContext, args: Args) -> Answer {
    let id = args.text("file_id")?;
    let file = texts::of_files(&context.db, std::slice::from_ref(&id)).await?;
    let file = file.into_iter().next();
    let file = file.ok_or_else(|| ToolError::new("File not found"))?;
    let base = texts::collection_of(&context.db, &id, context.named_reader()).await?;
    if base.is_none() && !may_read(context, &id).await? {
        return Err(ToolError::new("Access denied"));
    }
    Ok(part(context, &file, base.as_ref(), &args))
}

/// The part of a text that was asked for, and where the next begins.
fn part(context: &ToolContext, file: &FileText, base: Option<&KnowledgeRow>, args: &Args) -> Value {
    let limits = &context.settings.chat;
    let most = args.int("max_chars", limits.view_file_default as i64).max(1) as usize;
    let mut shown = Map::new();
    let lines = (args.optional_int("start_line"), args.optional_int("end_line"));
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("id", json!(file.id));
    put("filename", json!(file.filename));
    let more = if lines == (None, None) {
        by_characters(&file.content, args, most.min(limits.view_file_max))
    } else {
        by_lines(&file.content, lines)
    };
    put("content", more.0);
    put("updated_at", json!(file.updated_at));
    put("created_at", json!(file.created_at));
    if let Some(base) = base {
        put("knowledge_id", json!(base.id));
        put("knowledge_name", json!(base.name));
    }
    shown.extend(more.1);
    Value::Object(shown)
}

fn by_characters(text: &str, args: &Args, most: usize) -> (Value, Map<String, Value>) {
    let offset = args.int("offset", 0).max(0) as usize;
    let total = text.chars().count();
    let mut piece: String = text.chars().skip(offset).take(most).collect();
    let returned = piece.chars().count();
    let is_cut = offset + returned < total;
    if args.flag("line_numbers", false) {
        let first = text.chars().take(offset).filter(|c| *c == '\n').count() + 1;
        let numbered = piece.split('\n').enumerate();
        piece = numbered
            .map(|(index, line)| format!("{}: {line}", first + index))
            .collect::<Vec<_>>()
            .join("\n");
    }
    let mut more = Map::new();
    if is_cut || offset > 0 {
        more.insert("truncated".into(), json!(is_cut));
        more.insert("total_chars".into(), json!(total));
        more.insert("returned_chars".into(), json!(returned));
        more.insert("offset".into(), json!(offset));
        if is_cut {
            more.insert("next_offset".into(), json!(offset + returned));
        }
    }
    (json!(piece), more)
}

fn by_lines(text: &str, lines: (Option<i64>, Option<i64>)) -> (Value, Map<String, Value>) {
    let all: Vec<&str> = text.split('\n').collect();
    let start = lines.0.unwrap_or(1).max(1) as usize - 1;
    let end = match lines.1.filter(|end| *end > 0) {
        Some(end) => end as usize,
        None => start + 100,
    };
    let end = end.min(all.len());
    let chosen = all.get(start..end).unwrap_or_default().iter().enumerate();
    let piece: Vec<String> = chosen
        .map(|(index, line)| format!("{}: {line}", start + index + 1))
        .collect();
    let mut more = Map::new();
    more.insert("total_lines".into(), json!(all.len()));
    more.insert("showing_lines".into(), json!(format!("{}-{end}", start + 1)));
    if end < all.len() {
        more.insert("truncated".into(), json!(true));
        more.insert("next_start_line".into(), json!(end + 1));
    }
    (json!(piece.join("\n")), more)
}

async fn list_attached(context: &ToolContext, args: Args) -> Answer {
    let wanted = args.optional_text("knowledge_id");
    let (skip, count) = (
        args.int("skip", 0).max(0) as usize,
        args.count("count", 50).min(200) as usize,
    );
    let found = bases(context, None).await?;
    let ids: Vec<String> = found.iter().map(|base| base.id.clone()).collect();
    let counts = rows::file_counts(&context.db, &ids).await?;
    let mut bases = Vec::new();
    for base in &found {
        let total = counts.get(&base.id).copied().unwrap_or(0);
        let mut shown = json!({
            "id": base.id, "name": base.name, "description": base.description.as_deref().unwrap_or_default(),
            "file_count": total,
        });
        if wanted.as_ref() == Some(&base.id) && total > 0 {
            let all = texts::file_ids(&context.db, std::slice::from_ref(&base.id)).await?;
            let page: Vec<String> = all.iter().skip(skip).take(count).cloned().collect();
            let files = texts::of_files(&context.db, &page).await?;
            shown["files"] = files
                .iter()
                .map(|file| json!({ "id": file.id, "filename": file.filename }))
                .collect();
            shown["files_skip"] = json!(skip);
            shown["files_count"] = json!(files.len());
            shown["files_total"] = json!(total);
            shown["has_more"] = json!(skip + count < all.len());
        }
        bases.push(shown);
    }
    let files = texts::of_files(&context.db, &attached(context, "file")).await?;
    let files: Vec<Value> = files
        .iter()
        .map(|file| json!({ "id": file.id, "filename": file.filename, "updated_at": file.updated_at }))
        .collect();
    let mut notes = Vec::new();
    for id in attached(context, "note") {
        if let Some(note) = shared::get::<NoteRow>(&context.db, &id).await?
            && note.permits(&context.named_reader(), "read")
        {
            notes.push(json!({ "id": id, "title": note.row.title }));
        }
    }
    Ok(json!({ "knowledge_bases": bases, "files": files, "notes": notes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(values: Value) -> Args {
        Args::new("view_file", values.as_object().cloned().unwrap())
    }

    #[test]
    fn long_texts_come_in_parts() {
        let (piece, more) = by_characters("äbc\ndef", &args(json!({"offset": 1, "line_numbers": true})), 4);
        assert_eq!(piece, "1: bc\n2: d");
        assert_eq!(
            (&more["next_offset"], &more["total_chars"]),
            (&json!(5), &json!(7))
        );
        let (piece, more) = by_characters("abc", &args(json!({})), 10);
        assert!(piece == "abc" && more.is_empty());
    }

    #[test]
    fn lines_are_numbered() {
        let (piece, more) = by_lines("a\nb\nc", (Some(2), Some(2)));
        assert_eq!(piece, "2: b");
        assert_eq!(
            (&more["next_start_line"], &more["showing_lines"]),
            (&json!(3), &json!("2-2"))
        );
        assert_eq!(by_lines("a", (Some(9), None)).0, "");
    }
}
