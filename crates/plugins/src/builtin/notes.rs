//! Notes: search, reading, writing, and changes of parts of a text. The operations of a change are in
//! [`edits`].

mod edits;

use oui_core::Room;
use oui_models::notes::{self, NoteChange, NoteRow};
use oui_models::shared::{self, Entry, Filter};
use serde_json::{Map, Value, json};

use super::builtins;
use super::chats::in_period;
use super::spec::{Shape, default, optional, required};
use crate::args::Args;
use crate::tool::{Answer, ToolContext, ToolError};

const NANOS: i64 = 1_000_000_000;

builtins! {
    TOOLS {
        "search_notes"
        "Searches the notes that the user may read, by title and text."
        [
            required("query", Shape::Text, "Words to look for; all of them have to be there."),
            default("count", Shape::Int, "5", "How many notes at most."),
            optional("start_timestamp", Shape::Int, "Only notes changed at or after this Unix timestamp in seconds."),
            optional("end_timestamp", Shape::Int, "Only notes changed at or before this Unix timestamp in seconds."),
        ] => search;

        "view_note"
        "Reads a whole note."
        [required("note_id", Shape::Text, "Id of the note.")] => view;

        "write_note"
        "Writes a new note that only the user can see."
        [
            required("title", Shape::Text, "Title of the note."),
            required("content", Shape::Text, "Text of the note in Markdown."),
        ] => write;

        "replace_note_content"
        "Changes the text of a note: all of it by content, or parts of it by operations. Prefer operations for small changes. Offsets count the characters of the text as view_note gives it, and stay those of the old text while the operations are applied; ranges must not overlap. A text that is found more than once changes nothing unless occurrence or replace_all says which one is meant; the places are told instead."
        [
            required("note_id", Shape::Text, "Id of the note."),
            optional("content", Shape::Text, "The whole new text in Markdown."),
            optional("operations", Shape::Objects, "{\"action\": \"replace_text\", \"find\": old, \"content\": new, \"occurrence\": 0 or \"replace_all\": true}, {\"action\": \"replace_text\", \"start\": 0, \"end\": 5, \"content\": new, \"expected\": old} or, alone, {\"action\": \"replace\", \"content\": text}."),
            optional("title", Shape::Text, "New title."),
        ] => replace;
    }

    /// Reading alone, for models that notes are attached to.
    READING {
        "view_note"
        "Reads a whole note."
        [required("note_id", Shape::Text, "Id of the note.")] => view;
    }
}

fn text_of(note: &NoteRow) -> String {
    let data = note.data_object();
    data.pointer("/content/md")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The text around the first of the words, with 50 characters before and 100 after it; else the start of the text.
fn snippet(text: &str, query: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let lower: Vec<char> = text
        .chars()
        .map(|c| c.to_lowercase().next().unwrap_or(c))
        .collect();
    let find = |word: &str| {
        let word: Vec<char> = word.to_lowercase().chars().collect();
        let at = lower
            .windows(word.len().max(1))
            .position(|window| window == word)?;
        Some((at, word.len()))
    };
    let piece = |start: usize, end: usize| {
        let mut piece: String = characters[start..end].iter().collect();
        if start > 0 {
            piece.insert_str(0, "...");
        }
        if end < characters.len() {
            piece.push_str("...");
        }
        piece
    };
    match query.split_whitespace().find_map(find) {
        Some((at, length)) => piece(at.saturating_sub(50), (at + length + 100).min(characters.len())),
        None => piece(0, characters.len().min(150)),
    }
}

async fn search(context: &ToolContext, args: Args) -> Answer {
    let query = args.text("query")?;
    let count = args.count("count", 5);
    let mut filter = Filter::readable(context.reader(), "r.updated_at DESC");
    for word in query.split_whitespace() {
        let word = word.replace('-', "");
        if !word.is_empty() {
            filter = filter.and(notes::mentions(context.db.dialect(), &word));
        }
    }
    let filter = filter.page(1, count.saturating_mul(3));
    let mut found = Vec::new();
    for note in shared::list::<NoteRow>(&context.db, &filter).await? {
        if !in_period(note.row.updated_at, &args, NANOS) {
            continue;
        }
        found.push(json!({
            "id": note.row.id, "title": note.row.title, "snippet": snippet(&text_of(&note.row), &query),
            "updated_at": note.row.updated_at,
        }));
        if found.len() as i64 >= count {
            break;
        }
    }
    Ok(Value::Array(found))
}

async fn note(context: &ToolContext, args: &Args) -> Result<Option<Entry<NoteRow>>, ToolError> {
    let id = args.text("note_id")?;
    Ok(shared::get::<NoteRow>(&context.db, &id).await?)
}

pub(super) async fn view(context: &ToolContext, args: Args) -> Answer {
    let note = note(context, &args).await?;
    let note = note.ok_or_else(|| ToolError::new("Note not found"))?;
    if !note.permits(&context.named_reader(), "read") {
        return Err(ToolError::new("Access denied"));
    }
    Ok(json!({
        "id": note.row.id, "title": note.row.title, "content": text_of(&note.row),
        "updated_at": note.row.updated_at, "created_at": note.row.created_at,
    }))
}

async fn write(context: &ToolContext, args: Args) -> Answer {
    let (title, content) = (args.text("title")?, args.text("content")?);
    let data = json!({ "content": { "md": content } });
    let id = notes::create(&context.db, &context.user.id, &title, Some(data), None, &[]).await?;
    let created = shared::get::<NoteRow>(&context.db, &id).await?;
    let created_at = created.and_then(|note| note.row.created_at);
    Ok(json!({ "status": "success", "id": id, "title": title, "created_at": created_at }))
}

async fn replace(context: &ToolContext, args: Args) -> Answer {
    let refuse = |text: &str, code: &str| ToolError(json!({ "error": text, "code": code }));
    let note = note(context, &args).await?;
    let note = note.ok_or_else(|| refuse("Note not found", "not_found"))?;
    if !note.permits(&context.named_reader(), "write") {
        return Err(refuse("Write access denied", "write_access_denied"));
    }
    let old = text_of(&note.row);
    let edited = match (args.get("operations"), args.optional_text("content")) {
        (Some(operations), _) => edits::apply(&old, operations).map_err(ToolError)?,
        (None, Some(content)) => edits::Edited::whole(content),
        (None, None) => return Err(refuse("content or operations is required", "content_required")),
    };
    let mut content = note
        .row
        .data_object()
        .get("content")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    content.insert("json".into(), Value::Null);
    content.insert("html".into(), json!(""));
    content.insert("md".into(), json!(edited.text));
    let change = NoteChange {
        title: args.optional_text("title").filter(|title| !title.is_empty()),
        data: Some(Map::from_iter([("content".to_owned(), Value::Object(content))])),
        meta: None,
    };
    notes::update(&context.db, &note.row.id, change).await?;
    let changed = shared::get::<NoteRow>(&context.db, &note.row.id).await?;
    let changed = changed.ok_or_else(|| refuse("Failed to update note", "update_failed"))?;
    let mut shown = changed.row.to_json(&changed.grants, false);
    shown.shift_remove("is_pinned");
    context
        .emitter
        .emit(
            &Room::Note(changed.row.id.clone()),
            "events:note",
            &Value::Object(shown),
            None,
        )
        .await;
    context.tell(
        "note.updated",
        &changed.row.id,
        json!({ "title": changed.row.title }),
    );
    Ok(json!({
        "status": "success", "id": changed.row.id, "title": changed.row.title,
        "updated_at": changed.row.updated_at, "applied_operation_count": edited.operations,
        "applied_ranges": edited.ranges.iter().map(|(start, end)| json!({ "start": start, "end": end })).collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets_stand_around_the_word() {
        let text = format!("{}Bird{}", "x".repeat(60), "y".repeat(200));
        let found = snippet(&text, "none bird");
        assert!(found.starts_with("...x") && found.contains("Bird") && found.ends_with("y..."));
        assert_eq!(found.chars().count(), 3 + 50 + 4 + 100 + 3);
        assert_eq!(snippet("Ärger", "none"), "Ärger");
    }
}
