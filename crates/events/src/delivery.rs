//! Sending a message to a webhook, in the form that the known chat programs take.

use oui_providers::Guarded;
use serde_json::{Value, json};

/// What Discord takes at most, in characters.
const DISCORD_MAX: usize = 2000;
/// The picture beside messages in Teams; part of the product's identity.
const PICTURE: &str = "https://openwebui.com/favicon.png";

/// What is sent.
pub(crate) struct Message<'a> {
    /// First line.
    pub(crate) title: &'a str,
    /// The rest.
    pub(crate) description: Option<&'a str>,
    /// All of it, for receivers that are no chat program.
    pub(crate) data: &'a Value,
    /// Name of the server.
    pub(crate) server: &'a str,
    /// Its version.
    pub(crate) version: &'a str,
}

/// Sends a message; answers whether it was taken. Why not goes to the log.
pub(crate) async fn post(http: &Guarded, url: &str, message: &Message<'_>) -> bool {
    let Ok(url) = http.check(url).await else {
        tracing::warn!("a webhook is not sent: its address is no public web address");
        return false;
    };
    let host = url.host_str().unwrap_or_default().to_owned();
    let sent = http
        .client()
        .post(url.clone())
        .json(&payload(url.as_str(), message))
        .send()
        .await;
    match sent.and_then(reqwest::Response::error_for_status) {
        Ok(_) => true,
        Err(error) => {
            // The address may hold a secret, so the host must do.
            tracing::warn!(error = %error.without_url(), host, "a webhook was not taken");
            false
        }
    }
}

fn payload(url: &str, message: &Message<'_>) -> Value {
    if url.starts_with("https://hooks.slack.com") || url.starts_with("https://chat.googleapis.com") {
        json!({ "text": text(message) })
    } else if url.starts_with("https://discord.com/api/webhooks") {
        let text = text(message);
        let content = if text.chars().count() < DISCORD_MAX {
            text
        } else {
            format!(
                "{}... (truncated)",
                text.chars().take(DISCORD_MAX - 20).collect::<String>()
            )
        };
        json!({ "content": content })
    } else if url.contains("webhook.office.com") {
        teams(message)
    } else {
        message.data.clone()
    }
}

fn text(message: &Message<'_>) -> String {
    let mut lines = vec![message.title.to_owned()];
    lines.extend(
        message
            .description
            .filter(|text| !text.is_empty() && *text != message.title)
            .map(str::to_owned),
    );
    if let Some(event) = message.data["event"].as_str() {
        lines.push(format!("Event: {event}"));
    }
    lines.join("\n")
}

fn teams(message: &Message<'_>) -> Value {
    let data = message.data;
    let person = ["user", "actor"]
        .into_iter()
        .find_map(|name| data[name].as_object());
    let mut facts: Vec<Value> = Vec::new();
    facts.extend(
        message
            .description
            .map(|text| json!({ "name": "description", "value": text })),
    );
    facts.extend(
        data["event"]
            .as_str()
            .map(|event| json!({ "name": "event", "value": event })),
    );
    facts.extend(
        person
            .into_iter()
            .flatten()
            .map(|(name, value)| json!({ "name": name, "value": value })),
    );
    let action = data["action"].as_str().unwrap_or("undefined");
    json!({
        "@type": "MessageCard",
        "@context": "http://schema.org/extensions",
        "themeColor": "0076D7",
        "summary": message.title,
        "sections": [{
            "activityTitle": message.title,
            "activitySubtitle": format!("{} ({}) - {action}", message.server, message.version),
            "activityImage": PICTURE,
            "text": message.description,
            "facts": facts,
            "markdown": true,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_gets_its_form() {
        let data = json!({"event": "user.created", "actor": {"name": "Ada"}});
        let message = Message {
            title: "User created",
            description: Some("Somebody is new."),
            data: &data,
            server: "Server",
            version: "1",
        };
        let slack = payload("https://hooks.slack.com/x", &message);
        assert_eq!(
            slack,
            json!({"text": "User created\nSomebody is new.\nEvent: user.created"})
        );
        assert!(payload("https://discord.com/api/webhooks/1", &message)["content"].is_string());
        let teams = payload("https://a.webhook.office.com/1", &message);
        assert_eq!(
            teams["sections"][0]["facts"][2],
            json!({"name": "name", "value": "Ada"})
        );
        assert_eq!(payload("https://example.org/", &message), data);
        // A host that only looks like one of them gets the plain form.
        assert_eq!(
            payload("https://example.org/?x=https://hooks.slack.com", &message),
            data
        );
    }

    #[test]
    fn long_texts_are_cut_for_discord() {
        let long = "x".repeat(3000);
        let message = Message {
            title: &long,
            description: None,
            data: &Value::Null,
            server: "s",
            version: "1",
        };
        let content = payload("https://discord.com/api/webhooks/1", &message)["content"]
            .as_str()
            .unwrap()
            .len();
        assert_eq!(content, 1995);
    }
}
