//! Table `model`: workspace models and overrides of base models. `params` and `meta` are JSON kept
//! in text columns. The list that clients see is put together in the chat crate's catalogue.

use oui_core::boxed;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::db::{Changes, Conn, Db, DbResult, Tx, sql};
use crate::grants::{self, Grant, GrantRow};
use crate::{args, shared_row, table, versions};

/// `resource_type` of models in the grants.
pub const KIND: &str = "model";

table! {
    /// One workspace model, or an override when `base_model_id` is null.
    pub struct ModelRow in "model" {
        /// Model id.
        pub id: String,
        /// Owner.
        pub user_id: Option<String>,
        /// Model that answers.
        pub base_model_id: Option<String>,
        /// Name shown.
        pub name: Option<String>,
        /// JSON text: parameters.
        pub params: Option<String>,
        /// JSON text: description, picture, capabilities, ...
        pub meta: Option<String>,
        /// Seconds.
        pub updated_at: Option<i64>,
        /// Seconds.
        pub created_at: Option<i64>,
        /// Whether it is offered.
        pub is_active: bool,
        /// Version shown.
        pub version_id: Option<String>,
    }
}

shared_row!(ModelRow, KIND);

fn parsed(text: Option<&str>) -> Map<String, Value> {
    text.and_then(|text| serde_json::from_str::<Value>(text).ok())
        .and_then(|value| value.as_object().cloned())
        .unwrap_or_default()
}

/// `meta` fields that are always present on the wire, before all others.
const META_FIELDS: &[&str] = &[
    "profile_image_url",
    "background_image_url",
    "description",
    "i18n",
    "capabilities",
    "knowledge",
    "voice",
    "voice_avatar",
];

/// Brings `meta` into the form of the wire: the declared fields first, tags as `{name}`, and no extracted text
/// of files that it names as knowledge.
pub fn normal_meta(stored: &Map<String, Value>) -> Map<String, Value> {
    let mut meta = Map::new();
    for name in META_FIELDS {
        meta.insert(
            (*name).to_owned(),
            stored.get(*name).cloned().unwrap_or(Value::Null),
        );
    }
    for (name, value) in stored {
        meta.insert(name.clone(), value.clone());
    }
    if let Some(tags) = meta.get_mut("tags") {
        *tags = normal_tags(tags);
    }
    if let Some(items) = meta.get_mut("knowledge").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(without_content);
    }
    meta
}

fn normal_tags(tags: &Value) -> Value {
    let names = tags.as_array().into_iter().flatten().filter_map(|tag| match tag {
        Value::Object(tag) => tag.get("name").and_then(Value::as_str),
        other => other.as_str(),
    });
    names
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| json!({ "name": name }))
        .collect()
}

fn without_content(item: &mut Value) {
    for path in ["/data", "/file/data"] {
        if let Some(data) = item.pointer_mut(path).and_then(Value::as_object_mut) {
            data.shift_remove("content");
        }
    }
}

impl ModelRow {
    /// `params` as an object.
    pub fn params_object(&self) -> Map<String, Value> {
        parsed(self.params.as_deref())
    }

    /// `meta` as an object, in the form of the wire.
    pub fn meta_object(&self) -> Map<String, Value> {
        normal_meta(&parsed(self.meta.as_deref()))
    }

    /// The model as routes send it.
    pub fn to_json(&self, grants: &[GrantRow]) -> Value {
        json!({
            "version_id": self.version_id,
            "id": self.id,
            "user_id": self.user_id,
            "base_model_id": self.base_model_id,
            "name": self.name,
            "params": self.params_object(),
            "meta": self.meta_object(),
            "access_grants": grants.iter().map(GrantRow::to_full_json).collect::<Vec<_>>(),
            "is_active": self.is_active,
            "updated_at": self.updated_at,
            "created_at": self.created_at,
        })
    }
}

/// A row with its grants.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The row.
    pub row: ModelRow,
    /// Grants on it.
    pub grants: Vec<GrantRow>,
}

impl Registered {
    /// Whether a user may use the model by ownership or grants.
    pub fn opens_to(&self, user_id: &str, membership: &crate::groups::Membership) -> bool {
        self.row.user_id.as_deref() == Some(user_id)
            || self
                .grants
                .iter()
                .map(GrantRow::grant)
                .any(|grant| grant.permission == "read" && grant.reaches(user_id, membership))
    }
}

/// Every row with its grants, from the cache or with two queries. Models are few and every chat needs them.
#[boxed]
pub async fn registry(db: &Db) -> DbResult<Arc<Vec<Registered>>> {
    let cached = db.caches().models.get_or_load(&(), async {
        let rows = ModelRow::list(db, "ORDER BY created_at, id", args![]).await?;
        let all = grants::of_kind(db, KIND).await?;
        let registered = rows
            .into_iter()
            .map(|row| {
                let grants = all
                    .iter()
                    .filter(|grant| grant.resource_id == row.id)
                    .cloned()
                    .collect();
                Registered { row, grants }
            })
            .collect();
        Ok(Some(Arc::new(registered)))
    });
    Ok(cached.await?.unwrap_or_default())
}

/// Forgets the cached registry; every write to `model` or to grants on models ends with it.
pub fn changed(db: &Db) {
    db.caches().models.clear();
}

/// The row with this id.
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<ModelRow>> {
    ModelRow::find(conn, "WHERE id = ?", args![id]).await
}

/// What a request may set of a model.
#[derive(Debug, Clone)]
pub struct ModelData {
    /// Model that answers.
    pub base_model_id: Option<String>,
    /// Name shown.
    pub name: String,
    /// Parameters.
    pub params: Map<String, Value>,
    /// Description, picture, capabilities, ...
    pub meta: Map<String, Value>,
    /// Whether it is offered; `None` keeps what is stored.
    pub is_active: Option<bool>,
}

impl ModelData {
    /// What is stored of a row.
    pub fn of(row: &ModelRow) -> Self {
        Self {
            base_model_id: row.base_model_id.clone(),
            name: row.name.clone().unwrap_or_default(),
            params: row.params_object(),
            meta: row.meta_object(),
            is_active: None,
        }
    }

    /// What a version keeps: everything but the switches of the live model.
    fn snapshot(&self) -> Value {
        let mut meta = self.meta.clone();
        meta.shift_remove("hidden");
        meta.shift_remove("chat_variables_schema");
        json!({ "name": self.name, "base_model_id": self.base_model_id, "params": self.params, "meta": meta })
    }

    fn stored_meta(&self) -> String {
        let mut meta = self.meta.clone();
        meta.shift_remove("chat_variables_schema");
        Value::Object(meta).to_string()
    }

    fn stored_params(&self) -> String {
        Value::Object(self.params.clone()).to_string()
    }
}

/// Who writes a model and why.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Account id.
    pub user_id: &'a str,
    /// Message of the new version.
    pub message: Option<&'a str>,
}

/// Inserts a model with its grants and its first version.
#[boxed]
pub async fn create(
    db: &Db,
    id: &str,
    data: &ModelData,
    grants: &[Grant],
    commit: Commit<'_>,
) -> DbResult<()> {
    let mut tx = db.begin().await?;
    create_in(&mut tx, id, data, Some(grants), commit).await?;
    tx.commit().await?;
    changed(db);
    Ok(())
}

async fn create_in(
    tx: &mut Tx,
    id: &str,
    data: &ModelData,
    grants: Option<&[Grant]>,
    commit: Commit<'_>,
) -> DbResult<()> {
    let now = tx.db().now();
    let version = versions::MODELS
        .add(tx, id, &data.snapshot(), commit.user_id, None, commit.message)
        .await?;
    let row = ModelRow {
        id: id.to_owned(),
        user_id: Some(commit.user_id.to_owned()),
        base_model_id: data.base_model_id.clone(),
        name: Some(data.name.clone()),
        params: Some(data.stored_params()),
        meta: Some(data.stored_meta()),
        updated_at: Some(now),
        created_at: Some(now),
        is_active: data.is_active.unwrap_or(true),
        version_id: Some(version),
    };
    row.insert(&mut *tx).await?;
    grants::replace(tx, KIND, id, grants.unwrap_or_default()).await
}

/// Writes a model; a new version is added when something changed that versions keep. `false` when the model is
/// gone.
#[boxed]
pub async fn save(db: &Db, id: &str, data: &ModelData, commit: Commit<'_>) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let saved = save_in(&mut tx, id, data, commit).await?;
    tx.commit().await?;
    changed(db);
    Ok(saved)
}

/// Reads the row and keeps others from writing it until the transaction ends.
async fn locked(tx: &mut Tx, id: &str) -> DbResult<Option<ModelRow>> {
    sql("UPDATE model SET version_id = version_id WHERE id = ?", args![id])
        .execute(&mut *tx)
        .await?;
    by_id(&mut *tx, id).await
}

async fn save_in(tx: &mut Tx, id: &str, data: &ModelData, commit: Commit<'_>) -> DbResult<bool> {
    let Some(current) = locked(tx, id).await? else {
        return Ok(false);
    };
    let mut version = current.version_id.clone();
    let snapshot = data.snapshot();
    if snapshot != ModelData::of(&current).snapshot() {
        let parent = current.version_id.as_deref();
        version = Some(
            versions::MODELS
                .add(tx, id, &snapshot, commit.user_id, parent, commit.message)
                .await?,
        );
    }
    write(tx, id, data, version).await?;
    Ok(true)
}

async fn write(tx: &mut Tx, id: &str, data: &ModelData, version: Option<String>) -> DbResult<()> {
    let changes = Changes::new()
        .set("base_model_id", data.base_model_id.clone())
        .set("name", data.name.as_str())
        .set("params", data.stored_params())
        .set("meta", data.stored_meta())
        .set_some("is_active", data.is_active)
        .set("version_id", version)
        .set("updated_at", tx.db().now());
    ModelRow::update(tx, changes, "WHERE id = ?", args![id]).await?;
    Ok(())
}

/// Makes an older version the live one. Whether the model is shown or hidden stays as it is. `false` when model
/// or version are gone.
#[boxed]
pub async fn restore(db: &Db, id: &str, version_id: &str, data: &ModelData) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let Some(current) = locked(&mut tx, id).await? else {
        return Ok(false);
    };
    if versions::MODELS.get(&mut tx, id, version_id).await?.is_none() {
        return Ok(false);
    }
    let mut data = data.clone();
    data.is_active = None;
    data.meta.shift_remove("hidden");
    if let Some(hidden) = current.meta_object().get("hidden") {
        data.meta.insert("hidden".into(), hidden.clone());
    }
    write(&mut tx, id, &data, Some(version_id.to_owned())).await?;
    tx.commit().await?;
    changed(db);
    Ok(true)
}

/// What came of removing a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Done,
    /// It is the live one and stays.
    Current,
    /// There is none.
    Missing,
}

/// Removes a version of a model, unless it is the live one.
#[boxed]
pub async fn remove_version(db: &Db, id: &str, version_id: &str) -> DbResult<Removal> {
    let mut tx = db.begin().await?;
    let Some(current) = locked(&mut tx, id).await? else {
        return Ok(Removal::Missing);
    };
    if current.version_id.as_deref() == Some(version_id) {
        return Ok(Removal::Current);
    }
    if !versions::MODELS.remove(&mut tx, id, version_id).await? {
        return Ok(Removal::Missing);
    }
    tx.commit().await?;
    Ok(Removal::Done)
}

/// Offers the model or stops offering it.
#[boxed]
pub async fn toggle(db: &Db, id: &str) -> DbResult<()> {
    sql(
        "UPDATE model SET is_active = NOT is_active, updated_at = ? WHERE id = ?",
        args![db.now(), id],
    )
    .execute(db)
    .await?;
    changed(db);
    Ok(())
}

/// Replaces the grants on a model.
#[boxed]
pub async fn set_grants(db: &Db, id: &str, grants: &[Grant]) -> DbResult<()> {
    let mut tx = db.begin().await?;
    grants::replace(&mut tx, KIND, id, grants).await?;
    ModelRow::update(
        &mut tx,
        Changes::new().set("updated_at", db.now()),
        "WHERE id = ?",
        args![id],
    )
    .await?;
    tx.commit().await?;
    changed(db);
    Ok(())
}

async fn delete_in(tx: &mut Tx, ids: &[String]) -> DbResult<()> {
    for id in ids {
        grants::remove(&mut *tx, KIND, id).await?;
        ModelRow::delete(&mut *tx, "WHERE id = ?", args![id]).await?;
    }
    versions::MODELS.remove_all(tx, ids).await
}

/// Deletes a model with its grants and versions.
#[boxed]
pub async fn delete(db: &Db, id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    delete_in(&mut tx, &[id.to_owned()]).await?;
    tx.commit().await?;
    changed(db);
    Ok(())
}

async fn all_ids(tx: &mut Tx) -> DbResult<Vec<String>> {
    let rows = sql("SELECT id FROM model", args![]).all(&mut *tx).await?;
    rows.iter().map(|row| row.at(0)).collect()
}

/// Deletes all models with their grants and versions.
#[boxed]
pub async fn delete_all(db: &Db) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let ids = all_ids(&mut tx).await?;
    delete_in(&mut tx, &ids).await?;
    tx.commit().await?;
    changed(db);
    Ok(())
}

/// A model of a list that replaces all models.
pub struct Synced {
    /// Model id.
    pub id: String,
    /// Its data.
    pub data: ModelData,
    /// Grants of a model that is new; the others keep theirs.
    pub grants: Vec<Grant>,
}

/// Makes the table hold exactly the given models.
#[boxed]
pub async fn sync(db: &Db, models: &[Synced], commit: Commit<'_>) -> DbResult<()> {
    let mut tx = db.begin().await?;
    let existing = all_ids(&mut tx).await?;
    for model in models {
        if existing.contains(&model.id) {
            save_in(&mut tx, &model.id, &model.data, commit).await?;
        } else {
            create_in(&mut tx, &model.id, &model.data, Some(&model.grants), commit).await?;
        }
    }
    let gone: Vec<String> = existing
        .into_iter()
        .filter(|id| !models.iter().any(|model| model.id == *id))
        .collect();
    delete_in(&mut tx, &gone).await?;
    tx.commit().await?;
    changed(db);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(name: &str) -> ModelData {
        ModelData {
            base_model_id: Some("echo".into()),
            name: name.into(),
            params: Map::new(),
            meta: normal_meta(&Map::from_iter([("hidden".to_owned(), json!(name == "A"))])),
            is_active: None,
        }
    }

    #[test]
    fn meta_is_brought_into_form() {
        let stored = json!({"tags": ["a", {"name": " b "}, 3], "knowledge": [{"id": "f", "file": {"data": {"content": "x", "y": 1}}}]});
        let meta = Value::Object(normal_meta(stored.as_object().unwrap()));
        assert_eq!(meta["tags"], json!([{"name": "a"}, {"name": "b"}]));
        assert_eq!(
            meta["knowledge"],
            json!([{"id": "f", "file": {"data": {"y": 1}}}])
        );
        assert_eq!(meta["voice_avatar"], Value::Null);
    }

    #[tokio::test]
    async fn models_keep_versions_and_what_belongs_to_the_live_one() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let commit = Commit {
                user_id: &ada.id,
                message: None,
            };
            create(&db, "m", &data("A"), &[Grant::public_read()], commit)
                .await
                .unwrap();
            let find = async || by_id(&db, "m").await.unwrap().unwrap();
            let first = find().await.version_id.unwrap();
            // Whether a model is hidden is no matter of versions.
            let mut shown = data("A");
            shown.meta.insert("hidden".into(), json!(false));
            assert!(save(&db, "m", &shown, commit).await.unwrap());
            assert_eq!(find().await.version_id.as_deref(), Some(first.as_str()));
            assert!(save(&db, "m", &data("B"), commit).await.unwrap());
            assert_ne!(find().await.version_id.as_deref(), Some(first.as_str()));
            assert!(restore(&db, "m", &first, &data("A")).await.unwrap());
            assert_eq!(
                (
                    find().await.name.as_deref(),
                    &find().await.meta_object()["hidden"]
                ),
                (Some("A"), &json!(false))
            );
            assert_eq!(remove_version(&db, "m", &first).await.unwrap(), Removal::Current);
            assert_eq!(remove_version(&db, "m", "x").await.unwrap(), Removal::Missing);
            toggle(&db, "m").await.unwrap();
            assert!(!find().await.is_active);
            assert_eq!(registry(&db).await.unwrap()[0].grants.len(), 1);
            let other = Synced {
                id: "n".into(),
                data: data("N"),
                grants: Vec::new(),
            };
            sync(&db, &[other], commit).await.unwrap();
            let ids: Vec<String> = registry(&db)
                .await
                .unwrap()
                .iter()
                .map(|model| model.row.id.clone())
                .collect();
            assert_eq!(ids, ["n"]);
            assert!(grants::of(&db, KIND, "m").await.unwrap().is_empty());
            delete_all(&db).await.unwrap();
            assert!(registry(&db).await.unwrap().is_empty());
        }
    }
}
