//! Response bodies: bytes that are already here, or parts of a file streamed in small pieces, so
//! that a 20 MB file costs one buffer and not 20 MB.

use std::io::{self, SeekFrom};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Size of the pieces, and the size up to which a file is read in one go.
pub(super) const CHUNK: usize = 64 * 1024;

/// What a body is made of.
#[derive(Debug)]
pub(super) enum Content {
    Empty,
    Bytes(Bytes),
    Parts(std::fs::File, Vec<Part>),
}

/// A piece of a body.
#[derive(Debug)]
pub(super) enum Part {
    /// Literal bytes.
    Text(Bytes),
    /// Bytes of the file from the first offset up to, not including, the second.
    Slice(u64, u64),
}

impl Part {
    pub(super) fn len(&self) -> u64 {
        match self {
            Part::Text(text) => text.len() as u64,
            Part::Slice(start, end) => end - start,
        }
    }
}

impl From<Content> for Body {
    fn from(content: Content) -> Self {
        match content {
            Content::Empty => Body::empty(),
            Content::Bytes(bytes) => Body::from(bytes),
            Content::Parts(file, parts) => {
                let sender = Sender {
                    file: tokio::fs::File::from_std(file),
                    parts: parts.into_iter(),
                    at: 0,
                    end: 0,
                };
                Body::from_stream(stream::try_unfold(sender, |mut sender| async move {
                    let piece = sender.next().await?;
                    io::Result::Ok(piece.map(|piece| (piece, sender)))
                }))
            }
        }
    }
}

/// A body under way: the slice between `at` and `end` of the file, then the parts that are left.
struct Sender {
    file: tokio::fs::File,
    parts: std::vec::IntoIter<Part>,
    at: u64,
    end: u64,
}

impl Sender {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.at >= self.end {
            match self.parts.next() {
                None => return Ok(None),
                Some(Part::Text(text)) => return Ok(Some(text)),
                Some(Part::Slice(start, end)) => {
                    self.file.seek(SeekFrom::Start(start)).await?;
                    (self.at, self.end) = (start, end);
                }
            }
        }
        let piece = read_piece(&mut self.file, self.end - self.at).await?;
        self.at += piece.len() as u64;
        Ok(Some(piece))
    }
}

/// Up to [`CHUNK`] bytes. A file that has become shorter breaks the response off: its length is
/// already promised.
async fn read_piece(file: &mut tokio::fs::File, left: u64) -> io::Result<Bytes> {
    let size = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
    let mut piece = BytesMut::zeroed(size);
    let count = file.read(&mut piece).await?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    piece.truncate(count);
    Ok(piece.freeze())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[tokio::test]
    async fn parts_are_sent_in_order_and_whole() {
        let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let parts = vec![
            Part::Text("<".into()),
            Part::Slice(10, 150_010),
            Part::Text(">".into()),
            Part::Slice(0, 2),
        ];
        let length: u64 = parts.iter().map(Part::len).sum();
        let body = Body::from(Content::Parts(file(&content), parts));
        let sent = body.collect().await.unwrap().to_bytes();
        assert_eq!(sent.len() as u64, length);
        assert_eq!(sent, [b"<", &content[10..150_010], b">", &content[..2]].concat());
    }

    #[tokio::test]
    async fn a_file_that_shrank_is_an_error() {
        let body = Body::from(Content::Parts(file(b"abc"), vec![Part::Slice(0, 10)]));
        assert!(body.collect().await.is_err());
    }
}
