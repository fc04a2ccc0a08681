//! Answers of Ollama's `/api/chat` turned into chat completions: whole ones, and NDJSON streams into
//! server-sent events.

use oui_core::{Clock, ids};
use serde_json::{Value, json};

use crate::ndjson::NdjsonParser;
use crate::python::truthy;
use crate::reply::{ByteStream, StreamError};
use crate::rewrite::{append_event, rewrite};

/// Usage of an answer under all names that clients know: OpenAI's, the neutral ones and Ollama's measurements.
pub fn usage(answer: &Value) -> Value {
    let number = |name: &str| answer.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let given = |name: &str| answer.get(name).cloned().unwrap_or_else(|| Value::from(0));
    let (input, output) = (number("prompt_eval_count") as i64, number("eval_count") as i64);
    // Durations are nanoseconds.
    let rate = |count: &str, duration: &str| {
        let duration = number(duration);
        if duration > 0.0 {
            let rate = number(count) / (duration / 10_000_000.0) * 100.0;
            format!("{rate:.2}")
                .parse::<f64>()
                .map_or(Value::Null, Value::from)
        } else {
            Value::from("N/A")
        }
    };
    let seconds = (number("total_duration") / 1e9) as i64;
    json!({
        "input_tokens": input,
        "output_tokens": output,
        "total_tokens": input + output,
        "prompt_tokens": input,
        "completion_tokens": output,
        "response_token/s": rate("eval_count", "eval_duration"),
        "prompt_token/s": rate("prompt_eval_count", "prompt_eval_duration"),
        "total_duration": given("total_duration"),
        "load_duration": given("load_duration"),
        "prompt_eval_count": given("prompt_eval_count"),
        "prompt_eval_duration": given("prompt_eval_duration"),
        "eval_count": given("eval_count"),
        "eval_duration": given("eval_duration"),
        "approximate_total": format!("{}h{}m{}s", seconds / 3600, seconds % 3600 / 60, seconds % 60),
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

/// Tool calls in OpenAI form: arguments as text, an id where Ollama gave none.
fn tool_calls(message: &Value) -> Option<Value> {
    let calls = message
        .get("tool_calls")?
        .as_array()
        .filter(|calls| !calls.is_empty())?;
    let convert = |call: &Value| {
        let function = call.get("function");
        let field = |name: &str| function.and_then(|function| function.get(name));
        let index = call
            .get("index")
            .or_else(|| field("index"))
            .cloned()
            .unwrap_or_else(|| Value::from(0));
        let id = call
            .get("id")
            .cloned()
            .unwrap_or_else(|| Value::from(format!("call_{}", ids::uuid())));
        let arguments = field("arguments").map_or_else(|| "{}".to_owned(), Value::to_string);
        json!({
            "index": index,
            "id": id,
            "type": "function",
            "function": { "name": field("name").cloned().unwrap_or_else(|| Value::from("")), "arguments": arguments },
        })
    };
    Some(calls.iter().map(convert).collect())
}

fn model_of(answer: &Value) -> Value {
    answer
        .get("model")
        .cloned()
        .unwrap_or_else(|| Value::from("ollama"))
}

/// A whole answer as a chat completion.
pub fn to_completion(answer: &Value, clock: &Clock) -> Value {
    let model = model_of(answer);
    let message = answer.get("message").unwrap_or(&Value::Null);
    let calls = tool_calls(message);
    let finish = match answer.get("done_reason").filter(|reason| truthy(reason)) {
        _ if calls.is_some() => Value::from("tool_calls"),
        Some(reason) => reason.clone(),
        None => Value::from("stop"),
    };
    let mut choice = json!({ "index": 0, "logprobs": null, "finish_reason": finish });
    let content = message.get("content").cloned().unwrap_or_else(|| Value::from(""));
    if !content.is_null() {
        let mut converted = json!({ "role": "assistant", "content": content });
        if let Some(thinking) = message.get("thinking").filter(|thinking| truthy(thinking)) {
            converted["reasoning_content"] = thinking.clone();
        }
        if let Some(calls) = calls {
            converted["tool_calls"] = calls;
        }
        choice["message"] = converted;
    }
    let id = format!("{}-{}", model.as_str().unwrap_or_default(), ids::uuid());
    json!({
        "id": id,
        "created": clock.seconds(),
        "model": model,
        "choices": [choice],
        "object": "chat.completion",
        "usage": usage(answer),
    })
}

/// Turns the lines of one streamed answer into chunks, which all carry one id.
pub struct ChunkMaker {
    id: String,
    clock: Clock,
    started: bool,
    called_tools: bool,
}

impl ChunkMaker {
    /// For one answer.
    pub fn new(clock: Clock) -> Self {
        let id = format!("chatcmpl-{}", ids::uuid());
        Self {
            id,
            clock,
            started: false,
            called_tools: false,
        }
    }

    /// The chunk for one line.
    pub fn chunk(&mut self, line: &Value) -> Value {
        if let Some(error) = line.get("error").filter(|error| truthy(error)) {
            let error = if error.is_object() {
                error.clone()
            } else {
                json!({ "message": error })
            };
            return json!({ "error": error });
        }
        let message = line.get("message").unwrap_or(&Value::Null);
        let done = line.get("done").is_some_and(truthy);
        let calls = tool_calls(message);
        self.called_tools |= calls.is_some();

        let mut delta = json!({});
        for (from, to) in [("content", "content"), ("thinking", "reasoning_content")] {
            if let Some(text) = message.get(from).filter(|text| truthy(text)) {
                delta[to] = text.clone();
            }
        }
        if let Some(calls) = calls {
            delta["tool_calls"] = calls;
        }
        let empty = delta.as_object().is_some_and(serde_json::Map::is_empty);
        let finish = match line.get("done_reason").filter(|reason| truthy(reason)) {
            _ if done && self.called_tools => Value::from("tool_calls"),
            Some(reason) => reason.clone(),
            None if empty => Value::from("stop"),
            None => Value::Null,
        };
        if !self.started {
            self.started = true;
            delta["role"] = Value::from("assistant");
        }
        let mut chunk = json!({
            "id": self.id,
            "created": self.clock.seconds(),
            "model": model_of(line),
            "choices": [{ "index": 0, "logprobs": null, "finish_reason": finish, "delta": delta }],
            "object": "chat.completion.chunk",
        });
        if done {
            chunk["usage"] = usage(line);
        }
        chunk
    }
}

/// Turns an NDJSON body into server-sent events, ending with `[DONE]` when the body ended well.
pub fn to_events(body: ByteStream, clock: Clock) -> ByteStream {
    let (mut parser, mut maker) = (NdjsonParser::default(), ChunkMaker::new(clock));
    rewrite(body, move |piece, out| {
        match piece {
            Some(piece) => parser.feed(piece),
            None => parser.finish(),
        }
        while let Some(line) = parser.next_line()? {
            let line = serde_json::from_slice(line);
            let line: Value = line.map_err(|_| StreamError::Broken("a line is no JSON".to_owned()))?;
            append_event(out, &maker.chunk(&line));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::{StreamExt, stream};

    use super::*;

    #[test]
    fn usage_is_counted_and_measured() {
        let found = usage(&json!({
            "prompt_eval_count": 26, "eval_count": 298, "eval_duration": 4_709_213_000_u64,
            "prompt_eval_duration": 0, "total_duration": 3_725_000_000_000_u64, "load_duration": 5,
        }));
        assert_eq!(
            (&found["total_tokens"], &found["response_token/s"]),
            (&json!(324), &json!(63.28))
        );
        assert_eq!(
            (&found["prompt_token/s"], &found["approximate_total"]),
            (&json!("N/A"), &json!("1h2m5s"))
        );
        assert_eq!(usage(&json!({}))["prompt_tokens"], 0);
    }

    #[test]
    fn whole_answers_become_completions() {
        let clock = Clock::fixed(9);
        let found = to_completion(
            &json!({"model": "m", "message": {"role": "assistant", "content": "hi", "thinking": "hm"}, "done_reason": "length"}),
            &clock,
        );
        assert!(found["id"].as_str().unwrap().starts_with("m-"));
        assert_eq!(
            (&found["created"], &found["object"]),
            (&json!(9), &json!("chat.completion"))
        );
        assert_eq!(
            found["choices"][0],
            json!({"index": 0, "logprobs": null, "finish_reason": "length",
                   "message": {"role": "assistant", "content": "hi", "reasoning_content": "hm"}})
        );
        let call = json!({"id": "c", "function": {"name": "f", "arguments": {"a": [1]}}});
        let found = to_completion(
            &json!({"message": {"content": "", "tool_calls": [call]}, "done_reason": "stop"}),
            &clock,
        );
        assert_eq!(found["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(
            found["choices"][0]["message"]["tool_calls"],
            json!([{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":[1]}"}}])
        );
    }

    #[tokio::test]
    async fn what_came_before_a_bad_line_is_delivered() {
        let good = Bytes::from_static(b"{\"message\":{\"content\":\"hi\"}}\nno json\n{}\n");
        let body: ByteStream = Box::pin(stream::iter([Ok(good)]));
        let pieces: Vec<_> = to_events(body, Clock::fixed(1)).collect().await;
        assert_eq!(pieces.len(), 2);
        assert!(pieces[0].as_ref().unwrap().starts_with(b"data: {"));
        assert_eq!(
            pieces[1],
            Err(StreamError::Broken("a line is no JSON".to_owned()))
        );
        let body: ByteStream = Box::pin(stream::iter([Err(StreamError::Timeout)]));
        let pieces: Vec<_> = to_events(body, Clock::fixed(1)).collect().await;
        assert_eq!(pieces, [Err(StreamError::Timeout)]);
    }

    #[test]
    fn lines_become_chunks() {
        let mut maker = ChunkMaker::new(Clock::fixed(9));
        let chunks = [
            json!({"model": "m", "message": {"content": "", "thinking": "hm"}, "done": false}),
            json!({"model": "m", "message": {"content": "hi"}, "done": false}),
            json!({"model": "m", "message": {"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}, "index": 2}}]}}),
            json!({"model": "m", "message": {"content": ""}, "done": true, "done_reason": "stop", "eval_count": 3}),
            json!({"error": "gone"}),
        ]
        .map(|line| maker.chunk(&line));
        let choice = |index: usize| &chunks[index]["choices"][0];
        assert_eq!(
            choice(0)["delta"],
            json!({"reasoning_content": "hm", "role": "assistant"})
        );
        assert_eq!(
            (&choice(1)["delta"], &choice(1)["finish_reason"]),
            (&json!({"content": "hi"}), &json!(null))
        );
        assert_eq!(choice(2)["delta"]["tool_calls"][0]["index"], 2);
        assert_eq!(
            (&choice(3)["finish_reason"], &chunks[3]["usage"]["output_tokens"]),
            (&json!("tool_calls"), &json!(3))
        );
        assert_eq!(chunks[4], json!({"error": {"message": "gone"}}));
        assert!(chunks[..4].iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
        assert!(chunks[0].get("usage").is_none());
    }
}
