//! Streams and requests that are not what they should be: real ones, changed at random. Nothing may panic, the pieces
//! in which bytes arrive may make no difference, and what converters write must be whole whatever they read.
//!
//! `OUI_FUZZ_ROUNDS` (400) says how many times; a failure names its seed.

use bytes::Bytes;
use futures::{StreamExt, stream};
use oui_core::Clock;
use oui_providers::anthropic::{self, Passed};
use oui_providers::chunk::Chunk;
use oui_providers::ndjson::NdjsonParser;
use oui_providers::sse::{SseItem, SseParser};
use oui_providers::{ByteStream, ollama, ollama_payload, ollama_reply, responses, responses_stream};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

const STREAMS: [&str; 5] = [
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
     data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n\
     data: {\"choices\":[{\"delta\":{\"content\":\"Grüße 🌍\"}}]}\r\n\r\n\
     data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\n\
     data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}},{\"index\":1,\"function\":{\"name\":\"g\",\"arguments\":\"[1]\"}}]}}]}\n\n\
     data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n\
     data: [DONE]\n\n",
    "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"model\":\"m\"}}\n\n\
     event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"i\"}}\n\n\
     event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"hi\"}\n\n\
     data: {\"type\":\"response.output_item.added\",\"output_index\":1,\"item\":{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\"}}\n\n\
     data: {\"type\":\"response.function_call_arguments.delta\",\"output_index\":1,\"delta\":\"{}\"}\n\n\
     data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}\n\n",
    "{\"model\":\"m\",\"message\":{\"content\":\"hi\",\"thinking\":\"hm\"},\"done\":false}\n\
     {\"model\":\"m\",\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]}}\n\
     {\"model\":\"m\",\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"eval_count\":3}\n",
    ": comment\n\ndata\ndata: a\r\rdata: {\"a\":1}\ndata: {\"b\":2}\n\n{\"error\":{\"message\":\"late\"}}\nid: 1\n\n",
    "data: {\"error\":{\"message\":\"gone\"}}\n\ndata: {\"choices\":[{\"message\":{\"tool_calls\":[{\"id\":\"x\"}]}}]}\n\n",
];

fn requests() -> Vec<Value> {
    vec![
        json!({
            "model": "m", "max_tokens": 9, "stream": true, "stop_sequences": ["x"],
            "system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, "b"],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image", "source": {"type": "base64", "data": "QQ=="}}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "is_error": true, "content": [{"type": "text", "text": "no"}]}]},
            ],
            "tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "f"},
            "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
        }),
        json!({
            "model": "m", "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": "data:x,y"}}, {"type": "file", "file": {"file_id": "f"}}]},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "r"}]},
                {"role": "assistant", "output": [{"type": "function_call", "provider_function": {"name": "x"}}]},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "tool_choice": {"function": {"name": "f"}},
            "options": {"think": true, "num_ctx": 1}, "response_format": {"type": "json_schema", "json_schema": {"schema": {}}},
        }),
        json!({
            "id": "c", "model": "m", "choices": [{"finish_reason": "stop", "message": {"content": "hi", "reasoning": "hm",
                "thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": "s"}],
                "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 30}},
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}, {"type": "function_call", "arguments": {}}],
            "message": {"content": "x", "tool_calls": [{"function": {"name": "f"}}]}, "eval_count": 1, "eval_duration": -1, "total_duration": 1e300,
            "embeddings": [[1.0], {"embedding": null}],
        }),
    ]
}

#[expect(clippy::disallowed_methods, reason = "a switch of the test run")]
fn rounds() -> u64 {
    let wanted = std::env::var("OUI_FUZZ_ROUNDS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// A stream with some of its bytes changed, doubled, moved or lost.
fn mangled(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = STREAMS.choose(random).unwrap().as_bytes().to_vec();
    if random.random_bool(0.3) {
        bytes.extend_from_slice(STREAMS.choose(random).unwrap().as_bytes());
    }
    for _ in 0..random.random_range(0..6) {
        if bytes.is_empty() {
            break;
        }
        let at = random.random_range(0..bytes.len());
        let to = (at + random.random_range(0..40)).min(bytes.len());
        match random.random_range(0..6) {
            0 => bytes[at] = random.random(),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let part = bytes[at..to].to_vec();
                bytes.splice(at..at, part);
            }
            3 => bytes.truncate(at),
            4 => bytes.insert(at, *b"\n\r:{}[]\",\\ \0\xff".choose(random).unwrap()),
            _ => bytes.splice(at..to, b"null".iter().copied()).for_each(drop),
        }
    }
    bytes
}

/// The bytes in pieces of random length.
fn pieces(bytes: &[u8], random: &mut StdRng) -> Vec<Bytes> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let length = random.random_range(1..=rest.len().min(60));
        pieces.push(Bytes::copy_from_slice(&rest[..length]));
        rest = &rest[length..];
    }
    pieces
}

fn body(pieces: &[Bytes]) -> ByteStream {
    Box::pin(stream::iter(pieces.to_vec()).map(Ok))
}

fn events(pieces: &[Bytes]) -> Vec<(String, String)> {
    let mut parser = SseParser::default();
    let mut found = Vec::new();
    let mut take = |parser: &mut SseParser| {
        while let Some(item) = parser.next_item().unwrap() {
            found.push(match item {
                SseItem::Event(event) => (event.name.into_owned(), event.data.into_owned()),
                SseItem::Stray(line) => ("stray".to_owned(), line.into_owned()),
            });
        }
    };
    for piece in pieces {
        parser.feed(piece);
        take(&mut parser);
    }
    parser.finish();
    take(&mut parser);
    found
}

fn lines(pieces: &[Bytes]) -> Vec<Vec<u8>> {
    let mut parser = NdjsonParser::default();
    let mut found = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        while let Some(line) = parser.next_line().unwrap() {
            found.push(line.to_vec());
        }
    }
    parser.finish();
    while let Some(line) = parser.next_line().unwrap() {
        found.push(line.to_vec());
    }
    found
}

/// A value with some of its parts replaced by something else.
fn twist(value: &mut Value, random: &mut StdRng) {
    if random.random_bool(0.06) {
        *value = [
            json!(null),
            json!(""),
            json!([]),
            json!({}),
            json!(-1.5),
            json!(true),
            json!([{}]),
            json!([null, "x"]),
        ]
        .choose(random)
        .unwrap()
        .clone();
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| twist(item, random)),
        Value::Object(fields) => {
            if random.random_bool(0.05) {
                let name = fields.keys().next().cloned().unwrap_or_default();
                fields.shift_remove(&name);
            }
            fields.values_mut().for_each(|field| twist(field, random));
        }
        _ => {}
    }
}

#[test]
fn pieces_make_no_difference_to_parsers() {
    for seed in 0..rounds() {
        let mut random = StdRng::seed_from_u64(seed);
        let bytes = mangled(&mut random);
        let whole = [Bytes::copy_from_slice(&bytes)];
        let cut = pieces(&bytes, &mut random);
        assert_eq!(events(&cut), events(&whole), "seed {seed}");
        assert_eq!(lines(&cut), lines(&whole), "seed {seed}");
        for (_, data) in events(&whole) {
            if let Ok(chunk) = Chunk::parse(&data) {
                let _ = (
                    chunk.tool_calls(),
                    chunk.usage(),
                    chunk.reasoning(),
                    chunk.value(),
                );
            }
        }
    }
}

#[tokio::test]
async fn messages_are_whole_whatever_comes() {
    for seed in 0..rounds() {
        let mut random = StdRng::seed_from_u64(seed);
        let bytes = mangled(&mut random);
        let cut = pieces(&bytes, &mut random);
        let written: Vec<Bytes> = anthropic::to_messages(body(&cut), "m", None)
            .map(|piece| piece.unwrap())
            .collect()
            .await;
        let (mut open, mut seen) = (Vec::new(), Vec::new());
        let found = events(&written);
        assert_eq!(found[0].0, "message_start", "seed {seed}");
        for (name, data) in &found {
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["type"], name.as_str(), "seed {seed}");
            match name.as_str() {
                "content_block_start" => {
                    assert!(!seen.contains(&data["index"]), "seed {seed}: an index twice");
                    seen.push(data["index"].clone());
                    open.push(data["index"].clone());
                }
                "content_block_delta" => assert!(open.contains(&data["index"]), "seed {seed}: not open"),
                "content_block_stop" => {
                    let at = open.iter().position(|index| *index == data["index"]);
                    open.remove(at.unwrap_or_else(|| panic!("seed {seed}: stopped twice")));
                }
                _ => {}
            }
        }
        match found.last().unwrap().0.as_str() {
            "message_stop" => assert!(open.is_empty(), "seed {seed}: a block stays open"),
            last => assert_eq!(last, "error", "seed {seed}"),
        }
    }
}

#[tokio::test]
async fn streams_of_other_forms_never_panic() {
    for seed in 0..rounds() {
        let mut random = StdRng::seed_from_u64(seed);
        let bytes = mangled(&mut random);
        let cut = pieces(&bytes, &mut random);
        for written in [
            ollama_reply::to_events(body(&cut), Clock::fixed(1)),
            responses_stream::to_chat_events(body(&cut), Clock::fixed(1)),
        ] {
            let written: Vec<_> = written.collect().await;
            let whole: Vec<Bytes> = written.into_iter().filter_map(Result::ok).collect();
            for (_, data) in events(&whole) {
                let readable = data == "[DONE]" || serde_json::from_str::<Value>(&data).is_ok();
                assert!(readable, "seed {seed}: {data}");
            }
        }
    }
}

#[test]
fn requests_and_answers_never_panic() {
    let samples = requests();
    for seed in 0..rounds() * 5 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut value = samples.choose(&mut random).unwrap().clone();
        twist(&mut value, &mut random);
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
}
