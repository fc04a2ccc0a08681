//! The page of the administration about sign-in at a directory (LDAP).

use std::collections::BTreeMap;

use axum::Json;
use oui_config::ldap;
use oui_core::{ApiError, ApiResult, form};
use oui_web::body::AnyJson;
use oui_web::{Admin, Body, Caller, pages};
use serde_json::{Map, Value, json};

pages! {
    /// The page.
    static SERVER = {
        label: String => ldap::LDAP_SERVER_LABEL,
        host: String => ldap::LDAP_SERVER_HOST,
        port: Option<i64> = Value::Null => ldap::LDAP_SERVER_PORT,
        attribute_for_mail: String = "mail" => ldap::LDAP_ATTRIBUTE_FOR_MAIL,
        default_email_domain: String = "" => ldap::LDAP_DEFAULT_EMAIL_DOMAIN,
        attribute_for_username: String = "uid" => ldap::LDAP_ATTRIBUTE_FOR_USERNAME,
        app_dn: String => ldap::LDAP_APP_DN,
        app_dn_password: String => ldap::LDAP_APP_PASSWORD,
        search_base: String => ldap::LDAP_SEARCH_BASE,
        search_filters: String = "" => ldap::LDAP_SEARCH_FILTER,
        use_tls: bool = true => ldap::LDAP_USE_TLS,
        certificate_path: Option<String> = Value::Null => ldap::LDAP_CA_CERT_FILE,
        validate_cert: bool = true => ldap::LDAP_VALIDATE_CERT,
        ciphers: Option<String> = "ALL" => ldap::LDAP_CIPHERS,
        enable_group_management: bool = false => ldap::ENABLE_LDAP_GROUP_MANAGEMENT,
        enable_group_creation: bool = false => ldap::ENABLE_LDAP_GROUP_CREATION,
        attribute_for_groups: String = "memberOf" => ldap::LDAP_ATTRIBUTE_FOR_GROUPS,
    };
}

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
    Json(SERVER.show(&caller.app().config.snapshot()))
}

pub(super) async fn save(
    caller: Caller<Admin>,
    AnyJson(body): AnyJson,
) -> ApiResult<Json<Map<String, Value>>> {
    let changes = SERVER.body(&body)?;
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
