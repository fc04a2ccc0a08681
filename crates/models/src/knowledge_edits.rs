//! Changes of knowledge bases: the collections, their folders, and which files are in them.

use oui_core::boxed;
use oui_core::ids;
use serde_json::Value;

use crate::db::{Changes, Conn, Db, DbResult, Tx, placeholders, sql};
use crate::grants::{self, Grant};
use crate::knowledge::{DirectoryRow, KIND, KnowledgeRow};
use crate::{args, loose_chunks, table};

table! {
    /// A file in a collection.
    pub struct LinkRow in "knowledge_file" {
        /// Row id.
        pub id: String,
        /// Who put it there.
        pub user_id: String,
        /// Collection.
        pub knowledge_id: String,
        /// File.
        pub file_id: String,
        /// Seconds.
        pub created_at: i64,
        /// Seconds.
        pub updated_at: i64,
        /// Folder; none for the top.
        pub directory_id: Option<String>,
    }
}

/// Makes a collection with its grants.
#[boxed]
pub async fn create(
    db: &Db,
    user_id: &str,
    name: &str,
    description: &str,
    meta: Option<Value>,
    wanted: &[Grant],
) -> DbResult<String> {
    let mut tx = db.begin().await?;
    let id = create_in(&mut tx, user_id, (name, description), meta, wanted).await?;
    tx.commit().await?;
    Ok(id)
}

/// As [`create`], together with other changes.
#[boxed]
pub async fn create_in(
    tx: &mut Tx,
    user_id: &str,
    (name, description): (&str, &str),
    meta: Option<Value>,
    wanted: &[Grant],
) -> DbResult<String> {
    let now = tx.db().now();
    let row = KnowledgeRow {
        id: ids::uuid(),
        user_id: user_id.to_owned(),
        name: name.to_owned(),
        description: Some(description.to_owned()),
        meta,
        created_at: now,
        updated_at: Some(now),
    };
    row.insert(&mut *tx).await?;
    grants::replace(tx, KIND, &row.id, wanted).await?;
    Ok(row.id)
}

/// Renames a collection; with `wanted` its grants are replaced.
#[boxed]
pub async fn update(
    db: &Db,
    id: &str,
    name: &str,
    description: &str,
    wanted: Option<&[Grant]>,
) -> DbResult<()> {
    let mut tx = db.begin().await?;
    update_in(&mut tx, id, (name, description), None, wanted).await?;
    tx.commit().await
}

/// As [`update`], together with other changes; with `meta` the free object is replaced, too.
#[boxed]
pub async fn update_in(
    tx: &mut Tx,
    id: &str,
    (name, description): (&str, &str),
    meta: Option<Value>,
    wanted: Option<&[Grant]>,
) -> DbResult<()> {
    let now = tx.db().now();
    let changes = Changes::new()
        .set("name", name)
        .set("description", description)
        .set("updated_at", now);
    let changes = match meta {
        Some(meta) => changes.set("meta", meta),
        None => changes,
    };
    KnowledgeRow::update(&mut *tx, changes, "WHERE id = ?", args![id]).await?;
    if let Some(wanted) = wanted {
        grants::replace(tx, KIND, id, wanted).await?;
    }
    Ok(())
}

/// Removes a collection with its folders, links and grants, and takes it out of the workspace models that use it.
#[boxed]
pub async fn remove(db: &Db, id: &str) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let rows = sql(
        "SELECT id, meta FROM model WHERE CAST(meta AS TEXT) LIKE ?",
        args![format!("%{id}%")],
    )
    .all(&mut tx)
    .await?;
    for row in &rows {
        let (model, meta): (String, Option<Value>) = (row.at(0)?, row.at(1)?);
        let Some(mut meta) = meta else { continue };
        let Some(list) = meta.get_mut("knowledge").and_then(Value::as_array_mut) else {
            continue;
        };
        let before = list.len();
        list.retain(|entry| entry.get("id").and_then(Value::as_str) != Some(id));
        if list.len() != before {
            sql(
                "UPDATE model SET meta = ?, updated_at = ? WHERE id = ?",
                args![meta, db.now(), model],
            )
            .execute(&mut tx)
            .await?;
        }
    }
    grants::remove(&mut tx, KIND, id).await?;
    loose_chunks::note_leaving(&mut tx, id, &[]).await?;
    LinkRow::delete(&mut tx, "WHERE knowledge_id = ?", args![id]).await?;
    DirectoryRow::delete(&mut tx, "WHERE knowledge_id = ?", args![id]).await?;
    let removed = KnowledgeRow::delete(&mut tx, "WHERE id = ?", args![id]).await? > 0;
    tx.commit().await?;
    db.caches().models.clear();
    Ok(removed)
}

/// Empties a collection, with `folders` of its folders too.
#[boxed]
pub async fn reset(tx: &mut Tx, id: &str, folders: bool) -> DbResult<()> {
    loose_chunks::note_leaving(tx, id, &[]).await?;
    LinkRow::delete(&mut *tx, "WHERE knowledge_id = ?", args![id]).await?;
    if folders {
        DirectoryRow::delete(&mut *tx, "WHERE knowledge_id = ?", args![id]).await?;
    }
    let now = tx.db().now();
    KnowledgeRow::update(
        tx,
        Changes::new().set("updated_at", now),
        "WHERE id = ?",
        args![id],
    )
    .await?;
    Ok(())
}

/// Puts a file into a collection. One that is there already stays where it is.
#[boxed]
pub async fn link(
    tx: &mut Tx,
    now: i64,
    id: &str,
    file_id: &str,
    user_id: &str,
    directory: Option<&str>,
) -> DbResult<()> {
    let row = LinkRow {
        id: ids::uuid(),
        user_id: user_id.to_owned(),
        knowledge_id: id.to_owned(),
        file_id: file_id.to_owned(),
        created_at: now,
        updated_at: now,
        directory_id: directory.map(str::to_owned),
    };
    row.insert_or(&mut *tx, "ON CONFLICT DO NOTHING").await?;
    loose_chunks::settle(tx, id, file_id).await
}

/// Takes a file out of a collection. Its chunks are noted as loose until they are removed, too.
#[boxed]
pub async fn unlink(db: &Db, id: &str, file_id: &str) -> DbResult<()> {
    let mut tx = db.begin().await?;
    loose_chunks::note(&mut tx, id, &[file_id]).await?;
    LinkRow::delete(
        &mut tx,
        "WHERE knowledge_id = ? AND file_id = ?",
        args![id, file_id],
    )
    .await?;
    tx.commit().await
}

/// Whether a file is in a collection.
#[boxed]
pub async fn has_file(conn: impl Into<Conn<'_>>, id: &str, file_id: &str) -> DbResult<bool> {
    let found = LinkRow::count(conn, "WHERE knowledge_id = ? AND file_id = ?", args![id, file_id]).await?;
    Ok(found > 0)
}

/// In how many collections a file is.
#[boxed]
pub async fn uses_of_file(conn: impl Into<Conn<'_>>, file_id: &str) -> DbResult<i64> {
    LinkRow::count(conn, "WHERE file_id = ?", args![file_id]).await
}

/// Ids of the collections that a file is in.
#[boxed]
pub async fn of_file(conn: impl Into<Conn<'_>>, file_id: &str) -> DbResult<Vec<String>> {
    let links = LinkRow::list(conn, "WHERE file_id = ? ORDER BY created_at, id", args![file_id]).await?;
    Ok(links.into_iter().map(|link| link.knowledge_id).collect())
}

/// Links of a collection.
#[boxed]
pub async fn links(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Vec<LinkRow>> {
    LinkRow::list(conn, "WHERE knowledge_id = ? ORDER BY created_at, id", args![id]).await
}

/// Puts a file into another folder of its collection.
#[boxed]
pub async fn move_file(db: &Db, id: &str, file_id: &str, directory: Option<&str>) -> DbResult<()> {
    let changes = Changes::new()
        .set("directory_id", directory.map(str::to_owned))
        .set("updated_at", db.now());
    LinkRow::update(
        db,
        changes,
        "WHERE knowledge_id = ? AND file_id = ?",
        args![id, file_id],
    )
    .await?;
    Ok(())
}

/// A folder.
#[boxed]
pub async fn directory(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<DirectoryRow>> {
    DirectoryRow::find(conn, "WHERE id = ?", args![id]).await
}

/// Makes a folder. `None` when its parent has one of that name.
#[boxed]
pub async fn make_directory(
    db: &Db,
    id: &str,
    name: &str,
    user_id: &str,
    parent: Option<&str>,
) -> DbResult<Option<DirectoryRow>> {
    let row = DirectoryRow {
        id: ids::uuid(),
        knowledge_id: id.to_owned(),
        parent_id: parent.map(str::to_owned),
        name: name.to_owned(),
        user_id: user_id.to_owned(),
        created_at: db.now(),
        updated_at: db.now(),
    };
    match row.insert(db).await {
        Ok(()) => Ok(Some(row)),
        Err(error) if error.is_unique_violation() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Renames a folder, moves it, or both. `None` when it would lie in itself or beside one of the same name.
#[boxed]
pub async fn edit_directory(
    db: &Db,
    row: &DirectoryRow,
    name: Option<&str>,
    parent: Option<Option<&str>>,
) -> DbResult<Option<DirectoryRow>> {
    let mut changes = Changes::new();
    if let Some(parent) = parent {
        let all = crate::knowledge::directories(db, &row.knowledge_id).await?;
        let mut next = parent;
        for _ in 0..=all.len() {
            match next {
                Some(above) if above == row.id => return Ok(None),
                Some(above) => {
                    let found = all.iter().find(|folder| folder.id == above);
                    next = found.and_then(|folder| folder.parent_id.as_deref());
                }
                None => break,
            }
        }
        changes = changes.set("parent_id", parent.map(str::to_owned));
    }
    if let Some(name) = name {
        changes = changes.set("name", name);
    }
    if !changes.is_empty() {
        changes = changes.set("updated_at", db.now());
        match DirectoryRow::update(db, changes, "WHERE id = ?", args![row.id.as_str()]).await {
            Ok(_) => {}
            Err(error) if error.is_unique_violation() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    directory(db, &row.id).await
}

/// Removes a folder with those in it. Files in them move to the folder above, or with `files` leave the collection;
/// the answer names those that left.
#[boxed]
pub async fn remove_directory(db: &Db, row: &DirectoryRow, files: bool) -> DbResult<Vec<String>> {
    let all = crate::knowledge::directories(db, &row.knowledge_id).await?;
    let mut gone = vec![row.id.clone()];
    let mut place = 0;
    while let Some(folder) = gone.get(place).cloned() {
        let inside = all
            .iter()
            .filter(|other| other.parent_id.as_deref() == Some(&folder))
            .map(|other| other.id.clone())
            .filter(|id| !gone.contains(id))
            .collect::<Vec<_>>();
        gone.extend(inside);
        place += 1;
    }
    let list = placeholders(gone.len());
    let ids = || gone.iter().map(crate::db::Arg::from).collect::<Vec<_>>();
    let condition = format!("WHERE directory_id IN ({list})");
    let mut tx = db.begin().await?;
    let mut left = Vec::new();
    if files {
        let links = LinkRow::list(&mut tx, &condition, ids()).await?;
        left.extend(links.into_iter().map(|link| link.file_id));
        loose_chunks::note_leaving(&mut tx, &row.knowledge_id, &gone).await?;
        LinkRow::delete(&mut tx, &condition, ids()).await?;
    } else {
        let changes = Changes::new().set("directory_id", row.parent_id.clone());
        LinkRow::update(&mut tx, changes, &condition, ids()).await?;
    }
    DirectoryRow::delete(&mut tx, &format!("WHERE id IN ({list})"), ids()).await?;
    tx.commit().await?;
    Ok(left)
}

/// Every collection, oldest first.
#[boxed]
pub async fn all(conn: impl Into<Conn<'_>>) -> DbResult<Vec<KnowledgeRow>> {
    KnowledgeRow::list(conn, "ORDER BY created_at, id", args![]).await
}
