//! Lists of groups with the number of their members, and the groups of many users at once.

use oui_core::boxed;
use std::collections::HashMap;

use serde_json::Value;

use crate::args;
use crate::db::{Arg, Conn, Db, DbResult, FromRow, Row, placeholders, sql};

use super::GroupRow;

/// Which groups to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All.
    All,
    /// Those the user is in, ancestors included.
    Of(&'a str),
    /// Those the user may share with: open to everybody, or to members and the user is one.
    ShareableBy(&'a str),
    /// Those that nobody may share with.
    ClosedToSharing,
}

/// Groups of the user `?` and their ancestors. UNION stops at cycles.
const MINE: &str = "WITH RECURSIVE mine(id) AS (\
    SELECT group_id FROM group_member WHERE user_id = ? \
    UNION SELECT p.parent_group_id FROM \"group\" p JOIN mine ON p.id = mine.id WHERE p.parent_group_id IS NOT NULL) ";

/// `data.config.share` as text; SQLite gives 1 and 0 for switches.
const SHARE: &str = "lower(CAST(g.data->'config'->>'share' AS TEXT))";

/// A group and how many users are in it directly.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// The row.
    pub group: GroupRow,
    /// Direct members.
    pub members: i64,
}

impl Counted {
    /// The group as routes send it.
    pub fn to_json(&self) -> Value {
        let mut json = self.group.to_json();
        json["member_count"] = self.members.into();
        json
    }
}

fn columns() -> String {
    let columns: Vec<String> = GroupRow::NAMES
        .iter()
        .map(|name| format!("g.\"{name}\""))
        .collect();
    columns.join(", ")
}

fn counted(row: &Row) -> DbResult<Counted> {
    Ok(Counted {
        group: GroupRow::from_row(row)?,
        members: row.at(GroupRow::NAMES.len())?,
    })
}

/// Lists groups, the one changed last first.
#[boxed]
pub async fn list(conn: impl Into<Conn<'_>>, scope: Scope<'_>) -> DbResult<Vec<Counted>> {
    let (with, condition, args) = match scope {
        Scope::All => ("", String::new(), args![]),
        Scope::Of(user) => (
            MINE,
            "WHERE g.id IN (SELECT id FROM mine)".to_owned(),
            args![user],
        ),
        Scope::ShareableBy(user) => {
            let open = format!("{SHARE} IS NULL OR {SHARE} IN ('true', '1')");
            let member = format!("{SHARE} = 'members' AND g.id IN (SELECT id FROM mine)");
            (MINE, format!("WHERE {open} OR ({member})"), args![user])
        }
        Scope::ClosedToSharing => ("", format!("WHERE {SHARE} IN ('false', '0')"), args![]),
    };
    let text = format!(
        "{with}SELECT {}, (SELECT COUNT(*) FROM group_member m WHERE m.group_id = g.id) \
         FROM \"group\" g {condition} ORDER BY g.updated_at DESC, g.id",
        columns()
    );
    sql(text, args).all(conn).await?.iter().map(counted).collect()
}

/// One group with its number of members.
#[boxed]
pub async fn one(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<Counted>> {
    let text = format!(
        "SELECT {}, (SELECT COUNT(*) FROM group_member m WHERE m.group_id = g.id) FROM \"group\" g WHERE g.id = ?",
        columns()
    );
    sql(text, args![id])
        .first(conn)
        .await?
        .as_ref()
        .map(counted)
        .transpose()
}

/// Ids of the groups that each of the users is in directly.
#[boxed]
pub async fn ids_by_user(db: &Db, user_ids: &[String]) -> DbResult<HashMap<String, Vec<String>>> {
    let mut by_user: HashMap<String, Vec<String>> = HashMap::new();
    if user_ids.is_empty() {
        return Ok(by_user);
    }
    let text = format!(
        "SELECT m.user_id, g.id FROM group_member m JOIN \"group\" g ON g.id = m.group_id \
         WHERE m.user_id IN ({}) ORDER BY g.updated_at DESC, g.id",
        placeholders(user_ids.len())
    );
    for row in sql(text, user_ids.iter().map(Arg::from).collect())
        .all(db)
        .await?
    {
        by_user.entry(row.at(0)?).or_default().push(row.at(1)?);
    }
    Ok(by_user)
}

/// Ids of the direct members.
#[boxed]
pub async fn member_ids(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Vec<String>> {
    let rows = sql(
        "SELECT user_id FROM group_member WHERE group_id = ? ORDER BY created_at, user_id",
        args![id],
    )
    .all(conn)
    .await?;
    rows.iter().map(|row| row.at(0)).collect()
}

/// Ids of the users in the group or in a group below it.
#[boxed]
pub async fn effective_member_ids(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Vec<String>> {
    let text = "WITH RECURSIVE below(id) AS (\
                  SELECT CAST(? AS TEXT) UNION SELECT g.id FROM \"group\" g JOIN below ON g.parent_group_id = below.id) \
                SELECT DISTINCT user_id FROM group_member WHERE group_id IN (SELECT id FROM below)";
    sql(text, args![id])
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
    use crate::groups::{NewGroup, add_members, insert};
    use crate::testing::{databases, user};

    #[tokio::test]
    async fn scopes_and_counts() {
        for db in databases().await {
            let (ada, bob) = (user(&db, "Ada").await, user(&db, "Bob").await);
            let mut ids = Vec::new();
            for (name, share) in [
                ("open", json!(true)),
                ("closed", json!(false)),
                ("members", json!("members")),
            ] {
                let data = Some(json!({"config": {"share": share}}));
                let new = NewGroup {
                    name: name.into(),
                    data,
                    parent_group_id: ids.first().cloned(),
                    ..NewGroup::default()
                };
                ids.push(insert(&db, &ada.id, new).await.unwrap().unwrap().id);
            }
            add_members(&db, &ids[2], std::slice::from_ref(&bob.id))
                .await
                .unwrap()
                .unwrap();
            let names = async |scope| {
                let mut names: Vec<_> = list(&db, scope)
                    .await
                    .unwrap()
                    .into_iter()
                    .map(|counted| counted.group.name.unwrap())
                    .collect();
                names.sort();
                names
            };
            assert_eq!(names(Scope::All).await, ["closed", "members", "open"]);
            assert_eq!(names(Scope::Of(&bob.id)).await, ["members", "open"]);
            assert_eq!(names(Scope::ShareableBy(&bob.id)).await, ["members", "open"]);
            assert_eq!(names(Scope::ShareableBy(&ada.id)).await, ["open"]);
            assert_eq!(names(Scope::ClosedToSharing).await, ["closed"]);
            assert_eq!(one(&db, &ids[2]).await.unwrap().unwrap().members, 1);
            assert_eq!(one(&db, &ids[0]).await.unwrap().unwrap().members, 0);
            assert_eq!(
                effective_member_ids(&db, &ids[0]).await.unwrap(),
                std::slice::from_ref(&bob.id)
            );
            let by_user = ids_by_user(&db, &[ada.id.clone(), bob.id.clone()]).await.unwrap();
            assert_eq!(
                (by_user.get(&ada.id), by_user.get(&bob.id)),
                (None, Some(&vec![ids[2].clone()]))
            );
        }
    }
}
