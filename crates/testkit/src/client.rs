//! An HTTP client with credentials, and its replies.

use http::{HeaderMap, Method};
use serde_json::Value;

/// A client of the server under test.
#[derive(Clone)]
pub struct Client {
    base: String,
    /// The bearer token, if any.
    pub token: Option<String>,
    http: reqwest::Client,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// JSON body; text that is no JSON as a string.
    pub body: Value,
}

impl Client {
    pub(crate) fn new(base: &str, token: Option<&str>) -> Self {
        // Another test of the process may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            base: base.to_owned(),
            token: token.map(str::to_owned),
            http,
        }
    }

    /// A request in the making, with credentials.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request, with a JSON body unless it is null.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        let request = self.request(method, path);
        let request = if body.is_null() {
            request
        } else {
            request.json(body)
        };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply {
            status,
            headers,
            body,
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &Value::Null).await
    }

    /// POST of a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, &body).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &Value::Null).await
    }
}

impl Reply {
    /// The body of an answer that must be 200.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }
}
