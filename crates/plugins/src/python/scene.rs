//! What plugins get to see of a run: the parameters that the server fills in where a method has them.

use oui_models::users::UserRow;
use oui_plugin_host::Facts;
use oui_providers::CallContext;
use serde_json::{Value, json};

use crate::tool::Object;

/// Values by the name of the parameter, such as `__user__`.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    values: Object,
    request: Value,
}

impl Scene {
    /// A scene with the account and its request.
    pub fn new(user: &UserRow, call: &CallContext, base_url: &str) -> Self {
        let mut headers = Object::new();
        if let Some(agent) = &call.user_agent {
            headers.insert("user-agent".into(), json!(agent));
        }
        if let Some(token) = &call.session_token {
            let bearer = format!("Bearer {}", token.expose());
            headers.insert("authorization".into(), json!(bearer));
        }
        let cookies: Object = call
            .cookies
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let oauth = call
            .oauth_token
            .as_ref()
            .map(|token| json!({ "access_token": token.expose() }));
        let mut scene = Self {
            values: Object::new(),
            request: json!({ "method": "POST", "base_url": base_url, "headers": headers, "cookies": cookies }),
        };
        scene.set("__user__", user.to_json());
        scene.set("__oauth_token__", json!(oauth));
        scene
    }

    /// Sets a parameter.
    pub fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The same scene with one parameter more.
    #[must_use]
    pub fn with(&self, name: &str, value: Value) -> Self {
        let mut scene = self.clone();
        scene.set(name, value);
        scene
    }

    /// The question for a call of a method: what it takes of the scene, and of `more` in place of that.
    pub(super) fn question(&self, facts: &Facts, method: &str, more: &Object) -> Object {
        let mut extra = Object::new();
        for (name, value) in self.values.iter().chain(more) {
            if facts.takes(method, name) {
                extra.insert(name.clone(), value.clone());
            }
        }
        let mut question = Object::new();
        question.insert("extra".into(), Value::Object(extra));
        question.insert("emits".into(), json!(true));
        question.insert("asks".into(), json!(true));
        if facts.takes(method, "__request__") {
            question.insert("request".into(), self.request.clone());
        }
        question
    }
}
