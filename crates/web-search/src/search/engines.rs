//! Engines that are asked by one request and answer with a JSON list.

use http::header;
use oui_config::{ui, web};
use serde_json::{Map, Value, json};

use super::{Ask, Results, SearchResult, URL, by_number, by_score, joined, list, needed, text};

/// Characters of a text from a search index.
const MAX_SNIPPET: usize = 500;

/// First text that is there and not empty.
fn first(hit: &Value, names: &[&str]) -> Option<String> {
    names
        .iter()
        .find_map(|name| text(hit, name).filter(|text| !text.is_empty()))
}

impl Ask<'_> {
    fn bearer(&self, key: &str) -> String {
        format!("Bearer {key}")
    }

    pub(super) async fn ollama_cloud(&self) -> Results {
        let key = self.config().get(&web::OLLAMA_CLOUD_API_KEY);
        let body = json!({ "query": self.query, "max_results": self.count });
        let request = self
            .post("https://ollama.com/api/web_search", &body)?
            .bearer_auth(key);
        let answer = self.send(request).await?;
        Ok(self.hits(list(&answer, "/results"), ("url", "title", "content")))
    }

    pub(super) async fn perplexity_search(&self) -> Results {
        let key = needed(self.config().get(&web::PERPLEXITY_API_KEY), "PERPLEXITY_API_KEY")?;
        let address = self.config().get(&web::PERPLEXITY_SEARCH_API_URL);
        let body = json!({ "query": self.query, "max_results": self.count });
        let answer = self.send(self.post(&address, &body)?.bearer_auth(key)).await?;
        Ok(self.hits(list(&answer, "/results"), URL))
    }

    /// A model that searches: its sources, and its answer with the first of them.
    pub(super) async fn perplexity(&self) -> Results {
        let config = self.config();
        let body = json!({
            "model": config.get(&web::PERPLEXITY_MODEL),
            "messages": [
                { "role": "system", "content": "Search the web. Answer with facts and name the sources." },
                { "role": "user", "content": self.query },
            ],
            "temperature": 0.2,
            "stream": false,
            "web_search_options": { "search_context_usage": config.get(&web::PERPLEXITY_SEARCH_CONTEXT_USAGE) },
        });
        let key = config.get(&web::PERPLEXITY_API_KEY);
        let request = self
            .post("https://api.perplexity.ai/chat/completions", &body)?
            .bearer_auth(key);
        let answer = self.send(request).await?;
        let content = answer
            .pointer("/choices/0/message/content")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let sources = list(&answer, "/citations")
            .into_iter()
            .take(self.count)
            .enumerate();
        Ok(self.kept(sources.filter_map(|(index, source)| {
            Some(SearchResult {
                link: source.as_str()?.to_owned(),
                title: Some(format!("Source {}", index + 1)),
                snippet: Some(if index == 0 {
                    content.to_owned()
                } else {
                    String::new()
                }),
            })
        })))
    }

    pub(super) async fn searxng(&self) -> Results {
        let mut address = needed(self.config().get(&web::SEARXNG_QUERY_URL), "SEARXNG_QUERY_URL")?;
        if address.contains("<query>") {
            address = address.split('?').next().unwrap_or_default().to_owned();
        }
        let language = self.config().get(&web::SEARXNG_LANGUAGE);
        let params = [
            ("q", self.query),
            ("format", "json"),
            ("pageno", "1"),
            ("safesearch", "1"),
            ("language", language.trim().trim_end_matches(',')),
            ("time_range", ""),
            ("categories", ""),
            ("theme", "simple"),
            ("image_proxy", "0"),
        ];
        let answer = self.send(self.get(&address, &params)?).await?;
        let found = by_score(list(&answer, "/results"), "score");
        Ok(self.hits(found, ("url", "title", "content")))
    }

    pub(super) async fn openserp(&self) -> Results {
        let base = needed(self.config().get(&web::OPENSERP_BASE_URL), "OPENSERP_BASE_URL")?;
        let address = format!("{}/mega/search", base.trim_end_matches('/'));
        let params = [("text", self.query), ("limit", &self.count.to_string())];
        let answer = self.send(self.get(&address, &params)?).await?;
        Ok(self.hits(list(&answer, "/results"), URL))
    }

    /// Ten hits a page; as many pages as are needed.
    pub(super) async fn google_pse(&self) -> Results {
        let missing = "GOOGLE_PSE_API_KEY or GOOGLE_PSE_ENGINE_ID";
        let key = needed(self.config().get(&web::GOOGLE_PSE_API_KEY), missing)?;
        let engine = needed(self.config().get(&web::GOOGLE_PSE_ENGINE_ID), missing)?;
        let mut found = Vec::new();
        let mut start = 1;
        while found.len() < self.count {
            let (size, from) = ((self.count - found.len()).min(10).to_string(), start.to_string());
            let params = [
                ("cx", engine.as_str()),
                ("q", self.query),
                ("key", &key),
                ("num", &size),
                ("start", &from),
            ];
            let mut request = self.get("https://www.googleapis.com/customsearch/v1", &params)?;
            let referer = self.referer();
            if !referer.is_empty() {
                request = request.header(header::REFERER, referer);
            }
            let items = list(&self.send(request).await?, "/items");
            if items.is_empty() {
                break;
            }
            found.extend(items);
            start += 10;
        }
        Ok(self.hits(found, ("link", "title", "snippet")))
    }

    pub(super) async fn brave(&self) -> Results {
        let key = needed(
            self.config().get(&web::BRAVE_SEARCH_API_KEY),
            "BRAVE_SEARCH_API_KEY",
        )?;
        let params = [("q", self.query), ("count", &self.count.to_string())];
        let request = self.get("https://api.search.brave.com/res/v1/web/search", &params)?;
        let answer = self.send(request.header("X-Subscription-Token", key)).await?;
        Ok(self.hits(list(&answer, "/web/results"), ("url", "title", "description")))
    }

    pub(super) async fn brave_llm_context(&self) -> Results {
        let key = needed(
            self.config().get(&web::BRAVE_SEARCH_API_KEY),
            "BRAVE_SEARCH_API_KEY",
        )?;
        let tokens = self.config().get(&web::BRAVE_SEARCH_CONTEXT_TOKENS).to_string();
        let count = self.count.to_string();
        let params = [
            ("q", self.query),
            ("count", &count),
            ("maximum_number_of_tokens", &tokens),
        ];
        let request = self.get("https://api.search.brave.com/res/v1/llm/context", &params)?;
        let answer = self.send(request.header("X-Subscription-Token", key)).await?;
        Ok(self.with_snippets(list(&answer, "/grounding/generic"), |hit| {
            joined(
                list(hit, "/snippets")
                    .iter()
                    .map(|part| part.as_str().map(str::to_owned)),
            )
        }))
    }

    /// Hits whose snippet is put together from several places.
    fn with_snippets(&self, found: Vec<Value>, snippet: fn(&Value) -> Option<String>) -> Vec<SearchResult> {
        self.kept(found.iter().filter_map(|hit| {
            Some(SearchResult {
                link: text(hit, "url")?,
                title: text(hit, "title"),
                snippet: snippet(hit),
            })
        }))
    }

    pub(super) async fn kagi(&self) -> Results {
        let key = needed(
            self.config().get(&web::KAGI_SEARCH_API_KEY),
            "KAGI_SEARCH_API_KEY",
        )?;
        let body = json!({ "query": self.query, "limit": self.count });
        let answer = self
            .send(
                self.post("https://kagi.com/api/v1/search", &body)?
                    .bearer_auth(key),
            )
            .await?;
        Ok(self.hits(list(&answer, "/data/search"), URL))
    }

    pub(super) async fn mojeek(&self) -> Results {
        let key = needed(
            self.config().get(&web::MOJEEK_SEARCH_API_KEY),
            "MOJEEK_SEARCH_API_KEY",
        )?;
        let count = self.count.to_string();
        let params = [
            ("q", self.query),
            ("api_key", &key),
            ("fmt", "json"),
            ("t", &count),
        ];
        let answer = self
            .send(self.get("https://api.mojeek.com/search", &params)?)
            .await?;
        Ok(self.hits(list(&answer, "/response/results"), ("url", "title", "desc")))
    }

    pub(super) async fn bocha(&self) -> Results {
        let key = needed(
            self.config().get(&web::BOCHA_SEARCH_API_KEY),
            "BOCHA_SEARCH_API_KEY",
        )?;
        let body =
            json!({ "query": self.query, "summary": true, "freshness": "noLimit", "count": self.count });
        let address = "https://api.bochaai.com/v1/web-search?utm_source=ollama";
        let answer = self.send(self.post(address, &body)?.bearer_auth(key)).await?;
        Ok(self.hits(list(&answer, "/data/webPages/value"), ("url", "name", "summary")))
    }

    pub(super) async fn serpstack(&self) -> Results {
        let key = needed(self.config().get(&web::SERPSTACK_API_KEY), "SERPSTACK_API_KEY")?;
        let scheme = if self.config().get(&web::SERPSTACK_HTTPS) {
            "https"
        } else {
            "http"
        };
        let address = format!("{scheme}://api.serpstack.com/search");
        let params = [("access_key", key.as_str()), ("query", self.query)];
        let answer = self.send(self.get(&address, &params)?).await?;
        Ok(self.hits(by_number(list(&answer, "/organic_results"), "position"), URL))
    }

    pub(super) async fn serper(&self) -> Results {
        let key = needed(self.config().get(&web::SERPER_API_KEY), "SERPER_API_KEY")?;
        let request = self.post("https://google.serper.dev/search", &json!({ "q": self.query }))?;
        let answer = self.send(request.header("X-API-KEY", key)).await?;
        let found = by_number(list(&answer, "/organic"), "position");
        Ok(self.hits(found, ("link", "title", "snippet")))
    }

    pub(super) async fn serphouse(&self) -> Results {
        let key = needed(self.config().get(&web::SERPHOUSE_API_KEY), "SERPHOUSE_API_KEY")?;
        let domain = self.config().get(&web::SERPHOUSE_DOMAIN);
        let domain = match domain.trim() {
            "" => "google.com",
            domain => domain,
        };
        let count = self.count.to_string();
        let params = [
            ("q", self.query),
            ("domain", domain),
            ("device", "desktop"),
            ("serp_type", "web"),
            ("page", "1"),
            ("num_result", &count),
        ];
        let request = self
            .get("https://api.serphouse.com/serp/live", &params)?
            .bearer_auth(key);
        let answer = self.send(request).await?;
        let found = by_number(list(&answer, "/results/results/organic"), "position");
        Ok(self.hits(found, ("link", "title", "snippet")))
    }

    /// The parameters are a part of the path here.
    pub(super) async fn serply(&self) -> Results {
        let key = needed(self.config().get(&web::SERPLY_API_KEY), "SERPLY_API_KEY")?;
        let mut path = reqwest::Url::parse("https://api.serply.io/")
            .map_err(|e| oui_loaders::LoadError::new(e.to_string()))?;
        let params = [
            ("q", self.query),
            ("language", "en"),
            ("num", "10"),
            ("gl", "US"),
            ("hl", "us"),
        ];
        path.query_pairs_mut().extend_pairs(params);
        let address = format!(
            "https://api.serply.io/v1/search/{}",
            path.query().unwrap_or_default()
        );
        let request = self
            .get(&address, &[])?
            .header("X-API-KEY", key)
            .header("X-User-Agent", "desktop")
            .header(header::USER_AGENT, "open-webui")
            .header("X-Proxy-Location", "US");
        let answer = self.send(request).await?;
        let found = by_number(list(&answer, "/results"), "realPosition");
        Ok(self.hits(found, ("link", "title", "description")))
    }

    pub(super) async fn tavily(&self) -> Results {
        let key = needed(self.config().get(&web::TAVILY_API_KEY), "TAVILY_API_KEY")?;
        let depth = self.config().get(&web::TAVILY_SEARCH_DEPTH);
        let body = json!({ "query": self.query, "max_results": self.count, "search_depth": depth });
        let address = format!("{}/search", self.search.settings.engines.tavily_url());
        let answer = self.send(self.post(&address, &body)?.bearer_auth(key)).await?;
        Ok(self.hits(list(&answer, "/results"), ("url", "title", "content")))
    }

    pub(super) async fn staan(&self) -> Results {
        let key = needed(self.config().get(&web::STAAN_API_KEY), "STAAN_API_KEY")?;
        let market = self.config().get(&web::STAAN_MARKET);
        let snippets = self.config().get(&web::STAAN_MAX_SNIPPETS);
        let shown = snippets.to_string();
        let mut params = vec![("q", self.query), ("market", market.as_str())];
        if snippets != 0 {
            params.extend([("extra_snippets", "true"), ("max_snippets", shown.as_str())]);
        }
        let request = self.get("https://api.staan.ai/v2/search/web", &params)?;
        let answer = self
            .send(request.header(header::AUTHORIZATION, self.bearer(&key)))
            .await?;
        Ok(self.with_snippets(list(&answer, "/web/results"), |hit| {
            let more = list(hit, "/extra_snippets");
            joined(std::iter::once(text(hit, "snippet")).chain(more.iter().map(|part| text(part, "chunk"))))
        }))
    }

    pub(super) async fn exa(&self) -> Results {
        let key = needed(self.config().get(&web::EXA_API_KEY), "EXA_API_KEY")?;
        let longest = self.config().get(&web::EXA_MAX_CONTENT_LENGTH);
        let contents = match longest {
            Some(longest) => json!({ "maxCharacters": longest }),
            None => json!(true),
        };
        let count = if self.count == 0 { 5 } else { self.count };
        let body = json!({
            "query": self.query, "numResults": count, "includeDomains": self.domains, "contents": { "text": contents },
            "type": "auto",
        });
        let answer = self
            .send(self.post("https://api.exa.ai/search", &body)?.bearer_auth(key))
            .await?;
        let longest = longest
            .and_then(|longest| usize::try_from(longest).ok())
            .unwrap_or(usize::MAX);
        let found = list(&answer, "/results");
        Ok(found
            .iter()
            .filter_map(|hit| {
                let snippet = text(hit, "text").unwrap_or_default();
                Some(SearchResult {
                    link: text(hit, "url")?,
                    title: text(hit, "title"),
                    snippet: Some(snippet.chars().take(longest).collect()),
                })
            })
            .collect())
    }

    pub(super) async fn searchapi(&self) -> Results {
        let key = needed(self.config().get(&web::SEARCHAPI_API_KEY), "SEARCHAPI_API_KEY")?;
        let engine = self.config().get(&web::SEARCHAPI_ENGINE);
        let engine = if engine.is_empty() { "google" } else { &engine };
        let mut params = vec![("engine", engine), ("q", self.query), ("api_key", &key)];
        if engine.starts_with("google") {
            params.push(("link", "resolved"));
        }
        let answer = self
            .send(self.get("https://www.searchapi.io/api/v1/search", &params)?)
            .await?;
        let mut found = list(&answer, "/organic_results");
        found.extend(list(&answer, "/top_stories"));
        Ok(self.hits(found, ("link", "title", "snippet")))
    }

    pub(super) async fn serpapi(&self) -> Results {
        let key = needed(self.config().get(&web::SERPAPI_API_KEY), "SERPAPI_API_KEY")?;
        let engine = self.config().get(&web::SERPAPI_ENGINE);
        let engine = if engine.is_empty() { "google" } else { &engine };
        let params = [("engine", engine), ("q", self.query), ("api_key", &key)];
        let answer = self
            .send(self.get("https://serpapi.com/search", &params)?)
            .await?;
        let found = by_number(list(&answer, "/organic_results"), "position");
        Ok(self.hits(found, ("link", "title", "snippet")))
    }

    pub(super) async fn jina(&self) -> Results {
        let base = self.config().get(&web::JINA_API_BASE_URL);
        let address = if base.is_empty() {
            "https://s.jina.ai/"
        } else {
            &base
        };
        let body = json!({ "q": self.query, "count": self.count.min(10) });
        let request = self
            .post(address, &body)?
            .header(header::AUTHORIZATION, self.config().get(&web::JINA_API_KEY))
            .header("X-Retain-Images", "none");
        let answer = self.send(request).await?;
        Ok(self.hits(list(&answer, "/data"), ("url", "title", "content")))
    }

    pub(super) async fn bing(&self) -> Results {
        let address = self.config().get(&web::BING_SEARCH_V7_ENDPOINT);
        let (locale, count) = (self.config().get(&ui::DEFAULT_LOCALE), self.count.to_string());
        let params = [("q", self.query), ("mkt", locale.as_str()), ("count", &count)];
        let key = self.config().get(&web::BING_SEARCH_V7_SUBSCRIPTION_KEY);
        let request = self
            .get(&address, &params)?
            .header("Ocp-Apim-Subscription-Key", key);
        let answer = self.send(request).await?;
        Ok(self.hits(list(&answer, "/webPages/value"), ("url", "name", "snippet")))
    }

    /// An index of the operator's own, whose fields have any of the usual names.
    pub(super) async fn azure(&self) -> Results {
        let config = self.config();
        let key = config.get(&web::AZURE_AI_SEARCH_API_KEY);
        let endpoint = config.get(&web::AZURE_AI_SEARCH_ENDPOINT);
        let index = config.get(&web::AZURE_AI_SEARCH_INDEX_NAME);
        if key.is_empty() || endpoint.is_empty() || index.is_empty() {
            return Err(oui_loaders::LoadError::new(
                "AZURE_AI_SEARCH_API_KEY, AZURE_AI_SEARCH_ENDPOINT, and AZURE_AI_SEARCH_INDEX_NAME are required for Azure AI Search",
            ));
        }
        let endpoint = endpoint.trim_end_matches('/');
        let address = format!("{endpoint}/indexes('{index}')/docs/search.post.search?api-version=2024-07-01");
        let body = json!({ "search": self.query, "top": self.count });
        let answer = self
            .send(self.post(&address, &body)?.header("api-key", key))
            .await?;
        let found = list(&answer, "/value");
        Ok(self.kept(found.iter().filter_map(|hit| {
            let snippet = first(hit, &["content", "snippet", "description", "summary", "text"]);
            Some(SearchResult {
                link: first(hit, &["url", "link", "uri", "metadata_storage_path"])?,
                title: first(hit, &["title", "name", "metadata_title", "metadata_storage_name"]),
                snippet: snippet.map(shortened),
            })
        })))
    }

    pub(super) async fn microsoft_web_iq(&self) -> Results {
        let key = needed(
            self.config().get(&web::MICROSOFT_WEB_IQ_API_KEY),
            "MICROSOFT_WEB_IQ_API_KEY",
        )?;
        let base = self.config().get(&web::MICROSOFT_WEB_IQ_API_BASE_URL);
        let body = json!({
            "query": self.query, "maxResults": self.count, "contentFormat": "passage",
            "language": self.config().get(&web::MICROSOFT_WEB_IQ_LANGUAGE),
        });
        let address = format!("{}/search/web", base.trim_end_matches('/'));
        let answer = self
            .send(self.post(&address, &body)?.header("x-apikey", key))
            .await?;
        Ok(self.hits(list(&answer, "/webResults"), ("url", "title", "content")))
    }

    pub(super) async fn firecrawl(&self) -> Results {
        let (base, key) = self.firecrawl_settings();
        let body = json!({
            "query": self.query, "limit": self.count, "timeout": self.count * 3000, "ignoreInvalidURLs": true,
        });
        let mut request = self.post(&crate::pages::firecrawl_url(&base, "search"), &body)?;
        if !key.is_empty() {
            request = request.bearer_auth(key);
        }
        let answer = self.send(request).await?;
        let mut found = list(&answer, "/data");
        if found.is_empty() {
            found = list(&answer, "/data/web");
        }
        Ok(self.kept(found.iter().filter_map(|hit| {
            let meta = hit.get("metadata").unwrap_or(&Value::Null);
            let link =
                first(hit, &["url", "link"]).or_else(|| first(meta, &["url", "sourceURL", "source_url"]))?;
            let snippet = first(hit, &["description", "snippet"]).or_else(|| first(meta, &["description"]));
            Some(SearchResult {
                link,
                title: first(hit, &["title"]).or_else(|| first(meta, &["title"])),
                snippet,
            })
        })))
    }

    /// A service of the operator's own: a question in, a list of hits out.
    pub(super) async fn external(&self) -> Results {
        let address = self.config().get(&web::EXTERNAL_WEB_SEARCH_URL);
        let key = self.config().get(&web::EXTERNAL_WEB_SEARCH_API_KEY);
        let request = self
            .post(&address, &json!({ "query": self.query, "count": self.count }))?
            .header(header::USER_AGENT, crate::pages::BOT)
            .bearer_auth(key);
        let answer = self.send(request).await?;
        Ok(self.hits(list(&answer, ""), ("link", "title", "snippet")))
    }

    pub(super) async fn youcom(&self) -> Results {
        let count = self.count.to_string();
        let params = [("query", self.query), ("count", &count), ("language", "EN")];
        let key = self.config().get(&web::YOUCOM_API_KEY);
        let request = self
            .get("https://ydc-index.io/v1/search", &params)?
            .header("X-API-KEY", key);
        let answer = self.send(request).await?;
        Ok(self.with_snippets(list(&answer, "/results/web"), |hit| {
            let more = list(hit, "/snippets");
            let more = more.iter().map(|part| part.as_str().map(str::to_owned));
            joined(std::iter::once(text(hit, "description")).chain(more))
        }))
    }

    pub(super) async fn linkup(&self) -> Results {
        let key = needed(self.config().get(&web::LINKUP_API_KEY), "LINKUP_API_KEY")?;
        let mut body: Map<String, Value> = Map::new();
        body.insert("depth".into(), json!("standard"));
        body.insert("outputType".into(), json!("sourcedAnswer"));
        if let Value::Object(own) = self.config().get(&web::LINKUP_SEARCH_PARAMS) {
            body.extend(own);
        }
        let address = body
            .shift_remove("url")
            .and_then(|url| url.as_str().map(str::to_owned));
        let address = address.unwrap_or_else(|| "https://api.linkup.so/v1/search".into());
        body.insert("q".into(), json!(self.query));
        body.insert("maxResults".into(), json!(self.count));
        let sourced = body.get("outputType") == Some(&json!("sourcedAnswer"));
        let answer = self
            .send(self.post(&address, &Value::Object(body))?.bearer_auth(key))
            .await?;
        let found = list(&answer, if sourced { "/sources" } else { "/results" });
        Ok(self.kept(found.iter().map(|hit| SearchResult {
            link: text(hit, "url").unwrap_or_default(),
            title: first(hit, &["name", "title"]),
            snippet: first(hit, &["content", "text", "snippet"]),
        })))
    }
}

fn shortened(text: String) -> String {
    if text.chars().count() <= MAX_SNIPPET {
        return text;
    }
    let mut short: String = text.chars().take(MAX_SNIPPET - 3).collect();
    short.push_str("...");
    short
}
