//! The part `web` of the page about documents: searching the web, fetching pages and videos. Fields that are not
//! sent stay as they are.

use std::sync::Mutex;

use oui_config::{loaders, web, web_loader};
use oui_core::form::Issues;
use oui_web::pages::Changes;
use oui_web::{App, pages};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

pages! {
    /// The part, but for the language of videos' texts, which is remembered until the server stops.
    static PAGE = {
        ENABLE_WEB_SEARCH?: Option<bool> => web::ENABLE_WEB_SEARCH,
        ENABLE_WEB_SEARCH_CONFIRMATION?: Option<bool> => web::ENABLE_WEB_SEARCH_CONFIRMATION,
        WEB_SEARCH_CONFIRMATION_CONTENT?: Option<String> => web::WEB_SEARCH_CONFIRMATION_CONTENT,
        WEB_SEARCH_ENGINE?: Option<String> => web::WEB_SEARCH_ENGINE,
        WEB_SEARCH_TRUST_ENV?: Option<bool> => web::WEB_SEARCH_TRUST_ENV,
        WEB_SEARCH_RESULT_COUNT?: Option<i64> => web::WEB_SEARCH_RESULT_COUNT,
        WEB_SEARCH_CONCURRENT_REQUESTS?: Option<i64> => web::WEB_SEARCH_CONCURRENT_REQUESTS,
        WEB_FETCH_MAX_CONTENT_LENGTH?: Option<i64> => web_loader::WEB_FETCH_MAX_CONTENT_LENGTH,
        WEB_LOADER_CONCURRENT_REQUESTS?: Option<i64> => web_loader::WEB_LOADER_CONCURRENT_REQUESTS,
        WEB_SEARCH_DOMAIN_FILTER_LIST?: Option<Vec<String>> => web::WEB_SEARCH_DOMAIN_FILTER_LIST,
        BYPASS_WEB_SEARCH_EMBEDDING_AND_RETRIEVAL?: Option<bool> => web::BYPASS_WEB_SEARCH_EMBEDDING_AND_RETRIEVAL,
        BYPASS_WEB_SEARCH_WEB_LOADER?: Option<bool> => web::BYPASS_WEB_SEARCH_WEB_LOADER,
        OLLAMA_CLOUD_WEB_SEARCH_API_KEY?: Option<String> => web::OLLAMA_CLOUD_API_KEY,
        SEARXNG_QUERY_URL?: Option<String> => web::SEARXNG_QUERY_URL,
        SEARXNG_LANGUAGE?: Option<String> => web::SEARXNG_LANGUAGE,
        OPENSERP_BASE_URL?: Option<String> => web::OPENSERP_BASE_URL,
        YACY_QUERY_URL?: Option<String> => web::YACY_QUERY_URL,
        YACY_USERNAME?: Option<String> => web::YACY_USERNAME,
        YACY_PASSWORD?: Option<String> => web::YACY_PASSWORD,
        GOOGLE_PSE_API_KEY?: Option<String> => web::GOOGLE_PSE_API_KEY,
        GOOGLE_PSE_ENGINE_ID?: Option<String> => web::GOOGLE_PSE_ENGINE_ID,
        BRAVE_SEARCH_API_KEY?: Option<String> => web::BRAVE_SEARCH_API_KEY,
        BRAVE_SEARCH_CONTEXT_TOKENS~: i64 => web::BRAVE_SEARCH_CONTEXT_TOKENS,
        KAGI_SEARCH_API_KEY?: Option<String> => web::KAGI_SEARCH_API_KEY,
        MOJEEK_SEARCH_API_KEY?: Option<String> => web::MOJEEK_SEARCH_API_KEY,
        BOCHA_SEARCH_API_KEY?: Option<String> => web::BOCHA_SEARCH_API_KEY,
        SERPSTACK_API_KEY?: Option<String> => web::SERPSTACK_API_KEY,
        SERPSTACK_HTTPS?: Option<bool> => web::SERPSTACK_HTTPS,
        SERPER_API_KEY?: Option<String> => web::SERPER_API_KEY,
        SERPHOUSE_API_KEY?: Option<String> => web::SERPHOUSE_API_KEY,
        SERPHOUSE_DOMAIN?: Option<String> => web::SERPHOUSE_DOMAIN,
        SERPLY_API_KEY?: Option<String> => web::SERPLY_API_KEY,
        DDGS_BACKEND?: Option<String> => web::DDGS_BACKEND,
        TAVILY_API_KEY?: Option<String> => web::TAVILY_API_KEY,
        STAAN_API_KEY?: Option<String> => web::STAAN_API_KEY,
        STAAN_MARKET?: Option<String> => web::STAAN_MARKET,
        STAAN_MAX_SNIPPETS?: Option<i64> => web::STAAN_MAX_SNIPPETS,
        SEARCHAPI_API_KEY?: Option<String> => web::SEARCHAPI_API_KEY,
        SEARCHAPI_ENGINE?: Option<String> => web::SEARCHAPI_ENGINE,
        SERPAPI_API_KEY?: Option<String> => web::SERPAPI_API_KEY,
        SERPAPI_ENGINE?: Option<String> => web::SERPAPI_ENGINE,
        JINA_API_KEY?: Option<String> => web::JINA_API_KEY,
        JINA_API_BASE_URL?: Option<String> => web::JINA_API_BASE_URL,
        BING_SEARCH_V7_ENDPOINT?: Option<String> => web::BING_SEARCH_V7_ENDPOINT,
        BING_SEARCH_V7_SUBSCRIPTION_KEY?: Option<String> => web::BING_SEARCH_V7_SUBSCRIPTION_KEY,
        EXA_API_KEY?: Option<String> => web::EXA_API_KEY,
        EXA_MAX_CONTENT_LENGTH? by length => web::EXA_MAX_CONTENT_LENGTH,
        PERPLEXITY_API_KEY?: Option<String> => web::PERPLEXITY_API_KEY,
        PERPLEXITY_MODEL?: Option<String> => web::PERPLEXITY_MODEL,
        PERPLEXITY_SEARCH_CONTEXT_USAGE?: Option<String> => web::PERPLEXITY_SEARCH_CONTEXT_USAGE,
        PERPLEXITY_SEARCH_API_URL?: Option<String> => web::PERPLEXITY_SEARCH_API_URL,
        MICROSOFT_WEB_IQ_API_BASE_URL?: Option<String> => web::MICROSOFT_WEB_IQ_API_BASE_URL,
        MICROSOFT_WEB_IQ_API_KEY?: Option<String> => web::MICROSOFT_WEB_IQ_API_KEY,
        MICROSOFT_WEB_IQ_LANGUAGE?: Option<String> => web::MICROSOFT_WEB_IQ_LANGUAGE,
        SOUGOU_API_SID?: Option<String> => web::SOUGOU_API_SID,
        SOUGOU_API_SK?: Option<String> => web::SOUGOU_API_SK,
        WEB_LOADER_ENGINE?: Option<String> => web_loader::WEB_LOADER_ENGINE,
        WEB_LOADER_TIMEOUT?: Option<String> => web_loader::WEB_LOADER_TIMEOUT,
        ENABLE_WEB_LOADER_SSL_VERIFICATION?: Option<bool> => web_loader::ENABLE_WEB_LOADER_SSL_VERIFICATION,
        PLAYWRIGHT_WS_URL?: Option<String> => web_loader::PLAYWRIGHT_WS_URL,
        PLAYWRIGHT_TIMEOUT?: Option<i64> => web_loader::PLAYWRIGHT_TIMEOUT,
        FIRECRAWL_API_KEY?: Option<String> => web_loader::FIRECRAWL_API_KEY,
        FIRECRAWL_API_BASE_URL?: Option<String> => web_loader::FIRECRAWL_API_BASE_URL,
        FIRECRAWL_TIMEOUT?: Option<String> => web_loader::FIRECRAWL_TIMEOUT,
        TAVILY_EXTRACT_DEPTH?: Option<String> => web::TAVILY_EXTRACT_DEPTH,
        TAVILY_SEARCH_DEPTH?: Option<String> => web::TAVILY_SEARCH_DEPTH,
        EXTERNAL_WEB_SEARCH_URL?: Option<String> => web::EXTERNAL_WEB_SEARCH_URL,
        EXTERNAL_WEB_SEARCH_API_KEY?: Option<String> => web::EXTERNAL_WEB_SEARCH_API_KEY,
        EXTERNAL_WEB_LOADER_URL?: Option<String> => web_loader::EXTERNAL_WEB_LOADER_URL,
        EXTERNAL_WEB_LOADER_API_KEY?: Option<String> => web_loader::EXTERNAL_WEB_LOADER_API_KEY,
        YOUTUBE_LOADER_LANGUAGE?: Option<Vec<String>> => loaders::YOUTUBE_LOADER_LANGUAGE,
        YOUTUBE_LOADER_PROXY_URL?: Option<String> => loaders::YOUTUBE_LOADER_PROXY_URL,
        YANDEX_WEB_SEARCH_URL?: Option<String> => web::YANDEX_WEB_SEARCH_URL,
        YANDEX_WEB_SEARCH_API_KEY?: Option<String> => web::YANDEX_WEB_SEARCH_API_KEY,
        YANDEX_WEB_SEARCH_CONFIG?: Option<String> => web::YANDEX_WEB_SEARCH_CONFIG,
        YOUCOM_API_KEY?: Option<String> => web::YOUCOM_API_KEY,
        LINKUP_API_KEY?: Option<String> => web::LINKUP_API_KEY,
        LINKUP_SEARCH_PARAMS?: Option<Object> => web::LINKUP_SEARCH_PARAMS,
    };
}

/// The field that only the page has, not the answer to a change.
pub(super) const SHOWN_ONLY: &str = "DDGS_BACKEND";

const TRANSLATION: &str = "YOUTUBE_LOADER_TRANSLATION";

/// Language that texts of videos are translated to. As in the reference it is no configuration key.
#[derive(Default)]
struct Translation(Mutex<Value>);

/// A filled-in part.
#[derive(Default)]
pub(super) struct Part {
    /// What to store.
    pub(super) changes: Changes,
    /// The language for texts of videos, when sent.
    pub(super) translation: Option<Value>,
}

/// A length, no text that reads like one.
fn length(input: &Value, issues: &mut Issues) -> Option<Value> {
    match input.as_i64() {
        _ if input.is_null() => Some(Value::Null),
        Some(length) if length > 0 => Some(input.clone()),
        Some(_) => {
            let text = "Input should be greater than 0";
            issues.push_ctx("greater_than", text, input, serde_json::json!({ "gt": 0 }));
            None
        }
        None => {
            issues.push("int_type", "Input should be a valid integer", input);
            None
        }
    }
}

/// The part as it stands.
pub(super) fn show(app: &App) -> Object {
    let mut part = PAGE.show(&app.config.snapshot());
    let kept = app.memo::<Translation>();
    let language = kept.0.lock().map(|kept| kept.clone());
    part.insert(TRANSLATION.into(), language.unwrap_or_default());
    part
}

/// Reads the part at the present place of a form.
pub(super) fn read(input: &Value, issues: &mut Issues) -> Option<Part> {
    let changes = PAGE.read(input, issues);
    let translation = input.get(TRANSLATION).map(|value| {
        issues.inside(TRANSLATION, |issues| {
            <Option<String> as oui_core::Field>::parse(value, issues)
        })
    });
    let translation = match translation {
        None => None,
        Some(language) => Some(Value::from(language?)),
    };
    Some(Part {
        changes: changes?,
        translation,
    })
}

/// Remembers the language for texts of videos.
pub(super) fn remember(app: &App, translation: Option<Value>) {
    if let (Some(language), Ok(mut kept)) = (translation, app.memo::<Translation>().0.lock()) {
        *kept = language;
    }
}
