//! The page of the administration about sign-in at a directory (LDAP).

use std::collections::BTreeMap;

use axum::Json;
use oui_config::{Literal, ldap};
use oui_core::{ApiError, ApiResult, form};
use oui_web::body::AnyJson;
use oui_web::{Admin, Body, Caller};
use serde_json::{Map, Value, json};

use oui_web::settings::{self, Setting};

static SERVER: &[Setting] = &[
    Setting::of::<String>("label", ldap::LDAP_SERVER_LABEL.meta()),
    Setting::of::<String>("host", ldap::LDAP_SERVER_HOST.meta()),
    Setting::of::<Option<i64>>("port", ldap::LDAP_SERVER_PORT.meta()).or(Literal::Null),
    Setting::of::<String>("attribute_for_mail", ldap::LDAP_ATTRIBUTE_FOR_MAIL.meta())
        .or(Literal::Text("mail")),
    Setting::of::<String>("default_email_domain", ldap::LDAP_DEFAULT_EMAIL_DOMAIN.meta())
        .or(Literal::Text("")),
    Setting::of::<String>("attribute_for_username", ldap::LDAP_ATTRIBUTE_FOR_USERNAME.meta())
        .or(Literal::Text("uid")),
    Setting::of::<String>("app_dn", ldap::LDAP_APP_DN.meta()),
    Setting::of::<String>("app_dn_password", ldap::LDAP_APP_PASSWORD.meta()),
    Setting::of::<String>("search_base", ldap::LDAP_SEARCH_BASE.meta()),
    Setting::of::<String>("search_filters", ldap::LDAP_SEARCH_FILTER.meta()).or(Literal::Text("")),
    Setting::of::<bool>("use_tls", ldap::LDAP_USE_TLS.meta()).or(Literal::Bool(true)),
    Setting::of::<Option<String>>("certificate_path", ldap::LDAP_CA_CERT_FILE.meta()).or(Literal::Null),
    Setting::of::<bool>("validate_cert", ldap::LDAP_VALIDATE_CERT.meta()).or(Literal::Bool(true)),
    Setting::of::<Option<String>>("ciphers", ldap::LDAP_CIPHERS.meta()).or(Literal::Text("ALL")),
    Setting::of::<bool>(
        "enable_group_management",
        ldap::ENABLE_LDAP_GROUP_MANAGEMENT.meta(),
    )
    .or(Literal::Bool(false)),
    Setting::of::<bool>("enable_group_creation", ldap::ENABLE_LDAP_GROUP_CREATION.meta())
        .or(Literal::Bool(false)),
    Setting::of::<String>("attribute_for_groups", ldap::LDAP_ATTRIBUTE_FOR_GROUPS.meta())
        .or(Literal::Text("memberOf")),
];

/// Fields that must not be empty, with the keys they are stored under.
static REQUIRED: &[(&str, &oui_config::Meta)] = &[
    ("label", ldap::LDAP_SERVER_LABEL.meta()),
    ("host", ldap::LDAP_SERVER_HOST.meta()),
    ("attribute_for_mail", ldap::LDAP_ATTRIBUTE_FOR_MAIL.meta()),
    ("attribute_for_username", ldap::LDAP_ATTRIBUTE_FOR_USERNAME.meta()),
    ("search_base", ldap::LDAP_SEARCH_BASE.meta()),
];

form! {
    pub(super) struct SwitchForm {
        enable_ldap: Option<bool>,
    }
}

pub(super) async fn show(caller: Caller<Admin>) -> Json<Map<String, Value>> {
    Json(settings::show(&caller.app().config, SERVER))
}

pub(super) async fn save(
    caller: Caller<Admin>,
    AnyJson(body): AnyJson,
) -> ApiResult<Json<Map<String, Value>>> {
    let changes = settings::read(SERVER, &body)?;
    let text = |key: &oui_config::Meta| {
        changes
            .get(key.path())
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let empty = |name: &str| ApiError::bad_request(format!("Required field {name} is empty"));
    for (name, key) in REQUIRED {
        if text(key).is_empty() {
            return Err(empty(name));
        }
    }
    // Groups are read from this attribute; without it they would silently stay as they are.
    let groups = changes.get(ldap::ENABLE_LDAP_GROUP_MANAGEMENT.path()) == Some(&Value::Bool(true));
    if groups && text(&ldap::LDAP_ATTRIBUTE_FOR_GROUPS).trim().is_empty() {
        return Err(empty("attribute_for_groups"));
    }
    caller.app().save_config(changes).await?;
    Ok(show(caller).await)
}

pub(super) async fn show_switch(caller: Caller<Admin>) -> Json<Value> {
    Json(json!({ "ENABLE_LDAP": caller.app().config.value(ldap::ENABLE_LDAP.path()) }))
}

pub(super) async fn save_switch(
    caller: Caller<Admin>,
    Body { form, .. }: Body<SwitchForm>,
) -> ApiResult<Json<Value>> {
    let change = BTreeMap::from([(ldap::ENABLE_LDAP.path().to_owned(), json!(form.enable_ldap))]);
    caller.app().save_config(change).await?;
    Ok(show_switch(caller).await)
}
