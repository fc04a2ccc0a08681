//! The list of models as it goes over the wire. Every page load asks for it, so the finished bytes are kept
//! for each set of models that somebody sees.

use oui_core::boxed;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use oui_config::ui;
use oui_core::{ApiError, ApiResult};
use oui_models::users::UserRow;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Catalogue, Model, Models, tags};

/// Most sets of visible models to keep; groups with rights of their own are few.
const MAX_KEPT: usize = 256;

/// Finished lists over one set of models and one order.
#[derive(Default)]
pub(super) struct Listings(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    of: Option<(Arc<Models>, Value)>,
    /// By the ids that are seen.
    bodies: HashMap<Vec<bool>, Bytes>,
}

impl Listings {
    fn get(&self, models: &Arc<Models>, order: &Value, seen: &[bool]) -> Option<Bytes> {
        let mut kept = self.0.lock();
        let same = kept
            .of
            .as_ref()
            .is_some_and(|(of, kept)| Arc::ptr_eq(of, models) && kept == order);
        if !same {
            *kept = Kept {
                of: Some((models.clone(), order.clone())),
                bodies: HashMap::new(),
            };
        }
        kept.bodies.get(seen).cloned()
    }

    fn put(&self, models: &Arc<Models>, order: &Value, seen: Vec<bool>, body: Bytes) {
        let mut kept = self.0.lock();
        let same = kept
            .of
            .as_ref()
            .is_some_and(|(of, kept)| Arc::ptr_eq(of, models) && kept == order);
        if same && kept.bodies.len() < MAX_KEPT {
            kept.bodies.insert(seen, body);
        }
    }
}

impl Catalogue {
    /// `{"data": [...]}` with the models that the user sees, in the administrator's order.
    #[boxed]
    pub async fn listing(&self, user: &UserRow, models: &Arc<Models>) -> ApiResult<Bytes> {
        let snapshot = self.config.snapshot();
        let order = snapshot
            .value(ui::MODEL_ORDER_LIST.path())
            .unwrap_or(&Value::Null);
        let seen = self.sees(user, models).await?;
        if let Some(body) = self.listings.get(models, order, &seen) {
            return Ok(body);
        }
        let visible = models
            .values()
            .zip(&seen)
            .filter(|(_, seen)| **seen)
            .map(|(model, _)| model);
        let body =
            serde_json::to_vec(&json!({ "data": entries(visible, order) })).map_err(ApiError::internal)?;
        let body = Bytes::from(body);
        self.listings.put(models, order, seen, body.clone());
        Ok(body)
    }
}

fn entries<'m>(models: impl Iterator<Item = &'m Arc<Model>>, order: &Value) -> Vec<Value> {
    let is_filter = |model: &Model| model.json["pipeline"]["type"] == "filter";
    let mut entries: Vec<Value> = models
        .filter(|model| !is_filter(model))
        .map(|model| entry(model))
        .collect();
    let order = order.as_array().map(Vec::as_slice).unwrap_or_default();
    if !order.is_empty() {
        let place: HashMap<&str, usize> = order
            .iter()
            .enumerate()
            .filter_map(|(index, id)| Some((id.as_str()?, index)))
            .collect();
        let text = |model: &Value, name: &str| model[name].as_str().unwrap_or_default().to_owned();
        entries.sort_by_cached_key(|model| {
            let place = place
                .get(text(model, "id").as_str())
                .copied()
                .unwrap_or(usize::MAX);
            (place, text(model, "name"))
        });
    }
    entries
}

/// A model without its picture, which has a route of its own, and with the tags of model and connection.
fn entry(model: &Model) -> Value {
    let mut json = model.json.clone();
    let meta = json
        .get_mut("info")
        .and_then(|info| info.get_mut("meta"))
        .and_then(Value::as_object_mut);
    let mut own = None;
    if let Some(meta) = meta {
        meta.shift_remove("profile_image_url");
        if let Some(listed) = meta.get_mut("tags") {
            *listed = Value::Array(tags(&[Some(&*listed)]));
            own = Some(listed.clone());
        }
    }
    json["tags"] = Value::Array(tags(&[own.as_ref(), model.json.get("tags")]));
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(json: Value) -> Arc<Model> {
        let id = json["id"].as_str().unwrap().to_owned();
        Arc::new(Model {
            id,
            json,
            registered: None,
        })
    }

    #[test]
    fn pictures_are_left_out_and_tags_are_joined() {
        let shown = entry(&model(json!({
            "id": "a", "tags": [{"name": "x"}, "y"],
            "info": {"meta": {"profile_image_url": "data:", "tags": ["z", {"name": " x "}]}},
        })));
        assert_eq!(
            shown["info"]["meta"],
            json!({"tags": [{"name": "z"}, {"name": "x"}]})
        );
        assert_eq!(
            shown["tags"],
            json!([{"name": "z"}, {"name": "x"}, {"name": "y"}])
        );
    }

    #[test]
    fn listed_models_come_first_and_the_rest_by_name() {
        let models = ["a", "b", "c", "d"].map(|id| model(json!({"id": id, "name": id.to_uppercase()})));
        let filter = model(json!({"id": "f", "pipeline": {"type": "filter"}}));
        let all = models.iter().rev().chain([&filter]);
        let ids = |order: Value| {
            let entries = entries(all.clone(), &order);
            entries
                .iter()
                .map(|entry| entry["id"].as_str().unwrap().to_owned())
                .collect::<String>()
        };
        assert_eq!(ids(json!(["c", "gone", "b"])), "cbad");
        assert_eq!(ids(json!([])), "dcba");
    }
}
