//! Which requests are audited, and what is kept of them. Bodies are copied while they pass, never held up; sign-in
//! and OAuth keep theirs to themselves, and what looks like a secret is blacked out elsewhere.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, Method, header};
use http_body::{Frame, SizeHint};
use oui_config::settings::{AuditLevel, Logging};
use oui_core::ids;
use oui_web::App;
use oui_web::audit::AuditEntry;
use oui_web::client_ip::client_ip;
use parking_lot::Mutex;
use regex::{Captures, Regex};
use serde_json::json;

/// Audited whoever asks, whatever paths are left out.
const ALWAYS: &[&str] = &[
    "/api/v1/auths/signin",
    "/api/v1/auths/signout",
    "/api/v1/auths/signup",
    "/api/v1/auths/mfa",
];
/// Bodies below these paths are never kept.
const PRIVATE: &[&str] = &["/api/v1/auths", "/oauth/"];

/// The rules, compiled once.
pub(crate) struct Audit {
    app: App,
    level: AuditLevel,
    reads: bool,
    included: Option<Regex>,
    excluded: Option<Regex>,
    max_body: usize,
    secrets: Secrets,
}

impl Audit {
    /// The rules of the settings.
    pub(crate) fn new(app: App, logging: &Logging) -> Result<Self, regex::Error> {
        let below = |paths: &[String]| -> Result<Option<Regex>, regex::Error> {
            if paths.is_empty() {
                return Ok(None);
            }
            Regex::new(&format!("^/api(?:/v1)?/(?:{})\\b", paths.join("|"))).map(Some)
        };
        Ok(Self {
            app,
            level: logging.audit_level,
            reads: logging.audit_reads,
            included: below(&logging.audit_included)?,
            excluded: below(&logging.audit_excluded)?,
            max_body: logging.audit_max_body,
            secrets: Secrets::new()?,
        })
    }

    fn audits(&self, method: &Method, path: &str, headers: &HeaderMap) -> bool {
        let written = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
        let read = self.reads && method == Method::GET;
        if !(written || read) || path.starts_with("/ws/socket.io") {
            return false;
        }
        if ALWAYS.iter().any(|begin| path.to_lowercase().starts_with(begin)) {
            return true;
        }
        if self.app.auth.credential(headers).is_none() {
            return false;
        }
        match (&self.included, &self.excluded) {
            (Some(included), _) => included.is_match(path),
            (None, Some(excluded)) => !excluded.is_match(path),
            (None, None) => true,
        }
    }

    fn level_name(&self) -> &'static str {
        level_name(self.level)
    }
}

/// Name of a level in the log.
pub(crate) fn level_name(level: AuditLevel) -> &'static str {
    match level {
        AuditLevel::None => "NONE",
        AuditLevel::Metadata => "METADATA",
        AuditLevel::Request => "REQUEST",
        AuditLevel::RequestResponse => "REQUEST_RESPONSE",
    }
}

/// The middleware.
pub(crate) async fn audit(State(audit): State<Arc<Audit>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if !audit.audits(request.method(), &path, request.headers()) {
        return next.run(request).await;
    }
    let keeps = !PRIVATE.iter().any(|begin| path.starts_with(begin));
    let identity = audit.app.auth.identify(request.headers(), &path).await.ok();
    let user = identity.map(|identity| {
        let user = &identity.account.user;
        json!({ "id": user.id, "name": user.name, "email": user.email, "role": user.role })
    });
    let headers = request.headers();
    let host = text(headers, &header::HOST).unwrap_or_default();
    let uri = format!("http://{host}{}", request.uri());
    let trusted = &audit.app.settings.server.trusted_proxies;
    let record = Arc::new(Record {
        entry: Mutex::new(AuditEntry {
            id: ids::uuid(),
            user: user.unwrap_or_default(),
            level: audit.level_name(),
            verb: request.method().to_string(),
            request_uri: audit.secrets.without_in_uri(&uri),
            source_ip: client_ip(request.headers(), request.extensions(), trusted),
            user_agent: text(headers, &header::USER_AGENT),
            ..AuditEntry::default()
        }),
        asked: Mutex::default(),
        answered: Mutex::default(),
        audit: audit.clone(),
    });
    let request = if keeps && audit.level >= AuditLevel::Request {
        request.map(|body| Body::new(Watched::new(body, record.clone(), Side::Asked)))
    } else {
        request
    };
    let response = next.run(request).await;
    record.entry.lock().status = Some(response.status().as_u16());
    let side = if keeps && audit.level >= AuditLevel::RequestResponse {
        Side::Answered
    } else {
        Side::Nothing
    };
    // The entry is written when the last holder of the record goes: the body of the answer, once it is sent.
    response.map(|body| Body::new(Watched::new(body, record, side)))
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

/// What is known of one request so far.
struct Record {
    entry: Mutex<AuditEntry>,
    asked: Mutex<Vec<u8>>,
    answered: Mutex<Vec<u8>>,
    audit: Arc<Audit>,
}

impl Drop for Record {
    fn drop(&mut self) {
        let audit = &self.audit;
        let shown = |bytes: &[u8]| audit.secrets.without(&String::from_utf8_lossy(bytes));
        let mut entry = std::mem::take(self.entry.get_mut());
        entry.request = Some(shown(self.asked.get_mut()));
        entry.response = Some(shown(self.answered.get_mut()));
        audit.app.audit.write(&entry);
    }
}

#[derive(Clone, Copy)]
enum Side {
    Asked,
    Answered,
    Nothing,
}

/// A body that is copied into the record while it passes, up to the limit.
struct Watched {
    inner: Body,
    record: Arc<Record>,
    side: Side,
}

impl Watched {
    fn new(inner: Body, record: Arc<Record>, side: Side) -> Self {
        Self { inner, record, side }
    }

    fn keep(&self, data: &Bytes) {
        let kept = match self.side {
            Side::Asked => &self.record.asked,
            Side::Answered => &self.record.answered,
            Side::Nothing => return,
        };
        let mut kept = kept.lock();
        let room = self.record.audit.max_body.saturating_sub(kept.len());
        kept.extend_from_slice(&data[..data.len().min(room)]);
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.keep(data);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Finds what must not be kept. Bodies may be cut off, so that a text or list that does not end counts too.
struct Secrets {
    member: Regex,
    parameter: Regex,
}

impl Secrets {
    fn new() -> Result<Self, regex::Error> {
        const NAME: &str =
            r#""([\w-]*(?:password|passwd|secret|token|cookie|authorization|api_?keys?|[_-]keys?)|keys?)""#;
        let member = format!(r#"(?is){NAME}\s*:\s*(?:"(?:[^"\\]|\\.)*(?:"|\\?$)|\[[^\]]*(?:\]|$))"#);
        let parameter = r"(?i)([?&](?:\w*token|\w*key|\w*secret|password|code)=)[^&#]*";
        Ok(Self {
            member: Regex::new(&member)?,
            parameter: Regex::new(parameter)?,
        })
    }

    fn without(&self, body: &str) -> String {
        let black = |found: &Captures<'_>| format!("\"{}\": \"********\"", &found[1]);
        self.member.replace_all(body, black).into_owned()
    }

    fn without_in_uri(&self, uri: &str) -> String {
        self.parameter.replace_all(uri, "$1********").into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blacked_out_wherever_they_stand() {
        let secrets = Secrets::new().unwrap();
        let clean = |body: &str| secrets.without(body);
        assert_eq!(
            clean(r#"{"name":"a","new_password": "x\"y","max_tokens":5}"#),
            r#"{"name":"a","new_password": "********","max_tokens":5}"#
        );
        assert_eq!(
            clean(r#"{"OPENAI_API_KEYS": ["sk-1", "sk-2"], "key":"k", "monkey":"b"}"#),
            r#"{"OPENAI_API_KEYS": "********", "key": "********", "monkey":"b"}"#
        );
        assert_eq!(clean(r#"{"access_token":"abc"#), r#"{"access_token": "********""#);
        assert_eq!(clean(r#"{"API_KEYS":["sk-1","sk"#), r#"{"API_KEYS": "********""#);
        assert_eq!(
            secrets.without_in_uri("http://h/x?a=1&token=abc&b=2"),
            "http://h/x?a=1&token=********&b=2"
        );
    }
}
