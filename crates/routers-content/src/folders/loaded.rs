//! Who may do what with a folder, as the first argument of a handler. Every route asks first whether folders are on
//! and the caller may use them; [`Who`] is the rule for one folder, [`Answer`] what those hear whom it refuses.

use std::marker::PhantomData;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::folders::{self, FolderRow};
use oui_web::{App, Caller, Policy, Verified};

/// Policy and argument: somebody who may use folders.
pub(crate) struct FolderUser(pub(crate) Caller<Verified>);

impl Policy for FolderUser {
    type Arg = Self;
    const NAME: &'static str = "FolderUser";
}

impl FromRequestParts<App> for FolderUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let caller = Caller::<Verified>::from_request_parts(parts, app).await?;
        let enabled = app.config.get(&oui_config::features::ENABLE_FOLDERS);
        if enabled && caller.may("features.folders").await? {
            Ok(Self(caller))
        } else {
            Err(ApiError::forbidden(messages::ACCESS_PROHIBITED))
        }
    }
}

/// A rule about folders.
pub(crate) trait Who: Send + Sync + 'static {
    /// Name in the route table.
    const NAME: &'static str;

    /// Whether the caller may.
    fn admits(caller: &Caller<Verified>, folder: &FolderRow) -> impl Future<Output = ApiResult<bool>> + Send;
}

/// What those hear who may not, or who ask for a folder that does not exist.
pub(crate) trait Answer: Send + Sync + 'static {
    /// The error, for a folder that exists or does not.
    fn refusal(exists: bool) -> ApiError;
}

/// 404 for everybody who may not.
pub(crate) struct Missing;

impl Answer for Missing {
    fn refusal(_: bool) -> ApiError {
        ApiError::not_found(messages::NOT_FOUND)
    }
}

/// 403 for those who may not, 404 when there is no such folder.
pub(crate) struct Forbid;

impl Answer for Forbid {
    fn refusal(exists: bool) -> ApiError {
        if exists {
            ApiError::forbidden(messages::ACCESS_PROHIBITED)
        } else {
            Missing::refusal(exists)
        }
    }
}

macro_rules! who {
    ($($(#[$meta:meta])* $name:ident => |$caller:ident, $folder:ident| $admits:expr;)*) => {$(
        $(#[$meta])*
        pub(crate) struct $name;

        impl Who for $name {
            const NAME: &'static str = stringify!($name);

            async fn admits($caller: &Caller<Verified>, $folder: &FolderRow) -> ApiResult<bool> {
                $admits
            }
        }
    )*};
}

who! {
    /// The owner.
    FolderOwner => |caller, folder| Ok(folder.user_id == caller.id());
    /// The owner or an administrator.
    Manager => |caller, folder| Ok(folder.user_id == caller.id() || caller.is_admin());
    /// Those who may put chats into it, and administrators.
    Editor => |caller, folder| {
        Ok(caller.is_admin() || folders::may(caller.db(), folder, caller.id(), "write").await?)
    };
    /// Those who may see it, and administrators.
    Visitor => |caller, folder| {
        let (db, id) = (caller.db(), caller.id());
        Ok(caller.is_admin()
            || folders::may(db, folder, id, "read").await?
            || folders::may(db, folder, id, "write").await?)
    };
}

/// Policy: the folder of the path, for those whom `W` admits; others hear `A`.
pub(crate) struct Folder<W, A>(PhantomData<(W, A)>);

impl<W: Who, A: Answer> Policy for Folder<W, A> {
    type Arg = LoadedFolder<W, A>;
    const NAME: &'static str = W::NAME;
}

/// A folder that the caller may act on.
pub(crate) struct LoadedFolder<W, A> {
    /// Who is calling.
    pub(crate) caller: Caller<Verified>,
    /// The row.
    pub(crate) folder: FolderRow,
    rule: PhantomData<(W, A)>,
}

impl<W, A> LoadedFolder<W, A> {
    /// Whether the folder is the caller's.
    pub(crate) fn is_own(&self) -> bool {
        self.folder.user_id == self.caller.id()
    }

    /// Whether the caller may also put chats into it.
    pub(crate) async fn may_write(&self) -> ApiResult<bool> {
        Ok(self.caller.is_admin()
            || folders::may(self.caller.db(), &self.folder, self.caller.id(), "write").await?)
    }
}

impl<W: Who, A: Answer> FromRequestParts<App> for LoadedFolder<W, A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let FolderUser(caller) = FolderUser::from_request_parts(parts, app).await?;
        let Path(params) = Path::<Vec<(String, String)>>::from_request_parts(parts, app)
            .await
            .map_err(ApiError::internal)?;
        let id = params
            .into_iter()
            .find(|(name, _)| name == "id")
            .map(|(_, id)| id)
            .unwrap_or_default();
        let folder = folders::by_id(caller.db(), &id)
            .await?
            .ok_or_else(|| A::refusal(false))?;
        if !W::admits(&caller, &folder).await? {
            return Err(A::refusal(true));
        }
        Ok(Self {
            caller,
            folder,
            rule: PhantomData,
        })
    }
}
