//! Which workspace items a user can reach, for an administrator who wants to know.

use oui_core::boxed;
use std::collections::HashSet;

use crate::db::{Db, DbResult, sql};
use crate::groups::Membership;
use crate::{args, grants};

/// A kind of workspace item.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// `resource_type` of the grants.
    pub resource: &'static str,
    table: &'static str,
    condition: &'static str,
}

/// Models that are switched on.
pub const MODELS: Kind = Kind {
    resource: "model",
    table: "\"model\"",
    condition: "WHERE is_active",
};
/// Knowledge bases.
pub const KNOWLEDGE: Kind = Kind {
    resource: "knowledge",
    table: "\"knowledge\"",
    condition: "",
};
/// Tools.
pub const TOOLS: Kind = Kind {
    resource: "tool",
    table: "\"tool\"",
    condition: "",
};

/// Id and name of an item.
pub type Item = (String, Option<String>);

/// The items of one kind that the user owns or may read by a grant, and the number of all.
#[boxed]
pub async fn reachable(
    db: &Db,
    kind: Kind,
    user_id: &str,
    membership: &Membership,
) -> DbResult<(Vec<Item>, usize)> {
    let text = format!(
        "SELECT id, name, user_id FROM {} {} ORDER BY updated_at DESC, id",
        kind.table, kind.condition
    );
    let rows = sql(text, args![]).all(db).await?;
    let granted: HashSet<String> = grants::resources_for(db, kind.resource, "read", user_id, membership)
        .await?
        .into_iter()
        .collect();
    let mut items = Vec::new();
    for row in &rows {
        let (id, name, owner): (String, Option<String>, Option<String>) =
            (row.at(0)?, row.at(1)?, row.at(2)?);
        if owner.as_deref() == Some(user_id) || granted.contains(&id) {
            items.push((id, name));
        }
    }
    Ok((items, rows.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::Grant;
    use crate::testing::{databases, user};

    #[tokio::test]
    async fn own_and_granted_items() {
        for db in databases().await {
            let ada = user(&db, "Ada").await.id;
            for (id, owner, active) in [
                ("own", ada.as_str(), true),
                ("public", "x", true),
                ("private", "x", true),
                ("off", ada.as_str(), false),
            ] {
                sql(
                    "INSERT INTO model (id, user_id, name, is_active, updated_at, params, meta) \
                     VALUES (?, ?, ?, ?, 1, '{}', '{}')",
                    args![id, owner, id, active],
                )
                .execute(&db)
                .await
                .unwrap();
            }
            let mut tx = db.begin().await.unwrap();
            grants::replace(&mut tx, "model", "public", &[Grant::public_read()])
                .await
                .unwrap();
            tx.commit().await.unwrap();
            let (items, total) = reachable(&db, MODELS, &ada, &Membership::default())
                .await
                .unwrap();
            let ids: Vec<&str> = items.iter().map(|(id, _)| id.as_str()).collect();
            assert_eq!((ids, total), (vec!["own", "public"], 3));
            for kind in [KNOWLEDGE, TOOLS] {
                assert_eq!(
                    reachable(&db, kind, &ada, &Membership::default()).await.unwrap(),
                    (vec![], 0)
                );
            }
        }
    }
}
