//! A shared resource as the first argument of a handler: `Loaded<Prompt, Write>` has read the id from
//! the path, loaded the row and applied the rule of owner, administrator and grants.

use oui_core::boxed;
use std::marker::PhantomData;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use oui_access::{Action, Ownership};
use oui_core::{ApiError, ApiResult};
use oui_models::grants::{self, Grant};
use oui_models::{Db, DbResult};

use crate::app::App;
use crate::caller::{Caller, Verified};
use crate::endpoint::Policy;

/// A kind of row that has an owner and grants.
pub trait Resource: Send + Sync + 'static {
    /// The row.
    type Row: Send + Sync;
    /// `resource_type` in the grants.
    const KIND: &'static str;
    /// Name of the path parameter that holds the id.
    const PARAM: &'static str = "id";

    /// Reads the row.
    fn load(db: &Db, id: &str) -> impl Future<Output = DbResult<Option<Self::Row>>> + Send;

    /// Owner's user id.
    fn owner(row: &Self::Row) -> Option<&str>;

    /// Answer when there is no such row.
    fn missing() -> ApiError;

    /// Answer when the caller may not.
    fn denied() -> ApiError;
}

/// The right that a handler needs.
pub trait Right: Send + Sync + 'static {
    /// The right as the rule knows it.
    const ACTION: Action;
    /// Name in the route table.
    const NAME: &'static str;
}

/// Policy and right: look at the resource.
pub struct Read<R = ()>(PhantomData<R>);

/// Policy and right: change the resource.
pub struct Write<R = ()>(PhantomData<R>);

impl Right for Read {
    const ACTION: Action = Action::Read;
    const NAME: &'static str = "Read";
}

impl Right for Write {
    const ACTION: Action = Action::Write;
    const NAME: &'static str = "Write";
}

impl<R: Resource> Policy for Read<R> {
    type Arg = Loaded<R, Read>;
    const NAME: &'static str = "Read";
}

impl<R: Resource> Policy for Write<R> {
    type Arg = Loaded<R, Write>;
    const NAME: &'static str = "Write";
}

/// A resource that the caller may act on.
pub struct Loaded<R: Resource, A: Right> {
    /// Who is calling.
    pub caller: Caller<Verified>,
    /// The row.
    pub row: R::Row,
    /// Grants on it.
    pub grants: Vec<Grant>,
    right: PhantomData<A>,
}

impl<R: Resource, A: Right> Loaded<R, A> {
    /// Whether the caller could also write.
    #[boxed]
    pub async fn may_write(&self) -> ApiResult<bool> {
        let membership = self.caller.membership().await?;
        let rule = Ownership {
            owner: R::owner(&self.row),
            grants: &self.grants,
        };
        Ok(rule.permits(
            Action::Write,
            self.caller.id(),
            &membership,
            self.caller.bypasses_grants(),
        ))
    }
}

impl<R: Resource, A: Right> FromRequestParts<App> for Loaded<R, A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let caller = Caller::<Verified>::from_request_parts(parts, app).await?;
        let Path(params) = Path::<Vec<(String, String)>>::from_request_parts(parts, app)
            .await
            .map_err(ApiError::internal)?;
        let id = params
            .into_iter()
            .find(|(name, _)| name == R::PARAM)
            .map(|(_, id)| id)
            .unwrap_or_default();
        let row = R::load(caller.db(), &id).await?.ok_or_else(R::missing)?;
        let grants: Vec<Grant> = grants::of(caller.db(), R::KIND, &id)
            .await?
            .iter()
            .map(grants::GrantRow::grant)
            .collect();
        let membership = caller.membership().await?;
        let rule = Ownership {
            owner: R::owner(&row),
            grants: &grants,
        };
        if !rule.permits(A::ACTION, caller.id(), &membership, caller.bypasses_grants()) {
            return Err(R::denied());
        }
        Ok(Self {
            caller,
            row,
            grants,
            right: PhantomData,
        })
    }
}
