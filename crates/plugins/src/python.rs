//! Plugins in chats: tools and functions that are Python source, called through the plugin host with their settings,
//! with what they may see of the run ([`scene`]), and with a way back to the chat for their events and questions.

pub mod scene;
pub mod tools;
pub mod valves;

use oui_core::boxed;
use std::sync::Arc;

use oui_config::Settings;
use oui_models::users::UserRow;
use oui_plugin_host::{Call, HostOptions, HostProblem, Plugin, Runner, Runners, Said};
use serde_json::{Value, json};

use crate::tool::{Object, Reporter};
pub use scene::Scene;

/// The processes that run plugins, and the settings of plugins.
#[derive(Clone)]
pub struct Python {
    runners: Runners,
    settings: Arc<Settings>,
}

/// One plugin that is to be called.
pub struct Target<'a> {
    /// Its source.
    pub plugin: Plugin<'a>,
    /// Stored settings of the administrator, as JSON text.
    pub valves: Option<&'a str>,
    /// For whom it is called.
    pub user: &'a UserRow,
}

/// What a plugin may call in the course of its own call.
#[async_trait::async_trait]
pub trait Helpers: Send + Sync {
    /// What it is told of the tools: `{name: {tool_id, spec}}`.
    fn described(&self) -> Value;

    /// Calls a tool and answers what the plugin gets.
    async fn call(&self, name: &str, arguments: Value) -> Value;
}

impl Python {
    /// Processes are started when they are first needed.
    pub fn new(settings: Arc<Settings>) -> Self {
        let options = HostOptions {
            python: settings.plugins.python.clone(),
            call_limit: std::time::Duration::from_secs(settings.plugins.call_limit),
            ..HostOptions::default()
        };
        Self {
            runners: Runners::new(options),
            settings,
        }
    }

    /// The process of a plugin; starts it when there is none.
    #[boxed]
    pub async fn runner(&self, plugin: Plugin<'_>) -> Result<Runner, HostProblem> {
        self.runners.of(plugin).await
    }

    /// Settings from the column that holds them.
    pub fn valves(&self, text: Option<&str>) -> Object {
        valves::read(&self.settings, text)
    }

    /// Begins a call of a method. `given` are its arguments, `more` parameters that differ from the scene's.
    #[boxed]
    pub async fn begin(
        &self,
        target: &Target<'_>,
        method: &str,
        given: Object,
        scene: &Scene,
        more: &Object,
    ) -> Result<Call, HostProblem> {
        let runner = self.runner(target.plugin).await?;
        let mut question = scene.question(runner.facts(), method, more);
        self.add_settings(&mut question, target, &runner);
        question.insert("given".into(), Value::Object(given));
        Ok(runner.call(method, question))
    }

    /// [`Python::begin`] for a method that may call the tools of its run.
    #[boxed]
    pub async fn begin_with(
        &self,
        target: &Target<'_>,
        method: &str,
        given: Object,
        scene: &Scene,
        helpers: &dyn Helpers,
    ) -> Result<Call, HostProblem> {
        let runner = self.runner(target.plugin).await?;
        let mut question = scene.question(runner.facts(), method, &Object::new());
        self.add_settings(&mut question, target, &runner);
        question.insert("given".into(), Value::Object(given));
        if runner.facts().takes(method, "__tools__") {
            question.insert("tools".into(), helpers.described());
        }
        Ok(runner.call(method, question))
    }

    fn add_settings(&self, question: &mut Object, target: &Target<'_>, runner: &Runner) {
        let facts = runner.facts();
        if facts.has_valves {
            let values = self.valves(target.valves);
            question.insert("valves".into(), Value::Object(values));
        }
        if facts.has_user_valves {
            let area = if target.plugin.is_tool {
                "tools"
            } else {
                "functions"
            };
            let values = valves::of_user(&self.settings, target.user, area, target.plugin.id);
            question.insert("user_valves".into(), Value::Object(values));
        }
    }
}

/// What a call says next that is not for the chat: a piece of a stream, or the answer. Events and questions on the way
/// go where they belong.
#[boxed]
pub async fn listen(
    call: &mut Call,
    reporter: &dyn Reporter,
    helpers: Option<&dyn Helpers>,
) -> Result<Said, HostProblem> {
    loop {
        match call.next().await? {
            Said::Event(event) => reporter.relay(&event).await,
            Said::Ask { number, event } => {
                let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
                let data = event.get("data").cloned().unwrap_or_default();
                let answer = reporter.ask(kind, data, None).await;
                let answer = answer.unwrap_or_else(|error| json!({ "error": error.to_string() }));
                call.reply(number, &answer);
            }
            Said::Tool {
                number,
                name,
                arguments,
            } => {
                let answer = match helpers {
                    Some(helpers) => helpers.call(&name, arguments).await,
                    None => Value::Null,
                };
                call.reply(number, &answer);
            }
            said => return Ok(said),
        }
    }
}

/// The answer of a call. Pieces of a stream are put together as a text.
#[boxed]
pub async fn answer(mut call: Call, reporter: &dyn Reporter) -> Result<Value, HostProblem> {
    let mut text = String::new();
    loop {
        match listen(&mut call, reporter, None).await? {
            Said::Piece(piece) => text.push_str(piece.as_str().unwrap_or_default()),
            Said::Answer(answer) if answer["kind"] == "stream" => {
                return Ok(json!({ "kind": "value", "value": text }));
            }
            Said::Answer(answer) => return Ok(answer),
            _ => {}
        }
    }
}

/// What is in an answer, whatever its kind: the value, or the text of a response.
pub fn value_of(mut answer: Value) -> Value {
    match answer["kind"].as_str() {
        Some("html" | "response") => answer["body"].take(),
        _ => answer["value"].take(),
    }
}
