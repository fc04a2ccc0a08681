//! Orders found texts by how well they answer the question: by a cross-encoder on this machine, or by a server with
//! the usual `/rerank` protocol.

use oui_core::boxed;
use std::sync::Arc;
use std::time::Duration;

use oui_config::{Config, Settings, rag};
use oui_providers::{CallContext, Http};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use crate::embeddings::LocalModels;
use crate::error::{Error, Result};

/// Scores texts for a question.
#[derive(Clone)]
pub struct Reranker {
    config: Arc<Config>,
    settings: Arc<Settings>,
    http: Http,
    local: LocalModels,
}

#[derive(Deserialize)]
struct Answer {
    results: Option<Vec<One>>,
}

#[derive(Deserialize)]
struct One {
    index: usize,
    relevance_score: f64,
}

impl Reranker {
    /// A reranker that follows the configuration.
    pub fn new(config: Arc<Config>, settings: Arc<Settings>, http: Http, local: LocalModels) -> Self {
        Self {
            config,
            settings,
            http,
            local,
        }
    }

    /// Whether a model is chosen.
    pub fn is_on(&self) -> bool {
        !self.config.get(&rag::RAG_RERANKING_MODEL).is_empty()
    }

    /// Whether what is chosen can be used, as far as that can be told: a model on this machine has to be there.
    pub fn is_usable(&self) -> bool {
        let model = self.config.get(&rag::RAG_RERANKING_MODEL);
        model.is_empty()
            || self.config.get(&rag::RAG_RERANKING_ENGINE) == "external"
            || self.local.has(&model)
    }

    /// Scores of the texts, in their order. `None` when no model is chosen, or when the server that was asked gave no
    /// usable answer: then the order that was found stays.
    #[boxed]
    pub async fn score(
        &self,
        question: &str,
        texts: &[String],
        caller: Option<&CallContext>,
    ) -> Result<Option<Vec<f64>>> {
        let model = self.config.get(&rag::RAG_RERANKING_MODEL);
        if model.is_empty() || texts.is_empty() {
            return Ok(None);
        }
        if self.config.get(&rag::RAG_RERANKING_ENGINE) != "external" {
            let sigmoid = self.settings.vectors.rerank_sigmoid;
            let scores = self
                .local
                .score(&model, question, texts.to_vec(), sigmoid)
                .await?;
            return Ok(Some(scores.into_iter().map(f64::from).collect()));
        }
        match self.ask(&model, question, texts, caller).await {
            Ok(scores) => Ok(Some(scores)),
            Err(error) => {
                tracing::warn!(%error, "the reranking server gave no usable answer");
                Ok(None)
            }
        }
    }

    async fn ask(
        &self,
        model: &str,
        question: &str,
        texts: &[String],
        caller: Option<&CallContext>,
    ) -> Result<Vec<f64>> {
        let mut headers = HeaderMap::new();
        let key = self.config.get(&rag::RAG_EXTERNAL_RERANKER_API_KEY);
        if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {key}")) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if let Some(caller) = caller {
            self.http.add_user(&mut headers, caller);
        }
        let body = json!({ "model": model, "query": question, "documents": texts, "top_n": texts.len() });
        let mut call = self
            .http
            .client()
            .post(self.config.get(&rag::RAG_EXTERNAL_RERANKER_URL))
            .headers(headers)
            .json(&body);
        let limit = self.config.get(&rag::RAG_EXTERNAL_RERANKER_TIMEOUT);
        if let Some(seconds) = limit.and_then(|seconds| u64::try_from(seconds).ok()) {
            call = call.timeout(Duration::from_secs(seconds));
        }
        let plain = |error: reqwest::Error| Error::Upstream(error.without_url().to_string());
        let answer = call
            .send()
            .await
            .map_err(plain)?
            .error_for_status()
            .map_err(plain)?;
        let answer: Answer = answer.json().await.map_err(plain)?;
        let mut results = answer
            .results
            .ok_or_else(|| Error::Upstream("the answer has no results".into()))?;
        results.sort_by_key(|one| one.index);
        if results.len() != texts.len() {
            return Err(Error::Upstream("the answer does not score every text".into()));
        }
        Ok(results.iter().map(|one| one.relevance_score).collect())
    }
}
