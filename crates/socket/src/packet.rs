//! The Socket.IO packet format (protocol 5, JSON): reading what clients send and writing what the
//! server sends. Written packets carry the Engine.IO message prefix `4` already, so that one text
//! can be shared by every socket of a room.
//!
//! The server never sends binary packets. Binary attachments of clients become arrays of integers.

use axum::extract::ws::Utf8Bytes;
use serde_json::Value;

/// An id may have this many digits.
const MAX_ID_DIGITS: usize = 100;
/// More attachments than any client has a use for.
const MAX_ATTACHMENTS: usize = 1000;

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
}

/// A packet as it came, its data not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) id: Option<String>,
    /// JSON text; empty when the packet has no data.
    pub(crate) data: String,
    /// Binary messages that follow and belong to this packet.
    pub(crate) attachments: usize,
}

/// The text is no packet that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// An event with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) args: Vec<Value>,
    /// Id of the acknowledgement that the client waits for.
    pub(crate) ack: Option<String>,
    /// Size of the packet as it came, in bytes.
    pub(crate) size: usize,
}

impl Packet {
    /// Reads the text after the Engine.IO prefix: type, attachment count and `-`, namespace and
    /// `,`, id, data; all but the type may be missing.
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let (kind, binary) = match text.as_bytes().first() {
            Some(b'0') => (Kind::Connect, false),
            Some(b'1') => (Kind::Disconnect, false),
            Some(b'2') => (Kind::Event, false),
            Some(b'3') => (Kind::Ack, false),
            Some(b'5') => (Kind::Event, true),
            Some(b'6') => (Kind::Ack, true),
            _ => return Err(Malformed),
        };
        let mut rest = &text[1..];
        let mut attachments = 0;
        if binary {
            let (count, after) = rest.split_once('-').ok_or(Malformed)?;
            attachments = count.parse().map_err(|_| Malformed)?;
            if attachments > MAX_ATTACHMENTS {
                return Err(Malformed);
            }
            rest = after;
        }
        let (namespace, rest) = split_namespace(rest);
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > MAX_ID_DIGITS {
            return Err(Malformed);
        }
        let (id, data) = rest.split_at(digits);
        Ok(Self {
            kind,
            namespace: namespace.to_owned(),
            id: (!id.is_empty()).then(|| id.to_owned()),
            data: data.to_owned(),
            attachments,
        })
    }

    /// The data as a JSON value; null when there is none.
    pub(crate) fn value(&self) -> Result<Value, Malformed> {
        if self.data.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.data).map_err(|_| Malformed)
    }

    /// The arguments of an event or acknowledgement, with its attachments put in their places.
    pub(crate) fn arguments(&self, attachments: &[Vec<u8>]) -> Result<Vec<Value>, Malformed> {
        let Value::Array(mut args) = self.value()? else {
            return Err(Malformed);
        };
        if self.attachments > 0 {
            // Placed as often as they came: naming one again and again must not make the server hold it as often.
            let mut left = attachments.iter().map(Vec::len).sum();
            for arg in &mut args {
                place(arg, attachments, &mut left)?;
            }
        }
        Ok(args)
    }

    /// The event that the packet carries.
    pub(crate) fn event(self, attachments: &[Vec<u8>]) -> Result<Event, Malformed> {
        let mut args = self.arguments(attachments)?.into_iter();
        let Some(Value::String(name)) = args.next() else {
            return Err(Malformed);
        };
        let size = self.data.len() + attachments.iter().map(Vec::len).sum::<usize>();
        Ok(Event {
            name,
            args: args.collect(),
            ack: self.id,
            size,
        })
    }
}

fn split_namespace(text: &str) -> (&str, &str) {
    if !text.starts_with('/') {
        return ("/", text);
    }
    let (namespace, rest) = text.split_once(',').unwrap_or((text, ""));
    (namespace.split('?').next().unwrap_or(namespace), rest)
}

/// Replaces `{"_placeholder": true, "num": n}` by the bytes of attachment `n`, as long as bytes are `left`.
fn place(value: &mut Value, attachments: &[Vec<u8>], left: &mut usize) -> Result<(), Malformed> {
    match value {
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| place(item, attachments, left)),
        Value::Object(map) => {
            let marked = map.get("_placeholder").and_then(Value::as_bool).unwrap_or(false);
            let Some(num) = map.get("num").filter(|_| marked) else {
                return map
                    .values_mut()
                    .try_for_each(|item| place(item, attachments, left));
            };
            let index = num
                .as_u64()
                .and_then(|num| usize::try_from(num).ok())
                .ok_or(Malformed)?;
            let bytes = attachments.get(index).ok_or(Malformed)?;
            *left = left.checked_sub(bytes.len()).ok_or(Malformed)?;
            *value = Value::Array(bytes.iter().map(|byte| Value::from(*byte)).collect());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `["name", payload]`; with `id`, an event that asks for an acknowledgement.
pub(crate) fn event(name: &str, payload: &Value, id: Option<u64>) -> Utf8Bytes {
    event_text(name, &payload.to_string(), id)
}

/// [`event`] with a payload that is written already.
pub(crate) fn event_text(name: &str, payload: &str, id: Option<u64>) -> Utf8Bytes {
    let mut text = String::with_capacity(payload.len() + name.len() + 32);
    text.push_str("42");
    if let Some(id) = id {
        text.push_str(&id.to_string());
    }
    text.push('[');
    text.push_str(&Value::from(name).to_string());
    text.push(',');
    text.push_str(payload);
    text.push(']');
    text.into()
}

/// The answer to an event that asked for one.
pub(crate) fn ack(id: &str, args: Vec<Value>) -> Utf8Bytes {
    format!("43{id}{}", Value::Array(args)).into()
}

/// The default namespace was joined under this session id.
pub(crate) fn connected(sid: &str) -> Utf8Bytes {
    format!("40{}", serde_json::json!({ "sid": sid })).into()
}

/// The namespace does not exist, or the connection is in it already.
pub(crate) fn connect_error(namespace: &str) -> Utf8Bytes {
    match namespace {
        "/" => "44\"Unable to connect\"".into(),
        other => format!("44{other},\"Unable to connect\"").into(),
    }
}

/// The server ends the session; the client does not come back by itself.
pub(crate) fn disconnected() -> Utf8Bytes {
    Utf8Bytes::from_static("41")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn packet(kind: Kind, namespace: &str, id: Option<&str>, data: &str, attachments: usize) -> Packet {
        Packet {
            kind,
            namespace: namespace.into(),
            id: id.map(Into::into),
            data: data.into(),
            attachments,
        }
    }

    #[test]
    fn reads_every_kind() {
        let cases = [
            ("0", packet(Kind::Connect, "/", None, "", 0)),
            (
                "0{\"token\":\"t\"}",
                packet(Kind::Connect, "/", None, "{\"token\":\"t\"}", 0),
            ),
            ("0/foo?x=1,", packet(Kind::Connect, "/foo", None, "", 0)),
            ("1/foo", packet(Kind::Disconnect, "/foo", None, "", 0)),
            ("2[\"a\"]", packet(Kind::Event, "/", None, "[\"a\"]", 0)),
            (
                "2/foo,12[\"a\"]",
                packet(Kind::Event, "/foo", Some("12"), "[\"a\"]", 0),
            ),
            ("31[]", packet(Kind::Ack, "/", Some("1"), "[]", 0)),
            ("52-7[\"a\"]", packet(Kind::Event, "/", Some("7"), "[\"a\"]", 2)),
            ("61-7[1]", packet(Kind::Ack, "/", Some("7"), "[1]", 1)),
        ];
        for (text, expected) in cases {
            assert_eq!(Packet::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_packet() {
        let long = format!("2{}[\"a\"]", "1".repeat(101));
        for text in [
            "", "x", "4", "4{}", "7", "9", "é", "5", "5[\"a\"]", "5-[]", "59999-[]", &long,
        ] {
            assert_eq!(Packet::parse(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn refuses_events_without_a_name() {
        for text in ["2", "2{}", "2[]", "2[1]", "2[\"a\"", "2\"a\"", "2[\"\\ud800\"]"] {
            assert_eq!(Packet::parse(text).unwrap().event(&[]), Err(Malformed), "{text}");
        }
        let deep = format!("2[\"a\",{}{}]", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(Packet::parse(&deep).unwrap().event(&[]), Err(Malformed));
    }

    #[test]
    fn attachments_become_integer_arrays() {
        let text = "52-[\"a\",{\"x\":{\"_placeholder\":true,\"num\":1}},[{\"_placeholder\":true,\"num\":0}]]";
        let event = Packet::parse(text)
            .unwrap()
            .event(&[vec![0, 255], vec![7]])
            .unwrap();
        assert_eq!(event.args, [json!({ "x": [7] }), json!([[0, 255]])]);
        let twice = "51-[\"a\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":0}]";
        assert_eq!(Packet::parse(twice).unwrap().event(&[vec![1]]), Err(Malformed));
        let missing = "51-[\"a\",{\"_placeholder\":true,\"num\":5}]";
        assert_eq!(Packet::parse(missing).unwrap().event(&[vec![1]]), Err(Malformed));
    }

    #[test]
    fn writes_what_clients_expect() {
        assert_eq!(
            event("a\"b", &json!({ "x": "ü" }), None).as_str(),
            "42[\"a\\\"b\",{\"x\":\"ü\"}]"
        );
        assert_eq!(event("a", &json!(1), Some(5)).as_str(), "425[\"a\",1]");
        assert_eq!(ack("12", vec![json!(true)]).as_str(), "4312[true]");
        assert_eq!(ack("12", vec![]).as_str(), "4312[]");
        assert_eq!(connected("s").as_str(), "40{\"sid\":\"s\"}");
        assert_eq!(connect_error("/").as_str(), "44\"Unable to connect\"");
        assert_eq!(connect_error("/foo").as_str(), "44/foo,\"Unable to connect\"");
    }
}
