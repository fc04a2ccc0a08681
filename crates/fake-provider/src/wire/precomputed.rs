//! Streams of `fake-model` that are written before anyone asks.
//!
//! A proxy is measured against this provider, so the stream that the benchmark asks for must cost
//! next to nothing: the frames are one buffer in which only the six digits of the id change.

use std::collections::HashMap;

use crate::{
    catalogue::Behaviour,
    plan::{Plan, Usage},
    settings::Settings,
    text,
    wire::{Exchange, Frames, chat},
};

/// What stands before the digits of the id in every event of a chat stream.
const BEFORE_SERIAL: usize = "data: {\"id\":\"chatcmpl-".len();
const SERIAL_DIGITS: usize = 6;

/// The streams of all listed models that always say the same.
#[derive(Debug, Default)]
pub(crate) struct Precomputed {
    /// By whether they carry token counts, then by model.
    streams: [HashMap<String, Frames>; 2],
    completion_tokens: u64,
}

impl Precomputed {
    /// Writes the streams; there are none when the instance pauses between chunks or tells the time.
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut precomputed = Self {
            completion_tokens: settings.chunks as u64,
            ..Self::default()
        };
        if settings.times || !settings.pause.is_zero() {
            return precomputed;
        }
        let plan = Plan::texts(text::fixed_chunks(settings.chunks));
        let fixed = settings
            .models
            .iter()
            .filter(|model| model.behaviour == Behaviour::Fixed);
        for model in fixed {
            for include_usage in [false, true] {
                let exchange = Exchange {
                    serial: 0,
                    model: &model.id,
                    usage: plan.usage_for(0),
                    include_usage,
                };
                let frames = chat::unfinished(&exchange, &plan);
                precomputed.streams[usize::from(include_usage)].insert(model.id.clone(), frames);
            }
        }
        precomputed
    }

    /// Whether a model has such a stream.
    pub(crate) fn knows(&self, model: &str) -> bool {
        self.streams[0].contains_key(model)
    }

    /// The stream of a model, if it is one of these, with its id and token counts filled in.
    pub(crate) fn stream(
        &self,
        model: &str,
        include_usage: bool,
        serial: u64,
        prompt: u64,
    ) -> Option<Frames> {
        let mut frames = self.streams[usize::from(include_usage)].get(model)?.clone();
        let digits = format!("{serial:06}");
        let mut start = 0;
        for (end, _) in &frames.cuts {
            let at = start + BEFORE_SERIAL;
            frames.bytes[at..at + SERIAL_DIGITS].copy_from_slice(digits.as_bytes());
            start = *end;
        }
        let usage = Usage {
            prompt,
            completion: self.completion_tokens,
            cached: 0,
            reasoning: 0,
        };
        chat::finish(
            &mut frames,
            &Exchange {
                serial,
                model,
                usage,
                include_usage,
            },
        );
        Some(frames)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_precomputed_stream_is_the_one_that_would_be_written() {
        let settings = Settings::default();
        let precomputed = Precomputed::new(&settings);
        let plan = Plan::texts(text::fixed_chunks(settings.chunks));
        for include_usage in [false, true] {
            let exchange = Exchange {
                serial: 123_456,
                model: "fake-model",
                usage: plan.usage_for(5),
                include_usage,
            };
            let written = chat::frames(&exchange, &plan);
            let found = precomputed
                .stream("fake-model", include_usage, 123_456, 5)
                .unwrap();
            assert_eq!(found.bytes, written.bytes);
            assert_eq!(found.cuts, written.cuts);
        }
        assert!(precomputed.stream("echo", false, 1, 5).is_none());
    }

    #[test]
    fn nothing_is_precomputed_for_an_instance_that_pauses() {
        let settings = Settings {
            pause: Duration::from_millis(1),
            ..Settings::default()
        };
        assert!(
            Precomputed::new(&settings)
                .stream("fake-model", false, 1, 5)
                .is_none()
        );
    }
}
