//! What happens by the clock: tokens checked again, silent sessions reaped, stale uses of models
//! dropped. All of it stops when the server stops.

use std::sync::Arc;

use crate::documents;
use crate::hub::{Hub, whole_seconds};

/// Starts the loops.
pub(crate) fn start(hub: &Arc<Hub>) {
    let watched = hub.clone();
    hub.tasks
        .spawn(async move { watched.closing.run_until_cancelled(tend(&watched)).await });
    let watched = hub.clone();
    hub.tasks
        .spawn(async move { watched.closing.run_until_cancelled(expire_usage(&watched)).await });
}

async fn tend(hub: &Hub) {
    loop {
        tokio::time::sleep(hub.options.revalidation_interval).await;
        reap(hub);
        hub.documents
            .sweep(|id| hub.rooms.has_listeners(&documents::room(id), None));
        revalidate(hub).await;
    }
}

async fn revalidate(hub: &Hub) {
    for socket in hub.rooms.sessions() {
        let identity = socket.identity.lock().clone();
        if let Some(identity) = identity {
            hub.check(&socket, &identity).await;
        }
    }
}

/// Drops sessions without a recent sign of life and fails the calls that wait for them. Their
/// connection stays: a late heartbeat brings the session back.
fn reap(hub: &Hub) {
    let oldest = hub.oldest_sign_of_life();
    let mut silent = Vec::new();
    hub.sessions.visit(&mut |sid, session| {
        if session.last_seen_at < oldest {
            silent.push(sid.to_owned());
        }
    });
    if !silent.is_empty() {
        tracing::warn!(
            count = silent.len(),
            "dropping sessions without a recent heartbeat"
        );
    }
    for sid in silent {
        if let Some(session) = hub.sessions.remove(&sid) {
            if let Some(socket) = hub.rooms.session(&sid) {
                socket.fail_calls();
            }
            hub.leave_chats(&sid, session.chat_ids);
        }
    }
}

/// Looks for stale uses only while there are uses at all.
async fn expire_usage(hub: &Hub) {
    let lifetime = hub.options.usage_lifetime;
    loop {
        hub.usage_noted.notified().await;
        while !hub.usage.models().is_empty() {
            tokio::time::sleep(lifetime).await;
            hub.usage.expire(hub.clock.seconds() - whole_seconds(lifetime));
        }
    }
}
