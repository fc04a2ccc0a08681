//! Signatures of requests to services of AWS: what `object_store` offers for its own, used for others.

use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};

use crate::error::{Error, Result};
use std::sync::Arc;

/// Signs requests to one service in one region.
pub(crate) struct Signer {
    credentials: Arc<dyn CredentialProvider<Credential = AwsCredential>>,
    service: &'static str,
    region: String,
}

impl Signer {
    /// With the credentials of the usual variables (`AWS_ACCESS_KEY_ID`, ...), of a web identity, or of the machine.
    pub(crate) fn of_environment(service: &'static str, region: &str) -> Result<Self> {
        // Only its credentials are used; it wants the name of a bucket.
        let store = AmazonS3Builder::from_env()
            .with_bucket_name("none")
            .with_region(region)
            .build()
            .map_err(|error| Error::Settings(error.to_string()))?;
        Ok(Self {
            credentials: store.credentials().clone(),
            service,
            region: region.to_owned(),
        })
    }

    #[cfg(test)]
    pub(crate) fn with_key(service: &'static str, region: &str, id: &str, secret: &str) -> Self {
        let credential = AwsCredential {
            key_id: id.into(),
            secret_key: secret.into(),
            token: None,
        };
        Self {
            credentials: Arc::new(object_store::StaticCredentialProvider::new(credential)),
            service,
            region: region.to_owned(),
        }
    }

    /// Adds the headers of the signature.
    pub(crate) async fn sign(&self, request: &mut reqwest::Request) -> std::result::Result<(), String> {
        let credential = self
            .credentials
            .get_credential()
            .await
            .map_err(|error| error.to_string())?;
        let bytes = request
            .body()
            .and_then(|body| body.as_bytes())
            .unwrap_or_default();
        let mut twin: HttpRequest = http::Request::builder()
            .method(request.method())
            .uri(request.url().as_str())
            .body(HttpRequestBody::from(bytes.to_vec()))
            .map_err(|error| error.to_string())?;
        *twin.headers_mut() = request.headers().clone();
        AwsAuthorizer::new(&credential, self.service, &self.region)
            .try_authorize(&mut twin, None)
            .map_err(|error| error.to_string())?;
        *request.headers_mut() = std::mem::take(twin.headers_mut());
        Ok(())
    }
}
