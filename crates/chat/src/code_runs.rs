//! Code in replies of models that call no tools: they write it between tags, it is run, and they are asked to go on
//! with what came of it.

use oui_core::ids;
use oui_plugins::code;
use oui_providers::{ByteStream, CallContext, ChatReply};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::dispatch::error_text;
use crate::output::message_item;
use crate::payload::{self, Payload};
use crate::run::Run;
use crate::streaming::Writer;
use crate::{pipes, quota};

/// What a piece of code leads to.
pub(crate) enum AfterCode {
    /// The model goes on.
    Stream(ByteStream),
    /// The reply ends here.
    Over,
    /// The run was stopped.
    Stopped,
}

/// What models are told that may have code run and call no tools.
pub(crate) const PROMPT: &str = "\
You can have Python run: write it between <code_interpreter type=\"code\" lang=\"python\"> and </code_interpreter>, \
without Markdown fences, and end your message there. What it prints is then shown to you and you go on: print all \
that you want to see, explain what came out, and correct the code when it failed. Links that are printed are to be \
repeated as they are. Answer in the language of the chat.";

/// What they are told of the browser's Python.
pub(crate) const BROWSER_PROMPT: &str = "\
The Python runs in the user's browser (Pyodide): packages cannot be installed and no programs started. Attached files \
lie in /mnt/uploads/; files that you write there can be opened by the user, and stay for the next run.";

impl Run {
    /// Runs the code that the round ended with and asks the model to go on.
    pub(crate) async fn run_code(
        &self,
        writer: &mut Writer<'_>,
        payload: &mut Payload,
        context: &CallContext,
        cancel: &CancellationToken,
    ) -> AfterCode {
        self.show_all(writer).await;
        let item = writer.stream.output.lock().last_code().map(|item| item.clone());
        let Some(item) = item else {
            return AfterCode::Over;
        };
        let output = tokio::select! {
            output = self.output_of(payload, &item) => output,
            () = cancel.cancelled() => return AfterCode::Stopped,
        };
        let round: Vec<Value> = {
            let mut all = writer.stream.output.lock();
            if let Some(item) = all.last_code() {
                item["output"] = output;
                item["status"] = json!("completed");
            }
            let start = all.round_start();
            let round = all.items()[start..].to_vec();
            let mut opening = message_item("");
            opening["id"] = json!(ids::output_item("msg_"));
            all.items_mut().push(opening);
            round
        };
        self.show_all(writer).await;
        {
            let mut all = writer.stream.output.lock();
            all.next_round();
        }
        payload::append_round(payload, &round);
        payload.body.insert("stream".into(), json!(true));
        let ask = async {
            let body = payload.body.clone();
            let body = payload.filters.request(&payload.stage(), body).await?;
            pipes::dispatch(&self.engine, payload, body, &quota::further(context)).await
        };
        let answer = tokio::select! {
            answer = ask => answer,
            () = cancel.cancelled() => return AfterCode::Stopped,
        };
        match answer {
            Ok(ChatReply::Stream(next)) => AfterCode::Stream(next.body),
            Ok(ChatReply::Json(_)) => AfterCode::Over,
            Err(error) => {
                self.note_error(&json!(error_text(&error))).await;
                AfterCode::Over
            }
        }
    }

    /// Shows the whole reply as it is now.
    async fn show_all(&self, writer: &Writer<'_>) {
        writer
            .stream
            .dirty
            .store(true, std::sync::atomic::Ordering::Release);
        let output = writer.stream.output.lock().to_value();
        writer.snapshot(json!({ "output": output })).await;
    }

    /// What came of the code, as it is kept with it.
    async fn output_of(&self, payload: &Payload, item: &Value) -> Value {
        if item["attributes"]["type"] != "code" {
            return json!("");
        }
        let context = &payload.tooling.context;
        let program = item["code"].as_str().unwrap_or_default();
        let mut output = match code::run(context, program).await {
            Ok(output) => output,
            Err(_) => json!({ "stdout": "Code interpreter engine not configured." }),
        };
        if let Some(error) = output.get("error").filter(|error| crate::turn::truthy(error)) {
            output = json!({ "stderr": error });
        }
        if let Some(fields) = output.as_object_mut() {
            for name in ["stdout", "result"] {
                let text = match fields.get(name) {
                    None => "",
                    Some(Value::String(text)) => text,
                    Some(_) => continue,
                };
                let shown = code::with_pictures(context, text).await;
                fields.insert(name.to_owned(), json!(shown));
            }
        }
        output
    }
}
