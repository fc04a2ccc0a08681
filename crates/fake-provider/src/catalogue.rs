//! The models that the provider knows and what each of them does.
//!
//! The table below is the only place where a model is declared: `/v1/models`, `/api/tags`, the
//! command line's help and the documentation of [`CATALOGUE`] are derived from it. How a
//! behaviour becomes a reply is in `behaviour.rs`.

/// What a model does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Repeats the last user message.
    Echo,
    /// A fixed text in fixed chunks.
    Fixed,
    /// As `Fixed`, one chunk every 200 ms.
    Slow,
    /// Reasoning deltas, then text.
    Reasoner,
    /// Reasoning between tags inside the text, the tags cut across chunks.
    ThinkTags,
    /// Calls offered tools, then repeats their results.
    Tools {
        /// Whether two calls are made in one turn.
        parallel: bool,
    },
    /// Answers with this HTTP status.
    Refuse(u16),
    /// Some chunks, then an error inside the stream.
    ErrorMidstream,
    /// Some chunks, then the connection is dropped.
    Broken,
    /// Valid chunks with invalid lines between them.
    Garbage,
    /// One chunk, then silence with the connection open.
    Stall,
    /// A fixed text with fixed token counts.
    Usage,
    /// As many chunks as the message says.
    Long,
    /// Embeds; refuses chats.
    Embed,
}

/// One row of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelEntry {
    /// The id under which clients ask for the model.
    pub id: &'static str,
    /// What it does.
    pub behaviour: Behaviour,
    /// One sentence for people.
    pub summary: &'static str,
}

macro_rules! catalogue {
    ($($id:literal $behaviour:expr => $summary:literal;)+) => {
        /// Every model known by name.
        ///
        /// | model | behaviour |
        /// | --- | --- |
        $(#[doc = concat!("| `", $id, "` | ", $summary, " |")])+
        pub static CATALOGUE: &[ModelEntry] = &[
            $(ModelEntry { id: $id, behaviour: $behaviour, summary: $summary }),+
        ];
    };
}

catalogue! {
    "fake-model" Behaviour::Fixed => "a fixed text, one word a chunk; the number of chunks and the pause between them are settings";
    "echo" Behaviour::Echo => "repeats the last user message, one word a chunk";
    "slow" Behaviour::Slow => "the fixed text, one chunk every 200 ms; as many chunks as the last number in the message says, else 10";
    "long" Behaviour::Long => "the fixed text over and over; as many chunks as the last number in the message says, else 100 (at most 100000)";
    "usage" Behaviour::Usage => "a fixed text whose token counts are always 11 in, 7 out (3 of the 11 cached); streamed only when stream_options.include_usage asks for it";
    "reasoner" Behaviour::Reasoner => "reasoning deltas (`reasoning_content`, a reasoning item, `thinking`), then text";
    "think-tags" Behaviour::ThinkTags => "reasoning in `<think>` tags inside the content, both tags cut across chunks";
    "tools" Behaviour::Tools { parallel: false } => "calls the first offered tool with the JSON object in the last user message as arguments (else `{}`); a message `{\"name\": …, \"arguments\": {…}}` chooses the tool; after a tool result repeats its text; without tools as `echo`";
    "tools-parallel" Behaviour::Tools { parallel: true } => "as `tools`, but calls the first two offered tools in one turn (the only one twice), or each call of a JSON array of `{\"name\": …, \"arguments\": {…}}`";
    "error-400" Behaviour::Refuse(400) => "HTTP 400 with an error body";
    "error-401" Behaviour::Refuse(401) => "HTTP 401 with an error body";
    "error-429" Behaviour::Refuse(429) => "HTTP 429 with an error body and `Retry-After: 3`";
    "error-500" Behaviour::Refuse(500) => "HTTP 500 with an error body";
    "error-midstream" Behaviour::ErrorMidstream => "three chunks, then an error inside the stream and no end mark; unstreamed: status 200 with the error as body";
    "broken" Behaviour::Broken => "three chunks, then the connection is dropped; unstreamed: half of the body";
    "garbage" Behaviour::Garbage => "invalid lines between valid chunks";
    "stall" Behaviour::Stall => "one chunk, then nothing more on an open connection; unstreamed: no answer at all";
    "embed" Behaviour::Embed => "embeddings of the words of a text; refuses chats";
}

impl Behaviour {
    /// The behaviour of a name: that of the catalogue's row (an Ollama tag such as `:latest`
    /// does not count), and [`Behaviour::Fixed`] for every other name.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        Self::in_catalogue(name)
            .or_else(|| Self::in_catalogue(name.split(':').next().unwrap_or(name)))
            .unwrap_or(Self::Fixed)
    }

    /// The behaviour of the catalogue's row with exactly this id.
    #[must_use]
    pub fn in_catalogue(id: &str) -> Option<Self> {
        CATALOGUE
            .iter()
            .find(|entry| entry.id == id)
            .map(|entry| entry.behaviour)
    }

    /// The capabilities that Ollama's `/api/show` lists.
    #[must_use]
    pub fn capabilities(self) -> &'static [&'static str] {
        match self {
            Self::Embed => &["embedding"],
            Self::Tools { .. } => &["completion", "tools"],
            Self::Reasoner => &["completion", "thinking"],
            _ => &["completion"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_resolve_with_and_without_an_ollama_tag() {
        assert_eq!(Behaviour::of_name("echo"), Behaviour::Echo);
        assert_eq!(Behaviour::of_name("echo:latest"), Behaviour::Echo);
        assert_eq!(Behaviour::of_name("error-429:1b"), Behaviour::Refuse(429));
        assert_eq!(Behaviour::of_name("gpt-4o"), Behaviour::Fixed);
    }

    #[test]
    fn ids_are_unique() {
        for (index, entry) in CATALOGUE.iter().enumerate() {
            assert!(
                CATALOGUE[..index].iter().all(|earlier| earlier.id != entry.id),
                "{}",
                entry.id
            );
        }
    }
}
