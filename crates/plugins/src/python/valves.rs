//! Settings ("valves") of plugins as they are stored: plain, or encrypted where the operator wants it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use oui_config::Settings;
use oui_models::users::UserRow;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::tool::Object;

/// The cipher of stored settings. `None`: the secret is no key.
fn cipher(settings: &Settings) -> Option<fernet::Fernet> {
    let secret = settings.secret_key.expose();
    // A secret of this length is taken for a key.
    if secret.len() == 44 {
        return fernet::Fernet::new(secret);
    }
    fernet::Fernet::new(&URL_SAFE.encode(Sha256::digest(secret.as_bytes())))
}

/// Settings from how they are stored: an object, or a token that holds one.
pub fn open(settings: &Settings, stored: &Value) -> Object {
    let opened = match stored {
        Value::Object(values) => return values.clone(),
        Value::String(token) => cipher(settings).and_then(|cipher| cipher.decrypt(token).ok()),
        _ => None,
    };
    match opened.map(|bytes| serde_json::from_slice(&bytes)) {
        Some(Ok(Value::Object(values))) => values,
        _ => Object::new(),
    }
}

/// Settings from the column that holds them as JSON text.
pub fn read(settings: &Settings, text: Option<&str>) -> Object {
    let stored = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    open(settings, &stored.unwrap_or_default())
}

/// Settings as they are stored. `None`: the secret is no key for encryption.
pub fn seal(settings: &Settings, values: &Object) -> Option<Value> {
    let plain = Value::Object(values.clone());
    if !settings.plugins.encrypt_valves {
        return Some(plain);
    }
    let token = cipher(settings)?.encrypt(plain.to_string().as_bytes());
    Some(Value::String(token))
}

/// Settings of a user for a plugin; `area` is `tools` or `functions`.
pub fn of_user(settings: &Settings, user: &UserRow, area: &str, id: &str) -> Object {
    let kept = user.settings_object();
    let stored = kept
        .get(area)
        .and_then(|area| area.get("valves"))
        .and_then(|all| all.get(id));
    stored.map_or_else(Object::new, |stored| open(settings, stored))
}
