//! The debugging protocol of Chromium.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oui_loaders::LoadError;
use reqwest::Client;
use serde_json::{Value, json};

use super::{Browser, NOWHERE, Wanted, failed, text_of, told_body, told_headers};
use crate::fetch::Fetched;

/// The WebSocket of a browser that is open for debugging at an address.
pub(super) async fn address(client: &Client, base: &str) -> Result<String, LoadError> {
    let url = format!("{}/json/version", base.trim_end_matches('/'));
    let plain = |error: reqwest::Error| failed(error.without_url());
    let answer = client.get(url).send().await.map_err(plain)?;
    let answer: Value = answer.json().await.map_err(plain)?;
    text_of(&answer, "/webSocketDebuggerUrl")
}

/// What is said to a paused request.
pub(super) fn answer(page: &str, route: String, fetched: Option<Fetched>) -> (String, &'static str, Value) {
    let (method, params) = match fetched {
        Some(fetched) => (
            "Fetch.fulfillRequest",
            json!({
                "requestId": route, "responseCode": fetched.status.as_u16(),
                "responseHeaders": told_headers(&fetched), "body": told_body(&fetched),
            }),
        ),
        None => (
            "Fetch.failRequest",
            json!({ "requestId": route, "errorReason": "BlockedByClient" }),
        ),
    };
    (page.to_owned(), method, params)
}

impl Browser<'_> {
    /// Shows a page in a context of its own and reads it.
    pub(super) async fn show_by_devtools(&mut self, address: &str) -> Result<String, LoadError> {
        let params =
            json!({ "disposeOnDetach": true, "proxyServer": NOWHERE, "proxyBypassList": "<-loopback>" });
        let context = self.call("", "Target.createBrowserContext", params).await?;
        let context = text_of(&context, "/browserContextId")?;
        let html = self.read_by_devtools(&context, address).await;
        let params = json!({ "browserContextId": context });
        self.call("", "Target.disposeBrowserContext", params).await?;
        html
    }

    async fn read_by_devtools(&mut self, context: &str, address: &str) -> Result<String, LoadError> {
        let params = json!({ "url": "about:blank", "browserContextId": context });
        let target = self.call("", "Target.createTarget", params).await?;
        let params = json!({ "targetId": text_of(&target, "/targetId")?, "flatten": true });
        let session = self.call("", "Target.attachToTarget", params).await?;
        let session = text_of(&session, "/sessionId")?;
        self.page.clone_from(&session);
        for (method, params) in [
            ("Page.enable", json!({})),
            ("Network.enable", json!({})),
            ("Network.setBypassServiceWorker", json!({ "bypass": true })),
            ("Fetch.enable", json!({ "patterns": [{ "urlPattern": "*" }] })),
        ] {
            self.call(&session, method, params).await?;
        }
        let patience = self.patience;
        let load = async {
            let went = self
                .call(&session, "Page.navigate", json!({ "url": address }))
                .await?;
            if let Some(reason) = went["errorText"].as_str() {
                return Err(failed(reason));
            }
            while !self.loaded {
                let message = self.listen().await?;
                self.hear(message);
            }
            Ok(())
        };
        tokio::time::timeout(patience, load)
            .await
            .map_err(|_| failed("the page did not load in time"))??;
        let params = json!({ "expression": "document.documentElement.outerHTML", "returnByValue": true });
        let html = self.call(&session, "Runtime.evaluate", params).await?;
        text_of(&html, "/result/value")
    }

    /// Takes note of what the browser tells.
    pub(super) fn hear_devtools(&mut self, message: Value) -> Option<Wanted> {
        if message["sessionId"] != self.page {
            return None;
        }
        let params = &message["params"];
        match message["method"].as_str()? {
            "Page.loadEventFired" => {
                // That of the empty page does not count: nothing was asked for.
                self.loaded = self.asked > 0;
                None
            }
            "Fetch.requestPaused" => {
                let request = &params["request"];
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let headers = request["headers"].as_object().into_iter().flatten();
                let parts = request["postDataEntries"].as_array().into_iter().flatten();
                let parts = parts.filter_map(|part| STANDARD.decode(part["bytes"].as_str()?).ok());
                Some(Wanted {
                    route: text(&params["requestId"]),
                    kind: text(&params["resourceType"]).to_lowercase(),
                    method: text(&request["method"]),
                    url: text(&request["url"]),
                    headers: headers.map(|(name, value)| (name.clone(), text(value))).collect(),
                    body: parts.flatten().collect(),
                })
            }
            _ => None,
        }
    }
}
