//! Certificates of outgoing connections: the one place that decides what is trusted.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// What outgoing TLS connections trust (`AIOHTTP_CLIENT_SESSION_SSL`, `AIOHTTP_CLIENT_SSL_CERT_FILE`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TlsVerify {
    /// The system's certificates; Mozilla's set where the system has none.
    #[default]
    System,
    /// Nothing is checked.
    Off,
    /// Only the certificates of this PEM file.
    CaFile(PathBuf),
}

/// Builds a client from `start`, trusting what `verify` says. `start` is called again for a second try.
pub(crate) fn build(
    verify: &TlsVerify,
    start: impl Fn() -> reqwest::ClientBuilder,
) -> Result<reqwest::Client, String> {
    // Another crate of the process may have installed a provider first; either serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let text = |error: reqwest::Error| error.to_string();
    match verify {
        TlsVerify::Off => start()
            .tls_danger_accept_invalid_certs(true)
            .build()
            .map_err(text),
        TlsVerify::CaFile(path) => {
            let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(text)?;
            start().tls_certs_only(certificates).build().map_err(text)
        }
        TlsVerify::System => start().build().or_else(|error| {
            tracing::warn!(%error, "no usable system certificates, trusting Mozilla's");
            start()
                .tls_backend_preconfigured(mozilla()?)
                .build()
                .map_err(text)
        }),
    }
}

fn mozilla() -> Result<ClientConfig, String> {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_builds_a_client() {
        let file = std::env::temp_dir().join("oui-providers-no-such-ca.pem");
        assert!(build(&TlsVerify::System, reqwest::Client::builder).is_ok());
        assert!(build(&TlsVerify::Off, reqwest::Client::builder).is_ok());
        let message = build(&TlsVerify::CaFile(file), reqwest::Client::builder).unwrap_err();
        assert!(message.contains("oui-providers-no-such-ca.pem"));
        let fallback = reqwest::Client::builder().tls_backend_preconfigured(mozilla().unwrap());
        assert!(fallback.build().is_ok());
    }
}
