//! Many collections of ours in few of a server's, told apart by a field: the layout that the reference calls
//! multi-tenancy. Which of the few a collection goes to follows from its name.

/// Where a collection lies on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Name of the server's collection.
    pub(super) name: String,
    /// What entries of ours have in the field that tells collections apart; `None` when they have it for themselves.
    pub(super) tenant: Option<String>,
}

impl Place {
    /// A collection of its own.
    pub(super) fn own(name: String) -> Self {
        Self { name, tenant: None }
    }

    /// A part of the shared collection for its kind. Words of a kind's name are joined by `joint`.
    pub(super) fn shared(prefix: &str, collection: &str, joint: &str) -> Self {
        let kind = kind(collection).join(joint);
        Self {
            name: format!("{prefix}_{kind}"),
            tenant: Some(collection.to_owned()),
        }
    }

    /// The names of all shared collections.
    pub(super) fn all(prefix: &str, joint: &str) -> Vec<String> {
        let kinds = [MEMORIES, FILES, WEB_SEARCH, HASHED, KNOWLEDGE];
        let name = |kind: &[&str]| format!("{prefix}_{}", kind.join(joint));
        kinds.into_iter().map(name).collect()
    }
}

/// The words of the kinds' names.
const MEMORIES: &[&str] = &["memories"];
const FILES: &[&str] = &["files"];
const WEB_SEARCH: &[&str] = &["web", "search"];
const HASHED: &[&str] = &["hash", "based"];
const KNOWLEDGE: &[&str] = &["knowledge"];

fn kind(collection: &str) -> &'static [&'static str] {
    let is_hash =
        collection.len() == 63 && collection.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if collection.starts_with("user-memory-") {
        MEMORIES
    } else if collection.starts_with("file-") {
        FILES
    } else if collection.starts_with("web-search-") {
        WEB_SEARCH
    } else if is_hash {
        HASHED
    } else {
        KNOWLEDGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_kind() {
        let hash = "0a".repeat(31) + "f";
        for (collection, kind) in [
            ("user-memory-1", "memories"),
            ("file-1", "files"),
            ("web-search-1", "web_search"),
            (hash.as_str(), "hash_based"),
            ("7c0ffee7-0000", "knowledge"),
        ] {
            let place = Place::shared("p", collection, "_");
            assert_eq!(place.name, format!("p_{kind}"));
            assert_eq!(place.tenant.as_deref(), Some(collection));
            assert!(Place::all("p", "_").contains(&place.name));
        }
    }
}
