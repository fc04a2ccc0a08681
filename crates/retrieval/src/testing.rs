//! What tests of several engines share.

use oui_core::Clock;
use oui_providers::{Http, HttpOptions};

/// The client that the server makes.
pub(crate) fn client() -> reqwest::Client {
    let http = Http::new(HttpOptions::default(), Clock::system()).unwrap();
    http.client().clone()
}
