//! The stored conversation as JSON: `{currentId, messages: {id: message}}`, a tree by `parentId` and
//! `childrenIds`. Pure functions; the statements are in [`chat_edits`](crate::chat_edits).

use serde_json::{Map, Value, json};

/// A JSON object.
pub type Object = Map<String, Value>;

/// `history` of a chat document, made whole where it is missing.
pub fn of(document: &mut Object) -> &mut Object {
    let entry = document.entry("history").or_insert(Value::Null);
    if !entry.is_object() {
        *entry = json!({ "messages": {}, "currentId": null });
    }
    object(entry)
}

/// `messages` of a history, made whole where it is missing.
pub fn messages(history: &mut Object) -> &mut Object {
    let entry = history.entry("messages").or_insert(Value::Null);
    if !entry.is_object() {
        *entry = json!({});
    }
    object(entry)
}

fn object(value: &mut Value) -> &mut Object {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(object) => object,
        _ => unreachable!("made an object just above"),
    }
}

/// Text field of a message.
pub fn text<'a>(message: &'a Value, name: &str) -> Option<&'a str> {
    message.get(name).and_then(Value::as_str)
}

/// Ids of the children of a message.
pub fn children(message: &Value) -> Vec<String> {
    let ids = message.get("childrenIds").and_then(Value::as_array);
    ids.map(|ids| ids.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default()
}

/// The messages of a document: of its tree, or of the flat list of documents from before the tree.
pub fn all(document: &Object) -> Vec<&Value> {
    let tree = document
        .get("history")
        .and_then(|history| history.get("messages"))
        .and_then(Value::as_object);
    match tree.filter(|tree| !tree.is_empty()) {
        Some(tree) => tree.values().collect(),
        None => document
            .get("messages")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// Id of the leaf that the document shows.
pub fn current_id(document: &Object) -> Option<String> {
    let from_history = document
        .get("history")
        .and_then(|history| history.get("currentId"));
    [
        from_history,
        document.get("currentId"),
        document.get("branchPointMessageId"),
    ]
    .into_iter()
    .flatten()
    .filter_map(Value::as_str)
    .find(|id| !id.is_empty())
    .map(str::to_owned)
    .or_else(|| {
        let flat = document.get("messages")?.as_array()?;
        flat.iter()
            .rev()
            .find_map(|message| text(message, "id"))
            .map(str::to_owned)
    })
}

/// Adds a child to its parent's list unless it is there.
pub fn link_child(messages: &mut Object, parent_id: Option<&str>, child_id: &str) -> bool {
    let Some(parent) = parent_id
        .and_then(|id| messages.get_mut(id))
        .and_then(Value::as_object_mut)
    else {
        return false;
    };
    let list = parent.entry("childrenIds").or_insert(Value::Null);
    if !list.is_array() {
        *list = json!([]);
    }
    match list.as_array_mut() {
        Some(list) if !list.iter().any(|id| id == child_id) => {
            list.push(Value::from(child_id));
            true
        }
        _ => false,
    }
}

/// Merges a message into the history, or adds it as a new one and makes it the current one.
/// `now` (seconds) stamps new messages. Answers the stored message.
pub fn upsert<'h>(history: &'h mut Object, id: &str, mut message: Object, now: i64) -> &'h Value {
    let exists = messages(history).contains_key(id);
    if exists {
        merge_existing(messages(history), id, &mut message);
    } else {
        let complete = complete_new(messages(history), id, message, now);
        messages(history).insert(id.to_owned(), complete);
        history.insert("currentId".to_owned(), Value::from(id));
    }
    let all = messages(history);
    let parent = all
        .get(id)
        .and_then(|message| text(message, "parentId"))
        .map(str::to_owned);
    link_child(all, parent.as_deref(), id);
    all.get(id).unwrap_or(&Value::Null)
}

/// Speech and task marks survive an update of `meta` that does not name them.
fn merge_existing(messages: &mut Object, id: &str, message: &mut Object) {
    let Some(stored) = messages.get_mut(id) else {
        return;
    };
    let stored = object(stored);
    if let Some(Value::Object(incoming)) = message.remove("meta") {
        let mut meta = stored
            .get("meta")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let only_marks = incoming.keys().all(|key| key == "voice" || key == "task_id");
        if !only_marks {
            meta.retain(|key, _| key == "voice" || key == "task_id");
        }
        meta.extend(incoming);
        message.insert("meta".to_owned(), Value::Object(meta));
    }
    for (key, value) in std::mem::take(message) {
        stored.insert(key, value);
    }
}

fn complete_new(messages: &Object, id: &str, mut message: Object, now: i64) -> Value {
    let parent_id = message
        .get("parentId")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .or_else(|| {
            let parent = messages
                .iter()
                .find(|(_, other)| children(other).iter().any(|child| child == id));
            parent.map(|(id, _)| id.clone())
        });
    let role = message
        .get("role")
        .and_then(Value::as_str)
        .filter(|role| !role.is_empty())
        .map(str::to_owned);
    let role = role.or_else(|| output_role(message.get("output")));
    let role = role.unwrap_or_else(|| {
        let parent_role = parent_id
            .as_ref()
            .and_then(|id| messages.get(id))
            .and_then(|m| text(m, "role"));
        (if parent_role == Some("assistant") {
            "user"
        } else {
            "assistant"
        })
        .to_owned()
    });
    message.insert(
        "id".to_owned(),
        Value::from(message.get("id").and_then(Value::as_str).unwrap_or(id)),
    );
    message.insert("parentId".to_owned(), json!(parent_id));
    if !message.get("childrenIds").is_some_and(Value::is_array) {
        message.insert("childrenIds".to_owned(), json!([]));
    }
    message.insert("role".to_owned(), Value::from(role));
    if message
        .get("timestamp")
        .is_none_or(|at| at.as_i64().unwrap_or(0) == 0)
    {
        message.insert("timestamp".to_owned(), Value::from(now));
    }
    Value::Object(message)
}

fn output_role(output: Option<&Value>) -> Option<String> {
    output?
        .as_array()?
        .iter()
        .find_map(|item| text(item, "role"))
        .map(str::to_owned)
}

/// Merges what a client sends into what is stored, so that a client with an old copy drops nothing;
/// the lists of children are rebuilt from the parents.
pub fn merge(stored: Option<&Value>, incoming: Option<&Value>) -> Object {
    let part = |side: Option<&Value>, name: &str| side.and_then(|side| side.get(name)).cloned();
    let mut merged = Object::new();
    for side in [stored, incoming] {
        if let Some(Value::Object(all)) = part(side, "messages") {
            for (id, mut message) in all {
                if let Some(message) = message.as_object_mut() {
                    message.insert("childrenIds".to_owned(), json!([]));
                } else {
                    continue;
                }
                merged.insert(id, message);
            }
        }
    }
    rebuild_children(&mut merged);
    let known =
        |side| part(side, "currentId").filter(|id| id.as_str().is_some_and(|id| merged.contains_key(id)));
    let current = known(incoming).or_else(|| known(stored)).unwrap_or(Value::Null);
    let mut history = Object::new();
    for side in [stored, incoming].into_iter().flatten() {
        if let Some(side) = side.as_object() {
            history.extend(side.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
    }
    history.insert("messages".to_owned(), Value::Object(merged));
    history.insert("currentId".to_owned(), current);
    history
}

/// Rebuilds every list of children from the `parentId`s, in the order of the map.
pub fn rebuild_children(messages: &mut Object) {
    let links: Vec<(String, String)> = messages
        .iter()
        .filter_map(|(id, message)| Some((text(message, "parentId")?.to_owned(), id.clone())))
        .collect();
    for (parent, child) in links {
        link_child(messages, Some(&parent), &child);
    }
}

/// Takes a message and its children out; grandchildren move up. Answers the ids that are gone.
pub fn delete(history: &mut Object, id: &str) -> Vec<String> {
    let all = messages(history);
    let Some(message) = all.get(id).filter(|message| message.is_object()) else {
        return Vec::new();
    };
    let parent_id = text(message, "parentId").map(str::to_owned);
    let gone_children: Vec<String> = children(message)
        .into_iter()
        .filter(|id| all.contains_key(id))
        .collect();
    let grandchildren: Vec<String> = gone_children
        .iter()
        .filter_map(|child| all.get(child))
        .flat_map(children)
        .filter(|id| all.contains_key(id))
        .collect();
    if let Some(parent) = parent_id.as_ref().and_then(|id| all.get_mut(id)) {
        let mut list: Vec<String> = children(parent).into_iter().filter(|child| child != id).collect();
        list.extend(grandchildren.iter().cloned());
        parent["childrenIds"] = json!(list);
    }
    for grandchild in &grandchildren {
        if let Some(message) = all.get_mut(grandchild) {
            message["parentId"] = json!(parent_id);
        }
    }
    let mut gone = vec![id.to_owned()];
    gone.extend(gone_children.into_iter().filter(|child| child != id));
    all.retain(|id, _| !gone.contains(id));
    let current = last_leaf_below(all, parent_id);
    history.insert("currentId".to_owned(), json!(current));
    gone
}

fn last_leaf_below(all: &Object, start: Option<String>) -> Option<String> {
    let below = |id: Option<&String>| -> Vec<String> {
        match id {
            Some(id) => all.get(id).map(children).unwrap_or_default(),
            None => all
                .iter()
                .filter(|(_, message)| message.get("parentId").is_none_or(Value::is_null))
                .map(|(id, _)| id.clone())
                .collect(),
        }
    };
    let mut current = start;
    let mut seen = std::collections::HashSet::new();
    while let Some(next) = below(current.as_ref()).pop() {
        if !seen.insert(next.clone()) {
            break;
        }
        current = Some(next);
    }
    current.filter(|id| all.contains_key(id))
}

/// Mends links and the current leaf of histories written by older clients. Answers whether anything changed.
pub fn repair(document: &mut Object) -> bool {
    let Some(history) = document.get_mut("history").and_then(Value::as_object_mut) else {
        return false;
    };
    if !history.get("messages").is_some_and(Value::is_object) {
        return false;
    }
    let all = messages(history);
    let before: usize = all.values().map(|message| children(message).len()).sum();
    rebuild_children(all);
    let relinked = all.values().map(|message| children(message).len()).sum::<usize>() != before;
    let current = history
        .get("currentId")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let all = messages(history);
    let next = match current.as_ref().and_then(|id| all.get(id)) {
        Some(message) if is_good_leaf(message, all.len()) => {
            current.as_ref().map(|id| last_descendant(all, id))
        }
        _ => latest_leaf(all).or_else(|| current.clone()),
    };
    if next == current {
        return relinked;
    }
    history.insert("currentId".to_owned(), json!(next));
    true
}

fn is_good_leaf(message: &Value, count: usize) -> bool {
    let detached = output_role(message.get("output")).as_deref() == Some("assistant")
        && message.get("parentId").is_none_or(Value::is_null)
        && message.get("timestamp").and_then(Value::as_i64).unwrap_or(0) == 0
        && count > 1;
    text(message, "id").is_some() && text(message, "role").is_some() && !detached
}

fn last_descendant(all: &Object, start: &str) -> String {
    let mut seen = std::collections::HashSet::new();
    let mut id = start.to_owned();
    while seen.insert(id.clone()) {
        let Some(message) = all.get(&id) else { break };
        let next = children(message).into_iter().rev().find(|child| {
            !seen.contains(child)
                && all.get(child).is_some_and(|message| {
                    text(message, "id") == Some(child)
                        && text(message, "role").is_some()
                        && text(message, "parentId") == Some(&id)
                })
        });
        match next {
            Some(next) => id = next,
            None => break,
        }
    }
    id
}

fn latest_leaf(all: &Object) -> Option<String> {
    let at = |message: &Value| message.get("timestamp").and_then(Value::as_i64).unwrap_or(0);
    let mut best: Option<(&String, i64)> = None;
    for (id, message) in all {
        let is_leaf = text(message, "role").is_some() && children(message).is_empty();
        if is_leaf && best.is_none_or(|(_, time)| at(message) > time) {
            best = Some((id, at(message)));
        }
    }
    best.map(|(id, _)| id.clone())
}

/// The messages from the root to `leaf`.
pub fn path_to<'m>(messages: &'m Object, leaf: &str) -> Vec<&'m Value> {
    let mut path = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut next = Some(leaf.to_owned());
    while let Some(id) = next {
        if !seen.insert(id.clone()) {
            break;
        }
        let Some(message) = messages.get(&id) else { break };
        path.push(message);
        next = text(message, "parentId").map(str::to_owned);
    }
    path.reverse();
    path
}

/// Drops NUL characters from every text: PostgreSQL stores none, and the reference drops them too.
pub fn clean(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', ""),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(object) => object.values_mut().for_each(clean),
        _ => {}
    }
}

/// The joined text of the message items of an output.
pub fn output_text(output: &Value) -> String {
    let mut joined = String::new();
    for item in output.as_array().into_iter().flatten() {
        if text(item, "type") == Some("message") {
            for part in item
                .get("content")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                joined.push_str(text(part, "text").unwrap_or_default());
            }
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object_of(value: Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    fn chain() -> Object {
        object_of(json!({"currentId": "c", "messages": {
            "a": {"id": "a", "role": "user", "parentId": null, "childrenIds": ["b"]},
            "b": {"id": "b", "role": "assistant", "parentId": "a", "childrenIds": ["c"]},
            "c": {"id": "c", "role": "user", "parentId": "b", "childrenIds": []},
        }}))
    }

    #[test]
    fn a_new_message_is_linked_and_current() {
        let mut history = chain();
        let message = object_of(json!({"parentId": "c", "content": "hi"}));
        let stored = upsert(&mut history, "d", message, 7).clone();
        assert_eq!(
            stored,
            json!({"parentId": "c", "content": "hi", "id": "d", "childrenIds": [], "role": "assistant", "timestamp": 7})
        );
        assert_eq!(history["currentId"], "d");
        assert_eq!(history["messages"]["c"]["childrenIds"], json!(["d"]));
    }

    #[test]
    fn an_update_keeps_marks_in_meta() {
        let mut history = chain();
        upsert(&mut history, "b", object_of(json!({"meta": {"task_id": "t"}})), 0);
        upsert(
            &mut history,
            "b",
            object_of(json!({"meta": {"model": 1}, "done": true})),
            0,
        );
        assert_eq!(
            history["messages"]["b"]["meta"],
            json!({"task_id": "t", "model": 1})
        );
        assert_eq!(history["currentId"], "c");
    }

    #[test]
    fn deleting_moves_grandchildren_up() {
        let mut history = chain();
        assert_eq!(delete(&mut history, "a"), ["a", "b"]);
        assert_eq!(
            history["messages"],
            json!({"c": {"id": "c", "role": "user", "parentId": null, "childrenIds": []}})
        );
        assert_eq!(history["currentId"], "c");
        assert!(delete(&mut history, "nothing").is_empty());
    }

    #[test]
    fn merging_drops_no_message() {
        let stored =
            json!({"currentId": "a", "messages": {"a": {"id": "a", "parentId": null, "role": "user"}}});
        let incoming =
            json!({"currentId": "x", "messages": {"b": {"id": "b", "parentId": "a", "role": "assistant"}}});
        let merged = merge(Some(&stored), Some(&incoming));
        assert_eq!(merged["messages"]["a"]["childrenIds"], json!(["b"]));
        assert_eq!(merged["currentId"], "a");
    }

    #[test]
    fn repair_follows_the_branch_to_its_leaf() {
        let mut document = object_of(json!({ "history": chain() }));
        document["history"]["currentId"] = json!("a");
        assert!(repair(&mut document));
        assert_eq!(document["history"]["currentId"], "c");
        assert!(!repair(&mut document));
    }

    #[test]
    fn paths_survive_cycles() {
        let messages = object_of(json!({"a": {"parentId": "b"}, "b": {"parentId": "a"}}));
        assert_eq!(path_to(&messages, "a").len(), 2);
    }
}
