//! Switches and limits of chats, access, plugins and background loops that only the operator sets.

use std::time::Duration;

use serde_json::Value;

use super::spec::{Spec, count, flag, int, list, object, optional_int, settings, text, words};
use crate::python;

settings! {
    "Access";
    /// Who may see what, beyond the permissions that administrators manage.
    pub struct Access {
        /// Everybody may use every model.
        BYPASS_MODEL_ACCESS_CONTROL => pub all_models: bool = flag("false");
        /// Administrators see everything in the workspace without a grant.
        BYPASS_ADMIN_ACCESS_CONTROL => pub admin_bypass: bool =
            flag("true").or(&["ENABLE_ADMIN_WORKSPACE_CONTENT_ACCESS"]);
        /// Skips the check of who owns a collection.
        BYPASS_RETRIEVAL_ACCESS_CONTROL => pub all_collections: bool = flag("false");
        /// Lets users query collections of unknown kind.
        ENABLE_RETRIEVAL_UNSCOPED_COLLECTIONS => pub unscoped_collections: bool = flag("false");
        /// Administrators may export data.
        ENABLE_ADMIN_EXPORT => pub admin_export: bool = flag("true");
        /// Administrators may read chats of users.
        ENABLE_ADMIN_CHAT_ACCESS => pub admin_chats: bool = flag("true");
        /// Offers usage statistics to administrators.
        ENABLE_ADMIN_ANALYTICS => pub analytics: bool = flag("true");
        /// Tells users how many others are active.
        ENABLE_PUBLIC_ACTIVE_USERS_COUNT => pub public_active_count: bool = flag("true");
        /// Who may share with a new group: `true` (everybody), `false` (nobody) or `members`.
        DEFAULT_GROUP_SHARE_PERMISSION => pub group_share: GroupShare =
            Spec::new("true, false or members", "members", group_share);
        /// Redirects to profile images that are addresses elsewhere.
        ENABLE_PROFILE_IMAGE_URL_FORWARDING => pub profile_image_redirects: bool = flag("true");
        /// Media types of inline profile images, separated by commas.
        PROFILE_IMAGE_ALLOWED_MIME_TYPES => pub profile_image_types: Vec<String> =
            list("image/png,image/jpeg,image/gif,image/webp");
        /// Bytes of an inline profile image; empty means no limit.
        PROFILE_IMAGE_MAX_DATA_URI_SIZE => pub profile_image_max: Option<usize> = optional_int("").strict();
    }
}

settings! {
    "Chats and models";
    /// How answers are produced and passed on.
    pub struct Chat {
        /// Seconds the list of models is kept; empty keeps it.
        MODELS_CACHE_TTL => pub models_cache: Option<u64> = optional_int("1");
        /// Uses a default model when the base of a custom model is gone.
        ENABLE_CUSTOM_MODEL_FALLBACK => pub model_fallback: bool = flag("false");
        /// Pieces of an answer joined into one event.
        CHAT_RESPONSE_STREAM_DELTA_CHUNK_SIZE => pub delta_chunk: usize = count("1");
        /// Rounds of tool calls in one answer; -1 means no limit.
        CHAT_RESPONSE_MAX_TOOL_CALL_ITERATIONS => pub tool_rounds: Option<i64> =
            Spec::new("a whole number", "256", tool_rounds).or(&["CHAT_RESPONSE_MAX_TOOL_CALL_RETRIES"]);
        /// Bytes of the longest line of a provider's stream; empty means no limit.
        CHAT_STREAM_RESPONSE_CHUNK_MAX_BUFFER_SIZE => pub stream_line_max: Option<usize> = optional_int("");
        /// Turns inline images in answers into files.
        ENABLE_CHAT_RESPONSE_BASE64_IMAGE_URL_CONVERSION => pub inline_images_to_files: bool = flag("false");
        /// Guesses the media type of an image by its file name when nothing else tells it.
        ENABLE_IMAGE_CONTENT_TYPE_EXTENSION_FALLBACK => pub image_type_by_name: bool = flag("false");
        /// Runs outlet filters for API callers as well.
        ENABLE_API_OUTLET_FILTERS => pub api_outlet_filters: bool = flag("true");
        /// Lets a tool loop build on the provider's stored responses.
        ENABLE_RESPONSES_API_STATEFUL => pub stateful_responses: bool = flag("false");
        /// Passes unknown paths below `/openai` on to the provider.
        ENABLE_OPENAI_API_PASSTHROUGH => pub openai_passthrough: bool = flag("false");
        /// Keeps queries written by a model for the rest of a request.
        ENABLE_QUERIES_CACHE => pub queries_cache: bool = flag("false");
        /// Puts retrieved context into the system prompt instead of the question.
        RAG_SYSTEM_CONTEXT => pub context_in_system_prompt: bool = flag("false");
        /// Metadata of a chunk that clients may see, separated by commas.
        RAG_SOURCE_METADATA_KEYS => pub source_metadata: Vec<String> = list("");
        /// Keeps files of the browser's Python between runs.
        ENABLE_PYODIDE_FILE_PERSISTENCE => pub keep_pyodide_files: bool = flag("false");
        /// Modules that the code interpreter may not import, separated by commas.
        CODE_INTERPRETER_BLOCKED_MODULES => pub blocked_modules: Vec<String> = list("");
        /// Characters of a file given to a model unless it asks for more.
        VIEW_FILE_DEFAULT_MAX_CHARS => pub view_file_default: usize = count("10000");
        /// Characters of a file given to a model at most.
        VIEW_FILE_MAX_CHARS => pub view_file_max: usize = count("100000");
        /// Lines found in knowledge files given to a model.
        KNOWLEDGE_GREP_MAX_MATCHES => pub grep_matches: usize = count("50");
        /// Offers the shell-like tool for knowledge files.
        ENABLE_KB_EXEC => pub kb_exec: bool = flag("false");
        /// Characters that tool returns.
        KB_EXEC_MAX_OUTPUT_CHARS => pub kb_exec_output: usize = count("30000");
        /// Files that tool searches.
        KB_EXEC_MAX_GREP_FILES => pub kb_exec_files: usize = count("200");
    }
}

settings! {
    "Plugins";
    /// Tools, functions and tool servers.
    pub struct Plugins {
        /// Allows plugins at all.
        ENABLE_PLUGINS => pub enabled: bool = flag("true");
        /// Allows workspace tools.
        ENABLE_TOOLS => pub(crate) tools: bool = flag("true");
        /// Allows functions: pipes, filters, actions, events.
        ENABLE_FUNCTIONS => pub(crate) functions: bool = flag("true");
        /// Allows OpenAPI, MCP and terminal servers.
        ENABLE_TOOL_SERVERS => pub(crate) tool_servers: bool = flag("true");
        /// Encrypts stored settings of plugins.
        ENABLE_VALVE_ENCRYPTION => pub encrypt_valves: bool = flag("false");
        /// Installs the Python packages that a plugin asks for.
        ENABLE_PIP_INSTALL_FRONTMATTER_REQUIREMENTS => pub install_packages: bool = flag("true");
        /// Options of that installation, separated by blanks.
        PIP_OPTIONS => pub pip_options: Vec<String> = words("");
        /// Options about the package index, separated by blanks.
        PIP_PACKAGE_INDEX_OPTIONS => pub pip_index_options: Vec<String> = words("");
        /// Python that runs tools and functions: a name that is looked up, or a path. Without it, the one that
        /// `oui python install` made in the data folder, else python3.
        OUI_PYTHON => pub python: String = text("");
        /// Seconds that a call of a tool or function may be silent; after them it has failed.
        OUI_PLUGIN_CALL_TIMEOUT => pub call_limit: u64 = int("300");
        /// Headers added to calls to terminal servers, as a JSON object.
        TERMINAL_PROXY_HEADERS => pub terminal_headers: Value = object().secret();
    }
}

settings! {
    "Background loops";
    /// How often the server looks for due work.
    pub struct Scheduler {
        /// Seconds between two looks at automations.
        SCHEDULER_POLL_INTERVAL => pub automations: u64 =
            int("10").or(&["AUTOMATION_POLL_INTERVAL"]).strict();
        /// Seconds between two looks at timers.
        TIMER_POLL_INTERVAL => pub timers: u64 = int("1").strict();
        /// Minutes before an event in which its alert is sent.
        CALENDAR_ALERT_LOOKAHEAD_MINUTES => pub calendar_minutes: i64 = int("10").strict();
    }
}

/// Who may share with a new group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupShare {
    /// Everybody.
    Everybody,
    /// Nobody.
    Nobody,
    /// Members of the group.
    Members,
}

impl GroupShare {
    /// The form in a group's data: `true`, `false` or `"members"`.
    pub fn to_value(self) -> Value {
        match self {
            Self::Everybody => true.into(),
            Self::Nobody => false.into(),
            Self::Members => "members".into(),
        }
    }
}

impl Plugins {
    /// Whether workspace tools are allowed.
    pub fn tools(&self) -> bool {
        self.enabled && self.tools
    }

    /// Whether functions are allowed.
    pub fn functions(&self) -> bool {
        self.enabled && self.functions
    }

    /// Whether tool servers are allowed.
    pub fn tool_servers(&self) -> bool {
        self.enabled && self.tool_servers
    }
}

impl Scheduler {
    /// Time between two looks at automations.
    pub fn automation_interval(&self) -> Duration {
        Duration::from_secs(self.automations.max(1))
    }

    /// Time between two looks at timers.
    pub fn timer_interval(&self) -> Duration {
        Duration::from_secs(self.timers.max(1))
    }
}

fn group_share(text: &str) -> Option<GroupShare> {
    Some(match text.trim().to_lowercase().as_str() {
        "members" => GroupShare::Members,
        "true" => GroupShare::Everybody,
        _ => GroupShare::Nobody,
    })
}

fn tool_rounds(text: &str) -> Option<Option<i64>> {
    python::int(text).map(|rounds| (rounds != -1).then_some(rounds))
}
