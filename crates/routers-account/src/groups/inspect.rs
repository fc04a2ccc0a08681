//! Who is in a group and what its members can reach, for an administrator who wants to know.

use axum::Json;
use axum::extract::Path;
use oui_access::Permissions;
use oui_config::users as user_keys;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field, choice, form, messages};
use oui_models::groups::inspect::{self, Which};
use oui_models::groups::{self, Membership};
use oui_models::users::preview::{KNOWLEDGE, MODELS, TOOLS, reachable};
use oui_web::{Admin, Caller, Query};
use serde_json::{Value, json};

const PAGE_SIZE: i64 = 30;

choice! {
    enum Shown { Direct = "direct", Inherited = "inherited", Effective = "effective" }
}

/// A page, counted from 1.
#[derive(Debug, Clone, Copy)]
struct Page(i64);

impl Field for Page {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let page = i64::parse(input, issues)?;
        if page < 1 {
            issues.push_ctx(
                "greater_than_equal",
                "Input should be greater than or equal to 1",
                input,
                json!({ "ge": 1 }),
            );
            return None;
        }
        Some(Self(page))
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 1 })
    }
}

form! {
    pub(super) struct MembersQuery {
        membership: Shown = Shown::Effective,
        query: String = String::new(),
        page: Page = Page(1),
    }
}

/// The members of a group and of the groups below it.
pub(super) async fn members(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Query(query): Query<MembersQuery>,
) -> ApiResult<Json<Value>> {
    if groups::by_id(caller.db(), &id).await?.is_none() {
        return Err(ApiError::not_found("Group not found."));
    }
    let which = match query.membership {
        Shown::Direct => Which::Direct,
        Shown::Inherited => Which::Inherited,
        Shown::Effective => Which::Effective,
    };
    let window = ((query.page.0 - 1).saturating_mul(PAGE_SIZE), PAGE_SIZE);
    let found = inspect::members(caller.db(), &id, which, &query.query, window).await?;
    let items: Vec<Value> = found
        .users
        .iter()
        .map(|(user, groups)| {
            let direct = groups.contains(&id);
            let via: Vec<&String> = groups.iter().filter(|group| **group != id).collect();
            json!({
                "status_emoji": null, "status_message": null, "status_expires_at": null,
                "id": user.id, "name": user.name, "email": user.email, "role": user.role,
                "bio": null, "last_active_at": null, "timezone": null, "groups": [], "is_active": false,
                "membership_type": if direct { "direct" } else { "inherited" },
                "via_group_ids": via,
            })
        })
        .collect();
    Ok(Json(json!({
        "items": items,
        "total": found.total,
        "counts": {
            "direct": found.direct,
            "effective": found.effective,
            "inherited": found.effective - found.direct,
        },
    })))
}

/// What a member of the group can reach, and what of it comes from the groups above.
pub(super) async fn preview(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let db = caller.db();
    let group = groups::by_id(db, &id)
        .await?
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    let chain = inspect::with_ancestors(db, group.clone()).await?;
    let config = &caller.app().config;
    let stored = config.get(&user_keys::USER_PERMISSIONS);
    let defaults = config.environment_value(&user_keys::USER_PERMISSIONS);
    let above = Membership {
        groups: chain.groups.iter().skip(1).cloned().collect(),
    };
    let tree = |membership: &Membership| Permissions::effective(&stored, &defaults, membership).to_json();
    let (effective_models, source) = match chain.default_models() {
        Some((models, source)) => (models, Some(source.to_owned())),
        None => (server_models(config.value("ui.default_models")), None),
    };
    let local = Membership {
        groups: vec![group.clone()],
    };
    let mut body = json!({
        "group": group.reference_json(),
        "default_models": {
            "local": local.default_models().map(|(models, _)| models),
            "effective": effective_models,
            "source_group_id": source,
        },
        "permissions": group.permissions.clone().filter(Value::is_object).unwrap_or_else(|| json!({})),
        "inherited_permissions": tree(&above),
        "effective_permissions": tree(&chain),
    });
    for (name, kind) in [("models", MODELS), ("knowledge", KNOWLEDGE), ("tools", TOOLS)] {
        // Nobody in particular: only what grants open to the groups or to everybody.
        let (items, total) = reachable(db, kind, "", &chain).await?;
        let items: Vec<Value> = items
            .iter()
            .map(|(id, name)| json!({ "id": id, "name": name }))
            .collect();
        body[name] = json!({ "items": items, "total": total });
    }
    Ok(Json(body))
}

/// The server's own default models, kept as a text with commas.
fn server_models(stored: Option<Value>) -> Vec<String> {
    let text = stored.as_ref().and_then(Value::as_str).unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|model| !model.is_empty())
        .map(str::to_owned)
        .collect()
}
