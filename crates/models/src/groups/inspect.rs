//! Who is in a group, directly or through a group below it, page by page.

use oui_core::boxed;
use std::collections::HashMap;

use crate::args;
use crate::db::{Arg, Db, DbResult, FromRow, placeholders, sql};
use crate::shared;
use crate::users::UserRow;

use super::{GroupRow, Membership};

/// Which members to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those in the group itself.
    Direct,
    /// Those who are only in groups below it.
    Inherited,
    /// Both.
    Effective,
}

/// A page of members.
#[derive(Debug, Clone)]
pub struct Members {
    /// Accounts, with the groups that each is in: of the group and those below it.
    pub users: Vec<(UserRow, Vec<String>)>,
    /// Accounts that fit, on all pages.
    pub total: i64,
    /// Members of the group itself.
    pub direct: i64,
    /// All members.
    pub effective: i64,
}

/// The group `?` and those below it. UNION stops at cycles.
const BELOW: &str = "WITH RECURSIVE below(id) AS (\
    SELECT CAST(? AS TEXT) UNION SELECT g.id FROM \"group\" g JOIN below ON g.parent_group_id = below.id) ";
const IS_DIRECT: &str = "u.id IN (SELECT user_id FROM group_member WHERE group_id = ?)";
const IS_MEMBER: &str = "u.id IN (SELECT user_id FROM group_member WHERE group_id IN (SELECT id FROM below))";

/// The group and the groups above it, the group first.
#[boxed]
pub async fn with_ancestors(db: &Db, group: GroupRow) -> DbResult<Membership> {
    let mut groups = vec![group];
    while let Some(parent) = groups.last().and_then(|group| group.parent_group_id.clone()) {
        if groups.iter().any(|known| known.id == parent) {
            break;
        }
        let Some(row) = super::by_id(db, &parent).await? else {
            break;
        };
        groups.push(row);
    }
    Ok(Membership { groups })
}

/// A page of the members of a group whose name or address contains `text`, by name.
#[boxed]
pub async fn members(
    db: &Db,
    id: &str,
    which: Which,
    text: &str,
    (skip, limit): (i64, i64),
) -> DbResult<Members> {
    let direct = sql("SELECT COUNT(*) FROM group_member WHERE group_id = ?", args![id])
        .scalar(db)
        .await?
        .unwrap_or_default();
    let counted = format!(
        "{BELOW}SELECT COUNT(DISTINCT user_id) FROM group_member WHERE group_id IN (SELECT id FROM below)"
    );
    let effective = sql(counted, args![id]).scalar(db).await?.unwrap_or_default();
    let (condition, mut args) = match which {
        Which::Effective => (IS_MEMBER.to_owned(), args![id]),
        Which::Direct => (format!("{IS_MEMBER} AND {IS_DIRECT}"), args![id, id]),
        Which::Inherited => (format!("{IS_MEMBER} AND NOT {IS_DIRECT}"), args![id, id]),
    };
    let mut condition = condition;
    if !text.is_empty() {
        let (matches, more) = shared::contains(&["u.name", "u.email"], text);
        condition = format!("{condition} AND {matches}");
        args.extend(more);
    }
    let total = sql(
        format!("{BELOW}SELECT COUNT(*) FROM \"user\" u WHERE {condition}"),
        args.clone(),
    )
    .scalar(db)
    .await?
    .unwrap_or_default();
    let columns: Vec<String> = UserRow::NAMES
        .iter()
        .map(|name| format!("u.\"{name}\""))
        .collect();
    let page = format!(
        "{BELOW}SELECT {} FROM \"user\" u WHERE {condition} ORDER BY u.name, u.id LIMIT ? OFFSET ?",
        columns.join(", ")
    );
    args.extend(args![limit, skip]);
    let rows = sql(page, args).all(db).await?;
    let users: Vec<UserRow> = rows.iter().map(UserRow::from_row).collect::<DbResult<_>>()?;
    let mut groups = groups_below(db, id, &users).await?;
    Ok(Members {
        users: users
            .into_iter()
            .map(|user| {
                let groups = groups.remove(&user.id).unwrap_or_default();
                (user, groups)
            })
            .collect(),
        total,
        direct,
        effective,
    })
}

async fn groups_below(db: &Db, id: &str, users: &[UserRow]) -> DbResult<HashMap<String, Vec<String>>> {
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    if users.is_empty() {
        return Ok(found);
    }
    let text = format!(
        "{BELOW}SELECT user_id, group_id FROM group_member \
         WHERE group_id IN (SELECT id FROM below) AND user_id IN ({}) ORDER BY group_id",
        placeholders(users.len())
    );
    let mut args = args![id];
    args.extend(users.iter().map(|user| Arg::from(&user.id)));
    for row in &sql(text, args).all(db).await? {
        found.entry(row.at(0)?).or_default().push(row.at(1)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::{NewGroup, add_members, insert};
    use crate::testing::{databases, user};

    #[tokio::test]
    async fn members_of_groups_below_are_inherited() {
        for db in databases().await {
            let (ada, bob) = (user(&db, "Ada").await.id, user(&db, "Bob").await.id);
            let mut ids: Vec<String> = Vec::new();
            for name in ["top", "middle", "leaf"] {
                let new = NewGroup {
                    name: name.into(),
                    parent_group_id: ids.last().cloned(),
                    ..NewGroup::default()
                };
                ids.push(insert(&db, &ada, new).await.unwrap().unwrap().id);
            }
            add_members(&db, &ids[0], std::slice::from_ref(&ada))
                .await
                .unwrap()
                .unwrap();
            add_members(&db, &ids[2], &[ada.clone(), bob.clone()])
                .await
                .unwrap()
                .unwrap();
            let names = async |which, text| {
                let page = members(&db, &ids[0], which, text, (0, 30)).await.unwrap();
                assert_eq!(
                    (page.direct, page.effective, page.total),
                    (1, 2, page.users.len() as i64)
                );
                page.users
                    .into_iter()
                    .map(|(user, groups)| (user.name, groups.len()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                names(Which::Effective, "").await,
                [("Ada".into(), 2), ("Bob".into(), 1)]
            );
            assert_eq!(names(Which::Direct, "").await, [("Ada".into(), 2)]);
            assert_eq!(names(Which::Inherited, "").await, [("Bob".into(), 1)]);
            assert_eq!(names(Which::Effective, "bO").await, [("Bob".into(), 1)]);
            let leaf = crate::groups::by_id(&db, &ids[2]).await.unwrap().unwrap();
            let chain = with_ancestors(&db, leaf).await.unwrap();
            assert_eq!(chain.ids(), [ids[2].clone(), ids[1].clone(), ids[0].clone()]);
        }
    }
}
