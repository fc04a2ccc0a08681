//! A chat as people other than its owner may see it too: every question names its author, and what only concerns the
//! owner is left out.

use std::collections::HashMap;

use oui_core::ApiResult;
use oui_models::chats::ChatRow;
use oui_models::history::Object;
use oui_models::users::UserRow;
use oui_models::{Db, users};
use serde_json::{Value, json};

/// Fields of the document that only concern the owner.
const PRIVATE: &[&str] = &["params", "tool_servers", "tool_ids", "filter_ids", "variables"];

/// Calls `visit` with every message of a document: those of the tree, then those of the flat list.
pub(super) fn each_message(document: &mut Object, mut visit: impl FnMut(&mut Object)) {
    let tree = document
        .get_mut("history")
        .and_then(|history| history.get_mut("messages"));
    if let Some(tree) = tree.and_then(Value::as_object_mut) {
        tree.values_mut()
            .filter_map(Value::as_object_mut)
            .for_each(&mut visit);
    }
    if let Some(list) = document.get_mut("messages").and_then(Value::as_array_mut) {
        list.iter_mut()
            .filter_map(Value::as_object_mut)
            .for_each(&mut visit);
    }
}

/// Makes the user the author of every message that a client sent.
pub(super) fn set_authors(document: &mut Object, user: &UserRow) {
    each_message(document, |message| claim(message, user));
}

/// Makes the user the author of a message.
fn claim(message: &mut Object, user: &UserRow) {
    message.insert("user_id".into(), json!(user.id));
    if is_question(message) {
        message.insert("user".into(), json!({ "id": user.id, "name": user.name }));
    }
}

/// Makes the user the author of what `owner` wrote, in a copy of the owner's chat.
pub(super) fn take_over(document: &mut Object, owner: &str, user: &UserRow) {
    each_message(document, |message| {
        if filled(message.get("user_id")).unwrap_or(owner) == owner {
            claim(message, user);
        }
    });
}

fn is_question(message: &Object) -> bool {
    message.get("role").and_then(Value::as_str) == Some("user")
}

fn filled(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The chat as `viewer` sees it; `None` is somebody without an account.
pub(crate) async fn shown(db: &Db, chat: ChatRow, viewer: Option<&str>) -> ApiResult<Value> {
    let owner = chat.user_id.clone().unwrap_or_default();
    let mut answer = chat.into_json();
    let is_owner = viewer == Some(owner.as_str());
    if !is_owner {
        answer["variables"] = json!({});
    }
    if let Some(document) = answer.get_mut("chat").and_then(Value::as_object_mut) {
        if !is_owner {
            for field in PRIVATE {
                document.shift_remove(*field);
            }
        }
        name_authors(db, document, &owner, viewer).await?;
    }
    Ok(answer)
}

async fn name_authors(db: &Db, document: &mut Object, owner: &str, viewer: Option<&str>) -> ApiResult<()> {
    let mut names: HashMap<String, String> = HashMap::new();
    let mut unknown: Vec<String> = Vec::new();
    each_message(document, |message| {
        if is_question(message) {
            let known = message.get("user").filter(|user| user.is_object());
            let known_id = known.and_then(|user| filled(user.get("id")));
            let author = filled(message.get("user_id"))
                .or(known_id)
                .unwrap_or(owner)
                .to_owned();
            match known
                .and_then(|user| filled(user.get("name")))
                .filter(|_| known_id == Some(&author))
            {
                Some(name) => drop(names.insert(author.clone(), name.to_owned())),
                None => unknown.push(author.clone()),
            }
            message.insert("user_id".into(), author.into());
        }
        if viewer.is_none() || Some(filled(message.get("user_id")).unwrap_or(owner)) != viewer {
            message.shift_remove("meta");
        }
    });
    unknown.retain(|id| !names.contains_key(id));
    unknown.sort();
    unknown.dedup();
    names.extend(
        users::by_ids(db, &unknown)
            .await?
            .into_iter()
            .map(|user| (user.id, user.name)),
    );
    each_message(document, |message| {
        if is_question(message) {
            let author = message.get("user_id").and_then(Value::as_str).unwrap_or_default();
            let name = names.get(author).map(String::as_str).unwrap_or_default();
            let user = json!({ "id": author, "name": name });
            message.insert("user".into(), user);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(value: Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn only_the_owners_messages_are_taken_over() {
        let mut chat = document(json!({
            "history": {"messages": {
                "a": {"role": "user", "user_id": "owner"},
                "b": {"role": "assistant"},
                "c": {"role": "user", "user_id": "guest", "user": {"id": "guest", "name": "G"}},
            }},
            "messages": [{"role": "user"}],
        }));
        let user = oui_models::users::UserRow {
            id: "me".into(),
            name: "Me".into(),
            ..blank()
        };
        take_over(&mut chat, "owner", &user);
        assert_eq!(
            chat["history"]["messages"]["a"]["user"],
            json!({"id": "me", "name": "Me"})
        );
        assert_eq!(
            chat["history"]["messages"]["b"],
            json!({"role": "assistant", "user_id": "me"})
        );
        assert_eq!(chat["history"]["messages"]["c"]["user_id"], "guest");
        assert_eq!(chat["messages"][0]["user_id"], "me");
    }

    fn blank() -> UserRow {
        UserRow {
            id: String::new(),
            name: String::new(),
            email: String::new(),
            role: "user".into(),
            profile_image_url: None,
            last_active_at: None,
            updated_at: None,
            created_at: None,
            username: None,
            bio: None,
            gender: None,
            date_of_birth: None,
            profile_banner_image_url: None,
            timezone: None,
            presence_state: None,
            status_emoji: None,
            status_message: None,
            status_expires_at: None,
            oauth: None,
            info: None,
            settings: None,
            scim: None,
            variables: None,
        }
    }
}
