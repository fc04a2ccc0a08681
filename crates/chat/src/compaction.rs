//! Long conversations made short: above a limit the older part is summed up by a model, and the summary stands in for
//! it. The summary is kept on the first message that is still sent, so that later requests begin there.

use oui_core::boxed;
use std::sync::Arc;

use oui_config::chat as keys;
use oui_core::{ApiError, ApiResult, ids, messages};
use oui_models::{chat_edits, groups, history};
use oui_providers::{ChatReply, params};
use serde_json::{Value, json};

use crate::catalogue::{Model, Models};
use crate::context_size::{since_checkpoint, threshold, tokens_of};
use crate::dispatch::dispatch;
use crate::emit::ChatEmitter;
use crate::engine::Engine;
use crate::generate::{answer_text, text_of};
use crate::payload::{self, Payload};
use crate::run::Run;
use crate::streaming::Writer;
use crate::template;
use crate::turn::{Object, RunUser, Turn};

/// Asks for the summary.
const PROMPT: &str = "The older part of a conversation is about to be left out, and your summary will stand in for it. \
Write what the assistant has to know to go on as if nothing were missing: what was decided, what the user wants and \
wants to avoid, files, results of tools and changes that still matter, what is being done, and what is open. Keep to \
what was said, add nothing, and be brief.

Summary of what was left out earlier:
{{PREVIOUS_SUMMARY}}

To be left out now:
{{COMPACTED_MESSAGES}}

What stays:
{{RECENT_MESSAGES}}";

/// Characters of the stand-in when the model gives no summary, and of each message in it.
const FALLBACK: usize = 4000;
const FALLBACK_MESSAGE: usize = 500;

/// A conversation as it is sent.
pub(crate) struct Compacted {
    /// What is still sent.
    pub(crate) messages: Vec<Value>,
    /// What stands for the rest.
    pub(crate) summary: Option<String>,
    /// Whether the summary was made now.
    pub(crate) is_new: bool,
}

/// The line before a summary in the system message.
pub(crate) fn introduced(summary: &str) -> String {
    format!("[CONVERSATION SUMMARY]\n{summary}")
}

/// Where the part to be left out ends: at the start of a user's turn, or of a round of tool calls; 0 when nothing can
/// go. At least a share of the messages stays.
fn boundary(messages: &[Value], share: i64) -> usize {
    let keep = (messages.len() as i64 * share.clamp(10, 50) / 100).max(2) as usize;
    let mut target = messages.len().saturating_sub(keep).max(1);
    let starts = |matches: &dyn Fn(&Value) -> bool| -> Vec<usize> {
        let all = messages
            .iter()
            .enumerate()
            .filter(|(_, message)| matches(message));
        all.map(|(index, _)| index).skip(1).collect()
    };
    let in_tools = messages.iter().any(|message| message["role"] == "tool");
    let boundaries = if in_tools {
        let has_calls = |message: &Value| {
            message["tool_calls"]
                .as_array()
                .is_some_and(|calls| !calls.is_empty())
        };
        starts(&|message| message["role"] == "assistant" && has_calls(message))
    } else {
        let users = starts(&|message| message["role"] == "user");
        target = target.max(users.first().copied().unwrap_or_default());
        users
    };
    boundaries
        .into_iter()
        .rev()
        .find(|index| *index <= target)
        .unwrap_or_default()
}

/// Who summarises for whom.
pub(crate) struct Asker<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) user: &'a RunUser,
    pub(crate) model: &'a Arc<Model>,
    pub(crate) models: &'a Models,
}

impl Asker<'_> {
    async fn summary(&self, old: &[Value], recent: &[Value], previous: Option<&str>) -> ApiResult<String> {
        let config = &self.engine.config;
        let chosen = config.get(&keys::CONTEXT_COMPACTION_MODEL);
        let model = self.models.get(chosen.as_str()).unwrap_or(self.model);
        let configured = config.get(&keys::CONTEXT_COMPACTION_PROMPT_TEMPLATE);
        let prompt = if configured.trim().is_empty() {
            PROMPT
        } else {
            configured.as_str()
        };
        let all: Vec<Value> = old.iter().chain(recent).cloned().collect();
        let last = all
            .iter()
            .rev()
            .find(|message| message["role"] == "user")
            .map(text_of);
        let prompt = template::with_prompt(prompt, &last.unwrap_or_default());
        let prompt = template::with_messages(&prompt, &all, transcript)
            .replace("{{COMPACTED_MESSAGES}}", &transcript(old))
            .replace("{{RECENT_MESSAGES}}", &transcript(recent))
            .replace("{{PREVIOUS_SUMMARY}}", previous.unwrap_or_default());
        let membership = groups::membership(&self.engine.db, &self.user.user.id).await?;
        let names: Vec<String> = membership
            .groups
            .iter()
            .filter_map(|group| group.name.clone())
            .collect();
        let context = template::Context {
            user: Some(&self.user.user),
            groups: &names,
            variables: None,
            chat_variables: None,
            clock: &self.engine.clock,
        };
        let content = template::render(&prompt, &context);
        let mut body = Object::new();
        body.insert("model".into(), json!(model.id));
        body.insert("messages".into(), json!([{ "role": "user", "content": content }]));
        body.insert("stream".into(), json!(false));
        let configured = config.get(&oui_config::task::TASK_MODEL_PARAMS);
        match configured.as_object().filter(|params| !params.is_empty()) {
            Some(configured) => params::apply_openai(configured.clone(), &mut body),
            None => {
                let own = model.params().get("max_tokens").and_then(Value::as_i64);
                body.insert("max_tokens".into(), json!(own.unwrap_or(1000)));
            }
        }
        let mut call = self.user.call.clone();
        call.metadata = json!({ "task": "context_compaction" });
        let answer = dispatch(self.engine, model, body, &call).await?;
        let text = match answer {
            ChatReply::Json(answer) => answer_text(&answer).trim().to_owned(),
            ChatReply::Stream(_) => String::new(),
        };
        if text.is_empty() {
            Ok(stand_in(old, previous))
        } else {
            Ok(text)
        }
    }
}

/// What stands for the old part when the model says nothing.
fn stand_in(old: &[Value], previous: Option<&str>) -> String {
    let mut parts: Vec<String> = previous.into_iter().map(str::to_owned).collect();
    for message in old {
        let text: String = text_of(message).chars().take(FALLBACK_MESSAGE).collect();
        if !text.is_empty() {
            parts.push(format!(
                "- {}: {text}",
                message["role"].as_str().unwrap_or("unknown")
            ));
        }
    }
    parts.join("\n").chars().take(FALLBACK).collect()
}

fn transcript(messages: &[Value]) -> String {
    let line = |message: &Value| {
        let mut text = text_of(message);
        if let Some(calls) = message.get("tool_calls").filter(|calls| calls.is_array()) {
            text.push_str(&format!("\n[TOOL CALLS] {calls}"));
        }
        format!(
            "{}: {text}",
            message["role"].as_str().unwrap_or("user").to_uppercase()
        )
    };
    messages.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Begins the conversation at its last summary, and makes a new one when it is too long still. A failure of the
/// summary is no failure of the reply: the conversation is sent as it is.
pub(crate) async fn for_request(
    asker: &Asker<'_>,
    turn: &Turn,
    params: &Object,
    mut messages: Vec<Value>,
    emitter: &ChatEmitter,
) -> Compacted {
    let config = &asker.engine.config;
    if !config.get(&keys::ENABLE_CONTEXT_COMPACTION) {
        return Compacted {
            messages,
            summary: None,
            is_new: false,
        };
    }
    let system = messages
        .first()
        .is_some_and(|message| message["role"] == "system")
        .then(|| messages.remove(0));
    let (rest, previous) = since_checkpoint(messages);
    let with_system = |rest: Vec<Value>| system.iter().cloned().chain(rest).collect::<Vec<_>>();
    let before = format!(
        "{}{}",
        system.as_ref().map(text_of).unwrap_or_default(),
        previous.as_deref().unwrap_or_default()
    );
    let at = if tokens_of(&rest, &before) > threshold(config, Some(params)) {
        boundary(&rest, config.get(&keys::CONTEXT_COMPACTION_RETENTION_PERCENTAGE))
    } else {
        0
    };
    let unchanged = |rest: Vec<Value>, previous: Option<String>| Compacted {
        messages: with_system(rest),
        summary: previous,
        is_new: false,
    };
    if at == 0 {
        return unchanged(rest, previous);
    }
    let (old, recent) = rest.split_at(at);
    let told = |more: Value| {
        let mut data = json!({ "action": "context_compaction" });
        if let (Some(data), Some(more)) = (data.as_object_mut(), more.as_object()) {
            data.extend(more.clone());
        }
        data
    };
    emitter
        .send(
            "context_compaction",
            told(json!({ "description": "Compacting context", "done": false })),
        )
        .await;
    let summary = match asker.summary(old, recent, previous.as_deref()).await {
        Ok(summary) => summary,
        Err(error) => {
            tracing::warn!(%error, "a conversation could not be summed up; it is sent whole");
            let failed = json!({ "description": "Context compaction failed", "done": true, "error": true });
            emitter.send("context_compaction", told(failed)).await;
            return unchanged(rest, previous);
        }
    };
    let first = &recent[0];
    let is_turn = first["role"] == "user";
    let first_id = first.get("id").and_then(Value::as_str);
    let kept_on = first_id.or(turn.user_message_id.as_deref()).filter(|_| is_turn);
    if let (Some(chat_id), Some(message_id)) = (turn.chat.saved(), kept_on) {
        let fields = Object::from_iter([("contextSummary".to_owned(), json!(summary))]);
        let saved = chat_edits::upsert_message(&asker.engine.db, chat_id, message_id, fields, false).await;
        if let Err(error) = saved {
            tracing::error!(%error, chat_id, "could not keep a summary");
        }
    }
    let done = json!({
        "description": "Context compacted", "done": true,
        "checkpoint_message_id": first_id.filter(|_| is_turn), "context_summary": summary,
    });
    emitter.send("context_compaction", told(done)).await;
    Compacted {
        messages: with_system(recent.to_vec()),
        summary: Some(summary),
        is_new: true,
    }
}

impl Run {
    /// Sums up the rounds of tool calls of a reply when they have grown too long. The summary is put on record among
    /// the items of the reply; later requests begin at it.
    pub(crate) async fn compact_rounds(&self, writer: &mut Writer<'_>, payload: &mut Payload) {
        if !self.engine.config.get(&keys::ENABLE_CONTEXT_COMPACTION) {
            return;
        }
        let messages = payload
            .body
            .get("messages")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let question = messages
            .iter()
            .rev()
            .find(|message| message["role"] == "user")
            .cloned();
        let asker = Asker {
            engine: &self.engine,
            user: &self.turn.user,
            model: &payload.model,
            models: &self.models,
        };
        let compacted = for_request(&asker, &self.turn, &payload.params, messages, &self.emitter).await;
        let (true, Some(summary)) = (compacted.is_new, compacted.summary) else {
            return;
        };
        let mut messages = compacted.messages;
        let first_call = messages
            .iter()
            .find_map(|message| message.pointer("/tool_calls/0/id").cloned());
        let Some(call_id) = first_call else { return };
        if let Some(question) = question.filter(|question| !messages.contains(question)) {
            let at = usize::from(
                messages
                    .first()
                    .is_some_and(|message| message["role"] == "system"),
            );
            messages.insert(at, question);
        }
        payload::append_system(&mut messages, &introduced(&summary));
        payload.body.insert("messages".into(), Value::Array(messages));
        payload::summed_up(payload);
        writer.stream.output.lock().items_mut().push(json!({
            "type": "open_webui:context_compaction", "id": ids::output_item("cc_"), "call_id": call_id,
            "summary": summary,
        }));
        writer.show_round().await;
        writer.stream.output.lock().next_round();
    }
}

impl Engine {
    /// Sums up a chat on demand: everything before the last message of the branch that is shown. Answers what the
    /// page is told, without the new size.
    #[boxed]
    pub async fn compact(&self, user: &RunUser, chat_id: &str, model_id: Option<&str>) -> ApiResult<Value> {
        let kept = |reason: &str| json!({ "ok": true, "compacted": false, "reason": reason });
        if !self.config.get(&keys::ENABLE_CONTEXT_COMPACTION) {
            return Ok(kept("disabled"));
        }
        let chat = oui_models::chats::by_id(&self.db, chat_id)
            .await?
            .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
        let document = chat.document();
        let leaf = chat
            .current_message_id
            .clone()
            .or_else(|| history::current_id(&document));
        let Some(leaf) = leaf else {
            return Ok(kept("empty"));
        };
        let stored = chat_edits::messages_map(&self.db, chat_id)
            .await?
            .unwrap_or_default();
        let path: Vec<Value> = history::path_to(&stored, &leaf).into_iter().cloned().collect();
        let (path, previous) = since_checkpoint(path);
        let Some((recent, old)) = path.split_last().filter(|(_, old)| !old.is_empty()) else {
            return Ok(kept("too_short"));
        };
        let models = self.catalogue.known(&user.call).await?;
        let named = model_id.map(str::to_owned).or_else(|| {
            let last = path
                .iter()
                .rev()
                .find_map(|message| history::text(message, "model"));
            last.map(str::to_owned)
                .or_else(|| Some(document.get("models")?.as_array()?.first()?.as_str()?.to_owned()))
        });
        let model = named.and_then(|id| models.get(&id).cloned());
        let model = model.ok_or_else(|| ApiError::bad_request("Model not found"))?;
        if !self.catalogue.may_use(&user.user, &model).await? {
            return Err(ApiError::bad_request("Model not found"));
        }
        let asker = Asker {
            engine: self,
            user,
            model: &model,
            models: &models,
        };
        let summary = asker
            .summary(old, std::slice::from_ref(recent), previous.as_deref())
            .await?;
        let fields = Object::from_iter([("contextSummary".to_owned(), json!(summary))]);
        chat_edits::upsert_message(&self.db, chat_id, &leaf, fields, false).await?;
        Ok(json!({
            "ok": true, "compacted": true, "dropped_messages": old.len(), "kept_messages": 1,
            "summary_chars": summary.chars().count(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(count: usize) -> Vec<Value> {
        (0..count)
            .map(|index| json!({"role": if index % 2 == 0 { "user" } else { "assistant" }, "content": "x"}))
            .collect()
    }

    #[test]
    fn a_share_of_whole_turns_stays() {
        assert_eq!(boundary(&turns(10), 40), 6);
        assert_eq!(boundary(&turns(3), 40), 2);
        assert_eq!(boundary(&turns(2), 40), 0);
        let tools = vec![
            json!({"role": "user"}),
            json!({"role": "assistant", "tool_calls": [1]}),
            json!({"role": "tool"}),
            json!({"role": "assistant", "tool_calls": [1]}),
            json!({"role": "tool"}),
        ];
        assert_eq!(boundary(&tools, 40), 3);
    }

    #[test]
    fn something_stands_in_for_a_summary() {
        let old = [
            json!({"role": "user", "content": "Birds?"}),
            json!({"role": "assistant", "content": ""}),
        ];
        assert_eq!(stand_in(&old, Some("Earlier.")), "Earlier.\n- user: Birds?");
    }
}
