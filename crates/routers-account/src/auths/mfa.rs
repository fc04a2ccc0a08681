//! `/api/v1/auths/mfa`: setting up, giving, replacing and recovering a second factor. A challenge is no
//! credential: it opens nothing but these routes.

mod address;
mod steps;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use oui_access::authenticator::cookie;
use oui_access::mfa::{Kind, Setup};
use oui_access::{Claims, Credential};
use oui_core::form::{Extra, Issues};
use oui_core::{ApiError, ApiResult, Field, form, messages};
use oui_web::{Body, Caller, Human, Public};
use serde_json::{Value, json};

use super::cookies::{MFA_CHALLENGE, challenge_ended};
use super::session::signed_in;
use steps::Steps;

pub use address::limit_address;
pub(crate) use steps::check_configuration;
pub(super) use steps::start_login;

/// A text of so many characters.
#[derive(Clone)]
struct Bounded<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> std::fmt::Debug for Bounded<MIN, MAX> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl<const MIN: usize, const MAX: usize> Field for Bounded<MIN, MAX> {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let text = String::parse(input, issues)?;
        let length = text.chars().count();
        if (MIN..=MAX).contains(&length) {
            return Some(Self(text));
        }
        // The answer does not spell it out (see `discreet`), so the value stays out of it.
        issues.push("string_length", "String has a wrong length", &Value::Null);
        None
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": MIN, "maxLength": MAX })
    }
}

type Token = Bounded<20, 160>;
type Code = Bounded<1, 128>;

form! {
    pub(super) struct ChallengeForm {
        challenge_token: Token;
        .. extra
    }
}

form! {
    pub(super) struct VerifyForm {
        challenge_token: Token,
        code: Code,
        recovery: bool = false;
        .. extra
    }
}

form! {
    pub(super) struct FactorForm {
        code: Code,
        recovery: bool = false;
        .. extra
    }
}

form! {
    pub(super) struct RecoveryForm {
        challenge_token: Token,
        reset_token: Token;
        .. extra
    }
}

/// These forms have no room for anything else.
fn nothing_else(extra: &Extra) -> ApiResult<()> {
    if extra.is_empty() {
        Ok(())
    } else {
        Err(ApiError::unprocessable(Vec::new()))
    }
}

/// What the session of the caller says of itself.
fn claims(caller: &Caller<Human>) -> ApiResult<&Claims> {
    match &caller.identity().credential {
        Credential::Token { claims, .. } => Ok(claims),
        Credential::ApiKey => Err(ApiError::forbidden(messages::HUMAN_SESSION_REQUIRED)),
    }
}

pub(super) async fn status(caller: Caller<Human>) -> ApiResult<Json<Value>> {
    let method = claims(&caller)?.auth_method.as_deref().unwrap_or_default();
    let required = caller.app().auth.needs_second_factor(method);
    let (_, state) = Steps::of(&caller).account(caller.id()).await?;
    Ok(Json(json!({
        "enabled": state.secret.is_some(),
        "required": required,
        "recovery_codes_remaining": state.recovery_hashes.len(),
    })))
}

/// The challenge of a sign-in that ended with a redirect, which left it in a cookie. Only the own page may ask.
pub(super) async fn challenge(caller: Caller<Public>, headers: HeaderMap) -> ApiResult<Response> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let expected = own_origin(&caller, text("x-forwarded-proto"), text("host"));
    if text("origin") != expected.as_deref() {
        return Err(ApiError::forbidden("Invalid request origin."));
    }
    let token = cookie(&headers, MFA_CHALLENGE).unwrap_or_default();
    let ended = challenge_ended(caller.app().clock.seconds())?;
    let kinds = [Kind::Enroll, Kind::Verify, Kind::Recover];
    let body = match Steps::of(&caller).load(&token, &kinds).await {
        Ok(step) => Json(steps::to_client(
            &token,
            &step.challenge,
            caller.app().clock.seconds(),
        ))
        .into_response(),
        Err(error) if error.status().is_server_error() => return Err(error),
        Err(_) => ApiError::unauthorized(messages::MFA_STEP_EXPIRED).into_response(),
    };
    Ok(([(header::SET_COOKIE, ended)], body).into_response())
}

/// `scheme://host` of the page: the configured address, or the one that was asked.
fn own_origin(caller: &Caller<Public>, proto: Option<&str>, host: Option<&str>) -> Option<String> {
    let configured = caller.app().config.value("webui.url");
    let configured = configured.as_ref().and_then(Value::as_str).unwrap_or_default();
    if configured.is_empty() {
        return Some(format!("{}://{}", proto.unwrap_or("http"), host?));
    }
    let (scheme, rest) = configured.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    Some(format!("{scheme}://{host}"))
}

/// Gives the secret of a new authenticator; asked again it gives the same one.
pub(super) async fn start_enrolment(
    caller: Caller<Public>,
    Body { form, .. }: Body<ChallengeForm>,
) -> ApiResult<Json<Value>> {
    nothing_else(&form.extra)?;
    let (secret, email) = Steps::of(&caller)
        .new_authenticator(&form.challenge_token.0)
        .await?;
    let setup = tokio::task::spawn_blocking(move || Setup::new(&secret, &email))
        .await
        .map_err(ApiError::internal)?
        .ok_or_else(|| ApiError::internal("an address is too long for a QR code"))?;
    Ok(Json(
        json!({ "manual_key": setup.manual_key, "qr_code": setup.qr_code }),
    ))
}

/// Puts the new authenticator in place: ends a sign-in, or the change of an authenticator.
pub(super) async fn confirm_enrolment(
    caller: Caller<Public>,
    Body { form, .. }: Body<VerifyForm>,
) -> ApiResult<Response> {
    nothing_else(&form.extra)?;
    let (step, codes) = Steps::of(&caller)
        .enrol(&form.challenge_token.0, &form.code.0)
        .await?;
    caller.app().emitter.disconnect_user(&step.user.id, false).await;
    let codes = json!({ "recovery_codes": codes });
    if step.challenge.kind == Kind::Replace {
        return Ok(Json(codes).into_response());
    }
    finish(&caller, &step, Some(codes)).await
}

/// Ends a sign-in with a code of the authenticator or a recovery code.
pub(super) async fn verify(
    caller: Caller<Public>,
    Body { form, .. }: Body<VerifyForm>,
) -> ApiResult<Response> {
    nothing_else(&form.extra)?;
    let step = Steps::of(&caller)
        .verify(&form.challenge_token.0, &form.code.0, form.recovery)
        .await?;
    finish(&caller, &step, None).await
}

async fn finish(caller: &Caller<Public>, step: &steps::Step, more: Option<Value>) -> ApiResult<Response> {
    let (session, mut body) = signed_in(caller, &step.auth, &step.proof()).await?;
    if let (Value::Object(body), Some(Value::Object(more))) = (&mut body, more) {
        body.extend(more);
    }
    let mut response = Json(body).into_response();
    for cookie in [session, challenge_ended(caller.app().clock.seconds())?] {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Begins the change of the own authenticator, shortly after a sign-in and with a code of the present one.
pub(super) async fn replace(
    caller: Caller<Human>,
    Body { form, .. }: Body<FactorForm>,
) -> ApiResult<Json<Value>> {
    nothing_else(&form.extra)?;
    let challenge = Steps::of(&caller)
        .replace(caller.id(), claims(&caller)?, &form.code.0, form.recovery)
        .await?;
    Ok(Json(challenge))
}

/// Makes new recovery codes, which ends every session.
pub(super) async fn renew_recovery_codes(
    caller: Caller<Human>,
    Body { form, .. }: Body<FactorForm>,
) -> ApiResult<Json<Value>> {
    nothing_else(&form.extra)?;
    let codes = Steps::of(&caller)
        .renew_recovery_codes(caller.id(), claims(&caller)?, &form.code.0, form.recovery)
        .await?;
    caller.app().emitter.disconnect_user(caller.id(), false).await;
    Ok(Json(json!({ "recovery_codes": codes })))
}

/// Takes the operator's ticket and lets its holder set up a new authenticator.
pub(super) async fn recover(
    caller: Caller<Public>,
    Body { form, .. }: Body<RecoveryForm>,
) -> ApiResult<Json<Value>> {
    nothing_else(&form.extra)?;
    let challenge = Steps::of(&caller)
        .redeem(&form.challenge_token.0, &form.reset_token.0)
        .await?;
    Ok(Json(challenge))
}

/// Counts a password that is tried for an account, so that no other limit is the only one.
pub(super) async fn count_password(caller: &Caller<Public>, user_id: &str) -> ApiResult<()> {
    Steps::of(caller)
        .count_try(user_id, "password", None)
        .await
        .map(drop)
}

/// 429 with the seconds to wait.
pub(super) fn too_many(seconds: i64) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, messages::TOO_MANY_ATTEMPTS)
        .with_header(header::RETRY_AFTER, &seconds.to_string())
}
