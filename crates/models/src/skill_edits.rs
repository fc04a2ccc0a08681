//! New skills. Reading them, sharing and removing are in [`skills`](crate::skills).

use oui_core::boxed;
use serde_json::{Value, json};

use crate::db::{Db, DbResult};
use crate::skills::SkillRow;
use crate::{args, versions};

/// A skill to be made.
#[derive(Debug, Clone, Default)]
pub struct NewSkill {
    /// Row id, a slug.
    pub id: String,
    /// Name shown, unique.
    pub name: String,
    /// Description shown.
    pub description: Option<String>,
    /// Text of `SKILL.md`.
    pub content: String,
    /// All files: `{path, content, encoding?}`, `SKILL.md` among them.
    pub files: Vec<Value>,
    /// What is said of this first version.
    pub commit_message: Option<String>,
}

/// Why a skill was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Another has the id.
    Id,
    /// Another has the name.
    Name,
}

/// Makes a skill that only its owner sees, with its first version.
#[boxed]
pub async fn create(db: &Db, user_id: &str, new: NewSkill) -> DbResult<Result<SkillRow, Taken>> {
    let now = db.now();
    let mut tx = db.begin().await?;
    if SkillRow::find(&mut tx, "WHERE id = ?", args![&new.id])
        .await?
        .is_some()
    {
        return Ok(Err(Taken::Id));
    }
    if SkillRow::find(&mut tx, "WHERE name = ?", args![&new.name])
        .await?
        .is_some()
    {
        return Ok(Err(Taken::Name));
    }
    let meta = json!({ "i18n": null, "tags": [] });
    let data = json!({ "files": new.files });
    let snapshot = json!({
        "name": new.name, "description": new.description, "meta": meta, "content": new.content, "data": data,
    });
    let message = new.commit_message.as_deref();
    let version = versions::SKILLS
        .add(&mut tx, &new.id, &snapshot, user_id, None, message)
        .await?;
    let row = SkillRow {
        id: new.id,
        user_id: user_id.to_owned(),
        name: new.name,
        description: new.description,
        content: new.content,
        meta: Some(meta),
        is_active: true,
        updated_at: now,
        created_at: now,
        version_id: Some(version),
        data: Some(data),
    };
    row.insert(&mut tx).await?;
    tx.commit().await?;
    Ok(Ok(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ids_and_names_are_taken_once() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let skill = |id: &str, name: &str| NewSkill {
                id: id.into(),
                name: name.into(),
                content: "Sing.".into(),
                files: vec![json!({"path": "SKILL.md", "content": "Sing."})],
                ..NewSkill::default()
            };
            let made = create(&db, &ada.id, skill("sing", "Sing"))
                .await
                .unwrap()
                .unwrap();
            let versions = versions::SKILLS.list(&db, "sing", 0, 10).await.unwrap();
            assert_eq!(made.version_id.as_deref(), Some(versions[0].id.as_str()));
            assert_eq!(
                create(&db, &ada.id, skill("sing", "Other")).await.unwrap(),
                Err(Taken::Id)
            );
            assert_eq!(
                create(&db, &ada.id, skill("other", "Sing")).await.unwrap(),
                Err(Taken::Name)
            );
        }
    }
}
