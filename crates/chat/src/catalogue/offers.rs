//! Actions and filters that models offer: buttons below replies, and filters that users switch on.

use oui_models::{Db, DbResult};
use oui_plugins::Python;
use serde_json::{Value, json};

use crate::functions::{self, Function};

/// One function as models offer it.
pub(super) struct Offer {
    id: String,
    is_global: bool,
    items: Vec<Value>,
}

/// Everything that models may offer, in the order of the list.
#[derive(Default)]
pub(super) struct Offers {
    actions: Vec<Offer>,
    filters: Vec<Offer>,
}

impl Offers {
    /// Loads what is in use.
    pub(super) async fn load(db: &Db, python: &Python) -> DbResult<Self> {
        let mut actions = functions::active(db, python, "action").await?;
        let order = |function: &Function| function.priority(python);
        actions.sort_by(|a, b| {
            order(a)
                .total_cmp(&order(b))
                .then_with(|| a.row.id.cmp(&b.row.id))
        });
        let mut filters = functions::active(db, python, "filter").await?;
        filters.sort_by(|a, b| a.row.id.cmp(&b.row.id));
        Ok(Self {
            actions: actions
                .iter()
                .map(|function| offer(function, buttons(function)))
                .collect(),
            filters: filters
                .iter()
                .map(|function| offer(function, switch(function)))
                .collect(),
        })
    }

    /// Sets what one model offers: what is there for all models and what its settings name.
    pub(super) fn put_into(&self, model: &mut Value) {
        for (field, setting, offers) in [
            ("actions", "actionIds", &self.actions),
            ("filters", "filterIds", &self.filters),
        ] {
            let named = model.pointer(&format!("/info/meta/{setting}"));
            let named: Vec<&str> = named
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let chosen = offers
                .iter()
                .filter(|offer| offer.is_global || named.contains(&offer.id.as_str()));
            let items: Vec<Value> = chosen.flat_map(|offer| offer.items.iter().cloned()).collect();
            model[field] = Value::Array(items);
        }
    }
}

fn offer(function: &Function, items: Vec<Value>) -> Offer {
    Offer {
        id: function.row.id.clone(),
        is_global: function.row.is_global.unwrap_or(false),
        items,
    }
}

/// An action is one button, or several that it names itself.
fn buttons(function: &Function) -> Vec<Value> {
    let row = &function.row;
    let about = row.description();
    let name = row.name.as_deref().unwrap_or_default();
    match function.runner.facts().actions.as_array() {
        Some(several) => several
            .iter()
            .filter_map(|action| {
                let id = action.get("id")?.as_str()?;
                let icon = action.get("icon_url").cloned();
                Some(json!({
                    "id": format!("{}.{id}", row.id),
                    "name": action.get("name").cloned().unwrap_or_else(|| json!(format!("{name} ({id})"))),
                    "description": about, "icon": icon.unwrap_or_else(|| function.icon()),
                }))
            })
            .collect(),
        None => vec![json!({ "id": row.id, "name": name, "description": about, "icon": function.icon() })],
    }
}

/// A filter that users switch on is shown to them.
fn switch(function: &Function) -> Vec<Value> {
    let facts = function.runner.facts();
    if !facts.toggle {
        return Vec::new();
    }
    let row = &function.row;
    vec![json!({
        "id": row.id, "name": row.name, "description": row.description(), "icon": function.icon(),
        "has_user_valves": facts.has_user_valves,
    })]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_offer_what_is_there_for_all_and_what_they_name() {
        let offer = |id: &str, is_global| Offer {
            id: id.into(),
            is_global,
            items: vec![json!({ "id": id })],
        };
        let offers = Offers {
            actions: vec![offer("all", true), offer("named", false), offer("other", false)],
            filters: Vec::new(),
        };
        let mut model = json!({"info": {"meta": {"actionIds": ["named", "unheard_of"]}}});
        offers.put_into(&mut model);
        assert_eq!(model["actions"], json!([{"id": "all"}, {"id": "named"}]));
        assert_eq!(model["filters"], json!([]));
        let mut plain = json!({});
        offers.put_into(&mut plain);
        assert_eq!(plain["actions"], json!([{"id": "all"}]));
    }
}
