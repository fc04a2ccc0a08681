//! The reply as it grows: provider chunks reduced to output items (`message`, `reasoning`,
//! `function_call`), and the events that tell browsers what changed. Pure: no I/O, no clock of its own.
//! Tags in the text (`<think>` and others) are found by [`output_tags`](crate::output_tags).

use oui_core::ids;
use oui_plugins::call::Call;
use serde_json::{Value, json};

use crate::output_tags::{CODE_ITEM, TagScan, Tags};
use crate::turn::truthy;

/// What a chunk leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A piece of text for `response:completion`; pieces of one item may be joined.
    Delta(Value),
    /// Any other `response:completion`.
    Response(Value),
    /// A `chat:completion`.
    Completion(Value),
    /// A citation.
    Source(Value),
    /// The provider reports an error; to be stored on the message as well.
    Error(Value),
}

/// A tool call as the provider streams it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    index: Value,
    /// Id that the result refers to.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// JSON text of the arguments, as far as it came.
    pub arguments: String,
}

/// The growing reply. A reply with tool calls takes several rounds: what the provider streams now only ever
/// changes the items of its own round.
pub struct Output {
    items: Vec<Value>,
    /// Where the present round begins.
    round: usize,
    /// Whether an earlier reply is continued, so that browsers get whole snapshots.
    continuing: bool,
    /// Where what continues it begins.
    joint: usize,
    calls: Vec<ToolCall>,
    finished: Vec<Call>,
    tags: Option<Tags>,
    scan: TagScan,
    usage: Option<Value>,
    finish_reason: Option<String>,
}

impl Output {
    /// An empty reply. `tags` are looked for in its text; `None` switches detection off.
    pub fn new(tags: Option<Tags>) -> Self {
        Self {
            items: Vec::new(),
            round: 0,
            continuing: false,
            joint: 0,
            calls: Vec::new(),
            finished: Vec::new(),
            tags,
            scan: TagScan::default(),
            usage: None,
            finish_reason: None,
        }
    }

    /// A reply that goes on after these items.
    pub fn continued(mut prior: Vec<Value>, tags: Option<Tags>) -> Self {
        drop_open_message(&mut prior);
        Self {
            round: prior.len(),
            joint: prior.len(),
            items: prior,
            continuing: true,
            ..Self::new(tags)
        }
    }

    /// Whether an earlier reply is continued.
    pub fn is_continued(&self) -> bool {
        self.continuing
    }

    /// Begins another round, after the results of the last one's tool calls.
    pub fn next_round(&mut self) {
        drop_open_message(&mut self.items);
        self.round = self.items.len();
        self.calls.clear();
        self.scan = TagScan::default();
    }

    /// Where the present round begins.
    pub fn round_start(&self) -> usize {
        self.round
    }

    /// All items, for what tools do to them.
    pub fn items_mut(&mut self) -> &mut Vec<Value> {
        &mut self.items
    }

    /// The tool calls that the provider finished in this round.
    pub fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.finished)
    }

    /// The items so far.
    pub fn items(&self) -> &[Value] {
        &self.items
    }

    /// The items as one value. The text that continues a message is shown as part of it.
    pub fn to_value(&self) -> Value {
        let is_text = |index: usize| {
            let item = self.items.get(index);
            item.is_some_and(|item| {
                item["type"] == "message" && item.get("role").is_none_or(|role| role == "assistant")
            })
        };
        let first = self.joint;
        if !self.continuing || first == 0 || !is_text(first - 1) || !is_text(first) {
            return Value::Array(self.items.clone());
        }
        let mut items = self.items.clone();
        let mut added = items.remove(first);
        let earlier = &mut items[first - 1];
        if let (Some(earlier), Some(added)) = (earlier.as_object_mut(), added.as_object_mut()) {
            let mut parts = earlier
                .get("content")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            parts.extend(
                added
                    .get("content")
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default(),
            );
            let id = earlier.get("id").cloned();
            earlier.extend(std::mem::take(added));
            earlier.insert("content".into(), Value::Array(parts));
            earlier.insert("id".into(), id.unwrap_or_default());
        }
        Value::Array(items)
    }

    /// Whether code stands at the end of the present round that is whole and has not run: what the provider says after
    /// it was said without knowing what it does.
    pub fn has_code(&self) -> bool {
        let waits = |item: &Value| {
            item["type"] == CODE_ITEM && item["status"] == "in_progress" && item.get("ended_at").is_some()
        };
        self.items[self.round..].iter().any(waits)
    }

    /// The code that is to be run next, if nothing follows it.
    pub fn last_code(&mut self) -> Option<&mut Value> {
        self.items
            .last_mut()
            .filter(|item| item["type"] == CODE_ITEM && item["status"] == "in_progress")
    }

    /// Token counts so far.
    pub fn usage(&self) -> Option<&Value> {
        self.usage.as_ref()
    }

    /// Why the provider stopped.
    pub fn finish_reason(&self) -> Option<&str> {
        self.finish_reason.as_deref()
    }

    /// Takes one chunk of a Chat Completions stream. `now` is in seconds.
    pub fn apply(&mut self, mut chunk: Value, now: f64) -> Vec<Event> {
        let mut events = Vec::new();
        self.take_usage(&chunk, &mut events);
        let choice = chunk
            .get_mut("choices")
            .and_then(|choices| choices.get_mut(0))
            .map(Value::take);
        let Some(choice) = choice.filter(Value::is_object) else {
            if let Some(error) = chunk.get("error").filter(|error| truthy(error)) {
                events.push(Event::Error(error.clone()));
            }
            return events;
        };
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish_reason = Some(reason.to_owned());
        }
        let delta = choice.get("delta").cloned().unwrap_or(Value::Null);
        sources(&delta, &mut events);
        let calls = delta
            .get("tool_calls")
            .and_then(Value::as_array)
            .filter(|calls| !calls.is_empty());
        let mut consumed = false;
        if let Some(calls) = calls {
            calls.iter().for_each(|call| self.tool_call(call, &mut events));
            consumed = true;
        }
        consumed |= self.reasoning(&delta, now, &mut events);
        consumed |= self.content(&delta, now, &mut events);
        if !consumed {
            chunk["choices"][0] = choice;
            let data = if truthy(&delta) {
                Event::Response(chunk)
            } else {
                Event::Completion(chunk)
            };
            events.push(data);
        }
        events
    }

    fn take_usage(&mut self, chunk: &Value, events: &mut Vec<Event>) {
        let mut raw = chunk
            .get("usage")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        if let Some(timings) = chunk.get("timings").and_then(Value::as_object) {
            raw.extend(timings.clone());
        }
        if raw.is_empty() {
            return;
        }
        let raw = oui_models::usage::normalize(&Value::Object(raw));
        let usage = match self.usage.take() {
            Some(earlier) => oui_models::usage::merge(&earlier, &raw),
            None => raw,
        };
        events.push(Event::Completion(json!({ "usage": usage })));
        self.usage = Some(usage);
    }

    fn tool_call(&mut self, delta: &Value, events: &mut Vec<Event>) {
        let Some(index) = delta.get("index").filter(|index| !index.is_null()) else {
            return;
        };
        let function = delta.get("function");
        let name = function
            .and_then(|function| function.get("name"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        let arguments = match function.and_then(|function| function.get("arguments")) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        let known = self.calls.iter().position(|call| &call.index == index);
        let position = known.unwrap_or_else(|| {
            self.calls.push(ToolCall {
                index: index.clone(),
                id: self.fresh_call_id(delta.get("id").and_then(Value::as_str)),
                name: name.to_owned(),
                arguments: String::new(),
            });
            self.calls.len() - 1
        });
        let call = &mut self.calls[position];
        if known.is_some() && !name.is_empty() {
            name.clone_into(&mut call.name);
        }
        call.arguments.push_str(arguments.as_deref().unwrap_or_default());
        let call = call.clone();
        let output_index = self.call_item(&call, events);
        if let Some(delta) = arguments {
            events.push(Event::Delta(json!({
                "type": "response.function_call_arguments.delta",
                "item_id": call.id, "output_index": output_index, "delta": delta,
            })));
        }
    }

    /// Ids that a provider repeats from an earlier round are replaced.
    fn fresh_call_id(&self, given: Option<&str>) -> String {
        match given.filter(|id| !id.is_empty()) {
            Some(id) if !self.items.iter().any(|item| item["call_id"] == id) => id.to_owned(),
            _ => ids::output_item("fc_"),
        }
    }

    fn call_item(&mut self, call: &ToolCall, events: &mut Vec<Event>) -> usize {
        let known = self.items[self.round..]
            .iter()
            .position(|item| item["type"] == "function_call" && item["call_id"] == call.id);
        if let Some(index) = known.map(|index| index + self.round) {
            let item = &mut self.items[index];
            item["name"] = json!(call.name);
            item["arguments"] = json!(call.arguments);
            return index;
        }
        let mut item = json!({
            "type": "function_call", "id": call.id, "call_id": call.id, "name": call.name,
            "arguments": "", "status": "in_progress",
        });
        let index = self.items.len();
        events.push(Event::Response(json!({
            "type": "response.output_item.added", "output_index": index, "item": item,
        })));
        item["arguments"] = json!(call.arguments);
        self.items.push(item);
        index
    }

    fn reasoning(&mut self, delta: &Value, now: f64, events: &mut Vec<Event>) -> bool {
        let text = ["reasoning_content", "reasoning", "thinking"]
            .iter()
            .filter_map(|name| delta.get(*name))
            .find(|value| truthy(value));
        let Some(text) = text else { return false };
        let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
        let index = self.reasoning_item(now, events);
        append_text(&mut self.items[index], &text);
        events.push(Event::Delta(json!({
            "type": "response.reasoning_text.delta", "item_id": self.items[index]["id"],
            "output_index": index, "content_index": 0, "delta": text,
        })));
        true
    }

    /// The item that reasoning goes to: the open one, or a new one. Reasoning that comes after text goes to the
    /// earlier item, or stands before the text.
    fn reasoning_item(&mut self, now: f64, events: &mut Vec<Event>) -> usize {
        let round = &self.items[self.round..];
        let message = round.iter().position(|item| item["type"] == "message");
        let message = message.map(|index| index + self.round);
        let existing = round.iter().rposition(|item| item["type"] == "reasoning");
        let existing = existing.map(|index| index + self.round);
        if let Some(index) = existing.filter(|index| message.is_some() || *index + 1 == self.items.len()) {
            return index;
        }
        let mut item = json!({
            "type": "reasoning", "id": ids::output_item("r_"), "status": "in_progress",
            "start_tag": "<think>", "end_tag": "</think>", "attributes": { "type": "reasoning_content" },
            "content": [], "summary": null, "started_at": now,
        });
        let index = message.unwrap_or(self.items.len());
        if message.is_some() {
            item["ended_at"] = json!(now);
            item["duration"] = json!(0);
            item["status"] = json!("completed");
        }
        self.items.insert(index, item.clone());
        events.push(Event::Response(json!({
            "type": "response.output_item.added", "output_index": index, "item": item,
        })));
        index
    }

    fn content(&mut self, delta: &Value, now: f64, events: &mut Vec<Event>) -> bool {
        let Some(value) = delta.get("content").filter(|value| truthy(value)) else {
            return false;
        };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.close_streamed_reasoning(now, events);
        let last = self.items[self.round..].last();
        let tagged = last.is_some_and(is_open_tag_block);
        if !tagged && last.is_none_or(|item| item["type"] != "message") {
            self.items.push(message_item(""));
        }
        if let Some(last) = self.items.last_mut() {
            append_text(last, &text);
        }
        if self.find_tags(now) {
            events.push(Event::Completion(json!({ "output": self.to_value() })));
            return true;
        }
        let index = self.items.len().saturating_sub(1);
        let item = &self.items[index];
        let kind = if item["type"] == "reasoning" {
            "reasoning_text"
        } else {
            "output_text"
        };
        let parts = item["content"].as_array().map_or(0, Vec::len);
        events.push(Event::Delta(json!({
            "type": format!("response.{kind}.delta"), "item_id": item["id"],
            "output_index": index, "content_index": parts.saturating_sub(1), "delta": text,
        })));
        true
    }

    fn close_streamed_reasoning(&mut self, now: f64, events: &mut Vec<Event>) {
        let index = self.items.len().wrapping_sub(1);
        let open = self.items[self.round..].last_mut();
        let Some(item) = open.filter(|item| is_streamed_reasoning(item)) else {
            return;
        };
        close_reasoning(item, now);
        events.push(Event::Response(json!({
            "type": "response.output_item.done", "output_index": index, "item": item,
        })));
        self.items.push(message_item(""));
    }

    fn find_tags(&mut self, now: f64) -> bool {
        let Some(tags) = &self.tags else { return false };
        let streamed = self.items[self.round..]
            .iter()
            .any(|item| item["attributes"]["type"] == "reasoning_content");
        self.scan.run(tags, !streamed, &mut self.items, now)
    }

    /// Ends the stream: trims the text, closes what is open, and completes tool calls.
    pub fn end_of_stream(&mut self, now: f64) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.continuing {
            self.trim_last_message();
        }
        if let Some(item) = self.items[self.round..].last_mut()
            && item["type"] == "reasoning"
            && item.get("ended_at").is_none()
        {
            close_reasoning(item, now);
        }
        for call in std::mem::take(&mut self.calls) {
            let known = self.items[self.round..]
                .iter()
                .position(|item| item["type"] == "function_call" && item["call_id"] == call.id);
            let Some(index) = known.map(|index| index + self.round) else {
                continue;
            };
            self.finished.push(Call {
                id: call.id.clone(),
                name: call.name.clone(),
                arguments: call.arguments.clone(),
                written: None,
            });
            let item = &mut self.items[index];
            item["arguments"] = json!(call.arguments);
            item["status"] = json!("completed");
            events.push(Event::Response(json!({
                "type": "response.function_call_arguments.done", "item_id": item["id"],
                "output_index": index, "arguments": call.arguments,
            })));
            events.push(Event::Response(json!({
                "type": "response.output_item.done", "output_index": index, "item": item,
            })));
        }
        events
    }

    fn trim_last_message(&mut self) {
        let last = self.items[self.round..].last_mut();
        let Some(last) = last.filter(|item| item["type"] == "message") else {
            return;
        };
        let Some(part) = last["content"].as_array_mut().and_then(|parts| parts.last_mut()) else {
            return;
        };
        let trimmed = part["text"].as_str().unwrap_or_default().trim().to_owned();
        let is_empty = trimmed.is_empty();
        part["text"] = json!(trimmed);
        if is_empty {
            self.items.pop();
            if self.items.len() == self.round {
                self.items.push(message_item(""));
            }
        }
    }

    /// Marks everything that is still open as done.
    pub fn complete(&mut self) {
        for item in &mut self.items {
            if item["status"] == "in_progress" {
                item["status"] = json!("completed");
            }
        }
    }

    /// Marks what is open, and tool calls without a result, as cut off.
    pub fn interrupt(&mut self) {
        mark_incomplete(&mut self.items);
    }
}

/// Marks open items, and tool calls without a result, as cut off.
pub fn mark_incomplete(items: &mut [Value]) {
    let answered: Vec<Value> = items
        .iter()
        .filter(|item| item["type"] == "function_call_output")
        .map(|item| item["call_id"].clone())
        .collect();
    for item in items {
        let waiting = item["type"] == "function_call"
            && item["status"] == "completed"
            && !answered.contains(&item["call_id"]);
        if item["status"] == "in_progress" || waiting {
            item["status"] = json!("incomplete");
        }
    }
}

/// Takes away a last message that is open and says nothing.
fn drop_open_message(items: &mut Vec<Value>) {
    let is_empty = items.last().is_some_and(|item| {
        item["type"] == "message"
            && item["status"] == "in_progress"
            && item["content"].as_array().is_none_or(|parts| match &parts[..] {
                [] => true,
                [only] => only["text"].as_str().unwrap_or_default().trim().is_empty(),
                _ => false,
            })
    });
    if is_empty {
        items.pop();
    }
}

/// A message item with this text.
pub fn message_item(text: &str) -> Value {
    json!({
        "type": "message", "id": ids::output_item("msg_"), "status": "in_progress", "role": "assistant",
        "content": [{ "type": "output_text", "text": text }],
    })
}

fn is_streamed_reasoning(item: &Value) -> bool {
    item["type"] == "reasoning" && item["attributes"]["type"] == "reasoning_content"
}

fn is_open_tag_block(item: &Value) -> bool {
    item["status"] == "in_progress"
        && !is_streamed_reasoning(item)
        && item.get("ended_at").is_none()
        && (item["type"] == "reasoning" || item["type"] == CODE_ITEM || item.get("_tag_type").is_some())
}

/// Stamps the end of a reasoning item.
pub fn close_reasoning(item: &mut Value, now: f64) {
    let duration = item["started_at"]
        .as_f64()
        .map(|started| (now - started).max(0.0) as i64);
    item["ended_at"] = json!(now);
    if let Some(duration) = duration {
        item["duration"] = json!(duration);
    }
    item["status"] = json!("completed");
}

/// Adds text to the last text part of an item, or gives it one.
pub fn append_text(item: &mut Value, text: &str) {
    if item["type"] == CODE_ITEM
        && let Some(Value::String(code)) = item.get_mut("code")
    {
        code.push_str(text);
        return;
    }
    let part = item["content"].as_array_mut().and_then(|parts| parts.last_mut());
    match part
        .filter(|part| part["type"] == "output_text")
        .map(|part| &mut part["text"])
    {
        Some(Value::String(existing)) => existing.push_str(text),
        _ => item["content"] = json!([{ "type": "output_text", "text": text }]),
    }
}

fn sources(delta: &Value, events: &mut Vec<Event>) {
    for annotation in delta
        .get("annotations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let Some(citation) = annotation
            .get("url_citation")
            .filter(|_| annotation["type"] == "url_citation")
        else {
            continue;
        };
        let url = citation.get("url").and_then(Value::as_str).unwrap_or_default();
        let title = citation.get("title").and_then(Value::as_str).unwrap_or(url);
        events.push(Event::Source(json!({
            "source": { "name": title, "url": url }, "document": [title],
            "metadata": [{ "source": url, "name": title }],
        })));
    }
}

#[cfg(test)]
mod tests;
