//! Chats from a file: an export of this server or of the reference. Exports of other services are converted by the
//! client.

use std::collections::HashMap;

use axum::Json;
use oui_core::{ApiError, ApiResult, form, ids, messages};
use oui_models::chat_edits::{self, NewChat};
use oui_models::chats::ChatRow;
use oui_models::{folders, tags};
use oui_web::{Body, Caller, Verified};
use serde_json::{Map, Value, json};

use super::documents::check_title;
use super::shown::{each_message, set_authors};

form! {
    /// One chat of an import.
    #[derive(Default)]
    pub(crate) struct ImportForm {
        /// The document.
        pub(crate) chat: Map<String, Value>,
        /// Values of prompt variables.
        pub(crate) variables: Option<Map<String, Value>>,
        /// Folder; left out unless the importer may put chats into it.
        pub(crate) folder_id: Option<String>,
        /// Tags and marks.
        pub(crate) meta: Option<Map<String, Value>>,
        /// Whether it is pinned.
        pub(crate) pinned: Option<bool> = Some(false),
        /// Whether it is in the archive.
        pub(crate) archived: Option<bool> = Some(false),
        /// Leaf shown; the document's when absent.
        pub(crate) current_message_id: Option<String>,
        /// Seconds; now when absent.
        pub(crate) created_at: Option<i64>,
        /// Seconds; now when absent.
        pub(crate) updated_at: Option<i64>,
    }
}

form! {
    /// An import.
    pub(crate) struct ImportsForm {
        /// The chats.
        chats: Vec<ImportForm>,
    }
}

/// Refuses callers who may not import.
pub(super) async fn demand(caller: &Caller<Verified>) -> ApiResult<()> {
    if caller.may("chat.import").await? {
        Ok(())
    } else {
        Err(ApiError::forbidden(messages::ACCESS_PROHIBITED))
    }
}

pub(super) async fn import(caller: Caller<Verified>, body: Body<ImportsForm>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    let mut forms = body.form.chats;
    for form in &mut forms {
        set_authors(&mut form.chat, caller.user());
    }
    let rows = store(&caller, forms).await?;
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let notice = caller
        .notice("chat.imported")
        .about_kind("chat.import", Value::Null);
    caller.publish(notice.with(json!({ "count": ids.len(), "chat_ids": ids })));
    Ok(Json(rows.into_iter().map(ChatRow::into_json).collect()))
}

/// Inserts the chats, all or none.
pub(super) async fn store(caller: &Caller<Verified>, forms: Vec<ImportForm>) -> ApiResult<Vec<ChatRow>> {
    caller.app().chat.may_create_chats(caller.user()).await?;
    let mut may_write: HashMap<String, bool> = HashMap::new();
    for folder_id in forms.iter().filter_map(|form| form.folder_id.as_ref()) {
        if !may_write.contains_key(folder_id) {
            let may = folders::may_write(caller.db(), folder_id, caller.id()).await?;
            may_write.insert(folder_id.clone(), may);
        }
    }
    let mut tx = caller.db().begin().await?;
    let mut rows = Vec::with_capacity(forms.len());
    for mut form in forms {
        check_title(&form.chat)?;
        form.folder_id = form.folder_id.filter(|id| may_write.get(id) == Some(&true));
        rows.push(chat_edits::create_in(&mut tx, new_chat(caller.id(), form)).await?);
    }
    let mut tag_ids: Vec<String> = rows.iter().flat_map(ChatRow::tag_ids).collect();
    tag_ids.sort();
    tag_ids.dedup();
    tags::ensure(&mut tx, caller.id(), &tag_ids).await?;
    tx.commit().await?;
    Ok(rows)
}

fn new_chat(user_id: &str, mut form: ImportForm) -> NewChat {
    each_message(&mut form.chat, |message| {
        let named = message.get("user_id").or_else(|| message.get("user")?.get("id"));
        let author = named
            .and_then(Value::as_str)
            .filter(|id| !id.is_empty())
            .unwrap_or(user_id)
            .to_owned();
        message.insert("user_id".into(), json!(author));
    });
    NewChat {
        id: ids::uuid(),
        user_id: user_id.to_owned(),
        document: form.chat,
        folder_id: form.folder_id,
        meta: form.meta.unwrap_or_default(),
        variables: form.variables.unwrap_or_default(),
        created_at: form.created_at.filter(|time| *time != 0),
        updated_at: form.updated_at.filter(|time| *time != 0),
        pinned: form.pinned.unwrap_or(false),
        archived: form.archived.unwrap_or(false),
        current_message_id: form.current_message_id.filter(|id| !id.is_empty()),
        timer_at: None,
    }
}
