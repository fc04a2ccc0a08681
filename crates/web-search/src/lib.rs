//! The web as a source of texts: pages and transcripts by address, and search engines. Addresses that users name are
//! checked before and while connecting; hosts of the operator's own choosing are not.

pub mod address;
mod browser;
mod fetch;
mod pages;
pub mod search;
mod youtube;

use std::sync::Arc;

use oui_config::{Config, Settings};
use oui_core::Clock;
use oui_loaders::LoadError;

pub use fetch::{Asked, CheckedHttp, Fetched, TOO_LARGE, TOO_MANY_REDIRECTS};
pub use pages::{PageLoader, USER_AGENT};
pub use search::{SearchResult, WebSearch};
pub use youtube::is_youtube_url;

/// The web, for the application.
pub struct Web {
    /// Pages by address.
    pub pages: PageLoader,
    /// Search engines.
    pub search: WebSearch,
}

impl Web {
    /// As configured.
    ///
    /// # Errors
    /// When the TLS of the system can not be used.
    pub fn new(config: Arc<Config>, settings: Arc<Settings>, clock: Clock) -> Result<Self, LoadError> {
        Ok(Self {
            pages: PageLoader::new(config.clone(), settings.clone())?,
            search: WebSearch::new(config, settings, clock)?,
        })
    }
}

/// An address that may not be fetched.
pub const INVALID_URL: &str = "The URL you provided is invalid. Please double-check and try again.";
