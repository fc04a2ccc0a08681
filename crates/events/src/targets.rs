//! Targets of a user's notifications: webhooks kept in the user's settings under `notifications`.

use serde_json::{Map, Value, json};

use crate::Invalid;
use crate::catalogue::NOTIFICATIONS;

/// Id of the target that was made from the single address of older versions.
const LEGACY_ID: &str = "webhook";

/// The targets of one user.
#[derive(Debug, Clone)]
pub struct Targets {
    all: Map<String, Value>,
    migrated: bool,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default().trim()
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Events in the order in which old targets got them.
fn all_events() -> Vec<&'static str> {
    let mut names = NOTIFICATIONS.to_vec();
    names.sort_unstable();
    names
}

impl Targets {
    /// Reads the targets of a user's settings. The single address that older versions kept becomes a target.
    pub fn read(settings: &Value, now: i64) -> Self {
        let mut all = settings["notifications"].as_object().cloned().unwrap_or_default();
        let mut migrated = false;
        let legacy = [
            &settings["notifications"]["webhook_url"],
            &settings["ui"]["notifications"]["webhook_url"],
        ]
        .into_iter()
        .map(text)
        .find(|url| !url.is_empty())
        .unwrap_or_default()
        .to_owned();
        let listed: Vec<Value> = all
            .get("targets")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|target| target.is_object())
            .cloned()
            .collect();
        if listed.is_empty() && !legacy.is_empty() {
            let target = json!({
                "id": LEGACY_ID, "type": "webhook", "enabled": true, "events": all_events(), "delivery": "away",
                "config": { "url": legacy }, "created_at": now, "updated_at": now,
            });
            all.insert("targets".to_owned(), json!([target]));
            all.insert("default_target_id".to_owned(), LEGACY_ID.into());
            all.insert("legacy_notification_events_migrated".to_owned(), true.into());
            migrated = true;
        } else {
            let first = listed.first().map_or(Value::Null, |target| target["id"].clone());
            all.insert("targets".to_owned(), Value::Array(listed));
            all.entry("default_target_id").or_insert(first);
        }
        Self { all, migrated }
    }

    /// Whether reading changed something that should be kept.
    pub fn is_migrated(&self) -> bool {
        self.migrated
    }

    /// The value of `notifications` in the settings.
    pub fn to_settings(&self) -> Value {
        Value::Object(self.all.clone())
    }

    /// The targets with their secrets.
    pub fn list(&self) -> &[Value] {
        self.all
            .get("targets")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    fn default_id(&self) -> &str {
        self.all.get("default_target_id").map(text).unwrap_or_default()
    }

    /// The targets as the user sees them.
    pub fn public(&self) -> Vec<Value> {
        self.list()
            .iter()
            .map(|target| public(target, self.default_id()))
            .collect()
    }

    /// The target with this id, or the default one for an empty id.
    pub fn find(&self, id: &str) -> Option<&Value> {
        let id = if id.trim().is_empty() {
            self.default_id()
        } else {
            id.trim()
        };
        if id.is_empty() {
            return None;
        }
        self.list().iter().find(|target| same(text(&target["id"]), id))
    }

    fn set(&mut self, list: Vec<Value>) {
        self.all.insert("targets".to_owned(), Value::Array(list));
    }

    /// Adds a target and answers it as the user sees it. Its address must have been checked.
    ///
    /// # Errors
    /// See [`read_target`]; the id is in use.
    pub fn add(&mut self, payload: &Value, now: i64) -> Result<Value, Invalid> {
        let mut target = read_target(payload, &Value::Null, now)?;
        let mut list = self.list().to_vec();
        let taken = |id: &str| list.iter().any(|known| same(text(&known["id"]), id));
        let base = text(&target["id"]).to_owned();
        if taken(&base) {
            if !text(&payload["id"]).is_empty() {
                return Err(Invalid::new("notification target id already exists"));
            }
            let free = (2..)
                .map(|number| format!("{base}-{number}"))
                .find(|id| !taken(id));
            target["id"] = free.unwrap_or(base).into();
        }
        list.push(target.clone());
        self.set(list);
        if self.default_id().is_empty() {
            self.all
                .insert("default_target_id".to_owned(), target["id"].clone());
        }
        Ok(public(&target, self.default_id()))
    }

    /// Changes a target and answers it as the user sees it. Its address must have been checked.
    ///
    /// # Errors
    /// See [`read_target`]; there is no such target, or another one has the new id.
    pub fn change(&mut self, id: &str, payload: &Value, now: i64) -> Result<Value, Invalid> {
        let mut list = self.list().to_vec();
        let at = list
            .iter()
            .position(|target| same(text(&target["id"]), id))
            .ok_or_else(|| Invalid::new("Notification target not found"))?;
        let mut merged = json!({ "id": id });
        if let (Some(merged), Some(payload)) = (merged.as_object_mut(), payload.as_object()) {
            merged.extend(payload.clone());
        }
        let target = read_target(&merged, &list[at], now)?;
        let new_id = text(&target["id"]).to_owned();
        let clash = |(other, known): (usize, &Value)| other != at && same(text(&known["id"]), &new_id);
        if list.iter().enumerate().any(clash) {
            return Err(Invalid::new("notification target id already exists"));
        }
        list[at] = target.clone();
        self.set(list);
        if same(self.default_id(), id) {
            self.all.insert("default_target_id".to_owned(), new_id.into());
        }
        Ok(public(&target, self.default_id()))
    }

    /// Removes a target; `false` when there is none with this id.
    pub fn remove(&mut self, id: &str) -> bool {
        let kept: Vec<Value> = self
            .list()
            .iter()
            .filter(|target| !same(text(&target["id"]), id))
            .cloned()
            .collect();
        if kept.len() == self.list().len() {
            return false;
        }
        if same(self.default_id(), id) {
            let next = kept.first().map_or(Value::Null, |target| target["id"].clone());
            self.all.insert("default_target_id".to_owned(), next);
        }
        self.set(kept);
        true
    }

    /// Makes a target the default one and answers it as the user sees it.
    ///
    /// # Errors
    /// There is no such target.
    pub fn make_default(&mut self, id: &str) -> Result<Value, Invalid> {
        let target = self
            .list()
            .iter()
            .find(|target| same(text(&target["id"]), id))
            .cloned()
            .ok_or_else(|| Invalid::new("Notification target not found"))?;
        self.all
            .insert("default_target_id".to_owned(), target["id"].clone());
        Ok(public(&target, text(&target["id"])))
    }
}

/// The address that a target would have after a change, to be checked before it.
///
/// # Errors
/// There is none.
pub fn address(payload: &Value, existing: &Value) -> Result<String, Invalid> {
    let given = match &payload["config"]["url"] {
        Value::Null => text(&existing["config"]["url"]),
        url => text(url),
    };
    if given.is_empty() {
        return Err(Invalid::new("Webhook URL is required"));
    }
    // The masked form comes back from a page that does not know the whole address.
    let address = if given.contains("...") {
        text(&existing["config"]["url"])
    } else {
        given
    };
    Ok(address.to_owned())
}

/// A target from a form over the one that is there.
fn read_target(payload: &Value, existing: &Value, now: i64) -> Result<Value, Invalid> {
    let either = |name: &str, default: &str| {
        let found = [text(&payload[name]), text(&existing[name])]
            .into_iter()
            .find(|text| !text.is_empty());
        found.unwrap_or(default).to_owned()
    };
    let kind = either("type", "webhook");
    if kind != "webhook" {
        return Err(Invalid::new("Unsupported notification target type"));
    }
    let url = address(payload, existing)?;
    let mut config = existing["config"].as_object().cloned().unwrap_or_default();
    config.extend(payload["config"].as_object().cloned().unwrap_or_default());
    config.insert("url".to_owned(), url.clone().into());
    let id = match either("id", "") {
        id if id.is_empty() => host(&url).unwrap_or(LEGACY_ID).to_owned(),
        id => id,
    };
    let delivery = either("delivery", "away");
    if delivery != "away" && delivery != "always" {
        return Err(Invalid::new("Invalid notification delivery mode"));
    }
    let given = payload
        .get("events")
        .or_else(|| existing.get("events"))
        .unwrap_or(&Value::Null);
    let enabled = payload["enabled"]
        .as_bool()
        .or_else(|| existing["enabled"].as_bool())
        .unwrap_or(true);
    Ok(json!({
        "id": slug(&id),
        "type": kind,
        "enabled": enabled,
        "events": events(given)?,
        "delivery": delivery,
        "config": config,
        "created_at": existing["created_at"].as_i64().unwrap_or(now),
        "updated_at": now,
    }))
}

fn events(given: &Value) -> Result<Vec<String>, Invalid> {
    let listed = match given {
        Value::Null => &[][..],
        Value::Array(listed) => listed,
        _ => return Err(Invalid::new("events must be a list")),
    };
    let mut kept: Vec<String> = Vec::new();
    for event in listed {
        let name = text(event).to_owned();
        if !NOTIFICATIONS.contains(&name.as_str()) {
            return Err(Invalid::new(format!("unsupported notification event: {name}")));
        }
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    Ok(kept)
}

/// Letters, digits, `_` and `-` in lower case; whatever else becomes one `-`.
fn slug(id: &str) -> String {
    let mut slug = String::new();
    for letter in id.chars() {
        if letter.is_ascii_alphanumeric() || letter == '_' || letter == '-' {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_matches('-');
    if slug.is_empty() {
        "target".to_owned()
    } else {
        slug.to_owned()
    }
}

/// Host of an address without user and port.
fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    Some(host.split(':').next().unwrap_or(host)).filter(|host| !host.is_empty())
}

/// A target without its address, of which only enough to recognise it is shown.
fn public(target: &Value, default_id: &str) -> Value {
    let mut shown = target.clone();
    let mut config = target["config"].as_object().cloned().unwrap_or_default();
    let url = config.remove("url");
    let url = url.as_ref().map(text).unwrap_or_default();
    let masked = match (url.split_once("://"), host(url)) {
        _ if url.is_empty() => String::new(),
        (Some((scheme, rest)), Some(host)) => {
            let path = rest.find('/').map_or("", |at| &rest[at..]);
            let path = path.split(['?', '#']).next().unwrap_or_default();
            let skipped = path.chars().count().saturating_sub(4);
            format!(
                "{scheme}://{host}/...{}",
                path.chars().skip(skipped).collect::<String>()
            )
        }
        _ => "****".to_owned(),
    };
    config.insert("url_masked".to_owned(), masked.into());
    shown["config"] = Value::Object(config);
    shown["is_default"] = (text(&target["id"]) == default_id).into();
    shown
}

/// Whether a target is switched on.
pub(crate) fn is_enabled(target: &Value) -> bool {
    target["enabled"].as_bool().unwrap_or(true)
}

/// Address of a target.
pub(crate) fn url(target: &Value) -> Option<&str> {
    Some(text(&target["config"]["url"])).filter(|url| !url.is_empty())
}

/// Whether a target hears of an event; `away` tells whether its user is not here.
pub(crate) fn wants(target: &Value, event: &str, away: bool) -> bool {
    let listed = target["events"]
        .as_array()
        .is_some_and(|events| events.iter().any(|known| known == event));
    is_enabled(target) && listed && (away || target["delivery"] == "always")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(url: &str) -> Value {
        json!({"config": {"url": url}, "events": ["chat.finished", "chat.finished"]})
    }

    #[test]
    fn targets_are_added_changed_and_removed() {
        let mut targets = Targets::read(&json!({}), 1);
        let first = targets
            .add(&hook("https://Hooks.example.org/services/T0/abcdef"), 5)
            .unwrap();
        assert_eq!(
            first["config"],
            json!({"url_masked": "https://Hooks.example.org/...cdef"})
        );
        assert_eq!(
            (&first["id"], &first["is_default"]),
            (&json!("hooks-example-org"), &json!(true))
        );
        assert_eq!(first["events"], json!(["chat.finished"]));
        let second = targets.add(&hook("https://hooks.example.org/x"), 6).unwrap();
        assert_eq!(
            (&second["id"], &second["is_default"]),
            (&json!("hooks-example-org-2"), &json!(false))
        );
        let mut clash = hook("https://a.b/");
        clash["id"] = "Hooks-example-org".into();
        assert_eq!(
            targets.add(&clash, 7).unwrap_err().0,
            "notification target id already exists"
        );

        let masked = json!({"config": {"url": "https://hooks.example.org/...cdef"}, "delivery": "always"});
        let changed = targets.change("hooks-example-org", &masked, 9).unwrap();
        assert_eq!(
            (&changed["created_at"], &changed["updated_at"]),
            (&json!(5), &json!(9))
        );
        assert_eq!(
            url(targets.find("").unwrap()).unwrap(),
            "https://Hooks.example.org/services/T0/abcdef"
        );
        assert!(targets.change("nothing", &json!({}), 9).is_err());

        assert!(targets.remove("hooks-example-org") && !targets.remove("hooks-example-org"));
        assert_eq!(targets.public()[0]["is_default"], true);
        assert_eq!(
            targets.make_default("x").unwrap_err().0,
            "Notification target not found"
        );
    }

    #[test]
    fn bad_targets_are_refused() {
        let mut targets = Targets::read(&json!({}), 1);
        let mut refuse = |payload: Value| targets.add(&payload, 1).unwrap_err().0;
        assert_eq!(refuse(json!({})), "Webhook URL is required");
        assert_eq!(
            refuse(json!({"type": "mail"})),
            "Unsupported notification target type"
        );
        let mut payload = hook("https://a.b/");
        payload["events"] = json!(["user.created"]);
        assert_eq!(
            refuse(payload.clone()),
            "unsupported notification event: user.created"
        );
        payload["events"] = json!("all");
        assert_eq!(refuse(payload), "events must be a list");
    }

    #[test]
    fn the_old_single_address_becomes_a_target() {
        let targets = Targets::read(
            &json!({"ui": {"notifications": {"webhook_url": "https://h/1"}}}),
            1,
        );
        assert!(targets.is_migrated());
        let target = targets.find("webhook").unwrap();
        assert!(wants(target, "chat.failed", true) && !wants(target, "chat.failed", false));
    }
}
