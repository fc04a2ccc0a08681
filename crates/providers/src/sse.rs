//! Server-sent events read from pieces of any size. The parser copies each byte twice at most and makes no
//! allocation per event; events borrow from it until the next call.

use std::borrow::Cow;

use memchr::memchr2;

use crate::reply::StreamError;

/// Longest line or event that is accepted unless the caller says otherwise: pictures come inside events.
pub const DEFAULT_LIMIT: usize = 64 * 1024 * 1024;

/// One thing found in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SseItem<'a> {
    /// An event with data.
    Event(SseEvent<'a>),
    /// A line that starts like a JSON object where a field should be: some servers report errors so.
    Stray(Cow<'a, str>),
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// Its name, empty unless the server gave one.
    pub name: Cow<'a, str>,
    /// Its data lines, joined by line feeds. Bytes that are no UTF-8 are replaced.
    pub data: Cow<'a, str>,
}

impl SseEvent<'_> {
    /// Whether this is the end mark of OpenAI-compatible streams.
    pub fn is_done(&self) -> bool {
        self.data.trim() == "[DONE]"
    }
}

/// The parser. Feed it pieces, then take events until there is none:
///
/// ```
/// use oui_providers::sse::{SseItem, SseParser};
/// let mut parser = SseParser::default();
/// let mut found = Vec::new();
/// for piece in [&b"data: {\"a\""[..], b": 1}\r\n\r", b"\ndata: [DONE]\n\n"] {
///     parser.feed(piece);
///     while let Some(item) = parser.next_item().unwrap() {
///         if let SseItem::Event(event) = item {
///             found.push(event.data.into_owned());
///         }
///     }
/// }
/// assert_eq!(found, ["{\"a\": 1}", "[DONE]"]);
/// ```
///
/// Two complete JSON objects on neighbouring data lines are two events, although the standard would join
/// them: servers that end events with a single line feed exist, and such a pair is never one document.
#[derive(Debug)]
pub struct SseParser {
    buffer: Vec<u8>,
    /// Start of the first line that was not read yet.
    start: usize,
    /// Up to here no line end was found.
    searched: usize,
    /// The line before ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    first_line: bool,
    ended: bool,
    limit: usize,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// What `name` and `data` hold was handed out already.
    delivered: bool,
}

impl Default for SseParser {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

/// What a line asks for.
enum Step {
    Continue,
    Deliver,
    /// Deliver what is there, then read this line again.
    DeliverFirst,
    Stray,
}

impl SseParser {
    /// A parser that refuses lines and events of more than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            after_return: false,
            first_line: true,
            ended: false,
            limit,
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            delivered: false,
        }
    }

    /// Takes the next piece of the stream.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(piece);
    }

    /// Says that the stream is over: what is left counts as a last line and a last event.
    pub fn finish(&mut self) {
        self.ended = true;
    }

    /// The next event, `None` when more input is needed.
    ///
    /// Errors: [`StreamError::TooLong`]; the stream cannot be read on.
    pub fn next_item(&mut self) -> Result<Option<SseItem<'_>>, StreamError> {
        if self.delivered {
            self.name.clear();
            self.data.clear();
            self.has_data = false;
            self.delivered = false;
        }
        while let Some((line, next)) = self.next_line()? {
            match self.read_line(line.clone()) {
                Step::Continue => self.advance(next),
                Step::Deliver => {
                    self.advance(next);
                    return Ok(Some(self.deliver()));
                }
                Step::DeliverFirst => return Ok(Some(self.deliver())),
                Step::Stray => {
                    self.advance(next);
                    return Ok(Some(SseItem::Stray(text(&self.buffer[line]))));
                }
            }
            if self.data.len() > self.limit {
                return Err(StreamError::TooLong(self.limit));
            }
        }
        if self.ended && self.has_data {
            return Ok(Some(self.deliver()));
        }
        Ok(None)
    }

    fn deliver(&mut self) -> SseItem<'_> {
        self.delivered = true;
        SseItem::Event(SseEvent {
            name: text(&self.name),
            data: text(&self.data),
        })
    }

    fn advance(&mut self, next: usize) {
        self.start = next;
        self.searched = next;
    }

    /// Range of the next complete line and where the one after it starts.
    fn next_line(&mut self) -> Result<Option<(std::ops::Range<usize>, usize)>, StreamError> {
        if self.after_return && self.start < self.buffer.len() {
            if self.buffer[self.start] == b'\n' {
                self.advance(self.start + 1);
            }
            self.after_return = false;
        }
        let found = memchr2(b'\n', b'\r', &self.buffer[self.searched..]).map(|at| self.searched + at);
        let (end, next) = match found {
            Some(end) => (end, end + 1),
            None if self.ended && self.start < self.buffer.len() => (self.buffer.len(), self.buffer.len()),
            None => {
                self.searched = self.buffer.len();
                if self.buffer.len() - self.start > self.limit {
                    return Err(StreamError::TooLong(self.limit));
                }
                return Ok(None);
            }
        };
        if end - self.start > self.limit {
            return Err(StreamError::TooLong(self.limit));
        }
        let mut begin = self.start;
        if self.first_line {
            begin += if self.buffer[begin..end].starts_with(b"\xef\xbb\xbf") {
                3
            } else {
                0
            };
        }
        Ok(Some((begin..end, next)))
    }

    fn read_line(&mut self, range: std::ops::Range<usize>) -> Step {
        let ended_by_return = self.buffer.get(range.end) == Some(&b'\r');
        let line = &self.buffer[range];
        let step = match field(line) {
            None if self.has_data => Step::Deliver,
            None => {
                self.name.clear();
                Step::Continue
            }
            Some((b"data", value)) => {
                if self.has_data && is_document(&self.data) && starts_document(value) {
                    return Step::DeliverFirst;
                }
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
                Step::Continue
            }
            Some((b"event", value)) => {
                self.name.clear();
                self.name.extend_from_slice(value);
                Step::Continue
            }
            Some(_) if line.starts_with(b"{") => Step::Stray,
            Some(_) => Step::Continue,
        };
        self.first_line = false;
        self.after_return = ended_by_return;
        step
    }
}

/// The bytes as text, the usual case checked the fast way.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// Name and value of a field line; `None` for an empty line. Comments have an empty name.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    if line.is_empty() {
        return None;
    }
    match memchr::memchr(b':', line) {
        Some(at) => {
            let value = &line[at + 1..];
            Some((&line[..at], value.strip_prefix(b" ").unwrap_or(value)))
        }
        None => Some((line, b"")),
    }
}

fn is_document(data: &[u8]) -> bool {
    let data = data.trim_ascii();
    data == b"[DONE]" || (data.starts_with(b"{") && data.ends_with(b"}"))
}

fn starts_document(value: &[u8]) -> bool {
    let value = value.trim_ascii_start();
    value.starts_with(b"{") || value.starts_with(b"[DONE]")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = "\u{feff}: hello\r\nevent: delta\r\ndata: {\"content\": \"Grüße 🌍\"}\r\n\r\n\
        data: first\ndata:  second\nid: 7\nretry: 5\n\ndata: {\"a\":1}\ndata: {\"b\":2}\n\n\
        data: {\ndata: \"c\": 3}\n\n{\"error\": {\"message\": \"late\"}}\n\nevent: only-a-name\n\n\
        data\n\rdata: cr only\r\rdata: [DONE]\n\ndata: {\"tail\": \"ü\"}";

    fn parse(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = SseParser::default();
        let mut found = Vec::new();
        let mut take = |parser: &mut SseParser| {
            while let Some(item) = parser.next_item().unwrap() {
                found.push(match item {
                    SseItem::Event(event) => (event.name.into_owned(), event.data.into_owned()),
                    SseItem::Stray(line) => ("(stray)".to_owned(), line.into_owned()),
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

    fn expected() -> Vec<(String, String)> {
        [
            ("delta", "{\"content\": \"Grüße 🌍\"}"),
            ("", "first\n second"),
            ("", "{\"a\":1}"),
            ("", "{\"b\":2}"),
            ("", "{\n\"c\": 3}"),
            ("(stray)", "{\"error\": {\"message\": \"late\"}}"),
            ("", ""),
            ("", "cr only"),
            ("", "[DONE]"),
            ("", "{\"tail\": \"ü\"}"),
        ]
        .map(|(name, data)| (name.to_owned(), data.to_owned()))
        .to_vec()
    }

    #[test]
    fn a_recorded_stream_is_read() {
        assert_eq!(parse(&[RECORDED.as_bytes()]), expected());
    }

    #[test]
    fn every_split_gives_the_same_events() {
        let bytes = RECORDED.as_bytes();
        let expected = expected();
        for first in 0..bytes.len() {
            assert_eq!(
                parse(&[&bytes[..first], &bytes[first..]]),
                expected,
                "split at {first}"
            );
            for second in first..bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(parse(&pieces), expected, "split at {first} and {second}");
            }
        }
        for size in 1..8 {
            let pieces: Vec<_> = bytes.chunks(size).collect();
            assert_eq!(parse(&pieces), expected, "pieces of {size}");
        }
    }

    #[test]
    fn too_long_is_an_error() {
        let mut parser = SseParser::with_limit(16);
        parser.feed(b"data: 0123456789");
        assert_eq!(parser.next_item(), Ok(None));
        parser.feed(b"0");
        assert_eq!(parser.next_item(), Err(StreamError::TooLong(16)));
        let mut parser = SseParser::with_limit(16);
        for _ in 0..2 {
            parser.feed(b"data: 0123456789\n");
        }
        assert_eq!(parser.next_item(), Err(StreamError::TooLong(16)));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(
            parse(&[b"data: a\xffb\n\n"]),
            [(String::new(), "a\u{fffd}b".to_owned())]
        );
    }

    #[test]
    fn the_end_mark_is_known() {
        let event = SseEvent {
            name: "".into(),
            data: " [DONE] ".into(),
        };
        assert!(event.is_done());
    }
}
