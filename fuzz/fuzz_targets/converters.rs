//! The converters between protocols: whatever a provider streams or a client sends, nothing panics, and what is
//! written is whole: events that can be read, blocks that are closed, an end.
#![no_main]

use bytes::Bytes;
use futures::{StreamExt, stream};
use libfuzzer_sys::fuzz_target;
use oui_core::Clock;
use oui_providers::anthropic::{self, Passed};
use oui_providers::sse::{SseItem, SseParser};
use oui_providers::{ByteStream, ollama, ollama_payload, ollama_reply, responses, responses_stream};
use serde_json::{Value, json};

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
}

fn body(bytes: &[u8]) -> ByteStream {
    let pieces: Vec<Bytes> = bytes.chunks(61).map(Bytes::copy_from_slice).collect();
    Box::pin(stream::iter(pieces).map(Ok))
}

fn events(written: &[Bytes]) -> Vec<(String, String)> {
    let mut parser = SseParser::default();
    written.iter().for_each(|piece| parser.feed(piece));
    parser.finish();
    let mut found = Vec::new();
    while let Some(item) = parser.next_item().expect("what we write is no longer than what we read") {
        match item {
            SseItem::Event(event) => found.push((event.name.into_owned(), event.data.into_owned())),
            SseItem::Stray(line) => panic!("a line outside events: {line}"),
        }
    }
    found
}

/// Checks a stream of the Messages API: one beginning, blocks that are opened once and closed once, one end.
fn check_messages(found: &[(String, String)]) {
    assert_eq!(found[0].0, "message_start");
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    for (name, data) in found {
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(data["type"], name.as_str());
        match name.as_str() {
            "content_block_start" => {
                assert!(!seen.contains(&data["index"]), "an index twice");
                seen.push(data["index"].clone());
                open.push(data["index"].clone());
            }
            "content_block_delta" => assert!(open.contains(&data["index"]), "a block that is not open"),
            "content_block_stop" => {
                let at = open.iter().position(|index| *index == data["index"]);
                open.remove(at.expect("a block stopped twice"));
            }
            _ => {}
        }
    }
    match found.last().map(|(name, _)| name.as_str()) {
        Some("message_stop") => assert!(open.is_empty(), "a block stays open"),
        last => assert_eq!(last, Some("error")),
    }
}

fn streams(bytes: &[u8]) {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let written: Vec<_> = anthropic::to_messages(body(bytes), "m", None).collect().await;
            let written: Vec<Bytes> = written.into_iter().map(|piece| piece.expect("errors are events")).collect();
            check_messages(&events(&written));
            for written in [
                ollama_reply::to_events(body(bytes), Clock::fixed(1)),
                responses_stream::to_chat_events(body(bytes), Clock::fixed(1)),
            ] {
                let written: Vec<_> = written.collect().await;
                let whole: Vec<Bytes> = written.into_iter().filter_map(Result::ok).collect();
                for (_, data) in events(&whole) {
                    assert!(data == "[DONE]" || serde_json::from_str::<Value>(&data).is_ok(), "{data}");
                }
            }
        });
    });
}

fn requests(value: Value) {
    let _ = anthropic::from_chat(&value, "m", None);
    let _ = responses::to_chat(&value);
    let _ = ollama_reply::to_completion(&value, &Clock::fixed(1));
    let _ = ollama::embed_reply(value.clone());
    if let Value::Object(fields) = value {
        let _ = anthropic::to_chat(&fields, &Passed::read(Some(&json!("*"))));
        let _ = ollama_payload::from_openai(&fields);
        let _ = ollama::embed_request(&fields);
        let _ = responses::from_chat(fields);
    }
}

fuzz_target!(|input: &[u8]| {
    match serde_json::from_slice::<Value>(input) {
        Ok(value) => requests(value),
        Err(_) => streams(input),
    }
});
