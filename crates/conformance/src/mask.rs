//! Replaces what differs from run to run (ids, times, tokens, addresses) by placeholders that still
//! say what it was: `<id:chat>`, `<time:s>`, `<time:s+28d>`, `<jwt exp:int id:string ...>`.
//!
//! Only values that are *near the present* count as times, so that a constant such as 1700000000
//! is still compared exactly.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use regex::{Captures, Regex};
use serde_json::{Map, Number, Value};
use time::{Date, Month};

use crate::{names::Names, vars::pattern};

/// How far from now a number may be and still be a time. Tokens live 28 days.
const NEAR_SECONDS: i64 = 60 * 86_400;
/// Times this close to now are simply "now".
const PRESENT_SECONDS: i64 = 15 * 60;
/// Longer texts are documentation or prompts of the server, not facts of the interface.
const LONG_TEXT: usize = 240;

static JWT: LazyLock<Regex> = LazyLock::new(|| pattern(r"eyJ[\w-]{8,}\.(eyJ[\w-]{8,})\.[\w-]{16,}"));
static ID: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        r"|\b(?:msg|r|fc|fco|ci|cc|rs|resp)_[0-9a-f]{24,48}\b",
        r"|\bdeleg_[0-9a-f]{8}\b",
        // Answers of the scripted provider are numbered; requests at the same time change numbers.
        r"|(?:chatcmpl-|resp_|call_)\d{6}(?:_\d+)?\b",
        r"|\b[0-9a-f]{32}\b",
    ))
});
static ISO: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\b(\d{4})-(\d\d)-(\d\d)(?:([T ])\d\d:\d\d(:\d\d)?(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?)?")
});
static DIGITS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:\d{19}|\d{16}|\d{13}|\d{10})\b"));
static HTTP_DATE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d[ -]\w{3}[ -]\d{4} \d\d:\d\d:\d\d GMT")
});

/// The rest of a token's life, which shrinks by the second.
static MAX_AGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bMax-Age=(\d+)"));

/// What is known of the server when its answers are masked.
#[derive(Debug, Clone)]
pub struct Masker {
    /// Texts and their placeholders, for example the base URL; longest first.
    literals: Vec<(String, String)>,
    /// The present, in nanoseconds.
    now: i64,
}

/// How ids are written while masking.
pub(crate) type NameOf<'a> = dyn FnMut(&str) -> String + 'a;

impl Masker {
    /// A masker for a server and its provider, both as `http://host:port`.
    #[must_use]
    pub fn new(base_url: &str, provider_url: &str, now_nanos: i64) -> Self {
        let mut literals = Vec::new();
        for (url, name) in [(base_url, "base"), (provider_url, "provider")] {
            let url = url.trim_end_matches('/');
            if !url.is_empty() {
                literals.push((url.to_owned(), format!("<{name}-url>")));
            }
            if let Some((_, host)) = url.split_once("://") {
                literals.push((host.to_owned(), format!("<{name}-host>")));
            }
        }
        Self {
            literals,
            now: now_nanos,
        }
    }

    /// Masks for a golden file: unknown ids get numbers.
    pub fn record(&self, value: &Value, names: &mut Names) -> Value {
        let literals = names.literals().to_vec();
        self.value(value, &literals, &mut |id| {
            format!("<id:{}>", names.name_or_number(id))
        })
    }

    /// Masks for a comparison: unknown ids are written `<id:?the-id>`.
    #[must_use]
    pub fn compare(&self, value: &Value, names: &Names) -> Value {
        self.value(value, names.literals(), &mut |id| match names.name(id) {
            Some(name) => format!("<id:{name}>"),
            None => format!("<id:?{id}>"),
        })
    }

    /// Masks so that ids without a name look the same, to sort by.
    #[must_use]
    pub fn blind(&self, value: &Value, names: &Names) -> Value {
        self.value(value, names.literals(), &mut |id| match names.name(id) {
            Some(name) => format!("<id:{name}>"),
            None => "<id>".to_owned(),
        })
    }

    fn value(&self, value: &Value, literals: &[String], name_of: &mut NameOf<'_>) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text, literals, name_of)),
            Value::Number(number) => self.number(number).map_or_else(|| value.clone(), Value::String),
            Value::Array(items) => items
                .iter()
                .map(|item| self.value(item, literals, name_of))
                .collect(),
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(key, member)| {
                        (
                            self.text(key, literals, name_of),
                            self.value(member, literals, name_of),
                        )
                    })
                    .collect::<Map<_, _>>(),
            ),
            other => other.clone(),
        }
    }

    fn text(&self, text: &str, ids: &[String], name_of: &mut NameOf<'_>) -> String {
        let mut masked = text.to_owned();
        for (literal, placeholder) in &self.literals {
            if masked.contains(literal.as_str()) {
                masked = masked.replace(literal.as_str(), placeholder);
            }
        }
        masked = JWT
            .replace_all(&masked, |found: &Captures<'_>| jwt_shape(&found[1]))
            .into_owned();
        for id in ids {
            if masked.contains(id.as_str()) {
                masked = masked.replace(id.as_str(), &name_of(id));
            }
        }
        masked = ID
            .replace_all(&masked, |found: &Captures<'_>| name_of(&found[0]))
            .into_owned();
        masked = MAX_AGE
            .replace_all(&masked, |found: &Captures<'_>| max_age(&found[1]))
            .into_owned();
        masked = HTTP_DATE.replace_all(&masked, "<http-date>").into_owned();
        masked = ISO
            .replace_all(&masked, |found: &Captures<'_>| self.iso(found))
            .into_owned();
        masked = DIGITS
            .replace_all(&masked, |found: &Captures<'_>| self.digits(&found[0]))
            .into_owned();
        if masked.chars().count() > LONG_TEXT {
            "<long text>".to_owned()
        } else {
            masked
        }
    }

    /// A time that is written inside a text.
    fn digits(&self, text: &str) -> String {
        let time = text
            .parse::<i64>()
            .ok()
            .and_then(|whole| self.number(&Number::from(whole)));
        time.unwrap_or_else(|| text.to_owned())
    }

    fn iso(&self, found: &Captures<'_>) -> String {
        let part = |index: usize| found.get(index).map_or("", |part| part.as_str());
        let number = |index: usize| part(index).parse::<i32>().unwrap_or(0);
        let month = u8::try_from(number(2))
            .ok()
            .and_then(|month| Month::try_from(month).ok());
        let date = month
            .zip(u8::try_from(number(3)).ok())
            .and_then(|(month, day)| Date::from_calendar_date(number(1), month, day).ok());
        let Some(date) = date else {
            return found[0].to_owned();
        };
        let seconds = date.midnight().assume_utc().unix_timestamp();
        if (seconds - self.now / 1_000_000_000).abs() > NEAR_SECONDS {
            return found[0].to_owned();
        }
        let zone = if part(7).is_empty() || part(7) == "Z" {
            part(7)
        } else {
            "+hh:mm"
        };
        let fraction = if part(6).is_empty() { "" } else { ".f" };
        match part(4) {
            "" => "<date>".to_owned(),
            separator => format!("<date{separator}time{fraction}{zone}>"),
        }
    }

    fn number(&self, number: &Number) -> Option<String> {
        if let Some(whole) = number.as_i64() {
            let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];
            return units.iter().find_map(|(unit, nanos)| {
                let seconds = whole.checked_mul(*nanos)? / 1_000_000_000;
                self.near(seconds).map(|offset| format!("<time:{unit}{offset}>"))
            });
        }
        let fraction = number.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole seconds are enough to tell a time"
        )]
        let seconds = fraction as i64;
        self.near(seconds).map(|offset| format!("<time:s.f{offset}>"))
    }

    /// How far a time is from now, if it is near; the empty text means the present.
    fn near(&self, seconds: i64) -> Option<String> {
        let away = seconds - self.now / 1_000_000_000;
        if away.abs() > NEAR_SECONDS {
            return None;
        }
        if away.abs() <= PRESENT_SECONDS {
            return Some(String::new());
        }
        let sign = if away > 0 { '+' } else { '-' };
        let hours = (away.abs() + 1800) / 3600;
        Some(if hours % 24 == 0 {
            format!("{sign}{}d", hours / 24)
        } else {
            format!("{sign}{hours}h")
        })
    }
}

fn max_age(seconds: &str) -> String {
    let hours = seconds
        .parse::<u64>()
        .map_or(0, |seconds| (seconds + 1800) / 3600);
    if hours == 0 {
        format!("Max-Age={seconds}")
    } else {
        format!("Max-Age=<{hours}h>")
    }
}

/// Claim names with the types of their values; those that tell the kind of token with the value.
fn jwt_shape(payload: &str) -> String {
    let claims = URL_SAFE_NO_PAD
        .decode(payload)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let Some(Value::Object(claims)) = claims else {
        return "<jwt>".to_owned();
    };
    let mut shapes: Vec<String> = claims
        .iter()
        .map(|(name, value)| match (name.as_str(), value) {
            ("typ" | "auth_method" | "mfa_verified", value) => format!("{name}={value}"),
            (_, value) => format!("{name}:{}", type_name(value)),
        })
        .collect();
    shapes.sort();
    format!("<jwt {}>", shapes.join(" "))
}

/// The JSON type of a value as golden files name it.
#[must_use]
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_795_000_000;

    fn masked(value: &Value) -> Value {
        let masker = Masker::new(
            "http://127.0.0.1:8080",
            "http://127.0.0.1:9100",
            NOW * 1_000_000_000,
        );
        masker.record(value, &mut Names::default())
    }

    #[test]
    fn ids_are_numbered_and_kept_apart() {
        let (first, second) = (
            "3f2b4c6d-0000-4000-8000-000000000001",
            "3f2b4c6d-0000-4000-8000-000000000002",
        );
        let value = json!([
            first,
            second,
            format!("/files/{first}/content"),
            format!("msg_{}", "a".repeat(24))
        ]);
        assert_eq!(
            masked(&value),
            json!(["<id:1>", "<id:2>", "/files/<id:1>/content", "<id:3>"])
        );
    }

    #[test]
    fn only_near_times_are_masked() {
        assert_eq!(masked(&json!(NOW - 5)), json!("<time:s>"));
        assert_eq!(masked(&json!((NOW + 5) * 1000)), json!("<time:ms>"));
        assert_eq!(masked(&json!(NOW * 1_000_000_000)), json!("<time:ns>"));
        assert_eq!(masked(&json!(NOW + 28 * 86_400 - 3)), json!("<time:s+28d>"));
        assert_eq!(masked(&json!(NOW as f64 + 0.5)), json!("<time:s.f>"));
        assert_eq!(
            masked(&json!(format!("since {}!", NOW - 86_400))),
            json!("since <time:s-1d>!")
        );
        assert_eq!(
            masked(&json!([1_700_000_000, 42, 0.5])),
            json!([1_700_000_000, 42, 0.5])
        );
    }

    #[test]
    fn dates_keep_their_form() {
        assert_eq!(
            masked(&json!("at 2026-11-18T10:00:00.123456+00:00")),
            json!("at <dateTtime.f+hh:mm>")
        );
        assert_eq!(masked(&json!("2026-11-18")), json!("<date>"));
        assert_eq!(masked(&json!("1999-01-01")), json!("1999-01-01"));
        let cookie = "token=x; expires=Wed, 18 Nov 2026 10:00:00 GMT; Max-Age=2419199; Path=/";
        assert_eq!(
            masked(&json!(cookie)),
            json!("token=x; expires=<http-date>; Max-Age=<672h>; Path=/")
        );
    }

    #[test]
    fn tokens_show_their_claims() {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!(
            "{}.{}.{}",
            part(json!({"alg": "HS256", "typ": "JWT"})),
            part(json!({"id": "x", "typ": "session", "exp": 1})),
            "s".repeat(43)
        );
        assert_eq!(
            masked(&json!(token)),
            json!("<jwt exp:int id:string typ=\"session\">")
        );
    }

    #[test]
    fn addresses_are_masked() {
        let value = json!("http://127.0.0.1:9100/v1 for 127.0.0.1:8080");
        assert_eq!(masked(&value), json!("<provider-url>/v1 for <base-host>"));
    }
}
