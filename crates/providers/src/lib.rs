//! Model providers: where they are ([`Connection`]), what they offer ([`ModelCatalogue`]), how a chat
//! call reaches them ([`ProviderClient`]) and how the streams that come back are read ([`sse`], [`chunk`]).
//!
//! One file per wire format. Nothing here knows the database, the workspace models or who may use what:
//! callers hand in connections made from stored values, the caller's identity and a finished payload.

pub mod anthropic;
pub mod azure;
mod catalogue;
pub mod chunk;
mod connections;
mod context;
mod entra;
pub mod guarded;
mod headers;
mod http;
mod joined;
pub mod management;
mod models;
pub mod ndjson;
pub mod ollama;
pub mod ollama_blobs;
pub mod ollama_payload;
pub mod ollama_reply;
pub mod openai;
pub mod openai_payload;
pub mod params;
mod provider_error;
pub mod python;
mod reply;
pub mod responses;
pub mod responses_stream;
mod rewrite;
mod secret;
pub mod sse;
mod tls;
pub mod usage;
mod verify;

pub use catalogue::{CatalogueWarning, ModelCatalogue, ModelSnapshot};
pub use connections::{Connection, ProviderKind, ProviderSettings, SETTING_KEYS};
pub use context::{CallContext, CallUser, GroupName};
pub use entra::{Entra, EntraOptions};
pub use guarded::{GuardOptions, Guarded};
pub use headers::ForwardHeaders;
pub use http::{Http, HttpOptions, Timeouts};
pub use joined::Joined;
pub use models::{ollama_base_models, strip_model_prefix};
pub use ollama::OllamaClient;
pub use openai::{OpenAiClient, PassedCall, SpokenError};
pub use provider_error::{ProviderError, UpstreamError};
pub use python::repr as python_repr;
pub use reply::{ByteStream, ChatReply, StreamError, UpstreamStream};
pub use secret::Secret;
pub use tls::TlsVerify;
pub use verify::{list_models, verify_ollama, verify_openai};

use oui_core::Clock;
use oui_core::boxed;
use serde_json::Value;

/// Both wire formats over one connection pool, chosen by the connection's kind.
#[derive(Clone, Debug)]
pub struct ProviderClient {
    /// The shared pool.
    pub http: Http,
    /// OpenAI-compatible servers.
    pub openai: OpenAiClient,
    /// Ollama servers.
    pub ollama: OllamaClient,
    /// Tokens of Microsoft Entra.
    pub entra: Entra,
}

impl ProviderClient {
    /// Clients over one pool. Cloning is cheap; build one for the process.
    pub fn new(http: Http, clock: Clock) -> Self {
        Self {
            openai: OpenAiClient::new(http.clone()),
            ollama: OllamaClient::new(http.clone(), clock),
            entra: Entra::new(http.clone()),
            http,
        }
    }

    /// A chat completion in OpenAI form, whatever the provider speaks.
    #[boxed]
    pub async fn chat(
        &self,
        connection: &Connection,
        payload: Value,
        context: &CallContext,
    ) -> Result<ChatReply, ProviderError> {
        match connection.kind {
            ProviderKind::OpenAi => self.openai.chat(connection, payload, context).await,
            ProviderKind::Ollama => self.ollama.chat(connection, payload, context).await,
        }
    }
}
