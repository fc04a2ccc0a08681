//! Workspace tools: which methods of a source a model may call, and their calls.

use oui_core::boxed;
use std::sync::Arc;

use async_trait::async_trait;
use oui_core::{ApiError, ApiResult};
use oui_models::shared::{self, Reader};
use oui_models::tools::{self as rows, ToolRow};
use oui_plugin_host::{Facts, Plugin};
use serde_json::{Value, json};

use super::{Target, answer};
use crate::tool::{Answer, Callable, Kind, Object, Tool, ToolContext, ToolError};

/// A loaded source with its settings.
struct Source {
    row: ToolRow,
    valves: Option<String>,
    takes_messages: Vec<String>,
}

impl Source {
    fn plugin(&self) -> Plugin<'_> {
        Plugin {
            is_tool: true,
            id: &self.row.id,
            source: self.row.content.as_deref().unwrap_or_default(),
        }
    }
}

struct Method {
    name: String,
    source: Arc<Source>,
}

#[async_trait]
impl Callable for Method {
    async fn call(&self, context: &ToolContext, arguments: Object) -> Answer {
        let source = &self.source;
        let target = Target {
            plugin: source.plugin(),
            valves: source.valves.as_deref(),
            user: &context.user,
        };
        let mut more = Object::new();
        more.insert("__id__".into(), json!(source.row.id));
        if source.takes_messages.contains(&self.name) {
            more.insert("__messages__".into(), context.messages.lock().clone());
        }
        let failed = |problem: oui_plugin_host::HostProblem| ToolError::new(problem.to_string());
        let call = context
            .python
            .begin(&target, &self.name, arguments, &context.scene, &more)
            .await
            .map_err(failed)?;
        answer(call, &*context.reporter).await.map_err(failed)
    }

    fn reads_messages(&self) -> bool {
        self.source.takes_messages.contains(&self.name)
    }
}

/// The tools of one chosen source; none when it is not there or not open to the account. An error when it cannot be
/// loaded.
#[boxed]
pub async fn of(id: &str, context: &ToolContext) -> ApiResult<Vec<Tool>> {
    let Some(entry) = shared::get::<ToolRow>(&context.db, id).await? else {
        return Ok(Vec::new());
    };
    let reader = Reader {
        sees_all: context.is_admin() && context.settings.access.admin_bypass,
        ..context.reader()
    };
    if !entry.permits(&reader, "read") {
        tracing::warn!(
            id,
            user_id = context.user.id,
            "a tool that was chosen is not open to the user"
        );
        return Ok(Vec::new());
    }
    let mut source = Source {
        valves: rows::valves(&context.db, id).await?,
        row: entry.row,
        takes_messages: Vec::new(),
    };
    let runner = context.python.runner(source.plugin()).await;
    let runner = runner.map_err(|problem| ApiError::bad_request(problem.to_string()))?;
    let facts = runner.facts();
    let methods = facts.methods.keys();
    source.takes_messages = methods
        .filter(|name| facts.takes(name, "__messages__"))
        .cloned()
        .collect();
    let specs: Value = source
        .row
        .specs
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let source = Arc::new(source);
    let tools = specs.as_array().into_iter().flatten().filter_map(|spec| {
        let name = spec.get("name")?.as_str()?.to_owned();
        Some(Tool {
            id: source.row.id.clone(),
            kind: Kind::Python,
            spec: present(spec, &name, facts).into(),
            callable: Arc::new(Method {
                name: name.clone(),
                source: source.clone(),
            }),
            name,
        })
    });
    Ok(tools.collect())
}

/// A stored specification as models get it: without the parameters that the server fills in, and with the words of the
/// present docstring.
fn present(stored: &Value, name: &str, facts: &Facts) -> Value {
    let mut spec = stored.clone();
    let properties = spec
        .pointer_mut("/parameters/properties")
        .and_then(Value::as_object_mut);
    if let Some(properties) = properties {
        properties.retain(|name, _| !name.starts_with("__"));
        for property in properties.values_mut() {
            if property["type"] == "str" {
                property["type"] = json!("string");
            }
        }
    }
    let doc = facts.methods.get(name).and_then(|method| method.doc.as_deref());
    let about = match doc.filter(|doc| !doc.trim().is_empty()) {
        Some(doc) => {
            let ends = [":param", ":return"].iter().filter_map(|mark| doc.find(mark));
            &doc[..ends.min().unwrap_or(doc.len())]
        }
        None => name,
    };
    spec["description"] = json!(about);
    spec
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn models_see_only_their_parameters() {
        let method = oui_plugin_host::Method {
            parameters: Vec::new(),
            doc: Some("Tells.\n:param city: Name.".into()),
        };
        let facts = Facts {
            methods: HashMap::from([("weather".to_owned(), method)]),
            ..Facts::default()
        };
        let stored = json!({"name": "weather", "description": "old", "parameters": {"type": "object", "required": ["city"],
            "properties": {"city": {"type": "str"}, "__user__": {"type": "object"}}}});
        let spec = present(&stored, "weather", &facts);
        assert_eq!(spec["description"], "Tells.\n");
        assert_eq!(
            spec["parameters"]["properties"],
            json!({"city": {"type": "string"}})
        );
        assert_eq!(present(&stored, "other", &facts)["description"], "other");
    }
}
