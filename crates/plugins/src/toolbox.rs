//! The tools of one run by name, in the order in which the model sees them.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::tool::Tool;

/// Tools by name.
#[derive(Clone, Default)]
pub struct Toolbox {
    tools: IndexMap<String, Tool>,
}

/// The server or workspace tool that an id names.
fn origin(id: &str) -> &str {
    let Some(server) = id.strip_prefix("server:") else {
        return id;
    };
    let server = server.strip_prefix("openapi:").unwrap_or(server);
    server.split('|').next().unwrap_or(server)
}

impl Toolbox {
    /// Adds a tool of a server. Where the name is taken, the later tool gets its origin before its name.
    pub fn add(&mut self, mut tool: Tool) {
        if self.tools.contains_key(&tool.name) {
            tool.name = format!("{}_{}", origin(&tool.id), tool.name);
        }
        self.put(tool);
    }

    /// Adds a tool in place of one with the same name.
    pub fn put(&mut self, mut tool: Tool) {
        if tool.spec["name"] != tool.name.as_str()
            && let Some(spec) = Arc::make_mut(&mut tool.spec).as_object_mut()
        {
            spec.insert("name".into(), tool.name.clone().into());
        }
        self.tools.insert(tool.name.clone(), tool);
    }

    /// Adds a tool unless the name is taken.
    pub fn add_missing(&mut self, tool: Tool) {
        if !self.tools.contains_key(&tool.name) {
            self.put(tool);
        }
    }

    /// The tool with this name.
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.tools.get(name)
    }

    /// All tools.
    pub fn iter(&self) -> impl Iterator<Item = &Tool> {
        self.tools.values()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use serde_json::{Value, json};

    use super::*;
    use crate::tool::{Answer, Callable, Kind, Object, ToolContext};

    struct Silent;

    #[async_trait]
    impl Callable for Silent {
        async fn call(&self, _: &ToolContext, _: Object) -> Answer {
            Ok(Value::Null)
        }
    }

    fn tool(id: &str, name: &str) -> Tool {
        Tool {
            name: name.into(),
            id: id.into(),
            kind: Kind::Server,
            spec: Arc::new(json!({"name": name})),
            callable: Arc::new(Silent),
        }
    }

    #[test]
    fn names_that_are_taken_get_their_origin() {
        let mut tools = Toolbox::default();
        tools.add(tool("a", "search"));
        tools.add(tool("b", "search"));
        tools.add(tool("server:openapi:d|search,find", "search"));
        tools.add_missing(tool("c", "search"));
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["search", "b_search", "d_search"]);
        assert_eq!(tools.get("b_search").unwrap().spec["name"], "b_search");
    }
}
