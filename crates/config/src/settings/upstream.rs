//! Calls to other servers: time limits, certificates, and the user details sent along.

use std::path::PathBuf;
use std::time::Duration;

use super::spec::{Spec, flag, int, optional_path, optional_seconds, optional_secret, settings, text};
use crate::secret::Secret;

settings! {
    "Calls to other servers";
    /// Time limits and certificates of outgoing calls.
    pub struct Upstream {
        /// Seconds a call to a provider may take; empty means no limit.
        AIOHTTP_CLIENT_TIMEOUT => pub timeout: Option<Duration> = optional_seconds("").wrong_is("300");
        /// Seconds without data after which a stream is given up; empty means no limit.
        AIOHTTP_CLIENT_STREAM_IDLE_TIMEOUT => pub stream_idle_timeout: Option<Duration> =
            optional_seconds("");
        /// Seconds the list of models may take; empty means no limit.
        AIOHTTP_CLIENT_TIMEOUT_MODEL_LIST => pub model_list_timeout: Option<Duration> =
            optional_seconds("10").or(&["AIOHTTP_CLIENT_TIMEOUT_OPENAI_MODEL_LIST"]);
        /// Seconds a tool may take; empty uses `AIOHTTP_CLIENT_TIMEOUT`.
        AIOHTTP_CLIENT_TIMEOUT_TOOL_SERVER => pub tool_timeout: Option<Duration> = optional_seconds("");
        /// Seconds the description of a tool server may take; empty means no limit.
        AIOHTTP_CLIENT_TIMEOUT_TOOL_SERVER_DATA => pub tool_data_timeout: Option<Duration> =
            optional_seconds("10");
        /// Seconds an MCP request other than a tool call may take.
        MCP_INITIALIZE_TIMEOUT => pub mcp_timeout: Duration = super::spec::seconds("10");
        /// Seconds an embedding call may take; empty means no limit.
        RAG_EMBEDDING_TIMEOUT => pub embedding_timeout: Option<Duration> = optional_seconds("");
        /// Checks certificates: `true`, `false`, or a file with certificate authorities.
        AIOHTTP_CLIENT_SESSION_SSL => pub tls: TlsVerify = Spec::new("true, false or a file", "true", tls);
        /// The same for tool servers.
        AIOHTTP_CLIENT_SESSION_TOOL_SERVER_SSL => pub tool_tls: TlsVerify =
            Spec::new("true, false or a file", "true", tls);
        /// File with certificate authorities for all calls that check certificates.
        AIOHTTP_CLIENT_SSL_CERT_FILE => pub(crate) ca_file: Option<PathBuf> = optional_path();
        /// Checks certificates of the simple calls, such as search engines.
        REQUESTS_VERIFY => pub simple_tls: bool = flag("true");
        /// Follows redirects.
        AIOHTTP_CLIENT_ALLOW_REDIRECTS => pub follow_redirects: bool = flag("false");
        /// User agent for fetching web pages; empty uses the built-in one.
        USER_AGENT => pub user_agent: String = text("");
        /// Lets web pages on private addresses be fetched.
        ENABLE_LOCAL_WEB_FETCH => pub private_web_fetch: bool =
            flag("false").or(&["ENABLE_RAG_LOCAL_WEB_FETCH"]);
        /// Hosts that may be fetched or, with a leading `!`, may not, separated by commas; adds to the
        /// built-in list.
        WEB_FETCH_FILTER_LIST => pub web_fetch_filter: Vec<String> = super::spec::list("");
        /// Origins on private networks that connected apps may have, separated by commas.
        APP_ALLOWED_PRIVATE_ORIGINS => pub app_private_origins: Vec<String> = super::spec::list("");
    }
}

settings! {
    "User details in calls";
    /// Headers that tell other servers about the user.
    pub struct Forwarding {
        /// Sends user details to providers and tool servers.
        ENABLE_FORWARD_USER_INFO_HEADERS => pub enabled: bool = flag("false");
        /// Header with the name.
        FORWARD_USER_INFO_HEADER_USER_NAME => pub user_name: String = text("X-OpenWebUI-User-Name");
        /// Header with the id.
        FORWARD_USER_INFO_HEADER_USER_ID => pub user_id: String = text("X-OpenWebUI-User-Id");
        /// Header with the e-mail.
        FORWARD_USER_INFO_HEADER_USER_EMAIL => pub user_email: String = text("X-OpenWebUI-User-Email");
        /// Header with the role.
        FORWARD_USER_INFO_HEADER_USER_ROLE => pub user_role: String = text("X-OpenWebUI-User-Role");
        /// Header with the way of sign-in.
        FORWARD_USER_INFO_HEADER_AUTH_TYPE => pub auth_type: String = text("X-OpenWebUI-Auth-Type");
        /// Header with the chat.
        FORWARD_SESSION_INFO_HEADER_CHAT_ID => pub chat_id: String = text("X-OpenWebUI-Chat-Id");
        /// Header with the message.
        FORWARD_SESSION_INFO_HEADER_MESSAGE_ID => pub message_id: String = text("X-OpenWebUI-Message-Id");
        /// Secret; if set, one signed token replaces the headers about the user.
        FORWARD_USER_INFO_HEADER_JWT_SECRET => pub jwt_secret: Option<Secret> = Spec::new("a text", "", |text| {
            let text = text.trim();
            Some((!text.is_empty()).then(|| Secret::new(text)))
        }).secret();
        /// Header with that token.
        FORWARD_USER_INFO_HEADER_JWT => pub jwt: String = text("X-OpenWebUI-User-Jwt");
        /// Seconds that token is valid.
        FORWARD_USER_INFO_HEADER_JWT_EXPIRES_SECONDS => pub jwt_lifetime: i64 = int("300");
    }
}

settings! {
    "Microsoft Entra";
    /// The identity of the process, for connections that sign in with Microsoft Entra.
    pub struct Entra {
        /// Tenant.
        AZURE_TENANT_ID => pub tenant: String = text("");
        /// Application.
        AZURE_CLIENT_ID => pub client: String = text("");
        /// Secret of the application.
        AZURE_CLIENT_SECRET => pub client_secret: Option<Secret> = optional_secret();
        /// File with the token of a Kubernetes workload, in place of a secret.
        AZURE_FEDERATED_TOKEN_FILE => pub token_file: Option<PathBuf> = optional_path();
        /// Address of the sign-in.
        AZURE_AUTHORITY_HOST => pub authority: String = text("https://login.microsoftonline.com");
        /// Where a hosted application asks for its identity; set by the host.
        IDENTITY_ENDPOINT => pub endpoint: String = text("");
        /// What it has to say there; set by the host.
        IDENTITY_HEADER => pub header: Option<Secret> = optional_secret();
    }
}

/// How certificates of other servers are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsVerify {
    /// Against the usual authorities.
    On,
    /// Not at all.
    Off,
    /// Against the authorities in this file.
    CaFile(PathBuf),
}

fn tls(text: &str) -> Option<TlsVerify> {
    let text = text.trim();
    Some(match text.to_lowercase().as_str() {
        "true" | "" => TlsVerify::On,
        "false" => TlsVerify::Off,
        _ => TlsVerify::CaFile(PathBuf::from(text)),
    })
}
