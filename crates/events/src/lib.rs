//! Who hears of what happened: the catalogue of events, the webhooks that administrators set on them, and the
//! notifications that users ask for. Publishing is [`oui_core::Notices::publish`], which [`Events`] implements: it
//! builds the event, and sends it in the background to those who want it. What happened is decided elsewhere, and
//! browsers are reached through [`oui_core::Emitter`].

pub mod catalogue;
mod delivery;
mod event;
pub mod targets;
pub mod webhooks;

use oui_core::boxed;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use oui_config::{Config, connections, ui};
use oui_core::{Clock, Notice, Notices, ids};
use oui_models::{Db, groups, users};
use oui_providers::Guarded;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

pub use event::Event;

/// What the user did not fill in right; the text is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What the service is made of.
pub struct EventsParts {
    /// Accounts and groups of those concerned.
    pub db: Db,
    /// Webhooks and switches.
    pub config: Arc<Config>,
    /// Time.
    pub clock: Clock,
    /// Client for addresses that users give.
    pub http: Guarded,
    /// Name that the server shows.
    pub name: String,
    /// Version that events and messages name.
    pub version: &'static str,
}

/// Publishes events. Clones share everything.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    parts: EventsParts,
    instance: String,
    sending: TaskTracker,
}

impl Events {
    /// The service of one process.
    pub fn new(parts: EventsParts) -> Self {
        Self(Arc::new(Inner {
            parts,
            instance: ids::uuid(),
            sending: TaskTracker::new(),
        }))
    }

    /// Waits until everybody has been told of what was published before, at most so long.
    #[boxed]
    pub async fn settle(&self, limit: Duration) {
        let sending = &self.0.sending;
        sending.close();
        if tokio::time::timeout(limit, sending.wait()).await.is_err() {
            tracing::warn!("the server stops while webhooks are still being told");
        }
        sending.reopen();
    }

    /// Client for addresses that users give.
    pub fn http(&self) -> &Guarded {
        &self.0.parts.http
    }

    /// The webhooks as they are stored; rows that can not be read are left out.
    pub fn webhooks(&self) -> Vec<Value> {
        let stored = self.0.parts.config.get(&connections::EVENT_WEBHOOKS);
        let now = self.0.parts.clock.seconds();
        let rows = stored.as_array().map(Vec::as_slice).unwrap_or_default();
        rows.iter()
            .filter(|row| row.is_object())
            .filter_map(|row| match webhooks::normalized(row, now, false) {
                Ok(webhook) => Some(webhook),
                Err(error) => {
                    tracing::warn!(%error, "an event webhook can not be read and is left out");
                    None
                }
            })
            .collect()
    }

    /// Sends a test through a target of a user.
    ///
    /// # Errors
    /// There is no such target, or it could not be reached.
    #[boxed]
    pub async fn test_target(&self, user_id: &str, target: &Value) -> Result<(), Invalid> {
        let name = &self.0.parts.name;
        let text = format!("This is a test notification from {name}.");
        let data = json!({ "action": "test", "user_id": user_id });
        self.send(target, "Test notification", Some(&text), &data).await
    }

    /// Sends a text through a target of a user.
    ///
    /// # Errors
    /// The target is switched off or could not be reached.
    #[boxed]
    pub async fn notify(
        &self,
        user_id: &str,
        target: &Value,
        message: &str,
        title: &str,
    ) -> Result<(), Invalid> {
        if !targets::is_enabled(target) {
            return Err(Invalid::new("Notification target is disabled"));
        }
        let data = json!({ "action": "notify", "user_id": user_id, "message": message, "title": title });
        let title = if title.is_empty() { "Notification" } else { title };
        self.send(target, title, Some(message), &data).await
    }

    async fn send(
        &self,
        target: &Value,
        title: &str,
        description: Option<&str>,
        data: &Value,
    ) -> Result<(), Invalid> {
        let url = targets::url(target).ok_or_else(|| Invalid::new("Webhook URL is required"))?;
        let message = delivery::Message {
            title,
            description,
            data,
            server: &self.0.parts.name,
            version: self.0.parts.version,
        };
        if delivery::post(&self.0.parts.http, url, &message).await {
            Ok(())
        } else {
            Err(Invalid::new("Webhook delivery failed"))
        }
    }

    async fn tell_webhooks(&self, event: &Event) {
        let mut memberships = None;
        for webhook in self.webhooks() {
            let url = webhook["url"].as_str().unwrap_or_default();
            if url.is_empty() || !webhooks::wants(&webhook, event.name()) {
                continue;
            }
            let concerned = event.user_ids();
            if memberships.is_none() && webhooks::names_groups(&webhook) {
                memberships = Some(self.groups_of(&concerned).await);
            }
            let groups = memberships.clone().unwrap_or_default();
            if !webhooks::reaches(&webhook["targets"], &concerned, &groups) {
                continue;
            }
            let title = match event.subject_id() {
                Some(id) => format!("{} ({id})", event.title()),
                None => event.title(),
            };
            let message = delivery::Message {
                title: &title,
                description: Some(&catalogue::description(event.name())),
                data: event.json(),
                server: &self.0.parts.name,
                version: self.0.parts.version,
            };
            delivery::post(&self.0.parts.http, url, &message).await;
        }
    }

    async fn groups_of(&self, user_ids: &[String]) -> HashSet<String> {
        let mut all = HashSet::new();
        for id in user_ids {
            match groups::membership(&self.0.parts.db, id).await {
                Ok(membership) => all.extend(membership.ids()),
                Err(error) => tracing::warn!(%error, "the groups of somebody concerned are not known"),
            }
        }
        all
    }

    async fn tell_users(&self, event: &Event) {
        let db = &self.0.parts.db;
        for user_id in event.user_ids() {
            let user = match users::by_id(db, &user_id).await {
                Ok(Some(user)) => user,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%error, "a notification could not be sent");
                    continue;
                }
            };
            let now = self.0.parts.clock.seconds();
            let away = event.name() == "channel.message" || !user.is_active(now);
            let settings = Value::Object(user.settings_object());
            for target in targets::Targets::read(&settings, now).list() {
                if targets::wants(target, event.name(), away) {
                    let text = event.notification();
                    let sent = self
                        .send(target, &text.title, text.description.as_deref(), &text.data)
                        .await;
                    if let Err(error) = sent {
                        tracing::warn!(%error, user = user_id, "a notification could not be sent");
                    }
                }
            }
        }
    }
}

impl Events {
    /// Whether webhooks of the administration and targets of users want an event.
    fn wanted(&self, name: &str) -> (bool, bool) {
        let hooks = self.webhooks();
        let for_hooks = hooks.iter().any(|webhook| webhooks::wants(webhook, name));
        let switch = self.0.parts.config.get(&ui::ENABLE_USER_WEBHOOKS);
        (for_hooks, switch && catalogue::NOTIFICATIONS.contains(&name))
    }

    /// The webhooks with the single address of older versions in front, when that is to be one of them.
    pub fn with_legacy(&self) -> Option<Vec<Value>> {
        let url = self.0.parts.config.get(&connections::WEBHOOK_URL);
        let mut all = self.webhooks();
        let known = all.iter().any(|webhook| webhook["id"] == webhooks::DEFAULT_ID);
        if url.is_empty() || known {
            return None;
        }
        let now = self.0.parts.clock.seconds();
        let legacy = json!({
            "id": webhooks::DEFAULT_ID, "name": "Default webhook", "url": url, "enabled": true, "events": ["*"],
            "targets": null, "created_at": now, "updated_at": now,
        });
        all.insert(0, legacy);
        Some(all)
    }
}

impl Notices for Events {
    fn is_wanted(&self, name: &str) -> bool {
        let (for_hooks, for_users) = self.wanted(name);
        for_hooks || for_users
    }

    fn publish(&self, notice: Notice) {
        let (for_hooks, for_users) = self.wanted(notice.name);
        if !for_hooks && !for_users {
            return;
        }
        let event = Event::new(
            &notice,
            &self.0.instance,
            self.0.parts.version,
            self.0.parts.clock.seconds(),
        );
        let events = self.clone();
        // Tools and tests may publish outside of a runtime; then nobody is there to be told.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let told = async move {
                if for_hooks {
                    events.tell_webhooks(&event).await;
                }
                if for_users {
                    events.tell_users(&event).await;
                }
            };
            self.0.sending.spawn_on(told, &runtime);
        }
    }
}
