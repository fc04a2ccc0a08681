//! The protocol between Playwright's clients and its server: objects that the server tells of, with methods and
//! events. It is not a public one, but has kept these few parts through many versions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oui_loaders::LoadError;
use serde_json::{Value, json};

use super::{Browser, NOWHERE, Wanted, failed, text_of, told_body, told_headers};
use crate::fetch::Fetched;

/// What is said to a route.
pub(super) fn answer(route: String, fetched: Option<Fetched>) -> (String, &'static str, Value) {
    match fetched {
        Some(fetched) => {
            let params = json!({
                "status": fetched.status.as_u16(), "headers": told_headers(&fetched),
                "body": told_body(&fetched), "isBase64": true,
            });
            (route, "fulfill", params)
        }
        None => (route, "abort", json!({ "errorCode": "blockedbyclient" })),
    }
}

impl Browser<'_> {
    /// Begins the conversation.
    pub(super) async fn greet(&mut self) -> Result<(), LoadError> {
        self.call("", "initialize", json!({ "sdkLanguage": "javascript" }))
            .await?;
        Ok(())
    }

    /// The browser that the server started for this connection.
    fn server_browser(&self) -> Result<String, LoadError> {
        let mut all = self.objects.values();
        let found = all.find_map(|object| object.pointer("/preLaunchedBrowser/guid")?.as_str());
        found
            .map(str::to_owned)
            .ok_or_else(|| failed("the Playwright server has none"))
    }

    /// Shows a page in a context of its own and reads it.
    pub(super) async fn show_by_playwright(&mut self, address: &str) -> Result<String, LoadError> {
        let browser = self.server_browser()?;
        let params =
            json!({ "serviceWorkers": "block", "proxy": { "server": NOWHERE, "bypass": "<-loopback>" } });
        let context = self.call(&browser, "newContext", params).await?;
        let context = text_of(&context, "/context/guid")?;
        let html = self.read_by_playwright(&context, address).await;
        self.call(&context, "close", json!({})).await?;
        html
    }

    async fn read_by_playwright(&mut self, context: &str, address: &str) -> Result<String, LoadError> {
        let page = self.call(context, "newPage", json!({})).await?;
        let page = text_of(&page, "/page/guid")?;
        let all = json!({ "patterns": [{ "glob": "**/*" }] });
        self.call(&page, "setNetworkInterceptionPatterns", all.clone())
            .await?;
        // Nobody answers: they are never connected.
        self.call(&page, "setWebSocketInterceptionPatterns", all).await?;
        let frame = self
            .objects
            .get(&page)
            .and_then(|page| page.pointer("/mainFrame/guid")?.as_str().map(str::to_owned))
            .ok_or_else(|| failed("the page has no frame"))?;
        let patience = u64::try_from(self.patience.as_millis()).unwrap_or_default();
        let params = json!({ "url": address, "timeout": patience, "waitUntil": "load" });
        let response = self.call(&frame, "goto", params).await?;
        text_of(&response, "/response/guid")?;
        let html = self.call(&frame, "content", json!({})).await?;
        text_of(&html, "/value")
    }

    /// Takes note of what the server tells.
    pub(super) fn hear_playwright(&mut self, mut message: Value) -> Option<Wanted> {
        let target = message["guid"].as_str()?.to_owned();
        let mut params = message["params"].take();
        match message["method"].as_str()? {
            "__create__" => {
                let guid = params["guid"].as_str()?.to_owned();
                self.objects.insert(guid, params["initializer"].take());
                None
            }
            "__dispose__" => {
                self.objects.remove(&target);
                None
            }
            "route" => {
                let route = params.pointer("/route/guid")?.as_str()?.to_owned();
                let request = self.objects.get(&route)?.pointer("/request/guid")?.as_str()?;
                let request = self.objects.get(request)?;
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let headers = request["headers"].as_array().into_iter().flatten();
                let body = request["postData"].as_str();
                Some(Wanted {
                    route,
                    kind: text(&request["resourceType"]).to_lowercase(),
                    method: text(&request["method"]),
                    url: text(&request["url"]),
                    headers: headers
                        .map(|header| (text(&header["name"]), text(&header["value"])))
                        .collect(),
                    body: body
                        .and_then(|body| STANDARD.decode(body).ok())
                        .unwrap_or_default(),
                })
            }
            _ => None,
        }
    }
}
