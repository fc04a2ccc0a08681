//! A reply that comes whole.

use oui_core::ids;
use oui_models::usage;
use serde_json::{Value, json};

use crate::output::message_item;
use crate::run::{End, Run};
use crate::turn::{Object, truthy};

impl Run {
    /// Stores and announces a whole answer of the provider.
    pub(crate) async fn whole(&self, answer: &Value) -> End {
        if let Some(error) = answer.get("error").filter(|error| truthy(error)) {
            let shown = error
                .get("detail")
                .or_else(|| error.get("message"))
                .unwrap_or(error);
            self.fail(shown).await;
            return End::Failed;
        }
        let message = answer
            .get("choices")
            .and_then(|choices| choices.get(0)?.get("message"));
        let Some(output) = output_of(answer, message) else {
            self.fail(&json!("The provider sent an empty reply.")).await;
            return End::Failed;
        };
        let copy = output.clone();
        self.emitter
            .completion("chat:completion", answer.clone(), move || copy)
            .await;
        let finish = answer.pointer("/choices/0/finish_reason").and_then(Value::as_str);
        let finish = finish.map(str::to_owned);
        let counts = answer
            .get("usage")
            .filter(|usage| truthy(usage))
            .map(usage::normalize);
        let mut fields = Object::new();
        fields.insert("role".into(), json!("assistant"));
        fields.insert("output".into(), output.clone());
        if let Some(counts) = &counts {
            fields.insert("usage".into(), counts.clone());
        }
        self.save_end(fields).await;
        let end = self.announce_end(output, None, finish).await;
        self.announce_list().await;
        end
    }
}

/// The output items of an answer: its own, or made from the message. `None` when it says nothing at all.
fn output_of(answer: &Value, message: Option<&Value>) -> Option<Value> {
    if let Some(output) = answer.get("output").filter(|output| truthy(output)) {
        return Some(output.clone());
    }
    let message = message?;
    let text = message.get("content").and_then(Value::as_str).unwrap_or_default();
    let calls = message.get("tool_calls").filter(|calls| truthy(calls));
    if text.is_empty() && calls.is_none() {
        return None;
    }
    let mut items = Vec::new();
    let reasoning = ["reasoning_content", "reasoning"]
        .iter()
        .filter_map(|name| message.get(*name)?.as_str());
    if let Some(reasoning) = reasoning.into_iter().find(|text| !text.is_empty()) {
        items.push(json!({
            "type": "reasoning", "id": ids::output_item("r_"), "status": "completed",
            "start_tag": "<think>", "end_tag": "</think>", "attributes": { "type": "reasoning_content" },
            "content": [{ "type": "output_text", "text": reasoning }], "summary": null,
        }));
    }
    let mut item = message_item(text);
    item["status"] = json!("completed");
    items.push(item);
    Some(Value::Array(items))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_items() {
        let message = json!({"content": "hi", "reasoning_content": "hm"});
        let output = output_of(&json!({}), Some(&message)).unwrap();
        assert_eq!(output[0]["type"], "reasoning");
        assert_eq!(output[1]["content"][0]["text"], "hi");
        assert_eq!(output[1]["status"], "completed");
        assert!(output_of(&json!({}), Some(&json!({"content": ""}))).is_none());
        assert!(output_of(&json!({}), None).is_none());
    }
}
