//! Keys of context compaction, tool approval and tool search.

use crate::key::{Key, keys};

keys! {
    "Chat";

    /// Model that summarises a long chat; empty uses the chat model.
    pub static CONTEXT_COMPACTION_MODEL: Key<String> = Key::text("chat.context_compaction.model", "");
    /// Summarises the older part of a long chat.
    pub static ENABLE_CONTEXT_COMPACTION: Key<bool> = Key::bool("chat.context_compaction.enable", false);
    /// Tokens at which compaction starts.
    pub static CONTEXT_COMPACTION_TOKEN_THRESHOLD: Key<i64> =
        Key::int("chat.context_compaction.token_threshold", 80_000);
    /// Highest threshold a user may choose, in tokens; unset means no cap.
    pub static CONTEXT_COMPACTION_TOKEN_CAP: Key<Option<i64>> =
        Key::optional_int("chat.context_compaction.token_cap");
    /// Share of the newest messages kept as they are, from 10 to 50 percent.
    pub static CONTEXT_COMPACTION_RETENTION_PERCENTAGE: Key<i64> =
        Key::int("chat.context_compaction.retention_percentage", 40).clamp(10, 50);
    /// Prompt for the summary; empty uses the built-in one.
    pub static CONTEXT_COMPACTION_PROMPT_TEMPLATE: Key<String> =
        Key::text("chat.context_compaction.prompt_template", "");
    /// Asks users before a tool runs.
    pub static ENABLE_TOOL_PERMISSIONS: Key<bool> = Key::bool("chat.tool_permissions.enable", false);
    /// Lets models search for tools instead of seeing all of them.
    pub static ENABLE_TOOL_SEARCH: Key<bool> = Key::bool("chat.tool_search.enable", false);
    /// Tokens of tool descriptions at which tools are held back.
    pub static TOOL_SEARCH_DEFER_THRESHOLD: Key<i64> = Key::int("chat.tool_search.defer_threshold", 400);
    /// Tools that are never held back, separated by commas.
    pub static TOOL_SEARCH_ALWAYS_LOADED: Key<Vec<String>> = Key::list("chat.tool_search.always_loaded", &[]);
    /// Holds built-in tools back as well.
    pub static TOOL_SEARCH_DEFER_BUILTIN_TOOLS: Key<bool> =
        Key::bool("chat.tool_search.defer_builtin_tools", true);
}
