//! Placeholders in prompts: `{{USER_NAME}}` and its kin, the client's own variables, and
//! `{{chat.variables.*}}` / `{{user.variables.*}}`.

use oui_core::Clock;
use oui_models::users::UserRow;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::macros::format_description;

/// What placeholders are filled from.
pub struct Context<'a> {
    /// Who asks.
    pub user: Option<&'a UserRow>,
    /// Names of the user's groups, for `{{USER_GROUPS}}`.
    pub groups: &'a [String],
    /// The client's variables: whole placeholders to texts.
    pub variables: Option<&'a Map<String, Value>>,
    /// Values of `{{chat.variables.*}}`.
    pub chat_variables: Option<&'a Map<String, Value>>,
    /// Now.
    pub clock: &'a Clock,
}

/// Fills every placeholder of a system prompt.
pub fn render(text: &str, context: &Context<'_>) -> String {
    let mut out = named(text, "chat.variables.", context.chat_variables);
    let own = context
        .user
        .and_then(|user| user.variables.as_ref())
        .and_then(Value::as_object);
    out = named(&out, "user.variables.", own);
    for (placeholder, value) in context.variables.into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        out = out.replace(placeholder.as_str(), &value);
    }
    built_in(&out, context)
}

/// Replaces `{{ prefix name | options }}` by the value of `name`; names without a value become empty.
fn named(text: &str, prefix: &str, values: Option<&Map<String, Value>>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let Some(length) = rest[start..].find("}}") else {
            break;
        };
        let inner = rest[start + 2..start + length].trim();
        out.push_str(&rest[..start]);
        match inner.strip_prefix(prefix) {
            Some(name) => {
                let name = name.split('|').next().unwrap_or_default().trim();
                match values.and_then(|values| values.get(name)) {
                    Some(Value::String(value)) => out.push_str(value),
                    Some(Value::Null) | None => {}
                    Some(value) => out.push_str(&value.to_string()),
                }
            }
            None => out.push_str(&rest[start..start + length + 2]),
        }
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    out
}

/// Placeholders that need no variables of the client. People without a value are told as `None`, as in the
/// reference, so that prompts read the same.
fn built_in(text: &str, context: &Context<'_>) -> String {
    if !text.contains("{{") {
        return text.to_owned();
    }
    let now =
        OffsetDateTime::from_unix_timestamp(context.clock.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let day = now
        .format(format_description!("[year]-[month]-[day]"))
        .unwrap_or_default();
    let hour = now
        .format(format_description!("[hour repr:12]:[minute]:[second] [period]"))
        .unwrap_or_default();
    let known = |value: Option<String>| match context.user {
        Some(_) => value.unwrap_or_else(|| "None".to_owned()),
        None => "Unknown".to_owned(),
    };
    let user = context.user;
    let info = |name: &str| user.and_then(|user| user.info.as_ref()?.get(name)?.as_str().map(str::to_owned));
    let birth = user.and_then(|user| user.date_of_birth.map(|date| date.to_string()));
    let age = birth.as_deref().and_then(|birth| age(birth, &day));
    text.replace("{{CURRENT_DATE}}", &day)
        .replace("{{CURRENT_TIME}}", &hour)
        .replace("{{CURRENT_DATETIME}}", &format!("{day} {hour}"))
        .replace("{{CURRENT_WEEKDAY}}", &now.weekday().to_string())
        .replace("{{USER_NAME}}", &known(user.map(|user| user.name.clone())))
        .replace("{{USER_EMAIL}}", &known(user.map(|user| user.email.clone())))
        .replace("{{USER_BIO}}", &known(user.and_then(|user| user.bio.clone())))
        .replace(
            "{{USER_GENDER}}",
            &known(user.and_then(|user| user.gender.clone())),
        )
        .replace("{{USER_BIRTH_DATE}}", &known(birth))
        .replace("{{USER_AGE}}", &known(age.map(|age| age.to_string())))
        .replace("{{USER_LOCATION}}", &known(info("location")))
        .replace("{{USER_GROUPS}}", &context.groups.join(", "))
}

fn age(birth: &str, today: &str) -> Option<i64> {
    let year = |text: &str| text.get(..4)?.parse::<i64>().ok();
    let had_no_birthday = today.get(5..)? < birth.get(5..)?;
    Some(year(today)? - year(birth)? - i64::from(had_no_birthday))
}

/// Fills `{{prompt}}`, `{{prompt:start:N}}`, `{{prompt:end:N}}` and `{{prompt:middletruncate:N}}` of a task prompt.
pub fn with_prompt(template: &str, prompt: &str) -> String {
    expand(template, |inner| {
        let mut parts = inner.split(':');
        if !parts.next()?.eq_ignore_ascii_case("prompt") {
            return None;
        }
        let (kind, count) = (
            parts.next(),
            parts.next().and_then(|count| count.parse::<usize>().ok()),
        );
        match (kind, count) {
            (None, _) => Some(prompt.to_owned()),
            (Some("start"), Some(count)) => Some(prompt.chars().take(count).collect()),
            (Some("end"), Some(count)) => Some(last_chars(prompt, count)),
            (Some("middletruncate"), Some(count)) => Some(middle(prompt, count)),
            _ => None,
        }
    })
}

/// Fills `{{MESSAGES}}` and `{{MESSAGES:END:N}}` and their kin with a transcript made by `render` of the chosen messages.
pub fn with_messages(template: &str, messages: &[Value], transcript: impl Fn(&[Value]) -> String) -> String {
    expand(template, |inner| {
        let parts: Vec<&str> = inner.split(':').collect();
        if parts.first() != Some(&"MESSAGES") {
            return None;
        }
        // The last part may be a filter such as `|middletruncate:500`, applied to each message.
        let (parts, cut) = match inner.split_once('|') {
            Some((head, filter)) => (
                head.split(':').collect::<Vec<_>>(),
                filter
                    .rsplit(':')
                    .next()
                    .and_then(|count| count.parse::<usize>().ok()),
            ),
            None => (parts, None),
        };
        let count = parts
            .get(2)
            .and_then(|count| count.parse::<usize>().ok())
            .unwrap_or(messages.len());
        let total = messages.len();
        let chosen: Vec<Value> = match parts.get(1) {
            None => messages.to_vec(),
            Some(&"START") => messages[..count.min(total)].to_vec(),
            Some(&"END") => messages[total - count.min(total)..].to_vec(),
            Some(&"MIDDLETRUNCATE") if total > count => {
                let head = count.div_ceil(2);
                messages[..head]
                    .iter()
                    .chain(&messages[total - count / 2..])
                    .cloned()
                    .collect()
            }
            Some(&"MIDDLETRUNCATE") => messages.to_vec(),
            Some(_) => return None,
        };
        let chosen: Vec<Value> = match cut {
            Some(count) => chosen
                .into_iter()
                .map(|message| shorten(message, count))
                .collect(),
            None => chosen,
        };
        Some(transcript(&chosen))
    })
}

fn shorten(mut message: Value, count: usize) -> Value {
    if let Some(text) = message.get("content").and_then(Value::as_str) {
        message["content"] = Value::from(middle(text, count));
    }
    message
}

fn expand(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let Some(length) = rest[start..].find("}}") else {
            break;
        };
        out.push_str(&rest[..start]);
        let whole = &rest[start..start + length + 2];
        match value(&whole[2..whole.len() - 2]) {
            Some(text) => out.push_str(&text),
            None => out.push_str(whole),
        }
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    out
}

fn last_chars(text: &str, count: usize) -> String {
    let total = text.chars().count();
    text.chars().skip(total.saturating_sub(count)).collect()
}

fn middle(text: &str, count: usize) -> String {
    if text.chars().count() <= count {
        return text.to_owned();
    }
    let head: String = text.chars().take(count.div_ceil(2)).collect();
    format!("{head}...{}", last_chars(text, count / 2))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_are_filled() {
        let clock = Clock::fixed(1_700_000_000);
        let variables = json!({"{{PLACE}}": "here"});
        let chat = json!({"tone": "calm"});
        let context = Context {
            user: None,
            groups: &[],
            variables: variables.as_object(),
            chat_variables: chat.as_object(),
            clock: &clock,
        };
        let text = "{{CURRENT_DATE}} {{CURRENT_TIME}} {{CURRENT_WEEKDAY}} {{PLACE}} {{USER_NAME}} \
                    {{ chat.variables.tone | text }}{{chat.variables.none}} {{other}}";
        assert_eq!(
            render(text, &context),
            "2023-11-14 10:13:20 PM Tuesday here Unknown calm {{other}}"
        );
    }

    #[test]
    fn prompts_are_cut() {
        assert_eq!(with_prompt("<{{prompt}}>", "abcdef"), "<abcdef>");
        assert_eq!(
            with_prompt("{{prompt:start:2}}|{{prompt:end:2}}", "abcdef"),
            "ab|ef"
        );
        assert_eq!(with_prompt("{{prompt:middletruncate:3}}", "abcdef"), "ab...f");
        assert_eq!(with_prompt("{{else}}", "x"), "{{else}}");
    }

    #[test]
    fn messages_are_chosen() {
        let messages = [
            json!({"content": "a"}),
            json!({"content": "b"}),
            json!({"content": "cdefg"}),
        ];
        let joined = |chosen: &[Value]| {
            chosen
                .iter()
                .filter_map(|message| message["content"].as_str())
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(with_messages("{{MESSAGES}}", &messages, joined), "a,b,cdefg");
        assert_eq!(with_messages("{{MESSAGES:END:2}}", &messages, joined), "b,cdefg");
        assert_eq!(
            with_messages("{{MESSAGES:END:1|middletruncate:2}}", &messages, joined),
            "c...g"
        );
        assert_eq!(with_messages("{{MESSAGES:START:1}}", &messages, joined), "a");
        assert_eq!(
            with_messages("{{MESSAGES:MIDDLETRUNCATE:2}}", &messages, joined),
            "a,cdefg"
        );
    }
}
