//! Steers the scripted provider from outside: reads the requests that it got, queues replies.
//! Works over HTTP, so that the provider may run in another process.

use anyhow::{Context, Result};
use reqwest::Client;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::sleep;

use crate::{events::matches, scenario::Upstream};

/// Headers of a forwarded request that are part of what the server promises.
const HEADERS: &[&str] = &[
    "authorization",
    "content-type",
    "api-key",
    "x-api-key",
    "anthropic-version",
];

/// How often requests that must come are looked for, and how long is waited in between.
const ATTEMPTS: usize = 100;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// The provider that a server under test talks to.
#[derive(Debug, Clone)]
pub struct Provider {
    /// `http://host:port`, without `/v1`.
    pub url: String,
    client: Client,
    taken: usize,
}

impl Provider {
    /// A provider at this base URL.
    #[must_use]
    pub fn new(url: &str, client: Client) -> Self {
        let url = url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        Self {
            url,
            client,
            taken: 0,
        }
    }

    /// The requests that came since the last call and fit, as golden files show them.
    ///
    /// # Errors
    /// When the provider cannot be reached.
    pub async fn requests(&mut self, wanted: &Upstream) -> Result<Value> {
        let mut attempts = 0;
        loop {
            let (found, seen) = self.look(wanted).await?;
            attempts += 1;
            if found.len() >= wanted.count || attempts == ATTEMPTS {
                self.taken = seen;
                return Ok(Value::Array(found));
            }
            sleep(BETWEEN_ATTEMPTS).await;
        }
    }

    /// What fits of the requests since the last taken one, and how many there have been in all.
    async fn look(&self, wanted: &Upstream) -> Result<(Vec<Value>, usize)> {
        let answer = self
            .client
            .get(format!("{}/__fake/requests", self.url))
            .send()
            .await
            .context("asking the provider")?;
        let all: Vec<Value> = answer.json().await?;
        let fresh = all.get(self.taken..).unwrap_or_default();
        let found = fresh
            .iter()
            .filter(|request| wanted.path.as_ref().is_none_or(|path| request["path"] == **path))
            .filter(|request| wanted.matching.is_null() || matches(&wanted.matching, request))
            .map(|request| described(request, wanted.whole_tools))
            .collect();
        Ok((found, all.len()))
    }

    /// Queues a reply.
    ///
    /// # Errors
    /// When the provider refuses it.
    pub async fn script(&self, script: &Value) -> Result<()> {
        let answer = self
            .client
            .post(format!("{}/__fake/scripts", self.url))
            .json(script)
            .send()
            .await?;
        answer
            .error_for_status()
            .context("the provider refused the script")?;
        Ok(())
    }
}

fn described(request: &Value, whole_tools: bool) -> Value {
    let headers: Map<String, Value> = request["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| HEADERS.contains(&name.as_str()) || name.starts_with("x-openwebui-"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut body = request["body"].clone();
    if let Some(Value::Array(tools)) = body.get_mut("tools").filter(|_| !whole_tools) {
        *tools = tools
            .iter()
            .map(|tool| tool.pointer("/function/name").unwrap_or(&tool["name"]).clone())
            .collect();
    }
    json!({"call": format!("{} {}", text(&request["method"]), text(&request["path"])), "query": request["query"],
        "headers": headers, "body": body})
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_shown_without_noise() {
        let request = json!({
            "method": "POST", "path": "/v1/chat/completions", "query": null,
            "headers": {"authorization": "Bearer k", "user-agent": "x", "x-openwebui-user-id": "u"},
            "body": {"tools": [{"function": {"name": "a", "description": "long"}}]},
        });
        assert_eq!(
            described(&request, false),
            json!({"call": "POST /v1/chat/completions", "query": null,
                "headers": {"authorization": "Bearer k", "x-openwebui-user-id": "u"}, "body": {"tools": ["a"]}})
        );
        assert_eq!(described(&request, true)["body"], request["body"]);
    }
}
