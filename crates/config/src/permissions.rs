//! The permissions that every user starts with, one variable each.
//!
//! The tree is the default of the key `user.permissions`; groups and the permission check live elsewhere.

use serde_json::{Map, Value};

use crate::environment::Environment;

/// One switch of the tree.
pub(crate) struct Permission {
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    pub(crate) variable: &'static str,
    pub(crate) default: bool,
}

macro_rules! permissions {
    ($($group:ident { $($name:literal = $variable:ident, $default:literal;)+ })+) => {
        /// All switches in the order of the tree.
        pub(crate) static PERMISSIONS: &[Permission] = &[$($(
            Permission {
                group: stringify!($group), name: $name, variable: stringify!($variable), default: $default
            },
        )+)+];

        /// The variables of all switches.
        pub(crate) const VARIABLES: &[&str] = &[$($(stringify!($variable)),+),+];
    };
}

permissions! {
    workspace {
        "models" = USER_PERMISSIONS_WORKSPACE_MODELS_ACCESS, false;
        "knowledge" = USER_PERMISSIONS_WORKSPACE_KNOWLEDGE_ACCESS, false;
        "prompts" = USER_PERMISSIONS_WORKSPACE_PROMPTS_ACCESS, false;
        "tools" = USER_PERMISSIONS_WORKSPACE_TOOLS_ACCESS, false;
        "skills" = USER_PERMISSIONS_WORKSPACE_SKILLS_ACCESS, false;
        "models_import" = USER_PERMISSIONS_WORKSPACE_MODELS_IMPORT, false;
        "models_export" = USER_PERMISSIONS_WORKSPACE_MODELS_EXPORT, false;
        "models_hidden" = USER_PERMISSIONS_WORKSPACE_MODELS_HIDDEN, false;
        "prompts_import" = USER_PERMISSIONS_WORKSPACE_PROMPTS_IMPORT, false;
        "prompts_export" = USER_PERMISSIONS_WORKSPACE_PROMPTS_EXPORT, false;
        "tools_import" = USER_PERMISSIONS_WORKSPACE_TOOLS_IMPORT, false;
        "tools_export" = USER_PERMISSIONS_WORKSPACE_TOOLS_EXPORT, false;
        "skills_import" = USER_PERMISSIONS_WORKSPACE_SKILLS_IMPORT, false;
        "skills_export" = USER_PERMISSIONS_WORKSPACE_SKILLS_EXPORT, false;
    }
    sharing {
        "models" = USER_PERMISSIONS_WORKSPACE_MODELS_ALLOW_SHARING, false;
        "public_models" = USER_PERMISSIONS_WORKSPACE_MODELS_ALLOW_PUBLIC_SHARING, false;
        "knowledge" = USER_PERMISSIONS_WORKSPACE_KNOWLEDGE_ALLOW_SHARING, false;
        "public_knowledge" = USER_PERMISSIONS_WORKSPACE_KNOWLEDGE_ALLOW_PUBLIC_SHARING, false;
        "prompts" = USER_PERMISSIONS_WORKSPACE_PROMPTS_ALLOW_SHARING, false;
        "public_prompts" = USER_PERMISSIONS_WORKSPACE_PROMPTS_ALLOW_PUBLIC_SHARING, false;
        "tools" = USER_PERMISSIONS_WORKSPACE_TOOLS_ALLOW_SHARING, false;
        "public_tools" = USER_PERMISSIONS_WORKSPACE_TOOLS_ALLOW_PUBLIC_SHARING, false;
        "skills" = USER_PERMISSIONS_WORKSPACE_SKILLS_ALLOW_SHARING, false;
        "public_skills" = USER_PERMISSIONS_WORKSPACE_SKILLS_ALLOW_PUBLIC_SHARING, false;
        "notes" = USER_PERMISSIONS_NOTES_ALLOW_SHARING, false;
        "public_notes" = USER_PERMISSIONS_NOTES_ALLOW_PUBLIC_SHARING, false;
        "folders" = USER_PERMISSIONS_FOLDERS_ALLOW_SHARING, false;
        "public_chats" = USER_PERMISSIONS_CHAT_ALLOW_PUBLIC_SHARING, false;
        "open_chats" = USER_PERMISSIONS_CHAT_ALLOW_OPEN_SHARING, false;
        "public_calendars" = USER_PERMISSIONS_CALENDAR_ALLOW_PUBLIC_SHARING, false;
    }
    access_grants {
        "allow_users" = USER_PERMISSIONS_ACCESS_GRANTS_ALLOW_USERS, true;
        "allow_groups" = USER_PERMISSIONS_ACCESS_GRANTS_ALLOW_GROUPS, true;
    }
    chat {
        "controls" = USER_PERMISSIONS_CHAT_CONTROLS, true;
        "valves" = USER_PERMISSIONS_CHAT_VALVES, true;
        "system_prompt" = USER_PERMISSIONS_CHAT_SYSTEM_PROMPT, true;
        "params" = USER_PERMISSIONS_CHAT_PARAMS, true;
        "file_upload" = USER_PERMISSIONS_CHAT_FILE_UPLOAD, true;
        "web_upload" = USER_PERMISSIONS_CHAT_WEB_UPLOAD, true;
        "delete" = USER_PERMISSIONS_CHAT_DELETE, true;
        "delete_message" = USER_PERMISSIONS_CHAT_DELETE_MESSAGE, true;
        "continue_response" = USER_PERMISSIONS_CHAT_CONTINUE_RESPONSE, true;
        "regenerate_response" = USER_PERMISSIONS_CHAT_REGENERATE_RESPONSE, true;
        "rate_response" = USER_PERMISSIONS_CHAT_RATE_RESPONSE, true;
        "edit" = USER_PERMISSIONS_CHAT_EDIT, true;
        "share" = USER_PERMISSIONS_CHAT_SHARE, true;
        "export" = USER_PERMISSIONS_CHAT_EXPORT, true;
        "import" = USER_PERMISSIONS_CHAT_IMPORT, true;
        "stt" = USER_PERMISSIONS_CHAT_STT, true;
        "tts" = USER_PERMISSIONS_CHAT_TTS, true;
        "call" = USER_PERMISSIONS_CHAT_CALL, true;
        "multiple_models" = USER_PERMISSIONS_CHAT_MULTIPLE_MODELS, true;
        "temporary" = USER_PERMISSIONS_CHAT_TEMPORARY, true;
        "temporary_enforced" = USER_PERMISSIONS_CHAT_TEMPORARY_ENFORCED, false;
    }
    features {
        "api_keys" = USER_PERMISSIONS_FEATURES_API_KEYS, false;
        "notes" = USER_PERMISSIONS_FEATURES_NOTES, true;
        "folders" = USER_PERMISSIONS_FEATURES_FOLDERS, true;
        "channels" = USER_PERMISSIONS_FEATURES_CHANNELS, true;
        "encrypted_channels" = USER_PERMISSIONS_FEATURES_ENCRYPTED_CHANNELS, false;
        "direct_tool_servers" = USER_PERMISSIONS_FEATURES_DIRECT_TOOL_SERVERS, false;
        "web_search" = USER_PERMISSIONS_FEATURES_WEB_SEARCH, true;
        "image_generation" = USER_PERMISSIONS_FEATURES_IMAGE_GENERATION, true;
        "code_interpreter" = USER_PERMISSIONS_FEATURES_CODE_INTERPRETER, true;
        "memories" = USER_PERMISSIONS_FEATURES_MEMORIES, true;
        "automations" = USER_PERMISSIONS_FEATURES_AUTOMATIONS, false;
        "calendar" = USER_PERMISSIONS_FEATURES_CALENDAR, true;
        "webhooks" = USER_PERMISSIONS_FEATURES_USER_WEBHOOKS, false;
    }
    settings {
        "interface" = USER_PERMISSIONS_SETTINGS_INTERFACE, true;
    }
}

/// The tree in an empty environment.
pub(crate) fn default_tree() -> Value {
    tree(&Environment::empty())
}

/// The tree with the variables of an environment.
pub(crate) fn from_environment(environment: &Environment) -> Result<Value, String> {
    Ok(tree(environment))
}

fn tree(environment: &Environment) -> Value {
    let mut tree = Map::new();
    for permission in PERMISSIONS {
        let value = environment.flag(permission.variable, permission.default);
        let group = tree
            .entry(permission.group)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(group) = group {
            group.insert(permission.name.to_owned(), value.into());
        }
    }
    tree.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_change_their_switch_only() {
        let environment = Environment::from_map([
            ("USER_PERMISSIONS_CHAT_DELETE", "false"),
            ("USER_PERMISSIONS_WORKSPACE_MODELS_ALLOW_SHARING", "True"),
        ]);
        let mut expected = default_tree();
        expected["chat"]["delete"] = false.into();
        expected["sharing"]["models"] = true.into();
        assert_eq!(from_environment(&environment), Ok(expected));
        assert_eq!(default_tree()["chat"]["delete"], true);
    }
}
