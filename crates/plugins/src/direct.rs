//! Tools of OpenAPI servers that only the user's browser can reach: the browser runs the call and sends the result.

use std::sync::Arc;

use async_trait::async_trait;
use oui_core::ids;
use serde_json::{Value, json};

use crate::tool::{Answer, Callable, Kind, Object, Tool, ToolContext};

struct InBrowser {
    name: String,
    server: Value,
}

/// The tools of a server as the browser describes it: `{url, specs, system_prompt, ...}`.
pub fn tools(server: &Value) -> Vec<Tool> {
    let mut described = server.as_object().cloned().unwrap_or_default();
    described.shift_remove("system_prompt");
    let specs = described.shift_remove("specs");
    let described = Value::Object(described);
    let id = described.get("url").and_then(Value::as_str).unwrap_or_default();
    let specs = specs.as_ref().and_then(Value::as_array).into_iter().flatten();
    let tool = |spec: &Value| {
        let name = spec.get("name")?.as_str()?.to_owned();
        Some(Tool {
            id: id.to_owned(),
            kind: Kind::Direct,
            spec: spec.clone().into(),
            callable: Arc::new(InBrowser {
                name: name.clone(),
                server: described.clone(),
            }),
            name,
        })
    };
    specs.filter_map(tool).collect()
}

#[async_trait]
impl Callable for InBrowser {
    async fn call(&self, context: &ToolContext, arguments: Object) -> Answer {
        let Some(session_id) = &context.session_id else {
            return Ok(json!("Error: the browser that has this tool is not connected."));
        };
        let request = json!({
            "id": ids::uuid(), "name": self.name, "params": arguments, "server": self.server,
            "session_id": session_id,
        });
        let answer = context.reporter.ask("execute:tool", request, None).await;
        Ok(answer.unwrap_or_else(|error| json!({ "error": error.to_string() })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_specification_is_a_tool() {
        let server = json!({"url": "http://localhost:1", "system_prompt": "x", "specs": [
            {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}, {"nameless": 1},
        ]});
        let found = tools(&server);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].kind), ("look", Kind::Direct));
    }
}
