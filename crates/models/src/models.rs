//! Table `model`: workspace models and overrides of base models. `params` and `meta` are JSON kept
//! in text columns. The list that clients see is put together in the chat crate's catalogue.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::db::{Changes, Conn, Db, DbResult};
use crate::grants::{self, Grant, GrantRow};
use crate::{args, table};

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

fn parsed(text: Option<&str>) -> Map<String, Value> {
    text.and_then(|text| serde_json::from_str::<Value>(text).ok())
        .and_then(|value| value.as_object().cloned())
        .unwrap_or_default()
}

/// `meta` fields that are always present on the wire.
const META_FIELDS: &[(&str, &str)] = &[("profile_image_url", ""), ("description", ""), ("capabilities", "")];

impl ModelRow {
    /// `params` as an object.
    pub fn params_object(&self) -> Map<String, Value> {
        parsed(self.params.as_deref())
    }

    /// `meta` as an object, with the fields that clients expect.
    pub fn meta_object(&self) -> Map<String, Value> {
        let stored = parsed(self.meta.as_deref());
        let mut meta = Map::new();
        for (name, _) in META_FIELDS {
            meta.insert((*name).to_owned(), stored.get(*name).cloned().unwrap_or(Value::Null));
        }
        meta.extend(stored);
        meta
    }

    /// The model as routes send it.
    pub fn to_json(&self, grants: &[GrantRow]) -> Value {
        json!({
            "id": self.id,
            "user_id": self.user_id,
            "base_model_id": self.base_model_id,
            "name": self.name,
            "params": self.params_object(),
            "meta": self.meta_object(),
            "access_grants": grants.iter().map(GrantRow::to_json).collect::<Vec<_>>(),
            "is_active": self.is_active,
            "version_id": self.version_id,
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
            || self.grants.iter().map(GrantRow::grant).any(|grant| {
                grant.permission == "read" && grant.reaches(user_id, membership)
            })
    }
}

/// Every row with its grants, from the cache or with two queries. Models are few and every chat needs them.
pub async fn registry(db: &Db) -> DbResult<Arc<Vec<Registered>>> {
    let cached = db.caches().models.get_or_load(&(), async {
        let rows = ModelRow::list(db, "ORDER BY created_at, id", args![]).await?;
        let all = grants::of_kind(db, KIND).await?;
        let registered = rows
            .into_iter()
            .map(|row| {
                let grants = all.iter().filter(|grant| grant.resource_id == row.id).cloned().collect();
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
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<ModelRow>> {
    ModelRow::find(conn, "WHERE id = ?", args![id]).await
}

/// Inserts a model with its grants.
pub async fn insert(db: &Db, row: &ModelRow, grants: &[Grant]) -> DbResult<()> {
    let mut tx = db.begin().await?;
    row.insert(&mut tx).await?;
    grants::replace(&mut tx, KIND, &row.id, grants).await?;
    tx.commit().await?;
    changed(db);
    Ok(())
}

/// Sets columns of a model and, when given, its grants.
pub async fn update(db: &Db, id: &str, changes: Changes, grants: Option<&[Grant]>) -> DbResult<Option<ModelRow>> {
    let mut tx = db.begin().await?;
    ModelRow::update(&mut tx, changes.set("updated_at", db.now()), "WHERE id = ?", args![id]).await?;
    if let Some(grants) = grants {
        grants::replace(&mut tx, KIND, id, grants).await?;
    }
    tx.commit().await?;
    changed(db);
    by_id(db, id).await
}

/// Deletes a model with its grants; `false` when there was none.
pub async fn delete(db: &Db, id: &str) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    grants::remove(&mut tx, KIND, id).await?;
    let gone = ModelRow::delete(&mut tx, "WHERE id = ?", args![id]).await?;
    tx.commit().await?;
    changed(db);
    Ok(gone > 0)
}
