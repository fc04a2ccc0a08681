//! Who is calling, as the first argument of a handler: `Caller<Verified>` and its kin. The role
//! is part of the type, and only a caller hands out the database.

use oui_core::boxed;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use oui_access::{ADMIN, Identity, Permissions, is_verified};
use oui_core::{ApiError, ApiResult, messages};
use oui_models::Db;
use oui_models::groups::Membership;
use oui_models::users::UserRow;

use crate::app::App;
use crate::endpoint::Policy;

/// A kind of caller that a handler can demand.
pub trait Role: Send + Sync + 'static {
    /// What is known of the caller.
    type Who: Send + Sync;
    /// Name in the route table.
    const NAME: &'static str;

    /// Turns the request's identity (or its absence) into the caller, or refuses.
    fn admit(identity: Result<Identity, ApiError>) -> ApiResult<Self::Who>;
}

/// The caller of a request.
pub struct Caller<R: Role> {
    app: App,
    who: R::Who,
    role: PhantomData<R>,
}

impl<R: Role> Caller<R> {
    /// The application.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The database.
    pub fn db(&self) -> &Db {
        self.app.db()
    }
}

impl<R: Role<Who = Identity>> Caller<R> {
    /// The account.
    pub fn user(&self) -> &UserRow {
        &self.who.account.user
    }

    /// Account id.
    pub fn id(&self) -> &str {
        &self.who.account.user.id
    }

    /// How the caller proved who they are.
    pub fn identity(&self) -> &Identity {
        &self.who
    }

    /// What the caller did, to be told to those who hear of events.
    pub fn notice(&self, name: &'static str) -> oui_core::Notice {
        oui_core::Notice::new(name).by(self.user().actor_json())
    }

    /// Tells those who hear of events.
    pub fn publish(&self, notice: oui_core::Notice) {
        oui_core::Notices::publish(&self.app.events, notice);
    }

    /// Tells those who hear of events what the caller did, to which thing, and details.
    pub fn tell(&self, name: &'static str, id: impl Into<serde_json::Value>, details: serde_json::Value) {
        self.publish(self.notice(name).about(id).with(details));
    }

    /// The same about a thing of another kind than the name says.
    pub fn tell_of(
        &self,
        name: &'static str,
        (kind, id): (&str, impl Into<serde_json::Value>),
        details: serde_json::Value,
    ) {
        self.publish(self.notice(name).about_kind(kind, id).with(details));
    }

    /// Whether the caller is an administrator.
    pub fn is_admin(&self) -> bool {
        self.user().role == ADMIN
    }

    /// Whether the caller is an administrator whose role overrides grants.
    pub fn bypasses_grants(&self) -> bool {
        self.is_admin() && self.app.settings.access.admin_bypass
    }

    /// Groups of the caller.
    #[boxed]
    pub async fn membership(&self) -> ApiResult<Arc<Membership>> {
        Ok(oui_models::groups::membership(self.db(), self.id()).await?)
    }

    /// Effective permissions of the caller.
    #[boxed]
    pub async fn permissions(&self) -> ApiResult<Permissions> {
        self.app.permissions_of(self.id()).await
    }

    /// Whether the caller is an administrator or has the permission.
    #[boxed]
    pub async fn may(&self, permission: &str) -> ApiResult<bool> {
        Ok(self.is_admin() || self.permissions().await?.has(permission))
    }

    /// Refuses callers that are neither administrator nor have the permission.
    #[boxed]
    pub async fn demand(&self, permission: &str) -> ApiResult<()> {
        if self.may(permission).await? {
            Ok(())
        } else {
            Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED))
        }
    }
}

impl Caller<Public> {
    /// The server itself, for work at start that nobody calls for.
    pub fn system(app: &App) -> Self {
        Self {
            app: app.clone(),
            who: (),
            role: PhantomData,
        }
    }
}

impl Caller<Optional> {
    /// The account, when there is one.
    pub fn user(&self) -> Option<&UserRow> {
        self.who.as_ref().map(|identity| &identity.account.user)
    }
}

macro_rules! roles {
    ($($(#[$meta:meta])* $name:ident: $who:ty = |$identity:ident| $admit:expr;)*) => {$(
        $(#[$meta])*
        pub struct $name;

        impl Role for $name {
            type Who = $who;
            const NAME: &'static str = stringify!($name);

            fn admit($identity: Result<Identity, ApiError>) -> ApiResult<Self::Who> {
                $admit
            }
        }

        impl Policy for $name {
            type Arg = Caller<$name>;
            const NAME: &'static str = stringify!($name);
        }
    )*};
}

roles! {
    /// Anybody; credentials are not looked at.
    Public: () = |_identity| Ok(());
    /// Anybody; the account is known when good credentials came along.
    Optional: Option<Identity> = |identity| Ok(identity.ok());
    /// Any account, waiting ones too.
    Authenticated: Identity = |identity| identity;
    /// Any account that signed in as a person: no API keys, no automations.
    Human: Identity = |identity| {
        let identity = identity?;
        if identity.is_human() { Ok(identity) } else { Err(ApiError::forbidden(messages::HUMAN_SESSION_REQUIRED)) }
    };
    /// An admitted account.
    Verified: Identity = |identity| admit_if(identity, is_verified);
    /// An administrator.
    Admin: Identity = |identity| admit_if(identity, |role| role == ADMIN);
}

fn admit_if(identity: Result<Identity, ApiError>, good: impl Fn(&str) -> bool) -> ApiResult<Identity> {
    let identity = identity?;
    if good(&identity.account.user.role) {
        Ok(identity)
    } else {
        Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED))
    }
}

impl<R: Role> FromRequestParts<App> for Caller<R> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let identity = if R::NAME == Public::NAME_OF_ROLE {
            Err(ApiError::unauthorized(messages::NOT_AUTHENTICATED))
        } else {
            app.auth.identify(&parts.headers, parts.uri.path()).await
        };
        Ok(Self {
            app: app.clone(),
            who: R::admit(identity)?,
            role: PhantomData,
        })
    }
}

impl Public {
    /// [`Role::NAME`] of this role, for the short cut that looks at no credentials.
    const NAME_OF_ROLE: &'static str = <Public as Role>::NAME;
}
