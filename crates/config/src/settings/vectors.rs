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
    /// On an Elasticsearch server.
    Elasticsearch,
    /// On an OpenSearch server.
    OpenSearch,
    /// On a Weaviate server.
    Weaviate,
    /// On a Valkey or Redis server with its search module.
    Valkey,
    /// On a Milvus server.
    Milvus,
    /// At Pinecone.
    Pinecone,
    /// In an S3 vector bucket.
    S3Vectors,
    /// In MariaDB.
    MariaDb,
    /// In openGauss.
    OpenGauss,
}

const ENGINES: &str = "chroma, pgvector, qdrant, milvus, weaviate, elasticsearch, opensearch, pinecone, s3vector, mariadb-vector, \
     opengauss or valkey (oracle23ai is not spoken here)";

fn engine(text: &str) -> Option<VectorEngine> {
    match text.trim().to_lowercase().as_str() {
        "" | "chroma" => Some(VectorEngine::Chroma),
        "pgvector" => Some(VectorEngine::PgVector),
        "qdrant" => Some(VectorEngine::Qdrant),
        "elasticsearch" => Some(VectorEngine::Elasticsearch),
        "opensearch" => Some(VectorEngine::OpenSearch),
        "weaviate" => Some(VectorEngine::Weaviate),
        "valkey" => Some(VectorEngine::Valkey),
        "milvus" => Some(VectorEngine::Milvus),
        "pinecone" => Some(VectorEngine::Pinecone),
        "s3vector" => Some(VectorEngine::S3Vectors),
        "mariadb-vector" => Some(VectorEngine::MariaDb),
        "opengauss" => Some(VectorEngine::OpenGauss),
        _ => None,
    }
}

settings! {
    "Vectors and local models";
    /// Vector stores, and where models for embeddings lie.
    pub struct Vectors {
        /// Who keeps vectors: `chroma` (this server, or the Chroma server at `CHROMA_HTTP_HOST`), `pgvector`, `qdrant`,
        /// `milvus`, `weaviate`, `elasticsearch`, `opensearch`, `pinecone`, `s3vector`, `mariadb-vector`, `opengauss` or
        /// `valkey`.
        VECTOR_DB => pub engine: VectorEngine = Spec::new(ENGINES, "chroma", engine).strict();
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
        /// Server that models are fetched from by their names.
        HF_ENDPOINT => pub hub_url: String = text("https://huggingface.co");
        /// Key for models there that are not public.
        HF_TOKEN => pub hub_token: Option<Secret> = optional_secret();
        /// Fetches no models.
        HF_HUB_OFFLINE => pub hub_offline: bool = flag("false");
        /// Address of a Chroma server; empty keeps vectors in files of this server.
        CHROMA_HTTP_HOST => pub chroma_host: String = text("");
        /// Port of that server.
        CHROMA_HTTP_PORT => pub chroma_port: u16 = int("8000").strict();
        /// Speaks TLS with it.
        CHROMA_HTTP_SSL => pub chroma_tls: bool = flag("false");
        /// Headers for it as `name=value`, separated by commas.
        CHROMA_HTTP_HEADERS => pub chroma_headers: String = text("").secret();
        /// How that server is signed in to, as Chroma's client names it: one with `basic` in its name, or a token.
        CHROMA_CLIENT_AUTH_PROVIDER => pub chroma_auth: Option<String> = optional_text();
        /// Token, or `user:password`.
        CHROMA_CLIENT_AUTH_CREDENTIALS => pub chroma_credentials: Option<Secret> = optional_secret();
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
        /// Keeps vectors of 16-bit numbers there (`halfvec`).
        PGVECTOR_USE_HALFVEC => pub pgvector_half: bool = flag("false");
        /// Encrypts texts and metadata there, with the extension `pgcrypto`; words are then not searched by an index.
        PGVECTOR_PGCRYPTO => pub pgvector_encrypted: bool = flag("false");
        /// Key for that.
        PGVECTOR_PGCRYPTO_KEY => pub pgvector_key: Option<Secret> = optional_secret();
        /// Address of a Qdrant server.
        QDRANT_URI => pub qdrant_url: Option<String> = optional_text();
        /// Key for it.
        QDRANT_API_KEY => pub qdrant_key: Option<Secret> = optional_secret();
        /// Begins the names of the collections there.
        QDRANT_COLLECTION_PREFIX => pub qdrant_prefix: String = text("open-webui");
        /// Seconds that server may take.
        QDRANT_TIMEOUT => pub qdrant_timeout: u64 = int("5");
        /// Neighbours of a node in the index of a new collection there.
        QDRANT_HNSW_M => pub qdrant_hnsw_m: u32 = int("16");
        /// Keeps the vectors of new collections there on the disk only.
        QDRANT_ON_DISK => pub qdrant_on_disk: bool = flag("false");
        /// Keeps many collections of ours in few of the server's.
        ENABLE_QDRANT_MULTITENANCY_MODE => pub qdrant_shared: bool = flag("true");
        /// Address of a Milvus server.
        MILVUS_URI => pub milvus_url: Option<String> = optional_text();
        /// Key for it, or `user:password`.
        MILVUS_TOKEN => pub milvus_token: Option<Secret> = optional_secret();
        /// File with the certificates that it is trusted by.
        MILVUS_SERVER_PEM_PATH => pub milvus_ca: Option<PathBuf> = optional_path();
        /// Database there.
        MILVUS_DB => pub milvus_database: String = text("default");
        /// Index of new collections there: `HNSW`, `IVF_FLAT`, `DISKANN`, `FLAT` or `AUTOINDEX`.
        MILVUS_INDEX_TYPE => pub milvus_index: String = text("HNSW");
        /// How it compares vectors; scores are only right with `COSINE`.
        MILVUS_METRIC_TYPE => pub milvus_metric: String = text("COSINE");
        /// Neighbours of a node in an `HNSW` index.
        MILVUS_HNSW_M => pub milvus_hnsw_m: u32 = int("16");
        /// Candidates while such an index is built.
        MILVUS_HNSW_EFCONSTRUCTION => pub milvus_hnsw_ef: u32 = int("100");
        /// Parts of an `IVF_FLAT` index.
        MILVUS_IVF_FLAT_NLIST => pub milvus_ivf_lists: u32 = int("128");
        /// Neighbours of a node in a `DISKANN` index.
        MILVUS_DISKANN_MAX_DEGREE => pub milvus_diskann_degree: u32 = int("56");
        /// Candidates while such an index is built.
        MILVUS_DISKANN_SEARCH_LIST_SIZE => pub milvus_diskann_list: u32 = int("100");
        /// Keeps many collections of ours in few of the server's.
        ENABLE_MILVUS_MULTITENANCY_MODE => pub milvus_shared: bool = flag("false");
        /// Begins the names of those few.
        MILVUS_COLLECTION_PREFIX => pub milvus_prefix: String = text("open_webui");
        /// Host of a Weaviate server.
        WEAVIATE_HTTP_HOST => pub weaviate_host: String = text("");
        /// Its port.
        WEAVIATE_HTTP_PORT => pub weaviate_port: u16 = int("8080");
        /// Speaks TLS with it.
        WEAVIATE_HTTP_SECURE => pub weaviate_tls: bool = flag("false");
        /// Key for it.
        WEAVIATE_API_KEY => pub weaviate_key: Option<Secret> = optional_secret();
        /// Address of an Elasticsearch server.
        ELASTICSEARCH_URL => pub elastic_url: String = text("https://localhost:9200");
        /// Name of a deployment in Elastic's cloud, instead of the address.
        ELASTICSEARCH_CLOUD_ID => pub elastic_cloud: Option<String> = optional_text();
        /// Key for it.
        ELASTICSEARCH_API_KEY => pub elastic_key: Option<Secret> = optional_secret();
        /// User there, where there is no key.
        ELASTICSEARCH_USERNAME => pub elastic_user: Option<String> = optional_text();
        /// That user's password.
        ELASTICSEARCH_PASSWORD => pub elastic_password: Option<Secret> = optional_secret();
        /// File with the certificates that it is trusted by.
        ELASTICSEARCH_CA_CERTS => pub elastic_ca: Option<PathBuf> = optional_path();
        /// Begins the names of the indexes there.
        ELASTICSEARCH_INDEX_PREFIX => pub elastic_prefix: String = text("open_webui_collections");
        /// Address of an OpenSearch server.
        OPENSEARCH_URI => pub opensearch_url: String = text("https://localhost:9200");
        /// Speaks TLS with it, where the address does not say.
        OPENSEARCH_SSL => pub opensearch_tls: bool = flag("true");
        /// Checks its certificate.
        OPENSEARCH_CERT_VERIFY => pub opensearch_verify: bool = flag("false");
        /// User there.
        OPENSEARCH_USERNAME => pub opensearch_user: Option<String> = optional_text();
        /// That user's password.
        OPENSEARCH_PASSWORD => pub opensearch_password: Option<Secret> = optional_secret();
        /// Key for Pinecone.
        PINECONE_API_KEY => pub pinecone_key: Option<Secret> = optional_secret();
        /// Region there that a new index is made in.
        PINECONE_ENVIRONMENT => pub pinecone_region: Option<String> = optional_text();
        /// Name of the index.
        PINECONE_INDEX_NAME => pub pinecone_index: String = text("open-webui-index");
        /// Numbers of a vector there; shorter ones are filled up with zeros.
        PINECONE_DIMENSION => pub pinecone_width: usize = count("1536");
        /// How a new index compares vectors; scores are only right with `cosine`.
        PINECONE_METRIC => pub pinecone_metric: String = text("cosine");
        /// Cloud that a new index is made in.
        PINECONE_CLOUD => pub pinecone_cloud: String = text("aws");
        /// Where indexes are listed and made.
        PINECONE_CONTROLLER_HOST => pub pinecone_control: String = text("https://api.pinecone.io");
        /// Name of an S3 vector bucket. Credentials come from `AWS_ACCESS_KEY_ID` and its kin, or from the machine.
        S3_VECTOR_BUCKET_NAME => pub s3_vectors_bucket: Option<String> = optional_text();
        /// Region of that bucket.
        S3_VECTOR_REGION => pub s3_vectors_region: Option<String> = optional_text();
        /// Address of the service, where it is not that of the region.
        AWS_ENDPOINT_URL_S3VECTORS => pub s3_vectors_url: Option<String> = optional_text();
        /// MariaDB from 11.7 on (`mariadb+mariadbconnector://user:password@host:3306/name`).
        MARIADB_VECTOR_DB_URL => pub mariadb_url: Option<Secret> = optional_secret();
        /// Numbers of a vector there; shorter ones are filled up with zeros.
        MARIADB_VECTOR_INITIALIZE_MAX_VECTOR_LENGTH => pub mariadb_width: usize = count("1536");
        /// How it compares vectors: `cosine` or `euclidean`.
        MARIADB_VECTOR_DISTANCE_STRATEGY => pub mariadb_distance: String = text("cosine");
        /// Neighbours of a node in a new index there.
        MARIADB_VECTOR_INDEX_M => pub mariadb_index_m: u32 = int("8");
        /// openGauss with vectors; empty uses `DATABASE_URL`. The user's password must be kept as MD5 there.
        OPENGAUSS_DB_URL => pub opengauss_url: Option<Secret> = optional_secret();
        /// Numbers of a vector there; shorter ones are filled up with zeros.
        OPENGAUSS_INITIALIZE_MAX_VECTOR_LENGTH => pub opengauss_width: usize = count("1536");
        /// Address of a Valkey or Redis server with its search module.
        VALKEY_URL => pub valkey_url: Option<Secret> = optional_secret();
        /// Begins the keys there.
        VALKEY_COLLECTION_PREFIX => pub valkey_prefix: String = text("open_webui");
        /// Index of new collections there: `HNSW` or `FLAT`.
        VALKEY_INDEX_TYPE => pub valkey_index: String = text("HNSW");
        /// How it compares vectors: `COSINE`, `L2` or `IP`.
        VALKEY_DISTANCE_METRIC => pub valkey_metric: String = text("COSINE");
        /// Neighbours of a node in an `HNSW` index.
        VALKEY_HNSW_M => pub valkey_hnsw_m: u32 = int("16");
        /// Candidates while such an index is built.
        VALKEY_HNSW_EF_CONSTRUCTION => pub valkey_hnsw_ef_build: u32 = int("200");
        /// Candidates while such an index is searched.
        VALKEY_HNSW_EF_RUNTIME => pub valkey_hnsw_ef_search: u32 = int("10");
    }
}
