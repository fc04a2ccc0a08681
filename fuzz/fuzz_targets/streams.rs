//! The parsers of event streams and of lines of JSON: the pieces in which bytes arrive make no difference, nothing
//! panics, and no item is longer than what came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oui_providers::chunk::Chunk;
use oui_providers::ndjson::NdjsonParser;
use oui_providers::sse::{SseItem, SseParser};

/// Longest event or line that is taken.
const LIMIT: usize = 4096;

/// The bytes in pieces whose lengths come from the first bytes of the input.
fn pieces<'b>(lengths: &[u8], mut rest: &'b [u8]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    let mut lengths = lengths.iter().cycle();
    while !rest.is_empty() {
        let length = lengths.next().map_or(1, |length| usize::from(*length % 32) + 1);
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// What the parser of events finds; `None` at the end of a stream that it refuses.
fn events(pieces: &[&[u8]]) -> Vec<Option<(String, String)>> {
    let mut parser = SseParser::with_limit(LIMIT);
    let mut found = Vec::new();
    let mut take = |parser: &mut SseParser| loop {
        match parser.next_item() {
            Ok(None) => return true,
            Ok(Some(SseItem::Event(event))) => {
                assert!(event.data.len() <= 2 * LIMIT);
                if let Ok(chunk) = Chunk::parse(&event.data) {
                    let _ = (chunk.tool_calls(), chunk.usage(), chunk.reasoning(), chunk.value());
                }
                found.push(Some((event.name.into_owned(), event.data.into_owned())));
            }
            Ok(Some(SseItem::Stray(line))) => found.push(Some(("stray".to_owned(), line.into_owned()))),
            Err(_) => {
                found.push(None);
                return false;
            }
        }
    };
    for piece in pieces {
        parser.feed(piece);
        if !take(&mut parser) {
            return found;
        }
    }
    parser.finish();
    take(&mut parser);
    found
}

fn lines(pieces: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
    let mut parser = NdjsonParser::with_limit(LIMIT);
    let mut found = Vec::new();
    let mut take = |parser: &mut NdjsonParser| loop {
        match parser.next_line() {
            Ok(None) => return true,
            Ok(Some(line)) => found.push(Some(line.to_vec())),
            Err(_) => {
                found.push(None);
                return false;
            }
        }
    };
    for piece in pieces {
        parser.feed(piece);
        if !take(&mut parser) {
            return found;
        }
    }
    parser.finish();
    take(&mut parser);
    found
}

fuzz_target!(|input: &[u8]| {
    let (lengths, bytes) = input.split_at(input.len().min(4));
    let cut = pieces(lengths, bytes);
    // What is too long is noticed sooner or later, depending on the pieces; all before it is the same.
    if bytes.len() <= LIMIT {
        assert_eq!(events(&cut), events(&[bytes]));
        assert_eq!(lines(&cut), lines(&[bytes]));
    } else {
        events(&cut);
        lines(&cut);
    }
});
