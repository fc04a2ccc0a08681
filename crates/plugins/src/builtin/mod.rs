//! The tools that the server brings itself: one table per area in the files beside this one, and which of them a
//! run offers. A table says everything about a tool in one place; names and parameters are those of the reference.

mod agents;
mod automations;
mod calendar;
mod channels;
mod chat_files;
mod chats;
mod code;
mod knowledge;
mod memories;
mod notes;
mod notify;
mod questions;
mod skills;
mod spec;
mod tasks;
mod time;
mod web;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::args::Args;
use crate::tool::{Answer, Callable, Kind, Object, Tool, ToolContext};
use spec::Parameter;

/// What the model's settings and the request say about built-in tools.
pub struct Offer<'a> {
    /// `meta` of the model.
    pub meta: &'a Value,
    /// `features` of the request.
    pub features: &'a Value,
    /// Whether a sub-agent is to use them.
    pub internal: bool,
}

impl Offer<'_> {
    /// Whether the model's settings leave a category on, which is so unless they say otherwise.
    pub fn category(&self, name: &str) -> bool {
        switch(self.meta.get("builtinTools").and_then(|tools| tools.get(name)))
    }

    /// Whether the request switches a feature on that is off otherwise.
    pub fn is_chosen(&self, name: &str) -> bool {
        self.features.get(name).is_some_and(|value| match value {
            Value::Bool(on) => *on,
            Value::Null => false,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
        })
    }

    /// Whether the request wants a feature.
    pub fn feature(&self, name: &str) -> bool {
        self.features.get(name).is_some_and(|value| switch(Some(value)))
    }
}

fn switch(value: Option<&Value>) -> bool {
    match value {
        None => true,
        Some(Value::Bool(on)) => *on,
        Some(other) => !other.is_null(),
    }
}

/// Whether a capability of the model is on, which is so unless its settings say otherwise.
pub fn capability(meta: &Value, name: &str) -> bool {
    switch(
        meta.get("capabilities")
            .and_then(|capabilities| capabilities.get(name)),
    )
}

/// Whether the model may have Python run.
pub fn offers_code(context: &ToolContext, offer: &Offer<'_>) -> bool {
    offer.category("code_interpreter")
        && context.config.get(&oui_config::code::ENABLE_CODE_INTERPRETER)
        && capability(offer.meta, "code_interpreter")
        && offer.is_chosen("code_interpreter")
        && context.may("features.code_interpreter")
}

type Run = for<'c> fn(&'c ToolContext, Args) -> BoxFuture<'c, Answer>;

/// One built-in tool.
struct Builtin {
    name: &'static str,
    about: &'static str,
    parameters: &'static [Parameter],
    run: Run,
    /// What models get of it, made when it is first offered.
    spec: OnceLock<Arc<Value>>,
}

#[async_trait]
impl Callable for &'static Builtin {
    async fn call(&self, context: &ToolContext, arguments: Object) -> Answer {
        (self.run)(context, Args::new(self.name, arguments)).await
    }
}

impl Builtin {
    fn tool(&'static self) -> Tool {
        Tool {
            name: self.name.to_owned(),
            id: format!("builtin:{}", self.name),
            kind: Kind::Builtin,
            spec: self
                .spec
                .get_or_init(|| Arc::new(spec::of(self.name, self.about, self.parameters)))
                .clone(),
            callable: Arc::new(self),
        }
    }
}

/// Declares the tools of one area: name, sentence, parameters, function.
macro_rules! builtins {
    ($($(#[$meta:meta])* $table:ident { $($name:literal $about:literal $parameters:expr => $run:path;)+ })+) => {$(
        $(#[$meta])*
        pub(super) static $table: &[$crate::builtin::Builtin] = {
            static ROWS: [$crate::builtin::Builtin; [$($name),+].len()] = [$($crate::builtin::Builtin {
                name: $name,
                about: $about,
                parameters: &$parameters,
                run: |context, args| Box::pin($run(context, args)),
                spec: std::sync::OnceLock::new(),
            }),+];
            &ROWS
        };
    )+};
}
use builtins;

/// The tools that a run may use, in the order in which models see them.
pub fn tools(context: &ToolContext, offer: &Offer<'_>) -> Vec<Tool> {
    let mut chosen: Vec<&'static [Builtin]> = Vec::new();
    if offer.category("time") {
        chosen.push(time::TOOLS);
    }
    if offer.category("user_input") {
        chosen.push(questions::TOOLS);
    }
    let meta = offer.meta;
    if offer.category("files")
        && capability(meta, "file_upload")
        && !capability(meta, "file_context")
        && context.may("chat.file_upload")
    {
        chosen.push(chat_files::offered(context));
    }
    if offer.category("knowledge") {
        chosen.extend(knowledge::offered(context));
    }
    if offer.category("chats") {
        chosen.push(chats::TOOLS);
    }
    let config = &context.config;
    if offer.category("subagents")
        && context.errands.is_some()
        && config.get(&oui_config::features::ENABLE_SUBAGENTS)
    {
        let in_background = config.get(&oui_config::features::SUBAGENTS_BACKGROUND_ENABLED);
        chosen.push(if in_background {
            agents::WITH_BACKGROUND
        } else {
            agents::FOREGROUND
        });
        chosen.push(agents::TIMER);
    }
    if offer.category("memory")
        && config.get(&oui_config::features::ENABLE_MEMORIES)
        && offer.feature("memory")
        && capability(meta, "memory")
        && context.may("features.memories")
    {
        chosen.push(memories::TOOLS);
    }
    if offer.category("web_search")
        && config.get(&oui_config::web::ENABLE_WEB_SEARCH)
        && offer.feature("web_search")
        && capability(meta, "web_search")
        && context.may("features.web_search")
    {
        chosen.push(web::TOOLS);
    }
    if offers_code(context, offer) {
        chosen.push(code::TOOLS);
    }
    if offer.category("notes")
        && config.get(&oui_config::features::ENABLE_NOTES)
        && context.may("features.notes")
    {
        chosen.push(notes::TOOLS);
    }
    if offer.category("channels")
        && config.get(&oui_config::channels::ENABLE_CHANNELS)
        && context.may("features.channels")
    {
        chosen.push(channels::TOOLS);
    }
    if offer.category("skills") && context.may("workspace.skills") {
        chosen.push(skills::TOOLS);
    }
    if offer.category("tasks") && context.chat_id.is_some() {
        chosen.push(tasks::TOOLS);
    }
    if offer.category("automations")
        && config.get(&oui_config::features::ENABLE_AUTOMATIONS)
        && context.may("features.automations")
    {
        chosen.push(automations::TOOLS);
    }
    if offer.category("calendar")
        && config.get(&oui_config::features::ENABLE_CALENDAR)
        && context.may("features.calendar")
    {
        chosen.push(calendar::TOOLS);
    }
    if offer.category("notifications")
        && context.notifier.is_some()
        && config.get(&oui_config::ui::ENABLE_USER_WEBHOOKS)
        && context.may("features.webhooks")
    {
        chosen.push(notify::TOOLS);
    }
    let mut tools: Vec<Tool> = Vec::new();
    for tool in chosen.into_iter().flatten().map(Builtin::tool) {
        let refused = offer.internal && memories::CHANGING.contains(&tool.name.as_str());
        if !refused && !tools.iter().any(|known| known.name == tool.name) {
            tools.push(tool);
        }
    }
    tools
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn categories_are_on_unless_switched_off() {
        let meta = json!({"builtinTools": {"time": false, "notes": true}, "capabilities": {"vision": false}});
        let offer = Offer {
            meta: &meta,
            features: &Value::Null,
            internal: false,
        };
        assert!(!offer.category("time") && offer.category("notes") && offer.category("chats"));
        assert!(!capability(&meta, "vision") && capability(&meta, "citations"));
        assert!(offer.features.is_null());
    }

    #[test]
    fn every_tool_is_described() {
        let tables = [
            time::TOOLS,
            questions::TOOLS,
            knowledge::BROWSING,
            knowledge::ATTACHED,
            chat_files::TOOLS,
            memories::TOOLS,
            web::TOOLS,
            chats::TOOLS,
            notes::TOOLS,
            channels::TOOLS,
            skills::TOOLS,
            tasks::TOOLS,
            automations::TOOLS,
            calendar::TOOLS,
            agents::WITH_BACKGROUND,
            agents::FOREGROUND,
            agents::TIMER,
            code::TOOLS,
            notify::TOOLS,
        ];
        for tool in tables.into_iter().flatten().map(Builtin::tool) {
            let properties = tool.spec["parameters"]["properties"].as_object().unwrap();
            assert!(
                tool.spec["description"].as_str().unwrap().ends_with('.'),
                "{}",
                tool.name
            );
            for (name, property) in properties {
                assert!(property["description"].is_string(), "{}.{name}", tool.name);
                assert!(property["type"].is_string(), "{}.{name}", tool.name);
            }
        }
    }
}
