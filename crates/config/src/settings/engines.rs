//! Files, images, speech and search: settings of the engines that administrators do not see.

use std::path::PathBuf;

use super::spec::{flag, int, optional_path, optional_text, settings, text};

settings! {
    "Files and engines";
    /// Settings of file search, embeddings, images and other services.
    pub struct Engines {
        /// Client of the OneDrive picker for personal accounts.
        ONEDRIVE_CLIENT_ID_PERSONAL => pub onedrive_personal_client: String =
            text("").or(&["ONEDRIVE_CLIENT_ID"]);
        /// Client of the OneDrive picker for business accounts.
        ONEDRIVE_CLIENT_ID_BUSINESS => pub onedrive_business_client: String =
            text("").or(&["ONEDRIVE_CLIENT_ID"]);
        /// Offers personal accounts, if there is a client for them.
        ENABLE_ONEDRIVE_PERSONAL => pub(crate) onedrive_personal: bool = flag("true");
        /// Offers business accounts, if there is a client for them.
        ENABLE_ONEDRIVE_BUSINESS => pub(crate) onedrive_business: bool = flag("true");
        /// Keeps files of a knowledge base when they are taken out of it.
        ENABLE_KNOWLEDGE_FILE_RETENTION => pub keep_knowledge_files: bool = flag("false");
        /// Characters of a file that the search for text looks at.
        RAG_FILE_CONTENT_SEARCH_MAX_CHARS => pub file_search_chars: i64 = int("67108864").strict();
        /// Put before a question that is embedded.
        RAG_EMBEDDING_QUERY_PREFIX => pub query_prefix: Option<String> = optional_text();
        /// Put before a text that is embedded.
        RAG_EMBEDDING_CONTENT_PREFIX => pub content_prefix: Option<String> = optional_text();
        /// Field of the embedding call that carries these prefixes; empty puts them into the text.
        RAG_EMBEDDING_PREFIX_FIELD_NAME => pub prefix_field: Option<String> = optional_text();
        /// Image models that know the size `auto`, as a pattern.
        IMAGE_AUTO_SIZE_MODELS_REGEX_PATTERN => pub auto_size_models: String = text("^gpt-image");
        /// Image models that must not be asked for inline images, as a pattern.
        IMAGE_URL_RESPONSE_MODELS_REGEX_PATTERN => pub url_response_models: String = text("^gpt-image");
        /// Brings images into a form that OpenAI takes before an edit.
        ENABLE_OPENAI_IMAGE_EDIT_NORMALIZATION => pub normalize_image_edits: bool = flag("true");
        /// Address of ElevenLabs.
        ELEVENLABS_API_BASE_URL => pub elevenlabs_url: String = text("https://api.elevenlabs.io");
        /// Address of Tavily.
        TAVILY_API_BASE_URL => pub(crate) tavily: String = text("https://api.tavily.com");
        /// Where transcripts of YouTube are asked for.
        OUI_YOUTUBE_URL => pub youtube_url: String = text("https://www.youtube.com");
        /// Certificate shown to SearXNG.
        SEARXNG_CLIENT_CERT_FILE => pub searxng_certificate: Option<PathBuf> = optional_path();
        /// Key of that certificate.
        SEARXNG_CLIENT_KEY_FILE => pub searxng_key: Option<PathBuf> = optional_path();
    }
}

impl Engines {
    /// Whether the OneDrive picker offers personal accounts.
    pub fn onedrive_personal(&self) -> bool {
        self.onedrive_personal && !self.onedrive_personal_client.is_empty()
    }

    /// Whether the OneDrive picker offers business accounts.
    pub fn onedrive_business(&self) -> bool {
        self.onedrive_business && !self.onedrive_business_client.is_empty()
    }

    /// Address of Tavily without a slash at the end.
    pub fn tavily_url(&self) -> &str {
        self.tavily.trim_end_matches('/')
    }
}
