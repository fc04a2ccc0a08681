//! The request as the behaviours see it, read from any of the APIs' bodies.
//!
//! Reading is lenient: a field of an unexpected type counts as absent, since the provider is
//! there to be sent whatever a client sends.

use serde_json::Value;

/// What matters of a generation request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conversation {
    /// The model that was asked for.
    pub model: String,
    /// Whether the reply is to be streamed.
    pub stream: bool,
    /// Whether a stream is to carry token counts (Chat Completions only).
    pub include_usage: bool,
    /// Names of the offered tools, in order.
    pub tools: Vec<String>,
    /// The text of the system messages.
    pub system: String,
    /// The text of the last user message.
    pub last_user: String,
    /// The texts of tool results that came after the last reply of the model.
    pub tool_results: Vec<String>,
    /// Words in all messages.
    pub prompt_words: u64,
}

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    System,
    User,
    Assistant,
    Tool,
}

impl Conversation {
    /// Reads a Chat Completions body.
    #[must_use]
    pub fn from_chat(body: &Value) -> Self {
        let mut conversation = Self::envelope(body, false);
        conversation.include_usage = body["stream_options"]["include_usage"] == true;
        conversation.read_messages(&body["messages"]);
        conversation
    }

    /// Reads a body of Ollama's `/api/chat`; it streams unless told not to.
    #[must_use]
    pub fn from_ollama_chat(body: &Value) -> Self {
        let mut conversation = Self::envelope(body, true);
        conversation.read_messages(&body["messages"]);
        conversation
    }

    /// Reads a body of Ollama's `/api/generate`; it streams unless told not to.
    #[must_use]
    pub fn from_ollama_generate(body: &Value) -> Self {
        let mut conversation = Self::envelope(body, true);
        conversation.hear(Speaker::System, content_text(&body["system"]));
        conversation.hear(Speaker::User, content_text(&body["prompt"]));
        conversation
    }

    /// Reads a body of Anthropic's Messages API: results of tools are blocks of a user's message.
    #[must_use]
    pub fn from_messages(body: &Value) -> Self {
        let mut conversation = Self::envelope(body, false);
        conversation.hear(Speaker::System, content_text(&body["system"]));
        for message in items(&body["messages"]) {
            let results = items(&message["content"]).filter(|block| block["type"] == "tool_result");
            let results: Vec<String> = results.map(|block| content_text(&block["content"])).collect();
            if results.is_empty() {
                conversation.hear(speaker(message), content_text(&message["content"]));
            }
            for result in results {
                conversation.hear(Speaker::Tool, result);
            }
        }
        conversation
    }

    /// Reads a body of OpenAI's text completions.
    #[must_use]
    pub fn from_completions(body: &Value) -> Self {
        let mut conversation = Self::envelope(body, false);
        conversation.hear(Speaker::User, content_text(&body["prompt"]));
        conversation
    }

    /// Reads a body of OpenAI's Responses API, whose input is a text or a list of items.
    #[must_use]
    pub fn from_responses(body: &Value) -> Self {
        let mut conversation = Self::envelope(body, false);
        conversation.hear(Speaker::System, content_text(&body["instructions"]));
        if let Some(text) = body["input"].as_str() {
            conversation.hear(Speaker::User, text.to_owned());
        }
        for item in items(&body["input"]) {
            match item["type"].as_str() {
                Some("function_call") => {
                    conversation.hear(Speaker::Assistant, content_text(&item["arguments"]))
                }
                Some("function_call_output") => {
                    conversation.hear(Speaker::Tool, content_text(&item["output"]))
                }
                Some("message") | None => conversation.hear(speaker(item), content_text(&item["content"])),
                Some(_) => {}
            }
        }
        conversation
    }

    fn envelope(body: &Value, streams_by_default: bool) -> Self {
        Self {
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            stream: body["stream"].as_bool().unwrap_or(streams_by_default),
            tools: items(&body["tools"]).filter_map(tool_name).collect(),
            ..Self::default()
        }
    }

    fn read_messages(&mut self, messages: &Value) {
        for message in items(messages) {
            self.hear(speaker(message), content_text(&message["content"]));
        }
    }

    fn hear(&mut self, speaker: Speaker, text: String) {
        self.prompt_words += text.split_whitespace().count() as u64;
        match speaker {
            Speaker::System => self.system.push_str(&text),
            Speaker::User => self.last_user = text,
            Speaker::Assistant => self.tool_results.clear(),
            Speaker::Tool => self.tool_results.push(text),
        }
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn speaker(message: &Value) -> Speaker {
    match message["role"].as_str() {
        Some("system" | "developer") => Speaker::System,
        Some("assistant") => Speaker::Assistant,
        Some("tool") => Speaker::Tool,
        _ => Speaker::User,
    }
}

/// The name of an offered tool: nested in Chat Completions and Ollama, flat in Responses.
fn tool_name(tool: &Value) -> Option<String> {
    let name = tool["function"]["name"]
        .as_str()
        .or_else(|| tool["name"].as_str());
    name.map(str::to_owned)
}

/// The text of a content field: a text, or the texts of a list of parts.
fn content_text(content: &Value) -> String {
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let texts: Vec<&str> = items(content).filter_map(|part| part["text"].as_str()).collect();
    texts.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_chat_body_is_read() {
        let conversation = Conversation::from_chat(&json!({
            "model": "tools", "stream": true, "stream_options": {"include_usage": true},
            "tools": [{"type": "function", "function": {"name": "sum"}}],
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "image_url"}, {"type": "text", "text": "two"}]},
                {"role": "assistant", "content": null, "tool_calls": []},
                {"role": "tool", "content": "3"},
            ],
        }));
        let expected = Conversation {
            model: "tools".to_owned(),
            stream: true,
            include_usage: true,
            tools: vec!["sum".to_owned()],
            system: "be kind".to_owned(),
            last_user: "one\ntwo".to_owned(),
            tool_results: vec!["3".to_owned()],
            prompt_words: 5,
        };
        assert_eq!(conversation, expected);
    }

    #[test]
    fn tool_results_before_the_last_reply_are_old() {
        let conversation = Conversation::from_ollama_chat(&json!({"messages": [
            {"role": "tool", "content": "3"}, {"role": "assistant", "content": "3"}, {"role": "user", "content": "more"}
        ]}));
        assert_eq!(conversation.tool_results, Vec::<String>::new());
        assert!(conversation.stream);
    }

    #[test]
    fn a_responses_body_is_read() {
        let conversation = Conversation::from_responses(&json!({
            "model": "tools", "instructions": "be kind",
            "tools": [{"type": "function", "name": "sum", "parameters": {}}, {"type": "web_search"}],
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "add"}]},
                {"type": "reasoning", "summary": []},
                {"type": "function_call", "name": "sum", "arguments": "{}"},
                {"type": "function_call_output", "output": [{"type": "input_text", "text": "3"}]},
            ],
        }));
        assert_eq!(conversation.tools, ["sum"]);
        assert_eq!(conversation.system, "be kind");
        assert_eq!(conversation.last_user, "add");
        assert_eq!(conversation.tool_results, ["3"]);
        assert!(!conversation.stream);
    }

    #[test]
    fn a_body_of_the_wrong_shape_is_an_empty_conversation() {
        assert_eq!(Conversation::from_chat(&json!([1, 2])), Conversation::default());
        assert_eq!(
            Conversation::from_responses(&json!({"input": 5, "tools": "x"})),
            Conversation::default()
        );
    }
}
