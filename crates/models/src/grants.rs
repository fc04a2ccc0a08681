//! Table `access_grant`: who may read or write which resource. One mechanism for every kind of
//! shared resource; the rule that reads it is in the access crate.

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Value, json};

use crate::db::{Arg, Conn, DbResult, placeholders, sql};
use crate::groups::Membership;
use crate::{args, table};

table! {
    /// One grant.
    pub struct GrantRow in "access_grant" {
        /// Row id.
        pub id: String,
        /// `model`, `prompt`, `tool`, `chat`, ...
        pub resource_type: String,
        /// Row id of the resource.
        pub resource_id: String,
        /// `user`, `group` or `anyone`.
        pub principal_type: String,
        /// User id, group id or `*`.
        pub principal_id: String,
        /// `read` or `write`.
        pub permission: String,
        /// Seconds.
        pub created_at: i64,
    }
}

/// Somebody who is granted something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grant {
    /// `user`, `group` or `anyone`.
    pub principal_type: String,
    /// User id, group id or `*`.
    pub principal_id: String,
    /// `read` or `write`.
    pub permission: String,
}

impl Grant {
    /// The grant that makes a resource readable by every signed-in user.
    pub fn public_read() -> Self {
        Self {
            principal_type: "user".into(),
            principal_id: "*".into(),
            permission: "read".into(),
        }
    }

    /// Whether it opens the resource to this user.
    pub fn reaches(&self, user_id: &str, membership: &Membership) -> bool {
        match self.principal_type.as_str() {
            "user" => self.principal_id == "*" || self.principal_id == user_id,
            "group" => membership.contains(&self.principal_id),
            _ => false,
        }
    }

    /// Whether every signed-in user is meant.
    pub fn is_public(&self) -> bool {
        self.principal_type == "user" && self.principal_id == "*"
    }
}

impl GrantRow {
    /// The wire form: `{id, principal_type, principal_id, permission}`.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "principal_type": self.principal_type,
            "principal_id": self.principal_id, "permission": self.permission,
        })
    }

    /// The whole row, as lists of workspace resources carry it.
    pub fn to_full_json(&self) -> Value {
        json!({
            "id": self.id, "resource_type": self.resource_type, "resource_id": self.resource_id,
            "principal_type": self.principal_type, "principal_id": self.principal_id,
            "permission": self.permission, "created_at": self.created_at,
        })
    }

    /// Without the resource it belongs to.
    pub fn grant(&self) -> Grant {
        Grant {
            principal_type: self.principal_type.clone(),
            principal_id: self.principal_id.clone(),
            permission: self.permission.clone(),
        }
    }
}

/// Reads grants from a request: unknown kinds and permissions are dropped, repeats too.
pub fn normalize(input: &[Value]) -> Vec<Grant> {
    let mut grants = Vec::new();
    for item in input {
        let text = |name: &str| {
            item.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let grant = Grant {
            principal_type: text("principal_type"),
            principal_id: text("principal_id"),
            permission: text("permission"),
        };
        let known = match grant.principal_type.as_str() {
            "anyone" => grant.principal_id == "*" && grant.permission == "read",
            "user" | "group" => {
                !grant.principal_id.is_empty() && matches!(&*grant.permission, "read" | "write")
            }
            _ => false,
        };
        if known && !grants.contains(&grant) {
            grants.push(grant);
        }
    }
    grants
}

/// Grants on one resource.
#[boxed]
pub async fn of(conn: impl Into<Conn<'_>>, kind: &str, id: &str) -> DbResult<Vec<GrantRow>> {
    GrantRow::list(
        conn,
        "WHERE resource_type = ? AND resource_id = ? ORDER BY created_at",
        args![kind, id],
    )
    .await
}

/// Grants on several resources of one kind, in one query.
#[boxed]
pub async fn of_many(conn: impl Into<Conn<'_>>, kind: &str, ids: &[String]) -> DbResult<Vec<GrantRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = args![kind];
    list.extend(ids.iter().map(Arg::from));
    GrantRow::list(
        conn,
        &format!(
            "WHERE resource_type = ? AND resource_id IN ({}) ORDER BY created_at",
            placeholders(ids.len())
        ),
        list,
    )
    .await
}

/// Every grant on resources of one kind.
#[boxed]
pub async fn of_kind(conn: impl Into<Conn<'_>>, kind: &str) -> DbResult<Vec<GrantRow>> {
    GrantRow::list(conn, "WHERE resource_type = ?", args![kind]).await
}

/// Replaces the grants on a resource. Call it inside the transaction that writes the resource.
#[boxed]
pub async fn replace(conn: &mut crate::Tx, kind: &str, id: &str, grants: &[Grant]) -> DbResult<()> {
    remove(&mut *conn, kind, id).await?;
    let now = conn.db().now();
    for grant in grants {
        let row = GrantRow {
            id: ids::uuid(),
            resource_type: kind.to_owned(),
            resource_id: id.to_owned(),
            principal_type: grant.principal_type.clone(),
            principal_id: grant.principal_id.clone(),
            permission: grant.permission.clone(),
            created_at: now,
        };
        row.insert(&mut *conn).await?;
    }
    Ok(())
}

/// Replaces the grants on a resource that is not written itself.
#[boxed]
pub async fn set(db: &crate::Db, kind: &str, id: &str, grants: &[Grant]) -> DbResult<()> {
    let mut tx = db.begin().await?;
    replace(&mut tx, kind, id, grants).await?;
    tx.commit().await
}

/// Removes all grants on a resource.
#[boxed]
pub async fn remove(conn: impl Into<Conn<'_>>, kind: &str, id: &str) -> DbResult<()> {
    GrantRow::delete(
        conn,
        "WHERE resource_type = ? AND resource_id = ?",
        args![kind, id],
    )
    .await?;
    Ok(())
}

/// Ids of the resources of a kind that grants open to a user.
#[boxed]
pub async fn resources_for(
    conn: impl Into<Conn<'_>>,
    kind: &str,
    permission: &str,
    user_id: &str,
    membership: &Membership,
) -> DbResult<Vec<String>> {
    let (condition, args) = reach_condition(kind, permission, user_id, membership);
    let rows = sql(
        format!("SELECT DISTINCT resource_id FROM access_grant WHERE {condition}"),
        args,
    )
    .all(conn)
    .await?;
    rows.iter().map(|row| row.at(0)).collect()
}

/// Whether grants open this resource to a user.
#[boxed]
pub async fn allows(
    conn: impl Into<Conn<'_>>,
    kind: &str,
    id: &str,
    permission: &str,
    user_id: &str,
    membership: &Membership,
) -> DbResult<bool> {
    let (condition, mut args) = reach_condition(kind, permission, user_id, membership);
    args.push(Arg::from(id));
    let text = format!("SELECT 1 FROM access_grant WHERE {condition} AND resource_id = ? LIMIT 1");
    Ok(sql(text, args).first(conn).await?.is_some())
}

/// The WHERE condition on `access_grant` under which a grant reaches a user, for use in
/// `EXISTS` subqueries of list statements.
pub fn reach_condition(
    kind: &str,
    permission: &str,
    user_id: &str,
    membership: &Membership,
) -> (String, Vec<Arg>) {
    let mut args = args![kind, permission, user_id];
    let mut groups = String::new();
    if !membership.groups.is_empty() {
        groups = format!(
            " OR (principal_type = 'group' AND principal_id IN ({}))",
            placeholders(membership.groups.len())
        );
        args.extend(membership.groups.iter().map(|group| Arg::from(&group.id)));
    }
    let condition = format!(
        "resource_type = ? AND permission = ? AND \
         ((principal_type = 'user' AND (principal_id = '*' OR principal_id = ?)){groups})"
    );
    (condition, args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_grants_are_dropped() {
        let read = json!({"principal_type": "user", "principal_id": "*", "permission": "read"});
        let grants = normalize(&[
            read.clone(),
            read,
            json!({"principal_type": "robot", "principal_id": "x", "permission": "read"}),
            json!({"principal_type": "user", "principal_id": "u", "permission": "own"}),
            json!({"principal_type": "anyone", "principal_id": "*", "permission": "write"}),
        ]);
        assert_eq!(grants, [Grant::public_read()]);
    }
}
