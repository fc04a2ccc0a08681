//! Pages by address: fetched and read here, or through a service of the operator's choice.

use oui_core::boxed;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use http::header;
use oui_config::{Config, Settings, loaders, web, web_loader};
use oui_loaders::{Document, LoadError, html};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::address::AddressRules;
use crate::browser::{self, Browser};
use crate::fetch::CheckedHttp;
use crate::{INVALID_URL, youtube};

/// What pages are told about the reader where the operator says nothing: many refuse unknown programs.
pub const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
/// What services are told.
pub(crate) const BOT: &str = "Open WebUI (https://github.com/open-webui/open-webui) RAG Bot";
/// Addresses in one request to a service.
const BATCH: usize = 20;

/// A page on its way.
type Job<'a> = BoxFuture<'a, Result<Option<Document>, LoadError>>;

/// Address of a Firecrawl call.
pub(crate) fn firecrawl_url(base: &str, path: &str) -> String {
    let base = if base.is_empty() {
        "https://api.firecrawl.dev"
    } else {
        base
    };
    let base = base.trim_end_matches('/');
    let version = if base.ends_with("/v2") { "" } else { "/v2" };
    format!("{base}{version}/{path}")
}

/// Loads pages and transcripts.
pub struct PageLoader {
    config: Arc<Config>,
    settings: Arc<Settings>,
    checked: CheckedHttp,
    unverified: CheckedHttp,
    services: Client,
}

impl PageLoader {
    /// A loader that follows configuration and settings.
    ///
    /// # Errors
    /// When the TLS of the system can not be used.
    pub fn new(config: Arc<Config>, settings: Arc<Settings>) -> Result<Self, LoadError> {
        let rules = AddressRules::of(&settings);
        let services = Client::builder()
            .connect_timeout(Duration::from_secs(15))
            .timeout(Duration::from_secs(120))
            .build()
            .map_err(|error| LoadError::new(error.to_string()))?;
        Ok(Self {
            config,
            settings,
            checked: CheckedHttp::new(rules.clone(), true)?,
            unverified: CheckedHttp::new(rules, false)?,
            services,
        })
    }

    /// The client for addresses that users name.
    pub fn http(&self) -> &CheckedHttp {
        if self.config.get(&web_loader::ENABLE_WEB_LOADER_SSL_VERIFICATION) {
            &self.checked
        } else {
            &self.unverified
        }
    }

    /// What pages are told about the reader.
    pub fn user_agent(&self) -> &str {
        match self.settings.upstream.user_agent.as_str() {
            "" => USER_AGENT,
            agent => agent,
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let seconds = self.config.get(&web_loader::WEB_LOADER_TIMEOUT)?;
        Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|time| !time.is_zero())
    }

    /// The documents at one address: a transcript or a page.
    ///
    /// # Errors
    /// Addresses that may not be fetched, and what a transcript or service lacks.
    #[boxed]
    pub async fn load(&self, address: &str) -> Result<Vec<Document>, LoadError> {
        if youtube::is_youtube_url(address) {
            let languages = self.config.get(&loaders::YOUTUBE_LOADER_LANGUAGE);
            let proxy = self.config.get(&loaders::YOUTUBE_LOADER_PROXY_URL);
            let base = &self.settings.engines.youtube_url;
            return youtube::transcript(address, languages, &proxy, base)
                .await
                .map(|document| vec![document]);
        }
        self.pages(&[address.to_owned()]).await
    }

    /// The documents at several addresses. Those that may not be fetched or do not answer are left out.
    ///
    /// # Errors
    /// No address that may be fetched, or an engine that does not exist.
    #[boxed]
    pub async fn pages(&self, addresses: &[String]) -> Result<Vec<Document>, LoadError> {
        let rules = self.checked.rules();
        let addresses: Vec<String> = addresses
            .iter()
            .filter(|address| rules.check(address).is_ok())
            .cloned()
            .collect();
        if addresses.is_empty() {
            return Err(LoadError::new(INVALID_URL));
        }
        match self.config.get(&web_loader::WEB_LOADER_ENGINE).as_str() {
            "" | "safe_web" => {
                let jobs = addresses.iter().map(|address| self.page(address).boxed());
                Ok(self.each(&addresses, jobs.collect()).await)
            }
            "firecrawl" => {
                let jobs = addresses.iter().map(|address| self.firecrawl(address).boxed());
                Ok(self.each(&addresses, jobs.collect()).await)
            }
            "microsoft_web_iq" => {
                let jobs = addresses
                    .iter()
                    .map(|address| self.microsoft_web_iq(address).boxed());
                Ok(self.each(&addresses, jobs.collect()).await)
            }
            "tavily" => Ok(self.tavily(&addresses).await),
            "playwright" => self.rendered(&addresses).await,
            "exa" => self.exa(&addresses).await,
            "external" => Ok(self.external(&addresses).await),
            other => Err(LoadError::new(format!(
                "Invalid WEB_LOADER_ENGINE: {other}. Please set it to 'safe_web', 'playwright', 'firecrawl', 'tavily', 'exa', \
                 'external', or 'microsoft_web_iq'."
            ))),
        }
    }

    /// Several pages, as many at a time as configured. Those that can not be loaded are left out.
    async fn each(&self, addresses: &[String], jobs: Vec<Job<'_>>) -> Vec<Document> {
        let at_once =
            usize::try_from(self.config.get(&web_loader::WEB_LOADER_CONCURRENT_REQUESTS)).unwrap_or(1);
        let loaded: Vec<_> = stream::iter(jobs).buffered(at_once.max(1)).collect().await;
        let mut documents = Vec::new();
        for (address, loaded) in addresses.iter().zip(loaded) {
            match loaded {
                Ok(document) => documents.extend(document),
                Err(error) => tracing::warn!(%address, %error, "a page could not be loaded"),
            }
        }
        documents
    }

    async fn page(&self, address: &str) -> Result<Option<Document>, LoadError> {
        let page = self
            .http()
            .get(address, self.user_agent(), None, self.timeout())
            .await?;
        let (body, address) = (page.body, address.to_owned());
        let read = tokio::task::spawn_blocking(move || html::web_page(&body, &address)).await;
        read.map(Some).map_err(|error| LoadError::new(error.to_string()))
    }

    /// Pages as a browser shows them, when their scripts have run. One browser for all.
    async fn rendered(&self, addresses: &[String]) -> Result<Vec<Document>, LoadError> {
        let url = self.config.get(&web_loader::PLAYWRIGHT_WS_URL);
        let patience = u64::try_from(self.config.get(&web_loader::PLAYWRIGHT_TIMEOUT)).unwrap_or_default();
        let options = browser::Options {
            url: url.trim(),
            folder: self.settings.server.cache_dir().join("browser"),
            // As the reference's: without a limit of the page's own, each request still has one.
            patience: Duration::from_millis(if patience == 0 { 30_000 } else { patience }),
        };
        let mut browser = Browser::open(self.http(), options).await?;
        let mut documents = Vec::new();
        for address in addresses {
            match browser.page(address).await {
                Ok(page) => {
                    let address = address.clone();
                    let read =
                        tokio::task::spawn_blocking(move || html::web_page(page.as_bytes(), &address)).await;
                    documents.extend(read.ok());
                }
                Err(error) => tracing::warn!(%address, %error, "a page could not be shown by the browser"),
            }
        }
        browser.close().await;
        Ok(documents)
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Value, LoadError> {
        let failed = |error: reqwest::Error| LoadError::new(error.without_url().to_string());
        let response = request
            .send()
            .await
            .map_err(failed)?
            .error_for_status()
            .map_err(failed)?;
        response.json().await.map_err(failed)
    }

    async fn firecrawl(&self, address: &str) -> Result<Option<Document>, LoadError> {
        let base = self.config.get(&web_loader::FIRECRAWL_API_BASE_URL);
        let key = self.config.get(&web_loader::FIRECRAWL_API_KEY);
        let seconds = self
            .config
            .get(&web_loader::FIRECRAWL_TIMEOUT)
            .filter(|seconds| *seconds > 0.0);
        let verify = self.config.get(&web_loader::ENABLE_WEB_LOADER_SSL_VERIFICATION);
        let mut body = json!({
            "url": address, "formats": ["markdown"], "skipTlsVerification": !verify, "removeBase64Images": true,
        });
        let mut request = self.services.post(firecrawl_url(&base, "scrape"));
        if let Some(seconds) = seconds {
            let wait = Duration::from_secs_f64(seconds.clamp(1.0, 300.0));
            body["timeout"] = json!(u64::try_from(wait.as_millis()).unwrap_or_default());
            request = request.timeout(wait + Duration::from_secs(10));
        }
        if !key.is_empty() {
            request = request.bearer_auth(key);
        }
        let answer = self.ask(request.json(&body)).await?;
        let data = &answer["data"];
        let meta = &data["metadata"];
        let Some(text) = data["markdown"].as_str().filter(|text| !text.trim().is_empty()) else {
            return Ok(None);
        };
        let source = [
            &data["url"],
            &data["link"],
            &meta["url"],
            &meta["sourceURL"],
            &meta["source_url"],
        ]
        .into_iter()
        .find_map(|source| source.as_str().filter(|source| !source.is_empty()))
        .unwrap_or(address);
        let mut document = Document::new(text).with("source", source);
        for name in ["title", "description"] {
            if let Some(value) = meta[name].as_str().filter(|value| !value.is_empty()) {
                document = document.with(name, value);
            }
        }
        Ok(Some(document))
    }

    async fn microsoft_web_iq(&self, address: &str) -> Result<Option<Document>, LoadError> {
        let base = self.config.get(&web::MICROSOFT_WEB_IQ_API_BASE_URL);
        let body = json!({
            "url": address, "contentFormat": "markdown", "liveCrawl": "fallback", "renderDynamicPages": true,
            "language": self.config.get(&web::MICROSOFT_WEB_IQ_LANGUAGE),
        });
        let request = self
            .services
            .post(format!("{}/browse", base.trim_end_matches('/')))
            .header("x-apikey", self.config.get(&web::MICROSOFT_WEB_IQ_API_KEY))
            .timeout(self.timeout().unwrap_or(Duration::from_secs(60)));
        let answer = self.ask(request.json(&body)).await?;
        let Some(text) = answer["content"].as_str().filter(|text| !text.trim().is_empty()) else {
            return Ok(None);
        };
        let mut document = Document::new(text).with("source", answer["url"].as_str().unwrap_or(address));
        if let Some(title) = answer["title"].as_str() {
            document = document.with("title", title);
        }
        Ok(Some(document))
    }

    /// Asks a service about many addresses, a batch at a time. A batch that fails is left out.
    async fn batches(
        &self,
        addresses: &[String],
        request: impl Fn(&[String]) -> RequestBuilder,
    ) -> Vec<Value> {
        let mut answers = Vec::new();
        for batch in addresses.chunks(BATCH) {
            match self.ask(request(batch)).await {
                Ok(answer) => answers.push(answer),
                Err(error) => tracing::warn!(%error, "a service did not load pages"),
            }
        }
        answers
    }

    async fn tavily(&self, addresses: &[String]) -> Vec<Document> {
        let key = self.config.get(&web::TAVILY_API_KEY);
        let depth = self.config.get(&web::TAVILY_EXTRACT_DEPTH);
        let address = format!("{}/extract", self.settings.engines.tavily_url());
        let answers = self.batches(addresses, |batch| {
            let urls = if let [one] = batch {
                json!(one)
            } else {
                json!(batch)
            };
            let body = json!({ "urls": urls, "extract_depth": depth });
            self.services.post(&address).bearer_auth(&key).json(&body)
        });
        let found = |answer: &Value| answer["results"].as_array().cloned().unwrap_or_default();
        let documents = answers.await;
        let documents = documents.iter().flat_map(found).filter_map(|result| {
            let text = result["raw_content"].as_str().filter(|text| !text.is_empty())?;
            Some(Document::new(text).with("source", result["url"].as_str().unwrap_or_default()))
        });
        documents.collect()
    }

    async fn external(&self, addresses: &[String]) -> Vec<Document> {
        let address = self.config.get(&web_loader::EXTERNAL_WEB_LOADER_URL);
        let key = self.config.get(&web_loader::EXTERNAL_WEB_LOADER_API_KEY);
        let answers = self.batches(addresses, |batch| {
            self.services
                .post(&address)
                .header(header::USER_AGENT, BOT)
                .bearer_auth(&key)
                .json(&json!({ "urls": batch }))
        });
        let answers = answers.await;
        let results = answers.iter().filter_map(Value::as_array).flatten();
        let documents = results.map(|result| Document {
            text: result["page_content"].as_str().unwrap_or_default().to_owned(),
            metadata: result["metadata"].as_object().cloned().unwrap_or_default(),
        });
        documents.collect()
    }

    async fn exa(&self, addresses: &[String]) -> Result<Vec<Document>, LoadError> {
        let key = self.config.get(&web::EXA_API_KEY);
        if key.trim().is_empty() {
            return Err(LoadError::new("Exa web loader requires an EXA_API_KEY"));
        }
        let wait = self.timeout().unwrap_or(Duration::from_secs(60));
        let answers = self.batches(addresses, |batch| {
            let body = json!({ "urls": batch, "text": true });
            self.services
                .post("https://api.exa.ai/contents")
                .timeout(wait)
                .bearer_auth(&key)
                .json(&body)
        });
        let answers = answers.await;
        let results = answers
            .iter()
            .filter_map(|answer| answer["results"].as_array())
            .flatten();
        let documents: Vec<Document> = results
            .filter_map(|result| {
                let text = result["text"].as_str().filter(|text| !text.trim().is_empty())?;
                let known = |name: &str| {
                    result[name]
                        .as_str()
                        .filter(|url| addresses.iter().any(|known| known == url))
                };
                let mut document = Document::new(text).with("source", known("id").or_else(|| known("url"))?);
                if let Some(title) = result["title"].as_str() {
                    document = document.with("title", title);
                }
                Some(document)
            })
            .collect();
        if documents.is_empty() {
            return Err(LoadError::new("Exa web loader could not load any page content"));
        }
        Ok(documents)
    }
}

#[cfg(test)]
mod tests;
