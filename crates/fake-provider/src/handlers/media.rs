//! Speech: bytes that a player accepts and a test can predict. All of it is silence.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::Value;

use crate::{catalogue::Behaviour, handlers::Call, plan::Refusal};

/// Samples a second in uncompressed formats, one channel of 16 bits, as OpenAI's are.
const SAMPLE_RATE: u32 = 24_000;
/// Milliseconds of silence for each word.
const WORD_MS: u32 = 100;
/// Bytes of an MPEG-1 layer III frame of 128 kbit/s at 44.1 kHz, and its header.
const MP3_FRAME: usize = 417;
const MP3_HEADER: [u8; 4] = [0xff, 0xfb, 0x90, 0x64];
/// Frames for each word: 4 of 26 ms, about `WORD_MS`.
const MP3_FRAMES_PER_WORD: usize = 4;

/// `POST /v1/audio/speech` in the formats mp3, wav and pcm.
pub(super) async fn speech(call: Call) -> Response {
    let body = match call.json() {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let model = body["model"].as_str().unwrap_or_default();
    if let Behaviour::Refuse(status) = Behaviour::of_name(model) {
        return *call.refuse(&Refusal::of_status(status));
    }
    match spoken(&body) {
        Some((content_type, bytes)) => ([(header::CONTENT_TYPE, content_type)], bytes).into_response(),
        None => *call.refuse(&Refusal::bad_request("response_format must be mp3, wav or pcm")),
    }
}

/// The content type and the bytes of a speech; none for a format that is not spoken here.
fn spoken(body: &Value) -> Option<(&'static str, Vec<u8>)> {
    let words = body["input"]
        .as_str()
        .unwrap_or_default()
        .split_whitespace()
        .count()
        .max(1);
    match body["response_format"].as_str().unwrap_or("mp3") {
        "mp3" => Some(("audio/mpeg", mp3(words * MP3_FRAMES_PER_WORD))),
        "wav" => Some(("audio/wav", wav(words))),
        "pcm" => Some(("audio/pcm", pcm(words))),
        _ => None,
    }
}

fn mp3(frames: usize) -> Vec<u8> {
    let mut frame = vec![0; MP3_FRAME];
    frame[..MP3_HEADER.len()].copy_from_slice(&MP3_HEADER);
    frame.repeat(frames)
}

fn pcm(words: usize) -> Vec<u8> {
    let samples = SAMPLE_RATE * WORD_MS / 1000;
    vec![0; words * samples as usize * 2]
}

/// A RIFF header of 44 bytes before the samples.
fn wav(words: usize) -> Vec<u8> {
    let samples = pcm(words);
    let length = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(44 + samples.len());
    bytes.extend(b"RIFF");
    bytes.extend(length.saturating_add(36).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16_u32.to_le_bytes());
    // PCM, one channel, then the byte rate, two bytes a sample, sixteen bits.
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(SAMPLE_RATE.to_le_bytes());
    bytes.extend((SAMPLE_RATE * 2).to_le_bytes());
    bytes.extend(2_u16.to_le_bytes());
    bytes.extend(16_u16.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(length.to_le_bytes());
    bytes.extend(samples);
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn formats_have_their_headers_and_lengths() {
        let (kind, bytes) = spoken(&json!({"input": "two words"})).unwrap();
        assert_eq!((kind, bytes.len()), ("audio/mpeg", 8 * MP3_FRAME));
        assert_eq!(bytes[MP3_FRAME..MP3_FRAME + 2], [0xff, 0xfb]);
        let (kind, bytes) = spoken(&json!({"input": "two words", "response_format": "wav"})).unwrap();
        assert_eq!((kind, bytes.len()), ("audio/wav", 44 + 9600));
        assert_eq!(bytes[40..44], 9600_u32.to_le_bytes());
        assert_eq!(spoken(&json!({"response_format": "opus"})), None);
    }
}
