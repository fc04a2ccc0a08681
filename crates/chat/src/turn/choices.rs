//! What a request says about tools and features. It is kept on a message that waits for the user, so that the run
//! can go on as it began.

use serde_json::{Map, Value, json};

use super::{Object, truthy};

/// What a resolved tool call lets go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// The calls that were approved.
    Tools,
    /// The model, now that every call has its result.
    Model,
}

/// Tools and features that were chosen.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Workspace tools and tool servers.
    pub tool_ids: Vec<String>,
    /// Tool servers that only the browser reaches, as it describes them.
    pub tool_servers: Vec<Value>,
    /// Skills.
    pub skill_ids: Vec<String>,
    /// Filters that have to be asked for.
    pub filter_ids: Vec<String>,
    /// Terminal.
    pub terminal_id: Option<String>,
    /// Switches such as `web_search` and `memory`.
    pub features: Object,
    /// Whether an automation asks, which nobody can be asked for.
    pub automated: bool,
    /// Whether the caller brings its own tools, so that none are added.
    pub own_tools: bool,
    /// Whether filters added tools that nobody here runs.
    pub filter_tools: bool,
    /// Options of models by their id.
    pub model_controls: Object,
}

/// Fields of a request that filters may change.
const SHOWN: &[&str] = &["tool_ids", "skill_ids", "terminal_id", "features"];

fn texts(body: &Object, name: &str) -> Vec<String> {
    let list = body.get(name).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

impl Choices {
    /// Reads the choices of a request.
    pub(super) fn read(body: &Object, controls: Option<Value>) -> Self {
        let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
        let text = |name: &str| {
            body.get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        Self {
            tool_ids: texts(body, "tool_ids"),
            tool_servers: body
                .get("tool_servers")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
            skill_ids: texts(body, "skill_ids"),
            filter_ids: texts(body, "filter_ids"),
            terminal_id: text("terminal_id").map(str::to_owned),
            features: object(body.get("features")),
            automated: text("automation_id").is_some(),
            own_tools: body.get("tools").is_some_and(|tools| !tools.is_null()),
            filter_tools: false,
            model_controls: object(controls.as_ref()),
        }
    }

    /// The choices as filters see them in a request; what was not chosen is not there.
    pub(crate) fn to_body(&self, files: Option<&Value>) -> Object {
        let mut shown = self.to_meta();
        shown.retain(|name, value| SHOWN.contains(&name.as_str()) && truthy(value));
        if let Some(files) = files {
            shown.insert("files".into(), files.clone());
        }
        shown
    }

    /// Takes the choices out of a request that went through filters.
    pub(crate) fn take_from(&mut self, body: &mut Object) {
        let read = Self::read(body, None);
        self.tool_ids = read.tool_ids;
        self.skill_ids = read.skill_ids;
        self.terminal_id = read.terminal_id;
        self.features = read.features;
        for name in SHOWN {
            body.shift_remove(*name);
        }
    }

    /// Whether a feature is switched on.
    pub fn feature(&self, name: &str) -> bool {
        self.features.get(name).is_some_and(truthy)
    }

    /// What of the choices is kept on a message that waits.
    pub(crate) fn to_meta(&self) -> Map<String, Value> {
        let servers = Some(&self.tool_servers).filter(|servers| !servers.is_empty());
        let mut meta = Map::new();
        for (name, value) in [
            ("tool_ids", json!(self.tool_ids)),
            ("skill_ids", json!(self.skill_ids)),
            ("terminal_id", json!(self.terminal_id)),
            ("tool_servers", json!(servers)),
            ("filter_ids", json!(self.filter_ids)),
            ("features", json!(self.features)),
        ] {
            meta.insert(name.to_owned(), value);
        }
        meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_means_nothing_chosen() {
        let body =
            json!({"tool_ids": null, "skill_ids": ["a", 1], "tools": null, "features": {"memory": true}});
        let choices = Choices::read(body.as_object().unwrap(), None);
        assert!(choices.tool_ids.is_empty() && !choices.own_tools && choices.feature("memory"));
        assert_eq!(choices.skill_ids, ["a"]);
        let meta = choices.to_meta();
        assert_eq!(
            (&meta["tool_servers"], &meta["terminal_id"]),
            (&Value::Null, &Value::Null)
        );
        let own = Choices::read(json!({"tools": []}).as_object().unwrap(), None);
        assert!(own.own_tools);
    }
}
