//! One keep-alive HTTP/1.1 connection over a plain socket: requests are bytes made beforehand, answers are read
//! piece by piece as they arrive. No TLS, no redirects, no trailers.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// As many headers as an answer may have.
const MOST_HEADERS: usize = 64;

/// The bytes of a request, made once and sent often.
#[must_use]
pub fn request(method: &str, path: &str, token: Option<&str>, body: Option<&[u8]>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n");
    if let Some(token) = token {
        text.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    if let Some(body) = body {
        text.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// Where in an answer's body the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// So many bytes are left of a body whose length was announced.
    Length(usize),
    /// A chunk's size comes next.
    Size,
    /// So many bytes are left of the chunk.
    Chunk(usize),
    /// The line end behind a chunk comes next.
    ChunkEnd,
    /// The whole body has been read.
    Over,
}

/// One connection, with at most one answer being read.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    place: Place,
}

impl Connection {
    /// Opens a connection.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("no connection to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: BytesMut::with_capacity(16 * 1024),
            place: Place::Over,
        })
    }

    /// Sends a request and reads the head of its answer; the answer is its status.
    ///
    /// # Errors
    /// When the connection ends, or what comes is no HTTP.
    pub async fn send(&mut self, request: &[u8]) -> Result<u16> {
        ensure!(
            self.place == Place::Over,
            "the answer before was not read to its end"
        );
        self.stream.write_all(request).await?;
        loop {
            if let Some((status, length, place)) = head(&self.buffer)? {
                self.buffer.advance(length);
                self.place = place;
                return Ok(status);
            }
            self.fill().await?;
        }
    }

    /// The next piece of the body as it arrives; `None` at its end.
    ///
    /// # Errors
    /// When the connection ends too early, or the framing is broken.
    pub async fn piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.place {
                Place::Over | Place::Length(0) => {
                    self.place = Place::Over;
                    return Ok(None);
                }
                Place::Length(left) => {
                    let piece = self.take(left).await?;
                    self.place = Place::Length(left - piece.len());
                    return Ok(Some(piece));
                }
                Place::Size => {
                    let size = self.line().await?;
                    let size = std::str::from_utf8(&size)?;
                    let size = size.split(';').next().unwrap_or_default().trim();
                    let size = usize::from_str_radix(size, 16).context("a chunk's size is no number")?;
                    if size == 0 {
                        ensure!(self.line().await?.is_empty(), "trailers are not expected");
                        self.place = Place::Over;
                    } else {
                        self.place = Place::Chunk(size);
                    }
                }
                Place::Chunk(left) => {
                    let piece = self.take(left).await?;
                    self.place = match left - piece.len() {
                        0 => Place::ChunkEnd,
                        left => Place::Chunk(left),
                    };
                    return Ok(Some(piece));
                }
                Place::ChunkEnd => {
                    ensure!(self.line().await?.is_empty(), "a chunk is longer than announced");
                    self.place = Place::Size;
                }
            }
        }
    }

    /// Sends a request and reads its whole answer into `body`.
    ///
    /// # Errors
    /// As [`Self::send`] and [`Self::piece`].
    pub async fn exchange(&mut self, request: &[u8], body: &mut Vec<u8>) -> Result<u16> {
        body.clear();
        let status = self.send(request).await?;
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(status)
    }

    async fn fill(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }

    /// At least one byte, at most `most`.
    async fn take(&mut self, most: usize) -> Result<Bytes> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        let length = most.min(self.buffer.len());
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn line(&mut self) -> Result<Bytes> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(end).freeze();
                self.buffer.advance(2);
                return Ok(line);
            }
            self.fill().await?;
        }
    }
}

/// Status, length and framing of an answer's head; `None` when it is not whole yet.
fn head(bytes: &[u8]) -> Result<Option<(u16, usize, Place)>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = answer.parse(bytes)? else {
        return Ok(None);
    };
    let status = answer.code.context("an answer without a status")?;
    let mut place = Place::Length(0);
    for header in answer.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            place = Place::Length(std::str::from_utf8(header.value)?.trim().parse()?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            place = Place::Size;
        }
    }
    Ok(Some((status, length, place)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A server that says `pieces`, each in a packet of its own, and closes.
    async fn saying(pieces: &'static [&'static str]) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        Connection::open(address).await.unwrap()
    }

    #[tokio::test]
    async fn bodies_of_known_length_follow_each_other() {
        let mut connection = saying(&[
            "HTTP/1.1 200 OK\r\ncontent-le",
            "ngth: 5\r\n\r\nhel",
            "loHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        ])
        .await;
        let mut body = Vec::new();
        assert_eq!(connection.exchange(b"x", &mut body).await.unwrap(), 200);
        assert_eq!(body, b"hello");
        assert_eq!(connection.exchange(b"x", &mut body).await.unwrap(), 404);
        assert_eq!(body, b"");
        assert!(connection.exchange(b"x", &mut body).await.is_err());
    }

    #[tokio::test]
    async fn chunks_are_joined_wherever_they_are_cut() {
        let mut connection = saying(&[
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "4\r\nab",
            "cd\r",
            "\nA\r\n0123456789\r\n0",
            "\r\n\r\n",
        ])
        .await;
        let mut body = Vec::new();
        assert_eq!(connection.exchange(b"x", &mut body).await.unwrap(), 200);
        assert_eq!(body, b"abcd0123456789");
    }

    #[test]
    fn requests_are_written_whole() {
        let bytes = request("POST", "/a", Some("t"), Some(b"{}"));
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with("POST /a HTTP/1.1\r\n") && text.ends_with("\r\n\r\n{}"),
            "{text}"
        );
        assert!(text.contains("Authorization: Bearer t\r\n") && text.contains("Content-Length: 2\r\n"));
    }
}
