//! Calls of single messages over HTTP/2, as gRPC frames them.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, TE};

use super::wire::Answer;
use crate::error::{Error, Result};

/// Before each message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// How long an answer may take. Building an index is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server.
pub(super) struct Grpc {
    pub client: reqwest::Client,
    pub base: String,
    pub headers: HeaderMap,
}

fn error(text: impl std::fmt::Display) -> Error {
    Error::Upstream(format!("Milvus: {text}"))
}

fn status_of(headers: &HeaderMap) -> Option<(&str, String)> {
    let status = headers.get("grpc-status")?.to_str().ok()?;
    let text = headers
        .get("grpc-message")
        .map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
    Some((status, text.unwrap_or_default()))
}

impl Grpc {
    /// The server's answer; `None` when it knows no such collection.
    pub(super) async fn call<A: Answer>(&self, method: &str, request: &impl Message) -> Result<Option<A>> {
        let length = request.encoded_len();
        let mut body = BytesMut::with_capacity(HEAD + length);
        body.put_u8(0);
        body.put_u32(u32::try_from(length).map_err(error)?);
        request.encode(&mut body).map_err(error)?;
        let plain = |failure: reqwest::Error| error(failure.without_url());
        let answer = self
            .client
            .post(format!(
                "{}/milvus.proto.milvus.MilvusService/{method}",
                self.base
            ))
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .timeout(PATIENCE)
            .body(body.freeze())
            .send()
            .await
            .map_err(plain)?;
        if !answer.status().is_success() {
            return Err(error(answer.status()));
        }
        let answer: http::Response<reqwest::Body> = answer.into();
        // A call that fails at once has its status in the head.
        let early = status_of(answer.headers()).map(|(status, text)| (status.to_owned(), text));
        let read = answer.into_body().collect().await.map_err(plain)?;
        let late = read.trailers().and_then(status_of);
        let late = late.map(|(status, text)| (status.to_owned(), text));
        match early.or(late) {
            Some((status, text)) if status != "0" => return Err(error(format_args!("{status}: {text}"))),
            _ => {}
        }
        let bytes: Bytes = read.to_bytes();
        let message = bytes.get(HEAD..).ok_or_else(|| error("the answer is cut off"))?;
        let answer = A::decode(message).map_err(error)?;
        match answer.status() {
            Some(status) if is_missing(status) => Ok(None),
            Some(status) if status.code != 0 || status.error_code != 0 => Err(error(&status.reason)),
            _ => Ok(Some(answer)),
        }
    }
}

/// Whether there is no such collection, in the code of now or that of older servers.
fn is_missing(status: &super::wire::Status) -> bool {
    status.code == 100 || status.error_code == 4
}
