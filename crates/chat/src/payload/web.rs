//! The web for models that cannot search it themselves: what to search for is thought up beforehand, and what is found
//! becomes an attachment.

use oui_config::web;
use serde_json::{Value, json};

use crate::generate::last_user_text;

use super::attachments::Search;
use super::step::Step;

impl Step<'_> {
    /// Searches the web where the request wants it, and adds what is found to the attachments. The user sees each
    /// step, also what goes wrong.
    pub(super) async fn search_web(&self, files: &mut Vec<Value>, messages: &[Value]) {
        let wanted = !self.native
            && self.turn.choices.feature("web_search")
            && self.engine.config.get(&web::ENABLE_WEB_SEARCH);
        if !wanted || !self.may("features.web_search").await {
            return;
        }
        let status = |description: &str, done: bool| json!({ "action": "web_search", "description": description, "done": done });
        self.status(status("Searching the web", false)).await;
        let question = last_user_text(messages);
        let mut queries = match self.questions(Search::Web, messages).await {
            Ok(queries) => queries,
            Err(error) => {
                tracing::info!(%error, "the question itself is searched for");
                vec![question.clone()]
            }
        };
        if queries.len() == 1 && queries[0].trim().is_empty() {
            queries = vec![question];
        }
        if queries.is_empty() {
            return self.status(status("No search query generated", true)).await;
        }
        self.status(json!({ "action": "web_search_queries_generated", "queries": queries, "done": false }))
            .await;
        match self.engine.search_web(&self.turn.user.user, &queries).await {
            Ok(found) => {
                let mut file = json!({ "name": queries.join(", "), "type": "web_search", "urls": found["filenames"], "queries": queries });
                let collections = found["collection_names"].as_array().into_iter().flatten();
                let mut added = 0;
                for collection in collections {
                    let mut file = file.clone();
                    file["collection_name"] = collection.clone();
                    files.push(file);
                    added += 1;
                }
                if added == 0
                    && found["docs"]
                        .as_array()
                        .is_some_and(|documents| !documents.is_empty())
                {
                    file["docs"] = found["docs"].clone();
                    files.push(file);
                }
                self.status(json!({
                    "action": "web_search", "description": "Searched {{count}} sites", "urls": found["filenames"],
                    "items": found["items"], "done": true,
                }))
                .await;
            }
            Err(error) => {
                let description = match error.body().get("detail") {
                    Some(Value::String(detail)) if !detail.is_empty() => detail.clone(),
                    _ => "An error occurred while searching the web".to_owned(),
                };
                self.status(json!({
                    "action": "web_search", "description": description, "queries": queries, "done": true,
                    "error": true,
                }))
                .await;
            }
        }
    }
}
