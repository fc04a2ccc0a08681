//! How accounts come into being: sign-up, by an administrator, and the first administrator of an empty
//! database.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::Response;
use oui_access::{ADMIN, Claims, PENDING};
use oui_config::{auth as keys, ui};
use oui_core::{ApiError, ApiResult, Notice, Notices, form, messages};
use oui_models::users::{self, NewUser, UserRow};
use oui_models::{DbError, auths, groups};
use oui_web::{Admin, Body, Caller, Public, Role};
use serde_json::{Value, json};

use super::session::open;
use crate::image::ImageUrl;

/// Picture of accounts that bring none.
const DEFAULT_IMAGE: &str = "/user.png";
/// An account without a role is an error of the sender, which the reference answers like this.
const ADD_FAILED: &str = "An internal error occurred while adding the user.";

form! {
    /// What the sign-up page sends.
    pub(super) struct SignupForm {
        pub(super) name: String,
        pub(super) email: String,
        pub(super) password: String,
        pub(super) profile_image_url: Option<ImageUrl> = default_image(),
    }
}

form! {
    /// What an administrator sends to add somebody.
    pub(super) struct AddForm {
        pub(super) name: String,
        pub(super) email: String,
        pub(super) password: String,
        pub(super) profile_image_url: Option<ImageUrl> = default_image(),
        pub(super) role: Option<String> = Some(PENDING.to_owned()),
    }
}

fn default_image() -> Option<ImageUrl> {
    None
}

/// Somebody who gets an account with the usual role and group.
pub(super) struct Newcomer {
    name: String,
    email: String,
    password: String,
    image: String,
}

impl Newcomer {
    /// Without a picture.
    pub(super) fn new(name: &str, email: &str, password: &str) -> Self {
        Self {
            name: name.into(),
            email: email.into(),
            password: password.into(),
            image: DEFAULT_IMAGE.into(),
        }
    }
}

pub(super) async fn sign_up(
    caller: Caller<Public>,
    Body { form, .. }: Body<SignupForm>,
) -> ApiResult<Response> {
    refuse_closed(&caller).await?;
    refuse_address(&caller, &form.email).await?;
    let app = caller.app();
    app.passwords.check(&form.password)?;
    let image = picture(&caller, form.profile_image_url)?;
    let newcomer = Newcomer {
        name: form.name,
        email: form.email,
        password: form.password,
        image,
    };
    let user = create(&caller, newcomer, "api").await?;
    let notice = Notice::new("auth.signup")
        .by(user.actor_json())
        .about_kind("user", user.id.as_str());
    app.events.publish(notice.with(json!({ "email": user.email })));
    open(&caller, &user, "password", None).await
}

/// Refuses sign-up where it is closed. The first account is not held up by the switch, which turns itself off
/// and may be left over from an earlier database.
async fn refuse_closed(caller: &Caller<Public>) -> ApiResult<()> {
    let (settings, config) = (&caller.app().settings.auth, &caller.app().config);
    let form_shown = config.get(&ui::ENABLE_LOGIN_FORM);
    let open = match (settings.enabled, users::any(caller.db()).await?) {
        (true, true) => config.get(&ui::ENABLE_SIGNUP) && form_shown,
        (true, false) => form_shown || settings.initial_admin_signup,
        (false, any) => !any,
    };
    if open {
        Ok(())
    } else {
        Err(ApiError::forbidden(messages::ACCESS_PROHIBITED))
    }
}

async fn refuse_address<R: Role>(caller: &Caller<R>, email: &str) -> ApiResult<()> {
    let email = email.to_lowercase();
    if !is_address(&email) {
        return Err(ApiError::bad_request(messages::INVALID_EMAIL_FORMAT));
    }
    if users::by_email(caller.db(), &email).await?.is_some() {
        return Err(ApiError::bad_request(messages::EMAIL_TAKEN));
    }
    Ok(())
}

/// Whether the text begins like an address: something, `@`, and a domain with a dot inside.
pub(super) fn is_address(email: &str) -> bool {
    let dotted = |domain: &str| {
        domain
            .char_indices()
            .any(|(at, ch)| ch == '.' && at > 0 && at + 1 < domain.len())
    };
    email.ends_with("@localhost")
        || email
            .split_once('@')
            .is_some_and(|(name, rest)| !name.is_empty() && rest.split('@').next().is_some_and(dotted))
}

fn picture<R: Role>(caller: &Caller<R>, image: Option<ImageUrl>) -> ApiResult<String> {
    match image {
        Some(image) => image.admit(&caller.app().settings.access),
        None => Ok(DEFAULT_IMAGE.to_owned()),
    }
}

fn taken(error: DbError) -> ApiError {
    // Somebody else took the address since it was looked up.
    if error.is_unique_violation() {
        ApiError::bad_request(messages::EMAIL_TAKEN)
    } else {
        error.into()
    }
}

/// Makes an account with the usual role and group; the very first one becomes administrator and closes sign-up.
/// `source` tells how it came about.
pub(super) async fn create(caller: &Caller<Public>, newcomer: Newcomer, source: &str) -> ApiResult<UserRow> {
    let app = caller.app();
    let new = NewUser {
        name: newcomer.name,
        email: newcomer.email,
        password_hash: app.passwords.hash(&newcomer.password).await?,
        profile_image_url: newcomer.image,
        role: app.config.get(&ui::DEFAULT_USER_ROLE),
    };
    let user = users::create(caller.db(), new, true).await.map_err(taken)?;
    if user.role == ADMIN && users::count(caller.db()).await? == 1 {
        close_sign_up(caller).await?;
    }
    join_default_group(caller, &user.id).await?;
    let notice = Notice::new("user.created")
        .by(user.actor_json())
        .about(user.id.as_str());
    app.events
        .publish(notice.from_source(source).with(json!({ "role": user.role })));
    Ok(user)
}

async fn close_sign_up(caller: &Caller<Public>) -> ApiResult<()> {
    let change = BTreeMap::from([(ui::ENABLE_SIGNUP.path().to_owned(), Value::Bool(false))]);
    caller.app().save_config(change).await
}

async fn join_default_group<R: Role>(caller: &Caller<R>, user_id: &str) -> ApiResult<()> {
    let group = caller.app().config.get(&ui::DEFAULT_GROUP_ID);
    if group.is_empty() {
        return Ok(());
    }
    if groups::add_members(caller.db(), &group, &[user_id.to_owned()])
        .await?
        .is_err()
    {
        tracing::error!(%group, "DEFAULT_GROUP_ID names no group; choose another in the administration");
    }
    Ok(())
}

pub(super) async fn add(caller: Caller<Admin>, Body { form, .. }: Body<AddForm>) -> ApiResult<Json<Value>> {
    refuse_address(&caller, &form.email).await?;
    let app = caller.app();
    app.passwords.check(&form.password)?;
    let image = picture(&caller, form.profile_image_url)?;
    let role = form
        .role
        .ok_or_else(|| ApiError::new(http::StatusCode::INTERNAL_SERVER_ERROR, ADD_FAILED))?;
    let new = NewUser {
        name: form.name,
        email: form.email,
        password_hash: app.passwords.hash(&form.password).await?,
        profile_image_url: image,
        role,
    };
    let user = users::create(caller.db(), new, false).await.map_err(taken)?;
    join_default_group(&caller, &user.id).await?;
    let notice = caller
        .notice("user.created")
        .about(user.id.as_str())
        .from_source("admin");
    caller.publish(notice.with(json!({ "role": user.role })));
    if app.config.get(&keys::ENABLE_MFA) {
        return Ok(Json(user.profile_json()));
    }
    let mut body = user.profile_json();
    body["profile_image_url"] = Value::from(format!("/api/v1/users/{}/profile/image", user.id));
    body["token"] = Value::from(token_for(&caller, &user.id).await?);
    body["token_type"] = json!("Bearer");
    Ok(Json(body))
}

/// A session for the new account, which the administrator may hand on. It does not say how it was opened.
async fn token_for(caller: &Caller<Admin>, user_id: &str) -> ApiResult<String> {
    let app = caller.app();
    let stamp = auths::by_id(caller.db(), user_id)
        .await?
        .and_then(|auth| auth.session_stamp);
    let lifetime =
        oui_access::tokens::parse_duration(&app.config.get(&keys::JWT_EXPIRES_IN)).ok_or_else(|| {
            ApiError::internal("JWT_EXPIRES_IN is no duration; use a text such as 4w, 12h or -1")
        })?;
    let claims = Claims {
        id: user_id.to_owned(),
        typ: Some("session".into()),
        auth_method: None,
        auth_time: None,
        session_stamp: stamp,
        mfa_verified: None,
        exp: None,
        jti: None,
        iat: None,
    };
    app.auth.tokens.sign(claims, lifetime)
}

/// Makes the administrator of the environment while there is no account, and closes sign-up.
pub(crate) async fn first_admin(caller: &Caller<Public>) -> ApiResult<()> {
    let settings = &caller.app().settings.auth;
    let (Some(email), Some(password)) = (&settings.admin_email, &settings.admin_password) else {
        return Ok(());
    };
    if users::any(caller.db()).await? {
        return Ok(());
    }
    let new = NewUser {
        name: settings.admin_name.clone(),
        email: email.clone(),
        password_hash: caller.app().passwords.hash(password.expose()).await?,
        profile_image_url: DEFAULT_IMAGE.into(),
        role: ADMIN.into(),
    };
    users::create(caller.db(), new, true).await?;
    tracing::info!("made the administrator that WEBUI_ADMIN_EMAIL names");
    close_sign_up(caller).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["a@b.c", "admin@localhost", "a b@c.d e", "a@b.c@d"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["", "a", "a@b", "@b.c", "a@.c", "a@b.", "a@b@c.d"] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
