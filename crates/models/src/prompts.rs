//! Table `prompt`: prompts that users insert by a command, and how each change becomes a version.

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::db::{Changes, Conn, Db, DbResult, Dialect, Tx, sql};
use crate::grants::{self, Grant, GrantRow};
use crate::models::Commit;
use crate::shared::{self, Condition, Filter, Reader};
use crate::{args, shared_row, table, versions};

/// `resource_type` of prompts in the grants.
pub const KIND: &str = "prompt";

table! {
    /// One prompt.
    pub struct PromptRow in "prompt" {
        /// Row id.
        pub id: String,
        /// Word that inserts it, unique.
        pub command: String,
        /// Owner.
        pub user_id: String,
        /// Name shown.
        pub name: String,
        /// The text.
        pub content: String,
        /// Parameters.
        pub data: Option<Value>,
        /// Free object.
        pub meta: Option<Value>,
        /// List of names.
        pub tags: Option<Value>,
        /// Whether it is offered.
        pub is_active: bool,
        /// The live version.
        pub version_id: Option<String>,
        /// Seconds.
        pub created_at: i64,
        /// Seconds.
        pub updated_at: i64,
    }
}

shared_row!(PromptRow, KIND);

impl PromptRow {
    /// The prompt as routes send it, with its grants.
    pub fn to_json(&self, grants: &[GrantRow]) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in [
            ("id", json!(self.id)),
            ("command", json!(self.command)),
            ("user_id", json!(self.user_id)),
            ("name", json!(self.name)),
            ("content", json!(self.content)),
            ("data", json!(self.data)),
            ("meta", json!(self.meta)),
            ("tags", json!(self.tags)),
            ("is_active", json!(self.is_active)),
            ("version_id", json!(self.version_id)),
            ("created_at", json!(self.created_at)),
            ("updated_at", json!(self.updated_at)),
            ("access_grants", shared::grants_json(grants)),
        ] {
            object.insert(name.to_owned(), value);
        }
        object
    }
}

/// What a request may set of a prompt.
#[derive(Debug, Clone)]
pub struct PromptData {
    /// Word that inserts it.
    pub command: String,
    /// Name shown.
    pub name: String,
    /// The text.
    pub content: String,
    /// Parameters; empty counts as not given.
    pub data: Option<Map<String, Value>>,
    /// Free object; empty counts as not given.
    pub meta: Option<Map<String, Value>>,
    /// Names.
    pub tags: Option<Vec<String>>,
}

impl PromptData {
    fn snapshot(&self, tags: &Value, grants: &[GrantRow]) -> Value {
        json!({
            "name": self.name,
            "content": self.content,
            "command": self.command,
            "data": self.data.clone().unwrap_or_default(),
            "meta": self.meta.clone().unwrap_or_default(),
            "tags": tags,
            "access_grants": shared::grants_json(grants),
        })
    }
}

/// Condition: the prompt has this tag, whatever its case.
pub fn has_tag(dialect: Dialect, tag: &str) -> Condition {
    match dialect {
        Dialect::Sqlite => (
            "EXISTS (SELECT 1 FROM json_each(r.tags) t WHERE t.value LIKE ? ESCAPE '/')".into(),
            args![shared::like_literal(tag)],
        ),
        Dialect::Postgres => (
            "EXISTS (SELECT 1 FROM json_array_elements_text(\
               CASE json_typeof(r.tags) WHEN 'array' THEN r.tags ELSE '[]' END) t(value) WHERE LOWER(t.value) = ?)"
                .into(),
            args![tag.to_lowercase()],
        ),
    }
}

/// Condition: the prompt is offered.
pub fn is_active() -> Condition {
    ("r.is_active = ?".into(), args![true])
}

/// Names of the tags of all offered prompts that the reader may read, sorted.
#[boxed]
pub async fn tags(db: &Db, reader: Reader<'_>) -> DbResult<Vec<String>> {
    let filter = Filter::readable(reader, "r.id").and(is_active());
    let entries = shared::list::<PromptRow>(db, &filter).await?;
    let mut names: Vec<String> = entries
        .iter()
        .filter_map(|entry| entry.row.tags.as_ref()?.as_array())
        .flatten()
        .filter_map(|tag| tag.as_str().filter(|tag| !tag.is_empty()).map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The prompt with this command.
#[boxed]
pub async fn by_command(conn: impl Into<Conn<'_>>, command: &str) -> DbResult<Option<PromptRow>> {
    PromptRow::find(conn, "WHERE command = ?", args![command]).await
}

/// Inserts a prompt with its grants and its first version. Answers its id.
#[boxed]
pub async fn create(db: &Db, data: &PromptData, grants: &[Grant], commit: Commit<'_>) -> DbResult<String> {
    let (id, now) = (ids::uuid(), db.now());
    let tags = json!(data.tags.clone().unwrap_or_default());
    let mut tx = db.begin().await?;
    grants::replace(&mut tx, KIND, &id, grants).await?;
    let snapshot = data.snapshot(&tags, &grants::of(&mut tx, KIND, &id).await?);
    let version = versions::PROMPTS
        .add(&mut tx, &id, &snapshot, commit.user_id, None, commit.message)
        .await?;
    let row = PromptRow {
        id: id.clone(),
        command: data.command.clone(),
        user_id: commit.user_id.to_owned(),
        name: data.name.clone(),
        content: data.content.clone(),
        data: Some(Value::Object(data.data.clone().unwrap_or_default())),
        meta: Some(Value::Object(data.meta.clone().unwrap_or_default())),
        tags: Some(tags),
        is_active: true,
        version_id: Some(version),
        created_at: now,
        updated_at: now,
    };
    row.insert(&mut tx).await?;
    tx.commit().await?;
    Ok(id)
}

async fn locked(tx: &mut Tx, id: &str) -> DbResult<Option<PromptRow>> {
    sql(
        "UPDATE prompt SET version_id = version_id WHERE id = ?",
        args![id],
    )
    .execute(&mut *tx)
    .await?;
    PromptRow::find(&mut *tx, "WHERE id = ?", args![id]).await
}

/// Writes a prompt; a change of name, command, text or tags becomes a version. With `live` off only the command
/// changes and the new version waits to be chosen.
#[boxed]
pub async fn save(db: &Db, id: &str, data: &PromptData, live: bool, commit: Commit<'_>) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let Some(current) = locked(&mut tx, id).await? else {
        return Ok(false);
    };
    let given_tags = data.tags.as_ref().map(|tags| json!(tags));
    let differs = current.name != data.name
        || current.command != data.command
        || current.content != data.content
        || given_tags
            .as_ref()
            .is_some_and(|tags| current.tags.as_ref() != Some(tags));
    let mut changes = Changes::new()
        .set("command", data.command.as_str())
        .set("updated_at", db.now());
    if live {
        let filled = |object: &Option<Map<String, Value>>| {
            object
                .clone()
                .filter(|object| !object.is_empty())
                .map(Value::Object)
        };
        changes = changes
            .set("name", data.name.as_str())
            .set("content", data.content.as_str())
            .set_some("data", filled(&data.data))
            .set_some("meta", filled(&data.meta))
            .set_some("tags", given_tags.clone());
    }
    if differs {
        let parent = versions::PROMPTS
            .list(&mut tx, id, 0, 1)
            .await?
            .into_iter()
            .next()
            .map(|version| version.id);
        let tags = given_tags
            .or(current.tags)
            .filter(|tags| !tags.is_null())
            .unwrap_or_else(|| json!([]));
        let snapshot = data.snapshot(&tags, &grants::of(&mut tx, KIND, id).await?);
        let version = versions::PROMPTS
            .add(
                &mut tx,
                id,
                &snapshot,
                commit.user_id,
                parent.as_deref(),
                commit.message,
            )
            .await?;
        if live {
            changes = changes.set("version_id", version);
        }
    }
    PromptRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await?;
    tx.commit().await?;
    Ok(true)
}

/// Sets name, command and, when given, tags, without a version.
#[boxed]
pub async fn rename(db: &Db, id: &str, name: &str, command: &str, tags: Option<&[String]>) -> DbResult<()> {
    let changes = Changes::new()
        .set("name", name)
        .set("command", command)
        .set_some("tags", tags.map(|tags| json!(tags)))
        .set("updated_at", db.now());
    PromptRow::update(db, changes, "WHERE id = ?", args![id]).await?;
    Ok(())
}

/// Makes an older version the live one; command and grants stay. `false` when there is no such version.
#[boxed]
pub async fn restore(db: &Db, id: &str, version_id: &str) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let Some(version) = versions::PROMPTS.get(&mut tx, id, version_id).await? else {
        return Ok(false);
    };
    let text = |name: &str| {
        version
            .snapshot
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let part = |name: &str| version.snapshot.get(name).cloned();
    let changes = Changes::new()
        .set_some("name", text("name"))
        .set_some("content", text("content"))
        .set_some("data", part("data"))
        .set_some("meta", part("meta"))
        .set_some("tags", part("tags"))
        .set("version_id", version_id)
        .set("updated_at", db.now());
    PromptRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await?;
    tx.commit().await?;
    Ok(true)
}

/// Offers the prompt or stops offering it.
#[boxed]
pub async fn toggle(db: &Db, id: &str) -> DbResult<()> {
    sql(
        "UPDATE prompt SET is_active = NOT is_active, updated_at = ? WHERE id = ?",
        args![db.now(), id],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a version and lets its followers come from its parent. `false` when there is none.
#[boxed]
pub async fn remove_version(db: &Db, id: &str, version_id: &str) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let removed = versions::PROMPTS.remove(&mut tx, id, version_id).await?;
    tx.commit().await?;
    Ok(removed)
}

/// Deletes a prompt with its grants and versions.
#[boxed]
pub async fn delete(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    versions::PROMPTS.remove_all(&mut tx, &[id.to_owned()]).await?;
    grants::remove(&mut tx, KIND, id).await?;
    PromptRow::delete(&mut tx, "WHERE id = ?", args![id]).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::Membership;

    fn data(command: &str, tags: &[&str]) -> PromptData {
        PromptData {
            command: command.into(),
            name: format!("Name of {command}"),
            content: "text".into(),
            data: None,
            meta: None,
            tags: Some(tags.iter().map(|tag| (*tag).to_owned()).collect()),
        }
    }

    #[tokio::test]
    async fn prompts_are_seen_by_owner_and_grant_and_found_by_text_and_tag() {
        for db in crate::testing::databases().await {
            let (ada, bob) = (
                crate::testing::user(&db, "ada").await,
                crate::testing::user(&db, "bob").await,
            );
            let commit = |user_id| Commit {
                user_id,
                message: None,
            };
            let mine = create(&db, &data("mine", &["Öl", "100%"]), &[], commit(&ada.id))
                .await
                .unwrap();
            let open = create(
                &db,
                &data("open", &["Alpha"]),
                &[Grant::public_read()],
                commit(&ada.id),
            )
            .await
            .unwrap();
            let nobody = Membership::default();
            fn of<'a>(user_id: &'a str, membership: &'a Membership) -> Reader<'a> {
                Reader {
                    user_id,
                    membership,
                    sees_all: false,
                }
            }
            let seen = async |user_id: &str, condition: Option<Condition>, view: Option<&'static str>| {
                let mut filter = Filter::readable(of(user_id, &nobody), "r.command").page(1, 10);
                filter.conditions.extend(condition);
                filter.view = view;
                let page = shared::search::<PromptRow>(&db, &filter).await.unwrap();
                assert_eq!(page.total, i64::try_from(page.entries.len()).unwrap());
                page.entries
                    .into_iter()
                    .map(|entry| entry.row.command)
                    .collect::<Vec<_>>()
            };
            assert_eq!(seen(&ada.id, None, None).await, ["mine", "open"]);
            assert_eq!(seen(&bob.id, None, None).await, ["open"]);
            assert_eq!(seen(&bob.id, None, Some("created")).await, Vec::<String>::new());
            assert_eq!(seen(&bob.id, None, Some("shared")).await, ["open"]);
            let named = shared::contains(&["r.name", "u.name"], "NAME OF MI");
            assert_eq!(seen(&ada.id, Some(named), None).await, ["mine"]);
            assert_eq!(
                seen(&ada.id, Some(has_tag(db.dialect(), "alpha")), None).await,
                ["open"]
            );
            assert_eq!(
                seen(&ada.id, Some(has_tag(db.dialect(), "100%")), None).await,
                ["mine"]
            );
            assert_eq!(
                seen(&ada.id, Some(has_tag(db.dialect(), "1%")), None).await,
                Vec::<String>::new()
            );
            let in_json = shared::json_contains("r.tags", "Öl");
            assert_eq!(seen(&ada.id, Some(in_json), None).await, ["mine"]);
            assert_eq!(
                tags(&db, of(&ada.id, &nobody)).await.unwrap(),
                ["100%", "Alpha", "Öl"]
            );
            toggle(&db, &open).await.unwrap();
            assert_eq!(
                tags(&db, of(&bob.id, &nobody)).await.unwrap(),
                Vec::<String>::new()
            );
            let entry = shared::get::<PromptRow>(&db, &mine).await.unwrap().unwrap();
            assert_eq!(entry.user_json()["name"], ada.name.as_str());
            assert!(
                !entry.permits(&of(&bob.id, &nobody), "read")
                    && entry.permits(&of(&ada.id, &nobody), "write")
            );
        }
    }

    #[tokio::test]
    async fn changes_become_versions_and_can_be_taken_back() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let commit = Commit {
                user_id: &ada.id,
                message: Some("why"),
            };
            let id = create(&db, &data("c", &[]), &[], commit).await.unwrap();
            let find = async || shared::get::<PromptRow>(&db, &id).await.unwrap().unwrap().row;
            let first = find().await.version_id.unwrap();
            assert!(save(&db, &id, &data("c", &[]), true, commit).await.unwrap());
            assert_eq!(find().await.version_id.as_deref(), Some(first.as_str()));
            let changed = PromptData {
                content: "new".into(),
                ..data("c", &["t"])
            };
            assert!(save(&db, &id, &changed, true, commit).await.unwrap());
            let second = find().await.version_id.unwrap();
            let entry = versions::PROMPTS.get(&db, &id, &second).await.unwrap().unwrap();
            assert_eq!(
                (entry.parent_id.as_deref(), &entry.snapshot["content"]),
                (Some(first.as_str()), &json!("new"))
            );
            assert_eq!(entry.author_json()["id"], ada.id.as_str());
            assert!(restore(&db, &id, &first).await.unwrap());
            assert_eq!(
                (find().await.content.as_str(), find().await.tags),
                ("text", Some(json!([])))
            );
            assert!(!restore(&db, &id, "nothing").await.unwrap());
            assert!(remove_version(&db, &id, &first).await.unwrap());
            let entry = versions::PROMPTS.get(&db, &id, &second).await.unwrap().unwrap();
            assert_eq!(entry.parent_id, None);
            delete(&db, &id).await.unwrap();
            assert!(versions::PROMPTS.list(&db, &id, 0, 9).await.unwrap().is_empty());
        }
    }
}
