//! `/api/v1/groups`: groups of accounts, their members and what they permit.

mod inspect;

use axum::Json;
use axum::extract::Path;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field, form, messages};
use oui_models::groups::list::{Counted, Scope, list, member_ids, one};
use oui_models::groups::{self, GroupChange, GroupRefusal, NewGroup};
use oui_models::users::{self, UserRow};
use oui_web::{Admin, Area, Body, Caller, Query, Verified, endpoints};
use serde_json::{Map, Value, json};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "groups" at "/api/v1/groups";
        GET    "/"                     Verified => index,
        POST   "/create"               Admin    => create,
        GET    "/id/{id}"              Admin    => show,
        GET    "/id/{id}/info"         Verified => info,
        GET    "/id/{id}/export"       Admin    => export,
        POST   "/id/{id}/users"        Admin    => members,
        POST   "/id/{id}/update"       Admin    => update,
        POST   "/id/{id}/users/add"    Admin    => add_members,
        POST   "/id/{id}/users/remove" Admin    => remove_members,
        DELETE "/id/{id}/delete"       Admin    => remove,
        GET    "/id/{id}/preview"      Admin    => inspect::preview,
        GET    "/id/{id}/members"      Admin    => inspect::members,
    }
}

form! {
    struct IndexQuery {
        share: Option<bool>,
    }
}

form! {
    /// A group as the administration sends it.
    struct GroupForm {
        name: String,
        description: String,
        permissions: Option<Map<String, Value>>,
        data: Option<GroupData>,
        parent_group_id: Option<String>,
    }
}

form! {
    struct UserIdsForm {
        user_ids: Option<Vec<String>>,
    }
}

/// `{config: {share, default_models, ...}, ...}` with trimmed default models, each once.
#[derive(Debug, Clone)]
struct GroupData(Map<String, Value>);

impl Field for GroupData {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let mut data = Map::parse(input, issues)?;
        if let Some(config) = data.get_mut("config")
            && let Err(problem) = trim_default_models(config)
        {
            issues.push_ctx(
                "value_error",
                format!("Value error, {problem}"),
                input,
                json!({ "error": {} }),
            );
            return None;
        }
        Some(Self(data))
    }

    fn schema() -> Value {
        Map::schema()
    }
}

fn trim_default_models(config: &mut Value) -> Result<(), &'static str> {
    const BAD: &str = "Default models must be a list of non-empty model IDs.";
    let config = config.as_object_mut().ok_or("Group config must be an object.")?;
    let Some(models) = config.get("default_models").filter(|models| !models.is_null()) else {
        return Ok(());
    };
    let mut kept: Vec<Value> = Vec::new();
    for model in models.as_array().ok_or(BAD)? {
        let model = model
            .as_str()
            .map(str::trim)
            .filter(|model| !model.is_empty())
            .ok_or(BAD)?;
        if !kept.iter().any(|other| other == model) {
            kept.push(model.into());
        }
    }
    config.insert("default_models".into(), Value::Array(kept));
    Ok(())
}

fn refused(refusal: GroupRefusal) -> ApiError {
    match refusal {
        GroupRefusal::Missing => ApiError::not_found("Group not found."),
        GroupRefusal::ParentMissing => ApiError::not_found("Parent group not found."),
        GroupRefusal::ParentEmpty => ApiError::bad_request("Parent group must be a group ID or null."),
        GroupRefusal::Cycle => {
            ApiError::bad_request("A group cannot be its own parent or a descendant of itself.")
        }
    }
}

/// Lets the browsers of users whose access changed ask anew.
async fn refresh(caller: &Caller<Admin>, user_ids: &[String]) {
    for id in user_ids {
        caller.app().emitter.disconnect_user(id, true).await;
    }
}

async fn found<R: oui_web::Role>(caller: &Caller<R>, id: &str) -> ApiResult<Counted> {
    one(caller.db(), id)
        .await?
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))
}

/// All groups for administrators; for others their own, or those they may (or may not) share with.
async fn index(caller: Caller<Verified>, Query(query): Query<IndexQuery>) -> ApiResult<Json<Value>> {
    let scope = match query.share {
        _ if caller.is_admin() => Scope::All,
        None => Scope::Of(caller.id()),
        Some(true) => Scope::ShareableBy(caller.id()),
        Some(false) => Scope::ClosedToSharing,
    };
    Ok(Json(
        list(caller.db(), scope)
            .await?
            .iter()
            .map(Counted::to_json)
            .collect(),
    ))
}

async fn create(caller: Caller<Admin>, Body { form, .. }: Body<GroupForm>) -> ApiResult<Json<Value>> {
    let mut data = form.data.map(|data| data.0).unwrap_or_default();
    let config = data.entry("config").or_insert_with(|| json!({}));
    if let Some(config) = config.as_object_mut() {
        let share = caller.app().settings.access.group_share;
        config.entry("share").or_insert_with(|| share.to_value());
    }
    let new = NewGroup {
        name: form.name,
        description: form.description,
        data: Some(Value::Object(data)),
        permissions: form.permissions.map(Value::Object),
        parent_group_id: form.parent_group_id,
    };
    let group = groups::insert(caller.db(), caller.id(), new)
        .await?
        .map_err(refused)?;
    let notice = caller.notice("group.created").about(group.id.as_str());
    caller.publish(notice.with(json!({ "name": group.name })));
    Ok(Json(Counted { group, members: 0 }.to_json()))
}

async fn show(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    Ok(Json(found(&caller, &id).await?.to_json()))
}

/// What everybody may know of a group.
async fn info(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let mut json = found(&caller, &id).await?.to_json();
    if let Some(object) = json.as_object_mut() {
        object.retain(|name, _| !matches!(name.as_str(), "data" | "meta" | "permissions"));
    }
    Ok(Json(json))
}

async fn export(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let mut json = found(&caller, &id).await?.to_json();
    json["user_ids"] = json!(member_ids(caller.db(), &id).await?);
    Ok(Json(json))
}

async fn members(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let ids = member_ids(caller.db(), &id).await?;
    let users = users::by_ids(caller.db(), &ids).await?;
    Ok(Json(users.iter().map(UserRow::info_json).collect()))
}

async fn update(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Body { form, raw }: Body<GroupForm>,
) -> ApiResult<Json<Value>> {
    let change = GroupChange {
        name: Some(form.name),
        description: Some(form.description),
        data: form.data.map(|data| data.0),
        permissions: form.permissions.map(Value::Object),
        parent_group_id: raw.get("parent_group_id").map(|_| form.parent_group_id),
    };
    let done = groups::update(caller.db(), &id, change).await?.map_err(refused)?;
    refresh(&caller, &done.affected).await;
    let group = found(&caller, &id).await?;
    let notice = caller.notice("group.updated").about(id.as_str());
    caller.publish(notice.with(json!({
        "name": group.group.name, "old_parent_group_id": done.old_parent, "parent_group_id": done.parent,
    })));
    Ok(Json(group.to_json()))
}

async fn add_members(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Body { form, .. }: Body<UserIdsForm>,
) -> ApiResult<Json<Value>> {
    let ids = form.user_ids.unwrap_or_default();
    let new = groups::add_members(caller.db(), &id, &ids)
        .await?
        .map_err(refused)?;
    refresh(&caller, &new).await;
    let notice = caller.notice("group.member_added").about(id.as_str());
    caller.publish(notice.with(json!({ "user_ids": ids })));
    Ok(Json(found(&caller, &id).await?.to_json()))
}

async fn remove_members(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Body { form, .. }: Body<UserIdsForm>,
) -> ApiResult<Json<Value>> {
    let ids = form.user_ids.unwrap_or_default();
    let gone = groups::remove_members(caller.db(), &id, &ids)
        .await?
        .map_err(refused)?;
    refresh(&caller, &gone).await;
    let notice = caller.notice("group.member_removed").about(id.as_str());
    caller.publish(notice.with(json!({ "user_ids": ids })));
    Ok(Json(found(&caller, &id).await?.to_json()))
}

async fn remove(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<bool>> {
    let done = groups::remove(caller.db(), &id).await?.map_err(refused)?;
    refresh(&caller, &done.affected).await;
    let news = json!({ "parent_group_id": done.parent, "promoted_child_ids": done.promoted });
    caller.tell("group.deleted", id.as_str(), news);
    for child in done.promoted {
        let news = json!({ "old_parent_group_id": id, "parent_group_id": done.parent });
        caller.tell("group.updated", child, news);
    }
    Ok(Json(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_models_are_trimmed_and_checked() {
        let mut issues = Issues::at("body");
        let mut read = |data: Value| GroupData::parse(&data, &mut issues).map(|data| Value::Object(data.0));
        assert_eq!(
            read(json!({"config": {"default_models": [" a ", "b", "a"], "x": 1}})),
            Some(json!({"config": {"default_models": ["a", "b"], "x": 1}}))
        );
        assert_eq!(
            read(json!({"config": {"default_models": null}})),
            Some(json!({"config": {"default_models": null}}))
        );
        assert_eq!(read(json!({"config": {"default_models": [""]}})), None);
        assert_eq!(read(json!({"config": []})), None);
        assert_eq!(
            issues.into_found()[1]["msg"],
            "Value error, Group config must be an object."
        );
    }
}
