//! Copies of chats: clones of the whole, forks of one branch, clones of what somebody shared.

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, form, ids, messages};
use oui_models::chat_edits::{self, NewChat};
use oui_models::chats::{self, ChatRow};
use oui_models::history::{self, Object};
use oui_models::{Db, folders, shared_chats};
use oui_web::body::MaybeBody;
use oui_web::{Body, Caller, Verified};
use serde_json::{Value, json};

use super::import::{self, ImportForm};
use super::loaded::{Apologise, Importer, LoadedChat, may_read, sees_chats};
use super::sharing;
use super::shown::{shown, take_over};

form! {
    /// How to name a clone.
    pub(crate) struct CloneForm {
        /// Title; made from the original's when absent.
        title: Option<String>,
    }
}

/// The document of a copy: the original's and where it comes from.
fn copied(mut document: Object, original_id: &str, title: String) -> Object {
    let current = document
        .get("history")
        .and_then(|history| history.get("currentId"))
        .cloned();
    document.insert("originalChatId".into(), original_id.into());
    document.insert("branchPointMessageId".into(), current.unwrap_or(Value::Null));
    document.insert("title".into(), title.into());
    document
}

fn object(value: Option<&Value>) -> Object {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

async fn store(caller: &Caller<Verified>, form: ImportForm, original_id: &str) -> ApiResult<Json<Value>> {
    let row = import::store(caller, vec![form]).await?.pop();
    let row = row.ok_or_else(|| ApiError::internal("a copy of a chat was not stored"))?;
    let details = json!({ "original_chat_id": original_id });
    caller.tell("chat.cloned", row.id.as_str(), details);
    Ok(Json(row.into_json()))
}

pub(super) async fn clone(
    loaded: LoadedChat<Importer, Apologise>,
    body: Body<CloneForm>,
) -> ApiResult<Json<Value>> {
    let row = loaded.row().await?;
    let title = body.form.title.filter(|title| !title.is_empty());
    let title = title.unwrap_or_else(|| format!("Clone of {}", row.title.as_deref().unwrap_or_default()));
    let form = ImportForm {
        chat: copied(row.document(), &row.id, title),
        meta: Some(row.meta_object()),
        variables: Some(object(row.variables.as_ref())),
        pinned: row.pinned,
        folder_id: row.folder_id,
        ..ImportForm::default()
    };
    store(&loaded.caller, form, &loaded.chat.id).await
}

pub(super) async fn clone_shared(
    caller: Caller<Verified>,
    Path(token): Path<String>,
) -> ApiResult<Json<Value>> {
    import::demand(&caller).await?;
    let row = shared_original(&caller, &token).await?;
    let (id, owner) = (row.id.clone(), row.user_id.clone().unwrap_or_default());
    let title = format!("Clone of {}", row.title.as_deref().unwrap_or_default());
    let (meta, pinned) = (row.meta_object(), row.pinned);
    let answer = shown(caller.db(), row, Some(caller.id())).await?;
    let mut document = copied(object(answer.get("chat")), &id, title);
    take_over(&mut document, &owner, caller.user());
    store(
        &caller,
        ImportForm {
            chat: document,
            meta: Some(meta),
            pinned,
            ..ImportForm::default()
        },
        &id,
    )
    .await
}

/// What a link leads to for this caller; for administrators the id of a chat does as well.
async fn shared_original(caller: &Caller<Verified>, token: &str) -> ApiResult<ChatRow> {
    let db = caller.db();
    if let Some(shared) = shared_chats::by_id(db, token).await? {
        let opens = sharing::may_open(caller.app(), db, caller.user(), &shared).await?;
        if !opens && !shared_chats::is_open(db, &shared.chat_id).await? {
            return Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED));
        }
        if opens
            && shared.is_to_continue()
            && let Some(chat) = chats::by_id(db, &shared.chat_id).await?
        {
            return Ok(chat.repaired());
        }
        return Ok(shared.into_chat());
    }
    let chat = if sees_chats(caller) {
        chats::by_id(db, token).await?
    } else {
        None
    };
    chat.map(ChatRow::repaired)
        .ok_or_else(|| ApiError::unauthorized(messages::NOT_FOUND))
}

form! {
    /// Where to fork.
    pub(crate) struct ForkForm {
        /// Last message of the copy; the one shown when absent.
        message_id: Option<String>,
    }
}

/// What a fork is made of.
struct Source {
    row: ChatRow,
    /// Messages by id.
    messages: Object,
}

pub(super) async fn fork(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    MaybeBody(body): MaybeBody<ForkForm>,
) -> ApiResult<Json<Value>> {
    import::demand(&caller).await?;
    let source = source(&caller, &id).await?;
    let at = body
        .and_then(|body| body.form.message_id)
        .filter(|id| !id.is_empty());
    let at = at
        .or_else(|| source.row.current_message_id.clone())
        .or_else(|| {
            let document = source.row.chat.as_ref()?;
            document
                .get("history")?
                .get("currentId")?
                .as_str()
                .map(str::to_owned)
        })
        .filter(|id| !id.is_empty())
        .ok_or_else(|| ApiError::bad_request("chat has no messages to fork"))?;
    let branch = branch(&source.messages, &at)?;
    let new = forked(&caller, source.row, branch, &at).await?;
    caller.app().chat.may_create_chats(caller.user()).await?;
    let row = chat_edits::create(caller.db(), new).await?;
    let details = json!({ "original_chat_id": id, "forked_from_message_id": at });
    caller.tell("chat.cloned", row.id.as_str(), details);
    Ok(Json(row.into_json()))
}

/// The chat, or for those who can not read it what its link shows.
async fn source(caller: &Caller<Verified>, id: &str) -> ApiResult<Source> {
    let db = caller.db();
    let readable = match chats::head(db, id).await? {
        Some(head) => may_read(caller, &head).await?,
        None => false,
    };
    if readable && let Some(row) = chats::by_id(db, id).await? {
        return living(caller, row.repaired()).await;
    }
    let answer = sharing::opened(caller.app(), db, Some(caller.user()), id).await?;
    let token = answer["id"].as_str().unwrap_or_default();
    if answer["share_id"] != token
        && let Some(row) = chats::by_id(db, token).await?
    {
        return living(caller, row.repaired()).await;
    }
    let shared = shared_chats::by_id(db, token).await?;
    let mut row = shared
        .ok_or_else(|| ApiError::unauthorized(messages::NOT_FOUND))?
        .into_chat();
    row.chat = answer.get("chat").cloned();
    let messages = tree(&row);
    Ok(Source { row, messages })
}

fn tree(row: &ChatRow) -> Object {
    object(
        row.chat
            .as_ref()
            .and_then(|chat| chat.get("history")?.get("messages")),
    )
}

async fn living(caller: &Caller<Verified>, row: ChatRow) -> ApiResult<Source> {
    if !caller.app().chat.tasks.of(&row.id, None).is_empty() {
        return Err(ApiError::conflict(
            "Wait for the current response to finish before forking.",
        ));
    }
    let rows = chat_edits::messages_map(caller.db(), &row.id)
        .await?
        .filter(|rows| !rows.is_empty());
    let messages = rows.unwrap_or_else(|| tree(&row));
    Ok(Source { row, messages })
}

/// The messages from the root to `last`, each with the next one as its only child.
fn branch(messages: &Object, last: &str) -> ApiResult<Vec<Object>> {
    if messages.is_empty() {
        return Err(ApiError::bad_request("chat has no messages to fork"));
    }
    let mut branch: Vec<Object> = Vec::new();
    let mut next = Some(last.to_owned());
    while let Some(id) = next {
        if branch.iter().any(|message| message["id"] == id.as_str()) {
            return Err(ApiError::bad_request("message branch contains a cycle"));
        }
        let message = messages.get(&id).and_then(Value::as_object);
        let mut message = message
            .cloned()
            .ok_or_else(|| ApiError::not_found("message not found"))?;
        next = message
            .get("parentId")
            .and_then(Value::as_str)
            .filter(|id| !id.is_empty())
            .map(str::to_owned);
        let child = branch.last().map(|child| child["id"].clone());
        message.insert("id".into(), id.into());
        message.insert("parentId".into(), json!(next));
        message.insert("childrenIds".into(), child.into_iter().collect());
        branch.push(message);
    }
    branch.reverse();
    Ok(branch)
}

/// Whether the reply waits for somebody to allow a tool.
fn awaits_approval(message: &Object) -> bool {
    let items = message.get("output").and_then(Value::as_array);
    items.into_iter().flatten().any(|item| {
        history::text(item, "type") == Some("function_call")
            && matches!(
                history::text(item, "status"),
                Some("pending" | "queued" | "requires_approval")
            )
    })
}

/// Takes the names of authors from the document, and ends replies that nobody writes any more.
fn finish(message: &mut Object, stored: Option<&Value>) {
    let author = stored
        .and_then(|stored| stored.get("user"))
        .filter(|user| user.is_object());
    if let Some(author) =
        author.filter(|user| user.get("id").is_some() && user.get("id") == message.get("user_id"))
    {
        message.insert("user".into(), author.clone());
    }
    let is_reply = message.get("role").and_then(Value::as_str) == Some("assistant");
    if is_reply && message.get("done") == Some(&Value::Bool(false)) && !awaits_approval(message) {
        message.insert("done".into(), true.into());
    }
}

async fn forked(
    caller: &Caller<Verified>,
    row: ChatRow,
    branch: Vec<Object>,
    at: &str,
) -> ApiResult<NewChat> {
    let stored = tree(&row);
    let (owner, is_owner) = (
        row.user_id.clone().unwrap_or_default(),
        row.is_owned_by(caller.id()),
    );
    let mut list = Vec::new();
    let mut messages = Object::new();
    for mut message in branch {
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        finish(&mut message, stored.get(&id));
        messages.insert(id, Value::Object(message.clone()));
        list.push(Value::Object(message));
    }
    let mut document = row.document();
    document.shift_remove("currentId");
    document.shift_remove("share_mode");
    document.insert("originalChatId".into(), json!(row.id));
    document.insert("branchPointMessageId".into(), json!(at));
    document.insert(
        "title".into(),
        json!(format!("{} (fork)", row.title.as_deref().unwrap_or_default())),
    );
    document.insert("history".into(), json!({ "messages": messages, "currentId": at }));
    document.insert("messages".into(), Value::Array(list));
    let mut meta = if is_owner {
        row.meta_object()
    } else {
        Object::new()
    };
    meta.insert("forked_from".into(), json!(row.id));
    meta.insert("forked_from_message_id".into(), json!(at));
    let mut new = NewChat {
        id: ids::uuid(),
        user_id: caller.id().to_owned(),
        meta,
        ..NewChat::default()
    };
    if is_owner {
        new.pinned = row.pinned.unwrap_or(false);
        new.variables = object(row.variables.as_ref());
        new.folder_id = writable(caller.db(), caller.id(), row.folder_id).await?;
    } else {
        let copy = ChatRow {
            chat: Some(Value::Object(document)),
            ..row
        };
        document = object(shown(caller.db(), copy, Some(caller.id())).await?.get("chat"));
        take_over(&mut document, &owner, caller.user());
    }
    new.document = document;
    Ok(new)
}

/// The folder, unless the user may no longer put chats into it.
async fn writable(db: &Db, user_id: &str, folder_id: Option<String>) -> ApiResult<Option<String>> {
    match folder_id {
        Some(id) if folders::may_write(db, &id, user_id).await? => Ok(Some(id)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_has_one_child_each() {
        let messages = json!({
            "a": {"parentId": null, "childrenIds": ["b", "c"]},
            "b": {"parentId": "a", "childrenIds": []},
            "c": {"parentId": "a", "childrenIds": []},
        });
        let messages = messages.as_object().unwrap();
        let found = branch(messages, "c").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["childrenIds"], json!(["c"]));
        assert_eq!(
            (&found[1]["parentId"], &found[1]["childrenIds"]),
            (&json!("a"), &json!([]))
        );
        assert_eq!(
            branch(messages, "x").unwrap_err().detail_text(),
            "message not found"
        );
    }

    #[test]
    fn circles_are_refused() {
        let messages = json!({"a": {"parentId": "b"}, "b": {"parentId": "a"}});
        let error = branch(messages.as_object().unwrap(), "a").unwrap_err();
        assert_eq!(error.detail_text(), "message branch contains a cycle");
    }

    #[test]
    fn unfinished_replies_end_unless_they_wait() {
        let reply = |output: Value| {
            let message = json!({"role": "assistant", "done": false, "output": output});
            let mut message = message.as_object().cloned().unwrap();
            finish(&mut message, None);
            message["done"].clone()
        };
        assert_eq!(reply(json!([])), true);
        assert_eq!(
            reply(json!([{"type": "function_call", "status": "pending"}])),
            false
        );
    }
}
