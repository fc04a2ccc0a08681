//! Keys of the smaller features that have a switch and a few limits each.

use crate::key::{Key, keys};

keys! {
    "Folders, notes, calendar, automations, memories, skills, sub-agents";

    /// Turns chat folders on.
    pub static ENABLE_FOLDERS: Key<bool> = Key::bool("folders.enable", true);
    /// Files a folder may hold; empty means no limit.
    pub static FOLDER_MAX_FILE_COUNT: Key<Option<i64>> = Key::loose_int("folders.max_file_count", "");
    /// Turns notes on.
    pub static ENABLE_NOTES: Key<bool> = Key::bool("notes.enable", true);
    /// Turns calendars on.
    pub static ENABLE_CALENDAR: Key<bool> = Key::bool("calendar.enable", true);
    /// Turns scheduled automations on.
    pub static ENABLE_AUTOMATIONS: Key<bool> = Key::bool("automations.enable", true);
    /// Automations a user may keep; empty means no limit.
    pub static AUTOMATION_MAX_COUNT: Key<Option<i64>> = Key::loose_int("automations.max_count", "");
    /// Shortest allowed repeat in seconds; empty means no limit.
    pub static AUTOMATION_MIN_INTERVAL: Key<Option<i64>> = Key::loose_int("automations.min_interval", "");
    /// Lifetime of the token an automation run works with, such as `1h`.
    pub static AUTOMATION_AUTH_TOKEN_EXPIRES_IN: Key<String> =
        Key::text("automations.auth_token_expires_in", "1h");
    /// Lets models remember facts about a user.
    pub static ENABLE_MEMORIES: Key<bool> = Key::bool("memories.enable", true);
    /// Adds the memories to the system prompt.
    pub static ENABLE_MEMORY_SYSTEM_CONTEXT: Key<bool> = Key::bool("memories.system_context.enable", true);
    /// Reviews a user's memories in the background.
    pub static ENABLE_MEMORY_BACKGROUND_REVIEW: Key<bool> =
        Key::bool("memories.background_review.enable", false);
    /// Turns between two background reviews.
    pub static MEMORIES_REVIEW_INTERVAL_TURNS: Key<i64> = Key::int("memories.review_interval_turns", 10);
    /// Characters kept about the user.
    pub static MEMORIES_USER_CHAR_LIMIT: Key<i64> = Key::int("memories.user_char_limit", 2000);
    /// Characters of memories put into a prompt.
    pub static MEMORIES_CONTEXT_CHAR_LIMIT: Key<i64> = Key::int("memories.context_char_limit", 2000);
    /// Gives models a preview of each skill and loads the rest on demand.
    pub static ENABLE_SKILL_LAZY_LOADING: Key<bool> = Key::bool("skills.lazy_loading.enable", false);
    /// Characters of a skill given to a model; unset means no limit.
    pub static SKILL_CONTENT_MAX_CHARS: Key<Option<i64>> =
        Key::optional_int("skills.content_max_chars").positive();
    /// Characters of a skill preview; unset means no limit.
    pub static SKILL_PREVIEW_MAX_CHARS: Key<Option<i64>> =
        Key::optional_int("skills.preview_max_chars").positive();
    /// Lets a model delegate work to sub-agents.
    pub static ENABLE_SUBAGENTS: Key<bool> = Key::bool("subagents.enable", false);
    /// Lets sub-agents go on after the answer has ended.
    pub static SUBAGENTS_BACKGROUND_ENABLED: Key<bool> = Key::bool("subagents.background_enabled", false);
    /// Sub-agents working at the same time.
    pub static SUBAGENTS_MAX_CONCURRENT: Key<i64> = Key::int("subagents.max_concurrent", 20);
    /// Background sub-agents working at the same time.
    pub static SUBAGENTS_MAX_ASYNC: Key<i64> = Key::int("subagents.max_async", 20);
    /// Tool rounds of one sub-agent.
    pub static SUBAGENTS_MAX_ITERATIONS: Key<i64> = Key::int("subagents.max_iterations", 30);
    /// Characters a sub-agent may hand back.
    pub static SUBAGENTS_MAX_OUTPUT: Key<i64> = Key::int("subagents.max_output", 30_000);
    /// System prompt of sub-agents; empty uses the built-in one.
    pub static SUBAGENTS_SYSTEM_PROMPT: Key<String> = Key::text("subagents.system_prompt", "");
}
