//! What of a request travels on to a provider, and how a provider's answer becomes a response. Shared by
//! every area of this crate.

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use oui_access::{Credential, Identity};
use oui_chat::{Completion, RunUser};
use oui_core::ApiResult;
use oui_providers::{CallContext, CallUser, ChatReply, GroupName, Joined, Secret, UpstreamStream};
use oui_web::{Caller, Role};

/// The caller as providers may learn of them.
pub(crate) async fn call_context<R>(caller: &Caller<R>, headers: &HeaderMap) -> ApiResult<CallContext>
where
    R: Role<Who = Identity>,
{
    let user = caller.user();
    let membership = caller.membership().await?;
    let groups = membership.groups.iter().map(|group| GroupName {
        id: group.id.clone(),
        name: group.name.clone().unwrap_or_default(),
    });
    let session_token = match &caller.identity().credential {
        Credential::Token { token, .. } => Some(Secret::new(token)),
        Credential::ApiKey => caller.app().auth.credential(headers).as_deref().map(Secret::new),
    };
    let engine = &caller.app().chat;
    let entra_token = if engine.catalogue.connections().needs_entra() {
        engine.providers.entra.token().await
    } else {
        None
    };
    Ok(CallContext {
        entra_token,
        user: Some(CallUser {
            id: user.id.clone(),
            name: user.name.clone(),
            email: user.email.clone(),
            role: user.role.clone(),
            created_at: user.created_at,
            updated_at: user.updated_at,
        }),
        groups: groups.collect(),
        user_agent: text(headers, &header::USER_AGENT),
        auth_type: Some(caller.identity().auth_type()),
        cookies: cookies(headers),
        session_token,
        ..CallContext::default()
    })
}

/// The caller of a run.
pub(crate) async fn run_user<R>(caller: &Caller<R>, headers: &HeaderMap) -> ApiResult<RunUser>
where
    R: Role<Who = Identity>,
{
    Ok(RunUser {
        user: caller.user().clone(),
        call: call_context(caller, headers).await?,
    })
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

fn cookies(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The response of a completion.
pub(crate) fn completion(completion: Completion) -> Response {
    match completion {
        Completion::Json(body) => Json(body).into_response(),
        Completion::Stream { headers, body } => stream(StatusCode::OK, headers, body),
    }
}

/// The response of a provider's answer.
pub(crate) fn reply(reply: ChatReply) -> Response {
    match reply {
        ChatReply::Json(body) => Json(body).into_response(),
        ChatReply::Stream(UpstreamStream {
            status,
            headers,
            body,
        }) => stream(status, headers, body),
    }
}

/// A streamed response: every piece goes out as it comes, together with those that are there already.
pub(crate) fn stream(status: StatusCode, headers: HeaderMap, body: oui_providers::ByteStream) -> Response {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let is_events = ["text/event-stream", "application/x-ndjson"]
        .iter()
        .any(|known| kind.starts_with(known));
    let mut response = Response::new(ResponseBody::from_stream(Joined::new(body)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if !is_events {
        // The compression layer, which would hold pieces back, knows only event streams as such.
        response
            .headers_mut()
            .entry(header::CONTENT_ENCODING)
            .or_insert(HeaderValue::from_static("identity"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_all_headers_are_read() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; b=x=y"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=3; broken"));
        let expected = [("a", "1"), ("b", "x=y"), ("c", "3")];
        assert_eq!(
            cookies(&headers),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn streams_keep_the_type_of_the_provider_and_are_not_compressed() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let response = stream(StatusCode::ACCEPTED, headers, Box::pin(futures::stream::empty()));
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain");
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "identity");
    }
}
