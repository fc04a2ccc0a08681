//! From a turn to the request that the provider gets: history from the database, output items turned back
//! into messages, prompts with their placeholders filled, what is known from documents, memories and the web put
//! before the question, parameters laid over.

mod attachments;
mod memory;
mod replay;
mod step;
mod told;
mod web;

use std::sync::Arc;

use oui_core::{ApiError, ApiResult};
use oui_models::users::UserRow;
use oui_models::{chat_edits, groups, history};
use oui_plugins::code;
use oui_providers::{ProviderKind, params};
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use crate::catalogue::{Model, Models};
use crate::code_runs;
use crate::compaction;
use crate::emit::{ChatEmitter, ToolReporter};
use crate::engine::Engine;
use crate::filters::Filters;
use crate::functions::Stage;
use crate::generate::last_user_text;
use crate::legacy_tools;
use crate::scene;
use crate::sources::{self, Telling};
use crate::template;
use crate::tooling::{self, Tooling};
use crate::turn::{ChatKind, Choices, Object, Resume, Turn, truthy};

use step::Step;
use told::Told;
pub(crate) use told::{add_sources, summed_up};

/// A request ready for a provider.
pub struct Payload {
    /// The model that answers: for arena models the chosen one.
    pub model: Arc<Model>,
    /// Whether the client must be told which model was chosen.
    pub selected: bool,
    /// Chat Completions request; `model` is the workspace id.
    pub body: Object,
    /// Tools of the run.
    pub(crate) tooling: Tooling,
    /// Whether their specifications join the request only on its way out. They are the larger part of it, and a run
    /// that waits for its words has no use for them; filters want to see them before.
    adds_tools: bool,
    /// Merged parameters of server, model and request.
    pub(crate) params: Object,
    /// The reply that is continued, as it is stored.
    pub(crate) continued: Option<Value>,
    /// Whether it has tool calls that were approved and have to run first.
    pub(crate) has_open_calls: bool,
    /// What the reply is based on, as the chat shows it.
    pub(crate) sources: Vec<Value>,
    /// What stands between the conversation and the model.
    pub(crate) filters: Arc<Filters>,
    /// What was chosen, after filters had their say.
    pub(crate) choices: Choices,
    /// For whom the model answers.
    pub(crate) user: Arc<UserRow>,
    /// What the conversation is made of again when tools bring sources of their own.
    told: Told,
}

impl Payload {
    /// A request of this run with all that the model gets.
    pub(crate) fn complete(&self, mut body: Object) -> Object {
        if self.adds_tools {
            body.insert("tools".into(), Value::Array(self.tooling.to_request()));
        }
        body
    }

    /// Where filters are called for this reply.
    pub(crate) fn stage(&self) -> Stage<'_> {
        let context = &self.tooling.context;
        Stage {
            python: &context.python,
            user: &self.user,
            scene: &context.scene,
            reporter: &*context.reporter,
        }
    }
}

/// Builds the request of one reply.
pub(crate) async fn build(
    engine: &Engine,
    turn: &Turn,
    model: &Arc<Model>,
    models: &Models,
    message_id: Option<&str>,
    emitter: &ChatEmitter,
) -> ApiResult<Payload> {
    let (model, selected) = resolve_arena(model, models)?;
    let mut body = turn.body.clone();
    body.insert("model".into(), json!(model.id));
    let params = merged_params(engine, turn, &model);
    let step = Step {
        engine,
        turn,
        model: &model,
        emitter,
        native: tooling::is_native(&params),
    };
    let (mut messages, continued) = history_messages(engine, turn, &body).await?;
    let has_open_calls = continued.as_ref().is_some_and(|message| {
        turn.resume == Some(Resume::Tools) || crate::approval::has_pending(&message["output"])
    });
    if has_open_calls {
        // Its calls have no results yet; what the model gets of it is added when they have.
        messages.retain(|message| {
            message.get("id").is_none() || message["id"] != json!(turn.assistant_message_id)
        });
    }
    if let Some((_, Some(prompt))) = &turn.regeneration {
        messages.push(json!({ "role": "user", "content": prompt }));
    }
    if turn.chat != ChatKind::None && turn.user_message_id.is_some() {
        let asker = compaction::Asker {
            engine,
            user: &turn.user,
            model: &model,
            models,
        };
        let compacted = compaction::for_request(&asker, turn, &params, messages, emitter).await;
        messages = compacted.messages;
        if let Some(summary) = compacted.summary {
            append_system(&mut messages, &compaction::introduced(&summary));
        }
    }
    let mut messages = replay::to_provider(messages, &model, step.names_files().await?);
    let membership = groups::membership(&engine.db, &turn.user.user.id).await?;
    let group_names: Vec<String> = membership
        .groups
        .iter()
        .filter_map(|group| group.name.clone())
        .collect();
    let context = template::Context {
        user: Some(&turn.user.user),
        groups: &group_names,
        variables: turn.variables.as_ref(),
        chat_variables: turn.chat_variables.as_ref(),
        clock: &engine.clock,
    };
    fill_system_message(&mut messages, &context);
    let folder = step.folder().await?;
    if let Some(prompt) = folder.as_ref().and_then(step::folder_prompt) {
        prepend_system(&mut messages, &template::render(prompt, &context));
    }
    let mut files = attachments::given(&step, folder.as_ref());
    let knowledge = attachments::knowledge(&step);
    let question = last_user_text(&messages);
    let searched = |done: bool| json!({ "action": "knowledge_search", "query": question, "done": done });
    if !step.native && !knowledge.is_empty() {
        step.status(searched(false)).await;
        files.extend(knowledge.iter().cloned());
    }
    let filters = Filters::of(engine, &model, models, &turn.choices.filter_ids).await?;
    let is_filtered = !filters.is_empty();
    let mut changed = None;
    if is_filtered {
        body.insert("messages".into(), Value::Array(messages));
        apply_params(engine, &mut body, &model, &params);
        let mut asked = turn.clone();
        asked.files = (!files.is_empty()).then_some(Value::Array(files));
        body = inlet(
            engine, &filters, &mut asked, &model, &params, message_id, body, emitter,
        )
        .await?;
        messages = match body.shift_remove("messages") {
            Some(Value::Array(messages)) => messages,
            _ => Vec::new(),
        };
        files = match asked.files.take() {
            Some(Value::Array(files)) => files,
            _ => Vec::new(),
        };
        changed = Some(asked);
    }
    // Filters may have chosen other tools and features.
    let turn = changed.as_ref().unwrap_or(turn);
    let step = Step { turn, ..step };
    step.remember(&mut messages).await;
    step.search_web(&mut files, &messages).await;
    let files = attachments::unique(files);
    let mut tooling = tooling::resolve(engine, turn, &model, &params, message_id, emitter, &files).await?;
    if !tooling.tools.is_empty() {
        let others = body.get("tools").and_then(Value::as_array);
        let others = others.filter(|_| turn.choices.filter_tools).cloned();
        tooling.defer(engine, &others.unwrap_or_default());
    }
    tell_of_code(engine, turn, &tooling, &mut messages);
    for prompt in &tooling.prompts {
        append_system(&mut messages, prompt);
    }
    let mut sources = Vec::new();
    if !tooling.native && !tooling.tools.is_empty() {
        sources = legacy_tools::run(engine, &turn.user, &model, models, &tooling, &messages).await;
    }
    if model.capability("file_context", true) {
        sources.extend(step.search_files(&files, &messages).await);
    }
    let plain = messages.clone();
    Telling { engine }.put_into(&mut messages, &sources, &[]);
    if !knowledge.is_empty() {
        let mut done = searched(true);
        done["hidden"] = json!(true);
        step.status(done).await;
    }
    let system = params
        .get("system")
        .and_then(Value::as_str)
        .map(|system| template::render(system, &context))
        .unwrap_or_default();
    let finished = |mut messages: Vec<Value>| {
        prepend_system(&mut messages, &system);
        replay::normalize(messages)
    };
    let messages = finished(messages);
    let told = Told {
        plain: finished(plain),
        count: messages.len(),
        marks: Vec::new(),
        sources,
    };
    body.insert("messages".into(), Value::Array(messages));
    if !is_filtered {
        apply_params(engine, &mut body, &model, &params);
    }
    let offers_tools = tooling.native && !tooling.tools.is_empty();
    if offers_tools && is_filtered {
        let mut tools = tooling.to_request();
        if turn.choices.filter_tools {
            let added = body.get("tools").and_then(Value::as_array);
            tools.extend(added.cloned().unwrap_or_default());
        }
        body.insert("tools".into(), Value::Array(tools));
    }
    let mut payload = Payload {
        selected,
        body,
        tooling,
        params,
        continued,
        has_open_calls,
        sources: sources::shown(&told.sources),
        told,
        adds_tools: offers_tools && !is_filtered,
        filters: Arc::new(filters),
        choices: turn.choices.clone(),
        user: Arc::new(turn.user.user.clone()),
        model,
    };
    if !has_open_calls {
        let body = std::mem::take(&mut payload.body);
        payload.body = payload.filters.request(&payload.stage(), body).await?;
        told::check(&mut payload);
    }
    Ok(payload)
}

/// Tells the model that it can have code run, and where.
fn tell_of_code(engine: &Engine, turn: &Turn, tooling: &Tooling, messages: &mut Vec<Value>) {
    if !turn.choices.feature("code_interpreter") {
        return;
    }
    let in_browser = engine.config.get(&oui_config::code::CODE_INTERPRETER_ENGINE) != code::JUPYTER;
    if tooling.native {
        if in_browser {
            append_system(messages, code_runs::BROWSER_PROMPT);
        }
        return;
    }
    if !tooling.runs_code {
        return;
    }
    let own = engine
        .config
        .get(&oui_config::code::CODE_INTERPRETER_PROMPT_TEMPLATE);
    let mut prompt = if own.is_empty() {
        code_runs::PROMPT.to_owned()
    } else {
        own
    };
    if in_browser {
        prompt.push_str("\n\n");
        prompt.push_str(code_runs::BROWSER_PROMPT);
    }
    match messages.last_mut().filter(|message| message["role"] == "user") {
        Some(question) => match &mut question["content"] {
            Value::Array(parts) => parts.push(json!({ "type": "text", "text": prompt })),
            content => *content = json!(format!("{}\n{prompt}", content.as_str().unwrap_or_default())),
        },
        None => messages.push(json!({ "role": "user", "content": prompt })),
    }
}

/// Passes a request through its inlet filters. What they changed of the choices goes into the turn.
#[expect(clippy::too_many_arguments, reason = "it is one step of the function above")]
async fn inlet(
    engine: &Engine,
    filters: &Filters,
    turn: &mut Turn,
    model: &Model,
    params: &Object,
    message_id: Option<&str>,
    mut body: Object,
    emitter: &ChatEmitter,
) -> ApiResult<Object> {
    let scene = scene::of_run(engine, turn, model, params, message_id);
    let reporter = ToolReporter {
        emitter: emitter.clone(),
        db: engine.db.clone(),
        limit: engine.settings.websocket.call_timeout,
    };
    let user = turn.user.user.clone();
    let stage = Stage {
        python: &engine.python,
        user: &user,
        scene: &scene,
        reporter: &reporter,
    };
    let given = turn.choices.to_body(turn.files.as_ref());
    for (name, value) in &given {
        body.insert(name.clone(), value.clone());
    }
    body.insert("metadata".into(), turn.call_context(message_id).metadata);
    let metadata = scene.get("__metadata__").cloned().unwrap_or_default();
    let had_tools = body.contains_key("tools");
    let changed = filters.inlet(&stage, Value::Object(body), metadata).await?;
    let Value::Object(mut body) = changed.body else {
        return Err(ApiError::bad_request(
            "An inlet filter did not answer with the request",
        ));
    };
    body.shift_remove("metadata");
    turn.choices.take_from(&mut body);
    turn.files = body.shift_remove("files").filter(|_| !changed.files_are_handled);
    turn.choices.filter_tools = !had_tools && body.contains_key("tools");
    Ok(body)
}

fn apply_params(engine: &Engine, body: &mut Object, model: &Model, params: &Object) {
    apply_stream(engine, body, model);
    match model.provider() {
        ProviderKind::Ollama => params::into_options(params.clone(), body),
        ProviderKind::OpenAi => params::apply_openai(params.clone(), body),
    }
}

/// Adds what a round of tool calls brought to the conversation.
pub(crate) fn append_round(payload: &mut Payload, items: &[Value]) {
    let items = oui_plugins::pictures::with_bytes(&payload.tooling.context, items);
    let added = replay::round(&items, &payload.model);
    let Some(Value::Array(messages)) = payload.body.get_mut("messages") else {
        return;
    };
    let mut all = std::mem::take(messages);
    all.extend(added);
    *messages = replay::normalize(all);
}

/// Puts a text after the system message, or makes one.
pub(crate) fn append_system(messages: &mut Vec<Value>, text: &str) {
    let system = messages.first_mut().filter(|message| message["role"] == "system");
    match system {
        Some(system) => match system["content"].as_str() {
            Some(before) => system["content"] = json!(format!("{before}\n{text}")),
            None => {
                if let Some(parts) = system["content"].as_array_mut() {
                    parts.push(json!({ "type": "text", "text": text }));
                }
            }
        },
        None => messages.insert(0, json!({ "role": "system", "content": text })),
    }
}

/// An arena model stands for one of its members, chosen by chance.
fn resolve_arena(model: &Arc<Model>, models: &Models) -> ApiResult<(Arc<Model>, bool)> {
    if model.owned_by() != "arena" || model.is_direct() {
        return Ok((model.clone(), false));
    }
    let listed: Option<Vec<&str>> = model
        .meta()
        .and_then(|meta| meta.get("model_ids")?.as_array())
        .map(|ids| ids.iter().filter_map(Value::as_str).collect())
        .filter(|ids: &Vec<&str>| !ids.is_empty());
    let excludes = model.meta().and_then(|meta| meta.get("filter_mode")?.as_str()) == Some("exclude");
    let candidates: Vec<&Arc<Model>> = models
        .values()
        .filter(|candidate| candidate.owned_by() != "arena")
        .filter(|candidate| match &listed {
            None => true,
            Some(ids) => ids.contains(&candidate.id.as_str()) != excludes,
        })
        .collect();
    let chosen = candidates.choose(&mut rand::rng());
    let chosen = chosen.ok_or_else(|| ApiError::bad_request("Model not found"))?;
    Ok(((*chosen).clone(), true))
}

/// Defaults of the server under the model's parameters under those of the request. `custom_params` merge field
/// by field.
fn merged_params(engine: &Engine, turn: &Turn, model: &Model) -> Object {
    let defaults = engine.config.get(&oui_config::models::DEFAULT_MODEL_PARAMS);
    let mut merged = defaults.as_object().cloned().unwrap_or_default();
    let mut own = model.params();
    own.shift_remove("model_controls");
    for layer in [own, turn.params.clone()] {
        let custom = layer.get("custom_params").and_then(Value::as_object).cloned();
        let before = merged.get("custom_params").and_then(Value::as_object).cloned();
        merged.extend(layer.into_iter().filter(|(_, value)| !value.is_null()));
        if let (Some(mut before), Some(custom)) = (before, custom) {
            params::deep_update(&mut before, custom);
            merged.insert("custom_params".into(), Value::Object(before));
        }
    }
    // A system prompt of the request is a message already; only the model's own is laid on here.
    match model.params().get("system").filter(|system| truthy(system)) {
        Some(system) => merged.insert("system".into(), system.clone()),
        None => merged.shift_remove("system"),
    };
    merged
}

/// The model's word on streaming (else the server's) wins over the client's; usage is asked for where the model
/// can tell it. A request's own parameters have no say in this.
fn apply_stream(engine: &Engine, body: &mut Object, model: &Model) {
    let (own, defaults) = (
        model.params(),
        engine.config.get(&oui_config::models::DEFAULT_MODEL_PARAMS),
    );
    let stream = [own.get("stream_response"), defaults.get("stream_response")];
    if let Some(stream) = stream.into_iter().flatten().find(|value| value.is_boolean()) {
        body.insert("stream".into(), stream.clone());
    }
    if body.get("stream").is_some_and(truthy) && model.capability("usage", false) {
        let mut options = body
            .get("stream_options")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        options.insert("include_usage".into(), json!(true));
        body.insert("stream_options".into(), Value::Object(options));
    }
}

/// The conversation: from the database for saved chats, with the system message of the request; else as sent. And
/// the reply that is continued.
async fn history_messages(
    engine: &Engine,
    turn: &Turn,
    body: &Object,
) -> ApiResult<(Vec<Value>, Option<Value>)> {
    let sent = body
        .get("messages")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let (Some(chat_id), Some(user_message_id)) = (turn.chat.saved(), turn.user_message_id.as_deref()) else {
        let last = sent.last().filter(|message| message["role"] == "assistant");
        let continued = last.filter(|_| turn.assistant_message_id.is_some()).cloned();
        return Ok((sent, continued));
    };
    let stored = chat_edits::messages_map(&engine.db, chat_id)
        .await?
        .unwrap_or_default();
    let mut path: Vec<Value> = history::path_to(&stored, user_message_id)
        .into_iter()
        .filter(|message| !is_empty_reply(message))
        .cloned()
        .collect();
    let continued = turn
        .assistant_message_id
        .as_ref()
        .and_then(|id| stored.get(id))
        .cloned();
    if path.is_empty() {
        return Ok((sent, continued));
    }
    let revised = turn.regeneration.as_ref().map(|(id, _)| id);
    for id in [turn.assistant_message_id.as_ref(), revised]
        .into_iter()
        .flatten()
    {
        if let Some(message) = stored.get(id).filter(|message| !is_empty_reply(message)) {
            path.push(message.clone());
        }
    }
    let system = sent.iter().find(|message| message["role"] == "system").cloned();
    let mut messages: Vec<Value> = system.into_iter().collect();
    messages.extend(path.into_iter().map(with_images));
    Ok((messages, continued))
}

fn is_empty_reply(message: &Value) -> bool {
    let filled = |name: &str| message.get(name).is_some_and(truthy);
    message["role"] == "assistant" && !filled("content") && !filled("output")
}

/// Attached images become parts of the message.
fn with_images(mut message: Value) -> Value {
    let is_image = |file: &&Value| {
        file["type"] == "image"
            || file["content_type"]
                .as_str()
                .is_some_and(|kind| kind.starts_with("image/") && !kind.starts_with("image/svg"))
    };
    let files = message
        .get("files")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let images: Vec<Value> = files
        .iter()
        .filter(is_image)
        .filter_map(|file| file.get("url").filter(|url| truthy(url)))
        .map(|url| json!({ "type": "image_url", "image_url": { "url": url } }))
        .collect();
    if message["role"] == "user"
        && !images.is_empty()
        && let Some(text) = message["content"].as_str()
    {
        let mut parts = vec![json!({ "type": "text", "text": text })];
        parts.extend(images);
        message["content"] = Value::Array(parts);
    }
    message
}

fn fill_system_message(messages: &mut [Value], context: &template::Context<'_>) {
    if let Some(system) = messages.first_mut().filter(|message| message["role"] == "system")
        && let Some(text) = system["content"].as_str()
    {
        system["content"] = json!(template::render(text, context));
    }
}

/// Puts a prompt before the system message, or makes one.
pub(crate) fn prepend_system(messages: &mut Vec<Value>, prompt: &str) {
    if prompt.is_empty() {
        return;
    }
    match messages.first_mut().filter(|message| message["role"] == "system") {
        Some(system) => match system["content"].as_str() {
            Some(text) => system["content"] = json!(format!("{prompt}\n{text}")),
            None => {
                if let Some(parts) = system["content"].as_array_mut() {
                    parts.insert(0, json!({ "type": "text", "text": prompt }));
                }
            }
        },
        None => messages.insert(0, json!({ "role": "system", "content": prompt })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_become_parts() {
        let message = with_images(json!({
            "role": "user", "content": "look", "files": [{"type": "image", "url": "data:x"}, {"type": "file"}],
        }));
        assert_eq!(
            message["content"],
            json!([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:x"}}])
        );
    }

    #[test]
    fn prompts_stack_in_one_system_message() {
        let mut messages = vec![json!({"role": "user", "content": "hi"})];
        prepend_system(&mut messages, "model");
        prepend_system(&mut messages, "folder");
        assert_eq!(messages[0], json!({"role": "system", "content": "folder\nmodel"}));
        assert_eq!(messages.len(), 2);
    }
}
