//! Tables `group` and `group_member`: the groups a user is in, their ancestors included. Lists are in [`list`],
//! changes in [`edit`]. What the groups permit is computed in the access crate.

pub mod edit;
pub mod inspect;
pub mod list;

use oui_core::boxed;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::db::{Conn, Db, DbResult, FromRow, sql};
use crate::{args, table};

pub use edit::{
    GroupChange, GroupRefusal, NewGroup, add_members, insert, remove, remove_members, set_by_names, update,
};

table! {
    /// One group.
    pub struct GroupRow in "group" {
        /// Row id.
        pub id: String,
        /// Who made it.
        pub user_id: Option<String>,
        /// Name shown.
        pub name: Option<String>,
        /// Description shown.
        pub description: Option<String>,
        /// `{config: {share, default_models}}`.
        pub data: Option<Value>,
        /// Free object.
        pub meta: Option<Value>,
        /// Permission tree, only what differs.
        pub permissions: Option<Value>,
        /// Seconds.
        pub created_at: Option<i64>,
        /// Seconds.
        pub updated_at: Option<i64>,
        /// Group whose permissions and grants are inherited.
        pub parent_group_id: Option<String>,
    }
}

table! {
    /// One membership.
    pub struct GroupMemberRow in "group_member" {
        /// Row id.
        pub id: String,
        /// Group.
        pub group_id: String,
        /// Member.
        pub user_id: String,
        /// Seconds.
        pub created_at: Option<i64>,
        /// Seconds.
        pub updated_at: Option<i64>,
    }
}

impl GroupRow {
    /// The group as routes send it, without the number of members.
    pub fn to_json(&self) -> Value {
        json!({
            "parent_group_id": self.parent_group_id,
            "id": self.id,
            "user_id": self.user_id,
            "name": self.name,
            "description": self.description,
            "data": self.data,
            "meta": self.meta,
            "permissions": self.permissions,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        })
    }

    /// Name and id, as other resources show their groups.
    pub fn reference_json(&self) -> Value {
        json!({ "id": self.id, "name": self.name })
    }
}

/// The groups of one user, inherited ones included.
#[derive(Debug, Clone, Default)]
pub struct Membership {
    /// Rows, direct groups first.
    pub groups: Vec<GroupRow>,
}

impl Membership {
    /// Whether the user is in the group, directly or through a subgroup.
    pub fn contains(&self, group_id: &str) -> bool {
        self.groups.iter().any(|group| group.id == group_id)
    }

    /// Default models of the group that is deepest in the hierarchy, the oldest of several, with its id. The list must
    /// hold the ancestors of every group.
    pub fn default_models(&self) -> Option<(Vec<String>, &str)> {
        let named = |group: &GroupRow| -> Option<Vec<String>> {
            let models = group
                .data
                .as_ref()?
                .get("config")?
                .get("default_models")?
                .as_array()?;
            let models: Vec<String> = models
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            (!models.is_empty()).then_some(models)
        };
        self.groups
            .iter()
            .filter_map(|group| Some((group, named(group)?)))
            .min_by_key(|(group, _)| (std::cmp::Reverse(self.depth(group)), group.created_at, &group.id))
            .map(|(group, models)| (models, group.id.as_str()))
    }

    /// Number of groups above a group; a cycle ends at its first group.
    fn depth(&self, group: &GroupRow) -> usize {
        let mut above: Vec<&GroupRow> = vec![group];
        while let Some(parent) = above.last().and_then(|group| group.parent_group_id.as_deref()) {
            let Some(row) = self.groups.iter().find(|known| known.id == parent) else {
                break;
            };
            if above.iter().any(|known| known.id == row.id) {
                break;
            }
            above.push(row);
        }
        above.len() - 1
    }

    /// Ids of the groups.
    pub fn ids(&self) -> Vec<String> {
        self.groups.iter().map(|group| group.id.clone()).collect()
    }
}

/// The groups of a user with their ancestors, from the cache or with one query.
#[boxed]
pub async fn membership(db: &Db, user_id: &str) -> DbResult<Arc<Membership>> {
    let key = user_id.to_owned();
    let cached = db.caches().memberships.get_or_load(&key, async {
        let groups = of_user(db, user_id, true).await?;
        Ok(Some(Arc::new(Membership { groups })))
    });
    Ok(cached.await?.unwrap_or_default())
}

/// Forgets all cached memberships; every write to `group` or `group_member` ends with it.
pub fn changed(db: &Db) {
    db.caches().memberships.clear();
}

/// The groups of a user, with their ancestors when `inherited`. UNION stops at cycles.
#[boxed]
pub async fn of_user(conn: impl Into<Conn<'_>>, user_id: &str, inherited: bool) -> DbResult<Vec<GroupRow>> {
    let columns: Vec<String> = GroupRow::NAMES
        .iter()
        .map(|name| format!("g.\"{name}\""))
        .collect();
    let columns = columns.join(", ");
    let text = if inherited {
        format!(
            "WITH RECURSIVE mine(id) AS (\
               SELECT group_id FROM group_member WHERE user_id = ? \
               UNION SELECT g.parent_group_id FROM \"group\" g JOIN mine ON g.id = mine.id \
               WHERE g.parent_group_id IS NOT NULL) \
             SELECT {columns} FROM \"group\" g JOIN mine ON g.id = mine.id ORDER BY g.updated_at DESC, g.id"
        )
    } else {
        format!(
            "SELECT {columns} FROM \"group\" g JOIN group_member m ON m.group_id = g.id \
             WHERE m.user_id = ? ORDER BY g.updated_at DESC, g.id"
        )
    };
    let rows = sql(text, args![user_id]).all(conn).await?;
    rows.iter().map(GroupRow::from_row).collect()
}

/// The group with this id.
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<GroupRow>> {
    GroupRow::find(conn, "WHERE id = ?", args![id]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_group_names_the_default_models() {
        let group = |id: &str, parent: Option<&str>, models: Value, created_at: i64| GroupRow {
            id: id.into(),
            user_id: None,
            name: None,
            description: None,
            data: Some(json!({"config": {"default_models": models}})),
            meta: None,
            permissions: None,
            created_at: Some(created_at),
            updated_at: None,
            parent_group_id: parent.map(str::to_owned),
        };
        let mut groups = vec![
            group("top", None, json!(["a"]), 1),
            group("leaf", Some("top"), json!(["b", "c"]), 3),
            group("other", Some("top"), json!(["d"]), 2),
            group("empty", Some("leaf"), json!([]), 1),
        ];
        let models = |groups: &[GroupRow]| {
            let membership = Membership {
                groups: groups.to_vec(),
            };
            membership
                .default_models()
                .map(|(models, id)| (models.join(","), id.to_owned()))
        };
        assert_eq!(models(&groups), Some(("d".into(), "other".into())));
        groups[0].parent_group_id = Some("leaf".into());
        assert!(models(&groups).is_some());
        assert_eq!(models(&groups[3..]), None);
    }
}
