//! What a user lets models remember, as vectors in a collection of their own, and finding it by meaning or by place.

pub mod tree;

use oui_config::rag;
use oui_core::boxed;
use oui_core::notice::preview;
use oui_core::{ApiError, ApiResult, Notice};
use oui_models::memories::{self, MemoryRow, Operation, Outcome};
use oui_models::users::UserRow;
use serde_json::{Map, Value, json};

use crate::embeddings::Purpose;
use crate::error::Result;
use crate::service::{Retrieval, caller_of};
use crate::vector::{Filter, Hit, Item, plain};

/// What those who hear of events learn of a memory.
pub fn details(row: &MemoryRow) -> Value {
    let text = row.content.as_deref().unwrap_or_default();
    json!({ "content_preview": preview(text), "type": row.kind, "path": row.path })
}

/// What those who hear of events learn of one change; nothing of one that was passed over.
fn news(change: &Value) -> Option<Notice> {
    let name = match change["status"].as_str() {
        Some("created") => "memory.created",
        Some("updated") => "memory.updated",
        Some("deleted") => "memory.deleted",
        _ => return None,
    };
    let memory = &change["memory"];
    let id = if memory["id"].is_null() {
        &change["id"]
    } else {
        &memory["id"]
    };
    let text = memory["content"].as_str().unwrap_or_default();
    Some(Notice::new(name).about(id.clone()).with(json!({
        "content_preview": preview(text), "type": memory["type"], "path": memory["path"],
        "operation": change["action"],
    })))
}

/// Name of the collection of a user's memories.
pub fn collection_of(user_id: &str) -> String {
    format!("user-memory-{user_id}")
}

/// A place in the tree of topics without needless slashes; none for the top. Refuses what is no place.
pub fn clean_path(path: Option<&str>) -> ApiResult<Option<String>> {
    let text = path.unwrap_or_default().trim().trim_matches('/');
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter != '/' || !clean.ends_with('/') {
            clean.push(letter);
        }
    }
    if clean.is_empty() {
        return Ok(None);
    }
    if clean.split('/').any(|part| matches!(part, "." | "..")) || clean.chars().any(|letter| letter < ' ') {
        return Err(ApiError::bad_request("Invalid memory path"));
    }
    Ok(Some(clean))
}

/// A memory's text without space around it. Refuses an empty one.
pub fn clean_content(content: &str) -> ApiResult<String> {
    match content.trim() {
        "" => Err(ApiError::bad_request("Memory content cannot be empty")),
        text => Ok(text.to_owned()),
    }
}

/// One operation as a model wrote it. Refuses what is none.
pub fn operation(given: &Value) -> ApiResult<Operation> {
    let text = |name: &str| given.get(name).and_then(Value::as_str);
    let action = text("action").unwrap_or_default();
    let id = || {
        let id = text("id").filter(|id| !id.is_empty()).map(str::to_owned);
        id.ok_or_else(|| ApiError::bad_request(format!("Memory id is required for {action}")))
    };
    let content = || clean_content(text("content").unwrap_or_default());
    let path = || clean_path(text("path"));
    Ok(match action {
        "add" => Operation::Add {
            content: content()?,
            kind: memories::kind(text("type")),
            path: path()?,
        },
        "replace" => Operation::Replace {
            id: id()?,
            content: content()?,
            kind: text("type").map(|kind| memories::kind(Some(kind))),
            path: path()?,
        },
        "move" => Operation::Move {
            id: id()?,
            path: path()?,
        },
        "remove" => Operation::Remove { id: id()? },
        other => {
            return Err(ApiError::bad_request(format!(
                "Unsupported memory operation: {other}"
            )));
        }
    })
}

/// The text that is embedded: place and content.
fn vector_text(row: &MemoryRow) -> String {
    let content = row.content.as_deref().unwrap_or_default();
    match row.path.as_deref().filter(|path| !path.is_empty()) {
        Some(path) => format!("{path}\n{content}"),
        None => content.to_owned(),
    }
}

fn metadata(row: &MemoryRow) -> Map<String, Value> {
    let fields = json!({
        "created_at": row.created_at, "updated_at": row.updated_at, "type": row.kind, "path": row.path,
    });
    plain(fields.as_object().unwrap_or(&Map::new()), None)
}

impl Retrieval {
    /// Makes memories findable. Where the vectors of the user's others have another width, all are made anew.
    #[boxed]
    pub async fn index_memories(
        &self,
        user_id: &str,
        rows: &[MemoryRow],
        caller: &oui_providers::CallContext,
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let items = self.memory_items(rows, caller).await?;
        match self.store().await?.insert(&collection_of(user_id), items).await {
            Err(error) if error.to_string().to_lowercase().contains("dimension") => {
                tracing::warn!(
                    user_id,
                    "vectors of memories have another width now; all are made anew"
                );
                self.reindex_memories(user_id, caller).await.map(|_| ())
            }
            other => other,
        }
    }

    async fn memory_items(
        &self,
        rows: &[MemoryRow],
        caller: &oui_providers::CallContext,
    ) -> Result<Vec<Item>> {
        let texts: Vec<String> = rows.iter().map(vector_text).collect();
        let vectors = self
            .embedder
            .embed(texts.clone(), Purpose::Content, Some(caller))
            .await?;
        let item = |((row, text), vector): ((&MemoryRow, String), Vec<f32>)| Item {
            id: row.id.clone(),
            text,
            vector,
            metadata: metadata(row),
        };
        Ok(rows.iter().zip(texts).zip(vectors).map(item).collect())
    }

    /// Makes all vectors of a user's memories anew. The answer is their number.
    #[boxed]
    pub async fn reindex_memories(
        &self,
        user_id: &str,
        caller: &oui_providers::CallContext,
    ) -> Result<usize> {
        let rows = memories::of_user(&self.db, user_id)
            .await
            .map_err(|error| crate::Error::Store(error.to_string()))?;
        let items = self.memory_items(&rows, caller).await?;
        let store = self.store().await?;
        store.drop_collection(&collection_of(user_id)).await?;
        store.insert(&collection_of(user_id), items).await?;
        Ok(rows.len())
    }

    /// Applies changes to a user's memories, all or none, and makes what they leave findable. Answers what became of
    /// each; `meta` says who changes.
    #[boxed]
    pub async fn change_memories(
        &self,
        user: &UserRow,
        operations: &[Operation],
        meta: &Value,
    ) -> ApiResult<Vec<Value>> {
        let outcomes = memories::apply(&self.db, &user.id, operations, meta)
            .await?
            .map_err(|id| ApiError::not_found(format!("Memory not found: {id}")))?;
        let (mut changed, mut gone, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        for outcome in outcomes {
            shown.push(match outcome {
                Outcome::Created(row) => {
                    let json = json!({ "action": "add", "status": "created", "memory": tree::without_meta(&row) });
                    changed.push(row);
                    json
                }
                Outcome::Skipped(row) => json!({
                    "action": "add", "status": "skipped", "memory": tree::without_meta(&row), "reason": "duplicate",
                }),
                Outcome::Updated(action, row) => {
                    let json =
                        json!({ "action": action, "status": "updated", "memory": tree::without_meta(&row) });
                    changed.push(row);
                    json
                }
                Outcome::Deleted(id) => {
                    gone.push(id.clone());
                    json!({ "action": "remove", "status": "deleted", "id": id })
                }
            });
        }
        self.index_memories(&user.id, &changed, &caller_of(user))
            .await
            .map_err(ApiError::internal)?;
        if !gone.is_empty() {
            self.forget_memories(&user.id, gone)
                .await
                .map_err(ApiError::internal)?;
        }
        for change in &shown {
            if let Some(notice) = news(change) {
                self.tell(notice.by(user.actor_json()));
            }
        }
        Ok(shown)
    }

    /// Takes memories out of the user's collection.
    #[boxed]
    pub async fn forget_memories(&self, user_id: &str, ids: Vec<String>) -> Result<()> {
        let collection = collection_of(user_id);
        self.store().await?.delete(&collection, &Filter::ids(ids)).await
    }

    /// Takes all of a user's memories out of the store.
    #[boxed]
    pub async fn forget_all_memories(&self, user_id: &str) -> Result<()> {
        self.store().await?.drop_collection(&collection_of(user_id)).await
    }

    /// Memories nearest to a text, those below the relevance threshold left out. `None` without a collection.
    #[boxed]
    pub async fn find_memories(
        &self,
        user_id: &str,
        text: &str,
        limit: usize,
        caller: &oui_providers::CallContext,
    ) -> Result<Option<Vec<Hit>>> {
        let vector = self
            .embedder
            .embed_one(text, Purpose::Query, Some(caller))
            .await?;
        let store = self.store().await?;
        let hits = store
            .search(&collection_of(user_id), &vector, &Filter::all(), limit)
            .await?;
        let threshold = self.config.get(&rag::RAG_RELEVANCE_THRESHOLD);
        Ok(hits.map(|hits| {
            hits.into_iter()
                .filter(|hit| threshold <= 0.0 || hit.score >= threshold)
                .collect()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_cleaned() {
        assert_eq!(clean_path(Some(" //a///b/ ")).unwrap().as_deref(), Some("a/b"));
        assert_eq!(clean_path(Some("/")).unwrap(), None);
        assert_eq!(clean_path(None).unwrap(), None);
        for bad in ["a/../b", "./a", "a\u{1}b"] {
            assert_eq!(clean_path(Some(bad)).unwrap_err().detail(), "Invalid memory path");
        }
        assert_eq!(clean_content(" x ").unwrap(), "x");
        assert!(clean_content(" \n").is_err());
    }

    #[test]
    fn operations_are_checked() {
        let error = |value: Value| operation(&value).unwrap_err().detail_text();
        assert_eq!(error(json!({"action": "move"})), "Memory id is required for move");
        assert_eq!(
            error(json!({"action": "dance"})),
            "Unsupported memory operation: dance"
        );
        assert_eq!(
            error(json!({"action": "add", "content": " "})),
            "Memory content cannot be empty"
        );
        let added = operation(&json!({"action": "add", "content": " a ", "path": "/x//y"})).unwrap();
        let expected = Operation::Add {
            content: "a".into(),
            kind: "context",
            path: Some("x/y".into()),
        };
        assert_eq!(added, expected);
    }
}
