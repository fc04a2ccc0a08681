//! Sub-agents: a model gives a task to another run of itself, in a hidden chat of its own. In the foreground the call
//! waits for the result; in the background the chat goes on and gets the result as a message when it is there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use oui_config::{code, features};
use oui_core::{ApiResult, ids};
use oui_models::chat_edits::{self, NewChat};
use oui_models::{chats, users};
use oui_plugins::Errand;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::{Completion, Engine};
use crate::errands::{self, OfRun, Seat};
use crate::payload::append_system;
use crate::turn::{Internal, Object, truthy};

mod report;

pub(crate) use report::recovered;
use report::{Ended, Report, deliver, result};

/// What sub-agents are told unless the operator says something else.
const PROMPT: &str = "You work on one task for another assistant, which waits for your result. Do this task and nothing \
beyond it; nobody can answer questions. End with a short report: what you found or did, which files you changed, and \
what stays open.";

/// Seconds that a sub-agent's token is good for.
const TOKEN: i64 = 3_600;

/// Sub-agents at work on this server.
#[derive(Default)]
pub(crate) struct Agents {
    background: Mutex<HashSet<String>>,
    foreground: Mutex<Option<(usize, Arc<Semaphore>)>>,
}

/// The place that a sub-agent takes up while it works.
enum Place {
    Free,
    Foreground { _permit: OwnedSemaphorePermit },
    Background { engine: Arc<Engine>, id: String },
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Background { engine, id } = self {
            engine.agents.background.lock().remove(id);
        }
    }
}

/// A limit of the configuration: `None` for none, at least one; zero stands for the default.
fn limit(value: i64, default: usize) -> Option<usize> {
    match value {
        -1 => None,
        0 => Some(default),
        value => Some(usize::try_from(value).unwrap_or(1)),
    }
}

/// A sub-agent that is to work.
struct Agent {
    run: Object,
    errand: Errand,
    delegation_id: String,
    chat_id: String,
    reply_id: String,
    user_message: Value,
    rounds: usize,
    output: usize,
    parent_chat_id: String,
    parent_message_id: Option<String>,
    owner: String,
}

/// Has a task done. Answers the result, or for one in the background how to know it again.
pub(crate) async fn delegate(engine: Arc<Engine>, of: &OfRun, errand: Errand) -> Value {
    let (agent, place) = match prepare(&engine, of, errand).await {
        Ok(prepared) => prepared,
        Err(error) => return json!(format!("Error: {error}")),
    };
    if agent.errand.background {
        let answer = json!({
            "status": "dispatched", "delegation_id": agent.delegation_id, "subagent_chat_id": agent.chat_id,
            "mode": "background", "task": agent.errand.task,
        });
        tokio::spawn(in_background(engine, agent, place));
        return answer;
    }
    let ended = work(&engine, &agent).await;
    drop(place);
    match ended.status {
        "completed" => json!(ended.summary),
        "interrupted" => json!("Error: sub-agent was cancelled."),
        _ => json!(format!(
            "Error: {}",
            ended.error.unwrap_or_else(|| "sub-agent failed.".into())
        )),
    }
}

/// Checks the task, finds a place for it and makes its chat.
async fn prepare(engine: &Arc<Engine>, of: &OfRun, mut errand: Errand) -> Result<(Agent, Place), String> {
    let config = &engine.config;
    errand.task = errand.task.trim().to_owned();
    if errand.task.is_empty() {
        return Err("task must not be empty.".into());
    }
    if errand.background && !config.get(&features::SUBAGENTS_BACKGROUND_ENABLED) {
        return Err("background sub-agents are disabled in settings.".into());
    }
    if of.direct {
        return Err("sub-agents are unavailable for direct connections.".into());
    }
    let mut run = of.run.clone();
    let files = chosen_files(&run, &errand.file_ids)?;
    run.insert("files".into(), json!(files));
    if errand.background {
        // What only the browser can do is no use once nobody looks.
        if config.get(&code::CODE_INTERPRETER_ENGINE) != "jupyter"
            && let Some(features) = run.get_mut("features").and_then(Value::as_object_mut)
        {
            features.shift_remove("code_interpreter");
        }
    } else {
        run.insert("tool_servers".into(), json!(of.tool_servers));
    }
    let folder = chats::folder_id(&engine.db, &of.chat_id).await.ok().flatten();
    run.insert("folder_id".into(), json!(folder.or_else(|| of.folder_id.clone())));
    let delegation_id = format!("deleg_{}", &ids::uuid()[..8]);
    let place = place(engine, &errand, &delegation_id).await?;
    let agent = make(engine, of, errand, run, delegation_id).await;
    let agent = agent.map_err(|error| format!("failed to create sub-agent: {error}"))?;
    Ok((agent, place))
}

/// Attachments of the chat by their ids; none unless they are asked for.
fn chosen_files(run: &Object, wanted: &[String]) -> Result<Vec<Value>, String> {
    let ids = |file: &Value| {
        let of = [&file["id"], &file["url"], &file["file"]["id"]];
        of.map(|id| id.as_str().unwrap_or_default().to_owned())
    };
    let named = |file: &Value| ids(file).iter().any(|id| !id.is_empty() && wanted.contains(id));
    let given = run.get("files").and_then(Value::as_array);
    let files: Vec<Value> = given
        .into_iter()
        .flatten()
        .filter(|file| named(file))
        .cloned()
        .collect();
    let mut missing: Vec<&str> = wanted
        .iter()
        .filter(|id| !id.is_empty() && !files.iter().any(|file| ids(file).contains(id)))
        .map(String::as_str)
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        Ok(files)
    } else {
        Err(format!(
            "file_ids not attached or unavailable: {}",
            missing.join(", ")
        ))
    }
}

async fn place(engine: &Arc<Engine>, errand: &Errand, id: &str) -> Result<Place, String> {
    let (config, agents) = (&engine.config, &engine.agents);
    if errand.background {
        let limit = limit(config.get(&features::SUBAGENTS_MAX_ASYNC), 20);
        let mut active = agents.background.lock();
        if let Some(limit) = limit.filter(|limit| active.len() >= *limit) {
            return Err(format!(
                "Async subagent capacity reached ({limit} running). Wait for one to finish or increase \
                 subagents.max_async."
            ));
        }
        active.insert(id.to_owned());
        return Ok(Place::Background {
            engine: engine.clone(),
            id: id.to_owned(),
        });
    }
    let Some(limit) = limit(config.get(&features::SUBAGENTS_MAX_CONCURRENT), 20) else {
        return Ok(Place::Free);
    };
    let places = {
        let mut foreground = agents.foreground.lock();
        match &*foreground {
            Some((size, places)) if *size == limit => places.clone(),
            _ => {
                let places = Arc::new(Semaphore::new(limit));
                *foreground = Some((limit, places.clone()));
                places
            }
        }
    };
    let permit = places.acquire_owned().await.map_err(|error| error.to_string())?;
    Ok(Place::Foreground { _permit: permit })
}

/// Makes the hidden chat with the task and an empty reply.
async fn make(
    engine: &Engine,
    of: &OfRun,
    errand: Errand,
    run: Object,
    delegation_id: String,
) -> ApiResult<Agent> {
    let (chat_id, message_id, reply_id) = (ids::uuid(), ids::uuid(), ids::uuid());
    let (model_id, files, now) = (&run["model_id"], &run["files"], engine.clock.seconds());
    let Errand { task, context, .. } = &errand;
    let prompt = if context.is_empty() {
        task.clone()
    } else {
        format!("{task}\n\n## Context\n{context}")
    };
    let mut user_message = json!({
        "id": message_id, "parentId": null, "childrenIds": [reply_id], "role": "user", "content": prompt,
        "timestamp": now, "models": [model_id],
    });
    let mut flat = json!({ "role": "user", "content": prompt });
    if truthy(files) {
        user_message["files"] = files.clone();
        flat["files"] = files.clone();
    }
    let title: String = task.chars().take(60).collect();
    let document = json!({
        "id": chat_id,
        "title": format!("Sub-agent: {title}"),
        "models": [model_id],
        "history": { "currentId": reply_id, "messages": {
            &message_id: user_message,
            &reply_id: {
                "id": reply_id, "parentId": message_id, "childrenIds": [], "role": "assistant", "content": "",
                "done": false, "model": model_id, "timestamp": now,
            },
        } },
        "messages": [flat],
        "files": files,
    });
    let mode = if errand.background {
        "background"
    } else {
        "foreground"
    };
    let meta = json!({
        "internal": true, "type": "subagent", "parent_chat_id": of.chat_id, "parent_message_id": of.message_id,
        "delegation_id": delegation_id, "mode": mode,
    });
    let object = |value: Value| value.as_object().cloned().unwrap_or_default();
    let new = NewChat {
        id: chat_id.clone(),
        user_id: of.user.user.id.clone(),
        document: object(document),
        meta: object(meta),
        ..NewChat::default()
    };
    chat_edits::create(&engine.db, new).await?;
    let config = &engine.config;
    let rounds = config.get(&features::SUBAGENTS_MAX_ITERATIONS);
    let output = config.get(&features::SUBAGENTS_MAX_OUTPUT);
    let positive = |value: i64, default: usize| {
        usize::try_from(value)
            .ok()
            .filter(|value| *value > 0)
            .unwrap_or(default)
    };
    Ok(Agent {
        run,
        errand,
        delegation_id,
        chat_id,
        reply_id,
        user_message,
        rounds: positive(rounds, 30),
        output: positive(output, 30_000),
        parent_chat_id: of.chat_id.clone(),
        parent_message_id: of.message_id.clone(),
        owner: of.user.user.id.clone(),
    })
}

/// Stops the work when nobody waits for it any more, because the run that gave it away was stopped.
struct Waiting<'a> {
    engine: &'a Arc<Engine>,
    agent: &'a Agent,
    tasks: Vec<String>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let (engine, tasks) = (self.engine.clone(), std::mem::take(&mut self.tasks));
        let (chat_id, reply_id) = (self.agent.chat_id.clone(), self.agent.reply_id.clone());
        tokio::spawn(async move {
            for task in tasks {
                engine.tasks.stop(&task).await;
            }
            mark(&engine, &chat_id, &reply_id, "Sub-agent cancelled.").await;
        });
    }
}

async fn mark(engine: &Engine, chat_id: &str, reply_id: &str, error: &str) {
    let mut fields = Object::new();
    fields.insert("done".into(), json!(true));
    fields.insert("error".into(), json!({ "content": error }));
    if let Err(error) = chat_edits::finish_reply(&engine.db, chat_id, reply_id, fields).await {
        tracing::error!(%error, chat_id, "the reply of a sub-agent could not be marked");
    }
}

/// Does the work and waits for its end.
async fn work(engine: &Arc<Engine>, agent: &Agent) -> Ended {
    let failed = |error: String| Ended {
        status: "error",
        summary: String::new(),
        error: Some(error),
    };
    let tasks = match begin(engine, agent).await {
        Ok(tasks) => tasks,
        Err(error) => {
            mark(engine, &agent.chat_id, &agent.reply_id, &error).await;
            return failed(error);
        }
    };
    let mut waiting = Waiting { engine, agent, tasks };
    let mut stopped = false;
    for task in waiting.tasks.clone() {
        let cancel = engine.tasks.cancelling(&task);
        engine.tasks.finished(&task).await;
        stopped |= cancel.is_some_and(|cancel| cancel.is_cancelled());
    }
    waiting.tasks.clear();
    if stopped {
        mark(engine, &agent.chat_id, &agent.reply_id, "Sub-agent cancelled.").await;
        return Ended {
            status: "interrupted",
            summary: String::new(),
            error: Some("cancelled".into()),
        };
    }
    let stored = chat_edits::messages_map(&engine.db, &agent.chat_id).await;
    let reply = stored
        .ok()
        .flatten()
        .and_then(|all| all.get(&agent.reply_id).cloned());
    match reply {
        Some(reply) => result(&reply, agent.output),
        None => failed("Sub-agent chat or completion message no longer exists.".into()),
    }
}

/// Starts the run. Answers its tasks.
async fn begin(engine: &Arc<Engine>, agent: &Agent) -> Result<Vec<String>, String> {
    let account = users::account(&engine.db, &agent.owner)
        .await
        .map_err(|error| error.to_string())?;
    let account = account.filter(|account| account.active);
    let account = account.ok_or("Subagent owner is no longer active")?;
    let seat = Seat {
        chat_id: &agent.chat_id,
        reply_id: &agent.reply_id,
        user_message: &agent.user_message,
        session: format!("subagent:{}", agent.chat_id),
    };
    let model_id = agent.run["model_id"].as_str().unwrap_or_default();
    let mut request = errands::request(&agent.run, model_id, &seat);
    let prompt = engine.config.get(&features::SUBAGENTS_SYSTEM_PROMPT);
    let prompt = Some(prompt.trim())
        .filter(|prompt| !prompt.is_empty())
        .unwrap_or(PROMPT);
    if let Some(messages) = request.get_mut("messages").and_then(Value::as_array_mut) {
        append_system(messages, prompt);
    }
    let internal = Internal { rounds: agent.rounds };
    let started = async {
        let caller = errands::caller(engine, &account, Some(("subagent", TOKEN))).await?;
        engine.complete_internal(caller, request, internal).await
    };
    match started.await.map_err(|error| error.detail_text())? {
        Completion::Json(answer) => {
            let tasks = answer["task_ids"].as_array().into_iter().flatten();
            Ok(tasks
                .filter_map(|task| task.as_str().map(str::to_owned))
                .collect())
        }
        Completion::Stream { .. } => Err("sub-agent failed.".into()),
    }
}

async fn in_background(engine: Arc<Engine>, agent: Agent, place: Place) {
    let began = Instant::now();
    let ended = work(&engine, &agent).await;
    drop(place);
    let report = Report {
        delegation_id: &agent.delegation_id,
        chat_id: &agent.chat_id,
        parent_chat_id: &agent.parent_chat_id,
        parent_message_id: agent.parent_message_id.as_deref(),
        owner: &agent.owner,
        task: &agent.errand.task,
        context: &agent.errand.context,
        seconds: Some(began.elapsed().as_secs_f64()),
    };
    if let Err(error) = deliver(&engine, &report, &ended, agent.run.clone()).await {
        let error = error.detail_text();
        tracing::error!(
            error,
            chat_id = agent.parent_chat_id,
            "the result of a sub-agent could not be told"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_a_floor_and_no_ceiling_on_demand() {
        assert_eq!(
            (limit(-1, 20), limit(0, 20), limit(-5, 20), limit(3, 20)),
            (None, Some(20), Some(1), Some(3))
        );
    }

    #[test]
    fn files_are_named_by_any_of_their_ids() {
        let run = json!({"files": [{"id": "a"}, {"url": "b"}, {"file": {"id": "c"}}, {"id": "d"}]});
        let run = run.as_object().unwrap();
        let wanted =
            |ids: &[&str]| chosen_files(run, &ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
        assert_eq!(wanted(&["c", "b", "a"]).unwrap().len(), 3);
        assert!(wanted(&[]).unwrap().is_empty());
        assert_eq!(
            wanted(&["x", "a"]).unwrap_err(),
            "file_ids not attached or unavailable: x"
        );
    }
}
