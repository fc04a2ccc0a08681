//! The generation endpoints: which reply a request gets, and its sending.

use std::time::Duration;

use axum::{http::StatusCode, response::Response};

use crate::{
    behaviour,
    catalogue::Behaviour,
    conversation::Conversation,
    handlers::Call,
    plan::{Ending, Part, Plan, Refusal, Reply},
    state::ollama_name,
    task_prompts::Task,
    wire::{Dialect, Exchange, Family, midstream_error, ollama, transport, transport::Manner},
};

/// Answers a generation request: as a queued script says, else as the model behaves.
pub(super) async fn answer(dialect: Dialect, call: Call) -> Response {
    let chosen = chosen(dialect, &call);
    if let Ok((conversation, _)) = &chosen
        && Task::of(conversation).is_none()
    {
        tokio::time::sleep(call.shared.settings.think).await;
    }
    match chosen {
        Err(response) => *response,
        Ok((conversation, Reply::Plan(plan))) => deliver(dialect, &call, &conversation, &plan).await,
        Ok((_, Reply::Refusal(refusal))) => *call.refuse(&refusal),
        Ok((_, Reply::Raw(raw))) => transport::raw(raw),
    }
}

/// The request and its reply; an error is an answer that needs no plan.
fn chosen(dialect: Dialect, call: &Call) -> Result<(Conversation, Reply), Box<Response>> {
    let body = call.json()?;
    let conversation = dialect.conversation(&body);
    if conversation.model.is_empty() {
        return Err(call.refuse(&Refusal::bad_request("the request names no model")));
    }
    let shared = &call.shared;
    let (model, family) = (conversation.model.as_str(), dialect.family());
    let Some(listed) = shared.behaviour(family, model) else {
        return Err(call.refuse(&Refusal::unknown_model(model)));
    };
    if family == Family::Ollama {
        let keeps = body["keep_alive"] != 0;
        remember_loaded(call, model, keeps);
        if let Some(shape) = without_prompt(dialect, &body) {
            let reason = if keeps { "load" } else { "unload" };
            return Err(Box::new(transport::json(
                StatusCode::OK,
                &ollama::nothing_said(shape, model, reason),
            )));
        }
    }
    let task = Task::of(&conversation);
    if let Some(script) = shared.take_script(|script| script.fits_generation(&call.path, model, task)) {
        return Ok((conversation, script.reply));
    }
    let behaviour = behaviour::chosen(listed, &conversation);
    if dialect == Dialect::Chat
        && conversation.stream
        && task.is_none()
        && behaviour == Behaviour::Fixed
        && shared.settings.think.is_zero()
        && let Some(response) = precomputed(call, &conversation)
    {
        return Err(Box::new(response));
    }
    let reply = behaviour::reply(behaviour, &conversation, &shared.settings);
    Ok((conversation, reply))
}

/// The stream that needs no writing, if this model has one.
fn precomputed(call: &Call, conversation: &Conversation) -> Option<Response> {
    let shared = &call.shared;
    // A serial must not be lost to a model without such a stream.
    if !shared.precomputed.knows(&conversation.model) {
        return None;
    }
    let serial = shared.next_serial();
    let Conversation {
        model,
        include_usage,
        prompt_words,
        ..
    } = conversation;
    let frames = shared
        .precomputed
        .stream(model, *include_usage, serial, *prompt_words)?;
    let content_type = Dialect::Chat.stream_type();
    let manner = Manner {
        pause: Duration::ZERO,
        times: false,
        ending: Ending::Complete,
    };
    Some(transport::streamed(
        content_type,
        frames,
        manner,
        shared.closing.clone(),
    ))
}

async fn deliver(dialect: Dialect, call: &Call, conversation: &Conversation, plan: &Plan) -> Response {
    let shared = &call.shared;
    let pause = plan.pause_ms.map_or(shared.settings.pause, Duration::from_millis);
    let exchange = Exchange {
        serial: shared.next_serial(),
        model: &conversation.model,
        usage: plan.usage_for(conversation.prompt_words),
        include_usage: conversation.include_usage,
    };
    let closing = shared.closing.clone();
    if conversation.stream {
        let frames = dialect.frames(&exchange, plan);
        let manner = Manner {
            pause,
            times: shared.settings.times,
            ending: plan.ending,
        };
        return transport::streamed(dialect.stream_type(), frames, manner, closing);
    }
    let body = match plan.ending {
        Ending::Error => dialect.family().error_body(&midstream_error()),
        _ => dialect.whole(&exchange, plan),
    };
    let chunks = plan
        .parts
        .iter()
        .filter(|part| !matches!(part, Part::Noise))
        .count();
    let time = pause.saturating_mul(u32::try_from(chunks).unwrap_or(u32::MAX));
    transport::unstreamed(&body, time, plan.ending, closing).await
}

/// Ollama loads a model that is asked, and unloads it when told to keep it for no time.
fn remember_loaded(call: &Call, model: &str, keeps: bool) {
    let mut shelf = call.shared.shelf();
    let name = ollama_name(model);
    if keeps {
        shelf.loaded.insert(name);
    } else {
        shelf.loaded.remove(&name);
    }
}

/// The shape of an answer to a request that says nothing to the model.
fn without_prompt(dialect: Dialect, body: &serde_json::Value) -> Option<ollama::Shape> {
    match dialect {
        Dialect::OllamaGenerate => {
            let empty = body["prompt"].as_str().is_none_or(str::is_empty);
            empty.then_some(ollama::Shape::Generate)
        }
        Dialect::OllamaChat => {
            let empty = body["messages"].as_array().is_none_or(Vec::is_empty);
            empty.then_some(ollama::Shape::Chat)
        }
        Dialect::Chat | Dialect::Responses | Dialect::Messages | Dialect::Completions => None,
    }
}
