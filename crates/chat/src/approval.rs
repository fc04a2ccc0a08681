//! Tool calls that wait for the user, and questions to the user: what becomes of a decision, and how the reply goes
//! on afterwards. Everything that waits is in the chat itself, so a reload or a restart loses nothing.

use oui_core::boxed;
use std::sync::Arc;

use oui_access::{Action, Ownership};
use oui_core::{ApiError, ApiResult, ids, messages};
use oui_models::chats::{self, ChatRow};
use oui_models::{chat_access, chat_edits, history, users};
use oui_plugins::ask_user;
use oui_plugins::call::{Call, Outcome};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::emit::ChatEmitter;
use crate::engine::{Completion, Engine};
use crate::output::message_item;
use crate::payload::{self, Payload};
use crate::run::Run;
use crate::turn::{ChatKind, Object, Resume, RunUser, truthy};

/// What the user decides.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The call may run.
    Approve,
    /// It may not.
    Reject,
    /// Answers to the questions; absent when the time ran out.
    Answer {
        /// Answers by question.
        answers: Option<Value>,
        /// Whether nobody answered in time.
        timed_out: bool,
    },
}

/// A decision about one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// Chat.
    pub chat_id: String,
    /// Message with the call.
    pub message_id: String,
    /// The call.
    pub call_id: String,
    /// What is decided.
    pub decision: Decision,
}

/// How the calls that were approved went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Approved {
    /// All calls have results; the model can go on.
    Done,
    /// Others still wait for the user, or somebody else runs them.
    Waits,
}

fn call_id(item: &Value) -> &str {
    let named = |name: &str| item.get(name).and_then(Value::as_str).filter(|id| !id.is_empty());
    named("call_id").or_else(|| named("id")).unwrap_or_default()
}

/// Positions of the calls that have no result and are not done with.
fn pending(output: &[Value]) -> Vec<usize> {
    let answered: Vec<&str> = output
        .iter()
        .filter(|item| item["type"] == "function_call_output")
        .map(call_id)
        .collect();
    let waits = |item: &Value| {
        item["type"] == "function_call"
            && matches!(
                item["status"].as_str(),
                Some("pending" | "queued" | "requires_approval" | "in_progress")
            )
            && !answered.contains(&call_id(item))
    };
    (0..output.len()).filter(|index| waits(&output[*index])).collect()
}

/// Whether a reply has calls without results.
pub(crate) fn has_pending(output: &Value) -> bool {
    output
        .as_array()
        .is_some_and(|output| !pending(output).is_empty())
}

/// The empty message that what the model says next goes to.
fn opening() -> Value {
    message_item("")
}

/// Changes the output of a stored message, in one transaction.
async fn edit_output<T>(
    engine: &Engine,
    chat_id: &str,
    message_id: &str,
    change: impl FnOnce(&mut Object, &mut Vec<Value>) -> ApiResult<T>,
) -> ApiResult<T> {
    let not_found = || ApiError::not_found(messages::NOT_FOUND);
    let mut edit = chat_edits::edit(&engine.db, chat_id)
        .await?
        .ok_or_else(not_found)?;
    history::repair(&mut edit.document);
    let message = edit.message(message_id).cloned().ok_or_else(not_found)?;
    let mut output = match message.get("output") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(output)) => output.clone(),
        Some(_) => return Err(ApiError::bad_request("Message has no resolvable output.")),
    };
    let author = history::text(&message, "user_id").map(str::to_owned);
    let author = author.or_else(|| edit.row.user_id.clone());
    let mut fields = Map::new();
    fields.insert("user_id".to_owned(), json!(author));
    let result = change(&mut fields, &mut output)?;
    fields.insert("output".to_owned(), Value::Array(output));
    edit.upsert(message_id, fields);
    edit.save(false).await?;
    Ok(result)
}

/// Puts a decision into the output. Answers what can go on.
fn decide(output: &mut Vec<Value>, id: &str, decision: &Decision) -> ApiResult<Option<Resume>> {
    let position = output
        .iter()
        .position(|item| item["type"] == "function_call" && call_id(item) == id);
    let position = position.ok_or_else(|| ApiError::not_found("Tool call not found."))?;
    let answered = output
        .iter()
        .any(|item| item["type"] == "function_call_output" && item["call_id"] == id);
    let item = &output[position];
    let waits = matches!(
        item["status"].as_str(),
        Some("pending" | "queued" | "requires_approval")
    );
    if answered || !waits || item["approved"] == true {
        return Err(ApiError::conflict("Tool call has already been resolved."));
    }
    let is_question = item["name"] == ask_user::NAME;
    let active = pending(output)
        .into_iter()
        .any(|index| output[index]["approved"] == true || output[index]["status"] == "in_progress");
    let result = |text: &str, status: &str| {
        json!({
            "type": "function_call_output", "id": format!("fco_{id}"), "call_id": id,
            "output": [{ "type": "input_text", "text": text }], "status": status,
        })
    };
    if output[position].get("call_id").is_none() {
        output[position]["call_id"] = json!(id);
    }
    match decision {
        Decision::Approve if is_question => {
            return Err(ApiError::bad_request("ask_user requires an answer or deny."));
        }
        Decision::Approve => {
            output[position]["status"] = json!("queued");
            output[position]["approved"] = json!(true);
        }
        Decision::Reject => {
            output[position]["status"] = json!("rejected");
            output.push(result("Error: tool call rejected by user.", "rejected"));
        }
        Decision::Answer { .. } if !is_question => {
            return Err(ApiError::bad_request("Tool call does not accept answers."));
        }
        Decision::Answer { answers, timed_out } => {
            let given = answers.as_ref().filter(|answers| !answers.is_null());
            if given.is_none() && !timed_out {
                return Err(ApiError::bad_request("Answers are required for ask_user."));
            }
            let told = if *timed_out {
                json!({ "status": "cancelled", "answers": {}, "timed_out": true })
            } else {
                let answers = given.filter(|answers| truthy(answers)).cloned();
                json!({ "status": "answered", "answers": answers.unwrap_or_else(|| json!({})) })
            };
            output[position]["status"] = json!("completed");
            output.push(result(&told.to_string(), "completed"));
        }
    }
    if active {
        return Ok(None);
    }
    if *decision == Decision::Approve {
        return Ok(Some(Resume::Tools));
    }
    match pending(output).first() {
        None => {
            output.push(opening());
            Ok(Some(Resume::Model))
        }
        Some(next) => {
            output[*next]["status"] = json!("pending");
            Ok(None)
        }
    }
}

impl Engine {
    /// Puts a decision about a tool call on record and lets the reply go on when nothing else holds it.
    #[boxed]
    pub async fn resolve(self: &Arc<Self>, user: RunUser, resolution: Resolution) -> ApiResult<Value> {
        let Resolution {
            chat_id,
            message_id,
            call_id,
            decision,
        } = resolution;
        let chat = self.writable_chat(&user, &chat_id).await?;
        let user_id = user.user.id.clone();
        let (resume, output) = edit_output(self, &chat_id, &message_id, |fields, output| {
            if fields.get("user_id") != Some(&json!(user_id)) {
                return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
            }
            let resume = decide(output, &call_id, &decision)?;
            fields.insert("done".into(), json!(false));
            Ok((resume, Value::Array(output.clone())))
        })
        .await?;
        let kind = ChatKind::Saved(chat_id.clone());
        let emitter = ChatEmitter::new(self.emitter.clone(), &user_id, &kind, Some(&message_id), None);
        let copy = output.clone();
        emitter
            .completion("chat:completion", json!({ "output": output }), move || copy)
            .await;
        let mut answer =
            json!({ "status": true, "chat_id": chat_id, "message_id": message_id, "task_ids": [] });
        if let Some(resume) = resume {
            let body = self.resumed_body(&chat, &message_id).await?;
            if let Completion::Json(Value::Object(started)) =
                self.complete_after(user, body, Some(resume)).await?
                && let Some(answer) = answer.as_object_mut()
            {
                answer.extend(started);
            }
        }
        Ok(answer)
    }

    async fn writable_chat(&self, user: &RunUser, chat_id: &str) -> ApiResult<ChatRow> {
        let refused = || ApiError::unauthorized(messages::ACCESS_PROHIBITED);
        let chat = chats::by_id(&self.db, chat_id).await?.ok_or_else(refused)?;
        let rule = Ownership {
            owner: chat.user_id.as_deref(),
            grants: &[],
        };
        let user = &user.user;
        if rule.permits(Action::Write, &user.id, &Default::default(), false)
            || chat_access::may_continue(&self.db, &chat, &user.id).await?
        {
            return Ok(chat);
        }
        Err(refused())
    }

    /// The request that a reply goes on with: as the first one was, by what was kept on the message.
    async fn resumed_body(&self, chat: &ChatRow, message_id: &str) -> ApiResult<Object> {
        let stored = chat_edits::messages_map(&self.db, &chat.id)
            .await?
            .unwrap_or_default();
        let message = stored
            .get(message_id)
            .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
        let parent = history::text(message, "parentId").and_then(|id| stored.get(id));
        let parent = parent.ok_or_else(|| ApiError::conflict("Tool call parent message is missing."))?;
        let chat = chats::by_id(&self.db, &chat.id)
            .await?
            .unwrap_or_else(|| chat.clone());
        let document = chat.document();
        let author = history::text(message, "user_id").or(chat.user_id.as_deref());
        let by_owner = author == chat.user_id.as_deref();
        let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
        let meta = object(message.get("meta"));
        let of_chat = if by_owner {
            object(document.get("params"))
        } else {
            Object::new()
        };
        let mut params = of_chat.clone();
        params.extend(object(meta.get("params")));
        if let Some(mode) = of_chat
            .get("tool_approval_mode")
            .filter(|mode| **mode == "ask" || **mode == "full")
        {
            params.insert("tool_approval_mode".into(), mode.clone());
        }
        params.entry("tool_approval_mode").or_insert_with(|| json!("ask"));
        let model = history::text(message, "model").map(str::to_owned).or_else(|| {
            let models = document.get("models")?.as_array()?;
            models.first()?.as_str().map(str::to_owned)
        });
        let model = model.ok_or_else(|| ApiError::conflict("Tool call message model is missing."))?;
        let mut messages = Vec::new();
        if let Some(system) = self.system_prompt(&params, author).await? {
            messages.push(json!({ "role": "system", "content": system }));
        }
        let kept = |name: &str| {
            meta.get(name)
                .filter(|value| truthy(value))
                .cloned()
                .unwrap_or_default()
        };
        let files = match meta.get("files") {
            Some(files) => files.clone(),
            None => document.get("files").cloned().unwrap_or_default(),
        };
        let body = json!({
            "stream": params.get("stream_response").cloned().unwrap_or_else(|| json!(true)),
            "model": model,
            "messages": messages,
            "params": params,
            "files": files,
            "filter_ids": kept("filter_ids"),
            "tool_ids": kept("tool_ids"),
            "skill_ids": kept("skill_ids"),
            "terminal_id": kept("terminal_id"),
            "tool_servers": kept("tool_servers"),
            "features": object(meta.get("features")),
            "variables": object(meta.get("variables")),
            "chat_variables": if by_owner { chat.variables.clone().unwrap_or_default() } else { json!({}) },
            "session_id": meta.get("session_id"),
            "chat_id": chat.id,
            "id": message_id,
            "parent_id": parent.get("parentId"),
            "user_message": parent,
            "assistant_message_id": message_id,
        });
        Ok(body.as_object().cloned().unwrap_or_default())
    }

    /// The system prompt that the chat page would send: the chat's, the user's, or the server's default.
    async fn system_prompt(&self, params: &Object, author: Option<&str>) -> ApiResult<Option<String>> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        if let Some(system) = text(params.get("system")).filter(|system| !system.is_empty()) {
            return Ok(Some(system));
        }
        let user = match author {
            Some(id) => users::by_id(&self.db, id).await?,
            None => None,
        };
        let settings = user.map(|user| user.settings_object()).unwrap_or_default();
        let own = text(settings.get("ui").and_then(|ui| ui.get("system")));
        let system = own.or_else(|| {
            let defaults = self.config.get(&oui_config::ui::DEFAULT_INTERFACE_SETTINGS);
            text(defaults.get("system"))
        });
        Ok(system.filter(|system| !system.is_empty()))
    }
}

impl Run {
    /// Runs the calls that were approved, one after another; each result is stored before the next begins.
    pub(crate) async fn run_approved(
        &self,
        payload: &mut Payload,
        cancel: &CancellationToken,
    ) -> ApiResult<Approved> {
        let Some(chat_id) = self.turn.chat.saved() else {
            return Ok(Approved::Done);
        };
        let asks = payload.tooling.asks;
        loop {
            let next = edit_output(&self.engine, chat_id, &self.message_id, |fields, output| {
                Ok(claim(fields, output, asks))
            })
            .await?;
            let Some(call) = next else {
                return Ok(Approved::Waits);
            };
            let outcome = tokio::select! {
                outcome = self.perform(payload, &call) => Some(outcome),
                () = cancel.cancelled() => None,
            };
            let output = self.store_result(chat_id, &call, outcome.as_ref()).await?;
            if outcome.is_none() {
                // The run is being stopped; who stops it ends the reply.
                return Ok(Approved::Waits);
            }
            let shown = json!({ "done": false, "output": output.clone() });
            let copy = output.clone();
            self.emitter
                .completion("chat:completion", shown, move || copy)
                .await;
            let items = output.as_array().cloned().unwrap_or_default();
            let open = pending(&items);
            if open.is_empty() {
                if let Some(continued) = &mut payload.continued {
                    continued["output"] = output;
                }
                payload::append_round(payload, &items);
                return Ok(Approved::Done);
            }
            if asks && !open.iter().any(|index| items[*index]["approved"] == true) {
                return Ok(Approved::Waits);
            }
        }
    }

    async fn store_result(&self, chat_id: &str, call: &Call, outcome: Option<&Outcome>) -> ApiResult<Value> {
        edit_output(&self.engine, chat_id, &self.message_id, |fields, output| {
            let running = output
                .iter_mut()
                .find(|item| item["type"] == "function_call" && item["call_id"] == call.id.as_str());
            let item = running.filter(|item| item["status"] == "in_progress");
            let item = item.ok_or_else(|| ApiError::conflict("Tool call is no longer running."))?;
            let Some(outcome) = outcome else {
                item["status"] = json!("incomplete");
                output.push(json!({
                    "type": "function_call_output", "id": ids::output_item("fco_"), "call_id": call.id,
                    "status": "incomplete",
                    "output": [{ "type": "input_text", "text": "Error: the tool was interrupted; what it did is not known." }],
                }));
                fields.insert("done".into(), json!(true));
                return Ok(Value::Array(output.clone()));
            };
            item["status"] = json!(outcome.status());
            if let Some(arguments) = &outcome.arguments {
                item["arguments"] = json!(arguments);
            }
            output.push(crate::tool_loop::result_item(&call.id, outcome));
            let open = pending(output);
            match open.iter().find(|index| !output[**index].get("approved").is_some_and(truthy)) {
                _ if open.is_empty() => output.push(opening()),
                Some(next) => output[*next]["status"] = json!("pending"),
                None => {}
            }
            Ok(Value::Array(output.clone()))
        })
        .await
    }
}

/// Takes the next call that may run. `None` when none may, or when one is running already.
fn claim(fields: &mut Object, output: &mut [Value], asks: bool) -> Option<Call> {
    let open = pending(output);
    if open.iter().any(|index| output[*index]["status"] == "in_progress") {
        return None;
    }
    let may_run = |item: &Value| item["name"] != ask_user::NAME && (item["approved"] == true || !asks);
    let Some(index) = open.iter().copied().find(|index| may_run(&output[*index])) else {
        if let Some(first) = open.first() {
            output[*first]["status"] = json!("pending");
        }
        return None;
    };
    fields.insert("done".into(), json!(false));
    let item = &mut output[index];
    item["call_id"] = json!(call_id(item));
    item["status"] = json!("in_progress");
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    Some(Call {
        id: text("call_id"),
        name: text("name"),
        arguments: text("arguments"),
        written: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(name: &str) -> Vec<Value> {
        vec![
            json!({"type": "function_call", "id": "1", "call_id": "1", "name": name, "arguments": "{}", "status": "pending"}),
            json!({"type": "function_call", "id": "2", "call_id": "2", "name": "g", "arguments": "{}", "status": "queued"}),
        ]
    }

    fn refusal(output: &mut Vec<Value>, id: &str, decision: &Decision) -> u16 {
        decide(output, id, decision).unwrap_err().status().as_u16()
    }

    #[test]
    fn decisions_are_taken_once() {
        let mut output = waiting("f");
        assert_eq!(
            decide(&mut output, "1", &Decision::Approve).unwrap(),
            Some(Resume::Tools)
        );
        assert_eq!(refusal(&mut output, "1", &Decision::Reject), 409);
        assert_eq!(refusal(&mut output, "3", &Decision::Reject), 404);
        // While one is about to run, the other is only noted.
        assert_eq!(decide(&mut output, "2", &Decision::Reject).unwrap(), None);
        assert_eq!(pending(&output), [0]);
    }

    #[test]
    fn the_last_rejection_lets_the_model_go_on() {
        let mut output = waiting("f");
        assert_eq!(decide(&mut output, "1", &Decision::Reject).unwrap(), None);
        assert_eq!(output[1]["status"], "pending");
        assert_eq!(
            decide(&mut output, "2", &Decision::Reject).unwrap(),
            Some(Resume::Model)
        );
        assert_eq!(output.last().unwrap()["type"], "message");
    }

    #[test]
    fn questions_take_answers_only() {
        let answer = |answers: Option<Value>, timed_out| Decision::Answer { answers, timed_out };
        let mut output = waiting("ask_user");
        output.truncate(1);
        assert_eq!(refusal(&mut output, "1", &Decision::Approve), 400);
        assert_eq!(refusal(&mut output, "1", &answer(None, false)), 400);
        let resume = decide(&mut output, "1", &answer(Some(json!({"which": "A"})), false)).unwrap();
        assert_eq!(resume, Some(Resume::Model));
        assert_eq!(
            output[1]["output"][0]["text"],
            "{\"status\":\"answered\",\"answers\":{\"which\":\"A\"}}"
        );
        assert_eq!(refusal(&mut waiting("f"), "1", &answer(None, true)), 400);
    }

    #[test]
    fn calls_are_claimed_one_at_a_time() {
        let mut fields = Object::new();
        let mut output = waiting("f");
        assert_eq!(claim(&mut fields, &mut output, true), None);
        output[1]["approved"] = json!(true);
        assert_eq!(claim(&mut fields, &mut output, true).unwrap().id, "2");
        assert_eq!(claim(&mut fields, &mut output, false), None);
        assert_eq!(fields["done"], false);
    }
}
