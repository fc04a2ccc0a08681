//! Everything of this crate put together, built once for the process.

use oui_core::boxed;
use std::path::PathBuf;
use std::sync::Arc;

use oui_config::settings::{DatabaseUrl, VectorEngine};
use oui_config::{Config, Secret, Settings, rag};
use oui_core::{Clock, Notice, Notices};
use oui_loaders::{Document, LoadError};
use oui_models::Db;
use oui_models::file_texts::FileText;
use oui_models::users::UserRow;
use oui_providers::{CallContext, CallUser, Http, HttpOptions, TlsVerify};
use tokio::sync::OnceCell;

use crate::embeddings::Embedder;
use crate::error::{Error, Result};
use crate::rerank::Reranker;
use crate::vector::{self, EmbeddedOptions, EmbeddedStore, VectorStore};

/// Gets the text out of a stored file.
#[async_trait::async_trait]
pub trait Extract: Send + Sync {
    /// The documents in the file.
    async fn extract(&self, file: &FileText) -> std::result::Result<Vec<Document>, LoadError>;
}

/// Embeddings, the chosen vector store and the reranker.
pub struct Retrieval {
    pub(crate) db: Db,
    pub(crate) config: Arc<Config>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) http: Http,
    /// Turns texts into vectors.
    pub embedder: Embedder,
    /// Orders what was found.
    pub reranker: Reranker,
    pub(crate) extractor: std::sync::OnceLock<Arc<dyn Extract>>,
    notices: std::sync::OnceLock<Arc<dyn Notices>>,
    store: OnceCell<Arc<dyn VectorStore>>,
    embedded: OnceCell<EmbeddedStore>,
}

impl Retrieval {
    /// Puts it together. Nothing is opened or loaded before it is needed.
    pub fn new(db: Db, config: Arc<Config>, settings: Arc<Settings>, http: Http) -> Self {
        let embedder = Embedder::new(
            config.clone(),
            settings.clone(),
            http.clone(),
            model_folders(&settings),
        );
        let reranker = Reranker::new(
            config.clone(),
            settings.clone(),
            http.clone(),
            embedder.local().clone(),
        );
        Self {
            db,
            config,
            settings,
            http,
            embedder,
            reranker,
            extractor: std::sync::OnceLock::new(),
            notices: std::sync::OnceLock::new(),
            store: OnceCell::new(),
            embedded: OnceCell::new(),
        }
    }

    /// Says who gets the text out of stored files. Only the first call counts.
    pub fn extract_with(&self, extractor: Arc<dyn Extract>) {
        let _ = self.extractor.set(extractor);
    }

    /// Tells these of files that became findable or did not, and of changed memories. Only the first call counts.
    pub fn tell_through(&self, notices: Arc<dyn Notices>) {
        let _ = self.notices.set(notices);
    }

    /// Tells those who want to hear of it.
    pub(crate) fn tell(&self, notice: Notice) {
        if let Some(notices) = self.notices.get() {
            notices.publish(notice);
        }
    }

    /// The vector store, opened at the first use.
    #[boxed]
    pub async fn store(&self) -> Result<&dyn VectorStore> {
        let store = self.store.get_or_try_init(|| self.open()).await?;
        Ok(store.as_ref())
    }

    async fn open(&self) -> Result<Arc<dyn VectorStore>> {
        let vectors = &self.settings.vectors;
        match vectors.engine {
            VectorEngine::Chroma if vectors.chroma_host.is_empty() => {
                let options = EmbeddedOptions {
                    folder: self.settings.server.data_dir.join("vector_db"),
                    memory: vectors.cache_megabytes.saturating_mul(1 << 20),
                };
                let store = EmbeddedStore::open(options).await?;
                // Kept apart for what only it needs: its end.
                let _ = self.embedded.set(store.clone());
                Ok(Arc::new(store))
            }
            VectorEngine::Chroma => Ok(Arc::new(vector::Chroma::new(self.http.client().clone(), vectors))),
            VectorEngine::PgVector => {
                let url = self.postgres(vectors.pgvector_url.as_ref()).ok_or_else(|| {
                    Error::Settings(
                        "VECTOR_DB=pgvector needs PGVECTOR_DB_URL, an address of PostgreSQL".into(),
                    )
                })?;
                let key = vectors
                    .pgvector_key
                    .clone()
                    .filter(|_| vectors.pgvector_encrypted);
                if vectors.pgvector_encrypted && key.is_none() {
                    let text = "PGVECTOR_PGCRYPTO is enabled but PGVECTOR_PGCRYPTO_KEY is not set. Please provide a \
                                valid key.";
                    return Err(Error::Settings(text.into()));
                }
                let layout = vector::PgLayout {
                    width: vectors.pgvector_width,
                    extensions: vectors.pgvector_extension,
                    half: vectors.pgvector_half,
                    key,
                };
                Ok(Arc::new(vector::PgVector::open(&url, layout).await?))
            }
            VectorEngine::Qdrant => Ok(Arc::new(vector::Qdrant::new(self.client(None)?, vectors)?)),
            VectorEngine::Weaviate => Ok(Arc::new(vector::Weaviate::new(self.client(None)?, vectors)?)),
            VectorEngine::Milvus => {
                let plain = self.plain_http2()?;
                let trust = vectors.milvus_ca.clone().map(TlsVerify::CaFile);
                Ok(Arc::new(vector::Milvus::new(
                    self.client(trust)?,
                    plain,
                    vectors,
                )?))
            }
            VectorEngine::OpenGauss => {
                let url = self.postgres(vectors.opengauss_url.as_ref()).ok_or_else(|| {
                    Error::Settings(
                        "VECTOR_DB=opengauss needs OPENGAUSS_DB_URL, an address of openGauss".into(),
                    )
                })?;
                let store = vector::PgVector::open_gauss(&url, vectors.opengauss_width).await?;
                Ok(Arc::new(store))
            }
            VectorEngine::MariaDb => Ok(Arc::new(vector::MariaDb::open(vectors).await?)),
            VectorEngine::S3Vectors => Ok(Arc::new(vector::S3Vectors::new(self.client(None)?, vectors)?)),
            VectorEngine::Pinecone => Ok(Arc::new(vector::Pinecone::new(self.client(None)?, vectors)?)),
            VectorEngine::Valkey => Ok(Arc::new(vector::Valkey::open(vectors).await?)),
            VectorEngine::Elasticsearch => {
                let trust = vectors.elastic_ca.clone().map(TlsVerify::CaFile);
                Ok(Arc::new(vector::Documents::elastic(self.client(trust)?, vectors)))
            }
            VectorEngine::OpenSearch => {
                let trust = (!vectors.opensearch_verify).then_some(TlsVerify::Off);
                Ok(Arc::new(vector::Documents::open(self.client(trust)?, vectors)))
            }
        }
    }

    /// The database that is named, or that of the server where it is PostgreSQL.
    fn postgres(&self, named: Option<&Secret>) -> Option<String> {
        match (named, &self.settings.database_url) {
            (Some(url), _) => Some(url.expose().to_owned()),
            (None, DatabaseUrl::Postgres(postgres)) => Some(postgres.to_url().expose().to_owned()),
            _ => None,
        }
    }

    /// The client of the process, or one that trusts other certificates.
    fn client(&self, trust: Option<TlsVerify>) -> Result<reqwest::Client> {
        let Some(tls) = trust else {
            return Ok(self.http.client().clone());
        };
        let options = HttpOptions {
            tls,
            ..self.http.options().clone()
        };
        let http = Http::new(options, Clock::system()).map_err(Error::Settings)?;
        Ok(http.client().clone())
    }

    /// A client that speaks HTTP/2 from the first byte, for gRPC without TLS.
    pub(crate) fn plain_http2(&self) -> Result<reqwest::Client> {
        let options = HttpOptions {
            prior_http2: true,
            ..self.http.options().clone()
        };
        let http = Http::new(options, Clock::system()).map_err(Error::Settings)?;
        Ok(http.client().clone())
    }

    /// Name of the chosen store, as marks keep it.
    pub(crate) fn store_name(&self) -> &'static str {
        let vectors = &self.settings.vectors;
        match vectors.engine {
            VectorEngine::Chroma if vectors.chroma_host.is_empty() => "embedded",
            VectorEngine::Chroma => "chroma",
            VectorEngine::PgVector => "pgvector",
            VectorEngine::Qdrant => "qdrant",
            VectorEngine::Elasticsearch => "elasticsearch",
            VectorEngine::OpenSearch => "opensearch",
            VectorEngine::Weaviate => "weaviate",
            VectorEngine::Milvus => "milvus",
            VectorEngine::Pinecone => "pinecone",
            VectorEngine::S3Vectors => "s3vector",
            VectorEngine::MariaDb => "mariadb-vector",
            VectorEngine::OpenGauss => "opengauss",
            VectorEngine::Valkey => "valkey",
        }
    }

    /// Whether whole documents are given to models, and nothing is embedded.
    pub fn is_bypassed(&self) -> bool {
        self.config.get(&rag::BYPASS_EMBEDDING_AND_RETRIEVAL)
    }

    /// Ends running work on files of this server.
    #[boxed]
    pub async fn close(&self) {
        if let Some(store) = self.embedded.get() {
            store.close().await;
        }
    }
}

/// The person whom calls to other servers are made for.
pub fn caller_of(user: &UserRow) -> CallContext {
    CallContext::for_user(CallUser {
        id: user.id.clone(),
        name: user.name.clone(),
        email: user.email.clone(),
        role: user.role.clone(),
        created_at: user.created_at,
        updated_at: user.updated_at,
    })
}

/// Where models are looked for: what the operator names, the usual caches, and a folder beside the data.
fn model_folders(settings: &Settings) -> Vec<PathBuf> {
    let vectors = &settings.vectors;
    let mut folders = Vec::new();
    folders.extend(vectors.models_home.clone());
    folders.extend(vectors.hub_cache.clone());
    folders.extend(vectors.hub_home.as_ref().map(|home| home.join("hub")));
    folders.extend(std::env::home_dir().map(|home| home.join(".cache/huggingface/hub")));
    folders.push(settings.server.cache_dir().join("embedding/models"));
    folders
}
