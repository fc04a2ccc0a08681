//! What the areas of shared resources have in common: who reads, the query of lists, and which grants somebody
//! may give. The statements are in the models crate.

use std::sync::Arc;

use oui_access::{ADMIN, Identity};
use oui_core::{ApiError, ApiResult, form};
use oui_models::grants::{self, Grant};
use oui_models::groups::Membership;
use oui_models::shared::{Entry, Reader, Shared};
use oui_web::{Caller, Role, Verified};
use serde_json::{Map, Value};

/// Rows of a page of workspace resources.
pub(crate) const PAGE: i64 = 30;

/// Who reads, with what the statements need to know of them.
pub(crate) struct Reading {
    user_id: String,
    membership: Arc<Membership>,
    sees_all: bool,
    admin: bool,
}

impl Reading {
    /// The caller.
    pub(crate) async fn of(caller: &Caller<Verified>) -> ApiResult<Self> {
        Ok(Self {
            user_id: caller.id().to_owned(),
            membership: caller.membership().await?,
            sees_all: caller.bypasses_grants(),
            admin: caller.user().role == ADMIN,
        })
    }

    /// For statements.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader {
            user_id: &self.user_id,
            membership: &self.membership,
            sees_all: self.sees_all,
        }
    }

    /// For statements in which administrators have no advantage.
    pub(crate) fn as_user(&self) -> Reader<'_> {
        Reader {
            sees_all: false,
            ..self.reader()
        }
    }

    /// Owner, grant, or administrator whose role overrides grants.
    pub(crate) fn may<R: Shared>(&self, entry: &Entry<R>, permission: &str) -> bool {
        entry.permits(&self.reader(), permission)
    }

    /// Owner, grant, or any administrator: many routes do not ask whether the role overrides grants.
    pub(crate) fn may_or_admin<R: Shared>(&self, entry: &Entry<R>, permission: &str) -> bool {
        self.admin || self.may(entry, permission)
    }
}

form! {
    /// Query of the lists of workspace resources.
    pub(crate) struct ListQuery {
        /// Text to look for.
        pub query: Option<String>,
        /// `created` or `shared`.
        pub view_option: Option<String>,
        /// Name of a tag.
        pub tag: Option<String>,
        /// Name of a column.
        pub order_by: Option<String>,
        /// `asc` or `desc`.
        pub direction: Option<String>,
        /// From 1.
        pub page: i64 = 1,
    }
}

/// A parameter that counts as absent when it is empty.
pub(crate) fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// Columns that every list can be ordered by.
pub(crate) const ORDERS: &[(&str, &str)] = &[
    ("name", "r.name"),
    ("created_at", "r.created_at"),
    ("updated_at", "r.updated_at"),
];

/// Grants as requests carry them.
pub(crate) type GrantForm = Map<String, Value>;

form! {
    /// New grants.
    pub(crate) struct GrantsForm {
        /// The grants.
        pub access_grants: Vec<GrantForm>,
    }
}

/// Path of a permission, where there is one.
type Permission = Option<&'static str>;

/// Permissions that sharing a kind of resource takes: at all, with everybody, and with people without an account.
/// Without the second or third one nobody may share it with those.
const SHARING: &[(&str, Permission, Permission, Permission)] = &[
    (
        "model",
        Some("sharing.models"),
        Some("sharing.public_models"),
        None,
    ),
    (
        "knowledge",
        Some("sharing.knowledge"),
        Some("sharing.public_knowledge"),
        None,
    ),
    (
        "prompt",
        Some("sharing.prompts"),
        Some("sharing.public_prompts"),
        None,
    ),
    ("tool", Some("sharing.tools"), Some("sharing.public_tools"), None),
    (
        "skill",
        Some("sharing.skills"),
        Some("sharing.public_skills"),
        None,
    ),
    ("note", Some("sharing.notes"), Some("sharing.public_notes"), None),
    ("channel", None, Some("sharing.public_channels"), None),
    ("calendar", None, Some("sharing.public_calendars"), None),
    ("folder", Some("sharing.folders"), None, None),
    (
        "shared_chat",
        None,
        Some("sharing.public_chats"),
        Some("sharing.open_chats"),
    ),
];

fn normalized(input: Vec<GrantForm>) -> Vec<Grant> {
    let values: Vec<Value> = input.into_iter().map(Value::Object).collect();
    grants::normalize(&values)
}

/// The grants that the caller may give on a resource of this kind; the others are dropped. For new resources.
pub(crate) async fn allowed_grants<R: Role<Who = Identity>>(
    caller: &Caller<R>,
    kind: &str,
    input: Option<Vec<GrantForm>>,
) -> ApiResult<Vec<Grant>> {
    allowed(caller, kind, normalized(input.unwrap_or_default())).await
}

async fn allowed<R: Role<Who = Identity>>(
    caller: &Caller<R>,
    kind: &str,
    mut grants: Vec<Grant>,
) -> ApiResult<Vec<Grant>> {
    let (_, share, public, anyone) = SHARING
        .iter()
        .find(|(name, ..)| *name == kind)
        .ok_or_else(|| ApiError::internal(format!("{kind} has no sharing rule")))?;
    grants.retain(|grant| {
        (anyone.is_some() || grant.principal_type != "anyone") && (public.is_some() || !grant.is_public())
    });
    if caller.is_admin() || grants.is_empty() {
        return Ok(grants);
    }
    let permissions = caller.permissions().await?;
    if share.is_some_and(|share| !permissions.has(share)) {
        return Ok(Vec::new());
    }
    grants.retain(|grant| {
        let permission = match grant.principal_type.as_str() {
            "user" if grant.is_public() => *public,
            "user" => Some("access_grants.allow_users"),
            "group" => Some("access_grants.allow_groups"),
            _ => *anyone,
        };
        permission.is_some_and(|permission| permissions.has(permission))
    });
    Ok(grants)
}

/// The grants, or a refusal when the caller may not give one of them. For resources that exist.
pub(crate) async fn demanded_grants(
    caller: &Caller<Verified>,
    kind: &str,
    input: Vec<GrantForm>,
) -> ApiResult<Vec<Grant>> {
    let wanted = normalized(input);
    let count = wanted.len();
    let grants = allowed(caller, kind, wanted).await?;
    if grants.len() == count {
        Ok(grants)
    } else {
        Err(ApiError::forbidden(
            "You do not have permission to share with the requested audience",
        ))
    }
}

/// Refuses callers that are neither administrator nor have one of the permissions.
pub(crate) async fn demand_any(caller: &Caller<Verified>, permissions: &[&str]) -> ApiResult<()> {
    if caller.is_admin() {
        return Ok(());
    }
    let granted = caller.permissions().await?;
    if permissions.iter().any(|permission| granted.has(permission)) {
        Ok(())
    } else {
        Err(ApiError::unauthorized(oui_core::messages::UNAUTHORIZED))
    }
}
