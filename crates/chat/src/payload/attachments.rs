//! What a reply is to be based on: the attachments of the request, documents of the folder, the knowledge of the
//! model. They are searched for what was asked, and the user sees what is being done. Models that call tools look
//! into folder and knowledge by themselves.

use oui_config::{rag, task};
use oui_core::{ApiError, ApiResult};
use oui_models::folders::FolderRow;
use serde_json::{Value, json};

use crate::generate::{TaskKind, answer_text, last_user_text};
use crate::turn::Object;

use super::step::Step;

/// Questions for a search that a model thinks up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// In documents.
    Documents,
    /// On the web.
    Web,
}

impl Search {
    fn name(self) -> &'static str {
        match self {
            Self::Documents => "retrieval",
            Self::Web => "web_search",
        }
    }
}

/// The attachments that a request begins with: those of the folder for models that call no tools, then its own.
pub(super) fn given(step: &Step<'_>, folder: Option<&FolderRow>) -> Vec<Value> {
    let own = step.turn.files.as_ref().and_then(Value::as_array);
    let mut files: Vec<Value> = own.into_iter().flatten().cloned().collect();
    let has_files = folder.is_some_and(|folder| {
        folder
            .data
            .as_ref()
            .is_some_and(|data| data.get("files").is_some())
    });
    if let Some(folder) = folder.filter(|_| has_files && !step.native) {
        files.insert(0, json!({ "type": "folder", "id": folder.id }));
    }
    files
}

/// The knowledge of the model in the form of attachments, as older models name it too.
pub(super) fn knowledge(step: &Step<'_>) -> Vec<Value> {
    let items = step
        .model
        .meta()
        .and_then(|meta| meta.get("knowledge")?.as_array());
    let filled = |item: &Value, name: &str| item.get(name).is_some_and(crate::turn::truthy);
    let form = |item: &Value| {
        if filled(item, "collection_name") {
            json!({ "id": item["collection_name"], "name": item["name"], "legacy": true })
        } else if filled(item, "collection_names") {
            json!({
                "name": item["name"], "type": "collection", "collection_names": item["collection_names"],
                "legacy": true,
            })
        } else {
            item.clone()
        }
    };
    items.into_iter().flatten().map(form).collect()
}

/// Each attachment once.
pub(super) fn unique(files: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::with_capacity(files.len());
    for file in files {
        if file.is_object() && !kept.contains(&file) {
            kept.push(file);
        }
    }
    kept
}

/// The questions in a model's answer, or the answer as the question.
pub(super) fn questions_in(answer: &str) -> Vec<String> {
    let end = answer.rfind('}').map_or(0, |at| at + 1);
    let Some(object) = answer
        .rfind('{')
        .map(|start| answer.get(start..end).unwrap_or_default())
    else {
        return vec![answer.to_owned()];
    };
    match serde_json::from_str::<Value>(object) {
        Ok(found) => {
            let list = found.get("queries").and_then(Value::as_array);
            list.into_iter()
                .flatten()
                .filter_map(|query| query.as_str().map(str::to_owned))
                .collect()
        }
        Err(_) => vec![object.to_owned()],
    }
}

impl Step<'_> {
    /// Lets a model think up what to search for.
    pub(super) async fn questions(&self, search: Search, messages: &[Value]) -> ApiResult<Vec<String>> {
        let config = &self.engine.config;
        let enabled = match search {
            Search::Documents => config.get(&task::ENABLE_RETRIEVAL_QUERY_GENERATION),
            Search::Web => config.get(&task::ENABLE_SEARCH_QUERY_GENERATION),
        };
        if !enabled {
            return Err(ApiError::bad_request("Query generation is disabled"));
        }
        let mut form = Object::new();
        form.insert("model".into(), json!(self.model.id));
        form.insert("messages".into(), json!(messages));
        form.insert("type".into(), json!(search.name()));
        form.insert("chat_id".into(), json!(self.turn.chat.id()));
        form.insert("session_id".into(), json!(self.turn.session_id));
        if self.model.is_direct() {
            form.insert("model_item".into(), self.model.json.clone());
        }
        let answer = self
            .engine
            .generate(TaskKind::Queries, &self.turn.user, &form)
            .await?;
        match answer {
            oui_providers::ChatReply::Json(answer) => Ok(questions_in(&answer_text(&answer))),
            oui_providers::ChatReply::Stream(_) => Ok(Vec::new()),
        }
    }

    /// Looks into the attachments for what was asked. `asked` are questions that were thought up already. What goes
    /// wrong is logged, and the reply is given without.
    pub(super) async fn search_files(&self, files: &[Value], messages: &[Value]) -> Vec<Value> {
        let files: Vec<Value> = files
            .iter()
            .filter(|file| file["type"] != "filesystem")
            .cloned()
            .collect();
        if files.is_empty() {
            return Vec::new();
        }
        let whole = files.iter().all(|file| file["context"] == "full");
        let mut questions = Vec::new();
        if !whole {
            questions = match self.questions(Search::Documents, messages).await {
                Ok(questions) => questions,
                Err(error) => {
                    tracing::info!(%error, "the question itself is searched for");
                    Vec::new()
                }
            };
            self.status(json!({ "action": "queries_generated", "queries": questions, "done": false }))
                .await;
        }
        if questions.is_empty() {
            questions = vec![last_user_text(messages)];
        }
        let full = whole || self.engine.config.get(&rag::RAG_FULL_CONTEXT);
        let user = &self.turn.user.user;
        let found = self
            .engine
            .retrieval
            .sources(user, &files, &questions, full, self.engine.pages.as_ref())
            .await;
        let sources = found.unwrap_or_else(|error| {
            tracing::error!(%error, "attachments could not be searched");
            Vec::new()
        });
        let count = crate::sources::count(&sources);
        self.status(json!({ "action": "sources_retrieved", "count": count, "done": true }))
            .await;
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_in_several_forms() {
        assert_eq!(questions_in("{\"queries\": [\"a\", \"b\"]}"), ["a", "b"]);
        assert_eq!(
            questions_in("Sure: {\"queries\": []} there"),
            Vec::<String>::new()
        );
        assert_eq!(questions_in("birds in winter"), ["birds in winter"]);
        assert_eq!(questions_in("{birds} in winter"), ["{birds}"]);
        assert_eq!(questions_in("} {"), [""]);
    }

    #[test]
    fn the_same_attachment_counts_once() {
        let file = json!({"type": "file", "id": "1"});
        let files = unique(vec![
            file.clone(),
            json!("x"),
            file.clone(),
            json!({"type": "file", "id": "2"}),
        ]);
        assert_eq!(files, [file, json!({"type": "file", "id": "2"})]);
    }
}
