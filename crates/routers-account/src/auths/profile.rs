//! What people change on their own account: profile, time zone, password.

use axum::Json;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field, form, messages};
use oui_models::auths;
use oui_models::db::{Changes, Date};
use oui_models::users;
use oui_web::{Authenticated, Body, Caller, Verified};
use serde_json::{Value, json};

use super::sign_in::check_password;
use crate::image::ImageUrl;

form! {
    /// The profile page.
    pub(super) struct ProfileForm {
        profile_image_url: ImageUrl,
        name: String,
        bio: Option<String>,
        gender: Option<String>,
        date_of_birth: Option<Day>,
    }
}

form! {
    pub(super) struct TimezoneForm {
        timezone: String,
    }
}

form! {
    pub(super) struct PasswordForm {
        password: String,
        new_password: String,
    }
}

/// A calendar day as `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy)]
struct Day(Date);

impl Field for Day {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let day = input.as_str().and_then(Date::parse);
        if day.is_none() {
            issues.push("date_parsing", "Input should be a valid date", input);
        }
        day.map(Self)
    }

    fn schema() -> Value {
        json!({ "type": "string", "format": "date" })
    }
}

pub(super) async fn update_profile(
    caller: Caller<Verified>,
    Body { form, .. }: Body<ProfileForm>,
) -> ApiResult<Json<Value>> {
    let changes = Changes::new()
        .set(
            "profile_image_url",
            form.profile_image_url.admit(&caller.app().settings.access)?,
        )
        .set("name", form.name)
        .set("bio", form.bio)
        .set("gender", form.gender)
        .set("date_of_birth", form.date_of_birth.map(|day| day.0));
    let user = users::update(caller.db(), caller.id(), changes).await?;
    let user = user.ok_or_else(|| ApiError::bad_request(messages::default_with("")))?;
    let fields = ["profile_image_url", "name", "bio", "gender", "date_of_birth"];
    let notice = caller
        .notice("user.profile_updated")
        .about_kind("user", caller.id());
    caller.publish(notice.with(json!({ "updated_fields": fields })));
    Ok(Json(user.profile_json()))
}

pub(super) async fn update_timezone(
    caller: Caller<Authenticated>,
    Body { form, .. }: Body<TimezoneForm>,
) -> ApiResult<Json<Value>> {
    users::update(
        caller.db(),
        caller.id(),
        Changes::new().set("timezone", form.timezone),
    )
    .await?;
    let notice = caller.notice("user.updated").about(caller.id());
    caller.publish(notice.with(json!({ "updated_fields": ["timezone"] })));
    Ok(Json(json!({ "status": true })))
}

/// Changes the password, which ends every session, the own one too.
pub(super) async fn update_password(
    caller: Caller<Authenticated>,
    Body { form, .. }: Body<PasswordForm>,
) -> ApiResult<Json<bool>> {
    let app = caller.app();
    if app.settings.auth.trusted_email_header.is_some() {
        return Err(ApiError::bad_request(messages::ACTION_PROHIBITED));
    }
    let proof = check_password(caller.db(), &caller.user().email, &form.password).await?;
    let (user, auth) = proof.ok_or_else(|| ApiError::bad_request(messages::INCORRECT_PASSWORD))?;
    app.passwords.check(&form.new_password)?;
    let hash = app.passwords.hash(&form.new_password).await?;
    if !auths::set_password(caller.db(), &user.id, &hash, auth.password.as_deref()).await? {
        return Err(ApiError::conflict(messages::AUTHENTICATION_CHANGED));
    }
    app.emitter.disconnect_user(&user.id, false).await;
    caller.publish(
        caller
            .notice("auth.password_changed")
            .about_kind("user", user.id.as_str()),
    );
    Ok(Json(true))
}
