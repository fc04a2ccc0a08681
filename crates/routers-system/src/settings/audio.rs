//! The page of the administration about audio: realtime calls, text to speech, speech to text.

use axum::Json;
use oui_config::audio;
use oui_core::form::{Issues, literal_error};
use oui_core::{ApiError, ApiResult, Field};
use oui_web::body::AnyJson;
use oui_web::pages::{Changes, Page};
use oui_web::{Admin, Caller, pages};
use serde_json::{Map, Value, json};

type Object = Map<String, Value>;

pages! {
    static REALTIME = {
        ENABLED?: bool => audio::AUDIO_REALTIME_ENABLED,
        PROVIDER? by provider => audio::AUDIO_REALTIME_PROVIDER,
        AUTH_TYPE? by auth_type => audio::AUDIO_REALTIME_AUTH_TYPE,
        OPENAI_API_BASE_URL?: String => audio::AUDIO_REALTIME_OPENAI_API_BASE_URL,
        OPENAI_API_KEY?: String => audio::AUDIO_REALTIME_OPENAI_API_KEY,
        MODEL? by name => audio::AUDIO_REALTIME_MODEL,
        VOICE? by name => audio::AUDIO_REALTIME_VOICE,
        TRANSCRIPTION_MODEL? by name => audio::AUDIO_REALTIME_TRANSCRIPTION_MODEL,
        INPUT_PARAMS?: Option<Object> => audio::AUDIO_REALTIME_INPUT_PARAMS,
        REALTIME_CALL_PROMPT_TEMPLATE?: Option<String> => audio::REALTIME_CALL_PROMPT_TEMPLATE,
    };

    static SPEECH = {
        OPENAI_API_BASE_URL: String => audio::AUDIO_TTS_OPENAI_API_BASE_URL,
        OPENAI_API_KEY: String => audio::AUDIO_TTS_OPENAI_API_KEY,
        OPENAI_PARAMS?: Option<Object> => audio::AUDIO_TTS_OPENAI_PARAMS,
        API_KEY: String => audio::AUDIO_TTS_API_KEY,
        ENGINE: String => audio::AUDIO_TTS_ENGINE,
        MODEL: String => audio::AUDIO_TTS_MODEL,
        VOICE: String => audio::AUDIO_TTS_VOICE,
        REALTIME_TTS_PROMPT_TEMPLATE?: Option<String> => audio::REALTIME_TTS_PROMPT_TEMPLATE,
        SPLIT_ON: String => audio::AUDIO_TTS_SPLIT_ON,
        AZURE_SPEECH_REGION: String => audio::AUDIO_TTS_AZURE_SPEECH_REGION,
        AZURE_SPEECH_BASE_URL: String => audio::AUDIO_TTS_AZURE_SPEECH_BASE_URL,
        AZURE_SPEECH_OUTPUT_FORMAT: String => audio::AUDIO_TTS_AZURE_SPEECH_OUTPUT_FORMAT,
        MISTRAL_API_KEY: String => audio::AUDIO_TTS_MISTRAL_API_KEY,
        MISTRAL_API_BASE_URL: String => audio::AUDIO_TTS_MISTRAL_API_BASE_URL,
    };

    static TRANSCRIPTION = {
        OPENAI_API_BASE_URL: String => audio::AUDIO_STT_OPENAI_API_BASE_URL,
        OPENAI_API_KEY: String => audio::AUDIO_STT_OPENAI_API_KEY,
        OPENAI_API_REQUEST_FORMAT?: String => audio::AUDIO_STT_OPENAI_API_REQUEST_FORMAT,
        ENGINE: String => audio::AUDIO_STT_ENGINE,
        MODEL: String => audio::AUDIO_STT_MODEL,
        SUPPORTED_CONTENT_TYPES?: Vec<String> => audio::AUDIO_STT_SUPPORTED_CONTENT_TYPES,
        ALLOWED_EXTENSIONS?: Vec<String> => audio::AUDIO_STT_ALLOWED_EXTENSIONS,
        WHISPER_MODEL: String => audio::WHISPER_MODEL,
        DEEPGRAM_API_KEY: String => audio::DEEPGRAM_API_KEY,
        AZURE_API_KEY: String => audio::AUDIO_STT_AZURE_API_KEY,
        AZURE_REGION: String => audio::AUDIO_STT_AZURE_REGION,
        AZURE_LOCALES: String => audio::AUDIO_STT_AZURE_LOCALES,
        AZURE_BASE_URL: String => audio::AUDIO_STT_AZURE_BASE_URL,
        AZURE_MAX_SPEAKERS: String => audio::AUDIO_STT_AZURE_MAX_SPEAKERS,
        MISTRAL_API_KEY: String => audio::AUDIO_STT_MISTRAL_API_KEY,
        MISTRAL_API_BASE_URL: String => audio::AUDIO_STT_MISTRAL_API_BASE_URL,
        MISTRAL_USE_CHAT_COMPLETIONS: bool => audio::AUDIO_STT_MISTRAL_USE_CHAT_COMPLETIONS,
    };
}

/// Parts of the page with the order in which they are shown.
static PARTS: &[(&str, &Page)] = &[("realtime", &REALTIME), ("tts", &SPEECH), ("stt", &TRANSCRIPTION)];

fn one_of(allowed: &[&str], input: &Value, issues: &mut Issues) -> Option<Value> {
    if input.as_str().is_some_and(|text| allowed.contains(&text)) {
        return Some(input.clone());
    }
    literal_error(allowed, input, issues);
    None
}

fn provider(input: &Value, issues: &mut Issues) -> Option<Value> {
    one_of(&["openai", "azure"], input, issues)
}

fn auth_type(input: &Value, issues: &mut Issues) -> Option<Value> {
    one_of(&["api_key", "microsoft_entra_id"], input, issues)
}

/// Longest name of a model or voice, in characters.
const LONGEST: usize = 200;

fn name(input: &Value, issues: &mut Issues) -> Option<Value> {
    let text = String::parse(input, issues)?;
    if text.is_empty() {
        let message = "String should have at least 1 character";
        issues.push_ctx("string_too_short", message, input, json!({ "min_length": 1 }));
    } else if text.chars().count() > LONGEST {
        let message = format!("String should have at most {LONGEST} characters");
        issues.push_ctx(
            "string_too_long",
            message,
            input,
            json!({ "max_length": LONGEST }),
        );
    } else {
        return Some(Value::String(text));
    }
    None
}

pub(super) async fn show(caller: Caller<Admin>) -> Json<Value> {
    let config = caller.app().config.snapshot();
    let part = |(name, part): &(&str, &Page)| ((*name).to_owned(), Value::Object(part.show(&config)));
    Json(Value::Object(PARTS.iter().map(part).collect()))
}

pub(super) async fn save(caller: Caller<Admin>, AnyJson(body): AnyJson) -> ApiResult<Json<Value>> {
    caller.app().save_config(read(&body)?).await?;
    let config = caller.app().config.snapshot();
    let news = json!({
        "tts_engine": config.value(audio::AUDIO_TTS_ENGINE.path()), "stt_engine": config.value(audio::AUDIO_STT_ENGINE.path()),
    });
    caller.tell("config.updated", "audio", news);
    Ok(show(caller).await)
}

/// Everything but the realtime calls must be there.
fn read(body: &Value) -> ApiResult<Changes> {
    let mut issues = Issues::at("body");
    let mut changes = Changes::new();
    // Problems are told in the order of the form, which is not that of the page.
    for (name, part) in PARTS.iter().cycle().skip(1).take(PARTS.len()) {
        match body.get(*name) {
            Some(Value::Null) | None if *name == "realtime" => {}
            None => issues.inside(*name, |issues| issues.missing(body)),
            Some(given) => {
                changes.extend(
                    issues
                        .inside(*name, |issues| part.read(given, issues))
                        .unwrap_or_default(),
                );
            }
        }
    }
    if issues.is_empty() {
        Ok(changes)
    } else {
        Err(ApiError::unprocessable(issues.into_found()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_length_and_providers_are_known() {
        let error =
            read(&json!({"realtime": {"PROVIDER": "x", "MODEL": "", "VOICE": "v".repeat(201)}})).unwrap_err();
        let found: Vec<(Value, Value)> = error
            .detail()
            .as_array()
            .unwrap()
            .iter()
            .map(|issue| (issue["loc"].clone(), issue["type"].clone()))
            .collect();
        assert_eq!(
            json!(found),
            json!([
                [["body", "tts"], "missing"],
                [["body", "stt"], "missing"],
                [["body", "realtime", "PROVIDER"], "literal_error"],
                [["body", "realtime", "MODEL"], "string_too_short"],
                [["body", "realtime", "VOICE"], "string_too_long"],
            ])
        );
    }
}
