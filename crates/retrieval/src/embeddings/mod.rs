//! From texts to vectors, by the engine that the administrator chose: models on this machine (`local`), or servers
//! that speak OpenAI's, Azure's or Ollama's protocol (`remote`).

mod hub;
mod local;
mod remote;

use oui_core::boxed;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use oui_config::{Config, Settings, rag};
use oui_providers::{CallContext, Http};

pub use hub::{Fetched, Hub};
pub use local::LocalModels;

use crate::error::{Error, Result};

/// What a text is embedded for: some models want to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To find texts with it.
    Query,
    /// To be found.
    Content,
}

/// Turns texts into vectors.
#[derive(Clone)]
pub struct Embedder {
    config: Arc<Config>,
    settings: Arc<Settings>,
    http: Http,
    local: LocalModels,
}

/// Who computes, read from the configuration at each call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Engine {
    pub(crate) kind: Kind,
    pub(crate) model: String,
    pub(crate) url: String,
    pub(crate) key: String,
    /// Of Azure's API.
    pub(crate) version: String,
    /// Field of the call that carries the prefix.
    pub(crate) prefix_field: Option<String>,
    pub(crate) timeout: Option<Duration>,
}

/// Protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Local,
    OpenAi,
    Ollama,
    Azure,
}

impl Embedder {
    /// An embedder that follows the configuration. Models on this machine are looked for in `folders` after the
    /// usual caches; what is in none is fetched, unless the server is to stay offline.
    pub fn new(config: Arc<Config>, settings: Arc<Settings>, http: Http, folders: Vec<PathBuf>) -> Self {
        let vectors = &settings.vectors;
        let online = !settings.server.offline && !vectors.hub_offline;
        let hub = folders.last().filter(|_| online).map(|folder| Hub {
            client: http.client().clone(),
            url: vectors.hub_url.trim_end_matches('/').to_owned(),
            token: vectors.hub_token.as_ref().map(|token| token.expose().to_owned()),
            folder: vectors.models_home.clone().unwrap_or_else(|| folder.clone()),
        });
        Self {
            config,
            settings,
            http,
            local: LocalModels::new(folders, hub),
        }
    }

    /// Models on this machine, for rerankers.
    pub fn local(&self) -> &LocalModels {
        &self.local
    }

    /// What measures chunks by the tokens of a model: the one that is named for this, else the one that embeds on this
    /// machine.
    #[boxed]
    pub async fn counter(&self) -> Result<Option<Arc<oui_encoder::TokenCounter>>> {
        let named = self.config.get(&rag::RAG_TOKENIZER_MODEL);
        let model = match named.as_str() {
            "" if self.engine()?.kind != Kind::Local => return Ok(None),
            "" => self.config.get(&rag::RAG_EMBEDDING_MODEL),
            _ => named,
        };
        self.local.counter(&model).await.map(Some)
    }

    /// Name of the engine and the model, as chunks keep them.
    pub fn identity(&self) -> (String, String) {
        (
            self.config.get(&rag::RAG_EMBEDDING_ENGINE),
            self.config.get(&rag::RAG_EMBEDDING_MODEL),
        )
    }

    fn engine(&self) -> Result<Engine> {
        let config = &self.config;
        let (kind, url, key) = match config.get(&rag::RAG_EMBEDDING_ENGINE).as_str() {
            "" => (Kind::Local, String::new(), String::new()),
            "openai" => (
                Kind::OpenAi,
                config.get(&rag::RAG_OPENAI_API_BASE_URL),
                config.get(&rag::RAG_OPENAI_API_KEY),
            ),
            "ollama" => (
                Kind::Ollama,
                config.get(&rag::RAG_OLLAMA_BASE_URL),
                config.get(&rag::RAG_OLLAMA_API_KEY),
            ),
            "azure_openai" => (
                Kind::Azure,
                config.get(&rag::RAG_AZURE_OPENAI_BASE_URL),
                config.get(&rag::RAG_AZURE_OPENAI_API_KEY),
            ),
            other => return Err(Error::Settings(format!("Unknown embedding engine: {other}"))),
        };
        Ok(Engine {
            kind,
            model: config.get(&rag::RAG_EMBEDDING_MODEL),
            url,
            key,
            version: config.get(&rag::RAG_AZURE_OPENAI_API_VERSION),
            prefix_field: self.settings.engines.prefix_field.clone(),
            timeout: self.settings.upstream.embedding_timeout,
        })
    }

    /// The vectors of the texts, in their order. All or none.
    #[boxed]
    pub async fn embed(
        &self,
        texts: Vec<String>,
        purpose: Purpose,
        caller: Option<&CallContext>,
    ) -> Result<Vec<Vec<f32>>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let engine = self.engine()?;
        let prefix = match purpose {
            Purpose::Query => self.settings.engines.query_prefix.as_deref(),
            Purpose::Content => self.settings.engines.content_prefix.as_deref(),
        };
        let in_text = engine.kind == Kind::Local || engine.prefix_field.is_none();
        let texts: Vec<String> = match prefix.filter(|_| in_text) {
            Some(prefix) => texts.into_iter().map(|text| format!("{prefix}{text}")).collect(),
            None => texts,
        };
        if engine.kind == Kind::Local {
            return self.local.embed(&engine.model, texts).await;
        }
        let size = usize::try_from(self.config.get(&rag::RAG_EMBEDDING_BATCH_SIZE)).unwrap_or(1);
        let at_once = self.at_once();
        let calls: Vec<_> = texts
            .chunks(size.max(1))
            .map(|batch| remote::embed(&self.http, &engine, batch, prefix, caller))
            .collect();
        let mut answers = futures::stream::iter(calls).buffered(at_once);
        let mut vectors = Vec::with_capacity(texts.len());
        while let Some(answer) = answers.next().await {
            vectors.extend(answer?);
        }
        if vectors.len() == texts.len() {
            Ok(vectors)
        } else {
            Err(Error::Upstream(format!(
                "the embedding server sent {} vectors for {} texts",
                vectors.len(),
                texts.len()
            )))
        }
    }

    /// The vector of one text.
    #[boxed]
    pub async fn embed_one(
        &self,
        text: &str,
        purpose: Purpose,
        caller: Option<&CallContext>,
    ) -> Result<Vec<f32>> {
        let mut vectors = self.embed(vec![text.to_owned()], purpose, caller).await?;
        vectors
            .pop()
            .ok_or_else(|| Error::Upstream("the embedding server sent nothing".into()))
    }

    /// Calls at the same time. Without a limit of the administrator's, as many as keep any server busy.
    fn at_once(&self) -> usize {
        if !self.config.get(&rag::ENABLE_ASYNC_EMBEDDING) {
            return 1;
        }
        match usize::try_from(self.config.get(&rag::RAG_EMBEDDING_CONCURRENT_REQUESTS)) {
            Ok(limit) if limit > 0 => limit,
            _ => 64,
        }
    }
}
