//! A file as the first argument of a handler. Every refusal is the same "not found": who may not see a file does not
//! learn that it exists.

use std::marker::PhantomData;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::files::{self, FileRow};
use oui_models::folder_files;
use oui_web::endpoint::Policy;
use oui_web::{App, Caller, Verified};

/// Policy: look at the file.
pub(crate) struct MayRead;

/// Policy: change the file.
pub(crate) struct MayWrite;

impl Policy for MayRead {
    type Arg = File;
    const NAME: &'static str = "Read";
}

impl Policy for MayWrite {
    type Arg = FileToChange;
    const NAME: &'static str = "Write";
}

/// A file that the caller may act on.
pub(crate) struct LoadedFile<A> {
    pub(crate) caller: Caller<Verified>,
    pub(crate) row: FileRow,
    right: PhantomData<fn() -> A>,
}

pub(crate) type File = LoadedFile<MayRead>;
pub(crate) type FileToChange = LoadedFile<MayWrite>;

/// Whether the right is the one to change.
pub(crate) trait Changes: 'static {
    const CHANGES: bool;
}

impl Changes for MayRead {
    const CHANGES: bool = false;
}

impl Changes for MayWrite {
    const CHANGES: bool = true;
}

/// The file, if the caller may see (or change) it.
pub(crate) async fn load(caller: &Caller<Verified>, id: &str, changes: bool) -> ApiResult<FileRow> {
    let missing = || ApiError::not_found(messages::NOT_FOUND);
    let row = files::by_id(caller.db(), id).await?.ok_or_else(missing)?;
    if row.user_id == caller.id() || caller.is_admin() {
        return Ok(row);
    }
    let membership = caller.membership().await?;
    let may = if changes {
        folder_files::may_write_file(caller.db(), id, caller.user(), &membership).await?
    } else {
        folder_files::may_read_file(caller.db(), id, caller.user(), &membership).await?
    };
    if may { Ok(row) } else { Err(missing()) }
}

impl<A: Changes> FromRequestParts<App> for LoadedFile<A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let caller = Caller::<Verified>::from_request_parts(parts, app).await?;
        let Path(params) = Path::<Vec<(String, String)>>::from_request_parts(parts, app)
            .await
            .map_err(ApiError::internal)?;
        let id = params
            .into_iter()
            .find(|(name, _)| name == "id")
            .map(|(_, id)| id)
            .unwrap_or_default();
        let row = load(&caller, &id, A::CHANGES).await?;
        Ok(Self {
            caller,
            row,
            right: PhantomData,
        })
    }
}
