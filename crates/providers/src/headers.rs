//! Request headers of a provider call: key or token, the caller's identity when that is to be
//! forwarded, and the connection's own headers with their placeholders filled in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use ring::hmac;
use serde_json::json;

use crate::connections::{AuthType, Connection};
use crate::context::{CallContext, CallUser};
use crate::python::{quote, text_of};
use crate::secret::Secret;

/// Bytes that header values may keep besides letters and digits.
const HEADER_SAFE: &[u8] = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \t";

/// How the caller's identity is forwarded (`FORWARD_USER_INFO_HEADER_*`).
#[derive(Debug, Clone)]
pub struct ForwardHeaders {
    /// `ENABLE_FORWARD_USER_INFO_HEADERS`.
    pub enabled: bool,
    /// Header of the name, percent-encoded except for blanks.
    pub user_name: String,
    /// Header of the id.
    pub user_id: String,
    /// Header of the address.
    pub user_email: String,
    /// Header of the role.
    pub user_role: String,
    /// Header of the way the caller signed in.
    pub auth_type: String,
    /// Header of the chat's id.
    pub chat_id: String,
    /// With a secret, one signed token replaces the four headers of the person.
    pub jwt_secret: Option<Secret>,
    /// Header of that token.
    pub jwt: String,
    /// Seconds that the token is valid.
    pub jwt_expires: i64,
}

impl Default for ForwardHeaders {
    fn default() -> Self {
        let name = |suffix: &str| format!("X-OpenWebUI-{suffix}");
        Self {
            enabled: false,
            user_name: name("User-Name"),
            user_id: name("User-Id"),
            user_email: name("User-Email"),
            user_role: name("User-Role"),
            auth_type: name("Auth-Type"),
            chat_id: name("Chat-Id"),
            jwt_secret: None,
            jwt: name("User-Jwt"),
            jwt_expires: 300,
        }
    }
}

impl ForwardHeaders {
    /// Adds the caller's identity to `headers`, if that is wanted and there is a caller.
    pub(crate) fn add_user(&self, headers: &mut HeaderMap, context: &CallContext, now: i64) {
        let Some(user) = context.user.as_ref().filter(|_| self.enabled) else {
            return;
        };
        if let Some(kind @ ("api_key" | "jwt")) = context.auth_type {
            put(headers, &self.auth_type, kind);
        }
        if let Some(secret) = self.jwt_secret.as_ref().filter(|secret| !secret.is_empty()) {
            put(headers, &self.jwt, &self.user_token(secret, user, now));
            return;
        }
        put(headers, &self.user_name, &quote(user.name.trim(), b" "));
        put(headers, &self.user_id, &user.id);
        put(headers, &self.user_email, user.email.trim());
        put(headers, &self.user_role, &user.role);
    }

    /// An HS256 token that names the person, issued by `open-webui`.
    fn user_token(&self, secret: &Secret, user: &CallUser, now: i64) -> String {
        let claims = json!({
            "sub": user.id,
            "email": user.email,
            "name": user.name,
            "role": user.role,
            "iss": "open-webui",
            "iat": now,
            "exp": now + self.jwt_expires,
        });
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let signature = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// The headers of a call to `connection`, in the reference's order of precedence.
pub(crate) fn build(
    connection: &Connection,
    context: &CallContext,
    forward: &ForwardHeaders,
    now: i64,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if connection.url.contains("openrouter.ai") {
        // OpenRouter attributes usage by these two; the values are identifiers of the product.
        put(&mut headers, "HTTP-Referer", "https://openwebui.com/");
        put(&mut headers, "X-Title", "Open WebUI");
    }
    forward.add_user(&mut headers, context, now);
    if forward.enabled && context.user.is_some() && !context.meta("chat_id").is_empty() {
        put(&mut headers, &forward.chat_id, context.meta("chat_id"));
    }
    if let Some(token) = token(connection, context).filter(|token| !token.is_empty()) {
        put_secret(
            &mut headers,
            "authorization",
            &format!("Bearer {}", token.expose()),
        );
    }
    for (name, template) in connection.custom_headers().into_iter().flatten() {
        put_secret(&mut headers, name, &fill(&text_of(template), context));
    }
    if connection.forwards_cookies() && !context.cookies.is_empty() {
        let pairs: Vec<_> = context
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        put_secret(&mut headers, "cookie", &pairs.join("; "));
    }
    headers
}

fn token<'a>(connection: &'a Connection, context: &'a CallContext) -> Option<&'a Secret> {
    match connection.auth_type() {
        AuthType::Bearer => Some(&connection.key),
        AuthType::None | AuthType::Unknown => None,
        AuthType::Session => context.session_token.as_ref(),
        AuthType::SystemOauth => context.oauth_token.as_ref(),
        AuthType::EntraId => context.entra_token.as_ref(),
    }
}

/// Fills the placeholders of a header value and encodes what a header cannot hold.
fn fill(template: &str, context: &CallContext) -> String {
    if !template.contains("{{") {
        return quote(template, HEADER_SAFE);
    }
    let user = context.user.as_ref();
    let joined =
        |pick: fn(&crate::GroupName) -> &str| context.groups.iter().map(pick).collect::<Vec<_>>().join(",");
    let agent = context.user_agent.as_deref().filter(|agent| !agent.is_empty());
    let user_message_id = match context.meta("user_message_id") {
        "" => context.user_message("id"),
        id => id,
    };
    let values: [(&str, &str); 15] = [
        ("{{CHAT_ID}}", context.meta("chat_id")),
        ("{{MESSAGE_ID}}", context.meta("message_id")),
        ("{{USER_MESSAGE_ID}}", user_message_id),
        ("{{USER_MESSAGE_PARENT_ID}}", context.user_message("parentId")),
        ("{{FILE_ID}}", context.meta("file_id")),
        ("{{FILE_NAME}}", context.meta("file_name")),
        ("{{FILE_CONTENT_TYPE}}", context.meta("file_content_type")),
        ("{{TASK}}", context.meta("task")),
        ("{{MODEL_ID}}", context.meta("model_id")),
        ("{{USER_ID}}", user.map_or("", |user| &user.id)),
        ("{{USER_NAME}}", user.map_or("", |user| user.name.trim())),
        ("{{USER_EMAIL}}", user.map_or("", |user| &user.email)),
        ("{{USER_ROLE}}", user.map_or("", |user| &user.role)),
        ("{{USER_AGENT}}", agent.unwrap_or(context.meta("user_agent"))),
        ("{{AUTH_TYPE}}", context.auth_type.unwrap_or_default()),
    ];
    let mut text = template.to_owned();
    for (placeholder, value) in values {
        text = text.replace(placeholder, value);
    }
    text = text.replace("{{USER_GROUPS}}", &joined(|group| group.name.trim()));
    text = text.replace("{{USER_GROUP_IDS}}", &joined(|group| &group.id));
    quote(&text, HEADER_SAFE)
}

/// Sets a header; names and values that are no header text are left out with a warning that shows the name only.
pub(crate) fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    match (
        HeaderName::from_bytes(name.as_bytes()),
        HeaderValue::from_bytes(value.as_bytes()),
    ) {
        (Ok(name), Ok(value)) => {
            headers.insert(name, value);
        }
        _ => tracing::warn!(header = name, "left out a request header that cannot be sent"),
    }
}

/// Sets a header whose value must not be printed.
pub(crate) fn put_secret(headers: &mut HeaderMap, name: &str, value: &str) {
    put(headers, name, value);
    if let Some(stored) = headers.get_mut(name) {
        stored.set_sensitive(true);
    }
}

/// `retry-after` and `retry-after-ms` of an answer: all that is relayed of an error's headers.
pub(crate) fn retry_headers(headers: &HeaderMap) -> Vec<(HeaderName, String)> {
    ["retry-after", "retry-after-ms"]
        .into_iter()
        .filter_map(|name| {
            let value = headers.get(name)?.to_str().ok()?;
            Some((HeaderName::from_static(name), value.to_owned()))
        })
        .collect()
}

/// Headers of an answer that may be relayed: not those about the encoding on the wire between us and
/// the provider, nor cookies, which would land in the browser as ours.
pub(crate) fn relayable(headers: &HeaderMap) -> HeaderMap {
    const DROPPED: [&str; 9] = [
        "content-encoding",
        "content-length",
        "transfer-encoding",
        "server",
        "date",
        "connection",
        "keep-alive",
        "upgrade",
        "set-cookie",
    ];
    headers
        .iter()
        .filter(|(name, _)| !DROPPED.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::connections::ProviderKind;
    use crate::context::GroupName;

    fn header_texts(headers: &HeaderMap) -> Value {
        let fields = headers.iter().map(|(name, value)| {
            (
                name.to_string(),
                Value::from(String::from_utf8_lossy(value.as_bytes())),
            )
        });
        Value::Object(fields.collect())
    }

    fn context() -> CallContext {
        CallContext {
            groups: vec![
                GroupName {
                    id: "g1".into(),
                    name: " Team A ".into(),
                },
                GroupName {
                    id: "g2".into(),
                    name: "Büro".into(),
                },
            ],
            metadata: json!({"chat_id": "c1", "user_message": {"id": "um", "parentId": null}}),
            auth_type: Some("jwt"),
            cookies: vec![("token".into(), "t".into())],
            ..CallContext::for_user(CallUser {
                id: "u1".into(),
                name: " Jürgen Ö ".into(),
                email: "j@example.org".into(),
                role: "user".into(),
                ..CallUser::default()
            })
        }
    }

    fn headers(config: Value, forward: &ForwardHeaders) -> Value {
        let connection = Connection::adhoc(ProviderKind::OpenAi, "http://x/v1", "sk", Some(&config));
        header_texts(&build(&connection, &context(), forward, 1000))
    }

    #[test]
    fn plain_calls_carry_the_key_only() {
        let found = headers(json!({}), &ForwardHeaders::default());
        assert_eq!(
            found,
            json!({"content-type": "application/json", "authorization": "Bearer sk"})
        );
        let found = headers(json!({"auth_type": "none"}), &ForwardHeaders::default());
        assert_eq!(found, json!({"content-type": "application/json"}));
    }

    #[test]
    fn the_caller_is_forwarded_when_wanted() {
        let forward = ForwardHeaders {
            enabled: true,
            ..ForwardHeaders::default()
        };
        let found = headers(json!({"auth_type": "session"}), &forward);
        assert_eq!(
            found,
            json!({
                "content-type": "application/json",
                "x-openwebui-auth-type": "jwt",
                "x-openwebui-user-name": "J%C3%BCrgen %C3%96",
                "x-openwebui-user-id": "u1",
                "x-openwebui-user-email": "j@example.org",
                "x-openwebui-user-role": "user",
                "x-openwebui-chat-id": "c1",
            })
        );
    }

    #[test]
    fn a_signed_token_can_replace_the_plain_headers() {
        let forward = ForwardHeaders {
            enabled: true,
            jwt_secret: Some("s".into()),
            ..ForwardHeaders::default()
        };
        let found = headers(json!({"auth_type": "none"}), &forward);
        let token = found["x-openwebui-user-jwt"].as_str().unwrap();
        let parts: Vec<_> = token.split('.').collect();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        assert_eq!(
            (&claims["sub"], &claims["iss"], &claims["exp"]),
            (&json!("u1"), &json!("open-webui"), &json!(1300))
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"s");
        let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        hmac::verify(&key, format!("{}.{}", parts[0], parts[1]).as_bytes(), &signature).unwrap();
        assert!(found.get("x-openwebui-user-id").is_none());
    }

    #[test]
    fn templates_are_filled_and_encoded() {
        let config = json!({"headers": {
            "X-Who": "{{USER_NAME}} <{{USER_EMAIL}}> {{USER_GROUPS}}",
            "X-Turn": "{{CHAT_ID}}/{{USER_MESSAGE_ID}}/{{USER_MESSAGE_PARENT_ID}}",
            "Authorization": "Key 1",
            "X-Flag": true,
            "bad name": "x",
        }, "forward_cookies": true});
        let found = headers(config, &ForwardHeaders::default());
        assert_eq!(
            found["x-who"],
            "J%C3%BCrgen %C3%96 <j@example.org> Team A,B%C3%BCro"
        );
        assert_eq!(
            (&found["x-turn"], &found["authorization"]),
            (&json!("c1/um/"), &json!("Key 1"))
        );
        assert_eq!(
            (&found["x-flag"], &found["cookie"]),
            (&json!("True"), &json!("token=t"))
        );
        assert!(found.get("bad name").is_none());
    }
}
