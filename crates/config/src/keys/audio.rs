//! Keys of speech to text, text to speech and realtime calls.

use serde_json::Value;

use crate::{derive, providers};
use crate::key::{Key, Literal, keys};

keys! {
    "Audio";

    /// Who transcribes: empty (this server), `openai`, `deepgram`, `azure`, `mistral` or `web`.
    pub static AUDIO_STT_ENGINE: Key<String> = Key::text("audio.stt.engine", "");
    /// Transcription model of the chosen engine.
    pub static AUDIO_STT_MODEL: Key<String> = Key::text("audio.stt.model", "");
    /// Whisper model for transcription on this server.
    pub static WHISPER_MODEL: Key<String> = Key::text("audio.stt.whisper_model", "base");
    /// Key of Deepgram.
    pub static DEEPGRAM_API_KEY: Key<String> = Key::text("audio.stt.deepgram.api_key", "").secret();
    /// Address for transcription by an OpenAI-compatible provider.
    pub static AUDIO_STT_OPENAI_API_BASE_URL: Key<String> =
        Key::text("audio.stt.openai.api_base_url", providers::OPENAI_URL);
    /// Key for that address.
    pub static AUDIO_STT_OPENAI_API_KEY: Key<String> =
        Key::text("audio.stt.openai.api_key", "")
            .from(providers::stt_openai_key, providers::OPENAI_KEY_SOURCES)
            .secret();
    /// How audio is sent to that address: `multipart` or `json`.
    pub static AUDIO_STT_OPENAI_API_REQUEST_FORMAT: Key<String> =
        Key::text("audio.stt.openai.api_request_format", "multipart");
    /// Media types accepted for transcription, separated by commas; empty means the built-in list.
    pub static AUDIO_STT_SUPPORTED_CONTENT_TYPES: Key<Vec<String>> =
        Key::list("audio.stt.supported_content_types", &[]);
    /// File name endings accepted for transcription, separated by commas.
    pub static AUDIO_STT_ALLOWED_EXTENSIONS: Key<Vec<String>> = Key::list(
        "audio.stt.allowed_extensions",
        &["mp3", "wav", "m4a", "webm", "ogg", "flac", "mp4", "mpga", "mpeg"],
    );
    /// Key of Azure speech.
    pub static AUDIO_STT_AZURE_API_KEY: Key<String> = Key::text("audio.stt.azure.api_key", "").secret();
    /// Region of Azure speech.
    pub static AUDIO_STT_AZURE_REGION: Key<String> = Key::text("audio.stt.azure.region", "");
    /// Languages asked of Azure speech, separated by commas.
    pub static AUDIO_STT_AZURE_LOCALES: Key<String> = Key::text("audio.stt.azure.locales", "");
    /// Address of Azure speech; empty follows the region.
    pub static AUDIO_STT_AZURE_BASE_URL: Key<String> = Key::text("audio.stt.azure.base_url", "");
    /// Speakers that Azure speech tells apart; empty means 3.
    pub static AUDIO_STT_AZURE_MAX_SPEAKERS: Key<Option<i64>> =
        Key::loose_int("audio.stt.azure.max_speakers", "");
    /// Key of Mistral transcription.
    pub static AUDIO_STT_MISTRAL_API_KEY: Key<String> = Key::text("audio.stt.mistral.api_key", "").secret();
    /// Address of Mistral transcription.
    pub static AUDIO_STT_MISTRAL_API_BASE_URL: Key<String> =
        Key::text("audio.stt.mistral.api_base_url", "https://api.mistral.ai/v1");
    /// Transcribes through Mistral's chat endpoint.
    pub static AUDIO_STT_MISTRAL_USE_CHAT_COMPLETIONS: Key<bool> =
        Key::bool("audio.stt.mistral.use_chat_completions", false);
    /// Who speaks: empty (browser), `openai`, `elevenlabs`, `azure`, `mistral`, `realtime` or `transformers`.
    pub static AUDIO_TTS_ENGINE: Key<String> = Key::text("audio.tts.engine", "");
    /// Speech model.
    pub static AUDIO_TTS_MODEL: Key<String> = Key::text("audio.tts.model", "tts-1");
    /// Voice.
    pub static AUDIO_TTS_VOICE: Key<String> = Key::text("audio.tts.voice", "alloy");
    /// Key of the speech engine.
    pub static AUDIO_TTS_API_KEY: Key<String> = Key::text("audio.tts.api_key", "").secret();
    /// How long answers are cut before speaking: `punctuation`, `paragraphs` or `none`.
    pub static AUDIO_TTS_SPLIT_ON: Key<String> = Key::text("audio.tts.split_on", "punctuation");
    /// Address for speech by an OpenAI-compatible provider.
    pub static AUDIO_TTS_OPENAI_API_BASE_URL: Key<String> =
        Key::text("audio.tts.openai.api_base_url", providers::OPENAI_URL);
    /// Key for that address.
    pub static AUDIO_TTS_OPENAI_API_KEY: Key<String> =
        Key::text("audio.tts.openai.api_key", "")
            .from(providers::tts_openai_key, providers::OPENAI_KEY_SOURCES)
            .secret();
    /// More parameters for that address, as a JSON object.
    pub static AUDIO_TTS_OPENAI_PARAMS: Key<Value> = Key::object("audio.tts.openai.params");
    /// Instructions for speech by a realtime model; unset uses the built-in ones.
    pub static REALTIME_TTS_PROMPT_TEMPLATE: Key<Option<String>> =
        Key::optional_text("audio.tts.realtime.prompt_template");
    /// Region of Azure speech.
    pub static AUDIO_TTS_AZURE_SPEECH_REGION: Key<String> = Key::text("audio.tts.azure.speech_region", "");
    /// Address of Azure speech; empty follows the region.
    pub static AUDIO_TTS_AZURE_SPEECH_BASE_URL: Key<String> =
        Key::text("audio.tts.azure.speech_base_url", "");
    /// Audio format asked of Azure speech.
    pub static AUDIO_TTS_AZURE_SPEECH_OUTPUT_FORMAT: Key<String> =
        Key::text("audio.tts.azure.speech_output_format", "audio-24khz-160kbitrate-mono-mp3");
    /// Key of Mistral speech.
    pub static AUDIO_TTS_MISTRAL_API_KEY: Key<String> = Key::text("audio.tts.mistral.api_key", "").secret();
    /// Address of Mistral speech.
    pub static AUDIO_TTS_MISTRAL_API_BASE_URL: Key<String> =
        Key::text("audio.tts.mistral.api_base_url", "https://api.mistral.ai/v1");
    /// Offers realtime voice calls.
    pub static AUDIO_REALTIME_ENABLED: Key<bool> = Key::bool("audio.realtime.enabled", false);
    /// Provider of realtime calls.
    pub static AUDIO_REALTIME_PROVIDER: Key<String> = Key::text("audio.realtime.provider", "openai");
    /// How the realtime provider is called, such as `api_key`.
    pub static AUDIO_REALTIME_AUTH_TYPE: Key<String> = Key::text("audio.realtime.auth_type", "api_key");
    /// Address of the realtime provider.
    pub static AUDIO_REALTIME_OPENAI_API_BASE_URL: Key<String> =
        Key::text("audio.realtime.openai.api_base_url", "https://api.openai.com/v1");
    /// Key of the realtime provider.
    pub static AUDIO_REALTIME_OPENAI_API_KEY: Key<String> =
        Key::text("audio.realtime.openai.api_key", "").secret();
    /// Realtime model.
    pub static AUDIO_REALTIME_MODEL: Key<String> = Key::text("audio.realtime.model", "gpt-realtime-2.1-mini");
    /// Voice of the realtime model.
    pub static AUDIO_REALTIME_VOICE: Key<String> = Key::text("audio.realtime.voice", "marin");
    /// Model that writes down what the caller says.
    pub static AUDIO_REALTIME_TRANSCRIPTION_MODEL: Key<String> =
        Key::text("audio.realtime.transcription_model", "gpt-transcribe");
    /// More audio input options, as a JSON object.
    pub static AUDIO_REALTIME_INPUT_PARAMS: Key<Value> =
        Key::json("audio.realtime.input_params", Literal::Null).check(derive::object);
    /// Instructions for realtime calls; unset uses the built-in ones.
    pub static REALTIME_CALL_PROMPT_TEMPLATE: Key<Option<String>> =
        Key::optional_text("audio.realtime.prompt_template");
}
