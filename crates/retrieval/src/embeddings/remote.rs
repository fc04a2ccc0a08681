//! One call to a server that computes embeddings.

use std::time::Duration;

use oui_providers::{CallContext, Http};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Engine, Kind};
use crate::error::{Error, Result};

/// Calls for one batch when the server says that it is busy.
const ATTEMPTS: usize = 5;

/// Longest wait that a busy server may ask for.
const LONGEST_WAIT: f64 = 60.0;

#[derive(Deserialize)]
struct Answer {
    data: Option<Vec<One>>,
    embeddings: Option<Vec<Vec<f32>>>,
}

#[derive(Deserialize)]
struct One {
    embedding: Vec<f32>,
}

fn request(engine: &Engine, texts: &[String], prefix: Option<&str>) -> (String, Value, HeaderMap) {
    let mut body = json!({ "input": texts });
    let base = &engine.url;
    let url = match engine.kind {
        Kind::Azure => format!(
            "{base}/openai/deployments/{}/embeddings?api-version={}",
            engine.model, engine.version
        ),
        Kind::Ollama => format!("{base}/api/embed"),
        Kind::OpenAi | Kind::Local => format!("{base}/embeddings"),
    };
    if engine.kind != Kind::Azure {
        body["model"] = json!(engine.model);
    }
    if engine.kind == Kind::Ollama {
        body["truncate"] = json!(true);
    }
    if let (Some(field), Some(prefix)) = (&engine.prefix_field, prefix) {
        body[field.as_str()] = json!(prefix);
    }
    let (name, value) = match engine.kind {
        Kind::Azure => (HeaderName::from_static("api-key"), engine.key.clone()),
        _ => (AUTHORIZATION, format!("Bearer {}", engine.key)),
    };
    let mut headers = HeaderMap::new();
    if let Ok(mut value) = HeaderValue::from_str(&value) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    (url, body, headers)
}

/// The vectors of one batch.
pub(super) async fn embed(
    http: &Http,
    engine: &Engine,
    texts: &[String],
    prefix: Option<&str>,
    caller: Option<&CallContext>,
) -> Result<Vec<Vec<f32>>> {
    let (url, body, mut headers) = request(engine, texts, prefix);
    if let Some(caller) = caller {
        http.add_user(&mut headers, caller);
    }
    for attempt in 1.. {
        let mut call = http.client().post(&url).headers(headers.clone()).json(&body);
        if let Some(limit) = engine.timeout.or(http.options().timeouts.total) {
            call = call.timeout(limit);
        }
        let answer = call.send().await.map_err(|error| unreachable_server(&error))?;
        let status = answer.status();
        if status == StatusCode::TOO_MANY_REQUESTS && attempt < ATTEMPTS {
            tokio::time::sleep(asked_wait(answer.headers())).await;
            continue;
        }
        if !status.is_success() {
            return Err(refused(engine.kind, &url, answer).await);
        }
        let answer: Answer = answer.json().await.map_err(|error| {
            Error::Upstream(format!("the embedding server's answer is not readable: {error}"))
        })?;
        return match (engine.kind, answer) {
            (
                Kind::Ollama,
                Answer {
                    embeddings: Some(vectors),
                    ..
                },
            ) => Ok(vectors),
            (Kind::Ollama, _) => Err(Error::Upstream(
                "Unexpected Ollama embeddings response: missing 'embeddings' key".into(),
            )),
            (_, Answer { data: Some(list), .. }) => Ok(list.into_iter().map(|one| one.embedding).collect()),
            (Kind::Azure, _) => Err(Error::Upstream(
                "Unexpected Azure OpenAI embeddings response: missing 'data' key".into(),
            )),
            _ => Err(Error::Upstream(
                "Unexpected OpenAI embeddings response: missing 'data' key".into(),
            )),
        };
    }
    Err(Error::Upstream("the embedding server stayed busy".into()))
}

fn asked_wait(headers: &HeaderMap) -> Duration {
    let asked = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse::<f64>().ok())
        .filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    Duration::from_secs_f64(asked.unwrap_or(1.0).min(LONGEST_WAIT))
}

/// Without the address: it may hold a user part.
fn unreachable_server(error: &reqwest::Error) -> Error {
    if error.is_timeout() {
        Error::Upstream("the embedding server did not answer in time".into())
    } else {
        Error::Upstream("the embedding server can not be reached".into())
    }
}

async fn refused(kind: Kind, url: &str, answer: reqwest::Response) -> Error {
    let status = answer.status();
    if kind == Kind::Ollama {
        let body: Value = answer.json().await.unwrap_or_default();
        let cause = body["error"]
            .as_str()
            .map_or_else(|| body.to_string(), str::to_owned);
        return Error::Upstream(format!("Ollama embed error ({}): {cause}", status.as_u16()));
    }
    let reason = status.canonical_reason().unwrap_or_default();
    Error::Upstream(format!("{}, message='{reason}', url='{url}'", status.as_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(kind: Kind) -> Engine {
        Engine {
            kind,
            model: "m".into(),
            url: "http://h/v1".into(),
            key: "k".into(),
            version: "2024".into(),
            prefix_field: Some("task".into()),
            timeout: None,
        }
    }

    #[test]
    fn each_protocol_has_its_request() {
        let texts = ["a".to_owned()];
        let (url, body, headers) = request(&engine(Kind::OpenAi), &texts, Some("query"));
        assert_eq!(url, "http://h/v1/embeddings");
        assert_eq!(body, json!({"input": ["a"], "model": "m", "task": "query"}));
        assert_eq!(headers[AUTHORIZATION], "Bearer k");
        let (url, body, headers) = request(&engine(Kind::Azure), &texts, None);
        assert_eq!(
            url,
            "http://h/v1/openai/deployments/m/embeddings?api-version=2024"
        );
        assert_eq!(body, json!({"input": ["a"]}));
        assert_eq!(headers["api-key"], "k");
        let (url, body, _) = request(&engine(Kind::Ollama), &texts, None);
        assert_eq!(url, "http://h/v1/api/embed");
        assert_eq!(body, json!({"input": ["a"], "model": "m", "truncate": true}));
    }

    #[test]
    fn waits_are_bounded() {
        let with = |text: &str| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
        assert_eq!(asked_wait(&with("2.5")), Duration::from_millis(2500));
        assert_eq!(asked_wait(&with("9999")), Duration::from_secs(60));
        assert_eq!(asked_wait(&with("-1")), Duration::from_secs(1));
        assert_eq!(asked_wait(&HeaderMap::new()), Duration::from_secs(1));
    }
}
