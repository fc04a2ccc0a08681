//! Keys of user status and of the permissions every user starts with.

use serde_json::Value;

use crate::permissions;
use crate::key::{Key, Literal, keys};

keys! {
    "Users and default permissions";

    /// Permissions of users whom no group grants more, as a tree of switches.
    pub static USER_PERMISSIONS: Key<Value> =
        Key::json("user.permissions", Literal::Json(permissions::default_tree))
            .from(permissions::from_environment, permissions::VARIABLES)
            .no_env();
    /// Lets users show a status.
    pub static ENABLE_USER_STATUS: Key<bool> = Key::bool("users.enable_status", true);
}
