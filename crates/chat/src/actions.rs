//! Actions: functions that a button below a reply calls.

use oui_core::boxed;
use oui_core::{ApiError, ApiResult};
use oui_models::functions as rows;
use oui_plugins::call;
use oui_plugins::python;
use serde_json::{Value, json};

use crate::catalogue::Model;
use crate::engine::Engine;
use crate::functions;
use crate::scene;
use crate::turn::{Object, RunUser};

/// A field that has to be there; when it is missing the reference names only the field.
fn field(body: &Object, name: &str) -> ApiResult<Value> {
    let value = body.get(name).cloned();
    value.ok_or_else(|| ApiError::bad_request(format!("'{name}'")))
}

impl Engine {
    /// Calls an action for a message. `id` is its id, with the id of one of its buttons behind a point; `direct` is the
    /// model of the browser's own connection, if it is one.
    #[boxed]
    pub async fn act(
        &self,
        user: &RunUser,
        id: &str,
        direct: Option<&Value>,
        body: Object,
    ) -> ApiResult<Value> {
        if !self.settings.plugins.functions() {
            return Err(ApiError::bad_request(
                "Functions are disabled by ENABLE_PLUGINS or ENABLE_FUNCTIONS",
            ));
        }
        let (id, button) = match id.split_once('.') {
            Some((id, button)) => (id, Some(button)),
            None => (id, None),
        };
        let row = rows::by_id(&self.db, id).await?;
        let row = row.ok_or_else(|| ApiError::bad_request(format!("Action not found: {id}")))?;
        let models = self.catalogue.known(&user.call).await?;
        let model_id = field(&body, "model")?;
        let model_id = model_id.as_str().unwrap_or_default();
        let direct = direct.and_then(Model::direct);
        let model = match &direct {
            Some(direct) => Some(direct).filter(|direct| direct.id == model_id),
            None => models.get(model_id),
        };
        let model = model.ok_or_else(|| ApiError::bad_request("Model not found"))?;
        let unavailable = || ApiError::bad_request(format!("Action not available: {id}"));
        if row.kind.as_deref() != Some("action") || !row.is_active.unwrap_or(false) {
            return Err(unavailable());
        }
        if direct.is_none() && user.user.role != oui_access::ADMIN {
            if !self.catalogue.may_use(&user.user, model).await? {
                return Err(ApiError::bad_request("Model not found"));
            }
            let offered = model.json["actions"].as_array().into_iter().flatten();
            let mut ids = offered.filter_map(|action| action["id"].as_str()?.split('.').next());
            if !ids.any(|offered| offered == id) {
                return Err(unavailable());
            }
        }
        let (chat, message, session) = (
            field(&body, "chat_id")?,
            field(&body, "id")?,
            field(&body, "session_id")?,
        );
        let reporter = self.reporter(&user.user.id, chat.as_str(), message.as_str(), session.as_str());
        let mut scene = scene::of_user(self, user, Some(model));
        scene.set("__id__", json!(button.unwrap_or(id)));
        let mut given = Object::new();
        given.insert("body".into(), Value::Object(body.clone()));
        let failed = |text: String| ApiError::bad_request(format!("Error: {text}"));
        let function = functions::load(&self.db, &self.python, row).await?;
        let function = function.ok_or_else(|| failed("the action cannot be loaded".into()))?;
        if !function.has("action") {
            return Ok(Value::Object(body));
        }
        let target = functions::target(&function.row, &user.user);
        let none = Object::new();
        let call = self.python.begin(&target, "action", given, &scene, &none).await;
        let call = call.map_err(|problem| failed(problem.to_string()))?;
        let answer = python::answer(call, &reporter).await;
        let answer = answer.map_err(|problem| failed(problem.to_string()))?;
        let (answer, pages) = call::shown_pages(answer);
        if !pages.is_empty() {
            let event = json!({ "type": "embeds", "data": { "embeds": pages } });
            oui_plugins::Reporter::relay(&reporter, &event).await;
        }
        Ok(answer)
    }
}
