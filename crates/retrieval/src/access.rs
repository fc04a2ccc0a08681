//! Who may use which collection. Names of collections come from clients, so every name is checked by what it stands
//! for: a file, a knowledge base, somebody's memories, somebody's web search.

use oui_core::boxed;
use std::collections::BTreeSet;

use oui_access::ADMIN;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::knowledge::KnowledgeRow;
use oui_models::shared::{self, Reader};
use oui_models::users::UserRow;
use oui_models::{folder_files, groups};

use crate::service::Retrieval;

/// What is to be done with a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Search it.
    Read,
    /// Put something into it.
    Write,
}

impl Use {
    fn permission(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Whether the name can be one of a collection of ours: nothing else may reach the language of a vector store.
fn is_safe(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Names that could be the same collection in a store that changes names into its own form.
fn aliases(name: &str) -> BTreeSet<String> {
    let plain = name.to_lowercase().replace('_', "-");
    let plain = plain.trim_matches('-').to_owned();
    let mut names = BTreeSet::new();
    if plain.starts_with(|first: char| first.is_ascii_digit()) {
        names.insert(format!("c{plain}"));
    } else if let Some(rest) = plain.strip_prefix('c')
        && rest.starts_with(|first: char| first.is_ascii_digit())
    {
        names.insert(rest.to_owned());
    }
    names.insert(plain);
    names
}

impl Retrieval {
    /// The collections among these that the user may use. Administrators may use all with a proper name.
    #[boxed]
    pub async fn accessible(&self, names: &[String], user: &UserRow, purpose: Use) -> ApiResult<Vec<String>> {
        let mut kept: Vec<String> = Vec::new();
        for name in names {
            if !is_safe(name) || kept.contains(name) {
                continue;
            }
            if user.role == ADMIN || self.may_use(name, user, purpose).await? {
                kept.push(name.clone());
            }
        }
        Ok(kept)
    }

    /// Refuses when the user may not use one of the collections.
    #[boxed]
    pub async fn demand(&self, names: &[String], user: &UserRow, purpose: Use) -> ApiResult<()> {
        let allowed = self.accessible(names, user, purpose).await?;
        if names.iter().all(|name| allowed.contains(name)) {
            Ok(())
        } else {
            Err(ApiError::forbidden(messages::ACCESS_PROHIBITED))
        }
    }

    /// A refusal for one meaning of a name counts more than a right by another.
    async fn may_use(&self, name: &str, user: &UserRow, purpose: Use) -> ApiResult<bool> {
        let mut authorized = false;
        for name in aliases(name) {
            let allowed = if name == "knowledge-bases" {
                false
            } else if let Some(file) = name.strip_prefix("file-") {
                self.may_use_file(file, user, purpose).await?
            } else if let Some(owner) = name.strip_prefix("user-memory-") {
                owner == user.id
            } else if let Some(rest) = name.strip_prefix("web-search-") {
                rest.strip_prefix(user.id.as_str())
                    .is_some_and(|rest| rest.starts_with('-'))
            } else {
                match shared::get::<KnowledgeRow>(&self.db, &name).await? {
                    None => continue,
                    Some(entry) => {
                        let membership = groups::membership(&self.db, &user.id).await?;
                        let reader = Reader {
                            user_id: &user.id,
                            membership: &membership,
                            sees_all: false,
                        };
                        entry.permits(&reader, purpose.permission())
                    }
                }
            };
            if !allowed {
                return Ok(false);
            }
            authorized = true;
        }
        Ok(authorized || self.settings.access.unscoped_collections)
    }

    /// Whether the user may use a file; being an administrator does not count here.
    #[boxed]
    pub async fn may_use_file(&self, id: &str, user: &UserRow, purpose: Use) -> ApiResult<bool> {
        let membership = groups::membership(&self.db, &user.id).await?;
        Ok(match purpose {
            Use::Read => folder_files::may_read_file(&self.db, id, user, &membership).await?,
            Use::Write => folder_files::may_write_file(&self.db, id, user, &membership).await?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_anything_else() {
        assert!(is_safe("file-0a1B_2"));
        for bad in ["", "a b", "a'b", "ä", "a/b", &"x".repeat(256)] {
            assert!(!is_safe(bad), "{bad}");
        }
    }

    #[test]
    fn all_meanings_of_a_name_are_known() {
        let names = |name: &str| aliases(name).into_iter().collect::<Vec<_>>();
        assert_eq!(names("File_1"), ["file-1"]);
        assert_eq!(names("1ab"), ["1ab", "c1ab"]);
        assert_eq!(names("C1ab"), ["1ab", "c1ab"]);
        assert_eq!(names("__Knowledge_Bases_"), ["knowledge-bases"]);
    }
}
