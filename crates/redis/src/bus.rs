//! Messages between servers: what one of them changed that the others keep in memory. Delivery is at most once; a
//! server that was away reads everything anew when it is back, which [`Message::Lost`] asks for.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::Redis;

/// Seconds before a lost subscription is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What happened at another server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// Rows of table `config` changed.
    ConfigChanged,
    /// The sockets of a user must be closed.
    Disconnect {
        /// Whose.
        user_id: String,
        /// Whether they are told that their access changed.
        access_changed: bool,
    },
    /// A task must be stopped.
    StopTask {
        /// Which.
        task_id: String,
    },
    /// An event for browsers that are connected elsewhere.
    Emit {
        /// Kind and id of the room.
        room: (String, String),
        /// Name of the event.
        event: String,
        /// What is sent, as JSON text.
        payload: String,
        /// Session that is left out.
        skip: Option<String>,
    },
    /// Who hears a room changed.
    Room {
        /// Kind and id of the room.
        room: (String, String),
        /// What changed.
        change: RoomChange,
        /// Whose tabs.
        user_ids: Vec<String>,
    },
    /// A question to a browser that is connected elsewhere.
    Call {
        /// Id of the question.
        id: String,
        /// Whose browser.
        user_id: String,
        /// Which.
        session_id: String,
        /// Name of the event.
        event: String,
        /// What is asked.
        payload: Value,
        /// How long it may take.
        seconds: Option<u64>,
    },
    /// The answer to a question; `None` when there was none.
    Answer {
        /// Id of the question.
        id: String,
        /// What the browser said.
        answer: Option<Value>,
    },
    /// A session was opened or changed.
    SessionSet {
        /// Its id.
        sid: String,
        /// What it is now.
        session: SessionInfo,
    },
    /// A session ended.
    SessionGone {
        /// Its id.
        sid: String,
    },
    /// A session uses a model.
    Usage {
        /// The model.
        model_id: String,
        /// The session.
        sid: String,
        /// When, in seconds.
        now: i64,
    },
    /// A server is new here and wants to know the sessions of the others.
    Hello,
    /// Messages may have been missed. Never sent.
    #[serde(skip)]
    Lost,
}

/// A change of who hears a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomChange {
    /// The users hear it from now on.
    Enter,
    /// The users do not hear it any more.
    Leave,
    /// Nobody hears it any more.
    Close,
}

/// A session as servers tell each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Whose.
    pub user_id: String,
    /// Name of that user.
    pub name: String,
    /// Last sign of life, in seconds.
    pub last_seen_at: i64,
    /// Saved chats that are open in it.
    pub chat_ids: BTreeSet<String>,
}

/// A message with the server that sent it.
#[derive(Serialize, Deserialize)]
struct Envelope {
    from: String,
    #[serde(flatten)]
    message: Message,
}

/// Sends to all other servers, and hears from them.
#[derive(Clone)]
pub struct Bus {
    outgoing: mpsc::UnboundedSender<Message>,
}

impl Bus {
    /// Begins to send and to listen as the server `id`; what others send arrives at the receiver.
    pub fn start(redis: &Redis, id: &str) -> (Self, mpsc::UnboundedReceiver<Message>) {
        let channel = redis.key("oui:bus");
        let (outgoing, to_send) = mpsc::unbounded_channel();
        let (arrived, incoming) = mpsc::unbounded_channel();
        tokio::spawn(send(redis.clone(), channel.clone(), id.to_owned(), to_send));
        tokio::spawn(listen(redis.clone(), channel, id.to_owned(), arrived));
        (Self { outgoing }, incoming)
    }

    /// Tells the other servers, in the background.
    pub fn send(&self, message: Message) {
        // The sender ends with the process, so that nobody is left to be told.
        let _ = self.outgoing.send(message);
    }
}

async fn send(redis: Redis, channel: String, id: String, mut messages: mpsc::UnboundedReceiver<Message>) {
    while let Some(message) = messages.recv().await {
        let envelope = Envelope {
            from: id.clone(),
            message,
        };
        let text = match serde_json::to_string(&envelope) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "a message to other servers could not be written");
                continue;
            }
        };
        let mut connection = redis.connection.clone();
        let sent: redis::RedisResult<i64> =
            redis::AsyncCommands::publish(&mut connection, &channel, text).await;
        if let Err(error) = sent {
            tracing::warn!(%error, "other servers could not be told of a change");
        }
    }
}

async fn listen(redis: Redis, channel: String, id: String, arrived: mpsc::UnboundedSender<Message>) {
    let mut first = true;
    while !arrived.is_closed() {
        match hear(&redis, &channel, &id, &arrived, first).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "the messages of other servers are not heard; trying again"),
        }
        first = false;
        tokio::time::sleep(RETRY).await;
    }
}

/// Hears until the connection breaks (an error) or nobody wants to know any more.
async fn hear(
    redis: &Redis,
    channel: &str,
    id: &str,
    arrived: &mpsc::UnboundedSender<Message>,
    first: bool,
) -> redis::RedisResult<()> {
    let mut subscription = redis.client.get_async_pubsub().await?;
    subscription.subscribe(channel).await?;
    if !first && arrived.send(Message::Lost).is_err() {
        return Ok(());
    }
    let mut stream = subscription.into_on_message();
    loop {
        let Some(message) = stream.next().await else {
            return Err(redis::RedisError::from((
                redis::ErrorKind::Io,
                "the subscription ended",
            )));
        };
        let text: String = message.get_payload()?;
        match serde_json::from_str::<Envelope>(&text) {
            Ok(envelope) if envelope.from == id => {}
            Ok(envelope) => {
                if arrived.send(envelope.message).is_err() {
                    return Ok(());
                }
            }
            Err(error) => tracing::warn!(%error, "a message of another server can not be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn others_hear_and_the_sender_does_not() {
        let Some(redis) = crate::tests::redis("bus").await else {
            return;
        };
        let (one, mut at_one) = Bus::start(&redis, "one");
        let (two, mut at_two) = Bus::start(&redis, "two");
        // Subscribing takes a moment, so that the first message is sent until it is heard.
        loop {
            one.send(Message::ConfigChanged);
            let heard = tokio::time::timeout(Duration::from_millis(100), at_two.recv()).await;
            if heard == Ok(Some(Message::ConfigChanged)) {
                break;
            }
        }
        let message = Message::StopTask { task_id: "t".into() };
        loop {
            two.send(message.clone());
            let heard = tokio::time::timeout(Duration::from_millis(100), at_one.recv()).await;
            if let Ok(heard) = heard {
                assert_eq!(heard, Some(message));
                break;
            }
        }
    }
}
