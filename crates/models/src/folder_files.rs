//! What people attach to folders (files, collections, notes), and which of it somebody may read.

use oui_core::boxed;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::chats::ChatHead;
use crate::db::{Arg, Db, DbResult, placeholders, sql};
use crate::groups::Membership;
use crate::users::UserRow;
use crate::{args, channels, chat_access, grants, groups, history, notes};

/// The entries that the user may read. Entries of unknown kinds are left out for everybody.
#[boxed]
pub async fn readable(db: &Db, entries: &[Value], user: &UserRow) -> DbResult<Vec<Value>> {
    let is_admin = user.role == "admin";
    let membership = groups::membership(db, &user.id).await?;
    let mut kept = Vec::new();
    for entry in entries {
        let Some(id) = history::text(entry, "id").filter(|id| !id.is_empty()) else {
            continue;
        };
        let readable = match history::text(entry, "type") {
            Some("file" | "collection" | "note") if is_admin => true,
            Some("file") => may_read_file(db, id, user, &membership).await?,
            Some("collection") => may_read_collection(db, id, user, &membership).await?,
            Some("note") => notes::may_read(db, id, &user.id, &membership).await?,
            _ => false,
        };
        if readable {
            kept.push(entry.clone());
        }
    }
    Ok(kept)
}

/// Whether the user may read all of `files`, which may be absent but not something else than a list.
#[boxed]
pub async fn may_read_all(db: &Db, files: &Value, user: &UserRow) -> DbResult<bool> {
    match files {
        Value::Null => Ok(true),
        Value::Array(entries) => Ok(readable(db, entries, user).await?.len() == entries.len()),
        _ => Ok(false),
    }
}

/// Whether the user may make `files` the attachments of a note: what is there already may belong to another editor,
/// what is new the user must be able to read.
#[boxed]
pub async fn may_attach_to_note(
    db: &Db,
    note: &notes::NoteRow,
    files: &Value,
    user: &UserRow,
) -> DbResult<bool> {
    if !files.is_array() {
        return Ok(files.is_null());
    }
    if user.role == "admin" {
        return Ok(true);
    }
    let ids = |entries: &Value| -> BTreeSet<String> {
        let entries = entries.as_array().into_iter().flatten();
        let of_files = entries.filter(|entry| history::text(entry, "type") == Some("file"));
        let id = |entry: &Value| history::text(entry, "id").map(str::to_owned);
        of_files.filter_map(id).filter(|id| !id.is_empty()).collect()
    };
    let known = ids(&note.data_object()["files"]);
    let membership = groups::membership(db, &user.id).await?;
    for id in ids(files).difference(&known) {
        if !may_read_file(db, id, user, &membership).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn may_read_collection(db: &Db, id: &str, user: &UserRow, membership: &Membership) -> DbResult<bool> {
    let owner: Option<Option<String>> = sql("SELECT user_id FROM knowledge WHERE id = ?", args![id])
        .scalar(db)
        .await?;
    match owner {
        None => Ok(false),
        Some(owner) if owner.as_deref() == Some(&user.id) => Ok(true),
        Some(_) => grants::allows(db, "knowledge", id, "read", &user.id, membership).await,
    }
}

/// Whether the user may read a file: their own, or one that reaches them in a collection, a workspace model, a
/// channel, a shared chat, or a shared note of the file's owner.
#[boxed]
pub async fn may_read_file(db: &Db, id: &str, user: &UserRow, membership: &Membership) -> DbResult<bool> {
    let owner: Option<Option<String>> = sql("SELECT user_id FROM file WHERE id = ?", args![id])
        .scalar(db)
        .await?;
    let Some(owner) = owner else { return Ok(false) };
    Ok(owner.as_deref() == Some(&user.id)
        || in_collection(db, id, user, membership).await?
        || in_channel(db, id, user, membership).await?
        || in_chat(db, id, user, membership).await?
        || in_model(db, id, user, membership).await?
        || in_note(db, id, owner.as_deref().unwrap_or_default(), user, membership).await?)
}

/// Whether the user may change a file of somebody else: one in a collection or workspace model that the user may
/// change and that belongs to the file's owner. Otherwise putting a file that one may read into a collection of one's
/// own would be a way to change it.
#[boxed]
pub async fn may_write_file(db: &Db, id: &str, user: &UserRow, membership: &Membership) -> DbResult<bool> {
    let owner: Option<Option<String>> = sql("SELECT user_id FROM file WHERE id = ?", args![id])
        .scalar(db)
        .await?;
    let Some(owner) = owner else { return Ok(false) };
    if owner.as_deref() == Some(&user.id) {
        return Ok(true);
    }
    let ids_of_owner = |found: Vec<(String, Option<String>)>| {
        let of_owner = found.into_iter().filter(|(_, of)| *of == owner);
        of_owner.map(|(id, _)| id).collect::<Vec<_>>()
    };
    let text = "SELECT r.id, r.user_id FROM knowledge r JOIN knowledge_file f ON f.knowledge_id = r.id \
                WHERE f.file_id = ?";
    let collections = ids_of_owner(owned(db, text, id).await?);
    if any_writable(db, "knowledge", &collections, user, membership).await? {
        return Ok(true);
    }
    let text = "SELECT id, user_id, meta FROM model WHERE CAST(meta AS TEXT) LIKE ?";
    let models = naming(db, text, id).await?;
    let models = models.into_iter().filter(|(_, _, meta)| model_shows(meta, id));
    let models = ids_of_owner(models.map(|(id, of, _)| (id, of)).collect());
    any_writable(db, "model", &models, user, membership).await
}

/// Whether one of the resources is open to the user by a grant.
async fn any_granted(
    db: &Db,
    kind: &str,
    ids: &[String],
    user: &UserRow,
    membership: &Membership,
) -> DbResult<bool> {
    if ids.is_empty() {
        return Ok(false);
    }
    reaches(db, (kind, "read"), ids, user, membership).await
}

/// Whether one of the resources is open to the user for changes.
async fn any_writable(
    db: &Db,
    kind: &str,
    ids: &[String],
    user: &UserRow,
    membership: &Membership,
) -> DbResult<bool> {
    if ids.is_empty() {
        return Ok(false);
    }
    reaches(db, (kind, "write"), ids, user, membership).await
}

async fn reaches(
    db: &Db,
    (kind, permission): (&str, &str),
    ids: &[String],
    user: &UserRow,
    membership: &Membership,
) -> DbResult<bool> {
    let (condition, mut args) = grants::reach_condition(kind, permission, &user.id, membership);
    args.extend(ids.iter().map(Arg::from));
    let list = placeholders(ids.len());
    let text = format!("SELECT 1 FROM access_grant WHERE {condition} AND resource_id IN ({list}) LIMIT 1");
    Ok(sql(text, args).first(db).await?.is_some())
}

/// `(id, owner)` of the rows of a statement with one argument.
async fn owned(db: &Db, text: &str, argument: &str) -> DbResult<Vec<(String, Option<String>)>> {
    let rows = sql(text, args![argument]).all(db).await?;
    rows.iter().map(|row| Ok((row.at(0)?, row.at(1)?))).collect()
}

async fn own_or_granted(
    db: &Db,
    kind: &str,
    found: Vec<(String, Option<String>)>,
    user: &UserRow,
    membership: &Membership,
) -> DbResult<bool> {
    if found.iter().any(|(_, owner)| owner.as_deref() == Some(&user.id)) {
        return Ok(true);
    }
    let ids: Vec<String> = found.into_iter().map(|(id, _)| id).collect();
    any_granted(db, kind, &ids, user, membership).await
}

async fn in_collection(db: &Db, id: &str, user: &UserRow, membership: &Membership) -> DbResult<bool> {
    let text = "SELECT r.id, r.user_id FROM knowledge r JOIN knowledge_file f ON f.knowledge_id = r.id \
                WHERE f.file_id = ?";
    own_or_granted(db, "knowledge", owned(db, text, id).await?, user, membership).await
}

async fn in_channel(db: &Db, id: &str, user: &UserRow, membership: &Membership) -> DbResult<bool> {
    let found = owned(
        db,
        "SELECT channel_id, user_id FROM channel_file WHERE file_id = ?",
        id,
    )
    .await?;
    if found.is_empty() {
        return Ok(false);
    }
    let mine = channels::ids_of_user(db, &user.id, membership, false).await?;
    Ok(found.iter().any(|(channel_id, _)| mine.contains(channel_id)))
}

async fn in_chat(db: &Db, id: &str, user: &UserRow, membership: &Membership) -> DbResult<bool> {
    let condition = "WHERE (share_id IS NOT NULL OR folder_id IS NOT NULL) \
                     AND id IN (SELECT chat_id FROM chat_file WHERE file_id = ?)";
    let chats = ChatHead::list(db, condition, args![id]).await?;
    let ids: Vec<String> = chats.iter().map(|chat| chat.id.clone()).collect();
    if any_granted(db, chat_access::KIND, &ids, user, membership).await? {
        return Ok(true);
    }
    for chat in &chats {
        if chat.is_owned_by(&user.id) || chat_access::may_read(db, chat, &user.id).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a list of attachments has the file.
fn attaches(list: Option<&Value>, id: &str) -> bool {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|item| history::text(item, "type") == Some("file") && history::text(item, "id") == Some(id))
}

/// Whether a model shows the file: as knowledge, as its background, or as a part of its animated face.
fn model_uses(meta: &Value, id: &str) -> bool {
    let background = history::text(meta, "background_image_url");
    model_shows(meta, id) || background == Some(&format!("/api/v1/files/{id}/content"))
}

/// Whether a model has the file as knowledge or as a part of its animated face.
fn model_shows(meta: &Value, id: &str) -> bool {
    let face = meta.get("voice_avatar").unwrap_or(&Value::Null);
    let is_file = |asset: &Value| history::text(asset, "file_id") == Some(id);
    let states = face.get("states").and_then(Value::as_object);
    let gestures = face.get("gestures").and_then(Value::as_array);
    attaches(meta.get("knowledge"), id)
        || is_file(face)
        || states.is_some_and(|states| states.values().any(is_file))
        || gestures.is_some_and(|gestures| gestures.iter().any(is_file))
}

/// Rows whose JSON text names the file: `(id, owner, json)`. The text only narrows down what is looked at.
async fn naming(db: &Db, text: &str, id: &str) -> DbResult<Vec<(String, Option<String>, Value)>> {
    let rows = sql(text, args![format!("%{id}%")]).all(db).await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.at(0)?,
                row.at(1)?,
                row.at::<Option<Value>>(2)?.unwrap_or_default(),
            ))
        })
        .collect()
}

async fn in_model(db: &Db, id: &str, user: &UserRow, membership: &Membership) -> DbResult<bool> {
    let text = "SELECT id, user_id, meta FROM model WHERE CAST(meta AS TEXT) LIKE ?";
    let models = naming(db, text, id).await?;
    let found = models
        .into_iter()
        .filter(|(_, _, meta)| model_uses(meta, id))
        .map(|(id, owner, _)| (id, owner));
    own_or_granted(db, "model", found.collect(), user, membership).await
}

async fn in_note(db: &Db, id: &str, owner: &str, user: &UserRow, membership: &Membership) -> DbResult<bool> {
    let text = "SELECT id, user_id, data FROM note WHERE CAST(data AS TEXT) LIKE ?";
    let notes = naming(db, text, id).await?;
    let ids: Vec<String> = notes
        .into_iter()
        .filter(|(_, author, data)| author.as_deref() == Some(owner) && attaches(data.get("files"), id))
        .map(|(id, _, _)| id)
        .collect();
    any_granted(db, "note", &ids, user, membership).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn models_use_files_in_several_places() {
        assert!(model_uses(
            &json!({"knowledge": [{"type": "file", "id": "f"}]}),
            "f"
        ));
        assert!(model_uses(
            &json!({"background_image_url": "/api/v1/files/f/content"}),
            "f"
        ));
        assert!(model_uses(
            &json!({"voice_avatar": {"states": {"idle": {"file_id": "f"}}}}),
            "f"
        ));
        assert!(!model_uses(
            &json!({"knowledge": [{"type": "collection", "id": "f"}], "description": "f"}),
            "f"
        ));
    }
}
