//! Notifications that models send: found among the user's targets, sent by the events crate.

use async_trait::async_trait;
use oui_core::Clock;
use oui_events::Events;
use oui_events::targets::Targets;
use oui_models::Db;
use oui_models::users::{self, UserRow};
use oui_plugins::Notifier;
use serde_json::Value;

/// Sends through the targets of users.
pub(crate) struct UserTargets {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) events: Events,
}

#[async_trait]
impl Notifier for UserTargets {
    async fn notify(
        &self,
        user: &UserRow,
        target: &str,
        message: &str,
        title: &str,
    ) -> Result<String, String> {
        // The row of the run may be older than the last change of a target.
        let user = users::by_id(&self.db, &user.id).await.map_err(|error| {
            tracing::error!(%error, "the targets of a user could not be read");
            "the database could not be reached".to_owned()
        })?;
        let settings = Value::Object(user.as_ref().map(UserRow::settings_object).unwrap_or_default());
        let targets = Targets::read(&settings, self.clock.seconds());
        let user_id = user.map(|user| user.id).unwrap_or_default();
        let target = targets.find(target).ok_or("Notification target not found")?;
        self.events
            .notify(&user_id, target, message, title)
            .await
            .map_err(|error| error.to_string())?;
        Ok(target["id"].as_str().unwrap_or_default().to_owned())
    }
}
