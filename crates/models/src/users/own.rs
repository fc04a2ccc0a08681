//! What users keep about themselves: client settings and a free object, both changed field by field. The
//! row is read inside the transaction that writes it, so that two tabs do not undo each other.

use oui_core::boxed;
use serde_json::{Map, Value};

use crate::args;
use crate::db::{Changes, Db, DbResult, Dialect, Tx};

use super::{UserRow, by_id, changed};

async fn locked(tx: &mut Tx, id: &str) -> DbResult<Option<UserRow>> {
    // SQLite's write transaction is exclusive already.
    let lock = if tx.db().dialect() == Dialect::Postgres {
        "WHERE id = ? FOR UPDATE"
    } else {
        "WHERE id = ?"
    };
    UserRow::find(&mut *tx, lock, args![id]).await
}

async fn rewrite(
    db: &Db,
    id: &str,
    column: &'static str,
    change: impl FnOnce(&UserRow) -> Map<String, Value>,
) -> DbResult<Option<UserRow>> {
    let mut tx = db.begin().await?;
    let Some(row) = locked(&mut tx, id).await? else {
        return Ok(None);
    };
    let changes = Changes::new().set(column, Value::Object(change(&row)));
    UserRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await?;
    tx.commit().await?;
    changed(db, id);
    by_id(db, id).await
}

/// Changes client settings. Fields of `patch` replace the stored ones, except `ui`, whose own fields are
/// taken one by one: null removes, what is not there stays.
#[boxed]
pub async fn patch_settings(db: &Db, id: &str, patch: Map<String, Value>) -> DbResult<Option<UserRow>> {
    rewrite(db, id, "settings", |row| patched(row.settings_object(), patch)).await
}

/// Stores a user's settings of a plugin; `area` is `tools` or `functions`.
#[boxed]
pub async fn set_plugin_valves(db: &Db, user_id: &str, area: &str, id: &str, valves: Value) -> DbResult<()> {
    rewrite(db, user_id, "settings", |row| {
        let mut settings = row.settings_object();
        let mut part = object_of(settings.get(area));
        let mut all = object_of(part.get("valves"));
        all.insert(id.to_owned(), valves);
        part.insert("valves".into(), Value::Object(all));
        settings.insert(area.to_owned(), Value::Object(part));
        settings
    })
    .await?;
    Ok(())
}

fn object_of(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

fn patched(mut settings: Map<String, Value>, mut patch: Map<String, Value>) -> Map<String, Value> {
    let ui = patch.shift_remove("ui");
    settings.extend(patch);
    if let Some(Value::Object(changes)) = ui {
        let mut ui = settings
            .get("ui")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        for (name, value) in changes {
            if value.is_null() {
                ui.shift_remove(&name);
            } else {
                ui.insert(name, value);
            }
        }
        settings.insert("ui".into(), Value::Object(ui));
    }
    settings
}

/// Adds fields to the free object `info`, replacing those of the same name.
#[boxed]
pub async fn merge_info(db: &Db, id: &str, fields: Map<String, Value>) -> DbResult<Option<UserRow>> {
    rewrite(db, id, "info", |row| {
        let mut info = row
            .info
            .as_ref()
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        info.extend(fields);
        info
    })
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{databases, user};

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[tokio::test]
    async fn settings_and_info_are_changed_field_by_field() {
        for db in databases().await {
            let ada = user(&db, "Ada").await.id;
            patch_settings(&db, &ada, object(json!({"ui": {"a": 1, "b": 2}, "x": 1})))
                .await
                .unwrap();
            let row = patch_settings(&db, &ada, object(json!({"ui": {"a": null, "c": 3}})))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(row.settings_json(), Some(json!({"x": 1, "ui": {"b": 2, "c": 3}})));
            let row = patch_settings(&db, &ada, object(json!({"ui": null, "x": null})))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                row.settings_json(),
                Some(json!({"x": null, "ui": {"b": 2, "c": 3}}))
            );
            merge_info(&db, &ada, object(json!({"a": 1}))).await.unwrap();
            let row = merge_info(&db, &ada, object(json!({"b": 2})))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(row.info, Some(json!({"a": 1, "b": 2})));
            assert_eq!(merge_info(&db, "nobody", Map::new()).await.unwrap(), None);
        }
    }
}
