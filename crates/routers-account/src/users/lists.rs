//! Lists of accounts, and what accounts see of each other.

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiResult, form};
use oui_models::groups::{self, GroupRow};
use oui_models::users::list::{Listing, UserPage, list};
use oui_models::users::{self, UserRow};
use oui_models::{Db, groups::list::ids_by_user};
use oui_web::{Admin, Caller, Query, Verified};
use serde_json::{Value, json};

use super::unknown_user;

/// Accounts on a page.
const PAGE: i64 = 30;

form! {
    /// How to list.
    pub(super) struct ListQuery {
        query: Option<String>,
        order_by: Option<String>,
        direction: Option<String>,
        page: Option<i64> = Some(1),
    }
}

form! {
    pub(super) struct GroupsQuery {
        include_inherited: bool = false,
    }
}

async fn listed(db: &Db, query: &ListQuery) -> ApiResult<UserPage> {
    let skip = query
        .page
        .unwrap_or(1)
        .max(1)
        .saturating_sub(1)
        .saturating_mul(PAGE);
    let listing = Listing {
        query: query.query.as_deref(),
        order_by: query.order_by.as_deref(),
        ascending: query.direction.as_deref() == Some("asc"),
        page: Some((skip, PAGE)),
    };
    Ok(list(db, &listing).await?)
}

fn infos(page: &UserPage) -> Json<Value> {
    let users: Vec<Value> = page.users.iter().map(UserRow::info_json).collect();
    Json(json!({ "users": users, "total": page.total }))
}

pub(super) async fn page(caller: Caller<Admin>, Query(query): Query<ListQuery>) -> ApiResult<Json<Value>> {
    let page = listed(caller.db(), &query).await?;
    let ids: Vec<String> = page.users.iter().map(|user| user.id.clone()).collect();
    let groups = ids_by_user(caller.db(), &ids).await?;
    let users: Vec<Value> = page
        .users
        .iter()
        .map(|user| {
            let mut json = user.to_json();
            json["group_ids"] = json!(groups.get(&user.id).map_or(&[][..], Vec::as_slice));
            json
        })
        .collect();
    Ok(Json(json!({ "users": users, "total": page.total })))
}

pub(super) async fn everybody(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    Ok(infos(&list(caller.db(), &Listing::default()).await?))
}

pub(super) async fn search(
    caller: Caller<Verified>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Value>> {
    Ok(infos(&listed(caller.db(), &query).await?))
}

pub(super) async fn own_groups(
    caller: Caller<Verified>,
    Query(query): Query<GroupsQuery>,
) -> ApiResult<Json<Value>> {
    Ok(Json(
        groups_json(caller.db(), caller.id(), query.include_inherited).await?,
    ))
}

pub(super) async fn groups_of(
    caller: Caller<Admin>,
    Path(user_id): Path<String>,
    Query(query): Query<GroupsQuery>,
) -> ApiResult<Json<Value>> {
    Ok(Json(
        groups_json(caller.db(), &user_id, query.include_inherited).await?,
    ))
}

/// The groups of a user; with inherited ones each says how it came.
async fn groups_json(db: &Db, user_id: &str, inherited: bool) -> ApiResult<Value> {
    let direct = groups::of_user(db, user_id, false).await?;
    if !inherited {
        return Ok(direct.iter().map(GroupRow::to_json).collect());
    }
    let all = groups::of_user(db, user_id, true).await?;
    let json = all.iter().map(|group| {
        let mut json = group.to_json();
        let is_direct = direct.iter().any(|other| other.id == group.id);
        json["membership_type"] = if is_direct { "direct" } else { "inherited" }.into();
        json
    });
    Ok(json.collect())
}

/// Adds the user's groups and whether they are active.
pub(super) async fn with_presence(db: &Db, user: &UserRow, mut json: Value) -> ApiResult<Value> {
    let groups = groups::of_user(db, &user.id, false).await?;
    json["groups"] = groups.iter().map(GroupRow::reference_json).collect();
    json["is_active"] = user.is_active(db.now()).into();
    Ok(json)
}

pub(super) async fn info(caller: Caller<Verified>, Path(user_id): Path<String>) -> ApiResult<Json<Value>> {
    let user = users::by_id(caller.db(), &user_id)
        .await?
        .ok_or_else(unknown_user)?;
    Ok(Json(with_presence(caller.db(), &user, user.info_json()).await?))
}

pub(super) async fn active(caller: Caller<Verified>, Path(user_id): Path<String>) -> ApiResult<Json<Value>> {
    let user = users::by_id(caller.db(), &user_id).await?;
    let active = user.is_some_and(|user| user.is_active(caller.db().now()));
    Ok(Json(json!({ "active": active })))
}
