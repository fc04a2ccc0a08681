//! Keys of the small model calls around a chat: titles, tags, follow-ups, queries, autocompletion.

use serde_json::Value;

use crate::key::{Key, keys};

keys! {
    "Background tasks";

    /// Model for tasks when the chat model is local; empty uses the chat model.
    pub static TASK_MODEL: Key<String> = Key::text("task.model.default", "");
    /// Model for tasks when the chat model is external; empty uses the chat model.
    pub static TASK_MODEL_EXTERNAL: Key<String> = Key::text("task.model.external", "");
    /// Parameters of task calls, as a JSON object.
    pub static TASK_MODEL_PARAMS: Key<Value> = Key::object("task.model.params");
    /// Writes chat titles.
    pub static ENABLE_TITLE_GENERATION: Key<bool> = Key::bool("task.title.enable", true);
    /// Prompt for titles; empty uses the built-in one.
    pub static TITLE_GENERATION_PROMPT_TEMPLATE: Key<String> = Key::text("task.title.prompt_template", "");
    /// Writes chat tags.
    pub static ENABLE_TAGS_GENERATION: Key<bool> = Key::bool("task.tags.enable", true);
    /// Prompt for tags; empty uses the built-in one.
    pub static TAGS_GENERATION_PROMPT_TEMPLATE: Key<String> = Key::text("task.tags.prompt_template", "");
    /// Prompt for image descriptions; empty uses the built-in one.
    pub static IMAGE_PROMPT_GENERATION_PROMPT_TEMPLATE: Key<String> =
        Key::text("task.image.prompt_template", "");
    /// Suggests follow-up questions.
    pub static ENABLE_FOLLOW_UP_GENERATION: Key<bool> = Key::bool("task.follow_up.enable", true);
    /// Prompt for follow-up questions; empty uses the built-in one.
    pub static FOLLOW_UP_GENERATION_PROMPT_TEMPLATE: Key<String> =
        Key::text("task.follow_up.prompt_template", "");
    /// Lets a model write the web search query.
    pub static ENABLE_SEARCH_QUERY_GENERATION: Key<bool> = Key::bool("task.query.search.enable", true);
    /// Lets a model write the retrieval query.
    pub static ENABLE_RETRIEVAL_QUERY_GENERATION: Key<bool> = Key::bool("task.query.retrieval.enable", true);
    /// Prompt for queries; empty uses the built-in one.
    pub static QUERY_GENERATION_PROMPT_TEMPLATE: Key<String> = Key::text("task.query.prompt_template", "");
    /// Completes what a user types.
    pub static ENABLE_AUTOCOMPLETE_GENERATION: Key<bool> = Key::bool("task.autocomplete.enable", false);
    /// Characters after which completion stops; -1 means no limit.
    pub static AUTOCOMPLETE_GENERATION_INPUT_MAX_LENGTH: Key<i64> =
        Key::int("task.autocomplete.input_max_length", -1);
    /// Prompt for completion; empty uses the built-in one.
    pub static AUTOCOMPLETE_GENERATION_PROMPT_TEMPLATE: Key<String> =
        Key::text("task.autocomplete.prompt_template", "");
    /// Prompt for voice mode; empty uses the built-in one.
    pub static VOICE_MODE_PROMPT_TEMPLATE: Key<String> = Key::text("task.voice.prompt_template", "");
    /// Adds the voice prompt in voice mode.
    pub static ENABLE_VOICE_MODE_PROMPT: Key<bool> = Key::bool("task.voice.prompt.enable", true);
    /// Prompt for choosing tools without native calls; empty uses the built-in one.
    pub static TOOLS_FUNCTION_CALLING_PROMPT_TEMPLATE: Key<String> =
        Key::text("task.tools.prompt_template", "");
}
