//! Serving until told to stop, and stopping without losing anything.

use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::services::Running;

/// How long open requests may take to end once the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until `stop` is ready; then runs are stopped and saved, browsers told, open requests ended and the
/// database closed.
pub async fn serve_until(
    listener: TcpListener,
    running: Running,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let (sender, mut stopping) = tokio::sync::watch::channel(false);
    let service: IntoMakeServiceWithConnectInfo<_, std::net::SocketAddr> =
        running.router.clone().into_make_service_with_connect_info();
    let mut ended = stopping.clone();
    // A word of a reply must leave when it is there, not when the kernel has gathered enough or the client has
    // confirmed the one before (40 ms and more).
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection gathers small packets");
        }
    });
    let server = axum::serve(listener, service).with_graceful_shutdown(async move {
        // An error means that the sender is gone, which ends the server too.
        let _ = ended.wait_for(|stop| *stop).await;
    });
    let server = tokio::spawn(server.into_future());
    tokio::spawn(async move {
        stop.await;
        tracing::info!("stopping");
        sender.send_replace(true);
        // Kept open so that the receivers see the change, not a closed channel.
        std::future::pending::<()>().await;
    });
    let _ = stopping.wait_for(|stop| *stop).await;
    running.stop().await;
    match tokio::time::timeout(GRACE, server).await {
        Ok(done) => done
            .context("the server task failed")?
            .context("the listener failed"),
        Err(_) => {
            tracing::warn!(
                "some requests were still open after {} s and were cut off",
                GRACE.as_secs()
            );
            Ok(())
        }
    }
}
