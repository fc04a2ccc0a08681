//! What attached files, collections, notes, chats and folders say about a question: the sources of a reply, as the
//! client shows them. Ids in attachments come from clients, so each is checked against what the user may read.

use oui_core::boxed;
use std::collections::{BTreeMap, HashSet};

use oui_access::ADMIN;
use oui_core::ApiResult;
use oui_models::knowledge::KnowledgeRow;
use oui_models::notes::NoteRow;
use oui_models::shared::{self, Reader};
use oui_models::users::{self, UserRow};
use oui_models::{chat_access, chats, file_texts, folder_files, folders, grants, groups, history};
use serde_json::{Map, Value, json};

use crate::access::Use;
use crate::ingest::collection_of_file;
use crate::query::SearchOptions;
use crate::service::{Retrieval, caller_of};
use crate::vector::Filter;

type Object = Map<String, Value>;

/// Texts with what is known of each, and scores where there are any.
struct Material {
    documents: Vec<Value>,
    metadatas: Vec<Value>,
    scores: Option<Vec<f64>>,
}

impl Material {
    fn of(found: crate::Found) -> Self {
        Self {
            documents: found.documents.into_iter().map(Value::String).collect(),
            metadatas: found.metadatas.into_iter().map(Value::Object).collect(),
            scores: Some(found.scores),
        }
    }

    fn one(document: Value, metadata: Value) -> Self {
        Self {
            documents: vec![document],
            metadatas: vec![metadata],
            scores: None,
        }
    }
}

/// Where the answer to an attachment comes from.
enum Origin {
    Whole(Material),
    Collections(Vec<String>),
    Nothing,
}

fn text<'v>(item: &'v Value, name: &str) -> Option<&'v str> {
    item.get(name)?.as_str().filter(|text| !text.is_empty())
}

fn kind_and_id(item: &Value) -> (String, String) {
    let part = |name| text(item, name).unwrap_or_default().to_owned();
    (part("type"), part("id"))
}

/// A conversation as one text.
fn transcript(document: &Object) -> Option<String> {
    let current = history::current_id(document)?;
    let messages = document.get("history")?.get("messages")?.as_object()?;
    let path = history::path_to(messages, &current);
    let line = |message: &&Value| {
        let role = text(message, "role").unwrap_or("user");
        let mut role: Vec<char> = role.chars().collect();
        if let Some(first) = role.first_mut() {
            *first = first.to_ascii_uppercase();
        }
        let content = match message.get("content") {
            Some(Value::String(content)) => content.clone(),
            Some(Value::Array(parts)) => {
                let found = parts.iter().find_map(|part| part.get("text")?.as_str());
                found.unwrap_or_default().to_owned()
            }
            _ => String::new(),
        };
        format!("#### {}\n{content}\n", role.into_iter().collect::<String>())
    };
    Some(path.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// Reads what lies at an address that a user named.
#[async_trait::async_trait]
pub trait Pages: Send + Sync {
    /// The text there, or a sentence on why there is none.
    async fn text_at(&self, address: &str) -> std::result::Result<String, String>;
}

/// One search for the attachments of a message.
struct Search<'r> {
    retrieval: &'r Retrieval,
    pages: &'r dyn Pages,
    options: SearchOptions,
    user: &'r UserRow,
    queries: &'r [String],
    /// Gives whole collections instead of their best chunks.
    full: bool,
    /// Attachments that came in through a folder whose owner vouches for them.
    vouched: HashSet<(String, String)>,
    searched: HashSet<String>,
}

impl Retrieval {
    /// Sources from the attachments, in their order. What cannot be read or searched is left out and logged.
    #[boxed]
    pub async fn sources(
        &self,
        user: &UserRow,
        items: &[Value],
        queries: &[String],
        full: bool,
        pages: &dyn Pages,
    ) -> ApiResult<Vec<Value>> {
        self.sources_with(user, items, queries, full, pages, self.search_options())
            .await
    }

    /// [`Retrieval::sources`] with other options of the search than the configuration's.
    #[boxed]
    pub async fn sources_with(
        &self,
        user: &UserRow,
        items: &[Value],
        queries: &[String],
        full: bool,
        pages: &dyn Pages,
        options: SearchOptions,
    ) -> ApiResult<Vec<Value>> {
        let mut search = Search {
            retrieval: self,
            pages,
            options,
            user,
            queries,
            full,
            vouched: HashSet::new(),
            searched: HashSet::new(),
        };
        let mut items = items.to_vec();
        search.open_folders(&mut items).await?;
        let mut sources = Vec::new();
        for mut item in items {
            let Some(material) = search.answer(&item).await? else {
                continue;
            };
            if let Some(object) = item.as_object_mut() {
                object.shift_remove("data");
            }
            let mut source = json!({
                "source": item, "document": material.documents, "metadata": material.metadatas,
            });
            if let Some(scores) = material.scores.filter(|scores| !scores.is_empty()) {
                source["distances"] = json!(scores);
            }
            sources.push(source);
        }
        self.name_files(&mut sources).await?;
        Ok(sources)
    }

    /// The passages that fit a question best in collections and files together, as one source. Whether the user may
    /// read them is the caller's business.
    #[boxed]
    pub async fn passages(
        &self,
        user: &UserRow,
        items: &[Value],
        question: &str,
        count: usize,
    ) -> crate::Result<Value> {
        let names: Vec<String> = items
            .iter()
            .filter_map(|item| {
                let id = text(item, "id")?;
                let is_file = item["type"] == "file";
                Some(if is_file {
                    collection_of_file(id)
                } else {
                    id.to_owned()
                })
            })
            .collect();
        let mut found = crate::query::Found::default();
        if !names.is_empty() {
            let mut options = self.search_options();
            options.k = count;
            let caller = caller_of(user);
            found = self
                .search(&names, &[question.to_owned()], &options, Some(&caller))
                .await?;
        }
        let source = json!({
            "source": {}, "document": found.documents, "metadata": found.metadatas, "distances": found.scores,
        });
        let mut sources = [source];
        self.name_files(&mut sources)
            .await
            .map_err(|error| crate::Error::Store(error.to_string()))?;
        let [source] = sources;
        Ok(source)
    }

    /// Files that were renamed since they were cut are shown by their names of now.
    async fn name_files(&self, sources: &mut [Value]) -> ApiResult<()> {
        let mut names: BTreeMap<String, Option<String>> = BTreeMap::new();
        for source in sources {
            for metadata in source["metadata"].as_array_mut().into_iter().flatten() {
                let Some(id) = text(metadata, "file_id").map(str::to_owned) else {
                    continue;
                };
                if !names.contains_key(&id) {
                    let file = oui_models::knowledge::file(&self.db, &id).await?;
                    let name = file.and_then(|file| file.meta?.get("name")?.as_str().map(str::to_owned));
                    names.insert(id.clone(), name);
                }
                if let Some(Some(name)) = names.get(&id) {
                    if metadata.get("source") == metadata.get("name") {
                        metadata["source"] = json!(name);
                    }
                    metadata["name"] = json!(name);
                }
            }
        }
        Ok(())
    }
}

impl Search<'_> {
    async fn open_folders(&mut self, items: &mut Vec<Value>) -> ApiResult<()> {
        let db = &self.retrieval.db;
        let mut opened = HashSet::new();
        let ids: Vec<String> = items
            .iter()
            .filter(|item| item["type"] == "folder")
            .filter_map(|item| text(item, "id").map(str::to_owned))
            .collect();
        for id in ids {
            if !opened.insert(id.clone()) {
                continue;
            }
            let Some(folder) = folders::by_id(db, &id).await? else {
                continue;
            };
            if self.user.role != ADMIN && !folders::may_read(db, &folder, &self.user.id).await? {
                continue;
            }
            let files = folder
                .data
                .as_ref()
                .and_then(|data| data.get("files")?.as_array());
            let Some(owner) = users::by_id(db, folder.user_id.as_str()).await? else {
                continue;
            };
            let files = folder_files::readable(db, files.map_or(&[][..], Vec::as_slice), &owner).await?;
            self.vouched.extend(files.iter().map(kind_and_id));
            items.extend(files);
        }
        Ok(())
    }

    async fn answer(&mut self, item: &Value) -> ApiResult<Option<Material>> {
        match self.origin(item).await? {
            Origin::Whole(material) => Ok(Some(material)),
            Origin::Nothing => Ok(None),
            Origin::Collections(names) => self.search(item, names).await,
        }
    }

    async fn origin(&self, item: &Value) -> ApiResult<Origin> {
        let whole = item["context"] == "full" || self.retrieval.is_bypassed();
        Ok(match text(item, "type") {
            Some("text") => Self::raw(item),
            Some("note") => self.note(item).await?,
            Some("chat") => self.chat(item).await?,
            Some("url") => self.page(item).await,
            Some("file") => self.file(item, whole).await?,
            Some("collection") => self.collection(item, whole).await?,
            Some("web_search") if text(item, "collection_name").is_some() => Self::named(item),
            _ if item["docs"].as_array().is_some_and(|docs| !docs.is_empty()) => Self::documents(item),
            _ if self.retrieval.settings.access.all_collections => Self::named(item),
            _ => Origin::Nothing,
        })
    }

    fn named(item: &Value) -> Origin {
        if let Some(name) = text(item, "collection_name") {
            return Origin::Collections(vec![name.to_owned()]);
        }
        let names = item["collection_names"].as_array().into_iter().flatten();
        let names: Vec<String> = names
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        if names.is_empty() {
            Origin::Nothing
        } else {
            Origin::Collections(names)
        }
    }

    fn documents(item: &Value) -> Origin {
        let column = |name: &str| {
            let documents = item["docs"].as_array().into_iter().flatten();
            documents.map(|document| document[name].clone()).collect()
        };
        Origin::Whole(Material {
            documents: column("content"),
            metadatas: column("metadata"),
            scores: None,
        })
    }

    /// A text that came with the request: a page, or a file of a temporary chat.
    fn raw(item: &Value) -> Origin {
        let file = &item["file"];
        let given = || {
            let metadata = if file["meta"].is_object() {
                file["meta"].clone()
            } else {
                json!({})
            };
            Origin::Whole(Material::one(file["data"]["content"].clone(), metadata))
        };
        if item["context"] == "full" && file.is_object() {
            return given();
        }
        if let Some(name) = text(item, "collection_name") {
            return Origin::Collections(vec![name.to_owned()]);
        }
        if file.is_object() {
            return given();
        }
        Origin::Whole(Material::one(
            item["content"].clone(),
            json!({ "name": item["name"] }),
        ))
    }

    async fn note(&self, item: &Value) -> ApiResult<Origin> {
        let db = &self.retrieval.db;
        let Some(id) = text(item, "id") else {
            return Ok(Origin::Nothing);
        };
        let Some(entry) = shared::get::<NoteRow>(db, id).await? else {
            return Ok(Origin::Nothing);
        };
        if !self.may_read(&entry).await? {
            return Ok(Origin::Nothing);
        }
        let content = entry
            .row
            .data
            .as_ref()
            .and_then(|data| data.pointer("/content/md")?.as_str());
        let metadata = json!({ "file_id": entry.row.id, "name": entry.row.title });
        Ok(Origin::Whole(Material::one(
            json!(content.unwrap_or_default()),
            metadata,
        )))
    }

    async fn page(&self, item: &Value) -> Origin {
        let Some(address) = text(item, "url") else {
            return Origin::Nothing;
        };
        match self.pages.text_at(address).await {
            Ok(content) => Origin::Whole(Material::one(
                json!(content),
                json!({ "url": address, "name": address }),
            )),
            Err(error) => {
                tracing::warn!(%address, %error, "an attached address could not be read");
                Origin::Nothing
            }
        }
    }

    async fn may_read<R: shared::Shared>(&self, entry: &shared::Entry<R>) -> ApiResult<bool> {
        let membership = groups::membership(&self.retrieval.db, &self.user.id).await?;
        let reader = Reader {
            user_id: &self.user.id,
            membership: &membership,
            sees_all: self.user.role == ADMIN,
        };
        Ok(entry.permits(&reader, "read"))
    }

    async fn chat(&self, item: &Value) -> ApiResult<Origin> {
        let db = &self.retrieval.db;
        let Some(id) = text(item, "id") else {
            return Ok(Origin::Nothing);
        };
        let Some(chat) = chats::by_id(db, id).await? else {
            return Ok(Origin::Nothing);
        };
        let head = chats::head(db, id).await?;
        let mut readable = (self.user.role == ADMIN && self.retrieval.settings.access.admin_chats)
            || head.as_ref().is_some_and(|head| head.is_owned_by(&self.user.id));
        if let Some(head) = head.filter(|_| !readable) {
            let membership = groups::membership(db, &self.user.id).await?;
            readable = grants::allows(db, chat_access::KIND, id, "read", &self.user.id, &membership).await?
                || chat_access::may_read(db, &head, &self.user.id).await?;
        }
        let content = chat.chat.as_ref().and_then(Value::as_object).and_then(transcript);
        Ok(match content.filter(|_| readable) {
            Some(content) => Origin::Whole(Material::one(
                json!(content),
                json!({ "file_id": chat.id, "name": chat.title }),
            )),
            None => Origin::Nothing,
        })
    }

    async fn may_read_file(&self, id: &str) -> ApiResult<bool> {
        Ok(self.user.role == ADMIN
            || self.vouched.contains(&("file".to_owned(), id.to_owned()))
            || self.retrieval.may_use_file(id, self.user, Use::Read).await?)
    }

    async fn file(&self, item: &Value, whole: bool) -> ApiResult<Origin> {
        let Some(id) = text(item, "id") else {
            return Ok(Origin::Nothing);
        };
        let sent = item.pointer("/file/data/content").and_then(Value::as_str);
        if let Some(content) = sent.filter(|content| whole && !content.is_empty()) {
            let mut metadata = json!({ "file_id": id, "name": item["name"] });
            if let (Some(all), Some(more)) = (
                metadata.as_object_mut(),
                item.pointer("/file/data/metadata").and_then(Value::as_object),
            ) {
                all.extend(more.clone());
            }
            return Ok(Origin::Whole(Material::one(json!(content), metadata)));
        }
        let open = self.retrieval.settings.access.all_collections && !whole;
        if !open {
            let Some(file) = file_texts::get(&self.retrieval.db, id).await? else {
                return Ok(Origin::Nothing);
            };
            if !self.may_read_file(id).await? {
                return Ok(Origin::Nothing);
            }
            if whole {
                let metadata = json!({ "file_id": id, "name": file.filename, "source": file.filename });
                let content = json!(file.content().unwrap_or_default());
                return Ok(Origin::Whole(Material::one(content, metadata)));
            }
        }
        let legacy = item["legacy"] == true;
        let name = if legacy {
            id.to_owned()
        } else {
            collection_of_file(id)
        };
        Ok(Origin::Collections(vec![name]))
    }

    async fn collection(&self, item: &Value, whole: bool) -> ApiResult<Origin> {
        let db = &self.retrieval.db;
        let Some(id) = text(item, "id") else {
            return Ok(Origin::Nothing);
        };
        let Some(entry) = shared::get::<KnowledgeRow>(db, id).await? else {
            return Ok(Origin::Nothing);
        };
        if !self.vouched.contains(&kind_and_id(item)) && !self.may_read(&entry).await? {
            return Ok(Origin::Nothing);
        }
        if let Some(external) = entry.row.meta.as_ref().and_then(|meta| meta.get("external")) {
            return Ok(self.elsewhere(&entry.row, external).await);
        }
        if whole {
            let files = file_texts::of_knowledge(db, id).await?;
            let metadata = |file: &file_texts::FileText| json!({ "file_id": file.id, "name": file.filename, "source": file.filename });
            return Ok(Origin::Whole(Material {
                documents: files
                    .iter()
                    .map(|file| json!(file.content().unwrap_or_default()))
                    .collect(),
                metadatas: files.iter().map(metadata).collect(),
                scores: None,
            }));
        }
        if item["legacy"] != true {
            return Ok(Origin::Collections(vec![id.to_owned()]));
        }
        // Names that an old client sends count only as far as they are the collection's own.
        let files = file_texts::of_knowledge(db, id).await?;
        let mut own: HashSet<String> = files.iter().map(|file| collection_of_file(&file.id)).collect();
        own.insert(id.to_owned());
        let names = match Self::named(item) {
            Origin::Collections(names) => names.into_iter().filter(|name| own.contains(name)).collect(),
            _ => Vec::new(),
        };
        Ok(Origin::Collections(if names.is_empty() {
            vec![id.to_owned()]
        } else {
            names
        }))
    }

    /// What a knowledge base that lies elsewhere answers; nothing when it cannot be asked.
    async fn elsewhere(&self, row: &KnowledgeRow, external: &Value) -> Origin {
        let caller = caller_of(self.user);
        let found = self
            .retrieval
            .external_knowledge(row, external, (self.queries, self.options.k), &caller);
        match found.await {
            Ok(found) if found.documents.is_empty() => Origin::Nothing,
            Ok(found) => Origin::Whole(Material::of(found)),
            Err(error) => {
                tracing::error!(%error, id = row.id, "a knowledge base that lies elsewhere could not be asked");
                Origin::Nothing
            }
        }
    }

    async fn search(&mut self, item: &Value, names: Vec<String>) -> ApiResult<Option<Material>> {
        let fresh: Vec<String> = names
            .into_iter()
            .filter(|name| !self.searched.contains(name))
            .collect();
        let names = if self.vouched.contains(&kind_and_id(item)) {
            fresh
        } else {
            self.retrieval.accessible(&fresh, self.user, Use::Read).await?
        };
        if names.is_empty() {
            return Ok(None);
        }
        self.searched.extend(names.iter().cloned());
        let found = if self.full {
            self.all_of(&names).await
        } else {
            self.best_of(&names).await
        };
        match found {
            Ok(material) => Ok(Some(material)),
            Err(error) => {
                tracing::error!(%error, "an attachment could not be searched");
                Ok(None)
            }
        }
    }

    async fn all_of(&self, names: &[String]) -> crate::Result<Material> {
        let store = self.retrieval.store().await?;
        let mut material = Material {
            documents: Vec::new(),
            metadatas: Vec::new(),
            scores: None,
        };
        for name in names {
            for entry in store
                .query(name, &Filter::all(), None)
                .await?
                .into_iter()
                .flatten()
            {
                material.documents.push(json!(entry.text));
                material.metadatas.push(Value::Object(entry.metadata));
            }
        }
        Ok(material)
    }

    async fn best_of(&self, names: &[String]) -> crate::Result<Material> {
        let caller = caller_of(self.user);
        let found = self
            .retrieval
            .search(names, self.queries, &self.options, Some(&caller))
            .await?;
        Ok(Material::of(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_becomes_one_text() {
        let document = json!({ "history": { "currentId": "b", "messages": {
            "a": {"id": "a", "parentId": null, "role": "user", "content": "Hello"},
            "b": {"id": "b", "parentId": "a", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
            "c": {"id": "c", "parentId": "a", "role": "assistant", "content": "other branch"},
        }}});
        let text = transcript(document.as_object().unwrap()).unwrap();
        assert_eq!(text, "#### User\nHello\n\n#### Assistant\nHi\n");
        assert!(transcript(&Object::new()).is_none());
    }
}
