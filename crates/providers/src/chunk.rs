//! A cheap view of one streamed chunk: what the chat pipeline needs for every token, borrowed from the
//! event's text. Everything else stays reachable through [`Chunk::value`].

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// A chunk of a chat completion, or an event of the Responses API, or an error.
#[derive(Debug, Clone)]
pub struct Chunk<'a> {
    raw: &'a str,
    /// `type`: set for events of the Responses API (`response.*`, `error`).
    pub kind: Text<'a>,
    /// `choices[0]`.
    pub choice: Option<Choice<'a>>,
    /// `usage`.
    pub usage: Option<&'a RawValue>,
    /// `timings`: llama.cpp's usage.
    pub timings: Option<&'a RawValue>,
    /// `error`.
    pub error: Option<&'a RawValue>,
    /// `event`: an event that a pipeline wants to be emitted.
    pub event: Option<&'a RawValue>,
    /// `selected_model_id`: which model an arena chose.
    pub selected_model_id: Text<'a>,
    /// `sources`: citations found before the answer.
    pub sources: Option<&'a RawValue>,
}

/// The first choice of a chunk.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Choice<'a> {
    /// What is new.
    #[serde(borrow, default)]
    pub delta: Option<Delta<'a>>,
    /// Why the answer ended, once it did.
    #[serde(borrow, default)]
    pub finish_reason: Text<'a>,
}

/// What a chunk adds to the answer.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Delta<'a> {
    /// Text.
    #[serde(borrow, default)]
    pub content: Text<'a>,
    #[serde(borrow, default)]
    reasoning_content: Text<'a>,
    #[serde(borrow, default)]
    reasoning: Text<'a>,
    #[serde(borrow, default)]
    thinking: Text<'a>,
    /// Pieces of tool calls: a list.
    #[serde(borrow, default)]
    pub tool_calls: Option<&'a RawValue>,
    /// Citations: a list.
    #[serde(borrow, default)]
    pub annotations: Option<&'a RawValue>,
    /// Signed reasoning to be sent back later: a list.
    #[serde(borrow, default)]
    pub reasoning_details: Option<&'a RawValue>,
}

impl Delta<'_> {
    /// New reasoning, under whichever of its three names the server uses.
    pub fn reasoning(&self) -> Option<&str> {
        [&self.reasoning_content, &self.reasoning, &self.thinking]
            .into_iter()
            .find_map(|text| text.filled())
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Text<'a>,
    #[serde(borrow, default)]
    choices: First<'a>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timings: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(borrow, default)]
    selected_model_id: Text<'a>,
    #[serde(borrow, default)]
    sources: Option<&'a RawValue>,
}

impl<'a> Chunk<'a> {
    /// Reads a chunk from an event's data. Fields of unexpected types count as absent.
    ///
    /// Errors: the text is no JSON object, or `choices[0]` or its `delta` is of another type.
    pub fn parse(raw: &'a str) -> Result<Self, serde_json::Error> {
        if !raw.trim_ascii_start().starts_with('{') {
            return Err(serde::de::Error::custom("a chunk is an object"));
        }
        let wire: Wire<'a> = serde_json::from_str(raw)?;
        Ok(Self {
            raw,
            kind: wire.kind,
            choice: wire.choices.0,
            usage: wire.usage,
            timings: wire.timings,
            error: wire.error,
            event: wire.event,
            selected_model_id: wire.selected_model_id,
            sources: wire.sources,
        })
    }

    /// The text that the chunk was read from.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// The whole chunk with every field it has.
    pub fn value(&self) -> Value {
        // The text was read once already, so it is JSON.
        serde_json::from_str(self.raw).unwrap_or_default()
    }

    /// What is new, if the chunk has a choice.
    pub fn delta(&self) -> Option<&Delta<'a>> {
        self.choice.as_ref()?.delta.as_ref()
    }

    /// New text; `None` when there is none or it is empty.
    pub fn content(&self) -> Option<&str> {
        self.delta()?.content.filled()
    }

    /// New reasoning; `None` when there is none or it is empty.
    pub fn reasoning(&self) -> Option<&str> {
        self.delta()?.reasoning()
    }

    /// Pieces of tool calls.
    pub fn tool_calls(&self) -> Vec<Value> {
        let calls = self.delta().and_then(|delta| delta.tool_calls);
        calls
            .and_then(|calls| serde_json::from_str(calls.get()).ok())
            .unwrap_or_default()
    }

    /// Why the answer ended, in the chunk where it did.
    pub fn finish_reason(&self) -> Option<&str> {
        self.choice.as_ref()?.finish_reason.filled()
    }

    /// Usage as an object, llama.cpp's timings included.
    pub fn usage(&self) -> Option<Value> {
        let mut merged = serde_json::Map::new();
        for part in [self.usage, self.timings].into_iter().flatten() {
            if let Ok(Value::Object(fields)) = serde_json::from_str(part.get()) {
                merged.extend(fields);
            }
        }
        (!merged.is_empty()).then_some(Value::Object(merged))
    }

    /// Whether this is an event of the Responses API, to be read by [`crate::responses_stream`].
    pub fn is_responses_event(&self) -> bool {
        self.kind
            .as_str()
            .is_some_and(|kind| kind.starts_with("response.") || kind == "error")
    }
}

/// A text field that may be absent, null or of another type: all of these are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    /// The text.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The text unless it is empty.
    pub fn filled(&self) -> Option<&str> {
        self.as_str().filter(|text| !text.is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<'a>(PhantomData<&'a str>);

        impl<'de: 'a, 'a> Visitor<'de> for Reader<'a> {
            type Value = Text<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'a>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'a>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_unit<E>(self) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Text<'a>, E> {
                Ok(Text(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Text<'a>, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Text<'a>, A::Error> {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }

        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// The first element of a list, the rest being skipped.
#[derive(Default)]
struct First<'a>(Option<Choice<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for First<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<'a>(PhantomData<&'a str>);

        impl<'de: 'a, 'a> Visitor<'de> for Reader<'a> {
            type Value = First<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }

            fn visit_unit<E>(self) -> Result<First<'a>, E> {
                Ok(First(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<First<'a>, A::Error> {
                let first = items.next_element::<Choice<'a>>()?;
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }

        deserializer.deserialize_any(Reader(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_usual_chunk_is_borrowed() {
        let text = r#"{"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"logprobs":null,"finish_reason":null},{"index":1,"delta":{"content":"no"}}],"x_new":[1]}"#;
        let chunk = Chunk::parse(text).unwrap();
        assert_eq!(
            (chunk.content(), chunk.finish_reason(), chunk.reasoning()),
            (Some("Hi"), None, None)
        );
        assert!(matches!(
            &chunk.delta().unwrap().content,
            Text(Some(Cow::Borrowed("Hi")))
        ));
        assert_eq!(chunk.value()["x_new"], json!([1]));
        assert!(chunk.usage().is_none() && chunk.tool_calls().is_empty() && !chunk.is_responses_event());
    }

    #[test]
    fn reasoning_has_three_names() {
        for name in ["reasoning_content", "reasoning", "thinking"] {
            let text = json!({"choices": [{"delta": {"reasoning_content": "", name: "hm\n"}}]}).to_string();
            assert_eq!(Chunk::parse(&text).unwrap().reasoning(), Some("hm\n"), "{name}");
        }
    }

    #[test]
    fn odd_types_count_as_absent() {
        let text = json!({"choices": [{"delta": {"content": [{"type": "text"}], "reasoning": {"a": 1}, "tool_calls": null},
            "finish_reason": 3}], "usage": null, "type": 7, "error": {"message": "x"}});
        let text = text.to_string();
        let chunk = Chunk::parse(&text).unwrap();
        assert_eq!(
            (chunk.content(), chunk.reasoning(), chunk.finish_reason()),
            (None, None, None)
        );
        assert_eq!(chunk.error.unwrap().get(), r#"{"message":"x"}"#);
        for empty in [
            r#"{"choices":[]}"#,
            r#"{"choices":null}"#,
            "{}",
            r#"{"choices":[{"delta":null}]}"#,
        ] {
            assert!(Chunk::parse(empty).unwrap().delta().is_none(), "{empty}");
        }
        assert!(Chunk::parse("[1]").is_err());
        assert!(Chunk::parse("{\"a\":").is_err());
    }

    #[test]
    fn usage_and_tools_are_read_on_demand() {
        let text = json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c"}]}, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 1}, "timings": {"predicted_n": 2}, "selected_model_id": "m"});
        let text = text.to_string();
        let chunk = Chunk::parse(&text).unwrap();
        assert_eq!(chunk.usage(), Some(json!({"prompt_tokens": 1, "predicted_n": 2})));
        assert_eq!(chunk.tool_calls(), [json!({"index": 0, "id": "c"})]);
        assert_eq!(
            (chunk.finish_reason(), chunk.selected_model_id.as_str()),
            (Some("tool_calls"), Some("m"))
        );
    }

    #[test]
    fn responses_events_are_recognised() {
        for (text, expected) in [
            (r#"{"type":"response.completed"}"#, true),
            (r#"{"type":"error"}"#, true),
            (r#"{"type":"ping"}"#, false),
        ] {
            assert_eq!(Chunk::parse(text).unwrap().is_responses_event(), expected);
        }
    }
}
