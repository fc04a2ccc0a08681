//! Tokens of Microsoft Entra for connections of auth type `azure_ad` (`microsoft_entra_id`): the identity that the
//! process runs as, found in the order of Microsoft's own libraries. A token is kept until shortly before its end.

use oui_core::boxed;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::http::Http;
use crate::python::quote;
use crate::secret::Secret;

/// What the token is for.
const RESOURCE: &str = "https://cognitiveservices.azure.com";

/// Where virtual machines ask for the identity that they were given.
const MACHINE: &str = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01";

/// How long each way of getting a token may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A token is renewed this long before its end; after a failure the next try waits as long.
const MARGIN: Duration = Duration::from_secs(60);

/// The identity of the process, from the variables of Microsoft's libraries.
#[derive(Debug, Clone, Default)]
pub struct EntraOptions {
    /// `AZURE_TENANT_ID`.
    pub tenant: String,
    /// `AZURE_CLIENT_ID`.
    pub client: String,
    /// `AZURE_CLIENT_SECRET`.
    pub secret: Option<Secret>,
    /// `AZURE_FEDERATED_TOKEN_FILE`: the token of a Kubernetes workload.
    pub token_file: Option<PathBuf>,
    /// `AZURE_AUTHORITY_HOST`.
    pub authority: String,
    /// `IDENTITY_ENDPOINT`: where hosted applications ask.
    pub endpoint: String,
    /// `IDENTITY_HEADER`.
    pub header: Option<Secret>,
}

/// Gets tokens. Clones share what they have.
#[derive(Clone)]
pub struct Entra {
    http: Http,
    kept: Arc<Mutex<Option<Kept>>>,
}

struct Kept {
    token: Option<Secret>,
    until: Instant,
}

impl std::fmt::Debug for Entra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entra").finish_non_exhaustive()
    }
}

impl Entra {
    /// Tokens for the identity that the pool's options describe.
    pub fn new(http: Http) -> Self {
        Self {
            http,
            kept: Arc::default(),
        }
    }

    /// A token, if the process has an identity. Who asks at the same time waits for the same request.
    #[boxed]
    pub async fn token(&self) -> Option<Secret> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until > Instant::now()) {
            return kept.token.clone();
        }
        let found = match tokio::time::timeout(PATIENCE, self.ask()).await {
            Ok(found) => found,
            Err(_) => Err("no answer in time".to_owned()),
        };
        let (token, life) = match found {
            Ok((token, life)) => (Some(token), life.saturating_sub(MARGIN)),
            Err(error) => {
                tracing::error!(error, "no Microsoft Entra token");
                (None, MARGIN)
            }
        };
        *kept = Some(Kept {
            token: token.clone(),
            until: Instant::now() + life,
        });
        token
    }

    async fn ask(&self) -> Result<(Secret, Duration), String> {
        let options = &self.http.options().entra;
        let named = !options.tenant.is_empty() && !options.client.is_empty();
        if let Some(secret) = options.secret.as_ref().filter(|_| named) {
            return self.sign_in("client_secret", secret.expose()).await;
        }
        if let Some(file) = options.token_file.as_ref().filter(|_| named) {
            let assertion = tokio::fs::read_to_string(file)
                .await
                .map_err(|error| error.to_string())?;
            let kind = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&\
                        client_assertion";
            return self.sign_in(kind, assertion.trim()).await;
        }
        self.managed().await
    }

    /// Signs in as an application; `proof` is the field that its secret goes into.
    async fn sign_in(&self, proof: &str, secret: &str) -> Result<(Secret, Duration), String> {
        let options = &self.http.options().entra;
        let authority = options.authority.trim_end_matches('/');
        let url = format!("{authority}/{}/oauth2/v2.0/token", quote(&options.tenant, b""));
        let form = format!(
            "grant_type=client_credentials&client_id={}&scope={}&{proof}={}",
            quote(&options.client, b""),
            quote(&format!("{RESOURCE}/.default"), b""),
            quote(secret, b""),
        );
        let request = self
            .http
            .client()
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        read(request).await
    }

    /// The identity that the host gave to the application or the machine.
    async fn managed(&self) -> Result<(Secret, Duration), String> {
        let options = &self.http.options().entra;
        let resource = quote(RESOURCE, b"");
        let client = match options.client.as_str() {
            "" => String::new(),
            client => format!("&client_id={}", quote(client, b"")),
        };
        let client_of = self.http.client();
        let request = match &options.header {
            Some(header) if !options.endpoint.is_empty() => {
                let url = format!(
                    "{}?api-version=2019-08-01&resource={resource}{client}",
                    options.endpoint
                );
                client_of.get(url).header("x-identity-header", header.expose())
            }
            _ => client_of
                .get(format!("{MACHINE}&resource={resource}{client}"))
                .header("metadata", "true"),
        };
        read(request).await
    }
}

async fn read(request: reqwest::RequestBuilder) -> Result<(Secret, Duration), String> {
    let failed = |error: reqwest::Error| crate::http::innermost(&error);
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let answer: Value = response.json().await.map_err(failed)?;
    let Some(token) = answer.get("access_token").and_then(Value::as_str) else {
        let said = answer.get("error").and_then(Value::as_str).unwrap_or_default();
        return Err(format!("status {}: {said}", status.as_u16()));
    };
    // Seconds, as a number or as a text.
    let life = answer.get("expires_in").and_then(|life| match life {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    });
    Ok((Secret::new(token), Duration::from_secs(life.unwrap_or(300))))
}
