//! Parsers over streams as servers really send them.

use oui_fake_provider::{FakeProvider, Script};
use oui_providers::chunk::Chunk;
use oui_providers::ndjson::NdjsonParser;
use oui_providers::sse::{SseItem, SseParser};
use oui_providers::{CallContext, StreamError};
use serde_json::json;

use crate::{client, drain, ollama, openai, stream};

fn parse(pieces: &[&[u8]]) -> Vec<String> {
    let mut parser = SseParser::default();
    let mut found = Vec::new();
    for piece in pieces.iter().map(Some).chain([None]) {
        match piece {
            Some(piece) => parser.feed(piece),
            None => parser.finish(),
        }
        while let Some(item) = parser.next_item().unwrap() {
            if let SseItem::Event(event) = item {
                found.push(event.data.into_owned());
            }
        }
    }
    found
}

fn lines(pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, StreamError> {
    let mut parser = NdjsonParser::default();
    let mut found = Vec::new();
    for piece in pieces.iter().map(Some).chain([None]) {
        match piece {
            Some(piece) => parser.feed(piece),
            None => parser.finish(),
        }
        while let Some(line) = parser.next_line()? {
            found.push(line.to_vec());
        }
    }
    Ok(found)
}

/// A recorded answer of each kind, with text that takes several bytes a letter.
async fn recordings() -> (Vec<u8>, Vec<u8>) {
    let provider = FakeProvider::start().await;
    let payload = json!({"model": "echo", "stream": true, "messages": [{"role": "user", "content": "x"}]});
    let mut bodies = Vec::new();
    for connection in [
        openai(&provider.openai_url(), json!({})),
        ollama(&provider.ollama_url(), json!({})),
    ] {
        provider.script(Script::chunks([
            "Grüße ", "🌍", "\n\n", "data: no", "\u{2028}", "Ende",
        ]));
        let reply = if connection.kind == oui_providers::ProviderKind::OpenAi {
            client()
                .chat(&connection, payload.clone(), &CallContext::default())
                .await
        } else {
            client()
                .ollama
                .native_chat(&connection, payload.clone(), &CallContext::default())
                .await
        };
        bodies.push(drain(stream(reply).body).await.0);
    }
    let ndjson = bodies.pop().unwrap();
    (bodies.pop().unwrap(), ndjson)
}

#[tokio::test]
async fn every_split_of_a_recording_gives_the_same() {
    let (sse, ndjson) = recordings().await;
    let expected = parse(&[&sse]);
    let text: String = expected
        .iter()
        .filter_map(|event| Chunk::parse(event).ok()?.content().map(str::to_owned))
        .collect();
    assert_eq!(text, "Grüße 🌍\n\ndata: no\u{2028}Ende");
    assert_eq!(expected.last().map(String::as_str), Some("[DONE]"));
    for at in 0..=sse.len() {
        assert_eq!(parse(&[&sse[..at], &sse[at..]]), expected, "split at {at}");
    }
    let expected = lines(&[&ndjson]).unwrap();
    for at in 0..=ndjson.len() {
        assert_eq!(
            lines(&[&ndjson[..at], &ndjson[at..]]).unwrap(),
            expected,
            "split at {at}"
        );
    }
}
