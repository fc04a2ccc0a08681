//! JSON schemas of what the routes of quotas answer, for the description of the API.

use oui_chat::quota::{METRICS, PERIODS, SUBJECTS};
use serde_json::{Map, Value, json};

/// An object whose fields are always there.
fn object(title: &str, fields: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> = fields
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({ "type": "object", "title": title, "properties": properties, "required": names })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn text_or_null() -> Value {
    json!({ "type": ["string", "null"] })
}

fn seconds() -> Value {
    json!({ "type": "integer", "description": "Seconds since 1970." })
}

fn amount() -> Value {
    json!({ "type": "number", "description": "Messages, tokens or money, by the metric." })
}

fn switch() -> Value {
    json!({ "type": "boolean" })
}

fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// One limit.
pub(super) fn quota() -> Value {
    object(
        "Quota",
        &[
            ("id", text()),
            ("name", text()),
            ("subject_type", json!({ "type": "string", "enum": SUBJECTS })),
            ("subject_id", text_or_null()),
            ("model_id", text_or_null()),
            ("metric", json!({ "type": "string", "enum": METRICS })),
            ("period", json!({ "type": "string", "enum": PERIODS })),
            ("limit", amount()),
            ("shared", switch()),
            ("enabled", switch()),
            ("created_at", seconds()),
            ("updated_at", seconds()),
        ],
    )
}

/// All limits.
pub(super) fn quotas() -> Value {
    list(&quota())
}

/// The limits in force for somebody, and what was used of them.
pub(super) fn usage() -> Value {
    let used = object(
        "QuotaUsage",
        &[
            ("id", text()),
            ("name", text()),
            ("model_id", text_or_null()),
            ("metric", json!({ "type": "string", "enum": METRICS })),
            ("period", json!({ "type": "string", "enum": PERIODS })),
            ("shared", switch()),
            ("limit", amount()),
            ("used", amount()),
            ("remaining", amount()),
            ("period_start", seconds()),
            ("resets_at", seconds()),
        ],
    );
    object(
        "Usage",
        &[("user_id", text()), ("now", seconds()), ("quotas", list(&used))],
    )
}

/// What everybody used of one limit.
pub(super) fn counters() -> Value {
    let counter = object(
        "QuotaCounter",
        &[
            ("user_id", text_or_null()),
            ("name", text_or_null()),
            ("period_start", seconds()),
            ("current", switch()),
            ("used", amount()),
        ],
    );
    object(
        "QuotaCounters",
        &[
            ("quota", quota()),
            ("resets_at", seconds()),
            ("usage", list(&counter)),
        ],
    )
}

/// How many counters were set back.
pub(super) fn reset() -> Value {
    object("QuotaReset", &[("reset", json!({ "type": "integer" }))])
}

/// That it was done.
pub(super) fn done() -> Value {
    switch()
}
