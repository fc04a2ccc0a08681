//! The rule for shared resources: owner, grants, administrator. The rows of the
//! workspace apply it in their lists (`shared` in models), single ones through `Entry::permits` there.

use oui_models::grants::Grant;
use oui_models::groups::Membership;

/// What somebody wants to do with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Look at it.
    Read,
    /// Change or delete it.
    Write,
}

impl Action {
    /// `read` or `write`, as in the grant rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Read => "read",
            Action::Write => "write",
        }
    }
}

/// What the rule looks at.
pub struct Ownership<'a> {
    /// Owner's user id.
    pub owner: Option<&'a str>,
    /// Grants on the resource.
    pub grants: &'a [Grant],
}

impl Ownership<'_> {
    /// Whether the user may act. `bypass` is true for administrators whose role overrides grants.
    /// A write grant does not imply a read grant, as in the reference.
    pub fn permits(&self, action: Action, user_id: &str, membership: &Membership, bypass: bool) -> bool {
        bypass
            || self.owner == Some(user_id)
            || self
                .grants
                .iter()
                .any(|grant| grant.permission == action.as_str() && grant.reaches(user_id, membership))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_grants_and_bypass() {
        let nobody = Membership::default();
        let grants = [Grant::public_read()];
        let shared = Ownership {
            owner: Some("a"),
            grants: &grants,
        };
        assert!(shared.permits(Action::Write, "a", &nobody, false));
        assert!(shared.permits(Action::Read, "b", &nobody, false));
        assert!(!shared.permits(Action::Write, "b", &nobody, false));
        assert!(shared.permits(Action::Write, "b", &nobody, true));
        let private = Ownership {
            owner: Some("a"),
            grants: &[],
        };
        assert!(!private.permits(Action::Read, "b", &nobody, false));
    }
}
