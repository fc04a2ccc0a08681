//! Sources in a conversation that grows: when tools bring sources of their own, the conversation is put together again
//! from its plain form, so that every document keeps its number and nothing is told twice.

use serde_json::Value;

use crate::engine::Engine;
use crate::sources::Telling;

use super::Payload;

/// The conversation before rounds of tool calls, and the sources that it gets.
#[derive(Default)]
pub(super) struct Told {
    /// Without sources. Empty once older rounds were summed up.
    pub(super) plain: Vec<Value>,
    /// How many messages of the request it makes.
    pub(super) count: usize,
    /// Sources that the model reads in it.
    pub(super) sources: Vec<Value>,
    /// Sources that tools brought, whose text stands in their results.
    pub(super) marks: Vec<Value>,
}

/// Tells the model of sources that tools brought, by their numbers beside those that it had.
pub(crate) fn add_sources(engine: &Engine, payload: &mut Payload, brought: Vec<Value>) {
    let told = &mut payload.told;
    told.marks.extend(brought);
    let Some(Value::Array(messages)) = payload.body.get_mut("messages") else {
        return;
    };
    if told.plain.is_empty() || told.marks.is_empty() || messages.len() < told.count {
        return;
    }
    let mut first = told.plain.clone();
    Telling { engine }.put_into(&mut first, &told.sources, &told.marks);
    let rounds = messages.split_off(told.count);
    told.count = first.len();
    first.extend(rounds);
    *messages = first;
}

/// Forgets what the conversation began with, once it was summed up.
pub(crate) fn summed_up(payload: &mut Payload) {
    payload.told = Told::default();
}

/// Leaves a conversation alone that a filter has changed.
pub(super) fn check(payload: &mut Payload) {
    let count = payload
        .body
        .get("messages")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    if payload.filters.have("request") || count != payload.told.count {
        payload.told = Told::default();
    }
}
