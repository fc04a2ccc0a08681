//! A small Socket.IO client over one WebSocket: the handshake with a token, events in the order of
//! their arrival, acknowledgements in both directions. Namespaces other than `/`, polling and
//! binary packets are absent, as the server uses none of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail, ensure};
use futures::{SinkExt, StreamExt};
use indexmap::IndexMap;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// An event from the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// For example `events`.
    pub name: String,
    /// The arguments after the name.
    pub arguments: Vec<Value>,
    /// Whether the server waits for an answer.
    pub wants_answer: bool,
}

impl Event {
    /// The type inside a chat event (`data.type` of the payload), or the event's own name.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.arguments
            .first()
            .and_then(|payload| payload.pointer("/data/type"))
            .and_then(Value::as_str)
            .unwrap_or(&self.name)
    }
}

/// What the connection knows, shared with its reading task.
#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    /// How many of `events` were taken by an earlier step.
    taken: usize,
    answers: IndexMap<String, Value>,
    acknowledgements: HashMap<u64, oneshot::Sender<Value>>,
    next_acknowledgement: u64,
    closed: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Socket {
    /// The Engine.IO handshake without its `sid`.
    pub open: Value,
    /// The Socket.IO id.
    pub sid: String,
    patience: Duration,
    state: Arc<Mutex<State>>,
    arrived: Arc<Notify>,
    outgoing: mpsc::UnboundedSender<String>,
    reader: JoinHandle<()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Socket {
    /// Connects to the Socket.IO endpoint of a server and joins the default namespace. No single
    /// expected thing may take longer than `patience`.
    ///
    /// # Errors
    /// When the server refuses or speaks another protocol.
    pub async fn connect(base_url: &str, token: Option<&str>, patience: Duration) -> Result<Self> {
        let address = base_url.trim_end_matches('/').replacen("http", "ws", 1);
        let address = format!("{address}/ws/socket.io/?EIO=4&transport=websocket");
        let (stream, _) = timeout(patience, tokio_tungstenite::connect_async(&address))
            .await?
            .context("opening the socket")?;
        let (mut sink, mut source) = stream.split();

        let mut next = async || -> Result<String> {
            let message = timeout(patience, source.next())
                .await?
                .ok_or_else(|| anyhow!("the server closed the socket"))??;
            Ok(message.into_text()?.to_string())
        };
        let first = next().await?;
        let mut open: Value = serde_json::from_str(first.strip_prefix('0').context("no handshake")?)?;
        open.as_object_mut().and_then(|open| open.remove("sid"));
        let auth = token.map_or_else(String::new, |token| json!({ "token": token }).to_string());
        sink.send(text_message(format!("40{auth}"))).await?;
        let joined = next().await?;
        let joined: Value =
            serde_json::from_str(joined.strip_prefix("40").context("the namespace was refused")?)?;
        let sid = joined["sid"].as_str().context("no socket id")?.to_owned();

        let state = Arc::new(Mutex::new(State::default()));
        let arrived = Arc::new(Notify::new());
        let (outgoing, mut queue) = mpsc::unbounded_channel::<String>();
        let answering = outgoing.clone();
        let (shared, notify) = (Arc::clone(&state), Arc::clone(&arrived));
        let reader = tokio::spawn(async move {
            loop {
                tokio::select! {
                    message = source.next() => match message {
                        Some(Ok(Message::Text(text))) => {
                            receive(&text, &shared, &answering);
                            notify.notify_waiters();
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                        Some(Ok(_)) => {}
                    },
                    text = queue.recv() => {
                        let Some(text) = text else { break };
                        if sink.send(text_message(text)).await.is_err() {
                            break;
                        }
                    }
                }
            }
            shared.lock().closed = true;
            notify.notify_waiters();
        });
        Ok(Self {
            open,
            sid,
            patience,
            state,
            arrived,
            outgoing,
            reader,
        })
    }

    /// Sends an event; with `ack` waits for the acknowledgement and returns its arguments.
    ///
    /// # Errors
    /// When the connection is gone or no acknowledgement comes.
    pub async fn emit(&self, event: &str, data: &Value, ack: bool) -> Result<Value> {
        let packet = json!([event, data]).to_string();
        if !ack {
            self.outgoing
                .send(format!("42{packet}"))
                .map_err(|_| anyhow!("the socket is closed"))?;
            return Ok(Value::Null);
        }
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut state = self.state.lock();
            let id = state.next_acknowledgement;
            state.next_acknowledgement += 1;
            state.acknowledgements.insert(id, sender);
            id
        };
        self.outgoing
            .send(format!("42{id}{packet}"))
            .map_err(|_| anyhow!("the socket is closed"))?;
        Ok(timeout(self.patience, receiver)
            .await
            .with_context(|| format!("no acknowledgement of {event}"))??)
    }

    /// What to answer when the server asks, by event type; anything else is answered by `null`.
    pub fn answer(&self, answers: IndexMap<String, Value>) {
        self.state.lock().answers.extend(answers);
    }

    /// Takes the fewest events that `enough` accepts.
    ///
    /// # Errors
    /// When they do not come; the message lists what came instead.
    pub async fn take_until(&self, enough: impl Fn(&[Event]) -> bool) -> Result<Vec<Event>> {
        let taken = timeout(self.patience, async {
            loop {
                let notified = self.arrived.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                if let Some(events) = self.try_take(&enough) {
                    return Some(events);
                }
                if self.is_closed() {
                    return None;
                }
                notified.await;
            }
        })
        .await;
        if let Ok(Some(events)) = taken {
            return Ok(events);
        }
        let state = self.state.lock();
        let came: Vec<&str> = state.events[state.taken..].iter().map(Event::kind).collect();
        let ending = if state.closed {
            ", then the socket was closed"
        } else {
            ""
        };
        bail!("the expected event did not come; there came {came:?}{ending}")
    }

    /// Takes what has come, once the server has been silent for a moment.
    pub async fn take_rest(&self, silence: Duration) -> Vec<Event> {
        loop {
            let notified = self.arrived.notified();
            if timeout(silence, notified).await.is_err() || self.is_closed() {
                break;
            }
        }
        let mut state = self.state.lock();
        let events = state.events[state.taken..].to_vec();
        state.taken = state.events.len();
        events
    }

    /// Whether the server has ended the connection.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    fn try_take(&self, enough: impl Fn(&[Event]) -> bool) -> Option<Vec<Event>> {
        let mut state = self.state.lock();
        let fresh = &state.events[state.taken..];
        let count = (1..=fresh.len()).find(|count| enough(&fresh[..*count]))?;
        let events = fresh[..count].to_vec();
        state.taken += count;
        Some(events)
    }
}

fn text_message(text: String) -> Message {
    Message::Text(Utf8Bytes::from(text))
}

/// Handles one packet: `2` ping, `42` event, `43` acknowledgement.
fn receive(text: &str, state: &Mutex<State>, outgoing: &mpsc::UnboundedSender<String>) {
    if text == "2" {
        // A closed queue means that the connection is being dropped.
        let _ = outgoing.send("3".to_owned());
    } else if let Some(packet) = text.strip_prefix("42") {
        if let Ok((event, id)) = parse_event(packet) {
            let mut state = state.lock();
            if let Some(id) = id {
                let answer = state.answers.get(event.kind()).cloned().unwrap_or(Value::Null);
                let _ = outgoing.send(format!("43{id}{}", json!([answer])));
            }
            state.events.push(event);
        }
    } else if let Some(packet) = text.strip_prefix("43") {
        let (id, body) = split_id(packet);
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        if let Some(sender) = id.and_then(|id| state.lock().acknowledgements.remove(&id)) {
            let _ = sender.send(body);
        }
    } else if text.starts_with("41") {
        state.lock().closed = true;
    }
}

fn parse_event(packet: &str) -> Result<(Event, Option<u64>)> {
    let (id, body) = split_id(packet);
    let mut arguments: Vec<Value> = serde_json::from_str(body)?;
    ensure!(!arguments.is_empty(), "an event without a name");
    let name = arguments
        .remove(0)
        .as_str()
        .context("an event without a name")?
        .to_owned();
    Ok((
        Event {
            name,
            arguments,
            wants_answer: id.is_some(),
        },
        id,
    ))
}

/// The digits before a packet's JSON are its acknowledgement id.
fn split_id(packet: &str) -> (Option<u64>, &str) {
    let digits = packet.bytes().take_while(u8::is_ascii_digit).count();
    (packet[..digits].parse().ok(), &packet[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_parsed_with_and_without_an_id() {
        let (event, id) = parse_event(r#"17["events",{"data":{"type":"status"}}]"#).unwrap();
        assert_eq!((event.kind(), event.wants_answer, id), ("status", true, Some(17)));
        let (event, id) = parse_event(r#"["hello"]"#).unwrap();
        assert_eq!((event.kind(), event.arguments.len(), id), ("hello", 0, None));
        assert!(parse_event("[]").is_err());
    }

    #[test]
    fn questions_get_the_prepared_answer() {
        let state = Mutex::new(State::default());
        state
            .lock()
            .answers
            .insert("confirmation".to_owned(), json!(true));
        let (outgoing, mut sent) = mpsc::unbounded_channel();
        receive(
            r#"425["events",{"data":{"type":"confirmation"}}]"#,
            &state,
            &outgoing,
        );
        receive(r#"426["events",{"data":{"type":"other"}}]"#, &state, &outgoing);
        receive("2", &state, &outgoing);
        assert_eq!(sent.try_recv().unwrap(), "435[true]");
        assert_eq!(sent.try_recv().unwrap(), "436[null]");
        assert_eq!(sent.try_recv().unwrap(), "3");
        assert_eq!(state.lock().events.len(), 2);
    }
}
