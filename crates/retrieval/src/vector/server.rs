//! A vector store that is a server with JSON over HTTP: how it is called, and what its answers and refusals become.
//! The engines add their paths and shapes.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::sign::Signer;
use crate::error::{Error, Result};

/// The server of an engine.
pub(crate) struct Server {
    /// What error texts begin with.
    name: &'static str,
    client: reqwest::Client,
    base: String,
    headers: HeaderMap,
    signer: Option<Arc<Signer>>,
    timeout: Option<Duration>,
    /// JSON pointers to the sentence in a refusal; the first that is there is taken.
    reasons: &'static [&'static str],
}

impl Server {
    /// A server at an address.
    pub(crate) fn new(
        name: &'static str,
        client: reqwest::Client,
        base: &str,
        reasons: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            client,
            base: base.trim_end_matches('/').to_owned(),
            headers: HeaderMap::new(),
            signer: None,
            timeout: None,
            reasons,
        }
    }

    /// Sends a secret with every call. What cannot stand in a header is left out.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.trim().as_bytes());
        if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(value.trim())) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }

    /// Signs every call.
    pub(crate) fn signed(mut self, signer: Arc<Signer>) -> Self {
        self.signer = Some(signer);
        self
    }

    /// Waits so long for an answer.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// An error text of this engine.
    pub(crate) fn error(&self, text: impl std::fmt::Display) -> Error {
        Error::Upstream(format!("{}: {text}", self.name))
    }

    /// The server's answer; `None` when it knows nothing by that name.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Option<Value>> {
        let call = self.request(method, path);
        self.answer(match body {
            Some(body) => call.json(&body),
            None => call,
        })
        .await
    }

    /// A call that makes something. That it is there already is no failure: another request was faster.
    pub(crate) async fn make(&self, method: Method, path: &str, body: Value) -> Result<()> {
        match self.call(method, path, Some(body)).await {
            Err(Error::Upstream(text))
                if ["409", "already exists"].iter().any(|part| text.contains(part)) =>
            {
                Ok(())
            }
            Ok(None) => Err(self.error("404: there is no place to make it in")),
            other => other.map(|_| ()),
        }
    }

    /// As `call`, with lines of JSON.
    pub(crate) async fn lines(&self, path: &str, lines: String) -> Result<Option<Value>> {
        let call = self
            .request(Method::POST, path)
            .header("content-type", "application/x-ndjson");
        self.answer(call.body(lines)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let call = self
            .client
            .request(method, format!("{}{path}", self.base))
            .headers(self.headers.clone());
        match self.timeout {
            Some(timeout) => call.timeout(timeout),
            None => call,
        }
    }

    async fn answer(&self, call: reqwest::RequestBuilder) -> Result<Option<Value>> {
        // Addresses may hold keys and are the operator's business.
        let plain = |error: reqwest::Error| self.error(error.without_url());
        let mut request = call.build().map_err(plain)?;
        if let Some(signer) = &self.signer {
            signer
                .sign(&mut request)
                .await
                .map_err(|error| self.error(error))?;
        }
        let answer = self.client.execute(request).await.map_err(plain)?;
        let status = answer.status();
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let text = answer.text().await.map_err(plain)?;
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(Some(body));
        }
        let reason = self
            .reasons
            .iter()
            .find_map(|place| body.pointer(place)?.as_str());
        let shown: String = reason.unwrap_or(&text).chars().take(500).collect();
        Err(self.error(format_args!("{}: {shown}", status.as_u16())))
    }
}
