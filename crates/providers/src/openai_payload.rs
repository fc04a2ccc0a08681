//! The last changes to a Chat Completions payload before it leaves: names of token limits, the system
//! role of reasoning models, `logit_bias`, tool messages. Model parameters and prompts come earlier.

use oui_core::ApiError;
use serde_json::{Map, Value};

use crate::connections::Connection;
use crate::context::CallContext;
use crate::models::strip_model_prefix;
use crate::python::truthy;

/// Whether a model takes `max_completion_tokens` and the role `developer`: `o1`, `o3`, ..., and `gpt-5` upwards,
/// with or without Bedrock's prefix (`us.openai.`).
pub fn is_new_model(model: &str) -> bool {
    let model = model.to_lowercase();
    let name = without_bedrock_prefix(&model);
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    if name.strip_prefix('o').is_some_and(|rest| digits(rest) > 0) {
        return true;
    }
    name.strip_prefix("gpt-").is_some_and(|rest| {
        let number = &rest[..digits(rest)];
        !number.is_empty() && number.parse::<u64>().map_or(true, |number| number >= 5)
    })
}

fn without_bedrock_prefix(model: &str) -> &str {
    if let Some(rest) = model.strip_prefix("openai.") {
        return rest;
    }
    match model.split_once('.') {
        Some((region, rest))
            if !region.is_empty()
                && region
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-') =>
        {
            rest.strip_prefix("openai.").unwrap_or(model)
        }
        _ => model,
    }
}

/// Moves a value to another name, replacing what is there.
pub(crate) fn rename(payload: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = payload.shift_remove(from) {
        payload.insert(to.to_owned(), value);
    }
}

/// Applies everything that depends on the model and the server, in the reference's order.
///
/// Errors: 400 for a `logit_bias` text that is no list of `token:bias` pairs.
pub(crate) fn adjust(
    connection: &Connection,
    payload: &mut Map<String, Value>,
    context: &CallContext,
) -> Result<(), ApiError> {
    payload.shift_remove("metadata");
    let model = payload.get("model").and_then(Value::as_str).unwrap_or_default();
    let model = strip_model_prefix(model, connection.prefix_id()).to_owned();
    payload.insert("model".to_owned(), Value::from(model.clone()));

    if let Some(user) = context.user.as_ref().filter(|_| context.pipeline) {
        let user =
            serde_json::json!({ "name": user.name, "id": user.id, "email": user.email, "role": user.role });
        payload.insert("user".to_owned(), user);
    }
    if is_new_model(&model) {
        rename(payload, "max_tokens", "max_completion_tokens");
        use_developer_role(payload, &model);
    } else if !connection.url.contains("api.openai.com") {
        rename(payload, "max_completion_tokens", "max_tokens");
    }
    if payload.contains_key("max_completion_tokens") {
        payload.shift_remove("max_tokens");
    }
    if let Some(bias) = payload.get("logit_bias").filter(|bias| truthy(bias)) {
        let bias = logit_bias(bias)?;
        payload.insert("logit_bias".to_owned(), bias);
    }
    if connection.provider() == "llama.cpp" && !connection.speaks_responses() {
        continue_last_message(payload, context);
    }
    Ok(())
}

fn use_developer_role(payload: &mut Map<String, Value>, model: &str) {
    let Some(first) = payload
        .get_mut("messages")
        .and_then(|messages| messages.get_mut(0))
    else {
        return;
    };
    if first.get("role").and_then(Value::as_str) != Some("system") {
        return;
    }
    let model = model.to_lowercase();
    let early = model.starts_with("o1-mini") || model.starts_with("o1-preview");
    first["role"] = Value::from(if early { "user" } else { "developer" });
}

/// Tells llama.cpp to continue an answer instead of repeating it.
fn continue_last_message(payload: &mut Map<String, Value>, context: &CallContext) {
    let last = payload
        .get("messages")
        .and_then(Value::as_array)
        .and_then(|messages| messages.last());
    let assistant = last
        .and_then(|message| message.get("role"))
        .and_then(Value::as_str)
        == Some("assistant");
    if assistant && !context.meta("assistant_message_id").is_empty() {
        payload.insert("continue_final_message".to_owned(), Value::Bool(true));
        payload.insert("add_generation_prompt".to_owned(), Value::Bool(false));
    }
}

/// `logit_bias` as an object: objects stay, texts like `50256:-100, 11:5` are read and bounded to ±100.
///
/// Errors: 400 for a text of another form.
pub fn logit_bias(input: &Value) -> Result<Value, ApiError> {
    let Value::String(text) = input else {
        return Ok(input.clone());
    };
    let pair = |pair: &str| {
        let (token, bias) = pair.split_once(':')?;
        let bias: i64 = bias.trim().parse().ok()?;
        Some((token.trim().to_owned(), Value::from(bias.clamp(-100, 100))))
    };
    let pairs: Option<Map<String, Value>> = text.split(',').map(pair).collect();
    pairs
        .map(Value::Object)
        .ok_or_else(|| ApiError::bad_request("logit_bias must be a list of token:bias pairs"))
}

/// Leaves only the text of multi-part tool messages, which Chat Completions does not take otherwise.
pub(crate) fn flatten_tool_messages(payload: &mut Map<String, Value>) {
    for message in payload
        .get_mut("messages")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if message.get("role").and_then(Value::as_str) != Some("tool") {
            continue;
        }
        let Some(parts) = message.get("content").and_then(Value::as_array) else {
            continue;
        };
        let text: String = parts
            .iter()
            .filter(|part| {
                matches!(
                    part.get("type").and_then(Value::as_str),
                    Some("input_text" | "text")
                )
            })
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .collect();
        message["content"] = Value::from(text);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::connections::ProviderKind;

    fn adjusted(url: &str, config: Value, payload: Value, context: &CallContext) -> Value {
        let connection = Connection::adhoc(ProviderKind::OpenAi, url, "", Some(&config));
        let Value::Object(mut payload) = payload else {
            panic!("an object")
        };
        adjust(&connection, &mut payload, context).unwrap();
        Value::Object(payload)
    }

    #[test]
    fn new_models_are_recognised() {
        for model in [
            "o1",
            "o3-mini",
            "O4",
            "gpt-5",
            "gpt-5.2-pro",
            "gpt-10",
            "us.openai.gpt-6-sol",
            "openai.o1",
        ] {
            assert!(is_new_model(model), "{model}");
        }
        for model in [
            "gpt-4o",
            "gpt-",
            "ollama",
            "openai/gpt-5",
            "gpt-oss",
            "us.gpt-5",
            "o",
        ] {
            assert!(!is_new_model(model), "{model}");
        }
    }

    #[test]
    fn limits_and_roles_follow_the_model() {
        let none = CallContext::default();
        let system = json!([{"role": "system", "content": "s"}]);
        let payload = json!({"model": "p.o3", "messages": system, "max_tokens": 3, "metadata": {}});
        assert_eq!(
            adjusted("http://x", json!({"prefix_id": "p"}), payload, &none),
            json!({"model": "o3", "messages": [{"role": "developer", "content": "s"}], "max_completion_tokens": 3})
        );
        let payload = json!({"model": "o1-mini", "messages": system});
        assert_eq!(
            adjusted("http://x", json!({}), payload, &none)["messages"][0]["role"],
            "user"
        );
        let payload = json!({"model": "llama", "max_completion_tokens": 3, "max_tokens": 9});
        assert_eq!(
            adjusted("http://x", json!({}), payload.clone(), &none),
            json!({"model": "llama", "max_tokens": 3})
        );
        assert_eq!(
            adjusted("https://api.openai.com/v1", json!({}), payload, &none),
            json!({"model": "llama", "max_completion_tokens": 3})
        );
    }

    #[test]
    fn biases_are_read_from_text() {
        assert_eq!(
            logit_bias(&json!(" 5 : 200,a:-3")).unwrap(),
            json!({"5": 100, "a": -3})
        );
        assert_eq!(logit_bias(&json!({"1": 500})).unwrap(), json!({"1": 500}));
        assert_eq!(logit_bias(&json!("5")).unwrap_err().status(), 400);
    }

    #[test]
    fn continued_answers_are_marked_for_llama_cpp() {
        let context = CallContext {
            metadata: json!({"assistant_message_id": "m"}),
            ..CallContext::default()
        };
        let payload = json!({"model": "m", "messages": [{"role": "assistant", "content": "a"}]});
        let found = adjusted(
            "http://x",
            json!({"provider": "llama.cpp"}),
            payload.clone(),
            &context,
        );
        assert_eq!(
            (&found["continue_final_message"], &found["add_generation_prompt"]),
            (&json!(true), &json!(false))
        );
        let found = adjusted(
            "http://x",
            json!({"provider": "llama.cpp"}),
            payload.clone(),
            &CallContext::default(),
        );
        assert!(found.get("continue_final_message").is_none());
        assert!(
            adjusted("http://x", json!({}), payload, &context)
                .get("continue_final_message")
                .is_none()
        );
    }

    #[test]
    fn tool_messages_keep_their_text() {
        let mut payload = json!({"messages": [
            {"role": "tool", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": [{"type": "text", "text": "c"}]},
        ]});
        flatten_tool_messages(payload.as_object_mut().unwrap());
        assert_eq!(payload["messages"][0]["content"], "ab");
        assert!(payload["messages"][1]["content"].is_array());
    }

    #[test]
    fn pipelines_are_told_who_asks() {
        let user = crate::CallUser {
            id: "i".into(),
            name: "n".into(),
            email: "e".into(),
            role: "user".into(),
            ..crate::CallUser::default()
        };
        let context = CallContext {
            pipeline: true,
            ..CallContext::for_user(user)
        };
        let found = adjusted("http://x", json!({}), json!({"model": "m"}), &context);
        assert_eq!(
            found["user"],
            json!({"name": "n", "id": "i", "email": "e", "role": "user"})
        );
    }
}
