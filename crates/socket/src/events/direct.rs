//! Parts of streamed answers from browsers that call a provider themselves.

use std::sync::Arc;

use super::{DONE, Reply};
use crate::hub::Hub;
use crate::packet::Event;
use crate::socket::Socket;

/// An event named `{user_id}:{session_id}:{request_id}`, accepted from that user. Other names are
/// ignored.
pub(super) async fn part(hub: &Hub, socket: &Arc<Socket>, event: &mut Event) -> Reply {
    if event.args.is_empty() || event.name.bytes().filter(|byte| *byte == b':').count() != 2 {
        return DONE;
    }
    if let Some(user) = hub.member(socket).await
        && event.name.split(':').next() == Some(&user.id)
    {
        hub.streams
            .deliver(&event.name, event.args.swap_remove(0), event.size);
    }
    DONE
}
