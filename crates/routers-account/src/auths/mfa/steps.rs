//! The steps of a sign-in with a second factor. Each reads the account, changes the state and writes it back only
//! if nobody else did meanwhile; tries are counted before a code is looked at.

use oui_access::authenticator::factors_unreadable;
use oui_access::mfa::{Challenge, FactorError, Kind, MAX_CODES, State, new_challenge, token_hash};
use oui_access::{Claims, authenticator::Proof, is_verified};
use oui_config::auth as keys;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::Db;
use oui_models::auths::{self, AuthRow};
use oui_models::users::{self, UserRow};
use oui_web::{App, Caller, Role};
use serde_json::{Value, json};

use super::too_many;

/// How often a write is tried again when somebody else was faster.
const RETRIES: u32 = 5;
const BUSY: &str = "Authentication is busy. Please try again.";

/// A challenge that was met or may be met.
pub(super) struct Step {
    /// Whose.
    pub(super) user: UserRow,
    /// Credentials as they are now.
    pub(super) auth: AuthRow,
    /// The challenge.
    pub(super) challenge: Challenge,
    state: State,
    manages: bool,
}

impl Step {
    /// What the session says of how it was opened.
    pub(super) fn proof(&self) -> Proof<'_> {
        Proof {
            method: &self.challenge.auth_method,
            at: Some(self.challenge.auth_time),
            second_factor: true,
        }
    }

    fn slot(&mut self) -> &mut Option<Challenge> {
        if self.manages {
            &mut self.state.manage_challenge
        } else {
            &mut self.state.login_challenge
        }
    }
}

/// The steps, for one request.
pub(super) struct Steps<'a> {
    app: &'a App,
    db: &'a Db,
}

/// A challenge as the client gets it; `now` in seconds.
pub(super) fn to_client(token: &str, challenge: &Challenge, now: i64) -> Value {
    json!({
        "next_step": challenge.kind.next_step(),
        "challenge_token": token,
        "expires_in": (challenge.expires_at - now).max(0),
    })
}

/// Asks for the second factor of an account whose first was proved by `method` just now.
pub(in crate::auths) async fn start_login<R: Role>(
    caller: &Caller<R>,
    auth: &AuthRow,
    method: &str,
) -> ApiResult<Value> {
    let steps = Steps::of(caller);
    let mut state = read(auth)?;
    let now = steps.now();
    let (token, challenge) = new_challenge(
        &auth.id,
        auth.session_stamp.as_deref(),
        state.next_kind(),
        (method, now),
        now,
    );
    state.login_challenge = Some(challenge.clone());
    steps.save(auth, &state, false).await?;
    Ok(to_client(&token, &challenge, now))
}

/// Whether second factors can be asked for: sign-in is on, the switch is stored, and every stored secret can be
/// read with the present key. `enabled` is the switch as it will be.
pub(crate) async fn check_configuration<R: Role>(caller: &Caller<R>, enabled: bool) -> ApiResult<()> {
    if !enabled {
        return Ok(());
    }
    let app = caller.app();
    let cipher = app.auth.mfa_cipher()?;
    if !app.settings.auth.enabled || !app.config.persists(keys::ENABLE_MFA.path()) {
        return Err(ApiError::conflict(
            "MFA requires authentication and persistent configuration.",
        ));
    }
    for stored in auths::all_mfa(caller.db()).await? {
        let state = State::read(Some(&stored)).map_err(ApiError::internal)?;
        if state
            .secret
            .is_some_and(|secret| cipher.decrypt(&secret).is_err())
        {
            return Err(factors_unreadable());
        }
    }
    Ok(())
}

fn read(auth: &AuthRow) -> ApiResult<State> {
    State::read(auth.mfa.as_ref()).map_err(|error| {
        tracing::error!(%error, user = auth.id, "the stored second factor can not be read");
        factors_unreadable()
    })
}

fn expired() -> ApiError {
    ApiError::unauthorized(messages::MFA_STEP_EXPIRED)
}

fn is_busy(error: &ApiError) -> bool {
    error.status() == http::StatusCode::CONFLICT
}

impl<'a> Steps<'a> {
    pub(super) fn of<R: Role>(caller: &'a Caller<R>) -> Self {
        Self {
            app: caller.app(),
            db: caller.db(),
        }
    }

    fn now(&self) -> i64 {
        self.app.clock.seconds()
    }

    /// Credentials and second factor of an account that is switched on.
    pub(super) async fn account(&self, user_id: &str) -> ApiResult<(AuthRow, State)> {
        let auth = auths::by_id(self.db, user_id)
            .await?
            .filter(|auth| auth.active == Some(true))
            .ok_or_else(|| ApiError::unauthorized(messages::INVALID_AUTHENTICATION))?;
        let state = read(&auth)?;
        Ok((auth, state))
    }

    async fn save(&self, auth: &AuthRow, state: &State, revoke: bool) -> ApiResult<AuthRow> {
        auths::set_mfa(self.db, auth, &state.to_stored(), revoke)
            .await?
            .ok_or_else(|| {
                ApiError::conflict("Authentication changed in another request. Please start again.")
            })
    }

    /// Counts a password or code of the account before it is checked. With `stamp` the session must be a present
    /// one. Answers the account as it is then.
    pub(super) async fn count_try(
        &self,
        user_id: &str,
        kind: &str,
        stamp: Option<Option<&str>>,
    ) -> ApiResult<(AuthRow, State)> {
        for _ in 0..RETRIES {
            let (auth, mut state) = self.account(user_id).await?;
            if stamp.is_some_and(|stamp| stamp != auth.session_stamp.as_deref()) {
                return Err(ApiError::unauthorized("Session expired. Please sign in again."));
            }
            if let Err(seconds) = state.count_try(kind, self.now()) {
                self.app.security_event("auth.mfa.throttled", user_id, None);
                return Err(too_many(seconds));
            }
            match self.save(&auth, &state, false).await {
                Ok(auth) => {
                    let state = read(&auth)?;
                    return Ok((auth, state));
                }
                Err(error) if is_busy(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ApiError::conflict(BUSY))
    }

    /// The challenge of a token, if it is one of `kinds` and still open.
    pub(super) async fn load(&self, token: &str, kinds: &[Kind]) -> ApiResult<Step> {
        let (user_id, _) = token
            .split_once('.')
            .filter(|(user_id, _)| user_id.len() <= 64)
            .ok_or_else(expired)?;
        let (auth, state) = self.account(user_id).await?;
        let hash = token_hash(token);
        let is_of =
            |challenge: &Option<Challenge>| challenge.as_ref().is_some_and(|known| known.token_hash == hash);
        let manages =
            kinds == [Kind::Replace] || kinds.contains(&Kind::Replace) && is_of(&state.manage_challenge);
        let challenge = if manages {
            state.manage_challenge.clone()
        } else {
            state.login_challenge.clone()
        };
        let challenge = challenge
            .filter(|known| {
                kinds.contains(&known.kind)
                    && known.expires_at > self.now()
                    && known.session_stamp == auth.session_stamp
                    && known.token_hash == hash
            })
            .ok_or_else(expired)?;
        let user = users::by_id(self.db, user_id)
            .await?
            .filter(|user| is_verified(&user.role))
            .ok_or_else(|| ApiError::forbidden("Account is awaiting approval."))?;
        if !self.app.config.get(&keys::ENABLE_MFA) {
            return Err(ApiError::forbidden("MFA is disabled. Please sign in again."));
        }
        Ok(Step {
            user,
            auth,
            challenge,
            state,
            manages,
        })
    }

    /// [`Steps::load`], counting a try of the challenge and of the account.
    async fn attempt(&self, token: &str, kinds: &[Kind]) -> ApiResult<Step> {
        for _ in 0..RETRIES {
            let mut step = self.load(token, kinds).await?;
            let now = self.now();
            if step.challenge.attempts >= MAX_CODES {
                let wait = (step.challenge.expires_at - now).max(1);
                let error = ApiError::new(
                    http::StatusCode::TOO_MANY_REQUESTS,
                    "Too many codes. Please sign in again.",
                );
                return Err(error.with_header(http::header::RETRY_AFTER, &wait.to_string()));
            }
            step.state.count_try("factor", now).map_err(too_many)?;
            step.challenge.attempts += 1;
            *step.slot() = Some(step.challenge.clone());
            match self.save(&step.auth, &step.state, false).await {
                Ok(auth) => {
                    step.state = read(&auth)?;
                    step.auth = auth;
                    return Ok(step);
                }
                Err(error) if is_busy(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ApiError::conflict(BUSY))
    }

    /// The secret of the authenticator that a challenge sets up, and the account's address.
    pub(super) async fn new_authenticator(&self, token: &str) -> ApiResult<(String, String)> {
        let cipher = self.app.auth.mfa_cipher()?;
        let mut step = self.load(token, &[Kind::Enroll, Kind::Replace]).await?;
        let secret = match &step.challenge.secret {
            Some(secret) => cipher.decrypt(secret).map_err(|_| factors_unreadable())?,
            None => {
                let secret = oui_access::mfa::new_secret();
                step.challenge.secret = Some(cipher.encrypt(&secret));
                *step.slot() = Some(step.challenge.clone());
                self.save(&step.auth, &step.state, false).await?;
                secret
            }
        };
        Ok((secret, step.user.email))
    }

    /// Puts the authenticator of a challenge in place; every session of before ends.
    pub(super) async fn enrol(&self, token: &str, code: &str) -> ApiResult<(Step, Vec<String>)> {
        let cipher = self.app.auth.mfa_cipher()?;
        let mut step = self.attempt(token, &[Kind::Enroll, Kind::Replace]).await?;
        let challenge = step.challenge.clone();
        let codes = match step.state.enrol(cipher, &challenge, code, self.now()) {
            Ok(codes) => codes,
            Err(FactorError::Unreadable) => return Err(factors_unreadable()),
            Err(FactorError::Refused) => {
                self.app.security_event("auth.mfa.failed", &step.user.id, None);
                return Err(ApiError::unauthorized(
                    "Invalid code. Check your authenticator and try again.",
                ));
            }
        };
        step.auth = self.save(&step.auth, &step.state, true).await?;
        let event = match challenge.kind {
            Kind::Replace => "auth.mfa.replaced",
            _ => "auth.mfa.enrolled",
        };
        self.app.security_event(event, &step.user.id, None);
        Ok((step, codes))
    }

    fn use_factor(&self, user_id: &str, state: &mut State, code: &str, recovery: bool) -> ApiResult<()> {
        match state.use_factor(self.app.auth.mfa_cipher()?, code, recovery, self.now()) {
            Ok(()) => Ok(()),
            Err(FactorError::Unreadable) => Err(factors_unreadable()),
            Err(FactorError::Refused) => {
                self.app.security_event("auth.mfa.failed", user_id, None);
                Err(ApiError::unauthorized("Invalid or already used code."))
            }
        }
    }

    /// Meets the challenge of a sign-in.
    pub(super) async fn verify(&self, token: &str, code: &str, recovery: bool) -> ApiResult<Step> {
        let mut step = self.attempt(token, &[Kind::Verify]).await?;
        self.use_factor(&step.user.id, &mut step.state, code, recovery)?;
        step.state.login_challenge = None;
        step.auth = self.save(&step.auth, &step.state, false).await?;
        if recovery {
            self.app
                .security_event("auth.mfa.recovery_used", &step.user.id, None);
        }
        Ok(step)
    }

    /// What a signed-in user must show before the factor is changed: a fresh session and a code.
    async fn managed(
        &self,
        user_id: &str,
        claims: &Claims,
        code: &str,
        recovery: bool,
    ) -> ApiResult<(AuthRow, State)> {
        if self.now() - claims.auth_time.unwrap_or_default() > oui_access::mfa::CHALLENGE_SECONDS {
            return Err(ApiError::forbidden("reauthentication_required"));
        }
        if !self.app.config.get(&keys::ENABLE_MFA) {
            return Err(ApiError::forbidden("MFA is disabled."));
        }
        let stamp = claims.session_stamp.as_deref();
        let (auth, mut state) = self.count_try(user_id, "factor", Some(stamp)).await?;
        self.use_factor(user_id, &mut state, code, recovery)?;
        Ok((auth, state))
    }

    /// Begins the change of an authenticator.
    pub(super) async fn replace(
        &self,
        user_id: &str,
        claims: &Claims,
        code: &str,
        recovery: bool,
    ) -> ApiResult<Value> {
        let (auth, mut state) = self.managed(user_id, claims, code, recovery).await?;
        let proof = (
            claims.auth_method.as_deref().unwrap_or_default(),
            claims.auth_time.unwrap_or_default(),
        );
        let stamp = auth.session_stamp.as_deref();
        let (token, challenge) = new_challenge(user_id, stamp, Kind::Replace, proof, self.now());
        state.manage_challenge = Some(challenge.clone());
        self.save(&auth, &state, false).await?;
        if recovery {
            self.app.security_event("auth.mfa.recovery_used", user_id, None);
        }
        Ok(to_client(&token, &challenge, self.now()))
    }

    /// Replaces the recovery codes; every session ends.
    pub(super) async fn renew_recovery_codes(
        &self,
        user_id: &str,
        claims: &Claims,
        code: &str,
        recovery: bool,
    ) -> ApiResult<Vec<String>> {
        let (auth, mut state) = self.managed(user_id, claims, code, recovery).await?;
        let codes = state.renew_recovery_codes();
        state.forget_pending();
        self.save(&auth, &state, true).await?;
        self.app
            .security_event("auth.mfa.recovery_codes_regenerated", user_id, None);
        Ok(codes)
    }

    /// Takes a reset ticket; answers the challenge to set up a new authenticator.
    pub(super) async fn redeem(&self, token: &str, ticket: &str) -> ApiResult<Value> {
        let mut step = self.attempt(token, &[Kind::Recover]).await?;
        let now = self.now();
        if !step.state.accepts_ticket(ticket, now) {
            return Err(ApiError::unauthorized(
                "Invalid or expired operator recovery token.",
            ));
        }
        let proof = (step.challenge.auth_method.as_str(), step.challenge.auth_time);
        let stamp = step.auth.session_stamp.as_deref();
        let (token, mut challenge) = new_challenge(&step.user.id, stamp, Kind::Enroll, proof, now);
        challenge
            .oauth_session_id
            .clone_from(&step.challenge.oauth_session_id);
        challenge.provider.clone_from(&step.challenge.provider);
        step.state.reset_ticket = None;
        step.state.login_challenge = Some(challenge.clone());
        self.save(&step.auth, &step.state, false).await?;
        Ok(to_client(&token, &challenge, now))
    }
}
