//! What clients send through the socket: packets with and without attachments. Nothing panics, and what comes out is
//! in proportion to what went in.
#![no_main]
#![allow(dead_code, reason = "the module also writes packets")]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[path = "../../crates/socket/src/packet.rs"]
mod packet;

use packet::Packet;

/// Values in a value, itself included.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

// The first byte says how many of the parts that follow, between NUL bytes, are attachments.
fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|byte| *byte == 0);
    let Some(Ok(text)) = parts.next().map(std::str::from_utf8) else {
        return;
    };
    let attachments: Vec<Vec<u8>> = parts.map(<[u8]>::to_vec).collect();
    let Ok(packet) = Packet::parse(text) else {
        return;
    };
    assert!(packet.namespace.starts_with('/') && text.ends_with(&packet.data));
    assert!(packet.id.as_ref().is_none_or(|id| id.bytes().all(|byte| byte.is_ascii_digit())));
    let _ = packet.value();
    if packet.attachments > attachments.len() {
        return;
    }
    let given = text.len() + attachments.iter().map(Vec::len).sum::<usize>();
    if let Ok(args) = packet.arguments(&attachments) {
        assert!(args.iter().map(size).sum::<usize>() <= given, "more values than bytes came");
    }
    if let Ok(event) = packet.event(&attachments) {
        let ack = event.ack.clone().unwrap_or_default();
        assert!(event.size <= given);
        packet::ack(&ack, event.args.clone());
        packet::event(&event.name, &Value::Array(event.args), Some(7));
    }
});
