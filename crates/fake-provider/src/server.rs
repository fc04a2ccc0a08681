//! A running instance: starting, its addresses, what it recorded, stopping.

use std::{io, net::SocketAddr, sync::Arc};

use axum::serve::ListenerExt;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    handlers,
    script::Script,
    settings::Settings,
    state::{Recorded, Shared},
};

/// A provider that answers on loopback until it is dropped or stopped.
///
/// It runs as a task of the runtime in which it was started. When it goes, its port is free
/// again and its open replies end.
#[derive(Debug)]
pub struct FakeProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
    closing: watch::Sender<bool>,
    server: Option<JoinHandle<()>>,
}

impl FakeProvider {
    /// Starts a provider with the default [`Settings`] on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If loopback has no free port; a test can do nothing without its provider.
    pub async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    /// Starts a provider with these settings on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If loopback has no free port.
    #[expect(
        clippy::expect_used,
        reason = "only tests call this, and they cannot go on without it"
    )]
    pub async fn start_with(settings: Settings) -> Self {
        Self::bind(SocketAddr::from(([127, 0, 0, 1], 0)), settings)
            .await
            .expect("a free port on loopback")
    }

    /// Starts a provider on this address; port 0 chooses a free one.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(address: SocketAddr, settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (closing, closed) = watch::channel(false);
        let shared = Arc::new(Shared::new(settings, closed.clone()));
        let router = handlers::router(Arc::clone(&shared));
        // Chunks must leave when they are due, not when the kernel has gathered enough of them.
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "no TCP_NODELAY");
            }
        });
        let server = tokio::spawn(async move {
            let mut closed = closed;
            let stop = async move {
                // An error means that the provider is gone, which stops it as well.
                let _gone = closed.wait_for(|closed| *closed).await;
            };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
                tracing::error!(%error, "the provider stopped serving");
            }
        });
        Ok(Self {
            address,
            shared,
            closing,
            server: Some(server),
        })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for an OpenAI connection: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The base URL for an Ollama connection: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn ollama_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests received since the start or the last [`Self::clear`], oldest first; at most
    /// as many as [`Settings::keep`].
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests()
    }

    /// The recorded requests to one path, such as `/v1/chat/completions`.
    #[must_use]
    pub fn requests_to(&self, path: &str) -> Vec<Recorded> {
        let mut requests = self.requests();
        requests.retain(|request| request.path == path);
        requests
    }

    /// Forgets recorded requests and queued scripts, and counts replies from 1 again.
    pub fn clear(&self) {
        self.shared.clear();
    }

    /// Queues a reply, see [`Script`].
    pub fn script(&self, script: Script) {
        self.shared.queue(script);
    }

    /// How many queued scripts have not been used.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.queued()
    }

    /// Stops the provider and waits until its connections are closed.
    pub async fn stop(mut self) {
        self.closing.send_replace(true);
        self.wait().await;
    }

    /// Runs until the server ends by itself, which it does only on an error.
    pub async fn wait(&mut self) {
        if let Some(server) = self.server.take()
            && let Err(error) = server.await
        {
            tracing::error!(%error, "the provider's task failed");
        }
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.closing.send_replace(true);
    }
}
