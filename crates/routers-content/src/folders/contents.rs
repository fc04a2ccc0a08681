//! The chats in a folder: listing those of everybody, marking them read, deleting them with the folder.

use std::collections::{BTreeSet, HashMap};

use axum::Json;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::chat_lists::{self, Listed, Sort, Window};
use oui_models::{chats, folder_shares, folders, users};
use oui_web::Query;
use serde_json::{Value, json};

use super::loaded::{Forbid, LoadedFolder, Manager, Visitor};
use crate::chats::{lists, marks};

form! {
    /// Which part of a shared folder, and how sorted.
    pub(crate) struct ChatsQuery {
        /// Page from 1; the first sixty when absent.
        page: Option<i64>,
        /// As in the sidebar.
        sort_by: String = "unread_updated_at".to_owned(),
        /// As in the sidebar.
        sort_dir: String = "desc".to_owned(),
    }
}

/// Refuses pages before the first.
fn check_page(page: Option<i64>) -> ApiResult<()> {
    match page {
        Some(page) if page < 1 => Err(ApiError::unprocessable(vec![json!({
            "type": "greater_than_equal", "loc": ["query", "page"],
            "msg": "Input should be greater than or equal to 1", "input": page.to_string(), "ctx": { "ge": 1 },
        })])),
        _ => Ok(()),
    }
}

/// Who asked questions in a chat: the owner first, then by name.
fn authors(ids: &[String], owner: &str, names: &HashMap<String, String>) -> Value {
    let mut ids: Vec<&String> = ids.iter().collect();
    ids.sort_by_key(|id| {
        let name = names.get(*id).map(String::as_str).unwrap_or_default();
        (id.as_str() != owner, name.is_empty(), name.to_lowercase(), *id)
    });
    ids.iter()
        .map(|id| json!({ "id": id, "name": names.get(*id) }))
        .collect()
}

pub(super) async fn chats(
    loaded: LoadedFolder<Visitor, Forbid>,
    Query(query): Query<ChatsQuery>,
) -> ApiResult<Json<Value>> {
    check_page(query.page)?;
    let (db, me, folder_id) = (loaded.caller.db(), loaded.caller.id(), loaded.folder.id.as_str());
    let sort = Sort {
        by: &query.sort_by,
        direction: &query.sort_dir,
        unread_for: Some(me),
    };
    let window = match query.page {
        Some(page) => Window::page(page, lists::FOLDER_PAGE),
        None => Window::page(1, lists::PAGE),
    };
    let listed = chat_lists::in_shared_folder(db, folder_id, sort, window).await?;
    let ids: Vec<String> = listed.iter().map(|chat| chat.id.clone()).collect();
    let participants = folder_shares::participants(db, &ids).await?;
    let owners = listed.iter().filter_map(|chat| chat.user_id.clone());
    let people: BTreeSet<String> = participants.values().flatten().cloned().chain(owners).collect();
    let people: Vec<String> = people.into_iter().collect();
    let names: HashMap<String, String> = users::by_ids(db, &people)
        .await?
        .into_iter()
        .map(|user| (user.id, user.name))
        .collect();
    let active = lists::active(loaded.caller.app(), db, ids.iter()).await?;
    let line = |chat: &Listed| {
        let owner = chat.user_id.as_deref().unwrap_or_default();
        let asked = participants.get(&chat.id).map(Vec::as_slice).unwrap_or_default();
        json!({
            "id": chat.id,
            "title": chat.title,
            "user_id": chat.user_id,
            "updated_at": chat.updated_at,
            "created_at": chat.created_at,
            // What others have not read is no news to the caller.
            "last_read_at": if owner == me { chat.last_read_at } else { chat.updated_at },
            "owner_name": names.get(owner).map_or("Unknown", String::as_str),
            "participants": authors(asked, owner, &names),
            "active": active.contains(&chat.id),
            "readonly": owner != me,
        })
    };
    let permission = if loaded.may_write().await? {
        "write"
    } else {
        "read"
    };
    let mut answer = json!({
        "chats": listed.iter().map(line).collect::<Vec<_>>(),
        "folder_permission": permission,
    });
    if query.page.is_some() {
        let total = chat_lists::count_in_shared_folder(db, folder_id).await?;
        answer["total"] = total.into();
        answer["has_more"] = (window.skip + window.limit < total).into();
    }
    Ok(Json(answer))
}

pub(super) async fn read(loaded: LoadedFolder<Visitor, Forbid>) -> ApiResult<Json<Value>> {
    let (db, folder) = (loaded.caller.db(), &loaded.folder);
    let ids = if loaded.is_own() || loaded.caller.is_admin() {
        folders::subtree(db, folder).await?
    } else {
        vec![folder.id.clone()]
    };
    let updated = chats::mark_all_read(db, loaded.caller.id(), Some(&ids)).await?;
    Ok(Json(json!({
        "folder_id": folder.id,
        "folder_ids": ids,
        "updated_count": updated,
        "folder_unread_counts": marks::unread_counts(&loaded.caller).await?,
    })))
}

form! {
    /// What becomes of the chats of a deleted folder.
    pub(crate) struct DeleteQuery {
        /// They are deleted too; otherwise they leave the folder.
        delete_contents: Option<bool> = Some(true),
    }
}

pub(super) async fn delete(
    loaded: LoadedFolder<Manager, Forbid>,
    Query(query): Query<DeleteQuery>,
) -> ApiResult<Json<Value>> {
    let (db, folder) = (loaded.caller.db(), &loaded.folder);
    let with_chats = query.delete_contents.unwrap_or(false);
    if with_chats && !loaded.caller.may("chat.delete").await? {
        let ids = folders::subtree(db, folder).await?;
        if folders::count_chats(db, &folder.user_id, &ids).await? > 0 {
            return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
        }
    }
    let gone = folders::subtree(db, folder).await?;
    folders::delete(db, folder, with_chats).await?;
    let details = json!({ "folder_ids": gone, "delete_contents": with_chats });
    loaded.caller.tell("folder.deleted", folder.id.as_str(), details);
    Ok(Json(json!(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_stands_first() {
        let names = HashMap::from([
            ("a".to_owned(), "Zoe".to_owned()),
            ("b".to_owned(), "adam".to_owned()),
        ]);
        let ids = ["gone".to_owned(), "b".to_owned(), "a".to_owned()];
        let sorted = authors(&ids, "a", &names);
        assert_eq!(
            sorted,
            json!([{"id": "a", "name": "Zoe"}, {"id": "b", "name": "adam"}, {"id": "gone", "name": null}])
        );
    }

    #[test]
    fn pages_start_at_one() {
        assert!(check_page(Some(1)).is_ok() && check_page(None).is_ok());
        assert_eq!(
            check_page(Some(0)).unwrap_err().detail()[0]["ctx"],
            json!({"ge": 1})
        );
    }
}
