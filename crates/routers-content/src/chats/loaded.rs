//! Who may do what with a chat, as the first argument of a handler: `LoadedChat<Owner, Missing>` has found the chat of
//! the path without reading its document, and asked the rule. [`Who`] is the rule, [`Answer`] what those hear whom it
//! refuses; the reference words that differently from route to route.

use std::marker::PhantomData;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::chats::{self, ChatHead, ChatRow};
use oui_models::{chat_access, folders};
use oui_web::{App, Caller, Policy, Verified};

/// A rule about chats.
pub(crate) trait Who: Send + Sync + 'static {
    /// Name in the route table.
    const NAME: &'static str;

    /// What the caller must be allowed before the chat is looked for.
    fn before(caller: &Caller<Verified>) -> impl Future<Output = ApiResult<()>> + Send {
        let _ = caller;
        async { Ok(()) }
    }

    /// Whether the caller may.
    fn admits(caller: &Caller<Verified>, chat: &ChatHead) -> impl Future<Output = ApiResult<bool>> + Send;
}

/// What those hear who may not, or who ask for a chat that does not exist.
pub(crate) trait Answer: Send + Sync + 'static {
    /// The error.
    fn refusal() -> ApiError;
}

macro_rules! answers {
    ($($(#[$meta:meta])* $name:ident => $error:expr;)*) => {$(
        $(#[$meta])*
        pub(crate) struct $name;

        impl Answer for $name {
            fn refusal() -> ApiError {
                $error
            }
        }
    )*};
}

answers! {
    /// 401, access prohibited.
    Prohibit => ApiError::unauthorized(messages::ACCESS_PROHIBITED);
    /// 401 with the general apology.
    Apologise => ApiError::unauthorized(messages::DEFAULT);
    /// 401, not found.
    Unknown => ApiError::unauthorized(messages::NOT_FOUND);
    /// 404.
    Missing => ApiError::not_found(messages::NOT_FOUND);
}

macro_rules! who {
    ($($(#[$meta:meta])* $name:ident $(after $permission:literal or $refusal:expr)? => $admits:expr;)*) => {$(
        $(#[$meta])*
        pub(crate) struct $name;

        impl Who for $name {
            const NAME: &'static str = stringify!($name);

            $(async fn before(caller: &Caller<Verified>) -> ApiResult<()> {
                if caller.may($permission).await? { Ok(()) } else { Err($refusal) }
            })?

            async fn admits(caller: &Caller<Verified>, chat: &ChatHead) -> ApiResult<bool> {
                $admits(caller, chat).await
            }
        }
    )*};
}

who! {
    /// The owner.
    Owner => owns;
    /// The owner, with the permission to share.
    Sharer after "chat.share" or ApiError::unauthorized(messages::ACCESS_PROHIBITED) => owns;
    /// The owner, with the permission to import.
    Importer after "chat.import" or ApiError::forbidden(messages::ACCESS_PROHIBITED) => owns;
    /// The owner, with the permission to delete, or an administrator who may see chats.
    Deleter after "chat.delete" or ApiError::unauthorized(messages::ACCESS_PROHIBITED) => keeps;
    /// The owner, or an administrator who may see chats.
    Keeper => keeps;
    /// Everybody who may look at the chat itself.
    Reader => may_read;
    /// The owner, and the owner of the folder it lies in, who may do a part of it.
    Organizer => organizes;
}

/// The owner, or an administrator who may see chats, while statistics may leave the server.
pub(crate) struct StatsReader;

impl Who for StatsReader {
    const NAME: &'static str = "StatsReader";

    async fn before(caller: &Caller<Verified>) -> ApiResult<()> {
        demand_community(caller)
    }

    async fn admits(caller: &Caller<Verified>, chat: &ChatHead) -> ApiResult<bool> {
        if keeps(caller, chat).await? {
            return Ok(true);
        }
        Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED))
    }
}

/// Refuses users while sharing with the community is off.
pub(crate) fn demand_community(caller: &Caller<Verified>) -> ApiResult<()> {
    if caller.is_admin() || caller.app().config.get(&oui_config::ui::ENABLE_COMMUNITY_SHARING) {
        return Ok(());
    }
    Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED))
}

async fn owns(caller: &Caller<Verified>, chat: &ChatHead) -> ApiResult<bool> {
    Ok(chat.is_owned_by(caller.id()))
}

/// Whether the caller is an administrator who may see chats of others.
pub(crate) fn sees_chats(caller: &Caller<Verified>) -> bool {
    caller.is_admin() && caller.app().settings.access.admin_chats
}

async fn keeps(caller: &Caller<Verified>, chat: &ChatHead) -> ApiResult<bool> {
    Ok(chat.is_owned_by(caller.id()) || sees_chats(caller))
}

/// Whether the caller may look at the chat itself, not only at a shared snapshot.
pub(crate) async fn may_read(caller: &Caller<Verified>, chat: &ChatHead) -> ApiResult<bool> {
    Ok(keeps(caller, chat).await?
        || (caller.is_admin() && chat.is_internal())
        || chat_access::may_read(caller.db(), chat, caller.id()).await?)
}

/// Whether the user may write in the chat.
pub(crate) async fn may_continue(db: &oui_models::Db, user_id: &str, chat: &ChatHead) -> ApiResult<bool> {
    Ok(chat.is_owned_by(user_id) || chat_access::may_continue(db, chat, user_id).await?)
}

async fn organizes(caller: &Caller<Verified>, chat: &ChatHead) -> ApiResult<bool> {
    if chat.is_owned_by(caller.id()) {
        return Ok(true);
    }
    let Some(folder_id) = &chat.folder_id else {
        return Ok(false);
    };
    let folder = folders::by_id(caller.db(), folder_id).await?;
    Ok(folder.is_some_and(|folder| folder.user_id == caller.id()))
}

/// Policy: the chat of the path, for those whom `W` admits; others hear `A`.
pub(crate) struct Chat<W, A>(PhantomData<(W, A)>);

impl<W: Who, A: Answer> Policy for Chat<W, A> {
    type Arg = LoadedChat<W, A>;
    const NAME: &'static str = W::NAME;
}

/// A chat that the caller may act on.
pub(crate) struct LoadedChat<W, A> {
    /// Who is calling.
    pub(crate) caller: Caller<Verified>,
    /// The chat without its document.
    pub(crate) chat: ChatHead,
    rule: PhantomData<(W, A)>,
}

impl<W: Who, A: Answer> LoadedChat<W, A> {
    /// The row with its document.
    pub(crate) async fn row(&self) -> ApiResult<ChatRow> {
        let row = chats::by_id(self.caller.db(), &self.chat.id).await?;
        row.map(ChatRow::repaired).ok_or_else(A::refusal)
    }
}

impl<W: Who, A: Answer> FromRequestParts<App> for LoadedChat<W, A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let caller = Caller::<Verified>::from_request_parts(parts, app).await?;
        W::before(&caller).await?;
        let Path(params) = Path::<Vec<(String, String)>>::from_request_parts(parts, app)
            .await
            .map_err(ApiError::internal)?;
        let id = params
            .into_iter()
            .find(|(name, _)| name == "id")
            .map(|(_, id)| id)
            .unwrap_or_default();
        let chat = chats::head(caller.db(), &id).await?.ok_or_else(A::refusal)?;
        if !W::admits(&caller, &chat).await? {
            return Err(A::refusal());
        }
        Ok(Self {
            caller,
            chat,
            rule: PhantomData,
        })
    }
}
