//! Keys of fetching web pages.

use crate::key::{Key, keys};

keys! {
    "Web pages";

    /// Characters of a fetched page given to a model; unset means no limit.
    pub static WEB_FETCH_MAX_CONTENT_LENGTH: Key<Option<i64>> =
        Key::optional_int("web.fetch.max_content_length");
    /// Who fetches pages; empty uses the built-in fetcher.
    pub static WEB_LOADER_ENGINE: Key<String> = Key::text("web.loader.engine", "");
    /// Pages fetched at the same time.
    pub static WEB_LOADER_CONCURRENT_REQUESTS: Key<i64> = Key::int("web.loader.concurrent_requests", 10);
    /// Seconds a fetch may take; empty means no limit.
    pub static WEB_LOADER_TIMEOUT: Key<Option<f64>> = Key::loose_float("web.loader.timeout", "");
    /// Checks the certificates of fetched pages.
    pub static ENABLE_WEB_LOADER_SSL_VERIFICATION: Key<bool> = Key::bool("web.loader.ssl_verification", true);
    /// Address of a Playwright browser.
    pub static PLAYWRIGHT_WS_URL: Key<String> = Key::text("web.loader.playwright_ws_url", "");
    /// Milliseconds the Playwright browser may take.
    pub static PLAYWRIGHT_TIMEOUT: Key<i64> = Key::int("web.loader.playwright_timeout", 10_000);
    /// Key of Firecrawl.
    pub static FIRECRAWL_API_KEY: Key<String> = Key::text("web.loader.firecrawl_api_key", "").secret();
    /// Address of Firecrawl.
    pub static FIRECRAWL_API_BASE_URL: Key<String> =
        Key::text("web.loader.firecrawl_api_url", "https://api.firecrawl.dev");
    /// Seconds Firecrawl may take; empty means its own limit.
    pub static FIRECRAWL_TIMEOUT: Key<Option<f64>> = Key::loose_float("web.loader.firecrawl_timeout", "");
    /// Address of your own page service.
    pub static EXTERNAL_WEB_LOADER_URL: Key<String> = Key::text("web.loader.external_web_loader_url", "");
    /// Key of your own page service.
    pub static EXTERNAL_WEB_LOADER_API_KEY: Key<String> =
        Key::text("web.loader.external_web_loader_api_key", "").secret();
}
