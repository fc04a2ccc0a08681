//! Links to chats: taking a snapshot, saying who may open it, opening it.

use axum::Json;
use axum::extract::Path;
use oui_access::{ADMIN, is_verified};
use oui_core::{ApiError, ApiResult, choice, form, messages};
use oui_models::chats::{self, ChatRow};
use oui_models::shared_chats::{self, SharedChatRow};
use oui_models::users::UserRow;
use oui_models::{Db, chat_access, grants, groups};
use oui_web::body::MaybeBody;
use oui_web::{App, Body, Caller, Optional, Query, Verified};
use serde_json::{Value, json};

use super::lists::PageQuery;
use super::loaded::{Keeper, LoadedChat, Missing, Owner, Prohibit, Sharer, may_continue};
use super::shown::shown;
use crate::common::{GrantForm, demanded_grants};

choice! {
    /// What people with the link may do besides reading.
    pub(crate) enum ShareMode { Continue = "continue" }
}

form! {
    /// How to share.
    pub(crate) struct ShareForm {
        /// Whether readers may continue the chat.
        share_mode: Option<ShareMode>,
    }
}

/// The mode that a body sets; the outer `None` leaves it as it is.
#[expect(clippy::option_option, reason = "absent and null differ on the wire")]
pub(crate) fn mode_of(raw: &Value, mode: Option<ShareMode>) -> Option<Option<&'static str>> {
    raw.get("share_mode").map(|_| mode.map(ShareMode::as_str))
}

pub(super) async fn share(
    loaded: LoadedChat<Sharer, Prohibit>,
    MaybeBody(body): MaybeBody<ShareForm>,
) -> ApiResult<Json<Value>> {
    let mode = body.and_then(|body| mode_of(&body.raw, body.form.share_mode));
    let row = shared_chats::share(loaded.caller.db(), &loaded.chat.id, loaded.caller.id(), mode).await?;
    let row = row.ok_or_else(|| ApiError::unauthorized(messages::ACCESS_PROHIBITED))?;
    let mut details = json!({ "share_id": row.share_id });
    if loaded.chat.share_id.is_some() {
        details["updated"] = json!(true);
    }
    loaded.caller.tell("chat.shared", row.id.as_str(), details);
    Ok(Json(row.repaired().into_json()))
}

pub(super) async fn unshare(loaded: LoadedChat<Owner, Prohibit>) -> ApiResult<Json<Value>> {
    shared_chats::unshare(loaded.caller.db(), &loaded.chat.id).await?;
    loaded.caller.app().live.refresh_chat_access(&loaded.chat.id);
    let details = json!({ "share_id": loaded.chat.share_id });
    loaded
        .caller
        .tell("chat.unshared", loaded.chat.id.as_str(), details);
    Ok(Json(json!(true)))
}

pub(super) async fn unshare_all(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    let chat_ids = shared_chats::unshare_all(caller.db(), caller.id()).await?;
    let news = json!({ "count": chat_ids.len(), "chat_ids": chat_ids });
    caller.tell_of("chat.unshared", ("user", caller.id()), news);
    Ok(Json(json!(true)))
}

pub(super) async fn list(caller: Caller<Verified>, Query(query): Query<PageQuery>) -> ApiResult<Json<Value>> {
    let (filter, window) = query.read()?;
    Ok(Json(Value::Array(
        shared_chats::of_user(caller.db(), caller.id(), &filter, window).await?,
    )))
}

pub(super) async fn access(loaded: LoadedChat<Keeper, Missing>) -> ApiResult<Json<Value>> {
    let rows = grants::of(loaded.caller.db(), chat_access::KIND, &loaded.chat.id).await?;
    Ok(Json(rows.iter().map(grants::GrantRow::to_json).collect()))
}

form! {
    /// Who may open the link of a chat, or use a folder.
    pub(crate) struct AccessForm {
        /// The whole new list.
        pub(crate) access_grants: Vec<GrantForm>,
        /// Whether readers may continue the chats.
        pub(crate) share_mode: Option<ShareMode>,
    }
}

pub(super) async fn set_access(
    loaded: LoadedChat<Keeper, Missing>,
    body: Body<AccessForm>,
) -> ApiResult<Json<Value>> {
    let row = loaded.row().await?;
    let mode = mode_of(&body.raw, body.form.share_mode);
    let audience = demanded_grants(&loaded.caller, chat_access::KIND, body.form.access_grants).await?;
    shared_chats::set_access(loaded.caller.db(), &loaded.chat, &audience, mode).await?;
    loaded.caller.app().live.refresh_chat_access(&loaded.chat.id);
    Ok(Json(row.into_json()))
}

/// Whether the user is an administrator who may see chats of others.
fn sees_chats(app: &App, user: &UserRow) -> bool {
    user.role == ADMIN && app.settings.access.admin_chats
}

/// Whether the user may open the link because of who they are.
pub(super) async fn may_open(app: &App, db: &Db, user: &UserRow, shared: &SharedChatRow) -> ApiResult<bool> {
    if sees_chats(app, user) || shared.user_id == user.id {
        return Ok(true);
    }
    let membership = groups::membership(db, &user.id).await?;
    Ok(grants::allows(
        db,
        chat_access::KIND,
        &shared.chat_id,
        "read",
        &user.id,
        &membership,
    )
    .await?)
}

/// The chat behind a link, and whether the user may continue it.
async fn behind_link(
    db: &Db,
    shared: SharedChatRow,
    user: Option<&UserRow>,
) -> ApiResult<(Option<ChatRow>, bool)> {
    if let Some(user) = user.filter(|_| shared.is_to_continue())
        && let Some(head) = chats::head(db, &shared.chat_id).await?
        && may_continue(db, &user.id, &head).await?
    {
        return Ok((
            chats::by_id(db, &shared.chat_id).await?.map(ChatRow::repaired),
            true,
        ));
    }
    Ok((Some(shared.into_chat()), false))
}

/// What somebody sees who opens the link, or for an administrator the id of a chat.
pub(super) async fn opened(app: &App, db: &Db, user: Option<&UserRow>, token: &str) -> ApiResult<Value> {
    let viewer = user.map(|user| user.id.as_str());
    if let Some(shared) = shared_chats::by_id(db, token).await? {
        let mut admitted = shared_chats::is_open(db, &shared.chat_id).await?;
        if let Some(user) = user.filter(|_| !admitted) {
            admitted = may_open(app, db, user, &shared).await?;
        }
        let chat = if admitted {
            behind_link(db, shared, user).await?
        } else {
            (None, false)
        };
        let (Some(chat), live) = chat else {
            let detail = if user.is_some() {
                messages::ACCESS_PROHIBITED
            } else {
                messages::INVALID_TOKEN
            };
            return Err(ApiError::unauthorized(detail));
        };
        return answer(db, chat, viewer, live).await;
    }
    if let Some(user) = user.filter(|user| sees_chats(app, user))
        && let Some(chat) = chats::by_id(db, token).await?
    {
        let live = match chats::head(db, token).await? {
            Some(head) => may_continue(db, &user.id, &head).await?,
            None => false,
        };
        return answer(db, chat.repaired(), viewer, live).await;
    }
    Err(ApiError::unauthorized(messages::NOT_FOUND))
}

async fn answer(db: &Db, chat: ChatRow, viewer: Option<&str>, live: bool) -> ApiResult<Value> {
    let mut answer = shown(db, chat, viewer).await?;
    if let Some(document) = answer["chat"].as_object_mut() {
        document.insert("share_mode".into(), json!(live.then_some("continue")));
    }
    Ok(answer)
}

pub(super) async fn open(caller: Caller<Optional>, Path(token): Path<String>) -> ApiResult<Json<Value>> {
    let user = caller.user().filter(|user| is_verified(&user.role));
    Ok(Json(opened(caller.app(), caller.db(), user, &token).await?))
}
