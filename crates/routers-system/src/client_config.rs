//! `GET /api/config`: what the client must know, in four forms: for nobody, for an account that waits, for users
//! and for administrators.

use axum::Json;
use oui_access::is_verified;
use oui_config::Snapshot;
use oui_core::ApiResult;
use oui_frontend::FRONTEND_VERSION;
use oui_models::users;
use oui_web::{App, Caller, Optional};
use serde_json::{Map, Value, json};

/// Features that the sign-in page needs: wire name and stored key.
const PUBLIC_FEATURES: &[(&str, &str)] = &[
    ("enable_ldap", "ldap.enable"),
    ("enable_signup", "ui.enable_signup"),
    ("enable_login_form", "ui.enable_login_form"),
];

/// Features that signed-in clients need: wire name and stored key.
const FEATURES: &[(&str, &str)] = &[
    ("enable_api_keys", "auth.enable_api_keys"),
    ("enable_password_change_form", "ui.enable_password_change_form"),
    ("enable_direct_connections", "direct.enable"),
    ("enable_folders", "folders.enable"),
    ("folder_max_file_count", "folders.max_file_count"),
    ("enable_channels", "channels.enable"),
    ("enable_encrypted_channels", "channels.encryption.enable"),
    ("enable_apps", "apps.enable"),
    ("enable_calendar", "calendar.enable"),
    ("enable_automations", "automations.enable"),
    ("enable_notes", "notes.enable"),
    ("enable_context_compaction", "chat.context_compaction.enable"),
    ("enable_tool_permissions", "chat.tool_permissions.enable"),
    ("enable_web_search", "web.search.enable"),
    ("enable_web_search_confirmation", "web.search.confirmation.enable"),
    (
        "web_search_confirmation_content",
        "web.search.confirmation.content",
    ),
    ("enable_code_execution", "code_execution.enable"),
    ("enable_code_interpreter", "code_interpreter.enable"),
    ("enable_image_generation", "image_generation.enable"),
    ("enable_autocomplete_generation", "task.autocomplete.enable"),
    ("enable_title_generation", "task.title.enable"),
    ("enable_follow_up_generation", "task.follow_up.enable"),
    ("enable_tags_generation", "task.tags.enable"),
    ("enable_community_sharing", "ui.enable_community_sharing"),
    ("enable_message_rating", "ui.enable_message_rating"),
    ("enable_user_webhooks", "ui.enable_user_webhooks"),
    ("enable_user_status", "users.enable_status"),
    ("enable_google_drive_integration", "google_drive.enable"),
    ("enable_onedrive_integration", "onedrive.enable"),
    ("enable_memories", "memories.enable"),
    ("enable_subagents", "subagents.enable"),
];

/// What admitted clients get besides features: path in the answer (dots nest) and stored key.
const SETTINGS: &[(&str, &str)] = &[
    ("default_models", "ui.default_models"),
    ("default_pinned_models", "ui.default_pinned_models"),
    ("default_prompt_suggestions", "ui.prompt_suggestions"),
    ("default_prompt_suggestions_i18n", "ui.prompt_suggestions_i18n"),
    ("code.engine", "code_execution.engine"),
    ("code.interpreter_engine", "code_interpreter.engine"),
    ("audio.realtime.enabled", "audio.realtime.enabled"),
    ("audio.realtime.model", "audio.realtime.model"),
    ("audio.realtime.voice", "audio.realtime.voice"),
    ("audio.tts.engine", "audio.tts.engine"),
    ("audio.tts.voice", "audio.tts.voice"),
    ("audio.tts.split_on", "audio.tts.split_on"),
    ("audio.stt.engine", "audio.stt.engine"),
    ("file.max_size", "rag.file.max_size"),
    ("file.max_count", "rag.file.max_count"),
    ("file.image_compression.width", "file.image_compression_width"),
    ("file.image_compression.height", "file.image_compression_height"),
    ("permissions", "user.permissions"),
    ("ui.default_interface_settings", "ui.default_interface_settings"),
    ("ui.visibility", "ui.visibility"),
    ("ui.pending_user_overlay_title", "ui.pending_user_overlay_title"),
    (
        "ui.pending_user_overlay_content",
        "ui.pending_user_overlay_content",
    ),
    ("ui.response_watermark", "ui.watermark"),
];

/// Sign-in services with a button: name and the stored key whose presence makes it.
const OAUTH: &[(&str, &str)] = &[
    ("google", "oauth.google.client_id"),
    ("microsoft", "oauth.microsoft.client_id"),
    ("github", "oauth.github.client_id"),
    ("feishu", "oauth.feishu.client_id"),
];

fn stored(config: &Snapshot, path: &str) -> Value {
    config.value(path).cloned().unwrap_or(Value::Null)
}

/// Puts a value at a dotted path.
fn put(target: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            target.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = target.entry(first.to_owned()).or_insert_with(|| json!({}));
            if let Some(inner) = inner.as_object_mut() {
                put(inner, rest, value);
            }
        }
    }
}

/// Answers `GET /api/config`.
pub(crate) async fn client_config(caller: Caller<Optional>) -> ApiResult<Json<Value>> {
    let app = caller.app();
    let config = app.config.snapshot();
    let user = caller.user();
    let mut body = Map::new();
    if user.is_none() && !users::any(caller.db()).await? {
        body.insert("onboarding".into(), json!(true));
    }
    body.insert("status".into(), json!(true));
    body.insert("name".into(), json!(app.settings.server.name));
    body.insert("version".into(), json!(FRONTEND_VERSION));
    body.insert(
        "default_locale".into(),
        config
            .value("ui.default_locale")
            .cloned()
            .unwrap_or_else(|| json!("")),
    );
    body.insert(
        "i18n".into(),
        config
            .value("ui.i18n")
            .filter(|value| value.is_object())
            .cloned()
            .unwrap_or_else(|| json!({})),
    );
    body.insert("oauth".into(), oauth(&config));
    body.insert("features".into(), features(app, &config, user.is_some()));
    match user {
        Some(user) if is_verified(&user.role) => {
            for (path, key) in SETTINGS {
                put(&mut body, path, stored(&config, key));
            }
            let models = group_models(&caller, &user.id).await?;
            if let Some(models) = models {
                body.insert("default_models".into(), json!(models));
            }
            drives(&mut body, &config);
            put(&mut body, "ui.iframe_csp", json!(app.settings.server.iframe_csp));
            body.insert("license_metadata".into(), Value::Null);
        }
        Some(_) => {
            for name in ["pending_user_overlay_title", "pending_user_overlay_content"] {
                put(
                    &mut body,
                    &format!("ui.{name}"),
                    stored(&config, &format!("ui.{name}")),
                );
            }
        }
        None => {}
    }
    Ok(Json(Value::Object(body)))
}

fn oauth(config: &Snapshot) -> Value {
    let mut providers = Map::new();
    if config
        .value("oauth.enable")
        .and_then(Value::as_bool)
        .unwrap_or(true)
    {
        for (name, key) in OAUTH {
            if config
                .value(key)
                .and_then(Value::as_str)
                .is_some_and(|id| !id.is_empty())
            {
                providers.insert((*name).to_owned(), json!(name));
            }
        }
        if config
            .value("oauth.client_id")
            .and_then(Value::as_str)
            .is_some_and(|id| !id.is_empty())
        {
            providers.insert("oidc".into(), stored(config, "oauth.provider_name"));
        }
    }
    json!({ "providers": providers, "auto_redirect": stored(config, "oauth.auto_redirect") })
}

fn features(app: &App, config: &Snapshot, signed_in: bool) -> Value {
    let settings = &app.settings;
    let mut features = Map::new();
    let mut flag = |name: &str, value: bool| {
        features.insert(name.to_owned(), json!(value));
    };
    flag("slim", false);
    flag("auth", settings.auth.enabled);
    flag(
        "auth_trusted_header",
        settings.auth.trusted_email_header.is_some(),
    );
    flag(
        "enable_signup_password_confirmation",
        settings.auth.confirm_password,
    );
    flag("enable_websocket", settings.websocket.enabled);
    for (name, key) in PUBLIC_FEATURES {
        features.insert((*name).to_owned(), stored(config, key));
    }
    if let Some(seconds) = settings.websocket.heartbeat {
        features.insert("websocket_heartbeat_interval".into(), json!(seconds));
    }
    if !signed_in {
        return Value::Object(features);
    }
    let mut flag = |name: &str, value: bool| {
        features.insert(name.to_owned(), json!(value));
    };
    let servers = settings.plugins.tool_servers();
    let connections = config
        .value("terminal_server.connections")
        .and_then(Value::as_array);
    let terminal = connections
        .into_iter()
        .flatten()
        .any(|c| c.get("enabled").and_then(Value::as_bool).unwrap_or(true));
    let direct = config
        .value("direct.integrations.enable")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    flag(
        "enable_version_update_check",
        settings.server.version_check && !settings.server.offline,
    );
    flag(
        "enable_pyodide_file_persistence",
        settings.chat.keep_pyodide_files,
    );
    flag(
        "enable_public_active_users_count",
        settings.access.public_active_count,
    );
    flag("enable_easter_eggs", settings.server.easter_eggs);
    flag("enable_direct_integrations", servers && direct);
    flag("enable_plugins", settings.plugins.enabled);
    flag("enable_tools", settings.plugins.tools());
    flag("enable_functions", settings.plugins.functions());
    flag("enable_tool_servers", servers);
    flag("enable_terminal_servers", servers && terminal);
    flag("enable_admin_export", settings.access.admin_export);
    flag("enable_admin_chat_access", settings.access.admin_chats);
    flag("enable_admin_analytics", settings.access.analytics);
    for (name, key) in FEATURES {
        features.insert((*name).to_owned(), stored(config, key));
    }
    Value::Object(features)
}

/// Default models of the caller's groups, which win over the server's.
async fn group_models(caller: &Caller<Optional>, user_id: &str) -> ApiResult<Option<String>> {
    let membership = oui_models::groups::membership(caller.db(), user_id).await?;
    Ok(membership.default_models().map(|(models, _)| models.join(",")))
}

fn drives(body: &mut Map<String, Value>, config: &Snapshot) {
    let pairs = [
        ("google_drive.client_id", "google_drive.client_id"),
        ("google_drive.api_key", "google_drive.api_key"),
        ("onedrive.client_id_personal", "onedrive.client_id_personal"),
        ("onedrive.client_id_business", "onedrive.client_id_business"),
        ("onedrive.sharepoint_url", "onedrive.sharepoint_url"),
        ("onedrive.sharepoint_tenant_id", "onedrive.sharepoint_tenant_id"),
    ];
    for (path, key) in pairs {
        put(
            body,
            path,
            config.value(key).cloned().unwrap_or_else(|| json!("")),
        );
    }
}
