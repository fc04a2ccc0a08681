//! Vector stores and models on this machine.

use std::path::PathBuf;

use super::spec::{
    Spec, count, flag, int, optional_int, optional_path, optional_secret, optional_text, settings, text,
};
use crate::secret::Secret;

/// Where vectors are kept (`VECTOR_DB`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorEngine {
    /// In files of this server, or, where `CHROMA_HTTP_HOST` is set, on a Chroma server.
    Chroma,
    /// In PostgreSQL with the extension `vector`.
    PgVector,
    /// On a Qdrant server.
    Qdrant,
}

fn engine(text: &str) -> Option<VectorEngine> {
    match text.trim().to_lowercase().as_str() {
        "" | "chroma" => Some(VectorEngine::Chroma),
        "pgvector" => Some(VectorEngine::PgVector),
        "qdrant" => Some(VectorEngine::Qdrant),
        _ => None,
    }
}

settings! {
    "Vectors and local models";
    /// Vector stores, and where models for embeddings lie.
    pub struct Vectors {
        /// Who keeps vectors: `chroma` (this server, or the Chroma server at `CHROMA_HTTP_HOST`), `pgvector` or
        /// `qdrant`.
        VECTOR_DB => pub engine: VectorEngine = Spec::new("chroma, pgvector or qdrant", "chroma", engine).strict();
        /// Megabytes that vectors of searched collections may take in memory.
        OUI_VECTOR_CACHE_MB => pub cache_megabytes: usize = count("512");
        /// Characters of a list or object in a chunk's metadata; longer ones are left out.
        RAG_METADATA_MAX_VALUE_CHARS => pub metadata_chars: Option<usize> = optional_int("");
        /// Brings scores of a local reranker between 0 and 1.
        SENTENCE_TRANSFORMERS_CROSS_ENCODER_SIGMOID_ACTIVATION_FUNCTION => pub rerank_sigmoid: bool = flag("true");
        /// Folder of models, in the layout of the Hugging Face cache.
        SENTENCE_TRANSFORMERS_HOME => pub models_home: Option<PathBuf> = optional_path();
        /// Cache of the Hugging Face libraries.
        HF_HUB_CACHE => pub hub_cache: Option<PathBuf> = optional_path();
        /// Folder that holds that cache as `hub`.
        HF_HOME => pub hub_home: Option<PathBuf> = optional_path();
        /// Address of a Chroma server; empty keeps vectors in files of this server.
        CHROMA_HTTP_HOST => pub chroma_host: String = text("");
        /// Port of that server.
        CHROMA_HTTP_PORT => pub chroma_port: u16 = int("8000").strict();
        /// Speaks TLS with it.
        CHROMA_HTTP_SSL => pub chroma_tls: bool = flag("false");
        /// Headers for it as `name=value`, separated by commas.
        CHROMA_HTTP_HEADERS => pub chroma_headers: String = text("").secret();
        /// Tenant there.
        CHROMA_TENANT => pub chroma_tenant: String = text("default_tenant");
        /// Database of the tenant.
        CHROMA_DATABASE => pub chroma_database: String = text("default_database");
        /// PostgreSQL with the extension `vector`; empty uses `DATABASE_URL`.
        PGVECTOR_DB_URL => pub pgvector_url: Option<Secret> = optional_secret();
        /// Numbers of a vector there; shorter ones are filled up with zeros.
        PGVECTOR_INITIALIZE_MAX_VECTOR_LENGTH => pub pgvector_width: usize = count("1536");
        /// Creates the extension when it is missing.
        PGVECTOR_CREATE_EXTENSION => pub pgvector_extension: bool = flag("true");
        /// Address of a Qdrant server.
        QDRANT_URI => pub qdrant_url: Option<String> = optional_text();
        /// Key for it.
        QDRANT_API_KEY => pub qdrant_key: Option<Secret> = optional_secret();
        /// Begins the names of the collections there.
        QDRANT_COLLECTION_PREFIX => pub qdrant_prefix: String = text("open-webui");
        /// Seconds that server may take.
        QDRANT_TIMEOUT => pub qdrant_timeout: u64 = int("5");
        /// Keeps many collections of ours in few of the server's.
        ENABLE_QDRANT_MULTITENANCY_MODE => pub qdrant_shared: bool = flag("true");
    }
}
