//! Decisions of the user about tool calls that wait for one.

use axum::Json;
use axum::extract::Path;
use http::HeaderMap;
use oui_chat::{Decision, Resolution};
use oui_core::{ApiResult, choice, form};
use oui_web::{Area, Body, Caller, Verified, endpoints};
use serde_json::Value;

use crate::request::run_user;

choice! {
    /// What is decided.
    pub(crate) enum ActionName { Approve = "approve", Reject = "reject", Answer = "answer" }
}

form! {
    /// A decision about one call.
    pub(crate) struct ResolveForm {
        /// The call.
        call_id: String,
        /// What is decided.
        action: ActionName,
        /// Answers by question.
        answers: Value = Value::Null,
        /// Whether nobody answered in time.
        timed_out: bool = false,
    }
}

/// Decisions.
pub(crate) fn area() -> Area {
    endpoints! { "approvals" at "/api/v1/chats";
        POST "/{id}/messages/{message_id}/resolve" Verified => resolve,
    }
}

async fn resolve(
    caller: Caller<Verified>,
    Path((chat_id, message_id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body<ResolveForm>,
) -> ApiResult<Json<Value>> {
    let ResolveForm {
        call_id,
        action,
        answers,
        timed_out,
    } = body.form;
    let decision = match action {
        ActionName::Approve => Decision::Approve,
        ActionName::Reject => Decision::Reject,
        ActionName::Answer => Decision::Answer {
            answers: Some(answers).filter(|answers| !answers.is_null()),
            timed_out,
        },
    };
    let user = run_user(&caller, &headers).await?;
    let resolution = Resolution {
        chat_id,
        message_id,
        call_id,
        decision,
    };
    caller.app().chat.resolve(user, resolution).await.map(Json)
}
