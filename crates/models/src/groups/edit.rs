//! Changes of groups and memberships. The hierarchy is checked inside the transaction that changes it;
//! every function that touches memberships answers whose access may have changed.

use oui_core::boxed;
use std::collections::HashSet;

use oui_core::ids;
use serde_json::{Map, Value};

use crate::args;
use crate::db::{Arg, Changes, Conn, Db, DbResult, Tx, placeholders, sql};

use super::list::{effective_member_ids, member_ids};
use super::{GroupMemberRow, GroupRow, by_id, changed};

/// Accounts in one statement; both databases take far more arguments than that.
const BATCH: usize = 1000;

/// A group to be made.
#[derive(Debug, Clone, Default)]
pub struct NewGroup {
    /// Name shown.
    pub name: String,
    /// Description shown.
    pub description: String,
    /// `{config: {share, default_models}}`.
    pub data: Option<Value>,
    /// Permission tree, only what differs.
    pub permissions: Option<Value>,
    /// Group that it inherits from.
    pub parent_group_id: Option<String>,
}

/// What to change on a group; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct GroupChange {
    /// Name shown.
    pub name: Option<String>,
    /// Description shown.
    pub description: Option<String>,
    /// Merged into the stored object; `config` inside it as well.
    pub data: Option<Map<String, Value>>,
    /// Permission tree, replaced as a whole.
    pub permissions: Option<Value>,
    /// Group that it inherits from; `Some(None)` puts it at the top.
    pub parent_group_id: Option<Option<String>>,
}

/// Why a group can not be changed as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupRefusal {
    /// No such group.
    Missing,
    /// No such parent.
    ParentMissing,
    /// The parent's id is empty.
    ParentEmpty,
    /// The parent is the group itself or lies below it.
    Cycle,
}

/// Number under which changes of the hierarchy wait for each other on PostgreSQL; the reference's, so that
/// both servers wait for each other too.
const HIERARCHY_LOCK: i64 = 731_947_205;

/// Begins a transaction that may change the hierarchy. SQLite's are exclusive anyway.
async fn begin(db: &Db) -> DbResult<Tx> {
    let mut tx = db.begin().await?;
    if db.dialect() == crate::db::Dialect::Postgres {
        sql(
            "SELECT 1 FROM (SELECT pg_advisory_xact_lock(?)) AS waited",
            args![HIERARCHY_LOCK],
        )
        .all(&mut tx)
        .await?;
    }
    Ok(tx)
}

async fn check_parent(
    tx: &mut Tx,
    group: Option<&str>,
    parent: Option<&str>,
) -> DbResult<Result<(), GroupRefusal>> {
    let Some(parent) = parent else { return Ok(Ok(())) };
    if parent.is_empty() {
        return Ok(Err(GroupRefusal::ParentEmpty));
    }
    if by_id(&mut *tx, parent).await?.is_none() {
        return Ok(Err(GroupRefusal::ParentMissing));
    }
    let Some(group) = group else { return Ok(Ok(())) };
    let text = "WITH RECURSIVE above(id) AS (\
                  SELECT CAST(? AS TEXT) UNION SELECT g.parent_group_id FROM \"group\" g JOIN above ON g.id = above.id \
                  WHERE g.parent_group_id IS NOT NULL) \
                SELECT 1 FROM above WHERE id = ?";
    let cycle = sql(text, args![parent, group]).first(&mut *tx).await?.is_some();
    Ok(if cycle { Err(GroupRefusal::Cycle) } else { Ok(()) })
}

/// Makes a group.
#[boxed]
pub async fn insert(db: &Db, user_id: &str, new: NewGroup) -> DbResult<Result<GroupRow, GroupRefusal>> {
    let mut tx = begin(db).await?;
    if let Err(refusal) = check_parent(&mut tx, None, new.parent_group_id.as_deref()).await? {
        return Ok(Err(refusal));
    }
    let now = db.now();
    let row = GroupRow {
        id: ids::uuid(),
        user_id: Some(user_id.to_owned()),
        name: Some(new.name),
        description: Some(new.description),
        data: new.data,
        meta: Some(Value::Null),
        permissions: Some(new.permissions.unwrap_or(Value::Null)),
        created_at: Some(now),
        updated_at: Some(now),
        parent_group_id: new.parent_group_id,
    };
    row.insert(&mut tx).await?;
    tx.commit().await?;
    changed(db);
    Ok(Ok(row))
}

/// What a change of a group did.
#[derive(Debug, PartialEq, Eq)]
pub struct Updated {
    /// Users whose access may have changed.
    pub affected: Vec<String>,
    /// The group above before.
    pub old_parent: Option<String>,
    /// The group above now.
    pub parent: Option<String>,
}

/// Changes a group.
#[boxed]
pub async fn update(db: &Db, id: &str, change: GroupChange) -> DbResult<Result<Updated, GroupRefusal>> {
    let mut tx = begin(db).await?;
    let Some(before) = by_id(&mut tx, id).await? else {
        return Ok(Err(GroupRefusal::Missing));
    };
    if let Some(parent) = &change.parent_group_id
        && let Err(refusal) = check_parent(&mut tx, Some(id), parent.as_deref()).await?
    {
        return Ok(Err(refusal));
    }
    let data = change.data.map(|data| merged_data(before.data.as_ref(), data));
    let moved = change
        .parent_group_id
        .as_ref()
        .is_some_and(|parent| *parent != before.parent_group_id);
    let permits = change
        .permissions
        .as_ref()
        .is_some_and(|tree| Some(tree) != before.permissions.as_ref());
    let defaults = data
        .as_ref()
        .is_some_and(|data| default_models(Some(data)) != default_models(before.data.as_ref()));
    let affected = if moved || permits || defaults {
        effective_member_ids(&mut tx, id).await?
    } else {
        Vec::new()
    };
    let mut changes = Changes::new()
        .set_some("name", change.name)
        .set_some("description", change.description)
        .set_some("data", data)
        .set_some("permissions", change.permissions)
        .set("updated_at", db.now());
    let mut parent = before.parent_group_id.clone();
    if let Some(new) = change.parent_group_id {
        changes = changes.set("parent_group_id", new.clone());
        parent = new;
    }
    GroupRow::update(&mut tx, changes, "WHERE id = ?", args![id]).await?;
    tx.commit().await?;
    changed(db);
    Ok(Ok(Updated {
        affected,
        old_parent: before.parent_group_id,
        parent,
    }))
}

fn object(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

fn merged_data(before: Option<&Value>, change: Map<String, Value>) -> Value {
    let mut data = object(before);
    let mut config = object(data.get("config"));
    config.extend(object(change.get("config")));
    data.extend(change);
    data.insert("config".into(), Value::Object(config));
    Value::Object(data)
}

/// The group's default models, where it has any.
fn default_models(data: Option<&Value>) -> Option<&Vec<Value>> {
    data?
        .get("config")?
        .get("default_models")?
        .as_array()
        .filter(|models| !models.is_empty())
}

/// What the removal of a group did.
#[derive(Debug, PartialEq, Eq)]
pub struct Removed {
    /// Users whose access changed.
    pub affected: Vec<String>,
    /// The group above it.
    pub parent: Option<String>,
    /// Groups that were below it and are below the one above now.
    pub promoted: Vec<String>,
}

/// Removes a group with its memberships and the grants to it; groups below it move up.
#[boxed]
pub async fn remove(db: &Db, id: &str) -> DbResult<Result<Removed, GroupRefusal>> {
    let mut tx = begin(db).await?;
    let Some(group) = by_id(&mut tx, id).await? else {
        return Ok(Err(GroupRefusal::Missing));
    };
    let affected = effective_member_ids(&mut tx, id).await?;
    let below = "SELECT id FROM \"group\" WHERE parent_group_id = ? ORDER BY created_at, id";
    let promoted = texts(&mut tx, below.into(), args![id]).await?;
    let up = Changes::new()
        .set("parent_group_id", group.parent_group_id.clone())
        .set("updated_at", db.now());
    GroupRow::update(&mut tx, up, "WHERE parent_group_id = ?", args![id]).await?;
    GroupMemberRow::delete(&mut tx, "WHERE group_id = ?", args![id]).await?;
    sql(
        "DELETE FROM access_grant WHERE principal_type = 'group' AND principal_id = ?",
        args![id],
    )
    .execute(&mut tx)
    .await?;
    GroupRow::delete(&mut tx, "WHERE id = ?", args![id]).await?;
    crate::quotas::remove_subject(&mut tx, "group", id).await?;
    tx.commit().await?;
    changed(db);
    crate::models::changed(db);
    crate::quotas::changed(db);
    Ok(Ok(Removed {
        affected,
        parent: group.parent_group_id,
        promoted,
    }))
}

/// Puts users into a group; those already there stay, ids of nobody are left out. Answers who is new.
#[boxed]
pub async fn add_members(
    db: &Db,
    group_id: &str,
    user_ids: &[String],
) -> DbResult<Result<Vec<String>, GroupRefusal>> {
    let mut tx = begin(db).await?;
    if by_id(&mut tx, group_id).await?.is_none() {
        return Ok(Err(GroupRefusal::Missing));
    }
    let mut present: HashSet<String> = member_ids(&mut tx, group_id).await?.into_iter().collect();
    let mut new = Vec::new();
    for ids in user_ids.chunks(BATCH) {
        let text = format!(
            "SELECT id FROM \"user\" WHERE id IN ({})",
            placeholders(ids.len())
        );
        let known = texts(&mut tx, text, ids.iter().map(Arg::from).collect()).await?;
        let known: Vec<String> = known.into_iter().filter(|id| !present.contains(id)).collect();
        insert_members(&mut tx, group_id, &known).await?;
        // An id may come twice.
        present.extend(known.iter().cloned());
        new.extend(known);
    }
    stamp(&mut tx, db, &[group_id.to_owned()]).await?;
    tx.commit().await?;
    changed(db);
    Ok(Ok(new))
}

/// Takes users out of a group. Answers who was in it.
#[boxed]
pub async fn remove_members(
    db: &Db,
    group_id: &str,
    user_ids: &[String],
) -> DbResult<Result<Vec<String>, GroupRefusal>> {
    let mut tx = begin(db).await?;
    if by_id(&mut tx, group_id).await?.is_none() {
        return Ok(Err(GroupRefusal::Missing));
    }
    let asked: HashSet<&String> = user_ids.iter().collect();
    let gone: Vec<String> = member_ids(&mut tx, group_id)
        .await?
        .into_iter()
        .filter(|id| asked.contains(id))
        .collect();
    for ids in gone.chunks(BATCH) {
        let condition = format!("WHERE group_id = ? AND user_id IN ({})", placeholders(ids.len()));
        let mut args = args![group_id];
        args.extend(ids.iter().map(Arg::from));
        GroupMemberRow::delete(&mut tx, &condition, args).await?;
    }
    stamp(&mut tx, db, &[group_id.to_owned()]).await?;
    tx.commit().await?;
    changed(db);
    Ok(Ok(gone))
}

/// Makes the groups with these names the only ones of a user; names of no group are ignored. Answers
/// whether anything changed.
#[boxed]
pub async fn set_by_names(db: &Db, user_id: &str, names: &[String]) -> DbResult<bool> {
    let mut tx = begin(db).await?;
    let target = if names.is_empty() {
        Vec::new()
    } else {
        let text = format!(
            "SELECT id FROM \"group\" WHERE name IN ({})",
            placeholders(names.len())
        );
        texts(&mut tx, text, names.iter().map(Arg::from).collect()).await?
    };
    let before = texts(
        &mut tx,
        "SELECT group_id FROM group_member WHERE user_id = ?".into(),
        args![user_id],
    )
    .await?;
    let (left, joined): (Vec<_>, Vec<_>) = (
        before.iter().filter(|id| !target.contains(id)).cloned().collect(),
        target.iter().filter(|id| !before.contains(id)).cloned().collect(),
    );
    for group in &left {
        GroupMemberRow::delete(
            &mut tx,
            "WHERE group_id = ? AND user_id = ?",
            args![group, user_id],
        )
        .await?;
    }
    for group in &joined {
        member(db, group, user_id).insert(&mut tx).await?;
    }
    let touched: Vec<String> = left.into_iter().chain(joined).collect();
    stamp(&mut tx, db, &touched).await?;
    tx.commit().await?;
    changed(db);
    Ok(!touched.is_empty())
}

/// Puts accounts that are not in the group yet into it, many with one statement.
async fn insert_members(tx: &mut Tx, group_id: &str, user_ids: &[String]) -> DbResult<()> {
    if user_ids.is_empty() {
        return Ok(());
    }
    let now = tx.db().now();
    let rows = vec!["(?, ?, ?, ?, ?)"; user_ids.len()].join(", ");
    let text =
        format!("INSERT INTO group_member (id, group_id, user_id, created_at, updated_at) VALUES {rows}");
    let args = user_ids
        .iter()
        .flat_map(|user_id| args![ids::uuid(), group_id, user_id, now, now])
        .collect();
    sql(text, args).execute(&mut *tx).await?;
    Ok(())
}

fn member(db: &Db, group_id: &str, user_id: &str) -> GroupMemberRow {
    let now = Some(db.now());
    GroupMemberRow {
        id: ids::uuid(),
        group_id: group_id.to_owned(),
        user_id: user_id.to_owned(),
        created_at: now,
        updated_at: now,
    }
}

async fn stamp(tx: &mut Tx, db: &Db, groups: &[String]) -> DbResult<()> {
    for group in groups {
        GroupRow::update(
            &mut *tx,
            Changes::new().set("updated_at", db.now()),
            "WHERE id = ?",
            args![group],
        )
        .await?;
    }
    Ok(())
}

async fn texts(conn: impl Into<Conn<'_>>, text: String, args: Vec<Arg>) -> DbResult<Vec<String>> {
    sql(text, args)
        .all(conn)
        .await?
        .iter()
        .map(|row| row.at(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::groups::of_user;
    use crate::testing::{databases, group, user};

    #[tokio::test]
    async fn the_hierarchy_has_no_cycles() {
        for db in databases().await {
            let (top, low) = (group(&db, "top").await, group(&db, "low").await);
            let under = |parent: &str| GroupChange {
                parent_group_id: Some(Some(parent.into())),
                ..GroupChange::default()
            };
            assert_eq!(
                update(&db, &low, under(&top)).await.unwrap(),
                Ok(Updated {
                    affected: vec![],
                    old_parent: None,
                    parent: Some(top.clone()),
                })
            );
            assert_eq!(
                update(&db, &top, under(&low)).await.unwrap(),
                Err(GroupRefusal::Cycle)
            );
            assert_eq!(
                update(&db, &top, under(&top)).await.unwrap(),
                Err(GroupRefusal::Cycle)
            );
            assert_eq!(
                update(&db, &top, under("none")).await.unwrap(),
                Err(GroupRefusal::ParentMissing)
            );
            assert_eq!(
                update(&db, "none", under(&low)).await.unwrap(),
                Err(GroupRefusal::Missing)
            );
        }
    }

    #[tokio::test]
    async fn members_come_and_go_and_a_removed_group_lifts_those_below() {
        for db in databases().await {
            let ada = user(&db, "Ada").await.id;
            let (top, middle, low) = (
                group(&db, "top").await,
                group(&db, "middle").await,
                group(&db, "low").await,
            );
            for (child, parent) in [(&middle, &top), (&low, &middle)] {
                let change = GroupChange {
                    parent_group_id: Some(Some(parent.clone())),
                    ..GroupChange::default()
                };
                update(&db, child, change).await.unwrap().unwrap();
            }
            let asked = [ada.clone(), "nobody".to_owned()];
            assert_eq!(
                add_members(&db, &low, &asked).await.unwrap(),
                Ok(vec![ada.clone()])
            );
            assert_eq!(add_members(&db, &low, &asked).await.unwrap(), Ok(vec![]));
            assert_eq!(
                add_members(&db, "none", &asked).await.unwrap(),
                Err(GroupRefusal::Missing)
            );
            let permit = GroupChange {
                permissions: Some(json!({"chat": {}})),
                ..GroupChange::default()
            };
            let affected = update(&db, &top, permit).await.unwrap().unwrap().affected;
            assert_eq!(affected, [ada.as_str()]);
            assert_eq!(of_user(&db, &ada, true).await.unwrap().len(), 3);
            assert_eq!(
                remove(&db, &middle).await.unwrap(),
                Ok(Removed {
                    affected: vec![ada.clone()],
                    parent: Some(top.clone()),
                    promoted: vec![low.clone()],
                })
            );
            assert_eq!(
                by_id(&db, &low).await.unwrap().unwrap().parent_group_id,
                Some(top.clone())
            );
            assert_eq!(
                remove_members(&db, &low, &asked).await.unwrap(),
                Ok(vec![ada.clone()])
            );
            assert!(of_user(&db, &ada, true).await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn names_replace_memberships() {
        for db in databases().await {
            let ada = user(&db, "Ada").await.id;
            let (one, two) = (group(&db, "one").await, group(&db, "two").await);
            add_members(&db, &one, std::slice::from_ref(&ada))
                .await
                .unwrap()
                .unwrap();
            assert!(
                set_by_names(&db, &ada, &["two".into(), "unknown".into()])
                    .await
                    .unwrap()
            );
            let now: Vec<String> = of_user(&db, &ada, false)
                .await
                .unwrap()
                .into_iter()
                .map(|group| group.id)
                .collect();
            assert_eq!(now, [two]);
            assert!(!set_by_names(&db, &ada, &["two".into()]).await.unwrap());
        }
    }

    #[test]
    fn data_is_merged_two_levels_deep() {
        let before = json!({"a": 1, "config": {"share": true, "x": 1}});
        let change = json!({"b": 2, "config": {"share": false}});
        let merged = merged_data(Some(&before), change.as_object().cloned().unwrap());
        assert_eq!(
            merged,
            json!({"a": 1, "b": 2, "config": {"share": false, "x": 1}})
        );
    }
}
