//! How much of a model's context a conversation takes: counted by the provider as far as it told, estimated at four
//! characters a token otherwise; and where an earlier summary stands in for what was before it.

use oui_config::Config;
use oui_config::chat as keys;
use oui_core::{ApiResult, boxed};
use oui_models::history::{self, Object};
use oui_models::{Db, chat_edits, chat_messages};
use serde_json::{Map, Value, json};

/// Tokens that stand for a picture.
const PICTURE: i64 = 1000;

/// Fields in which providers count the tokens of a prompt, best first, and of a reply.
const PROMPT: [&str; 2] = ["prompt_tokens", "prompt_eval_count"];
const REPLY: [&str; 4] = ["completion_tokens", "output_tokens", "eval_count", "predicted_n"];

/// Tokens at which a conversation with these parameters is to be summarised.
pub(crate) fn threshold(config: &Config, params: Option<&Map<String, Value>>) -> i64 {
    let positive = |value: &i64| *value > 0;
    let general = Some(config.get(&keys::CONTEXT_COMPACTION_TOKEN_THRESHOLD))
        .filter(positive)
        .unwrap_or(80_000);
    let cap = config
        .get(&keys::CONTEXT_COMPACTION_TOKEN_CAP)
        .filter(positive)
        .unwrap_or(general);
    let own = params.and_then(|params| params.get("compact_token_threshold"));
    let own = own
        .and_then(|value| value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()))
        .filter(positive);
    own.unwrap_or(general).min(cap)
}

/// How full the context of a chat is: `{tokens, estimated_tokens, threshold, percent, source}`; null while compaction is
/// off and for empty chats. `current_id` names the leaf of the branch, else the document does.
#[boxed]
pub async fn of_chat(
    db: &Db,
    config: &Config,
    chat_id: &str,
    document: &Object,
    current_id: Option<&str>,
) -> ApiResult<Value> {
    if !config.get(&keys::ENABLE_CONTEXT_COMPACTION) {
        return Ok(Value::Null);
    }
    let Some(current_id) = current_id
        .map(str::to_owned)
        .or_else(|| history::current_id(document))
    else {
        return Ok(Value::Null);
    };
    let messages = match chat_messages::map_from_document(db, chat_id, document).await? {
        Some(messages) => messages,
        None => chat_edits::messages_map(db, chat_id).await?.unwrap_or_default(),
    };
    let path: Vec<Value> = history::path_to(&messages, &current_id)
        .into_iter()
        .cloned()
        .collect();
    if path.is_empty() {
        return Ok(Value::Null);
    }
    let params = document.get("params").and_then(Value::as_object);
    Ok(usage_json(tokens(path), threshold(config, params)))
}

/// As the client shows it.
fn usage_json(tokens: i64, threshold: i64) -> Value {
    // Halves go to the even neighbour, as in the reference.
    let percent = (tokens as f64 / threshold as f64 * 100.0).round_ties_even() as i64;
    json!({
        "tokens": tokens, "estimated_tokens": tokens, "threshold": threshold, "percent": percent,
        "source": "estimated",
    })
}

/// Tokens of a conversation from its start.
fn tokens(path: Vec<Value>) -> i64 {
    let (messages, summary) = since_checkpoint(path);
    tokens_of(&messages, summary.as_deref().unwrap_or_default())
}

/// Tokens of what is still sent, after the text that stands before it.
pub(crate) fn tokens_of(messages: &[Value], before: &str) -> i64 {
    for (index, message) in messages.iter().enumerate().rev() {
        let counted = message.get("usage").filter(|usage| usage.is_object());
        let counted = counted.or_else(|| {
            message
                .get("info")?
                .get("usage")
                .filter(|usage| usage.is_object())
        });
        if let Some(count) = counted.map(counted_tokens).filter(|count| *count != 0) {
            return count + estimate(&messages[index + 1..]);
        }
    }
    quarter(before.chars().count()) + estimate(messages)
}

fn counted_tokens(usage: &Value) -> i64 {
    let first = |names: &[&str]| {
        names
            .iter()
            .filter_map(|name| usage.get(name)?.as_i64())
            .find(|count| *count != 0)
    };
    let both = |a: &str, b: &str| first(&[a]).unwrap_or(0) + first(&[b]).unwrap_or(0);
    let prompt = first(&PROMPT).or_else(|| Some(both("prompt_n", "cache_n")).filter(|count| *count != 0));
    prompt.or_else(|| first(&["input_tokens"])).unwrap_or(0) + first(&REPLY).unwrap_or(0)
}

/// The messages that are still sent, and the summary of those before.
pub(crate) fn since_checkpoint(mut path: Vec<Value>) -> (Vec<Value>, Option<String>) {
    for index in (0..path.len()).rev() {
        let summary = ["contextSummary", "context_summary"]
            .iter()
            .find_map(|name| history::text(&path[index], name));
        if let Some(summary) = summary
            .filter(|summary| !summary.trim().is_empty())
            .map(str::to_owned)
        {
            return (path.split_off(index), Some(summary));
        }
        if let Some((call_id, summary)) = marker(&path[index])
            && let Some((from, kept)) = (0..=index)
                .rev()
                .find_map(|at| Some((at, kept_output(&path[at], &call_id)?)))
        {
            path[from]["output"] = kept;
            return (path.split_off(from.saturating_sub(1)), Some(summary));
        }
    }
    (path, None)
}

fn output(message: &Value) -> &[Value] {
    message
        .get("output")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The mark that a summary was made while tools ran: the call it was made at, and the summary.
fn marker(message: &Value) -> Option<(String, String)> {
    let is_marker = |item: &&Value| history::text(item, "type") == Some("open_webui:context_compaction");
    let item = output(message).iter().rev().find(is_marker)?;
    Some((
        history::text(item, "call_id")?.to_owned(),
        history::text(item, "summary")?.to_owned(),
    ))
}

/// The output from the round of a call on.
fn kept_output(message: &Value, call_id: &str) -> Option<Value> {
    let items = output(message);
    let kind = |item: &Value| history::text(item, "type").unwrap_or_default().to_owned();
    let mut start = items
        .iter()
        .position(|item| kind(item) == "function_call" && history::text(item, "call_id") == Some(call_id))?;
    while start > 0 && kind(&items[start - 1]) != "function_call_output" {
        start -= 1;
    }
    let kept = items[start..]
        .iter()
        .filter(|item| kind(item) != "open_webui:context_compaction");
    Some(kept.cloned().collect())
}

fn estimate(messages: &[Value]) -> i64 {
    messages.iter().map(estimate_message).sum()
}

fn estimate_message(message: &Value) -> i64 {
    let content = match message.get("content") {
        Some(Value::Array(parts)) => parts.iter().map(estimate_part).sum(),
        other => estimate_value(other),
    };
    let files = message
        .get("files")
        .filter(|files| files.as_array().is_some_and(|files| !files.is_empty()));
    4 + content
        + estimate_value(message.get("output"))
        + estimate_value(message.get("tool_calls"))
        + files.map_or(0, |files| quarter(without_inline_data(&files.to_string())))
}

fn estimate_part(part: &Value) -> i64 {
    match history::text(part, "type") {
        Some("image" | "image_url") => PICTURE,
        _ => {
            let text = ["text", "content"]
                .iter()
                .find_map(|name| history::text(part, name).filter(|t| !t.is_empty()));
            text.map_or_else(
                || estimate_value(Some(part)),
                |text| quarter(text.chars().count()),
            )
        }
    }
}

fn estimate_value(value: Option<&Value>) -> i64 {
    match value {
        None | Some(Value::Null) => 0,
        Some(Value::String(text)) => quarter(text.chars().count()),
        Some(other) => quarter(other.to_string().chars().count()),
    }
}

fn quarter(characters: usize) -> i64 {
    if characters == 0 {
        0
    } else {
        (i64::try_from(characters).unwrap_or(i64::MAX) / 4).max(1)
    }
}

/// Characters of a text without its `data:` addresses in base64.
fn without_inline_data(text: &str) -> usize {
    let (mut count, mut rest) = (0, text);
    while let Some(start) = rest.find("data:") {
        let head = &rest[..start + "data:".len()];
        let tail = &rest[head.len()..];
        // The media type stands between, which has no quotes, commas or spaces.
        let marker = tail
            .find(";base64,")
            .filter(|at| !tail[..*at].contains(|c: char| c == '"' || c == ',' || c.is_whitespace()));
        let Some(marker) = marker else {
            count += head.chars().count();
            rest = tail;
            continue;
        };
        count += rest[..start].chars().count();
        let data = &tail[marker + ";base64,".len()..];
        let end = data.find(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c)));
        rest = &data[end.unwrap_or(data.len())..];
    }
    count + rest.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_provider_counted_comes_first() {
        let usage = json!({"prompt_tokens": 10, "completion_tokens": 5});
        let path = vec![
            json!({"role": "user", "content": "x".repeat(4000)}),
            json!({"role": "assistant", "content": "y", "usage": usage}),
            json!({"role": "user", "content": "12345678"}),
        ];
        assert_eq!(tokens(path), 15 + 4 + 2);
    }

    #[test]
    fn a_summary_replaces_what_is_before_it() {
        let path = vec![
            json!({"role": "user", "content": "x".repeat(4000)}),
            json!({"role": "user", "content": "abcd", "contextSummary": "12345678"}),
        ];
        assert_eq!(tokens(path), 2 + 4 + 1);
    }

    #[test]
    fn values_are_measured_as_dense_json() {
        let value = json!({"a": [1, "ü"], "b": {"cccc": "dddddddd"}});
        assert_eq!(r#"{"a":[1,"ü"],"b":{"cccc":"dddddddd"}}"#.chars().count(), 37);
        assert_eq!(estimate_value(Some(&value)), 37 / 4);
        let file =
            json!([{"url": "data:image/png;base64,AAAA+/=="}, {"a": "data: text", "url": "data:;base64,BB"}]);
        let left = r#"[{"url":""},{"a":"data: text","url":""}]"#;
        assert_eq!(without_inline_data(&file.to_string()), left.chars().count());
    }
}
