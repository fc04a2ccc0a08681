//! Folders that people share: which ones a user sees, with what right, and who takes part in the chats inside.

use oui_core::boxed;
use std::collections::HashMap;

use crate::args;
use crate::db::{Arg, Db, DbResult, placeholders, sql};
use crate::folders::{self, FolderRow, KIND};
use crate::groups::Membership;

/// A folder that is shared with or by a user.
#[derive(Debug, Clone)]
pub struct SharedFolder {
    /// The folder.
    pub folder: FolderRow,
    /// Whether the user may put chats into it.
    pub writable: bool,
}

/// Folders with grants that the user made or that reach the user, the last changed first, then those below them.
#[boxed]
pub async fn of_user(db: &Db, user_id: &str, membership: &Membership) -> DbResult<Vec<SharedFolder>> {
    let rights = rights(db, user_id, membership).await?;
    let roots = folders::by_ids(db, &rights.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>()).await?;
    let rights: HashMap<String, bool> = rights.into_iter().collect();
    let mut shared: Vec<SharedFolder> = Vec::new();
    for folder in &roots {
        let writable = folder.user_id == user_id || rights.get(&folder.id).copied().unwrap_or(false);
        shared.push(SharedFolder {
            folder: folder.clone(),
            writable,
        });
    }
    let mut trees: HashMap<&str, Vec<FolderRow>> = HashMap::new();
    for folder in &roots {
        if !trees.contains_key(folder.user_id.as_str()) {
            trees.insert(&folder.user_id, folders::of_user(db, &folder.user_id).await?);
        }
        let writable = folder.user_id == user_id || rights.get(&folder.id).copied().unwrap_or(false);
        let tree = trees
            .get(folder.user_id.as_str())
            .map(Vec::as_slice)
            .unwrap_or_default();
        for child in folders::below(tree, &folder.id) {
            match shared.iter_mut().find(|shared| shared.folder.id == child.id) {
                // A weaker right of its own does not hide the inherited one.
                Some(known) => known.writable |= writable,
                None => shared.push(SharedFolder {
                    folder: child.clone(),
                    writable,
                }),
            }
        }
    }
    Ok(shared)
}

/// Folder ids with whether the strongest grant is `write`.
async fn rights(db: &Db, user_id: &str, membership: &Membership) -> DbResult<Vec<(String, bool)>> {
    let mut args = args![KIND, user_id, user_id];
    let mut groups = String::new();
    if !membership.groups.is_empty() {
        let list = placeholders(membership.groups.len());
        groups = format!(" OR (principal_type = 'group' AND principal_id IN ({list}))");
        args.extend(membership.ids().iter().map(Arg::from));
    }
    let text = format!(
        "SELECT resource_id, MAX(CASE WHEN permission = 'write' THEN 1 ELSE 0 END) FROM access_grant \
         WHERE resource_type = ? AND (resource_id IN (SELECT id FROM folder WHERE user_id = ?) \
         OR (principal_type = 'user' AND principal_id IN ('*', ?)){groups}) GROUP BY resource_id"
    );
    let rows = sql(text, args).all(db).await?;
    rows.iter()
        .map(|row| Ok((row.at(0)?, row.at::<i64>(1)? == 1)))
        .collect()
}

/// Ids of those who wrote questions, by chat.
#[boxed]
pub async fn participants(db: &Db, chat_ids: &[String]) -> DbResult<HashMap<String, Vec<String>>> {
    let mut participants: HashMap<String, Vec<String>> = HashMap::new();
    if chat_ids.is_empty() {
        return Ok(participants);
    }
    let text = format!(
        "SELECT DISTINCT chat_id, user_id FROM chat_message \
         WHERE role = 'user' AND user_id IS NOT NULL AND user_id <> '' AND chat_id IN ({}) ORDER BY chat_id, user_id",
        placeholders(chat_ids.len())
    );
    for row in &sql(text, chat_ids.iter().map(Arg::from).collect())
        .all(db)
        .await?
    {
        participants.entry(row.at(0)?).or_default().push(row.at(1)?);
    }
    Ok(participants)
}

/// The uppermost folder that bounds where the owner may move others' chats: the outermost shared one above `folder_id`,
/// or the top one when none is shared. `None` unless every folder on the way up belongs to the user.
#[boxed]
pub async fn moving_root(db: &Db, user_id: &str, folder_id: Option<&str>) -> DbResult<Option<String>> {
    let Some(folder_id) = folder_id else {
        return Ok(None);
    };
    let Some(folder) = folders::by_id(db, folder_id).await? else {
        return Ok(None);
    };
    let line = folders::with_ancestors(db, &folder).await?;
    let is_whole = line.last().is_some_and(|top| top.parent_id.is_none());
    if !is_whole || line.iter().any(|folder| folder.user_id != user_id) {
        return Ok(None);
    }
    let ids: Vec<String> = line.iter().map(|folder| folder.id.clone()).collect();
    let grants = crate::grants::of_many(db, KIND, &ids).await?;
    let shared = ids
        .iter()
        .rev()
        .find(|id| grants.iter().any(|grant| grant.resource_id == **id));
    Ok(shared.or(ids.last()).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shared_folders_show_what_is_below_them() {
        for db in crate::testing::databases().await {
            let (ada, bob) = (
                crate::testing::user(&db, "ada").await,
                crate::testing::user(&db, "bob").await,
            );
            let top = folders::create(&db, &ada.id, None, "Top".into(), None, None)
                .await
                .unwrap();
            let inner = folders::create(&db, &ada.id, Some(top.id.clone()), "In".into(), None, None)
                .await
                .unwrap();
            let grant = |permission: &str| crate::grants::Grant {
                principal_type: "user".into(),
                principal_id: bob.id.clone(),
                permission: permission.into(),
            };
            let mut tx = db.begin().await.unwrap();
            crate::grants::replace(&mut tx, KIND, &top.id, &[grant("write")])
                .await
                .unwrap();
            crate::grants::replace(&mut tx, KIND, &inner.id, &[grant("read")])
                .await
                .unwrap();
            tx.commit().await.unwrap();
            for user in [&ada, &bob] {
                let shared = of_user(&db, &user.id, &Membership::default()).await.unwrap();
                assert_eq!(shared.len(), 2);
                assert!(
                    shared.iter().all(|shared| shared.writable),
                    "the inherited right counts"
                );
            }
            let stranger = crate::testing::user(&db, "eve").await;
            assert!(
                of_user(&db, &stranger.id, &Membership::default())
                    .await
                    .unwrap()
                    .is_empty()
            );
            let root = moving_root(&db, &ada.id, Some(&inner.id)).await.unwrap();
            assert_eq!(root.as_deref(), Some(top.id.as_str()));
            let chat = crate::testing::chat(&db, &bob, "t", "?").await;
            let people = participants(&db, std::slice::from_ref(&chat.id)).await.unwrap();
            assert_eq!(people[&chat.id], [bob.id.as_str()]);
        }
    }
}
