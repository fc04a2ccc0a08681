//! Search engines behind one call. An engine is a request and a way to read the answer; the plain ones are in
//! `engines`, those with a protocol of their own beside it.

mod duckduckgo;
mod engines;
mod tencent;
mod yacy;
mod yandex;

use oui_core::boxed;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, try_join_all};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use http::{Method, StatusCode, header};
use oui_config::{Config, Settings, ui, web, web_loader};
use oui_core::Clock;
use oui_loaders::LoadError;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};

use crate::address::is_host_allowed;

/// One hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchResult {
    /// Address.
    pub link: String,
    /// Title.
    pub title: Option<String>,
    /// A piece of the text, or what the engine made of it.
    pub snippet: Option<String>,
}

impl SearchResult {
    /// The hit as routes send it.
    pub fn to_json(&self) -> Value {
        json!({ "link": self.link, "title": self.title, "snippet": self.snippet })
    }
}

type Results = Result<Vec<SearchResult>, LoadError>;

/// All search engines.
pub struct WebSearch {
    config: Arc<Config>,
    settings: Arc<Settings>,
    clock: Clock,
    client: Client,
    /// Stands before every address in tests: `http://127.0.0.1:1/` and then the host.
    detour: Option<String>,
}

/// One question on its way to an engine.
struct Ask<'a> {
    search: &'a WebSearch,
    query: &'a str,
    count: usize,
    domains: Vec<String>,
}

impl WebSearch {
    /// Engines as configured.
    ///
    /// # Errors
    /// When the TLS of the system can not be used.
    pub fn new(config: Arc<Config>, settings: Arc<Settings>, clock: Clock) -> Result<Self, LoadError> {
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(15))
            .timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| LoadError::new(error.to_string()))?;
        Ok(Self {
            config,
            settings,
            clock,
            client,
            detour: None,
        })
    }

    /// Asks the configured engine all questions, as many at a time as configured. The lists stand in the order of the
    /// questions.
    ///
    /// # Errors
    /// What the engine or its settings lack.
    #[boxed]
    pub async fn search_all(&self, queries: &[String]) -> Result<Vec<Vec<SearchResult>>, LoadError> {
        let engine = self.config.get(&web::WEB_SEARCH_ENGINE);
        let at_once =
            usize::try_from(self.config.get(&web::WEB_SEARCH_CONCURRENT_REQUESTS)).unwrap_or_default();
        let asked: Vec<BoxFuture<'_, Results>> = queries
            .iter()
            .map(|query| self.search(&engine, query).boxed())
            .collect();
        match at_once {
            0 => try_join_all(asked).await,
            at_once => stream::iter(asked).buffered(at_once).try_collect().await,
        }
    }

    /// Asks one engine one question.
    ///
    /// # Errors
    /// What the engine or its settings lack.
    #[boxed]
    pub async fn search(&self, engine: &str, query: &str) -> Results {
        let ask = Ask {
            search: self,
            query,
            count: usize::try_from(self.config.get(&web::WEB_SEARCH_RESULT_COUNT)).unwrap_or_default(),
            domains: self.config.get(&web::WEB_SEARCH_DOMAIN_FILTER_LIST),
        };
        ask.engine(engine).await
    }

    fn url(&self, address: &str) -> Result<Url, LoadError> {
        let bad = |error: &dyn std::fmt::Display| LoadError::new(format!("{address}: {error}"));
        let url = Url::parse(address).map_err(|error| bad(&error))?;
        match &self.detour {
            None => Ok(url),
            Some(detour) => {
                let rest = url.as_str().split_once("://").map_or("", |(_, rest)| rest);
                Url::parse(&format!("{detour}{rest}")).map_err(|error| bad(&error))
            }
        }
    }
}

/// A text of the settings, or the complaint that it is missing.
fn needed(value: String, name: &str) -> Result<String, LoadError> {
    if value.is_empty() {
        return Err(LoadError::new(format!(
            "No {name} found in environment variables"
        )));
    }
    Ok(value)
}

/// A text member, if it is a text.
fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

/// The list at a path like `/web/results`; empty when there is none.
fn list(answer: &Value, path: &str) -> Vec<Value> {
    answer
        .pointer(path)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

/// Texts that are there, with a blank line between.
fn joined(parts: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    Some(parts.join("\n\n"))
}

/// Sorts by a number, the smallest first.
fn by_number(mut hits: Vec<Value>, name: &str) -> Vec<Value> {
    let number = |hit: &Value| hit.get(name).and_then(Value::as_f64).unwrap_or_default();
    hits.sort_by(|a, b| number(a).total_cmp(&number(b)));
    hits
}

/// Sorts by a number, the largest first.
fn by_score(mut hits: Vec<Value>, name: &str) -> Vec<Value> {
    let number = |hit: &Value| hit.get(name).and_then(Value::as_f64).unwrap_or_default();
    hits.sort_by(|a, b| number(b).total_cmp(&number(a)));
    hits
}

/// Names of the members of a hit.
const URL: (&str, &str, &str) = ("url", "title", "snippet");

impl Ask<'_> {
    fn config(&self) -> &Config {
        &self.search.config
    }

    fn request(&self, method: Method, address: &str) -> Result<RequestBuilder, LoadError> {
        let url = self.search.url(address)?;
        Ok(self
            .search
            .client
            .request(method, url)
            .header(header::ACCEPT, "application/json"))
    }

    fn get(&self, address: &str, params: &[(&str, &str)]) -> Result<RequestBuilder, LoadError> {
        Ok(self.request(Method::GET, address)?.query(params))
    }

    fn post(&self, address: &str, body: &Value) -> Result<RequestBuilder, LoadError> {
        Ok(self.request(Method::POST, address)?.json(body))
    }

    /// Sends a request; a bad status is an error. The address is left out of errors: it may hold a key.
    async fn send(&self, request: RequestBuilder) -> Result<Value, LoadError> {
        let failed = |error: reqwest::Error| LoadError::new(error.without_url().to_string());
        let again = request.try_clone();
        let mut response = request.send().await.map_err(failed)?;
        if response.status() == StatusCode::TOO_MANY_REQUESTS
            && let Some(again) = again
        {
            tokio::time::sleep(Duration::from_secs(1)).await;
            response = again.send().await.map_err(failed)?;
        }
        let response = response.error_for_status().map_err(failed)?;
        response.json().await.map_err(failed)
    }

    /// Hits of allowed domains, at most as many as wanted.
    fn hits(&self, found: Vec<Value>, (link, title, snippet): (&str, &str, &str)) -> Vec<SearchResult> {
        self.kept(found.iter().filter_map(|hit| {
            Some(SearchResult {
                link: text(hit, link)?,
                title: text(hit, title),
                snippet: text(hit, snippet),
            })
        }))
    }

    fn kept(&self, found: impl IntoIterator<Item = SearchResult>) -> Vec<SearchResult> {
        found
            .into_iter()
            .filter(|hit| self.allows(&hit.link))
            .take(self.count)
            .collect()
    }

    fn allows(&self, link: &str) -> bool {
        if self.domains.is_empty() {
            return true;
        }
        let host = Url::parse(link)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned));
        host.is_some_and(|host| is_host_allowed(&host, &self.domains))
    }

    async fn engine(&self, engine: &str) -> Results {
        match engine {
            "ollama_cloud" => self.ollama_cloud().await,
            "perplexity_search" => self.perplexity_search().await,
            "perplexity" => self.perplexity().await,
            "searxng" => self.searxng().await,
            "openserp" => self.openserp().await,
            "yacy" => self.yacy().await,
            "google_pse" => self.google_pse().await,
            "brave" => self.brave().await,
            "brave_llm_context" => self.brave_llm_context().await,
            "kagi" => self.kagi().await,
            "mojeek" => self.mojeek().await,
            "bocha" => self.bocha().await,
            "serpstack" => self.serpstack().await,
            "serper" => self.serper().await,
            "serphouse" => self.serphouse().await,
            "serply" => self.serply().await,
            "duckduckgo" => self.duckduckgo().await,
            "tavily" => self.tavily().await,
            "staan" => self.staan().await,
            "exa" => self.exa().await,
            "searchapi" => self.searchapi().await,
            "serpapi" => self.serpapi().await,
            "jina" => self.jina().await,
            "bing" => self.bing().await,
            "azure" => self.azure().await,
            "microsoft_web_iq" => self.microsoft_web_iq().await,
            "sougou" => self.sougou().await,
            "firecrawl" => self.firecrawl().await,
            "external" => self.external().await,
            "yandex" => self.yandex().await,
            "youcom" => self.youcom().await,
            "linkup" => self.linkup().await,
            _ => Err(LoadError::new(
                "No search engine API key found in environment variables",
            )),
        }
    }

    /// Address of this server, which some engines want to know.
    fn referer(&self) -> String {
        self.config().get(&ui::WEBUI_URL)
    }

    fn firecrawl_settings(&self) -> (String, String) {
        (
            self.config().get(&web_loader::FIRECRAWL_API_BASE_URL),
            self.config().get(&web_loader::FIRECRAWL_API_KEY),
        )
    }
}

#[cfg(test)]
mod tests;
