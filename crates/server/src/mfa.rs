//! `oui mfa reset`: takes the authenticator of somebody who lost it, on the machine of the server.

use anyhow::{Context, Result, bail};
use oui_access::mfa::State;
use oui_config::Settings;
use oui_core::{Clock, ids};
use oui_models::{auths, users};
use oui_web::audit::{AuditEntry, AuditLog};
use serde_json::json;

use crate::{database, services};

/// Takes the second factor of the account with this address and answers the ticket with which its owner sets up
/// another. Every session of the account ends.
///
/// # Errors
/// There is no such account, no reason, or the account changed meanwhile.
pub async fn reset(settings: Settings, email: &str, reason: &str) -> Result<String> {
    if reason.trim().is_empty() {
        bail!("a reason is needed: give one with --reason");
    }
    let clock = Clock::system();
    let db = database::open(&settings, clock.clone()).await?;
    let user = users::by_email(&db, email.trim())
        .await?
        .with_context(|| format!("no account has the address {}", email.trim()))?;
    let auth = auths::by_id(&db, &user.id)
        .await?
        .filter(|auth| auth.active == Some(true))
        .context("the account is switched off")?;
    let mut state = State::read(auth.mfa.as_ref()).context("the stored second factor can not be read")?;
    let audit = services::audit_log(&settings, &clock)?;
    note(&audit, "auth.mfa.reset_requested", &user.id, reason);
    let ticket = state.reset(clock.seconds());
    if auths::set_mfa(&db, &auth, &state.to_stored(), true)
        .await?
        .is_none()
    {
        bail!("the account changed while its factor was reset; try again");
    }
    note(&audit, "auth.mfa.reset_completed", &user.id, reason);
    audit.close();
    db.close().await;
    Ok(ticket)
}

fn note(audit: &AuditLog, event: &'static str, user_id: &str, reason: &str) {
    audit.write(&AuditEntry {
        id: ids::uuid(),
        user: json!({ "id": user_id }),
        level: "METADATA",
        verb: "MFA".to_owned(),
        request_uri: "/api/v1/auths/mfa".to_owned(),
        extra: json!({ "event": event, "reason": reason }),
        ..AuditEntry::default()
    });
}
