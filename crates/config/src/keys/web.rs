//! Keys of web search and its engines.

use serde_json::Value;

use crate::key::{Key, keys};

keys! {
    "Web search";

    /// Offers web search.
    pub static ENABLE_WEB_SEARCH: Key<bool> = Key::bool("web.search.enable", false);
    /// Asks users before their query leaves the server.
    pub static ENABLE_WEB_SEARCH_CONFIRMATION: Key<bool> = Key::bool("web.search.confirmation.enable", false);
    /// Text of that question.
    pub static WEB_SEARCH_CONFIRMATION_CONTENT: Key<String> = Key::text(
        "web.search.confirmation.content",
        "Your query will be sent to the configured web search provider.",
    );
    /// Search engine in use.
    pub static WEB_SEARCH_ENGINE: Key<String> = Key::text("web.search.engine", "");
    /// Gives whole pages to the model instead of retrieved chunks.
    pub static BYPASS_WEB_SEARCH_EMBEDDING_AND_RETRIEVAL: Key<bool> =
        Key::bool("web.search.bypass_embedding_and_retrieval", false);
    /// Uses the snippets of the engine and fetches no page.
    pub static BYPASS_WEB_SEARCH_WEB_LOADER: Key<bool> = Key::bool("web.search.bypass_web_loader", false);
    /// Results taken from one search.
    pub static WEB_SEARCH_RESULT_COUNT: Key<i64> = Key::int("web.search.result_count", 3);
    /// Hosts to keep or, with a leading `!`, to drop, as a JSON list.
    pub static WEB_SEARCH_DOMAIN_FILTER_LIST: Key<Vec<String>> =
        Key::json_list("web.search.domain.filter_list");
    /// Searches at the same time; 0 means no limit.
    pub static WEB_SEARCH_CONCURRENT_REQUESTS: Key<i64> = Key::int("web.search.concurrent_requests", 0);
    /// Follows the proxy variables of the environment.
    pub static WEB_SEARCH_TRUST_ENV: Key<bool> = Key::bool("web.search.trust_env", true);
    /// Key of Ollama web search.
    pub static OLLAMA_CLOUD_API_KEY: Key<String> = Key::text("web.search.ollama_cloud_api_key", "").secret();
    /// Query address of SearXNG.
    pub static SEARXNG_QUERY_URL: Key<String> = Key::text("web.search.searxng_query_url", "");
    /// Address of OpenSERP.
    pub static OPENSERP_BASE_URL: Key<String> =
        Key::text("web.search.openserp_base_url", "http://localhost:7000");
    /// Language asked of SearXNG.
    pub static SEARXNG_LANGUAGE: Key<String> = Key::text("web.search.searxng_language", "all");
    /// Query address of YaCy.
    pub static YACY_QUERY_URL: Key<String> = Key::text("web.search.yacy_query_url", "");
    /// User of YaCy.
    pub static YACY_USERNAME: Key<String> = Key::text("web.search.yacy_username", "");
    /// Password of YaCy.
    pub static YACY_PASSWORD: Key<String> = Key::text("web.search.yacy_password", "").secret();
    /// Key of Google Programmable Search.
    pub static GOOGLE_PSE_API_KEY: Key<String> = Key::text("web.search.google_pse_api_key", "").secret();
    /// Engine of Google Programmable Search.
    pub static GOOGLE_PSE_ENGINE_ID: Key<String> = Key::text("web.search.google_pse_engine_id", "");
    /// Key of Brave Search.
    pub static BRAVE_SEARCH_API_KEY: Key<String> = Key::text("web.search.brave_search_api_key", "").secret();
    /// Tokens of context asked of Brave.
    pub static BRAVE_SEARCH_CONTEXT_TOKENS: Key<i64> =
        Key::int("web.search.brave_search_context_tokens", 8192);
    /// Key of Kagi.
    pub static KAGI_SEARCH_API_KEY: Key<String> = Key::text("web.search.kagi_search_api_key", "").secret();
    /// Key of Mojeek.
    pub static MOJEEK_SEARCH_API_KEY: Key<String> =
        Key::text("web.search.mojeek_search_api_key", "").secret();
    /// Key of Bocha.
    pub static BOCHA_SEARCH_API_KEY: Key<String> = Key::text("web.search.bocha_search_api_key", "").secret();
    /// Key of serpstack.
    pub static SERPSTACK_API_KEY: Key<String> = Key::text("web.search.serpstack_api_key", "").secret();
    /// Calls serpstack over HTTPS.
    pub static SERPSTACK_HTTPS: Key<bool> = Key::bool("web.search.serpstack_https", true);
    /// Key of Serper.
    pub static SERPER_API_KEY: Key<String> = Key::text("web.search.serper_api_key", "").secret();
    /// Key of Serply.
    pub static SERPLY_API_KEY: Key<String> = Key::text("web.search.serply_api_key", "").secret();
    /// Key of SERPHouse.
    pub static SERPHOUSE_API_KEY: Key<String> = Key::text("web.search.serphouse_api_key", "").secret();
    /// Google domain asked of SERPHouse.
    pub static SERPHOUSE_DOMAIN: Key<String> = Key::text("web.search.serphouse_domain", "google.com");
    /// Backend behind DuckDuckGo search.
    pub static DDGS_BACKEND: Key<String> = Key::text("web.search.ddgs_backend", "auto");
    /// Key of Jina.
    pub static JINA_API_KEY: Key<String> = Key::text("web.search.jina_api_key", "").secret();
    /// Address of Jina; empty uses its public one.
    pub static JINA_API_BASE_URL: Key<String> = Key::text("web.search.jina_api_base_url", "");
    /// Key of SearchApi.
    pub static SEARCHAPI_API_KEY: Key<String> = Key::text("web.search.searchapi_api_key", "").secret();
    /// Engine asked of SearchApi.
    pub static SEARCHAPI_ENGINE: Key<String> = Key::text("web.search.searchapi_engine", "");
    /// Key of SerpApi.
    pub static SERPAPI_API_KEY: Key<String> = Key::text("web.search.serpapi_api_key", "").secret();
    /// Engine asked of SerpApi.
    pub static SERPAPI_ENGINE: Key<String> = Key::text("web.search.serpapi_engine", "");
    /// Address of Bing Search.
    pub static BING_SEARCH_V7_ENDPOINT: Key<String> =
        Key::text("web.search.bing_search_v7_endpoint", "https://api.bing.microsoft.com/v7.0/search");
    /// Key of Bing Search.
    pub static BING_SEARCH_V7_SUBSCRIPTION_KEY: Key<String> =
        Key::text("web.search.bing_search_v7_subscription_key", "").secret();
    /// Key of Azure AI Search.
    pub static AZURE_AI_SEARCH_API_KEY: Key<String> =
        Key::text("web.search.azure_ai_search_api_key", "").secret();
    /// Address of Azure AI Search.
    pub static AZURE_AI_SEARCH_ENDPOINT: Key<String> = Key::text("web.search.azure_ai_search_endpoint", "");
    /// Index of Azure AI Search.
    pub static AZURE_AI_SEARCH_INDEX_NAME: Key<String> =
        Key::text("web.search.azure_ai_search_index_name", "");
    /// Key of Exa.
    pub static EXA_API_KEY: Key<String> = Key::text("web.search.exa_api_key", "").secret();
    /// Characters of a page asked of Exa; unset means its own limit.
    pub static EXA_MAX_CONTENT_LENGTH: Key<Option<i64>> =
        Key::optional_int("web.search.exa_max_content_length").positive();
    /// Key of Perplexity.
    pub static PERPLEXITY_API_KEY: Key<String> = Key::text("web.search.perplexity_api_key", "").secret();
    /// Model of Perplexity.
    pub static PERPLEXITY_MODEL: Key<String> = Key::text("web.search.perplexity_model", "sonar");
    /// Context size asked of Perplexity: `low`, `medium` or `high`.
    pub static PERPLEXITY_SEARCH_CONTEXT_USAGE: Key<String> =
        Key::text("web.search.perplexity_search_context_usage", "medium");
    /// Address of Perplexity Search.
    pub static PERPLEXITY_SEARCH_API_URL: Key<String> =
        Key::text("web.search.perplexity_search_api_url", "https://api.perplexity.ai/search");
    /// Address of Microsoft Web IQ.
    pub static MICROSOFT_WEB_IQ_API_BASE_URL: Key<String> =
        Key::text("web.search.microsoft_web_iq_api_base_url", "https://api.microsoft.ai/v3");
    /// Key of Microsoft Web IQ.
    pub static MICROSOFT_WEB_IQ_API_KEY: Key<String> =
        Key::text("web.search.microsoft_web_iq_api_key", "").secret();
    /// Language asked of Microsoft Web IQ.
    pub static MICROSOFT_WEB_IQ_LANGUAGE: Key<String> =
        Key::text("web.search.microsoft_web_iq_language", "en");
    /// Account of Sougou.
    pub static SOUGOU_API_SID: Key<String> = Key::text("web.search.sougou_api_sid", "");
    /// Key of Sougou.
    pub static SOUGOU_API_SK: Key<String> = Key::text("web.search.sougou_api_sk", "").secret();
    /// Key of Tavily.
    pub static TAVILY_API_KEY: Key<String> = Key::text("web.search.tavily_api_key", "").secret();
    /// Depth of page extraction by Tavily: `basic` or `advanced`.
    pub static TAVILY_EXTRACT_DEPTH: Key<String> = Key::text("web.search.tavily_extract_depth", "basic");
    /// Depth of search by Tavily: `basic` or `advanced`.
    pub static TAVILY_SEARCH_DEPTH: Key<String> = Key::text("web.search.tavily_search_depth", "basic");
    /// Key of Staan.
    pub static STAAN_API_KEY: Key<String> = Key::text("web.search.staan_api_key", "").secret();
    /// Market asked of Staan.
    pub static STAAN_MARKET: Key<String> = Key::text("web.search.staan_market", "en-us");
    /// Snippets asked of Staan; 0 leaves it to Staan.
    pub static STAAN_MAX_SNIPPETS: Key<i64> = Key::int("web.search.staan_max_snippets", 0);
    /// Address of your own search service.
    pub static EXTERNAL_WEB_SEARCH_URL: Key<String> = Key::text("web.search.external_web_search_url", "");
    /// Key of your own search service.
    pub static EXTERNAL_WEB_SEARCH_API_KEY: Key<String> =
        Key::text("web.search.external_web_search_api_key", "").secret();
    /// Address of Yandex Search.
    pub static YANDEX_WEB_SEARCH_URL: Key<String> = Key::text("web.search.yandex_web_search_url", "");
    /// Key of Yandex Search.
    pub static YANDEX_WEB_SEARCH_API_KEY: Key<String> =
        Key::text("web.search.yandex_web_search_api_key", "").secret();
    /// More Yandex options, as a JSON text.
    pub static YANDEX_WEB_SEARCH_CONFIG: Key<String> = Key::text("web.search.yandex_web_search_config", "");
    /// Key of You.com.
    pub static YOUCOM_API_KEY: Key<String> =
        Key::text("web.search.youcom_api_key", "").or_env(&["YDC_API_KEY"]).secret();
    /// Key of Linkup.
    pub static LINKUP_API_KEY: Key<String> = Key::text("web.search.linkup_api_key", "").secret();
    /// More Linkup parameters, as a JSON object.
    pub static LINKUP_SEARCH_PARAMS: Key<Value> = Key::object("web.search.linkup_search_params");
}
