//! Numbers of tokens: estimated from texts while a call runs, taken from the provider's own counts as soon as it sends
//! them, in whatever protocol it speaks.

use oui_models::usage;
use serde_json::Value;

use crate::turn::Object;

/// Tokens of a text in quarters: four letters of the Latin kind to a token, one of any other.
fn quarters(text: &str) -> i64 {
    text.chars()
        .map(|letter| if letter.is_ascii() { 1 } else { 4 })
        .sum()
}

fn quarters_in(value: &Value) -> i64 {
    match value {
        // Pictures and files are no text; the provider counts them.
        Value::String(text) if text.starts_with("data:") => 0,
        Value::String(text) => quarters(text),
        Value::Array(items) => items.iter().map(quarters_in).sum(),
        Value::Object(fields) => fields.values().map(quarters_in).sum(),
        _ => 0,
    }
}

/// What is sent, estimated.
pub(super) fn of_request(body: &Object) -> i64 {
    let parts = [
        "messages",
        "prompt",
        "input",
        "system",
        "instructions",
        "suffix",
        "tools",
    ];
    let total: i64 = parts
        .iter()
        .filter_map(|name| body.get(*name))
        .map(quarters_in)
        .sum();
    (total + 3) / 4
}

/// The length of an answer that the request allows.
pub(super) fn asked(body: &Object) -> Option<i64> {
    let options = body.get("options").and_then(|options| options.get("num_predict"));
    ["max_tokens", "max_completion_tokens", "max_output_tokens"]
        .iter()
        .filter_map(|name| body.get(*name))
        .chain(options)
        .find_map(Value::as_i64)
        .filter(|tokens| *tokens > 0)
}

/// What an answer has used so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    quarters: i64,
    /// Tokens sent, as the provider counts them.
    pub(super) input: Option<i64>,
    output: Option<i64>,
    /// Whether the answer is complete.
    pub(super) done: bool,
}

impl Tally {
    /// Tokens of the answer.
    pub(super) fn output(&self) -> i64 {
        self.output.unwrap_or((self.quarters + 3) / 4)
    }

    fn take_usage(&mut self, usage: &Value) {
        let counts = usage::normalize(usage);
        let of = |name: &str| {
            counts
                .get(name)
                .and_then(Value::as_i64)
                .filter(|count| *count > 0)
        };
        // Messages API: what was read from or put into the provider's cache is not among the input tokens.
        let apart = usage.get("prompt_tokens").is_none();
        let cached: &[&str] = if apart {
            &["cache_read_input_tokens", "cache_creation_input_tokens"]
        } else {
            &[]
        };
        let cached: i64 = cached.iter().filter_map(|name| usage.get(*name)?.as_i64()).sum();
        self.input = of("input_tokens").map(|count| count + cached).or(self.input);
        self.output = of("output_tokens").or(self.output);
    }

    /// Reads one object of a stream, or a whole answer.
    pub(super) fn read(&mut self, chunk: &Value) {
        let get = |path: &str| chunk.pointer(path).filter(|value| !value.is_null());
        for usage in ["/usage", "/message/usage", "/response/usage"]
            .iter()
            .filter_map(|path| get(path))
        {
            self.take_usage(usage);
        }
        if get("/eval_count").or(get("/prompt_eval_count")).is_some() {
            self.take_usage(chunk);
        }
        let kind = chunk.get("type").and_then(Value::as_str).unwrap_or_default();
        self.done |= chunk.get("done") == Some(&Value::Bool(true))
            || matches!(
                kind,
                "message_stop" | "response.completed" | "response.incomplete"
            );
        let texts = [
            "content",
            "reasoning_content",
            "reasoning",
            "thinking",
            "text",
            "tool_calls",
        ];
        let mut add = |value: &Value| self.quarters += quarters_in(value);
        for choice in get("/choices").and_then(Value::as_array).into_iter().flatten() {
            let parts = [choice.get("delta"), choice.get("message"), Some(choice)];
            for part in parts.into_iter().flatten() {
                texts.iter().filter_map(|name| part.get(*name)).for_each(&mut add);
            }
        }
        match chunk.get("delta") {
            // Responses
            Some(delta @ Value::String(_)) if kind.ends_with(".delta") => add(delta),
            // Messages
            Some(delta @ Value::Object(_)) => ["text", "thinking", "partial_json"]
                .iter()
                .filter_map(|name| delta.get(*name))
                .for_each(&mut add),
            _ => {}
        }
        // Ollama, and whole answers of the others
        let own = chunk.get("message").filter(|_| kind.is_empty());
        if let Some(message) = own {
            texts
                .iter()
                .filter_map(|name| message.get(*name))
                .for_each(&mut add);
        }
        if kind == "message" {
            chunk.get("content").into_iter().for_each(&mut add);
        }
        chunk
            .get("response")
            .filter(|text| text.is_string())
            .into_iter()
            .for_each(&mut add);
        chunk
            .get("output")
            .filter(|items| items.is_array())
            .into_iter()
            .for_each(&mut add);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_are_estimated_without_pictures() {
        let body = json!({
            "model": "a long name that does not count",
            "messages": [{"content": [{"text": "12345678"}, {"url": "data:image/png;base64,AAAAAAAA"}]}],
            "prompt": "\u{6587}\u{5b57}", "max_tokens": 7,
        });
        let body = body.as_object().unwrap();
        assert_eq!((of_request(body), asked(body)), (4, Some(7)));
    }

    fn tally(chunks: &[Value]) -> Tally {
        let mut tally = Tally::default();
        chunks.iter().for_each(|chunk| tally.read(chunk));
        tally
    }

    #[test]
    fn every_protocol_is_understood() {
        let chat = tally(&[
            json!({"choices": [{"delta": {"content": "12345678"}}]}),
            json!({"choices": [{"delta": {"reasoning_content": "1234", "content": null}}]}),
        ]);
        assert_eq!((chat.output(), chat.input, chat.done), (3, None, false));
        let counted = tally(&[
            json!({"choices": [{"delta": {"content": "12345678"}}]}),
            json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}),
        ]);
        assert_eq!((counted.output(), counted.input), (5, Some(9)));
        let messages = tally(&[
            json!({"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 4, "cache_read_input_tokens": 3, "output_tokens": 1}}}),
            json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "1234"}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 6}}),
            json!({"type": "message_stop"}),
        ]);
        assert_eq!(
            (messages.output(), messages.input, messages.done),
            (6, Some(7), true)
        );
        let responses = tally(&[
            json!({"type": "response.output_text.delta", "delta": "12345678"}),
            json!({"type": "response.completed", "response": {"usage": {"input_tokens": 2, "output_tokens": 8}}}),
        ]);
        assert_eq!(
            (responses.output(), responses.input, responses.done),
            (8, Some(2), true)
        );
        let ollama = tally(&[
            json!({"message": {"role": "assistant", "content": "1234"}, "done": false}),
            json!({"response": "1234", "done": false}),
        ]);
        assert_eq!((ollama.output(), ollama.done), (2, false));
        let counted = tally(&[json!({"done": true, "prompt_eval_count": 3, "eval_count": 11})]);
        assert_eq!(
            (counted.output(), counted.input, counted.done),
            (11, Some(3), true)
        );
    }
}
