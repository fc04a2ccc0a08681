//! What an account can reach in the workspace.

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::groups::{GroupRow, membership};
use oui_models::users;
use oui_models::users::preview::{KNOWLEDGE, MODELS, TOOLS, reachable};
use oui_web::{Admin, Caller};
use serde_json::{Value, json};

/// Fields of the answer and the kind of item that each lists.
const KINDS: &[(&str, users::preview::Kind)] =
    &[("models", MODELS), ("knowledge", KNOWLEDGE), ("tools", TOOLS)];

pub(super) async fn preview(caller: Caller<Admin>, Path(user_id): Path<String>) -> ApiResult<Json<Value>> {
    let db = caller.db();
    let user = users::by_id(db, &user_id)
        .await?
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    let membership = membership(db, &user_id).await?;
    let mut body = json!({
        "user": { "id": user.id, "name": user.name },
        "groups": membership.groups.iter().map(GroupRow::reference_json).collect::<Vec<_>>(),
    });
    for (name, kind) in KINDS {
        let (items, total) = reachable(db, *kind, &user_id, &membership).await?;
        let items: Vec<Value> = items
            .iter()
            .map(|(id, name)| json!({ "id": id, "name": name }))
            .collect();
        body[*name] = json!({ "items": items, "total": total });
    }
    Ok(Json(body))
}
