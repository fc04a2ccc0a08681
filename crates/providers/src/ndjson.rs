//! Newline-delimited JSON read from pieces of any size.

use memchr::memchr;

use crate::reply::StreamError;
use crate::sse::DEFAULT_LIMIT;

/// Cuts a stream into lines. Feed it pieces, then take lines until there is none.
#[derive(Debug)]
pub struct NdjsonParser {
    buffer: Vec<u8>,
    start: usize,
    searched: usize,
    limit: usize,
    ended: bool,
}

impl Default for NdjsonParser {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl NdjsonParser {
    /// A parser that refuses lines of more than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            limit,
            ended: false,
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

    /// Says that the stream is over: what is left is the last line.
    pub fn finish(&mut self) {
        self.ended = true;
    }

    /// The next line that is not blank, without its end; `None` when more input is needed.
    ///
    /// Errors: [`StreamError::TooLong`]; the stream cannot be read on.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, StreamError> {
        loop {
            let found = memchr(b'\n', &self.buffer[self.searched..]).map(|at| self.searched + at);
            let (begin, end) = match found {
                Some(end) => (self.start, end),
                None if self.ended && self.start < self.buffer.len() => (self.start, self.buffer.len()),
                None => {
                    self.searched = self.buffer.len();
                    let waiting = self.buffer.len() - self.start;
                    return if waiting > self.limit {
                        Err(StreamError::TooLong(self.limit))
                    } else {
                        Ok(None)
                    };
                }
            };
            if end - begin > self.limit {
                return Err(StreamError::TooLong(self.limit));
            }
            self.start = (end + 1).min(self.buffer.len());
            self.searched = self.start;
            if !self.buffer[begin..end].trim_ascii().is_empty() {
                return Ok(Some(self.buffer[begin..end].trim_ascii()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = NdjsonParser::default();
        let mut found = Vec::new();
        for piece in pieces {
            parser.feed(piece);
            while let Some(line) = parser.next_line().unwrap() {
                found.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        parser.finish();
        while let Some(line) = parser.next_line().unwrap() {
            found.push(String::from_utf8(line.to_vec()).unwrap());
        }
        found
    }

    #[test]
    fn every_split_gives_the_same_lines() {
        let bytes = "{\"a\":\"ü\"}\r\n\n  \n{\"b\":2}\n{\"c\":3}".as_bytes();
        let expected = ["{\"a\":\"ü\"}", "{\"b\":2}", "{\"c\":3}"];
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                assert_eq!(
                    parse(&[&bytes[..first], &bytes[first..second], &bytes[second..]]),
                    expected
                );
            }
        }
    }

    #[test]
    fn too_long_is_an_error() {
        let mut parser = NdjsonParser::with_limit(3);
        parser.feed(b"abc\nabcd");
        assert_eq!(parser.next_line(), Ok(Some(&b"abc"[..])));
        assert_eq!(parser.next_line(), Err(StreamError::TooLong(3)));
    }
}
